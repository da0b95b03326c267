"""What the camera does about a gesture, a dock contact, a trigger: a pure machine, state + event -> state + effects.

Whether something is being recorded, the recorder alone knows: it tells `Facts`, and the machine never argues. Between
an effect and the facts that follow it, the machine expects what was asked for, so that two quick gestures mean what the
hand meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agent.controls.gestures import Freed, Gesture, Gestured, Habits, Mode, Reached, Stuck
from agent.model import Member


class State(Member):
    """What the officer is shown."""

    STARTING = "starting"
    READY = "ready"
    RECORDING = "recording"
    MUTED = "muted"
    SLEEPING = "sleeping"
    DOCKED = "docked"
    FAULT = "fault"


class Action(Member):
    """What a gesture may be bound to. MUTE and STEALTH take themselves back."""

    NONE = "none"
    RECORD = "record"
    STOP = "stop"
    MARK = "mark"
    MUTE = "mute"
    SLEEP = "sleep"
    WAKE = "wake"
    TELL = "tell"
    STEALTH = "stealth"


ALLOWED: Mapping[Mode, tuple[Action, ...]] = {
    Mode.IDLE: (Action.NONE, Action.RECORD, Action.SLEEP, Action.TELL, Action.STEALTH),
    Mode.RECORDING: (Action.NONE, Action.STOP, Action.MARK, Action.MUTE, Action.TELL, Action.STEALTH),
    Mode.ASLEEP: (Action.RECORD, Action.WAKE),
}
"""What makes sense in each mode; one press of a camera that sleeps always wakes it. For what broke off nothing is bound
of its own.
"""
TAKES_ITSELF_BACK = (Action.MUTE, Action.STEALTH)


@dataclass(frozen=True, slots=True)
class Bindings:
    """What each gesture does in each mode; what is not named does nothing. Asleep, all gestures do the same. Where a
    recording broke off only what takes itself back is done as while it records: no hand ends what it cannot see.
    """

    idle: Mapping[Gesture, Action]
    recording: Mapping[Gesture, Action]
    asleep: Action = Action.RECORD

    def action(self, mode: Mode, gesture: Gesture) -> Action:
        if mode is Mode.ASLEEP:
            return self.asleep
        recording = self.recording.get(gesture, Action.NONE)
        if mode is Mode.RECORDING or (mode is Mode.BROKEN_OFF and recording in TAKES_ITSELF_BACK):
            return recording
        return self.idle.get(gesture, Action.NONE)

    @property
    def marks(self) -> bool:
        """Whether any gesture does."""
        return Action.MARK in self.recording.values()

    def habits(self, mode: Mode) -> Habits:
        """What the recogniser has to listen for."""
        double, hold, long = (self.action(mode, g) for g in (Gesture.DOUBLE, Gesture.HOLD, Gesture.LONG))
        if mode is Mode.ASLEEP:
            return Habits(mode)
        differs = double is not self.action(mode, Gesture.PRESS) and double is not Action.NONE
        return Habits(mode, differs, long not in (Action.NONE, hold))

    def by_hand(self, mode: Mode, gesture: Gesture) -> tuple[Gesture, ...]:
        """What the recogniser makes of a hand that does this: where nobody listens for a double press it is two, and a
        long hold is a hold.
        """
        habits = self.habits(mode)
        if gesture is Gesture.DOUBLE and not habits.double:
            return Gesture.PRESS, Gesture.PRESS
        return (Gesture.HOLD,) if gesture is Gesture.LONG and not habits.long else (gesture,)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the recorder says that it is. `opening`: no lens is open yet; `wanted`: a recording begins by itself as soon
    as it can, `broke_off`: since another did; `ending`: it was stopped, and is in its last seconds; `blocked`: a press
    would not record now.
    """

    starting: bool = False
    opening: bool = False
    recording: bool = False
    wanted: bool = False
    broke_off: bool = False
    ending: bool = False
    muted: bool = False
    asleep: bool = False
    docked: bool = False
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """The recorder's word, once it has done all that was asked of it."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class Contact:
    """The dock's contact closed or opened at this instant."""

    docked: bool
    mono_ns: int


