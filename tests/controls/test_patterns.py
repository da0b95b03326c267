"""Light, vibration and tone are a function of what is so: each promise of them at each instant."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.controls.machine import State
from agent.controls.patterns import (
    ALARM,
    CUES,
    REMINDER,
    WARNINGS,
    Beats,
    Cue,
    Delivery,
    Levels,
    Look,
    Shown,
    Strength,
    Warn,
    levels,
)
from agent.controls.sounding import BREAK_NS, REST_NS, Sounding, follow
from agent.model import NS

MS = 1_000_000
RECORDING = Shown(State.RECORDING, 0, durable=True, begun_ns=0)
COVERT = Look(light=False, tone=False)


def during(shown: Shown, look: Look, begin_s: float, end_s: float, every_ms: int = 20) -> list[Levels]:
    """As somebody who looks each 20 ms sees it, feels it and hears it."""
    told, sounding = list[Levels](), Sounding()
    for at_ns in range(round(begin_s * 1000) * MS, round(end_s * 1000) * MS, every_ms * MS):
        sounding = follow(sounding, shown, look, at_ns)
        told.append(levels(shown, look, at_ns, sounding.on(at_ns, look)))
    return told


def once(shown: Shown, look: Look, at_ns: int) -> Levels:
    """As it would be if all that is so had its turn now."""
    return levels(shown, look, at_ns, follow(Sounding(), shown, look, at_ns).on(at_ns, look))


SHOWN = st.builds(
    Shown,
    st.sampled_from(State),
    st.integers(0, 10 * NS),
    st.booleans(),
    st.none() | st.integers(0, 10 * NS),
    st.none() | st.integers(0, 10 * NS),
    st.dictionaries(st.sampled_from(Warn), st.integers(0, 10 * NS)),
    st.lists(st.tuples(st.sampled_from(Cue), st.integers(0, 10 * NS)), max_size=3).map(tuple),
    st.booleans(),
)
LOOKS = st.builds(Look, st.booleans(), st.booleans(), st.sampled_from(Strength), st.sampled_from([0, 30, 120]))


@given(SHOWN, LOOKS, st.integers(0, 4_000 * NS))
def test_the_light_says_durable_and_nothing_else(shown: Shown, look: Look, now_ns: int) -> None:
    wanted = shown.durable and shown.alarm_ns is None
    assert once(shown, look, now_ns).light == (wanted and look.light and not shown.stealth)


@given(SHOWN, st.sampled_from(Strength), st.integers(0, 4_000 * NS))
def test_a_covert_camera_shows_and_sounds_nothing_ever(shown: Shown, strength: Strength, now_ns: int) -> None:
    for look, seen in ((COVERT, shown), (Look(), replace(shown, stealth=True))):
        told = once(seen, replace(look, vibration=strength), now_ns)
        assert not (told.light or told.status or told.tone)


@given(SHOWN, LOOKS, st.integers(0, 4_000 * NS))
def test_what_a_profile_has_not_is_never_on(shown: Shown, look: Look, now_ns: int) -> None:
    told = once(shown, look, now_ns)
    assert not told.tone or look.tone
    assert not told.buzz or look.vibration is not Strength.OFF
    assert not (told.light or told.status) or look.light


@pytest.mark.wide
@pytest.mark.parametrize("look", [Look(), COVERT, Look(vibration=Strength.STRONG)])
@pytest.mark.parametrize("state", [s for s in State if s is not State.STARTING])
def test_an_alarm_is_felt_at_once_and_again_every_five_seconds(look: Look, state: State) -> None:
    shown = Shown(state, 0, durable=True, alarm_ns=60 * NS, begun_ns=0)
    told = during(shown, look, 60, 119)
    assert all(told[begin * 50].buzz for begin in range(0, 59, 5))
    assert not any(t.light for t in told)


def test_the_reminder_comes_every_two_minutes_twice_felt_and_heard() -> None:
    told = during(RECORDING, Look(), 0, 601)
    for on in ([t.buzz for t in told], [t.tone for t in told]):
        begins = [number * 20 for number in range(1, len(on)) if on[number] and not on[number - 1]]
        assert begins == [at for two in range(120_000, 600_001, 120_000) for at in (two, two + 200)]
    assert not any(t.buzz for t in during(RECORDING, Look(reminder_s=0), 0, 601))


def test_a_strong_vibration_lasts_twice_as_long() -> None:
    shown = Shown(State.READY, 0, cues=((Cue.BEGUN, 0),))
    lengths = [
        sum(t.buzz for t in during(shown, Look(vibration=strength), 0, 5)) for strength in (Strength.NORMAL, *Strength)
    ]
    assert lengths[0] > 0 and lengths[1:] == [0, lengths[0], 2 * lengths[0]]


def test_in_the_dock_the_second_light_says_how_far_it_has_got_and_nothing_sounds() -> None:
    shown = {d: during(Shown(State.DOCKED, 0, delivery=d), Look(), 0, 8) for d in Delivery}
    lit = {d: [t.status for t in told] for d, told in shown.items()}
    assert len({tuple(told) for told in lit.values()}) == len(Delivery)
    share = {d: sum(told) / len(told) for d, told in lit.items()}
    assert share[Delivery.WAITING] == 0.5 < share[Delivery.SENDING] == 0.8 < share[Delivery.DONE] == 1.0
    assert lit[Delivery.TROUBLE] == [t.status for t in during(Shown(State.FAULT, 0), Look(), 0, 8)]
    assert not any(t.light or t.buzz or t.tone for told in shown.values() for t in told)
    # Elsewhere it says nothing.
    worn = [during(Shown(State.READY, 0, delivery=d), Look(), 0, 8) for d in Delivery]
    assert all(told == worn[0] for told in worn)


@pytest.mark.wide
@pytest.mark.parametrize("warn", list(Warn))
def test_each_warning_is_felt_at_once_and_repeated_but_not_in_the_dock(warn: Warn) -> None:
    shown = Shown(State.READY, 0, warnings={warn: 10 * NS})
    every_s = WARNINGS[warn].every_s
    assert every_s is not None
    assert once(shown, Look(), 10 * NS).buzz and during(shown, Look(), 10, 10.1 + every_s)[every_s * 50].tone
    assert not any(t.buzz or t.tone for t in during(replace(shown, state=State.DOCKED), Look(), 10, 11 + every_s))


def test_a_hand_is_answered_before_anything_else() -> None:
    """It breaks into what is felt, after a rest; also into an alarm, once that has been felt as a whole."""
    shown = replace(RECORDING, alarm_ns=0, cues=((Cue.REFUSED, 5_200 * MS),))
    rest_s = REST_NS / NS
    told = [t.buzz for t in during(shown, Look(), 0, 5.2 + rest_s + CUES[Cue.REFUSED].length_ms() / 1000)]
    begin = round((5.2 + rest_s) * 50)
    assert all(told[250:260]) and not any(told[260:begin])
    assert told[begin : begin + 20] == ([True] * 5 + [False] * 5) * 2


def test_each_state_of_the_second_light_can_be_told_from_the_others() -> None:
    seen = {state: tuple(t.status for t in during(Shown(state, 0), Look(), 0, 4)) for state in State}
    assert not any(seen[State.RECORDING]) and not any(seen[State.SLEEPING])
    others = [seen[state] for state in State if state not in (State.RECORDING, State.SLEEPING)]
    assert len(set(others)) == len(others)


@pytest.mark.parametrize("beats", [ALARM, *CUES.values(), *WARNINGS.values()])
def test_no_signal_is_longer_than_its_period(beats: Beats) -> None:
    assert beats.every_s is None or beats.length_ms(stretch=2) < beats.every_s * 1000
    assert beats.at(0) is True and beats.at(-1) is None
    assert beats.every_s or beats.at(beats.length_ms() * MS) is None


def test_no_two_things_feel_alike() -> None:
    """By what a hand can tell, how many there are, and which are long: where nothing is seen or heard that is all. And
    none is drawn as another, in the tenths of a second of the officer's page.
    """
    felt = [ALARM.ms, REMINDER, *(beats.ms for beats in (*CUES.values(), *WARNINGS.values()))]
    assert all(ms <= 150 or ms >= 300 for beats in felt for ms in beats[::2]), "between both nobody can tell"
    rough = [tuple(ms >= 300 for ms in beats[::2]) for beats in felt]
    assert len(set(rough)) == len(rough), rough
    drawn = [tuple(max(1, round(ms / 100)) for ms in beats) for beats in felt]
    assert len(set(drawn)) == len(drawn)


def test_nothing_begins_as_a_rest_ends() -> None:
    """Rests between two things are longer than any pause in one, also the short one before an alarm."""
    assert all(
        ms * MS < BREAK_NS < REST_NS for beats in (ALARM, *CUES.values(), *WARNINGS.values()) for ms in beats.ms[1::2]
    )
