"""Hand, dock and trigger in one order, whoever looks, and when: a press that came before the dock is ended by it, one
that came after is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.controls.base import Line
from agent.controls.gestures import Edge, Gesture, Habits, Timing
from agent.controls.hands import DOCK_NS, ORDER_NS, Did, Hands
from agent.controls.machine import Action, Bindings, Contact, Deed, Facts, Machine, Triggered, step
from agent.model import NS

MS = 1_000_000
TIMING = Timing(30 * MS, 400 * MS, 1_500 * MS, 5_000 * MS, 10_000 * MS)
PLAIN = Bindings({Gesture.PRESS: Action.RECORD, Gesture.DOUBLE: Action.RECORD}, {Gesture.PRESS: Action.MARK})
DOUBLES = Bindings(
    {Gesture.PRESS: Action.RECORD, Gesture.DOUBLE: Action.TELL, Gesture.HOLD: Action.SLEEP},
    {Gesture.PRESS: Action.MARK, Gesture.DOUBLE: Action.MUTE, Gesture.HOLD: Action.STOP},
)
BEGIN_NS = 100 * NS
Moves = Sequence[tuple[Line, int]]
"""Lines that change, in ms; all are open at first."""
LIVE_MS = 20
Look = Callable[[Moves, Bindings, bool], list[tuple[Deed, int]]]


class Camera:
    """What is done, with the instants in ms that it counts from."""

    def __init__(self, bindings: Bindings, recording: bool = False) -> None:
        self.machine = Machine(bindings, Facts(recording=recording))
        self.done: list[tuple[Deed, int]] = []

    def happens(self, did: Did) -> None:
        if isinstance(did, Edge) and not did.down:
            return
        event = Triggered("holster", did.mono_ns) if isinstance(did, Edge) else did
        self.machine, effects = step(self.machine, event)
        for effect in effects:
            self.done.append((effect.deed, (effect.mono_ns - BEGIN_NS) // MS))
            if effect.deed is Deed.RECORD:
                facts = replace(self.machine.facts, recording=True, wanted=False)
                self.machine = replace(self.machine, facts=facts)

    def habits(self) -> Habits:
        return self.machine.habits


def looked_at(moves: Moves, looks_ms: Sequence[int], bindings: Bindings, recording: bool) -> list[tuple[Deed, int]]:
    """By somebody who looks at these."""
    hands, camera = Hands(TIMING), Camera(bindings, recording)
    down, pending = dict.fromkeys(Line, False), sorted(moves, key=lambda move: move[1])
    for look_ms in looks_ms:
        edges = []
        while pending and pending[0][1] <= look_ms:
            line, at_ms = pending.pop(0)
            down[line] = not down[line]
            edges.append((line, Edge(BEGIN_NS + at_ms * MS, down[line])))
        for did in hands.look(BEGIN_NS + look_ms * MS, edges, down, camera.habits):
            camera.happens(did)
    return camera.done


def live(
    moves: Moves, bindings: Bindings = PLAIN, recording: bool = False, end_ms: int = 6_000
) -> list[tuple[Deed, int]]:
    return looked_at(moves, range(0, end_ms + 1, LIVE_MS), bindings, recording)


def late(
    moves: Moves, bindings: Bindings = PLAIN, recording: bool = False, end_ms: int = 6_000
) -> list[tuple[Deed, int]]:
    return looked_at(moves, [end_ms], bindings, recording)


def press(at_ms: int, length_ms: int = 100) -> list[tuple[Line, int]]:
    return [(Line.BUTTON, at_ms), (Line.BUTTON, at_ms + length_ms)]


@pytest.mark.parametrize("look", [live, late])
@pytest.mark.parametrize("bindings", [PLAIN, DOUBLES], ids=["plain", "doubles"])
@pytest.mark.parametrize("before_ms", [290, 150, 50, 10])
def test_a_press_that_came_just_before_the_dock_is_ended_by_it(look: Look, bindings: Bindings, before_ms: int) -> None:
    """Also where a second press was waited for meanwhile."""
    done = look([(Line.DOCK, 1_000), *press(1_000 - before_ms)], bindings, False)
    assert [deed for deed, _ in done] == [Deed.RECORD, Deed.DOCK]
    done = look([(Line.DOCK, 1_000), *press(1_000 - before_ms)], bindings, True)
    assert [deed for deed, _ in done] == [Deed.MARK, Deed.DOCK]


@pytest.mark.parametrize("look", [live, late])
@pytest.mark.parametrize("bindings", [PLAIN, DOUBLES], ids=["plain", "doubles"])
@pytest.mark.parametrize("after_ms", [10, 50, 150, 290, 350])
def test_a_press_that_came_just_after_the_dock_is_one_in_the_dock(
    look: Look, bindings: Bindings, after_ms: int
) -> None:
    for recording in (False, True):
        done = look([(Line.DOCK, 1_000), *press(1_000 + after_ms)], bindings, recording)
        assert done == [(Deed.DOCK, 1_000), (Deed.RECORD, 1_000 + after_ms)]


def test_a_contact_that_is_loose_keeps_no_press_for_longer_than_a_second() -> None:
    flutter = [(Line.DOCK, at_ms) for at_ms in range(1_000, 9_000, 100)]
    moves = [*flutter, *press(1_550)]
    done = live(moves, end_ms=1_000 + ORDER_NS // MS + LIVE_MS)
    assert done == [(Deed.RECORD, 1_550)]
    assert live([*flutter, *press(4_000)], end_ms=4_000 + 160) == [(Deed.RECORD, 4_000)], "nor any that follows"


def test_a_hand_that_holds_the_button_keeps_no_dock_for_longer_than_a_second() -> None:
    moves = [(Line.DOCK, 1_000), *press(500, 8_000)]
    done = live(moves, DOUBLES, end_ms=1_000 + ORDER_NS // MS + LIVE_MS)
    assert [deed for deed, _ in done if deed is not Deed.FELT] == [Deed.DOCK]


def test_a_contact_that_rattled_and_was_nothing_costs_no_press() -> None:
    done = live([(Line.DOCK, 1_000), (Line.DOCK, 1_040), *press(1_020)], end_ms=2_000)
    assert done == [(Deed.RECORD, 1_020)]


def test_edges_that_never_came_are_made_up_for() -> None:
    hands, up, camera = Hands(TIMING), dict.fromkeys(Line, False), Camera(PLAIN)

    def looks(ms: int, down: dict[Line, bool]) -> list[object]:
        return list(hands.look(BEGIN_NS + ms * MS, [], down, camera.habits))

    assert looks(0, up) == [] == looks(400, {**up, Line.DOCK: True})
    assert looks(650, {**up, Line.DOCK: True}) == []
    assert looks(800, {**up, Line.DOCK: True}) == [Contact(True, BEGIN_NS + 400 * MS)]
    assert looks(900, {**up, Line.DOCK: True, Line.BUTTON: True}) == []
    assert hands.hand_ns == BEGIN_NS + 900 * MS


@pytest.mark.parametrize("look", [live, late])
@pytest.mark.parametrize("bindings", [PLAIN, DOUBLES], ids=["plain", "doubles"])
def test_a_trigger_while_the_button_goes_down_makes_no_mark_of_the_press(look: Look, bindings: Bindings) -> None:
    """Whoever looks late, when both are clear, takes the press as one of a camera that did not record either."""
    done = look([*press(1, 40), (Line.TRIGGER, 11)], bindings, False)
    assert {deed for deed, _ in done if deed is not Deed.FELT} == {Deed.RECORD}


@settings(max_examples=40)
@given(
    moves=st.lists(
        st.tuples(st.sampled_from((Line.BUTTON, Line.BUTTON, Line.DOCK, Line.TRIGGER)), st.integers(1, 4_000)),
        max_size=14,
    ),
    looks=st.lists(st.integers(0, 4_000), max_size=6),
    bindings=st.sampled_from((PLAIN, DOUBLES)),
    recording=st.booleans(),
)
@example(
    moves=[*press(1, 290), (Line.TRIGGER, 671)],
    looks=[],
    bindings=DOUBLES,
    recording=False,
)
def test_what_is_done_and_in_which_order_depends_on_no_look(
    moves: list[tuple[Line, int]], looks: list[int], bindings: Bindings, recording: bool
) -> None:
    expected = live(moves, bindings, recording, end_ms=16_000)
    assert late(moves, bindings, recording, end_ms=16_000) == expected
    assert looked_at(moves, [*sorted(looks), 16_000], bindings, recording) == expected


@pytest.mark.parametrize("first_ms", range(0, LIVE_MS, 4))
def test_a_press_and_a_trigger_that_are_clear_between_two_looks_come_as_they_became_clear(first_ms: int) -> None:
    """No second press comes by 691 ms, and the trigger rests at 701 ms: the camera records since the press already."""
    moves = [*press(1, 290), (Line.TRIGGER, 671)]
    done = looked_at(moves, range(first_ms, 2_000, LIVE_MS), DOUBLES, False)
    assert done == [(Deed.RECORD, 1), (Deed.MARK, 671)]


@settings(max_examples=40)
@given(press_ms=st.integers(1, 3_000), length_ms=st.integers(40, 400), dock_ms=st.integers(1, 3_000))
def test_whichever_began_first_is_done_first(press_ms: int, length_ms: int, dock_ms: int) -> None:
    moves = [(Line.DOCK, dock_ms), *press(press_ms, length_ms)]
    for bindings in (PLAIN, DOUBLES):
        deeds = [deed for deed, _ in live(moves, bindings)]
        if press_ms != dock_ms:
            assert deeds == ([Deed.RECORD, Deed.DOCK] if press_ms < dock_ms else [Deed.DOCK, Deed.RECORD])
    assert DOCK_NS + length_ms * MS < ORDER_NS
