"""One thing is felt at a time, and whole; and nothing that is so hides anything else that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.controls.machine import State
from agent.controls.patterns import WARNINGS, Cue, Look, Shown, Strength, Warn
from agent.controls.sounding import (
    BREAK_NS,
    REST_NS,
    STALE_NS,
    Other,
    Sign,
    Sounding,
    beats_of,
    follow,
    stretch,
    takes_ns,
)
from agent.controls.vigil import LIMIT_NS
from agent.model import NS
from agent.signals import CUES_KEPT

MS = 1_000_000
LOOKS = [Look(), Look(light=False, tone=False), Look(vibration=Strength.STRONG)]


def through(shown: Shown, look: Look, seconds: float) -> Iterator[Sounding]:
    """Each thing that begins, from the instant at which it does; looked at whenever something may change."""
    now_ns, sounding = 0, Sounding()
    while now_ns <= seconds * NS:
        before, sounding = sounding, follow(sounding, shown, look, now_ns)
        if sounding.sign is not None and (before.sign is None or sounding.since_ns != before.since_ns):
            yield sounding
        coming = [*sounding.due.values(), sounding.over_ns, *(at_ns for _, at_ns in shown.cues)]
        now_ns = min((at_ns for at_ns in coming if at_ns > now_ns), default=now_ns + NS)


def whole(shown: Shown, look: Look, seconds: float) -> dict[Sign, list[int]]:
    """When each thing began that came to its end."""
    found: dict[Sign, list[int]] = {}
    for this, then in pairwise(through(shown, look, seconds)):
        assert this.sign is not None
        if then.since_ns >= this.over_ns - REST_NS + BREAK_NS:
            found.setdefault(this.sign, []).append(this.since_ns)
    return found


WARNED = st.dictionaries(st.sampled_from(Warn), st.integers(0, 3 * NS), min_size=1)
HANDS = st.lists(st.tuples(st.sampled_from(Cue), st.integers(0, 600 * NS)), max_size=4, unique_by=lambda cue: cue[1])


@given(WARNED, st.sampled_from(LOOKS), st.booleans(), st.booleans())
@settings(max_examples=15, deadline=None)
def test_whatever_is_so_comes_whole_in_its_time(
    warned: dict[Warn, int], look: Look, alarm: bool, records: bool
) -> None:
    """Later than its time by no more than what else is so takes once, each with an alarm before it."""
    shown = Shown(State.READY, 0, alarm_ns=NS if alarm else None, begun_ns=0 if records else None, warnings=warned)
    signs: list[Sign] = [*warned, *([Other.ALARM] * alarm), *([Other.REMINDER] * records)]
    came = whole(shown, look, 700)
    assert set(came) == set(signs)
    late_ns = sum(takes_ns(sign, look) + alarm * takes_ns(Other.ALARM, look) for sign in signs)
    for sign, at_ns in came.items():
        every_s = beats_of(sign, look).every_s
        assert every_s
        assert all(then - this <= every_s * NS + late_ns for this, then in pairwise(at_ns)), sign
        assert at_ns[0] <= 4 * NS + late_ns + (look.reminder_s * NS if sign is Other.REMINDER else 0)
        assert at_ns[-1] >= (700 - 2 * every_s) * NS - 2 * late_ns


@pytest.mark.parametrize(
    ("state", "felt"), [(State.SLEEPING, {Warn.BATTERY_CRITICAL}), (State.DOCKED, set()), (State.READY, set(Warn))]
)
@pytest.mark.parametrize("look", LOOKS)
def test_asleep_on_the_body_only_a_battery_at_its_end_is_felt_and_in_the_dock_nothing(
    state: State, felt: set[Warn], look: Look
) -> None:
    came = whole(Shown(state, 0, warnings=dict.fromkeys(Warn, NS)), look, 700)
    assert set(came) == felt
    if Warn.BATTERY_CRITICAL in felt:
        assert came[Warn.BATTERY_CRITICAL][0] == NS, "at once, so before the camera switches off"


@given(WARNED, HANDS, st.sampled_from(LOOKS))
@settings(max_examples=15, deadline=None)
def test_no_two_things_run_into_one_another(warned: dict[Warn, int], hands: list[tuple[Cue, int]], look: Look) -> None:
    shown = Shown(State.READY, 0, alarm_ns=300 * NS, warnings=warned, cues=tuple(sorted(hands, key=lambda cue: cue[1])))
    told = list(through(shown, look, 700))
    for this, then in pairwise(told):
        if then.since_ns < this.over_ns:
            assert isinstance(then.sign, Cue) or then.sign is Other.ALARM, "only these break into another"
            assert not isinstance(this.sign, Cue) or then.sign is Other.ALARM, "no answer is cut by another"
            rest_ns = BREAK_NS if then.sign is Other.ALARM else REST_NS
            assert then.since_ns - rest_ns >= this.since_ns or not this.on(then.since_ns - rest_ns, look)[0]
    answers = [this for this, then in zip(told, [*told[1:], None], strict=True) if isinstance(this.sign, Cue)]
    cut = [this for this, then in pairwise(told) if isinstance(this.sign, Cue) and then.since_ns < this.over_ns]
    assert len(answers) <= len(hands) + len(cut) and len(cut) <= 1
    assert answers or not hands


ALARM_NS = 4 * NS
LOOKS_NS = 20 * MS


def felt(shown: Shown, look: Look, seconds: float) -> tuple[list[bool], list[Sounding]]:
    """As the panel's thread has it, each 20 ms by what is so then: what is felt, and each thing that sounds."""
    sounding, on, told = Sounding(), list[bool](), list[Sounding]()
    for now_ns in range(0, round(seconds * NS), LOOKS_NS):
        begun = shown.alarm_ns is not None and shown.alarm_ns <= now_ns
        so = replace(
            shown,
            alarm_ns=shown.alarm_ns if begun else None,
            cues=tuple(cue for cue in shown.cues if cue[1] <= now_ns)[-CUES_KEPT:],
            warnings={warn: at_ns for warn, at_ns in shown.warnings.items() if at_ns <= now_ns},
        )
        sounding = follow(sounding, so, look, now_ns)
        on.append(sounding.on(now_ns, look)[0])
        # What waits for a rest and has not begun may give its instant to an alarm.
        last = (told[-1].sign, told[-1].since_ns) if told else None
        if sounding.sign is not None and (sounding.sign, sounding.since_ns) != last:
            told.append(sounding)
    return on, told


