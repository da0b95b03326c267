"""One button's edges, and what was meant: what a hand does is found whatever the contact and the scheduler do to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.controls.gestures import (
    Edge,
    Found,
    Freed,
    Gesture,
    Gestured,
    Habits,
    Mode,
    Reached,
    Recogniser,
    Stuck,
    Timing,
)

MS = 1_000_000
TIMING = Timing(20 * MS, 400 * MS, 1_500 * MS, 5_000 * MS, 10_000 * MS)
PLAIN = Habits(Mode.IDLE)
DOUBLES = Habits(Mode.IDLE, double=True)
HOLDS = Habits(Mode.RECORDING, double=True)
LONGS = Habits(Mode.RECORDING, double=True, long=True)
ALL_HABITS = [PLAIN, DOUBLES, HOLDS, LONGS, Habits(Mode.ASLEEP, long=True)]


def edges(*ms: float, down: bool = True) -> list[Edge]:
    """Down, up, down, ... at these milliseconds."""
    return [Edge(round(at * MS), (number % 2 == 0) is down) for number, at in enumerate(ms)]


def found(habits: Habits, *ms: float, until: float = 60_000) -> list[Found]:
    return Recogniser(TIMING).feed(round(until * MS), edges(*ms), habits)


def named(found: Sequence[Found]) -> list[tuple[str, int]]:
    """What, and at which millisecond the hand began; without what is only felt on the way."""
    return [
        (f.gesture.value if isinstance(f, Gestured) else type(f).__name__.lower(), round(f.mono_ns / MS))
        for f in found
        if not isinstance(f, Reached)
    ]


@pytest.mark.parametrize(
    ("habits", "ms", "expected"),
    [
        (PLAIN, (100, 200), [("press", 100)]),
        (PLAIN, (100, 200, 350, 450), [("press", 100), ("press", 350)]),
        (DOUBLES, (100, 200), [("press", 100)]),
        (DOUBLES, (100, 200, 350, 450), [("double", 100)]),
        (DOUBLES, (100, 200, 600, 700), [("double", 100)]),
        (DOUBLES, (100, 200, 601, 700), [("press", 100), ("press", 601)]),
        (DOUBLES, (100, 200, 350, 450, 500, 600), [("double", 100), ("press", 500)]),
        (DOUBLES, (100, 200, 350, 2_000), [("press", 100), ("hold", 350)]),
        (PLAIN, (100, 1_599), [("press", 100)]),
        (PLAIN, (100, 1_600), [("hold", 100)]),
        (PLAIN, (100, 8_000), [("hold", 100)]),
        (HOLDS, (100, 8_000), [("hold", 100)]),
        (HOLDS, (100, 1_595, 1_598, 1_602), [("press", 100)]),
        (DOUBLES, (100, 200, 595, 598, 602, 800), [("double", 100)]),
        (PLAIN, (100, 10_095, 10_098, 10_102), [("hold", 100)]),
        (LONGS, (100, 5_099), [("hold", 100)]),
        (LONGS, (100, 5_100), [("long", 100)]),
        (PLAIN, (100, 110), []),
        (PLAIN, (100, 105, 110, 115, 120, 300), [("press", 100)]),
        (PLAIN, (100, 300, 305, 310), [("press", 100)]),
        (PLAIN, (100, 10_099), [("hold", 100)]),
        (PLAIN, (100, 10_100), [("stuck", 100), ("freed", 10_100)]),
        (HOLDS, (100, 20_000), [("stuck", 100), ("freed", 20_000)]),
        (DOUBLES, (100, 200, 300, 20_000), [("press", 100), ("stuck", 300), ("freed", 20_000)]),
        (PLAIN, (100, 20_000, 21_000, 21_100), [("stuck", 100), ("freed", 20_000), ("press", 21_000)]),
    ],
)
def test_what_a_hand_does(habits: Habits, ms: tuple[float, ...], expected: list[tuple[str, int]]) -> None:
    assert named(found(habits, *ms)) == expected


def test_a_hold_is_felt_when_it_is_one_and_done_at_the_release() -> None:
    recogniser = Recogniser(TIMING)
    assert recogniser.feed(1_599 * MS, edges(100), LONGS) == []
    assert recogniser.feed(1_600 * MS, [], LONGS) == [Reached(Gesture.HOLD, 100 * MS)]
    assert recogniser.feed(5_000 * MS, [], LONGS) == []
    assert recogniser.feed(5_100 * MS, [], LONGS) == [Reached(Gesture.LONG, 100 * MS)]
    assert named(recogniser.feed(7_000 * MS, edges(6_900, down=False), LONGS)) == [("long", 100)]


def test_a_button_that_is_stuck_says_so_while_it_is() -> None:
    recogniser = Recogniser(TIMING)
    assert recogniser.feed(10_000 * MS, edges(1), PLAIN) == [Reached(Gesture.HOLD, 1 * MS)]
    assert recogniser.feed(11_000 * MS, [], PLAIN) == [Stuck(1 * MS)]
    assert recogniser.feed(99_000 * MS, [], PLAIN) == []
    assert recogniser.feed(100_000 * MS, edges(99_500, down=False), PLAIN) == [Freed(99_500 * MS)]


def test_a_contact_that_flutters_for_ever_is_stuck() -> None:
    flutter = edges(*(n * 5 for n in range(1, 4_002)))
    assert named(Recogniser(TIMING).feed(30_000 * MS, flutter, PLAIN)) == [("stuck", 5)], "it ends down"
    flutter.append(Edge(30_000 * MS, False))
    assert named(Recogniser(TIMING).feed(40_000 * MS, flutter, PLAIN)) == [("stuck", 5), ("freed", 30_000)]


def test_a_gesture_means_what_it_meant_when_the_button_went_down() -> None:
    recogniser = Recogniser(TIMING)
    recogniser.feed(200 * MS, edges(100), PLAIN)
    assert recogniser.feed(900 * MS, edges(800, down=False), HOLDS) == [Gestured(Gesture.PRESS, 100 * MS, Mode.IDLE)]


# -- any hand, any contact, any scheduler --------------------------------------------------------------------------


@dataclass(frozen=True)
class Push:
    """As a hand makes it: how long, and how long nothing before."""

    rest_ms: int
    down_ms: int


PUSHES = st.lists(
    st.builds(Push, st.sampled_from([60, 150, 399, 400, 401, 900, 3_000]), st.integers(45, 12_000)), max_size=12
)


def edges_of(pushes: Sequence[Push], bounce_ms: Sequence[int] = ()) -> list[Edge]:
    """`bounce_ms` of fluttering after each change, a millisecond each, in turn."""
    at, made, bounces = 1_000, list[Edge](), list(bounce_ms)
    for push in pushes:
        for length, down in ((push.rest_ms, True), (push.down_ms, False)):
            at += length
            count = 2 * (bounces.pop() // 2) if bounces else 0
            made += [Edge((at + n) * MS, down is (n % 2 == 0)) for n in range(count + 1)]
    return made


def expected(pushes: Sequence[Push], habits: Habits) -> list[tuple[str, int]]:
    """The same in the words of nobody's code: each push alone, then doubles."""
    said, at, before = list[tuple[str, int]](), 1_000, None
    for push in pushes:
        begin = at + push.rest_ms
        at = begin + push.down_ms
        stuck, held = push.down_ms >= 10_000, push.down_ms >= 1_500
        if before and before[1] + 400 >= begin and not held:
            said[-1] = ("double", before[0])
            before = None
            continue
        before = None
        long = habits.long and push.down_ms >= 5_000
        if held:
            said += [] if stuck else [("long" if long else "hold", begin)]
        else:
            said.append(("press", begin))
            before = (begin, at) if habits.double else None
        said += [("stuck", begin), ("freed", at)] if stuck else []
    return said


