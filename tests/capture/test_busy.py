"""Whether what is done with each picture keeps up with the camera."""

from __future__ import annotations

import pytest

from agent.capture.busy import TURNS, Busy

STEP = 33_000_000


class Clock:
    now_ns = 10 * STEP

    def __call__(self) -> int:
        return self.now_ns


def turns(busy: Busy, clock: Clock, shares: list[float]) -> None:
    for share in shares:
        busy.begin(STEP)
        clock.now_ns += round(share * STEP)
        busy.done()
        clock.now_ns += round(max(0, 1 - share) * STEP)


@pytest.mark.parametrize(
    ("shares", "behind"),
    [
        ([0.9] * 40, False),
        ([1.05] * 40, True),
        ([2.0] * 40, True),
        ([0.5] * 40 + [4.0] + [0.1] * 5, False),
        ([2.0] * 40 + [0.5] * TURNS, False),
        ([], False),
    ],
)
def test_it_is_behind_where_the_last_took_longer_than_the_camera_for_as_many(shares: list[float], behind: bool) -> None:
    clock = Clock()
    busy = Busy(clock)
    turns(busy, clock, shares)
    assert busy.behind is behind


def test_one_that_never_ends_is_behind_and_a_camera_that_gives_nothing_is_not() -> None:
    clock = Clock()
    busy = Busy(clock)
    turns(busy, clock, [1.5] * TURNS)
    assert busy.behind
    clock.now_ns += 20 * STEP
    assert not busy.behind
    busy = Busy(clock)
    busy.begin(STEP)
    assert not busy.behind
    clock.now_ns += 11 * STEP
    assert busy.behind
