"""The controls' machine against a recorder that obeys, fails and loses its lens as it likes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from agent.controls.configured import bindings, timing
from agent.controls.gestures import Edge, Freed, Gesture, Gestured, Mode, Recogniser, Stuck, Timing
from agent.controls.machine import (
    ALLOWED,
    Action,
    Bindings,
    Contact,
    Deed,
    Effect,
    Event,
    Facts,
    Machine,
    State,
    Told,
    Triggered,
    step,
)
from tests import campaigns
from tests.controls.test_gesture_matrix import expected, gestures
from tests.test_profiles import NAMES

MS = 1_000_000
BINDINGS = Bindings(
    {Gesture.PRESS: Action.RECORD, Gesture.DOUBLE: Action.RECORD, Gesture.HOLD: Action.RECORD},
    {Gesture.PRESS: Action.MARK, Gesture.DOUBLE: Action.MUTE, Gesture.HOLD: Action.STOP},
)


def at(facts: Facts, bindings: Bindings = BINDINGS) -> Machine:
    return Machine(bindings, facts)


def after(machine: Machine, *events: Event) -> tuple[Machine, list[Effect]]:
    effects = list[Effect]()
    for event in events:
        machine, more = step(machine, event)
        effects += more
    return machine, effects


def deeds(effects: Sequence[Effect]) -> list[Deed]:
    return [effect.deed for effect in effects]


@pytest.mark.parametrize(
    ("facts", "state", "mode"),
    [
        (Facts(starting=True), State.STARTING, Mode.IDLE),
        (Facts(starting=True, wanted=True), State.STARTING, Mode.IDLE),
        (Facts(), State.READY, Mode.IDLE),
        (Facts(recording=True), State.RECORDING, Mode.RECORDING),
        (Facts(recording=True, ending=True), State.RECORDING, Mode.RECORDING),
        (Facts(recording=True, docked=True), State.RECORDING, Mode.RECORDING),
        (Facts(recording=True, muted=True), State.MUTED, Mode.RECORDING),
        (Facts(asleep=True), State.SLEEPING, Mode.ASLEEP),
        (Facts(docked=True), State.DOCKED, Mode.IDLE),
        (Facts(blocked=True), State.FAULT, Mode.IDLE),
        (Facts(blocked=True, wanted=True), State.FAULT, Mode.IDLE),
        (Facts(blocked=True, wanted=True, broke_off=True), State.FAULT, Mode.BROKEN_OFF),
        (Facts(starting=True, wanted=True, broke_off=True), State.STARTING, Mode.BROKEN_OFF),
        (Facts(opening=True), State.STARTING, Mode.IDLE),
        (Facts(opening=True, wanted=True), State.STARTING, Mode.IDLE),
        (Facts(opening=True, wanted=True, broke_off=True), State.STARTING, Mode.BROKEN_OFF),
        (Facts(opening=True, blocked=True), State.FAULT, Mode.IDLE),
        (Facts(opening=True, docked=True), State.DOCKED, Mode.IDLE),
        (Facts(opening=True, asleep=True), State.SLEEPING, Mode.ASLEEP),
        (Facts(wanted=True), State.STARTING, Mode.IDLE),
        (Facts(wanted=True, broke_off=True), State.FAULT, Mode.BROKEN_OFF),
        (Facts(docked=True, wanted=True), State.DOCKED, Mode.IDLE),
    ],
)
def test_every_state_of_the_camera(facts: Facts, state: State, mode: Mode) -> None:
    assert (at(facts).state, at(facts).mode) == (state, mode)


@pytest.mark.parametrize("facts", [Facts(), Facts(starting=True), Facts(docked=True), Facts(blocked=True)])
@pytest.mark.parametrize("gesture", [Gesture.PRESS, Gesture.DOUBLE, Gesture.HOLD])
def test_whatever_the_hand_does_to_an_idle_camera_records_from_the_instant_it_began(
    facts: Facts, gesture: Gesture
) -> None:
    machine, effects = after(at(facts), Gestured(gesture, 7, Mode.IDLE))
    assert effects == [Effect(Deed.RECORD, 7, "button")]
    assert machine.facts.wanted


def test_one_press_of_a_sleeping_camera_wakes_it_and_records() -> None:
    machine, effects = after(at(Facts(asleep=True)), Gestured(Gesture.LONG, 7, Mode.ASLEEP))
    assert deeds(effects) == [Deed.WAKE, Deed.RECORD]
    assert (machine.state, machine.mode) == (State.STARTING, Mode.RECORDING), "it is shown as recording once it records"


def test_the_second_of_two_quick_gestures_means_what_the_hand_meant() -> None:
    """The recorder has not answered yet."""
    machine, effects = after(at(Facts()), Gestured(Gesture.PRESS, 7, Mode.IDLE))
    machine, more = after(machine, Gestured(Gesture.PRESS, 9, machine.mode), Gestured(Gesture.DOUBLE, 11, machine.mode))
    machine, last = after(machine, Gestured(Gesture.DOUBLE, 13, machine.mode), Gestured(Gesture.HOLD, 15, machine.mode))
    assert deeds([*effects, *more, *last]) == [Deed.RECORD, Deed.MARK, Deed.MUTE, Deed.UNMUTE, Deed.STOP]
    assert machine.state is State.READY


def test_the_dock_ends_it_and_says_so_once() -> None:
    machine, effects = after(at(Facts(recording=True)), Contact(True, 5), Contact(True, 6), Contact(False, 9))
    assert effects == [Effect(Deed.DOCK, 5, "dock"), Effect(Deed.UNDOCK, 9, "dock")]
    assert machine.state is State.READY


def test_a_trigger_records_and_marks_what_is_recorded_already() -> None:
    machine, effects = after(at(Facts(asleep=True)), Triggered("holster", 3))
    assert effects == [Effect(Deed.WAKE, 3, "holster"), Effect(Deed.RECORD, 3, "holster")]
    machine, effects = after(machine, Told(Facts(recording=True)), Triggered("siren", 4))
    assert effects == [Effect(Deed.MARK, 4, "siren")]


def test_a_stuck_button_is_a_fault_and_no_recording() -> None:
    machine, effects = after(at(Facts()), Stuck(4))
    assert (machine.state, deeds(effects)) == (State.FAULT, [Deed.STUCK])
    machine, effects = after(machine, Freed(9))
    assert (machine.state, deeds(effects)) == (State.READY, [Deed.FREED])


ACTIONS = {mode: st.sampled_from(actions) for mode, actions in ALLOWED.items()}
ANY_BINDINGS = st.builds(
    Bindings,
    st.fixed_dictionaries(dict.fromkeys(Gesture, ACTIONS[Mode.IDLE])),
    st.fixed_dictionaries(dict.fromkeys(Gesture, ACTIONS[Mode.RECORDING])),
    ACTIONS[Mode.ASLEEP],
)
TIMING = Timing(20 * MS, 400 * MS, 1_500 * MS, 5_000 * MS, 10_000 * MS)


@given(ANY_BINDINGS, st.sampled_from([Facts(), Facts(recording=True), Facts(asleep=True)]))
def test_a_button_that_is_stuck_does_nothing_however_it_is_bound(bindings: Bindings, facts: Facts) -> None:
    """It begins no recording, ends none, and puts nothing to sleep."""
    machine = at(facts, bindings)
    found = Recogniser(TIMING).feed(30_000 * MS, [Edge(MS, True)], machine.habits)
    _, effects = after(machine, *found)
    assert set(deeds(effects)) <= {Deed.FELT, Deed.STUCK}
    assert deeds(effects)[-1] is Deed.STUCK


# -- any gestures, faults and time ---------------------------------------------------------------------------------


@dataclass
class Recorder:
    """As simple as can be. It may be slow: what is asked waits in `queue`."""

    facts: Facts = field(default_factory=lambda: Facts(starting=True))
    queue: list[Effect] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def work(self) -> None:
        for effect in self.queue:
            f = self.facts
            if effect.deed is Deed.RECORD and not f.recording:
                self.facts = replace(f, wanted=True)
                self.starts.append(effect.mono_ns)
            elif effect.deed in (Deed.STOP, Deed.DOCK):
                docked = effect.deed is Deed.DOCK
                self.facts = replace(f, recording=False, wanted=False, broke_off=False, muted=False, docked=docked)
            elif effect.deed is Deed.UNDOCK:
                self.facts = replace(f, docked=False)
            elif effect.deed in (Deed.MUTE, Deed.UNMUTE) and (f.recording or f.wanted):
                self.facts = replace(f, muted=effect.deed is Deed.MUTE)
            elif effect.deed is Deed.WAKE or (
                effect.deed is Deed.SLEEP and not (f.starting or f.recording or f.wanted)
            ):
                self.facts = replace(f, asleep=effect.deed is Deed.SLEEP)
            self._begin()
        self.queue.clear()
        self._begin()

    def _begin(self) -> None:
        f = self.facts
        if f.wanted and not (f.starting or f.blocked or f.asleep):
            self.facts = replace(f, recording=True, wanted=False, broke_off=False)

    def lose(self) -> None:
        f = self.facts
        broke_off = f.broke_off or f.recording
        self.facts = replace(f, blocked=True, wanted=f.wanted or f.recording, broke_off=broke_off, recording=False)


class AnyDay(RuleBasedStateMachine):
    """One finger on the button of a profile's camera, faults and time as they come; the recorder's turn comes late, or
    at once.
    """

    profile = "default"

    def __init__(self) -> None:
        super().__init__()
        config = gestures(self.profile)
        self.recogniser, self.machine, self.recorder = Recogniser(timing(config)), Machine(bindings(config)), Recorder()
        self.stuck_ms = config.stuck_s * 1_000
        self.now_ms, self.down = 1_000, False
        self.wanted_since: list[int] = []
        self.down_since = 0
        self.series = list[Deed]()

    def feed(self, edges: Sequence[Edge] = ()) -> None:
        for found in self.recogniser.feed(self.now_ms * MS, edges, self.machine.habits):
            before = self.machine
            self.machine, effects = step(self.machine, found)
            self.check(before, found, effects)
            self.recorder.queue += effects

    def check(self, before: Machine, found: Event, effects: Sequence[Effect]) -> None:
        assert all(effect.mono_ns <= self.now_ms * MS for effect in effects)
        assert before.bindings is self.machine.bindings
        if not isinstance(found, Gestured):
            assert set(deeds(effects)) <= {Deed.FELT, Deed.STUCK, Deed.FREED}
            return
        self.series += deeds(effects)
        facts, did = before.facts, " ".join(deed.value for deed in deeds(effects))
        if found.after_ns is not None and found.after_ns == before.row_ns and (facts.recording or facts.wanted):
            assert did in (("mark", "record") if before.whole else ("",)), "the second of two that record"
            return
        mode = found.mode
        # What the hand began in has ended meanwhile, and does not go on by itself.
        over = mode is Mode.RECORDING and not facts.docked and before.mode is not Mode.RECORDING
        over = over and not (facts.wanted and facts.broke_off)
        meant = Facts(recording=mode is Mode.RECORDING, asleep=mode is Mode.ASLEEP, muted=facts.muted, ending=over)
        told = "mute" if found.gesture is Gesture.DOUBLE and self.profile == "plainclothes" else None
        if mode in (Mode.RECORDING, Mode.BROKEN_OFF) and found.gesture is Gesture.DOUBLE:
            assert did == ("unmute" if facts.muted else told)
        elif did.endswith("record"):
            assert expected(self.profile, meant, found.gesture.value).endswith("record")
            assert did == ("wake record" if facts.asleep else "record")
        else:
            assert did == expected(self.profile, meant, found.gesture.value)

    @rule(ms=st.integers(1, 12_000))
    def wait(self, ms: int) -> None:
        self.now_ms += ms
        self.feed()

    @rule(ms=st.one_of(st.integers(30, 400), st.integers(30, 10_000)), gap=st.integers(30, 900))
    @precondition(lambda self: not self.down)
    def press(self, ms: int, gap: int) -> None:
        begin = (self.now_ms + gap) * MS
        self.now_ms += gap + ms
        self.feed([Edge(begin, True), Edge(self.now_ms * MS, False)])

    @rule(presses=st.integers(2, 7), ms=st.integers(30, 250), gap=st.integers(30, 380), asleep=st.booleans())
    @precondition(lambda self: not self.down)
    def press_again_and_again(self, presses: int, ms: int, gap: int, asleep: bool) -> None:
        """Who is unsure whether a camera that waits, or sleeps, records now keeps the sound, and the recording."""
        self.wait(1_000)
        self.recorder.work()
        self.recorder.facts = Facts(asleep=asleep)
        self.machine, _ = step(self.machine, Told(self.recorder.facts))
        self.series.clear()
        for _ in range(presses):
            for down, wait_ms in ((True, gap), (False, ms)):
                self.now_ms += wait_ms
                self.feed([Edge(self.now_ms * MS, down)])
        self.wait(1_000)
        assert Deed.RECORD in self.series and set(self.series) <= {Deed.WAKE, Deed.RECORD, Deed.MARK}

    @rule()
    def lean(self) -> None:
        """Something presses it, or lets go of it."""
        self.down = not self.down
        self.feed([Edge(self.now_ms * MS, self.down)])

    @rule()
    def recorder_acts(self) -> None:
        self.recorder.work()
        self.machine, effects = step(self.machine, Told(self.recorder.facts))
        assert effects == ()

    @rule()
    @precondition(lambda self: self.recorder.facts.starting)
    def started(self) -> None:
        self.recorder.facts = replace(self.recorder.facts, starting=False)

    @rule(lens=st.booleans())
    def lens(self, lens: bool) -> None:
        self.recorder.facts = replace(self.recorder.facts, blocked=False) if lens else self.recorder.facts
        if not lens:
            self.recorder.lose()

    @rule(docked=st.booleans())
    def dock(self, docked: bool) -> None:
        self.machine, effects = step(self.machine, Contact(docked, self.now_ms * MS))
        self.recorder.queue += effects

    @rule()
    def trigger(self) -> None:
        self.machine, effects = step(self.machine, Triggered("holster", self.now_ms * MS))
        assert effects[-1].deed in (Deed.RECORD, Deed.MARK)
        self.recorder.queue += effects

    @invariant()
    def both_agree_once_all_is_done(self) -> None:
        """What the machine expects is what comes of it, where nothing fails meanwhile."""
        if self.recorder.queue or self.machine.facts != self.recorder.facts:
            return
        f = self.recorder.facts
        assert (self.machine.state in (State.RECORDING, State.MUTED)) == f.recording, "nothing else is shown as that"
        assert self.machine.stuck == (self.machine.state is State.FAULT) or f != Facts()

    def teardown(self) -> None:
        """A press, once everything works and the button is free, records from its instant."""
        self.down = False
        self.now_ms += self.stuck_ms
        self.feed([Edge((self.now_ms - 9_000) * MS, False)])
        self.recorder.facts = replace(self.recorder.facts, starting=False, blocked=False)
        self.recorder.work()
        self.machine, _ = step(self.machine, Told(self.recorder.facts))
        assert not self.machine.stuck
        if self.recorder.facts.recording:
            return
        begin = self.now_ms * MS
        self.now_ms += 2_000
        self.feed([Edge(begin, True), Edge(begin + 100 * MS, False)])
        self.recorder.work()
        assert self.recorder.facts.recording and self.recorder.starts[-1] == begin


@pytest.mark.wide
@pytest.mark.parametrize("profile", NAMES)
def test_any_day_of_a_camera(profile: str) -> None:
    day = type(profile, (AnyDay,), {"profile": profile})
    run_state_machine_as_test(day, settings=settings(max_examples=campaigns.size(sample=10, full=600), deadline=None))


@pytest.mark.parametrize("mode", [Mode.IDLE, Mode.RECORDING, Mode.ASLEEP])
@pytest.mark.parametrize(
    ("gesture", "ms"),
    [(Gesture.DOUBLE, (100, 200, 350, 450)), (Gesture.LONG, (100, 6_500)), (Gesture.HOLD, (100, 1_800))],
)
@pytest.mark.parametrize("recording", [{}, {Gesture.DOUBLE: Action.MUTE, Gesture.LONG: Action.STEALTH}])
def test_what_a_command_does_for_a_hand_is_what_the_hand_would_have_done(
    recording: dict[Gesture, Action], gesture: Gesture, ms: tuple[int, ...], mode: Mode
) -> None:
    idle = {Gesture.PRESS: Action.RECORD, Gesture.HOLD: Action.RECORD}
    bindings = Bindings(idle, {Gesture.PRESS: Action.MARK, Gesture.HOLD: Action.STOP, **recording})
    timing = Timing(20 * MS, 400 * MS, 1_500 * MS, 5_000 * MS, 10_000 * MS)
    edges = [Edge(at_ms * MS, number % 2 == 0) for number, at_ms in enumerate(ms)]
    found = Recogniser(timing).feed(60_000 * MS, edges, bindings.habits(mode))
    assert tuple(f.gesture for f in found if isinstance(f, Gestured)) == bindings.by_hand(mode, gesture)


def test_two_quick_presses_record_and_mark_nothing() -> None:
    machine, effects = after(at(Facts()), Gestured(Gesture.PRESS, 7, Mode.IDLE))
    for mode in (Mode.IDLE, Mode.RECORDING):
        second, nothing = step(machine, Gestured(Gesture.PRESS, 9, mode, after_ns=7))
        assert (second.facts, nothing) == (machine.facts, ()), "it was seen late, or at once"
    _, third = step(second, Gestured(Gesture.PRESS, 11, Mode.RECORDING, after_ns=9))
    assert deeds([*effects, *third]) == [Deed.RECORD, Deed.MARK]
    refused, _ = step(machine, Told(Facts()))
    assert deeds(step(refused, Gestured(Gesture.PRESS, 9, Mode.IDLE, after_ns=7))[1]) == [Deed.RECORD], (
        "it was not done"
    )


def test_two_more_quick_presses_are_no_double_press_of_their_own() -> None:
    machine, effects = after(at(Facts()), Gestured(Gesture.PRESS, 7, Mode.IDLE))
    double, nothing = step(machine, Gestured(Gesture.DOUBLE, 9, Mode.RECORDING, after_ns=7))
    assert (double.facts, nothing) == (machine.facts, ())
    _, row = step(double, Gestured(Gesture.DOUBLE, 11, Mode.RECORDING, after_ns=9))
    assert deeds(row) == [Deed.MARK]
    _, own = step(machine, Gestured(Gesture.DOUBLE, 9, Mode.RECORDING))
    assert deeds([*effects, *own]) == [Deed.RECORD, Deed.MUTE]


def test_what_is_pressed_right_after_a_hold_that_records_confirms_or_marks() -> None:
    machine, _ = after(at(Facts()), Gestured(Gesture.HOLD, 7, Mode.IDLE))
    for gesture, mode, deed in (
        (Gesture.DOUBLE, Mode.RECORDING, Deed.MARK),
        (Gesture.PRESS, Mode.RECORDING, Deed.MARK),
        (Gesture.PRESS, Mode.IDLE, Deed.RECORD),
        (Gesture.DOUBLE, Mode.BROKEN_OFF, Deed.RECORD),
    ):
        assert deeds(step(machine, Gestured(gesture, 9, mode, after_ns=7))[1]) == [deed]
    toggles = Bindings({Gesture.HOLD: Action.RECORD}, {Gesture.PRESS: Action.STOP, Gesture.DOUBLE: Action.MUTE})
    machine, _ = after(at(Facts(), toggles), Gestured(Gesture.HOLD, 7, Mode.IDLE))
    for gesture in (Gesture.PRESS, Gesture.DOUBLE):
        row, heard = step(machine, Gestured(gesture, 9, Mode.RECORDING, after_ns=7))
        assert (row.facts, deeds(heard)) == (machine.facts, [Deed.FELT]), "an officer presses again what is not heard"
    assert step(machine, Gestured(Gesture.LONG, 9, Mode.RECORDING, after_ns=7))[1] == (), "it has no meaning"


BROKE_OFF = Facts(wanted=True, broke_off=True, blocked=True)


@pytest.mark.parametrize("gesture", [Gesture.PRESS, Gesture.HOLD])
def test_no_hand_ends_or_marks_what_broke_off_it_confirms_it(gesture: Gesture) -> None:
    machine = at(BROKE_OFF)
    machine, effects = after(machine, Gestured(gesture, 7, machine.mode))
    assert effects == [Effect(Deed.RECORD, 7, "button")] and machine.facts.wanted


def test_what_takes_itself_back_does_in_what_broke_off_what_it_does_while_it_records() -> None:
    idle = {Gesture.PRESS: Action.RECORD, Gesture.DOUBLE: Action.RECORD, Gesture.LONG: Action.SLEEP}
    recording = {Gesture.PRESS: Action.MARK, Gesture.DOUBLE: Action.MUTE, Gesture.LONG: Action.STEALTH}
    machine = at(BROKE_OFF, Bindings(idle, recording))
    assert machine.habits.double and machine.habits.long
    events = [Gestured(g, 7, machine.mode) for g in (Gesture.DOUBLE, Gesture.DOUBLE, Gesture.LONG)]
    machine, effects = after(machine, *events)
    assert deeds(effects) == [Deed.MUTE, Deed.UNMUTE, Deed.STEALTH] and machine.facts == BROKE_OFF


ENDING = Facts(recording=True, ending=True)
UNMARKED = [Action.NONE, Action.STOP, Action.MUTE, Action.TELL, Action.STEALTH]


@pytest.mark.parametrize("press", UNMARKED)
def test_where_no_gesture_marks_a_press_in_the_last_seconds_goes_on(press: Action) -> None:
    """Whatever it does else, and nothing else does."""
    bindings = Bindings({}, {Gesture.PRESS: press, Gesture.DOUBLE: Action.MUTE, Gesture.HOLD: Action.STOP})
    machine, effects = after(at(ENDING, bindings), Gestured(Gesture.PRESS, 7, Mode.RECORDING))
    assert effects == [Effect(Deed.RECORD, 7, "button")] and not machine.facts.ending
    for gesture, deed in ((Gesture.DOUBLE, Deed.MUTE), (Gesture.HOLD, Deed.STOP)):
        assert deeds(after(at(ENDING, bindings), Gestured(gesture, 7, Mode.RECORDING))[1]) == [deed]


def test_where_another_gesture_marks_a_press_does_in_the_last_seconds_what_it_does_else() -> None:
    bindings = Bindings({}, {Gesture.PRESS: Action.MUTE, Gesture.HOLD: Action.MARK})
    presses = Gestured(Gesture.PRESS, 7, Mode.RECORDING), Gestured(Gesture.HOLD, 9, Mode.RECORDING)
    assert deeds(after(at(ENDING, bindings), *presses)[1]) == [Deed.MUTE, Deed.RECORD]


@pytest.mark.parametrize("press", [Action.MARK, *UNMARKED])
def test_a_press_that_was_still_down_when_the_recording_ended_begins_the_next_from_its_instant(press: Action) -> None:
    """But not one that would have stopped it, nor one that the dock ended."""
    bindings = Bindings({}, {Gesture.PRESS: press})
    pressed = Gestured(Gesture.PRESS, 7, Mode.RECORDING)
    begins = [] if press is Action.STOP else [Effect(Deed.RECORD, 7, "button")]
    told = after(at(Facts(), bindings), pressed)[1]
    assert told == begins or (press is Action.STOP and deeds(told) == [Deed.STOP])
    assert Deed.RECORD not in deeds(after(at(Facts(docked=True), bindings), pressed)[1])
