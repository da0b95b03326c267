"""Files that the disk does not give, beside copies that were made early, segments named one by one, and receipts that
say what is no longer here: nobody is accused of what may lie in them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.evidence.findings import Sure, What
from agent.formats import span
from tests.builders import Camera, Segment
from tests.evidence.disk_kit import BLOCK, Disk, blocks_of, lacks, leaves_of, recorded
from tests.evidence.kit import empty_spool, failures, only


@pytest.fixture
def camera() -> Camera:
    return recorded(3, 3)


def early(directory: Path, segment: Segment, entries: int) -> Path:
    path = directory / "open" / f"{segment.name}.tar"
    path.parent.mkdir(parents=True)
    path.write_bytes(replace(segment, entries=segment.entries[:entries], sealed=False).to_bytes())
    return path


def lock(disk: Disk, directory: Path, *segments: Segment) -> None:
    for segment in segments:
        disk.lock(directory / f"{segment.name}.tar")


# -- named one by one -------------------------------------------------------------------------------------------------


def test_of_segments_named_one_by_one_that_with_the_start_is_here(camera: Camera, tmp_path: Path, disk: Disk) -> None:
    named = camera.write(tmp_path)
    events, first, second = camera.segments[:3]
    lock(disk, tmp_path, events)
    assert [(f.what, f.segment) for f in failures(*named)] == [(What.UNREADABLE, events.name)]
    lock(disk, tmp_path, first)
    assert {f.sure for f in lacks(*named)} == {Sure.OPEN}, "what names the events is in the first"
    disk.locked.clear()
    lock(disk, tmp_path, events)
    found = only(lacks(named[0], *named[3:]))
    assert (found.what, found.first, found.sure) == (What.MISSING_SEGMENT, 1, Sure.PROVEN)
    assert found.last == second.header.first + len(second.entries) - 1
    assert "at most" in found.text


def test_and_what_a_seal_leaf_gives_it_alone_is(camera: Camera, tmp_path: Path, disk: Disk) -> None:
    """The first, which is gone, is not excused by the events before it."""
    named = camera.write(tmp_path)
    lock(disk, tmp_path, camera.segments[1])
    found = only(lacks(*named[1:]))
    assert (found.what, found.first, found.last, found.sure) == (What.MISSING_SEGMENT, 1, 1, Sure.PROVEN)


# -- copies that were made early --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 4])
def test_what_an_early_copy_lacks_may_be_in_the_events_themselves(
    camera: Camera, tmp_path: Path, disk: Disk, number: int
) -> None:
    events = camera.segments[number]
    camera.write(tmp_path)
    camera.write_log(tmp_path / "log" / "1")
    early(tmp_path, events, 1)
    lock(disk, tmp_path, events)
    lock(disk, tmp_path, *camera.segments[1:2] if number == 0 else ())
    assert all(f.sure is Sure.OPEN for f in lacks(tmp_path))
    (tmp_path / f"{events.name}.tar").unlink()
    assert any(f.sure is Sure.PROVEN for f in lacks(tmp_path))


def test_or_in_the_sealed_segment_of_which_something_is_read(camera: Camera, tmp_path: Path, disk: Disk) -> None:
    """Without its header the copy is the one that is followed."""
    segment = camera.segments[2]
    camera.write(tmp_path)
    early(tmp_path, segment, 1)
    path = tmp_path / f"{segment.name}.tar"
    disk.spoil(path, 0, blocks_of(path)[-1])
    assert lacks(tmp_path) == []
    disk.bad.clear()
    cut = replace(segment, entries=segment.entries[:-1]).to_bytes()
    path.write_bytes(cut.ljust(segment.record().size, b"\0"))
    disk.spoil(path, 0)
    found = only([f for f in lacks(tmp_path) if f.what is What.MISSING_PARTS])
    assert (found.sure, found.last) == (Sure.PROVEN, segment.header.first + len(segment.entries) - 1)


@pytest.mark.parametrize("entries", [1, 2, 3])
def test_or_in_one_of_which_nothing_proves_what_is_read(
    camera: Camera, tmp_path: Path, disk: Disk, entries: int
) -> None:
    """Its first entry is lost: it gives way to the copy, and what that lacks may be in it."""
    segment = camera.segments[2]
    camera.write(tmp_path)
    early(tmp_path, segment, entries)
    path = tmp_path / f"{segment.name}.tar"
    disk.spoil(path, 1)
    assert lacks(tmp_path) == []


def test_of_a_segment_both_ends_of_which_are_lost_nothing_is_missing(
    camera: Camera, tmp_path: Path, disk: Disk
) -> None:
    segment = camera.segments[2]
    camera.write(tmp_path)
    path = tmp_path / f"{segment.name}.tar"
    blocks = blocks_of(path)
    disk.spoil(path, *blocks[:2], *blocks[-3:])
    assert lacks(tmp_path) == []
    path.write_bytes(replace(segment, entries=segment.entries[:-1]).to_bytes())
    disk.bad.clear()
    disk.spoil(path, 0, 1)
    found = only(lacks(tmp_path))
    assert (found.what, found.sure, found.segment) == (What.MISSING_PARTS, Sure.PROVEN, segment.name)


# -- receipts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unread", [2, 4])
def test_beside_what_a_receipt_without_leaves_names(camera: Camera, tmp_path: Path, disk: Disk, unread: int) -> None:
    """It is in a spool, or was: which leaves each has, nothing says."""
    spool = empty_spool(tmp_path / "spool", "receipts")
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt(camera.segments))
    for segment in camera.segments[unread:]:
        segment.write(spool / "delivered")
    camera.segments[0].write(spool / "delivered")
    assert lacks(spool) == []
    lock(disk, spool / "delivered", camera.segments[unread])
    assert all(f.sure is Sure.OPEN for f in lacks(spool))


def test_a_piece_of_what_a_receipt_names_is_not_here_instead_of_it(camera: Camera, tmp_path: Path, disk: Disk) -> None:
    spool = empty_spool(tmp_path / "spool", "receipts")
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt(camera.segments[:3], leaves_of=leaves_of))
    for segment in camera.segments[2:]:
        segment.write(spool / "sealed")
    assert lacks(spool) == []
    disk.lock(early(tmp_path / "old", camera.segments[0], 1))
    assert lacks(spool, tmp_path / "old") == []


def test_a_spool_of_which_nothing_is_read_is_one(camera: Camera, tmp_path: Path, disk: Disk) -> None:
    spool = empty_spool(tmp_path / "spool", "receipts")
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt(camera.segments, leaves_of=leaves_of))
    last = camera.segments[-1].write(spool / "sealed")
    early(tmp_path / "old", camera.segments[0], 1)
    assert lacks(spool, tmp_path / "old") == []
    disk.lock(last)
    assert lacks(spool, tmp_path / "old") == []
    last.write_bytes(bytes(BLOCK))
    assert {f.sure for f in lacks(spool, tmp_path / "old")} == {Sure.PROVEN}, "it is too short"


def test_no_leaf_is_behind_the_head_with_which_a_station_took_it(camera: Camera, tmp_path: Path, disk: Disk) -> None:
    """Its bytes, by themselves, could hold the segments behind it too."""
    gone = camera.segments[1]
    camera.write(tmp_path)
    camera.write_log(tmp_path / "log" / "1")
    big = replace(gone, init=gone.init + bytes(1 << 20) if gone.init else None)
    (tmp_path / "a.receipt").write_bytes(camera.receipt([big], size=camera.segments[2].header.first))
    for segment in camera.segments[1:]:
        (tmp_path / f"{segment.name}.tar").unlink()
    path = tmp_path / f"{gone.name}.tar"
    path.write_bytes(bytes(big.record().size))
    disk.lock(path)
    found = only(lacks(tmp_path))
    assert (found.sure, found.last) == (Sure.PROVEN, camera.frontier.size - 1)
    assert f"at most {len(gone.entries)} of them are in {gone.name}" in found.text


@pytest.mark.parametrize(("each", "sure"), [(span.LEAST_ENTRY - 1, Sure.PROVEN), (2 * span.LEAST_ENTRY, Sure.OPEN)])
def test_files_of_one_name_that_no_segment_has_may_be_several(
    camera: Camera, tmp_path: Path, disk: Disk, each: int, sure: Sure
) -> None:
    camera.write(tmp_path)
    for segment in camera.segments[1:3]:
        (tmp_path / f"{segment.name}.tar").unlink()
    for number in range(3):
        path = tmp_path / str(number) / "x.tar"
        path.parent.mkdir()
        path.write_bytes(bytes(each))
        disk.lock(path)
    assert [f.sure for f in lacks(tmp_path)] == [sure, Sure.PROVEN]
