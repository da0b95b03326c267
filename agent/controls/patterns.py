"""What the officer sees, feels and hears: the patterns, and which lights are on, a pure function of what the camera is,
of its profile, and of the time. What is felt and heard has turns: agent/controls/sounding.py.

The light for recording is a statement about durable bytes. It is lit while parts become durable, and at no other time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from agent.controls.machine import State
from agent.model import NS

MS = NS // 1000


class Strength(Enum):
    """Of the vibration: a strong one lasts twice as long."""

    OFF = "off"
    NORMAL = "normal"
    STRONG = "strong"


class Cue(Enum):
    """What answers a gesture, once."""

    HEARD = "heard"
    BEGUN = "begun"
    ENDED = "ended"
    ENDING = "ending"
    REFUSED = "refused"
    LATER = "later"
    DARK = "dark"
    LIT = "lit"


class Warn(Enum):
    """What the officer should know of, besides an alarm. In the order of their importance."""

    BATTERY_CRITICAL = "battery critical"
    RESTARTED = "restarted"
    STORAGE_5 = "storage 5 %"
    STUCK = "button stuck"
    CLOCK = "clock not set"
    MUTED = "muted"
    BATTERY_LOW = "battery low"
    STORAGE_10 = "storage 10 %"
    STORAGE_20 = "storage 20 %"
    HOT = "too hot"


class Delivery(Enum):
    """How far what a camera in the dock holds has got, as the second light says it."""

    WAITING = "waiting"
    SENDING = "sending"
    DONE = "done"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Beats:
    """Lengths in ms, on and off in turn, from its begin; again every `every_s`, or once."""

    ms: tuple[int, ...]
    every_s: int | None = None

    def length_ms(self, stretch: int = 1) -> int:
        return sum(ms * (stretch if number % 2 == 0 else 1) for number, ms in enumerate(self.ms))

    def at(self, since_ns: int, stretch: int = 1) -> bool | None:
        """On or off, so long after it began; None between two, and after the last."""
        if since_ns < 0:
            return None
        left = since_ns % (self.every_s * NS) if self.every_s else since_ns
        for number, ms in enumerate(self.ms):
            left -= ms * MS * (stretch if number % 2 == 0 else 1)
            if left < 0:
                return number % 2 == 0
        return None


@dataclass(frozen=True, slots=True)
class Look:
    """A profile's share: what there is, and how much of it."""

    light: bool = True
    tone: bool = True
    vibration: Strength = Strength.NORMAL
    reminder_s: int = 120


@dataclass(frozen=True, slots=True)
class Shown:
    """What there is to show. `state_ns`: since when; `durable`: parts become durable; `alarm_ns`: since when something
    is wrong that costs evidence; `begun_ns`: since when it records; `loading`: no lens was open yet. Cues are the last
    ones, with their instants.
    """

    state: State
    state_ns: int
    durable: bool = False
    alarm_ns: int | None = None
    begun_ns: int | None = None
    warnings: Mapping[Warn, int] = field(default_factory=dict)
    cues: tuple[tuple[Cue, int], ...] = ()
    stealth: bool = False
    delivery: Delivery = Delivery.WAITING
    loading: bool = False

    @property
    def is_worn(self) -> bool:
        """In the dock, and asleep, nobody wears it."""
        return self.state not in (State.DOCKED, State.SLEEPING)


@dataclass(frozen=True, slots=True)
class Levels:
    """What is on now. `status` is the second light, `buzz` the vibration. `alone`: as much of an alarm as may be shown
    where nobody comes to show anything else; None where nobody has looked: the guard is not fed then. `loading`: nobody
    may come for a while, since libraries are loaded.
    """

    light: bool = False
    status: bool = False
    buzz: bool = False
    tone: bool = False
    alone: Look | None = field(default=None, compare=False)
    loading: bool = field(default=False, compare=False)


