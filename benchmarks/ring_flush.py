"""How fast the pre-event ring becomes durable after a press: 30 s of 1080p30 at 8 Mbit/s, through muxer, encryption,
leaves, signatures and the disk, as in a recording. Live pictures go on coming meanwhile, behind those of the ring; each
round presses once more on a ring of a second, which shows what a live picture takes where next to nothing is before it.
Asked for a slow card, each sync takes so many milliseconds more than the disk's own.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from agent.capture import encoded
from agent.clock import SystemClock
from agent.errors import AgentError
from agent.intake.delivery import Delivery
from agent.media import h264
from agent.media.parts import PartMuxer
from agent.media.prebuffer import Prebuffer
from agent.model import NS, VIDEO_HZ, EncodedPacket, MediaPart, StreamInfo, Track
from agent.recording import Recording
from benchmarks.clip import CACHE
from tests.camera_kit import Desk, begin, make_agency

NAME = "ring-flush"
SLOW_MS = {f"{NAME}-{ms}ms": ms for ms in (20, 100)}
"""By name, what a sync of the slow card takes."""
AIM = 10.0
WIDTH, HEIGHT, FPS, KBPS, RING_S, RING_MIB = 1920, 1080, 30, 8000, 30, 48
CONTROL_S = 1
LIVE_S = 20
PATIENCE_S = 60
STEP = VIDEO_HZ // FPS


@dataclass(frozen=True, slots=True)
class Flush:
    """One press: the seconds of ring, how long until all of it was durable, and until the first picture was that came
    after the press.
    """

    ring_s: float
    ring_bytes: int
    flush_s: float
    first_live_s: float
    parts_in_order: bool

    @property
    def multiple(self) -> float:
        return self.ring_s / self.flush_s


@dataclass(frozen=True, slots=True)
class FlushRuns:
    """As benchmarks.report.Compared."""

    runs: tuple[Flush, ...]
    controls: tuple[Flush, ...]
    """The same on CONTROL_S of ring, each after its run."""
    name: str = NAME
    sync_ms: int = 0

    def side_names(self) -> list[str]:
        return ["recording"]

    def row(self, side: str) -> tuple[str, ...]:
        told = self.to_dict()
        given = f"{WIDTH}x{HEIGHT}, {told['ring_s']:.0f} s"
        return (
            self.name,
            given,
            side,
            "-",
            f"{told['flush_s']:.2f}",
            f"{told['multiple']:.1f}",
            "-",
            "-",
            "-",
            str(KBPS),
        )

    def missed(self) -> list[str]:
        return ["multiple"] if median(run.multiple for run in self.runs) < AIM else []

    def words(self) -> str:
        told = self.to_dict()
        missed = "MISSED: multiple; " if self.missed() else ""
        each = ", ".join(f"{run.multiple:.1f}" for run in self.runs)
        return (
            f"{self.name}: {told['ring_s']:.1f} s of ring are durable after {told['flush_s']:.2f} s, "
            f"{told['multiple']:.1f} times real time (aim {AIM:g}; rounds {each}); {missed}"
            f"the first picture after the press, behind them, after {told['first_live_s']:.2f} s, "
            f"behind {told['control_ring_s']:.1f} s of ring after {told['control_first_live_s']:.2f} s: "
            f"it waits {told['live_waits_s']:.2f} s for the longer one"
        )

    @property
    def live_waits_s(self) -> float:
        """How much longer the first live picture takes behind the whole ring than behind the control's."""
        return median(run.first_live_s for run in self.runs) - median(run.first_live_s for run in self.controls)

    def to_dict(self) -> dict[str, Any]:
        flush_s = median(run.flush_s for run in self.runs)
        return {
            "comparison": self.name,
            "input": f"{WIDTH}x{HEIGHT}, {FPS} fps, {KBPS} kbit/s",
            **({"sync_ms": self.sync_ms} if self.sync_ms else {}),
            "rounds": len(self.runs),
            "aim": AIM,
            "missed": self.missed(),
            "multiple": round(median(run.multiple for run in self.runs), 2),
            "multiple_of_each_round": [round(run.multiple, 2) for run in self.runs],
            "ring_s": round(median(run.ring_s for run in self.runs), 2),
            "ring_mib": round(median(run.ring_bytes for run in self.runs) / (1 << 20), 1),
            "flush_s": round(flush_s, 3),
            "first_live_s": round(median(run.first_live_s for run in self.runs), 3),
            "control_ring_s": round(median(run.ring_s for run in self.controls), 2),
            "control_first_live_s": round(median(run.first_live_s for run in self.controls), 3),
            "live_waits_s": round(self.live_waits_s, 3),
            "parts_in_order": all(run.parts_in_order for run in self.runs + self.controls),
        }


