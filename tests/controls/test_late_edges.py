"""A level that says what no edge said yet: the edge may be under way, or may never come. On a machine that is busy, the
thread that brings edges and the one that looks come late both, and in any order.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.controls.base import Line
from agent.controls.gestures import Edge, Gesture
from agent.controls.hands import Hands
from agent.controls.machine import Contact, Deed
from tests.controls.test_hands import BEGIN_NS, DOUBLES, MS, PLAIN, TIMING, Camera, Moves

UP = dict.fromkeys(Line, False)


def brought(moves: Moves, looks: Iterable[tuple[int, int]], camera: Camera) -> list[tuple[Deed, int]]:
    """Looks at the first of each pair of ms; the edges that are brought then are those before the second."""
    hands, pending, down = Hands(TIMING), sorted(moves, key=lambda move: move[1]), dict(UP)
    for look_ms, until_ms in looks:
        edges = []
        while pending and pending[0][1] <= until_ms:
            line, at_ms = pending.pop(0)
            down[line] = not down[line]
            edges.append((line, Edge(BEGIN_NS + at_ms * MS, down[line])))
        levels = {line: sum(1 for one, at in moves if one is line and at <= look_ms) % 2 == 1 for line in Line}
        for did in hands.look(BEGIN_NS + look_ms * MS, edges, levels, camera.habits):
            camera.happens(did)
    return camera.done


def live_from(ms: int, until_ms: int = 8_000) -> list[tuple[int, int]]:
    return [(at_ms, at_ms) for at_ms in range(ms, until_ms, 20)]


@pytest.mark.parametrize("bindings", [PLAIN, DOUBLES], ids=["plain", "doubles"])
def test_a_press_whose_release_is_under_way_at_a_late_look_is_no_hold(bindings: object) -> None:
    """Nor is one felt. It was a hold, and stopped the recording that the press was to mark."""
    looks = [(50, 50), (2_050, 50), (2_070, 50), *live_from(2_090)]
    done = brought([(Line.BUTTON, 20), (Line.BUTTON, 120)], looks, Camera(bindings, recording=True))
    assert done == [(Deed.MARK, 20)]


@pytest.mark.parametrize("line", [Line.BUTTON, Line.TRIGGER])
def test_what_is_short_and_brought_after_the_look_is_not_lost(line: Line) -> None:
    """The level was taken for an edge of that instant, and what was left of it for a contact that rattled."""
    moves = [(line, 1_000), (line, 1_050)]
    done = brought(moves, [(980, 980), (1_035, 980), (1_055, 980), *live_from(1_075)], Camera(PLAIN))
    assert done == [(Deed.RECORD, 1_000)]


def test_presses_that_no_late_look_saw_are_each_one_where_their_edges_come_after_it() -> None:
    """Two looks of a busy machine saw one long press of three, and the edges were taken for those of that one."""
    moves = [(Line.BUTTON, at) for at in (50, 200, 390, 520, 650, 790)]
    done = brought(moves, [(0, 0), (400, 0), (700, 0), *live_from(820)], Camera(PLAIN, recording=True))
    assert done == [(Deed.MARK, 50), (Deed.MARK, 390), (Deed.MARK, 650)]


def test_edges_that_never_come_are_made_up_for_though_all_looks_are_late() -> None:
    moves = [(Line.BUTTON, 1_000), (Line.BUTTON, 1_900)]
    looks = [(at_ms, 0) for at_ms in range(0, 6_000, 450)]
    assert brought(moves, looks, Camera(PLAIN, recording=True)) == [(Deed.MARK, 1_350)]


def test_a_second_press_that_is_under_way_is_waited_for() -> None:
    moves = [(Line.BUTTON, at) for at in (0, 100, 490, 600)]
    done = brought(moves, [(20, 20), (440, 440), (520, 440), (540, 440), *live_from(560)], Camera(DOUBLES, True))
    assert done == [(Deed.MUTE, 0)]


@pytest.mark.parametrize("brought_at", [0, 1, 2])
def test_a_dock_that_was_touched_at_a_late_look_is_none(brought_at: int) -> None:
    """It was believed since that look began, though the contact closed two seconds later, and for a moment."""
    camera, hands, edges = Camera(PLAIN, recording=True), Hands(TIMING), [(2_990, True), (3_010, False)]
    looks = [(1_000, 3_000, True), (3_002, 3_002, True), (3_020, 3_020, False), (3_900, 3_900, False)]
    for number, (ms, read_ms, docked) in enumerate([(0, 0, False), *looks]):
        came = [Edge(BEGIN_NS + at * MS, down) for at, down in edges] if number == brought_at + 1 else []
        levels, read_ns = {**UP, Line.DOCK: docked}, BEGIN_NS + read_ms * MS
        taken = [(Line.DOCK, edge) for edge in came]
        for did in hands.look(BEGIN_NS + ms * MS, taken, levels, camera.habits, read_ns):
            camera.happens(did)
    assert camera.done == []


@pytest.mark.parametrize("line", Line)
def test_an_edge_that_never_comes_is_made_up_for_since_the_first_look_that_missed_it(line: Line) -> None:
    hands, camera, did = Hands(TIMING), Camera(PLAIN), list[object]()
    for ms in range(0, 2_000, 20):
        levels = {**UP, line: 400 < ms <= 900}
        did += hands.look(BEGIN_NS + ms * MS, [], levels, camera.habits)
        if line is Line.BUTTON and 400 < ms <= 900:
            assert hands.hand_ns == BEGIN_NS + 420 * MS, "and a hand is there at once"
    if line is Line.BUTTON:
        assert [(one.gesture, one.mono_ns) for one in did] == [(Gesture.PRESS, BEGIN_NS + 420 * MS)]  # type: ignore[attr-defined]
    else:
        kind = Contact if line is Line.DOCK else Edge
        assert did == [kind(True, BEGIN_NS + 420 * MS), kind(False, BEGIN_NS + 920 * MS)] or did == [
            kind(BEGIN_NS + 420 * MS, True),
            kind(BEGIN_NS + 920 * MS, False),
        ]


def test_a_button_that_is_pulled_off_while_it_is_down_is_let_go() -> None:
    """Whoever puts it back up again has not held it: what it was is a press."""
    hands, camera = Hands(TIMING), Camera(DOUBLES, recording=True)
    gone = {**UP, Line.BUTTON: None}
    for ms in range(0, 6_000, 20):
        edges = [(Line.BUTTON, Edge(BEGIN_NS, True))] if not ms else []
        levels = gone if 100 <= ms < 3_000 else {**UP, Line.BUTTON: ms < 100}
        for did in hands.look(BEGIN_NS + ms * MS, edges, levels, camera.habits):
            camera.happens(did)
    assert camera.done == [(Deed.MARK, 0)]


def test_a_hold_that_began_after_the_levels_were_read_is_one() -> None:
    """And not two hands: the edge is newer than the level that does not say so yet."""
    camera, hands = Camera(DOUBLES, recording=True), Hands(TIMING)
    edges = {
        0: [(Line.BUTTON, Edge(BEGIN_NS + 90 * MS, True))],
        2_120: [(Line.BUTTON, Edge(BEGIN_NS + 2_110 * MS, False))],
    }
    for ms in (0, *range(200, 4_000, 20)):
        levels, read_ms = {**UP, Line.BUTTON: 100 <= ms < 2_110}, ms or 80
        for did in hands.look(BEGIN_NS + ms * MS, edges.get(ms, []), levels, camera.habits, BEGIN_NS + read_ms * MS):
            camera.happens(did)
    assert camera.done == [(Deed.FELT, 90), (Deed.STOP, 90)]


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.integers(450, 900), st.integers(45, 400)), max_size=5),
    st.lists(st.tuples(st.integers(20, 3_000), st.integers(0, 250)), min_size=1, max_size=12),
)
def test_no_press_is_lost_or_becomes_more_however_late_looks_and_edges_are(
    presses: list[tuple[int, int]], stalls: list[tuple[int, int]]
) -> None:
    """Edges may be brought a quarter of a second after they could be seen."""
    moves, at = list[tuple[Line, int]](), 0
    for rest_ms, down_ms in presses:
        moves += [(Line.BUTTON, at + rest_ms), (Line.BUTTON, at + rest_ms + down_ms)]
        at += rest_ms + down_ms
    looks, now = list[tuple[int, int]](), 0
    for stall_ms, behind_ms in stalls:
        now += stall_ms
        known_ms = max(now - behind_ms, looks[-1][1] if looks else 0)
        # Until they are brought, it looks as often as it can.
        looks += [(look_ms, known_ms) for look_ms in range(now, now + behind_ms, 20)]
        now += behind_ms
        looks.append((now, now))
    looks += live_from(max(now, at), max(now, at) + 2_000)
    done = brought(moves, looks, Camera(PLAIN, recording=True))
    assert done == [(Deed.MARK, at_ms) for _, at_ms in moves[::2]]


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.integers(450, 900), st.integers(65, 400)), min_size=1, max_size=5),
    st.lists(st.integers(0, 3_000), min_size=1, max_size=10),
)
def test_edges_that_come_after_they_were_made_up_for_are_no_press_of_their_own(
    presses: list[tuple[int, int]], behind: list[int]
) -> None:
    """However late each is, and though the release comes at a look of its own. A mark was doubled by that."""
    moves, at, known_ms = list[tuple[Line, int]](), 0, 0
    for rest_ms, down_ms in presses:
        moves += [(Line.BUTTON, at + rest_ms), (Line.BUTTON, at + rest_ms + down_ms)]
        at += rest_ms + down_ms
    looks = list[tuple[int, int]]()
    for number, look_ms in enumerate(range(0, at + 6_000, 20)):
        known_ms = max(known_ms, look_ms - behind[number // 10 % len(behind)])
        looks.append((look_ms, known_ms))
    done = brought(moves, looks, Camera(PLAIN, recording=True))
    assert [deed for deed, _ in done] == [Deed.MARK] * len(presses)
    for (_, at_ms), (_, down_ms) in zip(done, moves[::2], strict=True):
        assert down_ms <= at_ms <= down_ms + 20, "as of the look that saw it, at the latest"
