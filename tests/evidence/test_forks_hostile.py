"""What somebody lays beside the true log, with the session's key or with none, changes neither what is followed nor
what is said of the true files.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from agent.evidence.blobs import blob_of
from agent.evidence.findings import What
from agent.evidence.heads import Head
from agent.evidence.histories import Beside, Piece, Ranks
from tests.builders import Camera
from tests.evidence.fork_kit import (
    begun,
    bent,
    beside_open,
    copy_and_fork,
    following_copy,
    following_instead,
    grow,
    longer_copy,
    longer_in_open,
    longer_instead,
    parted,
    spoilt_at_its_first,
    torn_copy,
    with_a_tail,
)
from tests.evidence.kit import failures, notes, report_of, write_head
from tests.evidence.test_forks import told


def followed(place: Path) -> list[tuple[str, int]]:
    """Directory and first leaf of each segment that is followed."""
    (log,) = report_of(place).logs
    return [(result.blob.path.parent.name, result.first) for result in log.results]


# -- in open/ ------------------------------------------------------------------------------------------------------


def test_a_sealed_history_beside_the_one_in_open_is_a_fork(tmp_path: Path) -> None:
    true, _ = beside_open(tmp_path)
    found = failures(tmp_path)
    assert told(found) == {(What.FORK, true.open and true.open.name, 6, 9)}, [f.line() for f in found]


def test_one_in_open_that_goes_on_where_the_true_one_was_sealed_is_a_fork(tmp_path: Path) -> None:
    (true,) = longer_in_open(tmp_path)
    assert told(failures(tmp_path)) == {(What.FORK, true.segments[1].name, 2, 5)}


def test_what_a_station_cosigned_is_followed_in_open_too(tmp_path: Path) -> None:
    true, false = beside_open(tmp_path)
    (tmp_path / "a.receipt").write_bytes(true.receipt([], true.frontier.size))
    assert followed(tmp_path)[-1] == ("open", 6)
    found = failures(tmp_path)
    assert {f.what for f in found} == {What.FORK}, [f.line() for f in found]
    assert {f.segment for f in found} == {s.name for s in false.segments[2:]}


@pytest.mark.parametrize("cosigned", [False, True])
@pytest.mark.parametrize("also_open", [False, True])
def test_an_earlier_copy_in_open_is_no_failure(tmp_path: Path, cosigned: bool, also_open: bool) -> None:
    """A backup of a spool, given beside a later one of it."""
    camera = begun(seed=1)
    camera.event()
    assert camera.open is not None
    for directory, more in (("one/open", 0), ("two/open" if also_open else "two/sealed", 3)):
        for _ in range(more):
            camera.event()
        camera.open.sealed = directory.endswith("sealed")
        camera.open.write(tmp_path / directory)
    camera.write(tmp_path / "two")
    if cosigned:
        (tmp_path / "a.receipt").write_bytes(camera.receipt([], 3))
    assert failures(tmp_path) == []
    assert What.TAIL_UNPROVEN in notes(tmp_path)


def test_a_copy_from_before_the_last_entry_was_whole_makes_no_fork(tmp_path: Path) -> None:
    (true,) = torn_copy(tmp_path)
    (log,) = report_of(tmp_path).logs
    assert (log.results[-1].blob.path.parent.parent.name, log.end) == ("later", true.frontier.size)
    assert failures(tmp_path) == []
    head = write_head(tmp_path / "head", true.checkpoint(true.frontier.size))
    assert failures(tmp_path, head=head) == []


# -- a fork in which something fails -------------------------------------------------------------------------------


def test_what_continues_a_spoiled_fork_is_a_fork(tmp_path: Path) -> None:
    """A byte turned over in its own first segment does not bring its second one into the log that is followed."""
    _, false = spoilt_at_its_first(tmp_path)
    first, second = false.segments[1:3]
    found = failures(tmp_path)
    assert {(f.what, f.segment) for f in found} == {
        (What.ALTERED_BYTES, first.name),
        (What.FORK, second.name),
    }, [f.line() for f in found]


# -- without any key -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cosigned", [False, True])
@pytest.mark.parametrize("lay", [longer_copy, following_copy])
def test_a_longer_copy_that_nobody_signed_puts_no_true_segment_out(
    lay: Callable[[Path], tuple[Camera]], cosigned: bool, tmp_path: Path
) -> None:
    (true,) = lay(tmp_path)
    if cosigned:
        (tmp_path / "a.receipt").write_bytes(true.receipt(true.segments))
    assert followed(tmp_path) == [("true", 0), ("true", 2), ("true", 6), ("true", 10)]
    found = failures(tmp_path)
    assert found and {f.segment for f in found} == {true.segments[1].name}, [f.line() for f in found]


def test_a_longer_copy_hides_no_fork(tmp_path: Path) -> None:
    true, other = copy_and_fork(tmp_path)
    found = failures(tmp_path)
    assert {f.segment for f in found} == {true.segments[1].name, other.segments[1].name}
    assert [f.what for f in found if f.segment == other.segments[1].name] == [What.FORK]


@pytest.mark.parametrize("cosigned", [False, True])
@pytest.mark.parametrize("lay", [longer_instead, following_instead])
def test_a_tail_that_nobody_signed_gives_way_to_what_continues_the_proven_leaves(
    lay: Callable[[Path], tuple[Camera]], cosigned: bool, tmp_path: Path
) -> None:
    """Where the true file is lost, what stands behind it is still held against the log."""
    (true,) = lay(tmp_path)
    if cosigned:
        (tmp_path / "a.receipt").write_bytes(true.receipt(true.segments))
    (log,) = report_of(tmp_path).logs
    assert [(r.first, r.end) for r in log.results] == [(0, 2), (2, 6), (6, 10), (10, 14)]
    found = failures(tmp_path)
    assert found and {f.segment for f in found} == {true.segments[1].name}, [f.line() for f in found]
    damaged = bent(tmp_path / f"{true.segments[2].name}.tar")
    assert damaged.stem in {f.segment for f in failures(tmp_path)}
    assert [(r.first, r.end) for r in report_of(tmp_path).logs[0].results] == [(0, 2), (2, 6), (6, 10), (10, 14)]


# -- claims --------------------------------------------------------------------------------------------------------


def test_a_head_that_claims_another_place_than_its_leaves_have_inherits_nothing(tmp_path: Path) -> None:
    """The true first leaf with the frontier of a later segment: what that leads to is not this file's."""
    true = grow(begun(seed=1), 4, 4)
    true.write(tmp_path / "true")
    first, later = true.segments[0], true.segments[2]
    false = replace(first, header=replace(first.header, frontier=later.header.frontier))
    blobs = [blob_of(path) for path in (*sorted((tmp_path / "true").iterdir()), false.write(tmp_path / "false"))]
    pieces = [
        Piece(b, at, s.header.frontier) for b, at, s in zip(blobs, (0, 2, 6, 0), (*true.segments, false), strict=True)
    ]
    head = Head(true.origin, true.frontier.size, true.frontier.root(), "a receipt", False)
    ranks = Ranks(pieces, [head])
    assert ranks.of(pieces[0])[:2] == (-10, -10)
    assert ranks.of(pieces[3])[:2] == (0, 0)