def run(repeat: int, say: Callable[[str], None], ring_s: int = RING_S, name: str = NAME) -> FlushRuns:
    """`repeat` presses on so much ring, and as many on the control's, in turn. Raises AgentError where not all of it
    becomes durable.
    """
    say(f"{name}: {repeat} x {ring_s} s of ring")
    sync_ms = SLOW_MS.get(name, 0)
    pictures = _pictures()
    CACHE.mkdir(parents=True, exist_ok=True)
    runs, controls = [], []
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="flush-") as work, slow_card(sync_ms):
        desk = Desk(make_agency(Path(work) / "agency"), Path(work) / "spool").open()
        begin(desk)
        for number in range(repeat):
            runs.append(_press(desk, pictures, ring_s))
            controls.append(_press(desk, pictures, CONTROL_S))
            say(
                f"  round {number + 1}: {runs[-1].multiple:.1f} times real time; first live picture after "
                f"{runs[-1].first_live_s:.2f} s, on {CONTROL_S} s of ring after {controls[-1].first_live_s:.2f} s"
            )
        desk.sealer.close()
    return FlushRuns(tuple(runs), tuple(controls), name, sync_ms)


@contextmanager
def slow_card(sync_ms: int) -> Iterator[None]:
    """Each sync of this process takes so much longer."""
    real = {name: getattr(os, name) for name in ("fsync", "fdatasync")}

    def slow(sync: Callable[[int], None]) -> Callable[[int], None]:
        def call(fd: int) -> None:
            time.sleep(sync_ms / 1_000)
            sync(fd)

        return call

    try:
        for name, sync in real.items() if sync_ms else ():
            setattr(os, name, slow(sync))
        yield
    finally:
        for name, sync in real.items():
            setattr(os, name, sync)


def _pictures() -> list[h264.Picture]:
    """Two seconds of them, with grain."""
    return [h264.take_apart(unit) for second in encoded.make(WIDTH, HEIGHT, FPS, KBPS) for unit in second]


def _packet(pictures: list[h264.Picture], number: int) -> EncodedPacket:
    picture = pictures[number % len(pictures)]
    return EncodedPacket(Track.VIDEO, number * STEP, STEP, picture.key, picture.data)


def _press(desk: Desk, pictures: list[h264.Picture], ring_s: int) -> Flush:
    lost: list[int] = []
    ring = Prebuffer(ring_s, RING_MIB << 20)
    delivery = Delivery(ring, {Track.VIDEO}, lost.append, lambda: None, lambda error: None)
    delivery.start()
    count = ring_s * FPS + 1
    for number in range(count):
        delivery.publish([_packet(pictures, number)], may_wait=False)
    held_s, held_bytes = delivery.ring_state()
    over = threading.Event()
    live = threading.Thread(target=_go_on, args=(delivery, pictures, count, over))
    # The last picture in the ring is of the instant of the press.
    info = StreamInfo(WIDTH, HEIGHT, pictures[0].parameters, None, time.monotonic_ns() - ring_s * NS)
    pressed_s = time.monotonic()
    name = desk.sealer.start_recording({"type": "record.start"})
    numbers: list[int] = []

    def make_muxer(info: StreamInfo, on_init: Any, on_part: Any) -> PartMuxer:
        def noted(part: MediaPart) -> None:
            numbers.append(part.start_ns)
            on_part(part)

        return PartMuxer(info, on_init, noted)

    recording = Recording(name, desk.sealer, info, make_muxer, _raise, SystemClock(), RING_MIB << 20)
    live.start()
    try:
        delivery.attach(recording.sink, 0)
        flush_s = _until(recording, held_s, pressed_s)
        first_live_s = _until(recording, held_s + 1 / FPS, pressed_s)
        delivery.detach(count * STEP * NS // VIDEO_HZ, 5, 5)
    finally:
        over.set()
        live.join()
        recording.finish(PATIENCE_S)
        delivery.stop(5)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    if lost or recording.progress().lost_parts:
        raise AgentError(f"the flush lost packets ({lost}) or parts ({recording.progress().lost_parts})")
    return Flush(held_s, held_bytes, flush_s, first_live_s, numbers == sorted(numbers))


def _go_on(delivery: Delivery, pictures: list[h264.Picture], first: int, over: threading.Event) -> None:
    """Live pictures, in their time, until it is over."""
    begun = time.monotonic()
    for number in range(first, first + LIVE_S * FPS):
        if over.wait(max(0.0, begun + (number - first) / FPS - time.monotonic())):
            return
        delivery.publish([_packet(pictures, number)], may_wait=False)


def _until(recording: Recording, media_s: float, pressed_s: float) -> float:
    """How long after the press so much is durable."""
    while recording.progress().media_ns < media_s * NS:
        if time.monotonic() > pressed_s + PATIENCE_S:
            raise AgentError(f"only {recording.progress()} after {PATIENCE_S} s")
        time.sleep(0.002)
    return time.monotonic() - pressed_s


def _raise(error: Exception) -> None:
    raise error
