"""A camera's life as somebody beside it would write it down, and the same life as the recorder lives it: real recorder,
journal, sealer and spool; no lens, no microphone, and time that is the test's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.errors import AgentError, DeviceError, StorageError
from agent.events import Actor
from agent.evidence.tiling import Doing
from agent.intake.report import IntakeEventKind
from agent.model import NS
from agent.station.layout import AgencyPaths
from tests.camera_kit import FakeClock
from tests.recorder_desk import Camera

GONE = DeviceError("no lens", "plug it in")
TICKS = 4
"""A second."""


@dataclass(frozen=True)
class Seen:
    """At this instant of this boot somebody looked. `life` counts the recorders."""

    boot: int
    life: int
    boottime_ns: int
    doing: Doing


@dataclass
class Ended:
    """How the life of a recorder ended: when, and whether it said so. `recording`: in the middle of one."""

    boot: int
    boottime_ns: int
    said: bool
    recording: bool


@dataclass(frozen=True)
class Fork:
    """The card was put back: the segments in which its log has two histories since then, with their leaves, and the two
    boots that wrote them. A verifier follows one of both.
    """

    leaves: dict[str, range]
    boots: tuple[int, int]


@dataclass
class Model:
    """What is true, in the words of nobody's code."""

    recording: bool = False
    docked: bool = False
    lens: bool = True
    wanted: bool = False
    """The lens broke a recording off, or somebody pressed while it was away: recorded as soon as that is back."""
    muted: bool = False
    asleep: bool = False
    unwritten: bool = False
    """The disk has refused what was owed to the log: it would refuse a recording too."""

    @property
    def doing(self) -> Doing:
        if self.recording:
            return Doing.MUTED if self.muted else Doing.RECORDING
        if self.docked:
            return Doing.DOCKED
        if self.asleep:
            return Doing.SLEEPING
        return Doing.READY if self.lens and not self.unwritten else Doing.FAULT