@given(PUSHES, st.sampled_from(ALL_HABITS), st.lists(st.integers(0, 18), max_size=24), st.data())
def test_any_hand_is_understood_whatever_the_contact_and_the_scheduler_do(
    pushes: list[Push], habits: Habits, bounce_ms: list[int], data: st.DataObject
) -> None:
    """However edges bounce, and however seldom somebody looks: in batches, late, or each millisecond."""
    made = edges_of(pushes, bounce_ms)
    end_ns = (made[-1].mono_ns if made else 0) + 30_000 * MS
    looks = sorted(data.draw(st.lists(st.integers(0, end_ns), max_size=20)))
    recogniser, said = Recogniser(TIMING), list[Found]()
    for begin_ns, now_ns in pairwise([-1, *looks, end_ns]):
        said += recogniser.feed(now_ns, [e for e in made if begin_ns < e.mono_ns <= now_ns], habits)
    assert named(said) == expected(pushes, habits)


@given(
    st.lists(st.tuples(st.integers(0, 11_000 * MS), st.booleans()), max_size=40),
    st.sampled_from(ALL_HABITS),
    st.lists(st.integers(0, 2**40), max_size=10),
)
def test_any_line_gives_the_same_however_often_it_is_asked(
    steps: list[tuple[int, bool]], habits: Habits, looks: list[int]
) -> None:
    """Noise, lost edges, an edge twice: in one batch, or looked at in between; and each press that begins, ends."""
    at, made = 0, list[Edge]()
    for after_ns, down in steps:
        at += after_ns
        made.append(Edge(at, down))
    made.append(Edge(at + MS, False))
    end_ns = at + 60_000 * MS
    once = Recogniser(TIMING).feed(end_ns, made, habits)
    often, recogniser = list[Found](), Recogniser(TIMING)
    for begin_ns, now_ns in pairwise([-1, *sorted(look % end_ns for look in looks), end_ns]):
        often += recogniser.feed(now_ns, [e for e in made if begin_ns < e.mono_ns <= now_ns], habits)
    assert often == once
    ends = [type(f) for f in once if isinstance(f, (Stuck, Freed))]
    assert ends == [Stuck, Freed] * (len(ends) // 2), "what is stuck is freed, once each"
    begins = [f.mono_ns for f in once if isinstance(f, Gestured)]
    assert begins == sorted(set(begins)), "one gesture a hand"