ALARM = Beats((400, 150, 400, 150, 400), every_s=5)
REMINDER = (120, 180, 120)
CUES: Mapping[Cue, Beats] = {
    Cue.HEARD: Beats((60,)),
    Cue.BEGUN: Beats((250,)),
    Cue.ENDED: Beats((120, 120, 120, 120, 120)),
    # Begins as a recording does, since it still records.
    Cue.ENDING: Beats((250, 120, 60, 120, 60)),
    Cue.REFUSED: Beats((60, 60, 60, 60, 60, 60, 60)),
    # Ends as a recording begins.
    Cue.LATER: Beats((60, 60, 60, 60, 250)),
    # Going out, and coming up again: neither may feel like a recording that begins or ends.
    Cue.DARK: Beats((300, 120, 60)),
    Cue.LIT: Beats((60, 120, 300)),
}
WARNINGS: Mapping[Warn, Beats] = {
    Warn.BATTERY_CRITICAL: Beats((100, 100, 100, 100, 100, 100, 100), every_s=20),
    Warn.RESTARTED: Beats((600, 100, 100, 100, 100), every_s=20),
    Warn.STORAGE_5: Beats((300, 200, 300), every_s=60),
    Warn.STUCK: Beats((600,), every_s=20),
    Warn.CLOCK: Beats((80, 120, 80, 120, 80, 120, 80, 120, 80), every_s=120),
    Warn.MUTED: Beats((60, 100, 60), every_s=60),
    Warn.BATTERY_LOW: Beats((100, 100, 100, 100, 100, 100, 100), every_s=300),
    Warn.STORAGE_10: Beats((300, 200, 300), every_s=300),
    Warn.STORAGE_20: Beats((300,), every_s=600),
    Warn.HOT: Beats((600, 200, 200), every_s=60),
}
STATUS: Mapping[State, Beats | None] = {
    State.STARTING: Beats((500, 500), every_s=1),
    State.READY: Beats((100, 3900), every_s=4),
    State.RECORDING: None,
    State.MUTED: Beats((100, 150, 100, 1650), every_s=2),
    State.SLEEPING: None,
    State.DOCKED: Beats((2000, 2000), every_s=4),
    State.FAULT: Beats((100, 100, 100, 100, 100, 100, 100, 100, 100, 100), every_s=1),
}
"""Of the second light. An alarm shows as a fault does, and so does in the dock what keeps evidence from the station."""
DOCKED: Mapping[Delivery, Beats | None] = {
    Delivery.WAITING: STATUS[State.DOCKED],
    Delivery.SENDING: Beats((1600, 400), every_s=2),
    Delivery.DONE: Beats((1000,), every_s=1),
    Delivery.TROUBLE: STATUS[State.FAULT],
}


def levels(shown: Shown, look: Look, now_ns: int, sounds: tuple[bool, bool] = (False, False)) -> Levels:
    """What is on at `now_ns`; `sounds`: vibration and tone, as agent/controls/sounding.py has them."""
    quiet, (buzz, tone) = shown.stealth, sounds
    lit = look.light and not quiet
    worn = shown.is_worn
    alone = Look(lit, worn and look.tone and not quiet, look.vibration if worn else Strength.OFF, 0)
    return Levels(
        light=lit and shown.durable and shown.alarm_ns is None,
        status=lit and _status(shown, now_ns),
        buzz=buzz and look.vibration is not Strength.OFF,
        tone=tone and look.tone and not quiet,
        alone=alone,
        loading=shown.loading,
    )


def _status(shown: Shown, now_ns: int) -> bool:
    if shown.alarm_ns is not None:
        beats = STATUS[State.FAULT]
    else:
        beats = DOCKED[shown.delivery] if shown.state is State.DOCKED else STATUS[shown.state]
    since_ns = shown.state_ns if shown.alarm_ns is None else shown.alarm_ns
    return bool(beats and beats.at(now_ns - since_ns))
