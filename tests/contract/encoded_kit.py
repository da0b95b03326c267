"""Sources that encode by themselves, as the contract tests ask for them; and what can go wrong with one, in front of a
real source as well as of the twin.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from statistics import median

from agent.capture.base import DeliverUnit, EncodedSource, See, Signal, SignalKind, SourceSignal, monotonic_ns
from agent.capture.encoded import EncodedCamera
from agent.capture.pacing import PacedThread
from agent.media import h264
from agent.model import NS, AccessUnit
from tests.contract.scripts import Fault

Mischief = Callable[["Mischievous", AccessUnit], list[AccessUnit]]


class Witness:
    """Which faults there are in the units that a source gave, told by the units: a mischief that did none is none."""

    def __init__(self) -> None:
        self.unplugged = False
        self._found: set[Fault] = set()
        self._stamps: list[int] = []
        self._sets = b""

    def see(self, together: list[AccessUnit]) -> None:
        """What came at once."""
        for unit in together:
            self._see_stamp(unit.mono_ns)
            self._see_picture(h264.take_apart(unit.data))
        if len(together) >= 10:
            self._found.add(Fault.BURSTS)

    def _see_stamp(self, mono_ns: int) -> None:
        latest_ns = max(self._stamps, default=mono_ns - 1)
        if mono_ns <= latest_ns:
            self._found.add(Fault.STAMPS)
        if mono_ns - latest_ns > 2 * NS:
            self._found.add(Fault.STALLS)
        self._stamps.append(mono_ns)

    def _see_picture(self, picture: h264.Picture) -> None:
        if not picture.data:
            self._found.add(Fault.EMPTY)
        elif picture.key:
            if self._sets and picture.parameters != self._sets:
                self._found.add(Fault.FORMAT)
            self._sets = picture.parameters

    def faults(self, said_fps: float) -> set[Fault]:
        found = self._found | ({Fault.UNPLUGGED} if self.unplugged else set())
        steps = [b - a for a, b in itertools.pairwise(self._stamps)]
        if len(steps) >= 10 and abs(median(steps) * said_fps / NS - 1) > 0.2:
            found |= {Fault.RATE}
        return found


class Mischievous:
    """A source, of whose units `mischief` makes others; it counts them anew, and tells of no picture that the source
    itself lost.
    """

    live = True
    dropped_frames = doubtful_frames = 0

    def __init__(self, source: EncodedSource, mischief: Mischief, fps: float | None = None) -> None:
        """`fps` is what it says of its rate, where it does not tell the source's."""
        self._source, self._mischief, self._fps = source, mischief, fps
        self.seen = 0
        self.keys_asked = 0
        self.held: list[AccessUnit] = []
        self.witness = Witness()
        self._given = 0
        self._over = threading.Event()

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def fps(self) -> float:
        return self._fps or self._source.fps

    @property
    def shows(self) -> bool:
        return self._source.shows

    @property
    def behind(self) -> bool:
        return self._source.behind

    def start(self, deliver: DeliverUnit, signal: Signal, see: See | None = None) -> None:
        self._signal = signal

        def pass_on(unit: AccessUnit) -> None:
            if self._over.is_set():
                return
            units = self._mischief(self, unit)
            self.seen += 1
            self.witness.see(units)
            for changed in units:
                deliver(replace(changed, sequence=self._given))
                self._given += 1

        self._source.start(pass_on, signal, see)

    def lose_one(self) -> None:
        """The next unit has another number than the one after the last."""
        self._given += 1

    def unplug(self) -> list[AccessUnit]:
        self._over.set()
        self.witness.unplugged = True
        self._signal(SourceSignal(SignalKind.LOST, monotonic_ns(), f"{self.name} was unplugged"))
        return []

    def did(self, fault: Fault) -> bool:
        """Whether what it gave has that fault."""
        return fault in self.witness.faults(self.fps)

    def request_key(self) -> bool:
        self.keys_asked += 1
        return self._source.request_key()

    def set_rate(self, bitrate_kbps: int, fps: int) -> None:
        self._source.set_rate(bitrate_kbps, fps)

    def stop(self, deadline_s: float = 2.0) -> bool:
        self._over.set()
        return self._source.stop(deadline_s)


class Hurried(EncodedCamera):
    """The twin's units, of which those of the first seconds are there at once: they were captured before the start."""

    BEFORE_NS = 7 * NS // 2

    def __init__(self) -> None:
        super().__init__(320, 180, 30, 800)

    def _run(self, thread: PacedThread) -> None:
        units = [unit for second in self._seconds for unit in second]
        begin_ns = monotonic_ns() - self.BEFORE_NS
        for number in itertools.count():
            mono_ns = begin_ns + number * NS // 30
            if not thread.wait_until(mono_ns):
                return
            self._deliver(AccessUnit(mono_ns, number, units[number % len(units)]))


Make = Callable[[], EncodedSource]
SOURCES: dict[str, Make] = {"twin": lambda: EncodedCamera(320, 180, 30, 800)}
RECORDED: dict[str, Make] = {"twin": Hurried}
"""The same for recordings, where what was captured may come sooner than it was."""
PACED: dict[str, Callable[[int], EncodedSource]] = {"twin": lambda fps: EncodedCamera(320, 180, fps, 800)}
"""Those that give so many pictures a second, whatever they are asked for."""

if "BODYCAM_VIRTUAL_CAMERA" in os.environ:
    from tests.lab.virtual_camera import camera

    SOURCES["picamera2"] = RECORDED["picamera2"] = PACED["picamera2"] = camera
