"""Each gesture in each state of the camera, in each profile: what a real hand makes of it, and that the officer's page
says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent import profiles
from agent.configcontrols import GesturesConfig
from agent.controls.configured import bindings, timing
from agent.controls.gestures import Edge, Gesture, Recogniser
from agent.controls.machine import Deed, Facts, Machine, State, step
from tests.config_kit import sample
from tests.test_profiles import NAMES

HOUSE = Path(__file__).resolve().parents[2]
MS, TURN_MS = 1_000_000, 20
PAGE = ("default", "traffic", "intervention", "plainclothes", "stadium")
"""The page's columns."""

BROKE_OFF = Facts(blocked=True, wanted=True, broke_off=True)
STATES = {
    State.READY: [Facts()],
    State.STARTING: [Facts(starting=True)],
    State.DOCKED: [Facts(docked=True)],
    State.FAULT: [Facts(blocked=True), Facts(blocked=True, wanted=True), BROKE_OFF, replace(BROKE_OFF, muted=True)],
    State.SLEEPING: [Facts(asleep=True)],
    State.RECORDING: [Facts(recording=True), Facts(recording=True, docked=True), Facts(recording=True, ending=True)],
    State.MUTED: [Facts(recording=True, muted=True)],
}
IDLE: dict[str, str | dict[str, str]] = {
    "press": "record",
    "double": "record",
    "hold": "record",
    "long": {"traffic": "sleep", "plainclothes": "sleep", "intervention": "stealth"},
}
RECORDING: dict[str, str | dict[str, str]] = {
    "press": "mark",
    "double": {"plainclothes": "mute"},
    "hold": "stop",
    "long": {"intervention": "stealth"},
}
TAKEN_BACK = [("plainclothes", "double"), ("intervention", "long")]
"""What is done as while recording where a recording broke off, since it takes itself back."""
ELSE = {"idle long": "record", "recording double": "mark mark", "recording long": "stop"}
"""Where a profile has nothing of its own: a long hold is a hold, a double press is two."""


def expected(profile: str, facts: Facts, gesture: str) -> str:
    """By hand, from what the profiles promise: nobody's code."""
    if facts.asleep:
        return "wake record"
    idle = not (facts.recording or (facts.broke_off and (profile, gesture) in TAKEN_BACK))
    bound = (IDLE if idle else RECORDING)[gesture]
    told = bound if isinstance(bound, str) else bound.get(profile, ELSE[f"{'idle' if idle else 'recording'} {gesture}"])
    if facts.ending and told.startswith("mark"):
        return "record"
    return "unmute" if told == "mute" and facts.muted else told


def gestures(profile: str) -> GesturesConfig:
    return profiles.over(sample(), profile).gestures


def hand(config: GesturesConfig, gesture: str) -> tuple[int, ...]:
    """Down and up again, at these milliseconds."""
    return {
        "press": (100, 200),
        "double": (100, 200, 350, 450),
        "hold": (100, 100 + config.hold_ms + 200),
        "long": (100, 100 + config.long_ms + 200),
        "stuck": (100, 100 + config.stuck_s * 1000 + 500),
    }[gesture]


def felt(config: GesturesConfig, facts: Facts, at_ms: tuple[int, ...]) -> Iterator[Deed]:
    """As the officer's thread does it: one look each 20 ms, with the habits of that instant. The recorder is slow."""
    machine, recogniser = Machine(bindings(config), facts), Recogniser(timing(config))
    edges = [Edge(ms * MS, number % 2 == 0) for number, ms in enumerate(at_ms)]
    for now_ms in range(0, at_ms[-1] + 2 * config.double_ms, TURN_MS):
        due = [edge for edge in edges if edge.mono_ns <= now_ms * MS]
        edges = edges[len(due) :]
        for found in recogniser.feed(now_ms * MS, due, machine.habits):
            machine, effects = step(machine, found)
            yield from (effect.deed for effect in effects)


CASES = [(facts, state) for state, every in STATES.items() for facts in every]


