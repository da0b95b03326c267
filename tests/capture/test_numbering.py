"""How many pictures never came, where only stamps tell."""

from __future__ import annotations

import pytest

from agent.capture.numbering import Numbering
from agent.model import NS

STEP = NS // 30


def missed(stamps: list[int], fps: float = 30) -> int:
    numbering = Numbering(fps)
    return sum(numbering.missed(stamp, None) for stamp in stamps)


@pytest.mark.parametrize("fps", [10, 20, 30, 45, 120])
def test_a_camera_at_another_rate_than_agreed_has_lost_nothing(fps: int) -> None:
    assert missed([n * NS // fps for n in range(100)]) == 0


@pytest.mark.parametrize("at", [1, 2, 4, 5, 6, 50])
def test_a_hole_is_counted_also_among_the_first(at: int) -> None:
    assert missed([n * STEP for n in range(100) if n not in (at, at + 1)]) == 2


@pytest.mark.parametrize("shift", [-5 * STEP, -NS, 3600 * NS, -3600 * NS])
@pytest.mark.parametrize("count", [1, 3])
def test_a_picture_with_a_wild_stamp_came_all_the_same(shift: int, count: int) -> None:
    stamps = [n * STEP + (shift if 50 <= n < 50 + count else 0) for n in range(100)]
    assert missed(stamps) == 0
    del stamps[55]
    assert missed(stamps) == 1


def test_stamps_that_go_on_from_elsewhere_are_the_new_order() -> None:
    stamps = [n * STEP for n in range(50)] + [3600 * NS + n * STEP for n in range(50) if n != 30]
    assert missed(stamps) == 1


def test_a_silence_in_which_the_camera_counted_as_lost_is_none_of_its_pictures() -> None:
    assert missed([n * STEP for n in range(50)] + [5 * NS + n * STEP for n in range(50)]) == 0
