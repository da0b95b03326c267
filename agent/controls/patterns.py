"""What the officer sees, feels and hears: the patterns, and which lights are on, a pure function of what the camera is,
of its profile, and of the time. What is felt and heard has turns: agent/controls/sounding.py.

The light for recording is a statement about durable bytes. It is lit while parts become durable, and at no other time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from agent.controls.machine import State
from agent.model import NS, Member

MS = NS // 1000


class Strength(Enum):
    """Of the vibration: a strong one lasts twice as long."""

    OFF = "off"
    NORMAL = "normal"
    STRONG = "strong"


class Cue(Member):
    """What answers a gesture, once."""

    HEARD = "heard"
    BEGUN = "begun"
    ENDED = "ended"
    ENDING = "ending"
    REFUSED = "refused"
    LATER = "later"
    DARK = "dark"
    LIT = "lit"


class Warn(Member):
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


FELT_ASLEEP = frozenset({Warn.BATTERY_CRITICAL})
"""What is felt of a camera that sleeps, too: it is about to switch off, and then no press wakes it."""


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

    def changes_ns(self, since_ns: int) -> int | None:
        """How long it stays as it is then; None: for good."""
        left = since_ns % (self.every_s * NS) if self.every_s else since_ns
        ends_ns = 0
        for ms in self.ms:
            ends_ns += ms * MS
            if left < ends_ns:
                return ends_ns - left
        return self.every_s * NS - left if self.every_s else None


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
    is wrong that costs evidence; `begun_ns`: since when it records; `loading`: no lens was open yet; `visits`: it is at
    the station, and no contact says so. Cues are the last ones, with their instants.
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
    visits: bool = False
    loading: bool = False

    @property
    def is_worn(self) -> bool:
        """In the dock, and asleep, nobody is to be told of what is wrong with it."""
        return self.state not in (State.DOCKED, State.SLEEPING)

    @property
    def felt(self) -> frozenset[Warn]:
        """The warnings that are to be felt and heard. Asleep it may hang on the body: it was the officer's own hand."""
        if not self.warnings:
            return frozenset()
        told = FELT_ASLEEP if self.state is State.SLEEPING else frozenset(Warn) if self.is_worn else frozenset()
        return told & self.warnings.keys()


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
_SIGNS = {"s": 100, "l": 300}
"""All that is felt is short and long beats, as far from one another as in Morse code, and no two things are alike."""
PAUSE_MS = 100


def _beats(signs: str, every_s: int | None = None) -> Beats:
    lengths = [ms for sign in signs for ms in (_SIGNS[sign], PAUSE_MS)]
    return Beats(tuple(lengths[:-1]), every_s)


REMINDER = _beats("ss").ms
CUES: Mapping[Cue, Beats] = {
    Cue.HEARD: _beats("s"),
    Cue.BEGUN: _beats("l"),
    Cue.ENDED: _beats("sss"),
    # Begins as a recording does, since it still records.
    Cue.ENDING: _beats("lss"),
    Cue.REFUSED: _beats("ssss"),
    # Ends as a recording begins.
    Cue.LATER: _beats("ssl"),
    # Going out, and coming up again: neither may feel like a recording that begins or ends.
    Cue.DARK: _beats("ls"),
    Cue.LIT: _beats("sl"),
}
WARNINGS: Mapping[Warn, Beats] = {
    Warn.BATTERY_CRITICAL: _beats("slsls", every_s=20),
    Warn.RESTARTED: _beats("lsl", every_s=20),
    # Two long ones are the storage; the fewer short ones, the more room.
    Warn.STORAGE_5: _beats("llsss", every_s=60),
    Warn.STUCK: _beats("lsls", every_s=20),
    Warn.CLOCK: _beats("sslss", every_s=120),
    Warn.MUTED: _beats("sll", every_s=60),
    Warn.BATTERY_LOW: _beats("sls", every_s=300),
    Warn.STORAGE_10: _beats("llss", every_s=300),
    Warn.STORAGE_20: _beats("lls", every_s=600),
    Warn.HOT: _beats("lssl", every_s=60),
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


def levels(shown: Shown, look: Look, now_ns: int, sounds: tuple[bool, bool]) -> Levels:
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


def status_changes_ns(shown: Shown, now_ns: int) -> int | None:
    """How long the second light stays as it is, if nothing else comes; None: for good."""
    beats, since_ns = _status_beats(shown)
    return beats.changes_ns(now_ns - since_ns) if beats else None


def _status(shown: Shown, now_ns: int) -> bool:
    beats, since_ns = _status_beats(shown)
    return bool(beats and beats.at(now_ns - since_ns))


def _status_beats(shown: Shown) -> tuple[Beats | None, int]:
    """What it shows, since when."""
    if shown.alarm_ns is not None:
        return STATUS[State.FAULT], shown.alarm_ns
    # Where no contact tells of the dock a press records in it too: that it would is shown but while it hands over.
    hands_over = shown.visits and shown.state is State.READY and shown.delivery is Delivery.SENDING
    docked = shown.state is State.DOCKED or hands_over
    return (DOCKED[shown.delivery] if docked else STATUS[shown.state]), shown.state_ns
