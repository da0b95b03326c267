"""When to give up something of the picture, and when to take it back: decided purely, from values and the time.

Down at once where a cause asks for it, one step after the other while it lasts; up one step after a calm while. A step
back that did not hold makes the next one wait twice as long, so that a camera at its limit does not swing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from agent.events import Level
from agent.model import NS

HURRY_NS = 5 * NS
"""Between two steps down where waiting costs pictures or parts."""
MOST_PATIENCE = 16
BATTERY_STEPS = {Level.LOW: 1, Level.CRITICAL: 2}


class Cause(Enum):
    """Why a camera steps down."""

    HEAT = "heat"
    ENCODER = "encoder"
    DISK = "disk"
    BATTERY = "battery"


@dataclass(frozen=True, slots=True)
class Strain:
    """What asks for less, now. `encoder`: pictures wait for it, or are dropped; `disk`: parts wait for it."""

    heat: Level = Level.NORMAL
    battery: Level = Level.NORMAL
    encoder: bool = False
    disk: bool = False

    def causes(self) -> tuple[Cause, ...]:
        told = {
            Cause.HEAT: self.heat is not Level.NORMAL,
            Cause.ENCODER: self.encoder,
            Cause.DISK: self.disk,
            Cause.BATTERY: self.battery is not Level.NORMAL,
        }
        return tuple(cause for cause, is_there in told.items() if is_there)

    @property
    def wait_ns(self) -> int | None:
        """How long to wait between two steps down for it; None where it asks for no more than `least`."""
        if self.encoder or self.disk or self.heat is Level.CRITICAL:
            return HURRY_NS
        return 0 if self.heat is not Level.NORMAL else None

    @property
    def least(self) -> int:
        """The step that a low battery wants at least: what it lacks, no step gives back."""
        return BATTERY_STEPS.get(self.battery, 0)


@dataclass(frozen=True, slots=True)
class Pace:
    """The highest step; between two steps down while it is hot; how long it must be calm before one up."""

    steps: int
    down_ns: int
    up_ns: int


@dataclass(frozen=True, slots=True)
class Footing:
    """On which step, since when, for which causes; since when nothing asks for more, and how often `up_ns` that has to
    last. `rose_ns` is when the last step up was.
    """

    step: int = 0
    moved_ns: int | None = None
    causes: tuple[Cause, ...] = ()
    calm_ns: int | None = None
    patience: int = 1
    rose_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Stance:
    """`rate` is where every cause has led, `size` where all but a disk have: its bytes are the bitrate's, whatever the
    size, so a smaller picture would win it nothing, and would end a recording for that.
    """

    rate: Footing = Footing()
    size: Footing = Footing()

    @property
    def lead(self) -> Footing:
        """The one further down, whose step the camera is on. Each has its own patience: either may be."""
        return max(self.rate, self.size, key=lambda footing: footing.step)

    def moves(self, before: Stance) -> list[tuple[Footing, Footing]]:
        """From where to where, of each that is not on the step that it was on."""
        both = ((before.rate, self.rate), (before.size, self.size))
        return [(was, now) for was, now in both if was.step != now.step]


def stand(at: Stance, strain: Strain, now_ns: int, pace: Pace) -> Stance:
    """As `follow`, of both."""
    return Stance(
        follow(at.rate, strain, now_ns, pace),
        follow(at.size, replace(strain, disk=False), now_ns, pace),
    )


def follow(at: Footing, strain: Strain, now_ns: int, pace: Pace) -> Footing:
    """Where to stand from now on: the step is the same, or one further down, or one further up."""
    least = min(strain.least, pace.steps)
    wait_ns = strain.wait_ns
    if at.step < least or (wait_ns is not None and at.step < pace.steps and _may_go_down(at, wait_ns, now_ns, pace)):
        return _down(at, strain, now_ns, pace)
    if wait_ns is not None or at.step <= least:
        calm_ns = None if wait_ns is not None or at.step else (now_ns if at.calm_ns is None else at.calm_ns)
        settled = calm_ns is not None and now_ns - calm_ns >= MOST_PATIENCE * pace.up_ns
        return replace(at, calm_ns=calm_ns, patience=1 if settled else at.patience)
    calm_ns = now_ns if at.calm_ns is None else at.calm_ns
    if now_ns - calm_ns < at.patience * pace.up_ns:
        return replace(at, calm_ns=calm_ns)
    return replace(at, step=at.step - 1, moved_ns=now_ns, calm_ns=now_ns, rose_ns=now_ns)


def _may_go_down(at: Footing, wait_ns: int, now_ns: int, pace: Pace) -> bool:
    """A cause that lasts has its step after a while; one that is new, at once."""
    if at.step == 0 or at.moved_ns is None:
        return True
    return now_ns - at.moved_ns >= (wait_ns or pace.down_ns)


def _down(at: Footing, strain: Strain, now_ns: int, pace: Pace) -> Footing:
    # Above the first step none down comes sooner than this after one up, however soon that had its cause again.
    soonest_ns = 0 if strain.wait_ns is None else strain.wait_ns or pace.down_ns
    holds_ns = max(at.patience * pace.up_ns, 2 * soonest_ns)
    did_not_hold = at.rose_ns is not None and now_ns - at.rose_ns < holds_ns
    return Footing(
        step=at.step + 1,
        moved_ns=now_ns,
        causes=strain.causes(),
        patience=min(MOST_PATIENCE, 2 * at.patience) if did_not_hold else at.patience,
    )