@pytest.mark.wide
@pytest.mark.parametrize("profile", NAMES)
@pytest.mark.parametrize(("facts", "state"), CASES, ids=[f"{s.value}-{n}" for n, (_, s) in enumerate(CASES)])
@pytest.mark.parametrize("gesture", [gesture.value for gesture in Gesture])
def test_each_gesture_in_each_state_of_each_profile(profile: str, facts: Facts, state: State, gesture: str) -> None:
    config = gestures(profile)
    assert Machine(bindings(config), facts).state is state
    deeds = list(felt(config, facts, hand(config, gesture)))
    assert " ".join(deed.value for deed in deeds if deed is not Deed.FELT) == expected(profile, facts, gesture)
    assert (Deed.FELT in deeds) is (gesture in ("hold", "long")), "a hold says when it is long enough"


@pytest.mark.wide
@pytest.mark.parametrize("profile", NAMES)
@pytest.mark.parametrize(("facts", "state"), CASES, ids=[f"{s.value}-{n}" for n, (_, s) in enumerate(CASES)])
def test_a_stuck_button_does_nothing_in_any_of_them(profile: str, facts: Facts, state: State) -> None:
    config = gestures(profile)
    deeds = [deed for deed in felt(config, facts, hand(config, "stuck")) if deed is not Deed.FELT]
    assert deeds == [Deed.STUCK, Deed.FREED]


@pytest.mark.parametrize("profile", NAMES)
@pytest.mark.parametrize("ms", [1, 5, 15])
def test_what_is_shorter_than_a_contact_needs_to_rest_is_no_press(profile: str, ms: int) -> None:
    config = gestures(profile)
    assert ms < config.debounce_ms
    assert list(felt(config, Facts(), (100, 100 + ms, 200, 200 + ms, 300, 300 + ms))) == []


@pytest.mark.parametrize("profile", NAMES)
def test_a_bouncing_contact_is_one_press(profile: str) -> None:
    assert list(felt(gestures(profile), Facts(), (100, 103, 107, 109, 112, 200, 204, 209))) == [Deed.RECORD]


@pytest.mark.parametrize("profile", NAMES)
@pytest.mark.parametrize("state", [State.READY, State.SLEEPING])
def test_who_presses_again_and_again_since_unsure_records_with_sound(profile: str, state: State) -> None:
    """However often: no more comes of it than marks. What begins later than a double press may is one of its own."""
    config, (facts,) = gestures(profile), STATES[state]
    begun = expected(profile, facts, "press").split()
    for presses in range(2, 8):
        at_ms = [at for number in range(presses) for at in (100 + 300 * number, 200 + 300 * number)]
        deeds = [deed.value for deed in felt(config, facts, tuple(at_ms))]
        assert deeds[: len(begun)] == begun and set(deeds[len(begun) :]) <= {"mark"}, presses
        own = at_ms[-1] + config.double_ms + 100
        then = [deed.value for deed in felt(config, facts, (*at_ms, own, own + 100, own + 250, own + 350))]
        assert then[len(deeds) :] == expected(profile, Facts(recording=True), "double").split(), presses
    assert (
        "Quick presses right after the press or hold that records never mute."
        in (HOUSE / "docs/officer.en.md").read_text()
    )


@pytest.mark.parametrize("profile", NAMES)
@pytest.mark.parametrize("state", [State.READY, State.SLEEPING])
def test_quick_presses_right_after_a_hold_that_records_mark_and_never_mute(profile: str, state: State) -> None:
    """Nor do they stop. A hold is as good a press as any to whoever is unsure; what he sees after it is marked."""
    config, (facts,) = gestures(profile), STATES[state]
    begun, up_ms = expected(profile, facts, "hold").split(), hand(config, "hold")[1]
    for presses in range(1, 5):
        at_ms = [at for number in range(presses) for at in (up_ms + 200 + 300 * number, up_ms + 300 + 300 * number)]
        deeds = [d.value for d in felt(config, facts, (100, up_ms, *at_ms)) if d is not Deed.FELT]
        assert deeds[: len(begun)] == begun and set(deeds[len(begun) :]) == {"mark"}, presses
        own = at_ms[-1] + config.double_ms + 100
        hands = (100, up_ms, *at_ms, own, own + 100, own + 250, own + 350)
        then = [d.value for d in felt(config, facts, hands) if d is not Deed.FELT]
        assert then[len(deeds) :] == expected(profile, Facts(recording=True), "double").split(), presses


