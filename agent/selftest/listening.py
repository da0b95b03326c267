"""Camera and microphone run for some seconds; what came is noted, and nothing is kept of it but figures.

What is noted of a picture is its stamp, a coarse grid of its brightness, and what the recorder's own watch says of it;
of sound its samples. The judges beside this file (camera.py, microphone.py, avsync.py) are pure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agent.capture.base import AudioSource, EncodedSource, Signal, SourceSignal, VideoSource
from agent.capture.watch import Change, PictureWatch
from agent.errors import AgentError
from agent.media.planes import luma
from agent.model import AUDIO_HZ, NS, AccessUnit, AudioBlock, VideoFrame, YuvPlanes

if TYPE_CHECKING:
    from agent.clock import Clock

GRID = (9, 16)
LET_GO_S = 2.0
SETTLE_NS = NS // 2
"""What waited in a sound card when it was opened comes in one burst, whose stamps say little."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture: `light` is the mean brightness of each field of GRID, `age_ns` how old its stamp was on arrival."""

    mono_ns: int
    age_ns: int
    sequence: int
    light: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Heard:
    """One block of sound; `age_ns` is the age of its last sample on arrival."""

    mono_ns: int
    age_ns: int
    pcm: bytes


@dataclass
class Facts:
    """All that was noted of one device. `watched` is what the recorder would have said of its pictures."""

    name: str
    live: bool = True
    fps: float = 0.0
    error: AgentError | None = None
    ended: str = ""
    dropped: int = 0
    let_go: bool = True
    seen: list[Seen] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    watched: list[Change] = field(default_factory=list)

    @property
    def stamps(self) -> list[int]:
        return [item.mono_ns for item in self.seen or self.heard]

    @property
    def span_s(self) -> float:
        stamps = self.stamps
        return (stamps[-1] - stamps[0]) / NS if stamps else 0.0


Enough = Callable[[Facts, Facts | None], bool]


class Listening:
    """One session with both devices. `latencies_ns` (picture, sound) are taken off the stamps as the recorder does."""

    def __init__(
        self,
        video: VideoSource | EncodedSource,
        audio: AudioSource | None,
        clock: Clock,
        latencies_ns: tuple[int, int] = (0, 0),
    ) -> None:
        self._video, self._audio, self._clock, self._latencies_ns = video, audio, clock, latencies_ns
        self._changed = threading.Condition()
        self._lights: dict[int, NDArray[np.float32]] = {}
        self._decoder: Any = None
        # A clip may well show nothing, or the same for long.
        self._watch = PictureWatch() if video.live else None
        self.picture = Facts(video.name, video.live, video.fps)
        self.sound = Facts(audio.name, audio.live) if audio else None

    def run(self, enough: Enough, deadline_s: float) -> None:
        """Until `enough` says so, both have ended, or the deadline. Whatever a device refuses is in its facts."""
        self._open(self.picture, self._start_video)
        audio = self._audio
        if audio and self.sound:
            self._open(self.sound, lambda signal: audio.start(self._on_block, signal))
        end = time.monotonic() + deadline_s
        with self._changed:
            while not (enough(self.picture, self.sound) or self._over()):
                left = end - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(min(left, 0.5))
        self._close()

    def _start_video(self, signal: Signal) -> None:
        if isinstance(self._video, EncodedSource):
            self._video.start(self._on_unit, signal, self._see)
        else:
            self._video.start(self._on_frame, signal)

    def _open(self, facts: Facts, start: Callable[[Signal], None]) -> None:
        def signal(told: SourceSignal) -> None:
            with self._changed:
                facts.ended = told.detail
                self._changed.notify_all()

        try:
            start(signal)
        except AgentError as err:
            facts.error = err
        except Exception as err:
            # Whatever a driver raises is this device's failure, not the test's.
            facts.error = AgentError(f"{facts.name}: {type(err).__name__}: {err}", "see the recorder's journal")

    def _over(self) -> bool:
        return all(bool(facts.error or facts.ended) for facts in (self.picture, self.sound) if facts)

    def _close(self) -> None:
        for source, facts in ((self._video, self.picture), (self._audio, self.sound)):
            if source and facts:
                # While it is open its name says at which rate; where it could not be opened, why, and also afterwards.
                name = source.name
                facts.let_go = source.stop(LET_GO_S)
                facts.name = name if facts.heard else source.name
        self.picture.dropped = self._video.dropped_frames
        if self._audio and self.sound:
            self.sound.dropped = self._audio.dropped_blocks

    def _on_frame(self, frame: VideoFrame) -> None:
        self._note(frame.mono_ns, frame.sequence, self._light(frame.mono_ns, luma(frame.picture)))

    def _see(self, planes: YuvPlanes, mono_ns: int) -> None:
        """A picture on its way into the camera's own encoder; its access unit follows."""
        self._lights[mono_ns] = self._light(mono_ns, planes.luma)

    def _light(self, mono_ns: int, plane: Any) -> NDArray[np.float32]:
        if self._watch:
            self.picture.watched += self._watch.look(mono_ns, plane)
        return grid(plane)

    def _on_unit(self, unit: AccessUnit) -> None:
        light = self._lights.pop(unit.mono_ns, None)
        self._note(unit.mono_ns, unit.sequence, self._decoded(unit) if light is None else light)

    def _decoded(self, unit: AccessUnit) -> NDArray[np.float32]:
        """The light of a picture that was encoded out of sight; none where it cannot be decoded."""
        import av

        if self._decoder is None:
            self._decoder = av.CodecContext.create("h264", "r")
            self._decoder.options = {"flags": "low_delay"}
            self._decoder.thread_count = 1
        try:
            pictures = self._decoder.decode(av.Packet(unit.data))
        except av.error.FFmpegError:
            pictures = []
        return self._light(unit.mono_ns, luma(pictures[-1])) if pictures else np.zeros(GRID, np.float32)

    def _note(self, mono_ns: int, sequence: int, light: NDArray[np.float32]) -> None:
        age_ns = self._clock.monotonic_ns() - mono_ns
        with self._changed:
            self.picture.seen.append(Seen(mono_ns - self._latencies_ns[0], age_ns, sequence, light))
            self._changed.notify_all()

    def _on_block(self, block: AudioBlock) -> None:
        length_ns = len(block.pcm) // 2 * NS // AUDIO_HZ
        age_ns = self._clock.monotonic_ns() - block.mono_ns - length_ns
        with self._changed:
            assert self.sound is not None
            self.sound.heard.append(Heard(block.mono_ns - self._latencies_ns[1], age_ns, block.pcm))
            self._changed.notify_all()


def grid(picture: Any) -> NDArray[np.float32]:
    """Mean brightness of each field, from every second pixel of every second row."""
    rows, columns = picture.shape[0] // GRID[0], picture.shape[1] // GRID[1]
    cut = picture[: rows * GRID[0], : columns * GRID[1]].reshape(GRID[0], rows, GRID[1], columns)
    light: NDArray[np.float32] = cut[:, ::2, :, ::2].mean(axis=(1, 3), dtype=np.float32)
    return light


def settled(heard: list[Heard]) -> list[Heard]:
    """What came when the device had settled."""
    return [block for block in heard if block.mono_ns - heard[0].mono_ns >= SETTLE_NS]


def samples(heard: list[Heard]) -> NDArray[np.int16]:
    """All sound, one block after another."""
    return np.frombuffer(b"".join(block.pcm for block in heard), "<i2").astype(np.int16)
