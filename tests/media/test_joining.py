"""Parts that waited become longer ones: which, how many, and never one that is live."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.media.joining import GAIN, LIVE_NS, MOST_BYTES, MOST_NS, MOST_PIECES, WRITE_NS, Joining, joined
from agent.model import NS, MediaPart
from agent.sealing.rotation import Rotation
from agent.sealing.settings import SealerSettings

PART_NS = NS // 2
LONG_AGO = 1_000 * NS


def parts(count: int, size: int = 1_000, first: int = 0, idr_every: int = 2) -> list[MediaPart]:
    return [
        MediaPart(n, bytes([n % 256]) * size, n * PART_NS, PART_NS, n % idr_every == 0, 15, 24_000)
        for n in range(first, first + count)
    ]


def grown() -> Joining:
    """One whose disk has taken parts of every length at once."""
    joining = Joining()
    for _ in range(4):
        joining.took(joined(parts(MOST_PIECES)), 0)
    return joining


def test_the_first_part_goes_alone_and_what_follows_twice_as_many() -> None:
    joining, taken = Joining(), []
    for _ in range(5):
        taken.append(joining.choose(parts(40, idr_every=1), LONG_AGO))
        joining.took(joined(parts(taken[-1])), NS // 10)
    assert taken == [1, 2, 4, 7, 7]
    assert joined(parts(7)).duration_ns <= MOST_NS < joined(parts(8)).duration_ns


def given(joining: Joining, sync_s: float, a_second_s: float = 0.0, writes: int = 6, idr_every: int = 1) -> list[int]:
    """How many each time, by a disk that takes so long for a sync and for each second of media."""
    taken = []
    for _ in range(writes):
        taken.append(joining.choose(parts(40, idr_every=idr_every), LONG_AGO))
        part = joined(parts(taken[-1]))
        joining.took(part, round(sync_s * NS) + round(a_second_s * part.duration_ns))
    return taken


def test_a_disk_that_takes_long_for_much_is_given_less_as_long_as_it_keeps_up() -> None:
    joining = grown()
    assert given(joining, 0.3, 0.25) == [7, 3, 2, 2, 2, 2]
    assert given(grown(), 0.0, 0.75)[:2] == [7, 3]
    assert given(joining, 0.0, 0.1) == [2, 4, 7, 7, 7, 7]


@pytest.mark.parametrize("idr_every", (1, 2, 4))
@pytest.mark.parametrize("sync_s", (0.55, 0.6, 0.8, 1.0, 1.3, 2.0, 2.7))
@pytest.mark.parametrize("was_fast", (True, False))
def test_a_disk_that_takes_long_for_each_write_is_given_as_much_as_comes_in_meanwhile(
    sync_s: float, idr_every: int, was_fast: bool
) -> None:
    """And a quarter more: in single parts it would fall behind for ever."""
    taken = given(grown() if was_fast else Joining(), sync_s, writes=12, idr_every=idr_every)[4:]
    assert sum(taken) * PART_NS >= len(taken) * sync_s * NS * (GAIN + 1) / GAIN


def test_what_is_live_is_never_put_together() -> None:
    assert LIVE_NS == NS
    joining = grown()
    assert joining.choose(parts(6), live_from_ns=PART_NS) == 1
    assert joining.choose(parts(6), live_from_ns=2 * PART_NS - 1) == 1
    assert joining.choose(parts(6), live_from_ns=2 * PART_NS) == 2
    assert joining.choose(parts(6), live_from_ns=4 * PART_NS + 1) == 4
    assert joining.choose(parts(1), LONG_AGO) == 1


@pytest.mark.parametrize(("size", "count"), [(1_000, 7), (MOST_BYTES // 4, 4), (MOST_BYTES // 4 + 1, 3), (4 << 20, 1)])
def test_no_part_grows_beyond_its_bytes(size: int, count: int) -> None:
    assert grown().choose(parts(20, size, idr_every=1), LONG_AGO) == count


@pytest.mark.parametrize(
    ("first", "waiting", "count"),
    [
        pytest.param(0, 8, 6, id="whole groups of pictures, where what follows is known"),
        pytest.param(0, 7, 6, id="known by the last that waits"),
        pytest.param(1, 8, 7, id="back to where the next can be decoded alone"),
        pytest.param(0, 4, 2, id="also for the price of half of them"),
        pytest.param(0, 2, 2, id="all there is"),
    ],
)
def test_it_leaves_off_before_an_idr_picture_where_it_can(first: int, waiting: int, count: int) -> None:
    assert grown().choose(parts(waiting, first=first), LONG_AGO) == count


def test_a_longer_part_holds_what_they_hold_and_says_so() -> None:
    several = parts(3, first=4)
    one = joined(several)
    assert one.data == b"".join(part.data for part in several)
    assert (one.number, one.start_ns, one.duration_ns) == (4, 2 * NS, 3 * PART_NS)
    assert (one.starts_with_idr, one.video_frames, one.audio_samples, one.pieces) == (True, 45, 72_000, 3)
    assert joined([one, *parts(1, first=7)]).pieces == 4


def test_sound_that_was_late_begins_the_longer_part_where_it_was_heard() -> None:
    first, second = parts(2)
    late = replace(second, start_ns=first.start_ns - 1_000, duration_ns=2 * PART_NS + 1_000)
    whole = joined([first, late])
    assert (whole.start_ns, whole.duration_ns) == (late.start_ns, late.duration_ns)


@pytest.mark.parametrize(("size", "idr_every"), [(125_000, 4), (500_000, 2)], ids=["2 Mbit/s", "8 Mbit/s"])
@pytest.mark.parametrize("piece_ns", [PART_NS, PART_NS + 500_000])
@pytest.mark.parametrize("slow", [False, True])
def test_a_segment_begins_with_an_idr_picture_after_58_seconds_also_where_parts_are_long(
    slow: bool, piece_ns: int, size: int, idr_every: int
) -> None:
    """IDR pictures two seconds apart, or one; and each third write slow. Before that where a longer part would reach
    beyond the sixty, which one of pieces of half a second to the point does not.
    """
    settings = SealerSettings("cam-0001", (), Path("open"), Path("sealed"), Path("reserve"))
    given = parts(300, size, idr_every=idr_every)
    waiting = [replace(p, start_ns=p.number * piece_ns, duration_ns=piece_ns) for p in given]
    joining = Joining()
    filled, start_ns, begun, taken = 0, 0, list[MediaPart](), 0
    while waiting:
        part = joined(waiting[: joining.choose(waiting, LONG_AGO)])
        del waiting[: part.pieces]
        if filled and Rotation(settings, filled, start_ns, part).due:
            begun.append(part)
            too_long = part.start_ns + part.duration_ns - start_ns > 60 * NS and piece_ns > PART_NS
            assert part.start_ns - start_ns >= 58 * NS or too_long
            filled, start_ns = 0, part.start_ns
        filled += len(part.data)
        taken += 1
        joining.took(part, WRITE_NS + 1 if slow and taken % 3 == 0 else 0)
    assert len(begun) == 2 and all(part.starts_with_idr for part in begun)
