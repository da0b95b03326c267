"""How many pictures never came, where only stamps tell."""

from __future__ import annotations

import itertools
import random

import pytest

from agent.capture.numbering import Numbering
from agent.model import NS

STEP = NS // 30


def missed(stamps: list[int], fps: float = 30) -> int:
    numbering = Numbering(fps)
    return sum(numbering.missed(stamp, None) for stamp in stamps)


@pytest.mark.parametrize("fps", [20, 24, 30, 45, 120])
def test_a_camera_at_another_rate_than_agreed_has_lost_nothing(fps: int) -> None:
    assert missed([n * NS // fps for n in range(100)]) == 0


@pytest.mark.parametrize("every", [2, 3, 4])
def test_one_that_loses_all_but_every_second_or_third_picture_from_its_first_on_is_counted(every: int) -> None:
    """It looks like one that gives fewer than asked, which may be so too: nobody is sure. What comes is usual."""
    numbering = Numbering(30)
    assert sum(numbering.missed(n * STEP, None) for n in range(0, 300, every)) == 299 // every * (every - 1)
    assert not numbering.sure
    assert numbering.usual_ns == pytest.approx(every * STEP, rel=0.01)
    # Also where it then loses one of those that did come.
    assert numbering.missed((300 + every) * STEP, None) == 2 * every - 1
    # One that nobody pins was only asked, and may well give fewer.
    free = Numbering(30, pinned=False)
    assert sum(free.missed(n * STEP, None) for n in range(0, 300, every)) == 0


def test_and_where_a_higher_rate_is_asked_for_and_every_other_picture_of_it_is_lost() -> None:
    pictures = follows(0, 15, 30)[:40]
    pictures += [(pictures[-1][0] + n * 2 * STEP, 30) for n in range(1, 101)]
    assert told(pictures)[-1] == 100 - 12 - 5, "all but those which may have been under way still"


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


def stamped(given: list[int], asked: list[int]) -> list[tuple[int, int]]:
    """Pictures at these rates, whose stamps waver by up to 1 ms; with each what is asked for as it comes."""
    wavers = random.Random(1)
    stamps = itertools.accumulate((NS // fps for fps in given), initial=NS)
    return [(stamp + wavers.randint(-1, 1) * 500_000, fps) for stamp, fps in zip(stamps, asked, strict=False)]


def follows(lag: int, *rates: int) -> list[tuple[int, int]]:
    """Forty pictures of each of these rates, to which the camera comes `lag` pictures after it is asked for it."""
    asked = [fps for fps in rates for _ in range(40)]
    return stamped([rates[0]] * lag + asked, asked)


def told(pictures: list[tuple[int, int]]) -> list[int]:
    """With each picture, how many were said to be missing so far."""
    numbering, counts = Numbering(pictures[0][1]), [0]
    for stamp, fps in pictures:
        numbering.ask(fps)
        counts.append(counts[-1] + numbering.missed(stamp, None))
    return counts[1:]


CHANGES = [(30, 15), (15, 30), (30, 10), (10, 30), (30, 5), (30, 20), (30, 25), (30, 15, 10), (30, 10, 30)]


@pytest.mark.parametrize("rates", CHANGES)
def test_a_camera_that_follows_another_rate_late_has_lost_nothing(rates: tuple[int, ...]) -> None:
    assert [told(follows(lag, *rates))[-1] for lag in range(13)] == [0] * 13


def test_nor_has_one_that_is_asked_again_before_it_followed() -> None:
    asked = [30] * 40 + [10] * 3 + [30] * 40
    assert told(stamped([30] * 9 + asked, asked))[-1] == 0


@pytest.mark.parametrize("rates", [(30, 15), (15, 30), (30, 10), (10, 30)])
@pytest.mark.parametrize("lag", [0, 3, 9])
def test_what_is_lost_while_a_rate_changes_is_told_soon(rates: tuple[int, ...], lag: int) -> None:
    """Two pictures in a row: both, except around the one at which the camera followed. What came between fits neither
    rate, or both, and is counted as what accuses least.
    """
    for at in range(30, 70):
        pictures = follows(lag, *rates)
        del pictures[at : at + 2]
        counts = told(pictures)
        around = at - 1 <= 40 + lag <= at + 2
        assert counts[-1] in ((0, 1, 2) if around else (2,))
        assert counts[min(at + 18, len(counts) - 1)] == counts[-1]


def slowed(passes: list[int], pictures: int, period_ns: int = STEP) -> tuple[list[int], int]:
    """Sixty pictures, then those of a sensor of which only every so many find a buffer; and how many did not."""
    stamps = [n * period_ns for n in range(60)]
    kept = [every for _ in range(pictures) for every in passes]
    return stamps + list(itertools.accumulate((every * period_ns for every in kept), initial=60 * period_ns)), sum(
        every - 1 for every in kept
    )


@pytest.mark.parametrize("passes", [[2], [3], [1, 2], [1, 2, 2], [5, 1]], ids=str)
def test_what_is_lost_without_an_end_is_counted_without_an_end(passes: list[int]) -> None:
    """As behind an encoder that takes longer than a picture lasts: the holes do not become what is usual."""
    stamps, lost = slowed(passes, 200)
    assert missed(stamps) == lost


def test_also_where_a_rate_is_asked_for_meanwhile() -> None:
    """Every other picture is lost at 30, and then at 20."""
    stamps, lost = slowed([2], 100)
    pictures = [(stamp, 30) for stamp in stamps]
    pictures += [(stamps[-1] + n * 2 * NS // 20, 20) for n in range(1, 101)]
    assert told(pictures)[-1] == lost + 100


@pytest.mark.parametrize("fps", [20, 24, 45, 60])
def test_a_camera_that_comes_to_another_rate_unasked_is_soon_believed(fps: int) -> None:
    stamps = [n * STEP for n in range(100)]
    stamps += [stamps[-1] + n * NS // fps for n in range(1, 1000)]
    assert missed(stamps) <= 5


@pytest.mark.parametrize("fps", [10, 15])
def test_one_that_nobody_pins_may_take_longer_for_each_picture_in_the_dark(fps: int) -> None:
    numbering = Numbering(30, pinned=False)
    stamps = [n * STEP for n in range(100)]
    stamps += [stamps[-1] + n * NS // fps for n in range(1, 1000)]
    assert sum(numbering.missed(stamp, None) for stamp in stamps) < 50


@pytest.mark.parametrize("asked", [15, 30, 60])
def test_how_long_the_sensor_says_that_a_picture_takes_is_what_counts(asked: int) -> None:
    """Whatever was asked of it: 30 a second, of which each second one is lost from the first on; then 15."""
    numbering, count, at_ns = Numbering(asked), 0, 0
    for _ in range(200):
        at_ns += 2 * STEP
        count += numbering.missed(at_ns, None, STEP)
    assert count == 199
    for _ in range(200):
        at_ns += 2 * STEP
        count += numbering.missed(at_ns, None, 2 * STEP)
    assert count in (199, 200)
    assert numbering.longest_ns == pytest.approx(2 * STEP)
    # And where it says no more, that is usual.
    assert numbering.missed(at_ns + 5 * STEP, None) == 1


def test_only_driver_and_sensor_are_sure_of_what_was_lost() -> None:
    numbered, told, stamped = (Numbering(30) for _ in range(3))
    for n in range(0, 40, 2):
        assert numbered.missed(n * STEP, n) == told.missed(n * STEP, None, STEP) == (n > 0)
        stamped.missed(n * STEP, None)
    assert (numbered.sure, told.sure, stamped.sure) == (True, True, False)
    # Numbers that cannot be are none.
    numbered.missed(40 * STEP, 7)
    assert not numbered.sure
