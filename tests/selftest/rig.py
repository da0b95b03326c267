"""A camera, a microphone, a card and a clock that are whole, in simulated time; a test breaks one thing of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

from agent.capture.base import DeliverFrame, DeliverSound, Signal, SignalKind, SourceSignal
from agent.clock import Utc
from agent.errors import DeviceError
from agent.model import AUDIO_HZ, NS, AudioBlock, VideoFrame
from tests.camera_kit import FakeClock

FPS, BLOCK = 30, 1024
SECONDS = 6
FLASH_NS = NS // 10
BEEP = np.rint(12_000 * np.sin(2 * np.pi * 1000 * np.arange(1, AUDIO_HZ // 10) / AUDIO_HZ)).astype(np.int16)


@dataclass
class RigClock(FakeClock):
    """Stands where the rig puts it."""

    rtc: int | None = None

    def _read(self) -> int:
        return self.now_ns

    def utc(self) -> Utc:
        return Utc(1_900_000_000 * NS + self.stepped_ns + self.now_ns, self.utc_source, self.utc_bound_ms)


@dataclass
class Rig:
    """Flash and beep together, at each whole second. What it gives may be changed by `frames` and `blocks`."""

    clock: RigClock = field(default_factory=RigClock)
    frames: Callable[[Iterator[VideoFrame]], Iterator[VideoFrame]] = lambda frames: frames
    blocks: Callable[[Iterator[AudioBlock]], Iterator[AudioBlock]] = lambda blocks: blocks
    slow: float = 1.0
    """By so much a second of the card is longer than a true one."""
    beep_late_ns: int = 0
    flashes_ns: tuple[int, ...] = tuple(second * NS for second in range(1, SECONDS))
    dropped_frames: int = 0
    dropped_blocks: int = 0
    missing: bool = False
    lost: bool = False

    def sources(self, *_: object) -> tuple[Lens, Ear]:
        self.begin_ns = self.clock.now_ns
        self.lens, self.ear = Lens(self), Ear(self)
        return self.lens, self.ear

    def run(self) -> None:
        """Both streams in the order of time, each thing a millisecond after its capture; then no more comes."""
        things: list[tuple[int, Callable[[], None]]] = []
        if self.lens.deliver:
            for frame in self.frames(self._frames()):
                things.append((self._at(frame.sequence * NS // FPS), lambda f=frame: self.lens.deliver(f)))
        for number, block in enumerate(self.blocks(self._blocks())):
            come_ns = self._at(round((number + 1) * BLOCK * self.slow * NS / AUDIO_HZ))
            things.append((come_ns, lambda b=block: self.ear.deliver(b)))
        for at_ns, give in sorted(things, key=lambda thing: thing[0]):
            self.clock.now_ns = max(self.clock.now_ns, at_ns + 1_000_000)
            give()
        for source in (self.lens, self.ear):
            if source.signal and self.lost:
                source.signal(SourceSignal(SignalKind.LOST, self.clock.now_ns, "it was unplugged"))

    def _at(self, ns: int) -> int:
        return self.begin_ns + ns

    def _frames(self) -> Iterator[VideoFrame]:
        grain = np.random.default_rng(2)
        for number in range(SECONDS * FPS + 2):
            bright = any(0 <= number * NS // FPS - flash_ns < FLASH_NS for flash_ns in self.flashes_ns)
            luma = np.full((27, 32), 128, np.uint8)
            luma[:18] = 235 if bright else 60
            luma += grain.integers(0, 3, luma.shape).astype(np.uint8)
            yield VideoFrame(self._at(number * NS // FPS), number, av.VideoFrame.from_ndarray(luma, format="yuv420p"))

    def _blocks(self) -> Iterator[AudioBlock]:
        count = round((SECONDS + 1) * AUDIO_HZ / self.slow) // BLOCK * BLOCK
        sound = np.random.default_rng(1).integers(-40, 40, count).astype(np.int16)
        for flash_ns in self.flashes_ns:
            first = round((flash_ns + self.beep_late_ns) * AUDIO_HZ / NS / self.slow)
            sound[first : first + len(BEEP)] = BEEP
        for first in range(0, count, BLOCK):
            true_ns = round(first * self.slow * NS / AUDIO_HZ)
            yield AudioBlock(self._at(true_ns), sound[first : first + BLOCK].tobytes())


class Lens:
    live, name, fps, doubtful_frames = True, "a lens", float(FPS), 0

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.deliver: DeliverFrame | None = None
        self.signal: Signal | None = None

    @property
    def dropped_frames(self) -> int:
        return self._rig.dropped_frames

    def start(self, deliver: DeliverFrame, signal: Signal) -> None:
        if self._rig.missing:
            raise DeviceError("there is no webcam 0 (/dev/video0)", "plug it in")
        self.deliver, self.signal = deliver, signal

    def stop(self, deadline_s: float = 2.0) -> bool:
        return True


class Ear:
    live = True

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.name = "an ear"
        self.signal: Signal | None = None

    @property
    def dropped_blocks(self) -> int:
        return self._rig.dropped_blocks

    def start(self, deliver: DeliverSound, signal: Signal) -> None:
        """The microphone is opened last: now both play, to the end, and nobody has to wait for anything."""
        self.deliver, self.signal = deliver, signal
        self.name = "an ear at 16000 Hz"
        self._rig.run()

    def stop(self, deadline_s: float = 2.0) -> bool:
        self.name = "an ear"
        return True


@dataclass
class Card:
    """A card in simulated time: `now` goes on by what each call takes."""

    write_s: float = 0.01
    sync_s: float = 0.004
    every: int = 1
    """Only each so many-th sync takes `sync_s`."""
    free: int = 8 << 30
    error: OSError | None = None
    at_s: float = 0.0
    syncs: int = 0
    closed: bool = False
    place: Path = Path("/")

    def __call__(self, spool: Path) -> Card:
        self.place = spool
        return self

    def now(self) -> float:
        return self.at_s

    def write(self, data: bytes) -> None:
        self.at_s += self.write_s * len(data) / (1 << 20)

    def sync(self) -> None:
        if self.error:
            raise self.error
        self.syncs += 1
        self.at_s += self.sync_s if self.syncs % self.every == 0 else 0.001

    def free_bytes(self) -> int:
        return self.free

    def close(self) -> None:
        self.closed = True
