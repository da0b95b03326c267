"""Stamps as no driver should give them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.stampclock import BEHIND_NS
from agent.intake.stamps import AHEAD_NS, Stamps
from agent.model import NS, VIDEO_HZ

STEP_NS = NS // 30
NOW_NS = 10_000 * NS


def ticks(mono_ns: int) -> int:
    return (mono_ns * VIDEO_HZ + NS // 2) // NS


def place(stamps: list[int], arrivals: list[int] | None = None, live: bool = True) -> tuple[list[int], int]:
    """As offsets from NOW_NS; they arrive in their time unless told otherwise."""
    made = Stamps(live)
    come = arrivals or [n * STEP_NS for n in range(len(stamps))]
    placed = [made.place(NOW_NS + s, NOW_NS + at, STEP_NS) - NOW_NS for s, at in zip(stamps, come, strict=True)]
    return placed, made.replaced


REGULAR = [n * STEP_NS for n in range(30)]


@pytest.mark.parametrize("shift_ns", [0, -200_000_000, 29_000_000])
def test_stamps_that_rise_are_left_alone_though_they_lie_a_little_in_the_future(shift_ns: int) -> None:
    stamps = [at + shift_ns for at in REGULAR]
    assert place(stamps) == (stamps, 0)


@pytest.mark.parametrize("wrong_ns", [3600 * NS, -3600 * NS, AHEAD_NS + STEP_NS, -BEHIND_NS - NS, -NOW_NS])
def test_one_wild_stamp_moves_no_other(wrong_ns: int) -> None:
    stamps = list(REGULAR)
    stamps[10] += wrong_ns
    assert place(stamps) == (REGULAR, 1)


@pytest.mark.parametrize("late", ["at once", "each", "more and more"])
@pytest.mark.parametrize("wrong_ns", [3600 * NS, -3600 * NS])
def test_one_wild_stamp_moves_no_other_though_a_busy_machine_takes_them_late(wrong_ns: int, late: str) -> None:
    stamps = list(REGULAR)
    stamps[10] += wrong_ns
    held_ns = {
        "at once": lambda n: (16 - n) * STEP_NS,
        "each": lambda n: NS // 4,
        "more and more": lambda n: n * NS // 50,
    }
    arrivals = [at + (max(0, held_ns[late](n)) if n >= 8 else 0) for n, at in enumerate(REGULAR)]
    assert place(stamps, arrivals) == (REGULAR, 1)


def test_a_wild_stamp_after_a_silence_lies_where_it_arrived() -> None:
    stamps = [at + (60 * NS if n >= 10 else 0) for n, at in enumerate(REGULAR)]
    wild = [at + (3600 * NS if n == 10 else 0) for n, at in enumerate(stamps)]
    assert place(wild, stamps) == (stamps, 1)


def test_wild_stamps_in_a_row_keep_the_pace_of_their_arrivals() -> None:
    """Nobody knows how much time passes between them."""
    stamps = [at + (NS * 3600 * (-1) ** n if n >= 10 else 0) for n, at in enumerate(REGULAR)]
    arrivals = [at if n < 10 else 2 * at - 9 * STEP_NS for n, at in enumerate(REGULAR)]
    placed, replaced = place(stamps, arrivals)
    assert replaced == 20
    assert placed[:11] == REGULAR[:11] and placed[11:] == arrivals[11:]


@pytest.mark.parametrize("back_ns", [STEP_NS, STEP_NS + 5, NS])
def test_one_that_repeats_or_steps_back_lies_after_the_last_and_moves_no_other(back_ns: int) -> None:
    stamps = list(REGULAR)
    stamps[10] -= back_ns
    assert place(stamps) == (REGULAR, 1)


def test_what_waited_and_comes_at_once_keeps_its_own_stamps() -> None:
    arrivals = [max(at, 15 * STEP_NS) for at in REGULAR]
    assert place(REGULAR, arrivals) == (REGULAR, 0)


def test_a_burst_with_one_stamp_stays_a_burst() -> None:
    stamps = [0, STEP_NS, STEP_NS, STEP_NS, STEP_NS, 2 * STEP_NS]
    placed, replaced = place(stamps, [0, *[STEP_NS + 1000 * n for n in range(4)], 2 * STEP_NS])
    assert replaced == 3
    assert placed[4] < STEP_NS + 100_000 and placed[5] == 2 * STEP_NS


def test_a_clip_that_is_held_up_is_not_wild() -> None:
    stamps = [n * STEP_NS for n in range(600)]
    assert place(stamps, [100 * NS] * 600, live=False) == (stamps, 0)


@given(
    st.lists(st.tuples(st.integers(-20 * NS, 20 * NS), st.integers(0, NS)), min_size=2, max_size=40),
    st.booleans(),
)
def test_whatever_comes_the_timeline_rises_and_stays_near_its_arrival(items: list[tuple[int, int]], live: bool) -> None:
    arrivals = list(itertools.accumulate(wait for _, wait in items))
    stamps = [at + off for at, (off, _) in zip(arrivals, items, strict=True)]
    placed, replaced = place(stamps, arrivals, live)
    assert all(a < b for a, b in itertools.pairwise(placed))
    fell = [(a, b) for (a, b), stamp in zip(itertools.pairwise(placed), stamps[1:], strict=True) if stamp <= a]
    assert live or all(ticks(NOW_NS + a) < ticks(NOW_NS + b) for a, b in fell)
    assert replaced == sum(a != b for a, b in zip(placed, stamps, strict=True))
    if live:
        assert all(p - at <= AHEAD_NS + NS for p, at in zip(placed, arrivals, strict=True))