PRESSED = st.lists(st.tuples(st.sampled_from(Cue), st.integers(50, 275)), max_size=4, unique_by=lambda cue: cue[1])
SO = st.dictionaries(st.sampled_from(Warn), st.integers(100, 200), max_size=2)


@given(PRESSED, SO, st.sampled_from(LOOKS), st.booleans())
@settings(max_examples=12, deadline=None)
def test_an_alarm_is_felt_within_what_is_left_of_two_seconds_whatever_sounds(
    pressed: list[tuple[Cue, int]], so: dict[Warn, int], look: Look, reminded: bool
) -> None:
    """Covert there is no other sign. It is whole, what it cut ends a rest before it, and answers are felt apart after
    it, each of them whole, also that which it cut. Times in looks.
    """
    cues = tuple((cue, at * LOOKS_NS) for cue, at in sorted(pressed, key=lambda one: one[1]))
    warned = {warn: at * LOOKS_NS for warn, at in so.items()}
    reminding = replace(look, reminder_s=3 if reminded else 0)
    shown = Shown(State.RECORDING, 0, begun_ns=0, alarm_ns=ALARM_NS, warnings=warned, cues=cues)
    on, told = felt(shown, reminding, 11)
    (alarm, *after) = told[next(number for number, one in enumerate(told) if one.sign is Other.ALARM) :]
    assert alarm.since_ns - ALARM_NS <= 2 * NS - LIMIT_NS - 2 * LOOKS_NS
    first, rest = alarm.since_ns // LOOKS_NS, BREAK_NS // LOOKS_NS
    assert on[first] and not any(on[first - rest : first]), "a rest, longer than any pause, before it"
    assert after and after[0].since_ns >= alarm.over_ns, "whole, and a rest after it"
    whole = [one for one, then in pairwise(told) if one.over_ns - REST_NS + BREAK_NS <= then.since_ns]
    answered = {one.answered_ns: one.sign for one in whole if isinstance(one.sign, Cue)}
    for cue, at_ns in cues:
        stale_ns = at_ns + STALE_NS
        late = any(one.since_ns - REST_NS <= stale_ns <= one.over_ns for one in told)
        assert answered.get(at_ns, cue if late else None) is cue, "each answer is felt whole, or comes too late"


