"""Stamps as no driver should give them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.stampclock import AHEAD_NS, BEHIND_NS
from agent.intake.stamps import Stamps
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
