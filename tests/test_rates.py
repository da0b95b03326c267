"""A lower rate and bitrate while it runs: what is left out is chosen evenly, and counted as left out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.intake.delivery import Tally
from agent.intake.thinning import Thinning
from agent.model import NS, Track
from tests import avcompare
from tests.test_intake import Take, twins


@given(
    st.integers(1, 60),
    st.integers(5, 60),
    st.lists(st.integers(-20, 20), min_size=300, max_size=300),
    st.integers(0, NS),
)
def test_so_many_a_second_are_kept_as_are_wanted(wanted: int, given_fps: int, jitter: list[int], first_ns: int) -> None:
    """Of a lens whose stamps are off by up to a fifth of their distance."""
    every = NS // given_fps
    stamps = [first_ns + n * every + j * every // 100 for n, j in enumerate(jitter)]
    thinning = Thinning(wanted)
    kept = [s for s in stamps if not thinning.leaves_out(s)]
    seconds = (stamps[-1] - stamps[0]) / NS
    assert len(kept) <= wanted * seconds * 1.2 + 2
    assert len(kept) >= min(wanted, given_fps) * seconds * 0.6 - 2
    # A picture that is wanted is waited for no longer than its turn and one picture of the lens.
    assert max((b - a for a, b in pairwise(kept)), default=0) <= NS // wanted + 2.2 * every


@pytest.mark.parametrize("rate", [(30, 15), (30, 10), (25, 5), (60, 30)])
def test_an_even_lens_gives_exactly_the_rate(rate: tuple[int, int]) -> None:
    given_fps, wanted = rate
    thinning = Thinning(wanted)
    kept = [n for n in range(10 * given_fps) if not thinning.leaves_out(n * NS // given_fps)]
    assert len(kept) == 10 * wanted
    assert {b - a for a, b in pairwise(kept)} == {given_fps // wanted}


def test_all_are_kept_where_all_are_wanted_and_after_a_stamp_far_back() -> None:
    assert not any(Thinning().leaves_out(n) for n in range(100))
    thinning = Thinning(10)
    assert [thinning.leaves_out(s * NS // 20) for s in (1000, 1001, 1002, 3, 4, 5)] == [False, True, False] * 2


def test_a_tally_tells_what_is_left_out_from_what_is_dropped() -> None:
    tally = Tally(0, 10, 0)
    tally.miss(3, on_purpose=True)
    tally.miss(2, on_purpose=False)
    assert (tally.captured, tally.encoded, tally.left_out, tally.dropped) == (15, 10, 3, 2)


def test_a_running_intake_goes_down_and_up_again_in_one_film(tmp_path: Path) -> None:
    with Take(*twins()) as take:
        tally = take.attach()
        take.wait_seconds(1.2)
        take.intake.set_rate(400, 10)
        take.wait_seconds(3.5)
        take.intake.set_rate(1500, 0)
        take.wait_seconds(5.2)
        pictures = [p for p in take.packets if p.track is Track.VIDEO]
        film = avcompare.decode(take.finish(tmp_path / "film.mp4"))
        counters = take.intake.counters()
    zero_ns = pictures[0].pts_ns
    each = [sum(n * NS <= p.pts_ns - zero_ns < (n + 1) * NS for p in pictures) for n in range(5)]
    assert each[0] > 25
    assert 9 <= each[2] <= 11
    assert each[4] > 25
    assert tally.left_out > 30
    assert tally.dropped == counters.frames_dropped == 0, "nothing is dropped that is left out on purpose"
    assert tally.captured == tally.encoded + tally.left_out
    assert counters.frames_left_out >= tally.left_out
    assert len(film.pictures) == tally.encoded