def test_an_alarm_that_begins_cuts_the_answer_which_comes_again_and_later_ones_are_answered_at_once() -> None:
    cues = ((Cue.REFUSED, ALARM_NS - 300 * MS), (Cue.HEARD, ALARM_NS + 100 * MS), (Cue.HEARD, ALARM_NS + 5_200 * MS))
    shown = Shown(State.RECORDING, 0, begun_ns=0, alarm_ns=ALARM_NS, cues=cues)
    _, told = felt(shown, Look(reminder_s=0), 14)
    begins = [(one.sign, (one.since_ns - ALARM_NS) // MS) for one in told]
    assert begins == [
        (Cue.REFUSED, -300),
        (Other.ALARM, 200),
        (Cue.REFUSED, 2_000),
        (Cue.HEARD, 3_000),
        (Other.ALARM, 5_000),
        (Cue.HEARD, 5_500),
        (Other.ALARM, 5_900),
    ]


@pytest.mark.parametrize("look", LOOKS)
def test_two_warnings_of_one_instant_are_both_felt_as_drawn(look: Look) -> None:
    """A card of 8 % and a battery of 15 % at switch-on, each 20 ms."""
    warned = {Warn.BATTERY_LOW: NS, Warn.STORAGE_10: NS}
    shown, sounding, felt = Shown(State.READY, 0, warnings=warned), Sounding(), list[bool]()
    for now_ms in range(0, 10_000, 20):
        sounding = follow(sounding, shown, look, now_ms * MS)
        felt.append(sounding.on(now_ms * MS, look)[0])
    longer = stretch(look)
    for beats in (WARNINGS[warn] for warn in warned):
        lengths = [ms * (1 if number % 2 else longer) // 20 for number, ms in enumerate(beats.ms)]
        drawn = [number % 2 == 0 for number, looks in enumerate(lengths) for _ in range(looks)]
        wanted = [False] * 10 + drawn + [False] * 10
        assert any(felt[at : at + len(wanted)] == wanted for at in range(len(felt)))


def test_answers_come_one_after_the_other_and_an_old_one_not_at_all() -> None:
    shown = Shown(State.RECORDING, 0, cues=((Cue.HEARD, 0), (Cue.BEGUN, 20 * MS), (Cue.REFUSED, 40 * MS)))
    told = list(through(shown, Look(), 5))
    assert [this.sign for this in told] == [Cue.HEARD, Cue.BEGUN, Cue.REFUSED]
    assert all(then.since_ns == this.over_ns for this, then in pairwise(told))
    assert follow(Sounding(), shown, Look(), 10 * NS).sign is None


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("every_ms", [300, 450, 900])
def test_an_alarm_is_felt_however_often_somebody_presses(look: Look, every_ms: int) -> None:
    """Whoever presses since the light went out is to feel why: at once, and whole, again and again."""
    cues = tuple((Cue.HEARD, at_ms * MS) for at_ms in range(0, 20_000, every_ms))
    shown = Shown(State.FAULT, 0, alarm_ns=NS, cues=cues)
    told = list(through(shown, look, 20))
    alarms = [(one, then) for one, then in pairwise(told) if one.sign is Other.ALARM]
    assert alarms[0][0].since_ns <= NS + BREAK_NS
    whole = [one.since_ns for one, then in alarms if then.since_ns >= one.over_ns]
    assert whole[0] == alarms[0][0].since_ns
    assert all(then - this <= 5 * NS + 3 * takes_ns(Cue.HEARD, look) + REST_NS for this, then in pairwise(whole))
    assert len(whole) >= 3