# -- bounds --------------------------------------------------------------------------------------------------------


def test_what_lies_beside_is_kept_once_and_found_at_once() -> None:
    """As many gaps as spans cost no more for each."""

    def seconds(count: int) -> float:
        beside, begin = Beside(), time.process_time()
        for n in range(count):
            beside.add(3 * n, 3 * n + 2)
        for n in range(count):
            assert list(beside.without(3 * n + 1, 3 * n + 3)) == [(3 * n + 2, 3 * n + 3)]
        return time.process_time() - begin

    assert min(seconds(8000) for _ in range(3)) < 8 * min(seconds(2000) for _ in range(3))


def test_many_copies_and_histories_of_one_place_cost_each_as_much_as_one(tmp_path: Path) -> None:
    """Spoiled copies of one segment, and other histories that begin there."""
    past = begun(seed=1)
    true, other = grow(parted(past, 2), 12, 3), grow(parted(past, 3), 12)

    def seconds(count: int) -> float:
        place = tmp_path / f"{count}"
        true.write(place / "true")
        for number in range(count):
            for camera in (true, other):
                segment = camera.segments[1]
                path = place / f"{camera is true}{number}" / f"{segment.name}.tar"
                path.parent.mkdir()
                path.write_bytes(with_a_tail(segment, [900_000_000 + number]))
        begin = time.process_time()
        assert followed(place) == [("true", 0), ("true", 2), ("true", 14)]
        return time.process_time() - begin

    assert seconds(64) < 8 * seconds(16)


def test_spans_that_overlap_in_any_order_are_their_union() -> None:
    dice = Random(5)
    for _ in range(200):
        beside, held = Beside(), set[int]()
        for _ in range(dice.randint(0, 8)):
            first = dice.randrange(40)
            end = first + dice.randint(1, 9)
            beside.add(first, end)
            held |= {*range(first, end)}
        start = dice.randrange(50)
        end = start + dice.randrange(30)
        runs = list(beside.without(start, end))
        assert [i for a, b in runs for i in range(a, b)] == [i for i in range(start, end) if i not in held]
        assert all(a < b for a, b in runs) and all(one[1] < two[0] for one, two in pairwise(runs))