@dataclass(frozen=True, slots=True)
class Triggered:
    """A holster, a vehicle, a command: something that is no button wants a recording."""

    name: str
    mono_ns: int


@dataclass(frozen=True, slots=True)
class Owed:
    """As `Triggered`, or a press of the button: the life before this one ended before it had done it."""

    name: str
    mono_ns: int


class Deed(Member):
    """What the recorder, or the panel, is to do."""

    RECORD = "record"
    STOP = "stop"
    MARK = "mark"
    MUTE = "mute"
    UNMUTE = "unmute"
    SLEEP = "sleep"
    WAKE = "wake"
    DOCK = "dock"
    UNDOCK = "undock"
    STUCK = "stuck"
    FREED = "freed"
    FELT = "felt"
    TELL = "tell"
    STEALTH = "stealth"


@dataclass(frozen=True, slots=True)
class Effect:
    """`mono_ns` is when the hand began, not when it was understood."""

    deed: Deed
    mono_ns: int
    reason: str


Event = Gestured | Reached | Stuck | Freed | Told | Contact | Triggered | Owed
BUTTON = "button"
_DEEDS = {
    Action.RECORD: Deed.RECORD,
    Action.STOP: Deed.STOP,
    Action.MARK: Deed.MARK,
    Action.SLEEP: Deed.SLEEP,
    Action.WAKE: Deed.WAKE,
    Action.TELL: Deed.TELL,
    Action.STEALTH: Deed.STEALTH,
}


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the camera stands, as its controls see it. `row_ns`: when the gesture began that last asked to record, or
    the last of those that came quickly one after another behind it; `whole`: what comes quickly now is no second part
    of that one, since it was a hold, or has its second. `asked`: somebody asked for a recording, and the recorder has
    not said yet what came of it.
    """

    bindings: Bindings
    facts: Facts = field(default_factory=lambda: Facts(starting=True))
    stuck: bool = False
    row_ns: int | None = None
    whole: bool = False
    asked: bool = False

    @property
    def state(self) -> State:
        """Nothing that is only wanted is shown as recorded: what is to begin is shown as starting, what broke off and
        waits as a fault.
        """
        f = self.facts
        if f.recording:
            return State.MUTED if f.muted else State.RECORDING
        if f.starting:
            return State.STARTING
        if f.docked:
            return State.DOCKED
        if f.asleep:
            return State.SLEEPING
        if f.blocked or self.stuck:
            return State.FAULT
        if f.opening or (f.wanted and (self.asked or not f.broke_off)):
            return State.STARTING
        return State.FAULT if f.wanted else State.READY

    @property
    def mode(self) -> Mode:
        """Where nobody can see that it will record, while it starts, waits or cannot, no gesture takes that back. What
        was asked of a camera that is ready counts as there: the next gesture means that. In its last seconds it still
        records: another stop ends it at once.
        """
        f = self.facts
        begins = f.wanted and self.asked and not (f.starting or f.opening or f.blocked or f.docked)
        if f.recording or begins:
            return Mode.RECORDING
        if f.wanted and f.broke_off:
            return Mode.BROKEN_OFF
        return Mode.ASLEEP if f.asleep else Mode.IDLE

    @property
    def habits(self) -> Habits:
        return self.bindings.habits(self.mode)

    @property
    def lights_by_hand(self) -> bool:
        """Whether a gesture takes stealth back now; asleep none does."""
        return any(self.bindings.action(self.mode, gesture) is Action.STEALTH for gesture in Gesture)


def step(machine: Machine, event: Event) -> tuple[Machine, tuple[Effect, ...]]:
    """What follows from one event."""
    if isinstance(event, Told):
        same = machine.facts == event.facts and not machine.asked
        return machine if same else replace(machine, facts=event.facts, asked=False), ()
    if isinstance(event, Reached):
        bound = machine.bindings.action(machine.mode, event.gesture) is not Action.NONE
        return machine, (Effect(Deed.FELT, event.mono_ns, BUTTON),) if bound else ()
    if isinstance(event, Stuck):
        return replace(machine, stuck=True), (Effect(Deed.STUCK, event.mono_ns, BUTTON),)
    if isinstance(event, Freed):
        return replace(machine, stuck=False), (Effect(Deed.FREED, event.mono_ns, BUTTON),)
    if isinstance(event, Contact):
        return _contact(machine, event)
    if isinstance(event, Triggered):
        if machine.facts.recording and not machine.facts.ending:
            return machine, (Effect(Deed.MARK, event.mono_ns, event.name),)
        return _record(machine, event.mono_ns, event.name)
    if isinstance(event, Owed):
        return _record(machine, event.mono_ns, event.name)
    return _gesture(machine, event)


def _gesture(machine: Machine, event: Gestured) -> tuple[Machine, tuple[Effect, ...]]:
    action = machine.bindings.action(event.mode, event.gesture)
    records = machine.facts.recording or machine.facts.wanted
    whole = event.gesture in (Gesture.HOLD, Gesture.LONG)
    if event.after_ns is not None and event.after_ns == machine.row_ns and records:
        harmless = _right_after(machine, event.mode, action)
        heard = machine.whole and action is not Action.NONE
        machine, whole = replace(machine, row_ns=event.mono_ns, whole=True), True
        if harmless is None:
            return machine, (Effect(Deed.FELT, event.mono_ns, BUTTON),) if heard else ()
        action = harmless
    if action is Action.RECORD or _goes_on(machine, event, action):
        return _record(replace(machine, row_ns=event.mono_ns, whole=whole), event.mono_ns, BUTTON)
    if action is Action.NONE:
        return machine, ()
    facts = machine.facts
    if action is Action.MUTE:
        deed = Deed.UNMUTE if facts.muted else Deed.MUTE
        facts = replace(facts, muted=not facts.muted)
    else:
        deed = _DEEDS[action]
    if action is Action.STOP:
        facts = replace(facts, recording=False, wanted=False, muted=False)
    elif action in (Action.SLEEP, Action.WAKE):
        facts = replace(facts, asleep=action is Action.SLEEP)
    return replace(machine, facts=facts), (Effect(deed, event.mono_ns, f"{BUTTON}: {event.gesture.value}"),)


def _right_after(machine: Machine, mode: Mode, action: Action) -> Action | None:
    """What of it is done in the row of quick gestures behind one that records. Who presses twice to record, or again
    and again since unsure, wants no more than that: no mute. A hold takes its time, and two are a double press, so what
    is pressed after them is no part of them: it marks, or confirms; where it can do neither it is felt, and no more.
    """
    press = machine.bindings.action(mode, Gesture.PRESS)
    return next((one for one in (action, press) if machine.whole and one in (Action.RECORD, Action.MARK)), None)


def _goes_on(machine: Machine, event: Gestured, action: Action) -> bool:
    """Whoever marks what is in its last seconds has seen something, and wants it to go on, or the next one where they
    are over meanwhile; with no gesture that marks, whoever presses. What broke off goes on by itself: a mark is one in
    that.
    """
    if event.mode is not Mode.RECORDING:
        return False
    unmarked = event.gesture is Gesture.PRESS and not machine.bindings.marks
    if machine.facts.ending:
        return action is Action.MARK or unmarked
    over = machine.mode is not Mode.RECORDING and not machine.facts.docked
    if action is Action.MARK:
        return over and not (machine.facts.wanted and machine.facts.broke_off)
    return over and unmarked and action is not Action.STOP


def _record(machine: Machine, mono_ns: int, reason: str) -> tuple[Machine, tuple[Effect, ...]]:
    waking = (Effect(Deed.WAKE, mono_ns, reason),) if machine.facts.asleep else ()
    facts = replace(machine.facts, asleep=False, wanted=True, ending=False)
    return replace(machine, facts=facts, asked=True), (*waking, Effect(Deed.RECORD, mono_ns, reason))


def _contact(machine: Machine, event: Contact) -> tuple[Machine, tuple[Effect, ...]]:
    if event.docked == machine.facts.docked:
        return machine, ()
    ended = {"recording": False, "wanted": False, "muted": False} if event.docked else {}
    facts = replace(machine.facts, docked=event.docked, **ended)
    return replace(machine, facts=facts), (Effect(Deed.DOCK if event.docked else Deed.UNDOCK, event.mono_ns, "dock"),)
