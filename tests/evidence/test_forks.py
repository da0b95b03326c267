"""Two signed histories of one log: the fork is named, nothing that lies in either is missing, and which one is followed
hangs on what the files hold, not on their names.
"""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from agent.evidence.findings import Finding, What
from tests.builders import Camera
from tests.evidence.fork_kit import begun, both_in, grow, parted
from tests.evidence.kit import failures, write_head


def histories(*sizes: tuple[int, ...]) -> list[Camera]:
    """One life up to leaf 1, then as many as sizes are given, each in segments of so many leaves."""
    camera = begun(seed=1)
    return [grow(parted(camera, seed), *own) for seed, own in enumerate(sizes, 2)]


def told(found: list[Finding]) -> set[tuple[What, str | None, int | None, int | None]]:
    return {(f.what, f.segment, f.first, f.last) for f in found}


def spans(camera: Camera, start: int = 2) -> dict[str, tuple[int, int]]:
    """First and last leaf of each segment from leaf `start` on."""
    after = [(s.name, s.entries[0].index, s.entries[-1].index) for s in camera.segments]
    return {name: (first, last) for name, first, last in after if first >= start}


SHORT_AND_LONG = [((3, 4), (6, 5, 4, 3)), ((2, 2, 2), (9, 2, 2)), ((8,), (3, 6, 2, 2))]


@pytest.mark.parametrize("sizes", SHORT_AND_LONG)
def test_the_history_that_reaches_further_is_followed_and_all_of_the_other_is_a_fork(
    sizes: tuple[tuple[int, ...], ...], tmp_path: Path
) -> None:
    short, long = histories(*sizes)
    for number, order in enumerate(permutations((short, long))):
        found = failures(both_in(tmp_path / f"{number}", *order))
        assert {f.what for f in found} == {What.FORK}, [f.line() for f in found]
        assert {f.segment for f in found} == spans(short).keys()


@pytest.mark.parametrize("sizes", SHORT_AND_LONG)
def test_a_station_that_cosigned_one_history_decides_which_is_followed(
    sizes: tuple[tuple[int, ...], ...], tmp_path: Path
) -> None:
    """However far the other one reaches; what it has beyond the end of the one followed is not missing."""
    short, long = histories(*sizes)
    for number, order in enumerate(permutations((short, long))):
        place = both_in(tmp_path / f"{number}", *order)
        head = write_head(tmp_path / "head", short.receipt(short.segments))
        assert {f.what for f in failures(place, head=head)} == {What.FORK}
        assert {f.segment for f in failures(place, head=head)} == spans(long).keys()
        (place / "short.receipt").write_bytes(head.read_bytes())
        assert told(failures(place)) == told(failures(place, head=head))


def test_of_two_that_reach_as_far_the_names_of_the_files_decide_nothing(tmp_path: Path) -> None:
    one, other = histories((4, 3), (4, 3))
    ways = [failures(both_in(tmp_path / f"{n}", *order)) for n, order in enumerate(permutations((one, other)))]
    assert told(ways[0]) == told(ways[1])
    assert {f.what for f in ways[0]} == {What.FORK}
    assert {f.segment for f in ways[0]} in (spans(one).keys(), spans(other).keys())


def test_what_neither_history_holds_is_still_missing(tmp_path: Path) -> None:
    """The segment of the long one that has leaves 8 to 12, of which the short one has the first."""
    short, long = histories((3, 4), (6, 5, 4, 3))
    place = both_in(tmp_path, short, long)
    gone = long.segments[2]
    assert (gone.entries[0].index, gone.entries[-1].index) == (8, 12)
    (place / "b" / f"{gone.name}.tar").unlink()
    found = [f for f in failures(place) if f.what is What.MISSING_SEGMENT]
    assert {(f.first, f.last) for f in found} == {(9, 12)}


def test_a_head_beyond_every_history_says_what_no_segment_holds(tmp_path: Path) -> None:
    short, long = histories((3, 4), (6, 5, 4, 3))
    place = both_in(tmp_path, short, long)
    gone = long.segments[-1]
    (place / "b" / f"{gone.name}.tar").unlink()
    head = write_head(tmp_path / "head", long.checkpoint(long.frontier.size))
    assert (What.MISSING_SEGMENT, None, 17, 19) in told(failures(place, head=head))


def test_three_histories_are_two_forks(tmp_path: Path) -> None:
    one, two, three = histories((3, 4), (5,), (2, 9))
    for number, order in enumerate(permutations((one, two, three))):
        found = failures(both_in(tmp_path / f"{number}", *order))
        assert {f.what for f in found} == {What.FORK}
        assert {f.segment for f in found} == spans(one).keys() | spans(two).keys()