@pytest.mark.parametrize("does", ["mute", "stop", "tell", "stealth"])
@pytest.mark.parametrize("records", ["press", "hold"])
def test_quick_presses_in_a_row_are_none_of_their_own_where_nobody_listens_for_double_ones(
    records: str, does: str
) -> None:
    """However many follow. Each is answered, but for the second of two presses, which are one hand."""
    config = replace(gestures("default"), recording_press=does, recording_double="none")
    begun, up_ms = ["record"] if records == "press" else ["felt", "record"], hand(config, records)[1]
    for presses in range(1, 6):
        at_ms = [at for number in range(presses) for at in (up_ms + 200 + 300 * number, up_ms + 300 + 300 * number)]
        deeds = [deed.value for deed in felt(config, Facts(), (100, up_ms, *at_ms))]
        assert deeds == [*begun, *["felt"] * (presses - (records == "press"))], presses
        own = at_ms[-1] + config.double_ms + 100
        then = [deed.value for deed in felt(config, Facts(), (100, up_ms, *at_ms, own, own + 100))]
        assert then == [*deeds, does], presses


@pytest.mark.parametrize("double", ["none", "mute"])
def test_a_row_that_a_hold_began_which_stopped_is_that_of_the_press_in_it_that_records(double: str) -> None:
    config = replace(gestures("default"), recording_press="mute", recording_double=double)
    up_ms = hand(config, "hold")[1]
    at_ms = [at for number in range(5) for at in (up_ms + 200 + 300 * number, up_ms + 300 + 300 * number)]
    deeds = [d.value for d in felt(config, Facts(recording=True), (100, up_ms, *at_ms)) if d is not Deed.FELT]
    assert deeds == ["stop", "record"]


@pytest.mark.parametrize("profile", NAMES)
def test_quick_presses_right_after_a_hold_that_did_not_record_are_their_own(profile: str) -> None:
    config = gestures(profile)
    up_ms = hand(config, "hold")[1]
    stopped = [d.value for d in felt(config, Facts(recording=True), (100, up_ms, up_ms + 200, up_ms + 300))]
    assert stopped == ["felt", "stop", "record"]
    if profile == "plainclothes":
        long_ms = hand(config, "long")[1]
        double = (long_ms + 200, long_ms + 300, long_ms + 450, long_ms + 550)
        deeds = [d.value for d in felt(config, Facts(), (100, long_ms, *double)) if d is not Deed.FELT]
        assert deeds == ["sleep", "wake", "record"]


SAID = {
    "record": "record",
    "wake record": "record",
    "mark": "mark",
    "mark mark": "2 × mark",
    "mute": "sound off or on",
    "stop": "stop",
    "sleep": "sleep",
    "stealth": "lights and tones off or on",
}
ROWS = {
    "Not recording": Facts(),
    "Recording": Facts(recording=True),
    "Asleep": Facts(asleep=True),
}
GESTURES = {"press": "press", "double press": "double", "hold": "hold", "long hold": "long"}


def rows() -> Iterator[tuple[str, list[str]]]:
    (block,) = re.findall(
        r"<!-- begin gestures -->\n(.*?)\n<!-- end -->", (HOUSE / "docs/officer.en.md").read_text("utf-8"), re.DOTALL
    )
    for line in block.splitlines()[2:]:
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        yield name, cells


def test_the_officers_page_says_what_comes_of_each_hand() -> None:
    told = dict(rows())
    assert len(told) == 2 * len(GESTURES) + 1
    for name, cells in told.items():
        mode, _, word = name.partition(": ")
        for profile, cell in zip(PAGE, cells, strict=True):
            config = gestures(profile)
            for gesture in [GESTURES[word]] if word else GESTURES.values():
                deeds = [d.value for d in felt(config, ROWS[mode], hand(config, gesture)) if d is not Deed.FELT]
                said, _, held = cell.partition(" (")
                assert SAID[" ".join(deeds)] == said, (name, profile)
                if held:
                    begin_ms = round(float(held.removesuffix(" s)")) * 1000)
                    short, long = (100, 100 + begin_ms - 100), (100, 100 + begin_ms + 100)
                    before, after = (
                        [d for d in felt(config, ROWS[mode], at) if d is not Deed.FELT] for at in (short, long)
                    )
                    assert after == [Deed(value) for value in deeds] and (before != after or said == "record")