@dataclass
class Life:
    """Do with it what the test wants; `seen` and `ended` say what has to come out. `off_ns` is how long the power was
    away before each boot but the first.
    """

    agency: AgencyPaths
    root: Path
    patch: pytest.MonkeyPatch
    clock: FakeClock = field(default_factory=FakeClock)
    model: Model = field(default_factory=Model)
    seen: list[Seen] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    off_ns: list[int] = field(default_factory=list)
    boots: list[str] = field(default_factory=list)
    refused: list[tuple[int, int, int]] = field(default_factory=list)
    """Boot, begin and end of the times in which the disk took no event."""
    frozen: list[tuple[int, int, int]] = field(default_factory=list)
    """And of those in which it recorded, and nothing came."""
    forks: list[Fork] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._power_on(0)
        self._start()

    @property
    def places(self) -> list[Path]:
        """Where all that it recorded lies."""
        return [self.root / "spool"]

    # -- what happens ----------------------------------------------------------------------------------------------

    def wait(self, ticks: int) -> None:
        """Parts come each half second while it records."""
        for done in range(ticks):
            if self.model.recording and done % 2:
                self.camera.muxers[-1].give(1)
            self.camera.ticks(1)
            if done in (0, ticks // 2):
                self.look()

    def record(self) -> None:
        self._press("recording", lambda: self.camera.recorder._record("press", Actor.OFFICER))
        self.model.asleep = False
        self.model.recording |= self.model.lens
        self.model.wanted = not self.model.lens
        self.look()

    def stop(self) -> None:
        self._press("media", lambda: self.camera.recorder._stop("press", Actor.OFFICER))
        self.model.recording = self.model.wanted = self.model.muted = False
        self.look()

    def mute(self) -> None:
        self._press("mute", lambda: self.camera.recorder._takes.mute(Actor.OFFICER))
        self.model.muted |= self.model.recording
        self.look()

    def unmute(self) -> None:
        self._press("mute", lambda: self.camera.recorder._takes.unmute(Actor.OFFICER))
        self.model.muted &= not self.model.recording
        self.look()

    def sleep(self) -> None:
        self._press("sleep", lambda: self.camera.recorder.sleep(Actor.OFFICER, "held the button"))
        self.model.asleep |= not self.model.recording and not self.model.wanted
        self.look()

    def wake(self) -> None:
        self._press("sleep", lambda: self.camera.recorder.wake(Actor.OFFICER, "held the button"))
        self.model.asleep = False
        self.look()

    def mark(self) -> None:
        self._press("mark", lambda: self.camera.recorder._takes.mark("here"))

    def dock(self, docked: bool) -> None:
        self._press("dock", lambda: self.camera.recorder._dock(docked))
        self.model.docked = docked
        self.model.recording &= not docked
        self.model.wanted &= not docked
        self.model.muted &= not docked
        self.model.asleep &= docked
        self.look()

    def lose_lens(self) -> None:
        if not self.model.lens:
            return
        self.camera.lens = GONE
        if self.model.asleep:
            # Nobody looks through it.
            self.model.lens = False
            return
        self.camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
        self.camera.ticks(1)
        self.model.wanted = self.model.recording
        self.model.lens = self.model.recording = False
        self.look()

    def give_lens(self) -> None:
        """It is looked for every two seconds."""
        self.camera.lens = None
        self.camera.ticks(3 * TICKS)
        self.model.recording |= self.model.wanted
        self.model.lens, self.model.wanted = True, False
        # Ten changes in a minute would be a fault that comes and goes.
        self.wait(65 * TICKS)

    def freeze(self, seconds: int) -> None:
        """No part comes for so long, and none of this time later. The next says what is missing."""
        if not self.model.recording:
            return
        self.camera.until_sealed()
        begin_ns = self.clock.boottime_ns()
        # What was seen since the last part ended is in none.
        part_ns = begin_ns - max(0, self.camera.muxers[-1].behind_ns)
        self.seen = [seen for seen in self.seen if seen.boot != len(self.boots) - 1 or seen.boottime_ns < part_ns]
        self.camera.ticks(seconds * TICKS)
        self.frozen.append((len(self.boots) - 1, begin_ns, self.clock.boottime_ns()))
        if seconds > 3:
            # The part before may reach half a second further, and a hole of one second is none.
            self._see(Doing.UNKNOWN, begin_ns + seconds * NS // 2)
        self.camera.muxers[-1].freeze()
        self.camera.muxers[-1].give(1)
        self.camera.ticks(1)

    def suspend(self, seconds: int) -> None:
        """Two clocks stand still, the third does not."""
        self.clock.suspended_ns += seconds * NS
        self._see(Doing.SLEEPING, self.clock.boottime_ns() - seconds * NS // 2)
        self.camera.ticks(1)
        self.look()

    def step(self, seconds: int) -> None:
        self.clock.stepped_ns += seconds * NS

    def doubt_clock(self) -> None:
        known = self.clock.utc_source == "synchronised"
        self.clock.utc_source, self.clock.utc_bound_ms = ("unverified", None) if known else ("synchronised", 12)

    def refuse(self, ticks: int, redock: bool) -> None:
        """The disk takes no event for a while; none is lost. Nobody presses record meanwhile."""
        if self.model.recording:
            return
        sealer, begin_ns = self.camera.vault.sealer, self.clock.boottime_ns()

        def refused(_: object, body: Mapping[str, Any], *rest: object) -> int:
            self.model.unwritten |= body.get("late", False)
            raise StorageError("refused")

        with self.patch.context() as patch:
            patch.setattr(sealer, "event", refused)
            self.wait(ticks)
            if redock:
                self.dock(not self.model.docked)
            self.wait(ticks)
        # What is owed is tried again after two seconds at the latest.
        self.camera.ticks(4 * TICKS)
        self.model.unwritten = False
        self.refused.append((len(self.boots) - 1, begin_ns, self.clock.boottime_ns()))
        self.look()

    # -- ends and beginnings ---------------------------------------------------------------------------------------

    def cut(self, off_s: int) -> None:
        """The battery falls out."""
        self._drop()
        self._power_on(off_s)
        self._start()

    def kill(self, seconds: int) -> None:
        """The process dies, and the next one is started some time later in the same boot."""
        self._drop()
        self.clock.now_ns += seconds * NS
        if seconds > 65:
            self._see(Doing.FAULT, self.clock.boottime_ns() - NS // 2)
        self._start()

    def restart(self, seconds: int) -> None:
        """Stopped as asked, and started some time later in the same boot."""
        self._close()
        self.clock.now_ns += seconds * NS
        self._see(Doing.STOPPED, self.clock.boottime_ns() - seconds * NS // 2)
        self._start()

    def power_off(self, off_s: int) -> None:
        """Stopped as asked, and then the power goes."""
        self._close()
        self._power_on(off_s)
        self._start()

    def over(self, said: bool) -> None:
        """The last of all."""
        if said:
            self._close()
        else:
            self._drop()

    def _drop(self) -> None:
        self.camera.until_sealed()
        self._end(said=False)
        self.camera.drop()

    def _close(self) -> None:
        self._end(said=True)
        self.camera.recorder.close()

    def _end(self, said: bool) -> None:
        now_ns = self.clock.boottime_ns()
        self.ended.append(Ended(len(self.boots) - 1, now_ns, said, self.model.recording))

    def _power_on(self, off_s: int) -> None:
        wall_ns = self.clock.utc().ns
        if self.boots:
            self.off_ns.append(off_s * NS)
        self.boots.append(f"{len(self.boots):08d}-2222-3333-4444-555555555555")
        was = self.clock
        self.clock = FakeClock(self.boots[-1], 7 * NS, was.utc_source, 0, 0, was.utc_bound_ms)
        # The wall clock went on without power; the kernel started seven seconds ago.
        self.clock.stepped_ns = wall_ns + (off_s + 7) * NS - self.clock.utc().ns
        self._see(Doing.STARTING, 3 * NS)

    def _start(self) -> None:
        self.model = Model(lens=self.model.lens)
        self.camera = Camera(self.agency, self.root, self.patch, clock=self.clock)
        self.camera.lens = None if self.model.lens else GONE
        self.camera.start()
        self.camera.ticks(1)
        self.look()

    # -- looking ---------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """A millisecond later, so that it is clear on which side of a change this is."""
        self.clock.now_ns += NS // 1000
        self._see(self.model.doing, self.clock.boottime_ns())
        self.clock.now_ns += NS // 1000

    def _see(self, doing: Doing, boottime_ns: int) -> None:
        self.seen.append(Seen(len(self.boots) - 1, len(self.ended), boottime_ns, doing))

    def _press(self, what: str, action: Callable[[], object]) -> None:
        """As through the control socket: what fails there is shown as a fault, and the answer of whoever pressed."""
        with contextlib.suppress(AgentError):
            self.camera.recorder._loop.act(what, action)
