"""Beside files that the disk does not give: what they may hold is not called missing, and nothing else is excused."""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.evidence.commands import main
from agent.evidence.findings import Finding, Sure, What
from agent.formats import purge, receipt, span
from tests.builders import Camera, Segment, agency
from tests.evidence.disk_kit import BLOCK, Disk, lacks, leaves_of, recorded
from tests.evidence.kit import empty_spool, failures, only, report_of
from tests.evidence.test_side_by_side import exports, inner
from tests.film import add, film

ENTRIES = 10


@pytest.fixture
def camera() -> Camera:
    return recorded(5, ENTRIES)


@pytest.fixture
def place(camera: Camera, tmp_path: Path) -> Path:
    camera.write(tmp_path / "seg")
    return tmp_path / "seg"


def remove(place: Path, *segments: Segment) -> None:
    for segment in segments:
        (place / f"{segment.name}.tar").unlink()


def plant(disk: Disk, path: Path, size: int) -> None:
    """A file that may not be opened."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    disk.lock(path)


def spans(found: list[Finding]) -> list[tuple[What, Sure, int | None, int | None]]:
    return [(f.what, f.sure, f.first, f.last) for f in found]


# -- planted ---------------------------------------------------------------------------------------------------------


def test_a_removed_tail_stays_missing_beside_an_empty_file_of_its_first_segment(
    camera: Camera, place: Path, disk: Disk
) -> None:
    """The receipt names no other segment that is gone, and says which leaves no segment has."""
    camera.write_log(place / "log" / "1")
    (place / "a.receipt").write_bytes(camera.receipt(camera.segments[:3], size=camera.segments[3].header.first))
    remove(place, *camera.segments[2:])
    before = lacks(place)
    assert spans(before) == [
        (What.MISSING_SEGMENT, Sure.PROVEN, camera.segments[2].header.first, camera.frontier.size - 1)
    ]
    plant(disk, place / f"{camera.segments[2].name}.tar", 0)
    assert spans(lacks(place)) == spans(before)


def test_and_beside_one_of_its_size_of_which_the_receipt_says_the_leaves(
    camera: Camera, place: Path, disk: Disk
) -> None:
    gone = camera.segments[-2]
    (place / "a.receipt").write_bytes(camera.receipt(camera.segments[:-1], leaves_of=leaves_of))
    remove(place, *camera.segments[-2:])
    plant(disk, place / f"{gone.name}.tar", gone.record().size)
    first = camera.segments[-1].header.first
    assert spans(lacks(place)) == [(What.MISSING_SEGMENT, Sure.PROVEN, first, camera.frontier.size - 1)]
    camera.segments[-1].write(place)
    assert lacks(place) == []


def test_and_beside_one_that_the_receipt_bounds(camera: Camera, place: Path, disk: Disk) -> None:
    """It was as large, and a station had it when the log had no more than its leaves."""
    gone = camera.segments[3]
    camera.write_log(place / "log" / "1")
    (place / "a.receipt").write_bytes(camera.receipt(camera.segments[:4], size=camera.segments[4].header.first))
    remove(place, *camera.segments[3:])
    plant(disk, place / f"{gone.name}.tar", 1 << 20)
    found = only(lacks(place))
    assert (found.what, found.first, found.last) == (
        What.MISSING_SEGMENT,
        gone.header.first,
        camera.frontier.size - 1,
    )


@pytest.mark.parametrize("much", [0, 1, 2], ids=["empty", "half of it", "without its trailer"])
def test_of_a_sealed_segment_a_file_that_is_too_short_has_not_all(
    camera: Camera, place: Path, disk: Disk, much: int
) -> None:
    gone = camera.segments[2]
    first, end = gone.header.first, gone.header.first + len(gone.entries)
    size = [0, 4 * span.LEAST_ENTRY, gone.record().size - 1_024][much]
    plant(disk, place / f"{gone.name}.tar", size)
    proven = [
        [(What.MISSING_SEGMENT, Sure.PROVEN, first, end - 1)],
        [(What.MISSING_PARTS, Sure.PROVEN, first + 4, end - 1)],
        [],
    ]
    assert spans(lacks(place)) == proven[much]


def test_what_lacks_of_a_file_lacks_though_another_of_its_name_cannot_be_read(
    camera: Camera, place: Path, disk: Disk
) -> None:
    cut, whole = place / f"{camera.segments[2].name}.tar", camera.segments[2]
    cut.write_bytes(replace(whole, entries=whole.entries[:-2]).to_bytes())
    before = lacks(place)
    assert [f.what for f in before] == [What.MISSING_PARTS]
    plant(disk, place / "other" / cut.name, whole.record().size)
    assert spans(lacks(place)) == spans(before)


def test_nor_is_it_excused_by_a_block_elsewhere_in_it(camera: Camera, place: Path, disk: Disk) -> None:
    cut, whole = place / f"{camera.segments[2].name}.tar", camera.segments[2]
    cut.write_bytes(replace(whole, entries=whole.entries[:-2]).to_bytes())
    before = lacks(place)
    disk.spoil(cut, 4)
    assert spans(lacks(place)) == spans(before)
    disk.bad.clear()
    disk.spoil(cut, cut.stat().st_size // BLOCK)
    assert spans(lacks(place)) == spans(before), "it is shorter than what was sealed"


# -- what may be where ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "sure", "said"),
    [(0, Sure.PROVEN, ""), (3, Sure.PROVEN, "at most 3 of them"), (ENTRIES + 1, Sure.OPEN, "or they are in x")],
)
def test_a_file_of_another_name_holds_no_more_than_fits(
    camera: Camera, place: Path, disk: Disk, entries: int, sure: Sure, said: str
) -> None:
    """Two neighbours are gone, and with the second what tells of the first."""
    remove(place, *camera.segments[2:4])
    assert [f.sure for f in lacks(place)] == [Sure.PROVEN] * 2
    plant(disk, place / "x.tar", entries * span.LEAST_ENTRY)
    nameless, sealed = lacks(place)
    assert (nameless.sure, sealed.sure) == (sure, Sure.PROVEN) and said in nameless.text
    assert ("x, which cannot be read" in nameless.text) is bool(said)


@pytest.mark.parametrize(("leaf", "sure"), [(-1, Sure.PROVEN), (0, Sure.OPEN), (1, Sure.OPEN), (20, Sure.PROVEN)])
def test_an_event_segment_begins_with_the_leaf_of_its_name(
    camera: Camera, place: Path, disk: Disk, leaf: int, sure: Sure
) -> None:
    first = camera.segments[2].header.first
    remove(place, *camera.segments[2:4])
    plant(disk, place / f"e{first + leaf:010d}-0123abcd.tar", 1 << 20)
    assert lacks(place)[0].sure is sure


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_lost_header_hides_no_more_than_its_bytes(camera: Camera, place: Path, disk: Disk, blocks: int) -> None:
    """With the header, or with the first entry too, which says of the segment before it what it was."""
    gone, behind = camera.segments[2:4]
    remove(place, gone)
    disk.spoil(place / f"{behind.name}.tar", *range(blocks))
    found = only(lacks(place))
    first = gone.header.first
    assert spans([found]) == [(What.MISSING_SEGMENT, Sure.PROVEN, first, first + len(gone.entries) - 1)]
    assert found.segment == gone.name and ("at most 2 of them" in found.text) is (blocks == 1)


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_where_none_is_gone_none_is_missing(camera: Camera, place: Path, disk: Disk, blocks: int) -> None:
    disk.spoil(place / f"{camera.segments[3].name}.tar", *range(blocks))
    assert all(f.sure is Sure.OPEN and f.what is What.MISSING_SEGMENT for f in lacks(place))


def test_one_that_cannot_even_be_looked_at_may_have_any_size(
    camera: Camera, place: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, look = place / f"{camera.segments[2].name}.tar", Path.stat
    disk.lock(path)

    def refused(self: Path, *, follow_symlinks: bool = True) -> object:
        if self.name == path.name:
            raise OSError(5, "Input/output error")
        return look(self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", refused)
    assert [(f.what, f.segment) for f in failures(place)] == [(What.UNREADABLE, path.stem)]


def test_in_a_spool_one_that_is_here_stands_for_no_other_before_it(camera: Camera, tmp_path: Path, disk: Disk) -> None:
    """By the numbers two lack, and one of them cannot be read; with the next one what tells of it."""
    spool, (gone, here, behind) = empty_spool(tmp_path / "spool"), camera.segments[2:5]
    camera.write(spool / "sealed")
    remove(spool / "sealed", gone)
    for unread in (here, behind):
        disk.lock(spool / "sealed" / f"{unread.name}.tar")
    found = only(lacks(spool))
    assert (found.first, found.last, found.segment) == (gone.header.first, behind.header.first - 1, None)
    assert f"{gone.name} to {here.name}" in found.text


# -- exports side by side ---------------------------------------------------------------------------------------------


def test_the_last_segment_of_an_export_that_another_names_is_here(tmp_path: Path, disk: Disk) -> None:
    init, parts = film()
    camera = Camera(agency(), seed=3)
    for _ in range(2):
        camera.new_session()
        camera.start(init)
        add(camera, parts[0])
        camera.stop()
        camera.shutdown()
    camera.write(tmp_path / "seg")
    (tmp_path / "seg" / "a.receipt").write_bytes(camera.receipt(camera.segments))
    first, second = exports([tmp_path / "seg"], tmp_path / "out")
    out = tmp_path / "unpacked"
    with tarfile.open(first) as archive:
        archive.extractall(out)
    last = out / inner(first)[-1]
    disk.lock(last)
    assert [(f.what, f.segment) for f in failures(out, second)] == [(What.UNREADABLE, last.stem)]
    disk.locked.clear()
    last.unlink()
    assert {f.what for f in failures(out, second)} == {What.MISSING_SEGMENT}


# -- receipts and purge notes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "sure"), [(0, Sure.PROVEN), (100, Sure.PROVEN), (2_000, Sure.OPEN)])
def test_a_purge_note_is_no_shorter_than_its_certificates(
    camera: Camera, place: Path, disk: Disk, size: int, sure: Sure
) -> None:
    remove(place, camera.segments[2])
    plant(disk, place / "x.purge", size)
    assert only(lacks(place)).sure is sure


def test_the_least_of_both_is_less_than_any(camera: Camera) -> None:
    assert len(camera.purge(camera.segments[1:2])) > purge.LEAST_PURGE
    assert len(camera.receipt(camera.segments[:1])) > receipt.LEAST_RECEIPT


def test_no_purge_note_is_of_an_event_segment(tmp_path: Path, disk: Disk) -> None:
    camera = Camera(agency(), seed=4).new_session()
    for _ in range(2):
        camera.start()
        camera.part(size=3_000)
        camera.stop()
        camera.new_session(same_boot=True)
    camera.shutdown().write(tmp_path)
    gone = next(s for s in camera.segments[1:] if s.name.startswith("e"))
    remove(tmp_path, gone)
    plant(disk, tmp_path / "x.purge", 2_000)
    found = only(lacks(tmp_path))
    assert (found.segment, found.sure) == (gone.name, Sure.PROVEN)


def test_a_station_is_not_excused_by_its_own_receipt(camera: Camera, tmp_path: Path, disk: Disk) -> None:
    """A card beside the station, which lacks the same segment; only a receipt elsewhere may be of another station."""
    spool = empty_spool(tmp_path / "spool", "receipts")
    for segment in camera.segments[:2] + camera.segments[3:]:
        segment.write(spool / "sealed")
    shutil.copytree(spool / "sealed", tmp_path / "station" / "segments" / "cam-0001")
    plant(disk, tmp_path / "station" / "receipts" / "cam-0001" / "a.receipt", 5_000)
    assert only(lacks(spool, tmp_path / "station")).sure is Sure.PROVEN
    plant(disk, spool / "receipts" / "b.receipt", 5_000)
    assert only(lacks(spool, tmp_path / "station")).sure is Sure.OPEN


# -- what may hold anything -------------------------------------------------------------------------------------------


def refuse_to_list(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    listed = os.scandir

    def refused(path: Path | str | int) -> object:
        if path == directory:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refused)


def test_beside_a_directory_that_cannot_be_listed_all_else_is_checked(
    camera: Camera, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, altered = camera.segments[2], place / f"{camera.segments[4].name}.tar"
    remove(place, hidden)
    hidden.write(place / "more")
    data = bytearray(altered.read_bytes())
    data[-6_000] ^= 1
    altered.write_bytes(data)
    refuse_to_list(monkeypatch, place / "more")
    report = report_of(place)
    found = {f.what: f for f in report.findings if f.fails}
    assert found.keys() == {What.UNREADABLE, What.MISSING_SEGMENT, What.ALTERED_BYTES} and report.exit_status == 4
    assert "more" in found[What.UNREADABLE].text and "more" in found[What.MISSING_SEGMENT].text
    assert (found[What.MISSING_SEGMENT].segment, found[What.MISSING_SEGMENT].sure) == (hidden.name, Sure.OPEN)


def test_of_the_one_that_was_named_there_is_nothing_to_check(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_to_list(monkeypatch, place)
    with pytest.raises(UsageError, match="cannot read directory"):
        report_of(place)


def test_decrypt_says_which_directory_it_did_not_see(
    camera: Camera, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    agency().write_trust(tmp_path)
    camera.segments[2].write(place / "more")
    refuse_to_list(monkeypatch, place / "more")
    words = ["decrypt", str(place), "-i", str(tmp_path / "agency.agekey"), "-o", str(tmp_path / "out")]
    assert main(words) == 4
    assert f"{place / 'more'}: this directory cannot be listed" in capsys.readouterr().out


@pytest.mark.parametrize(("entries", "sure"), [(0, Sure.PROVEN), (ENTRIES + 1, Sure.OPEN)])
def test_an_export_that_cannot_be_read_may_have_what_fits(
    camera: Camera, place: Path, disk: Disk, entries: int, sure: Sure
) -> None:
    remove(place, camera.segments[2])
    plant(disk, place / f"{camera.segments[2].name[:20]}.proof.tar", entries * span.LEAST_ENTRY)
    assert only(lacks(place)).sure is sure
