"""Across segments: what is missing between them, at the beginning and at the end, and what is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.evidence.findings import What
from tests.builders import simple_camera
from tests.evidence.kit import failures, notes, only, report_of, write_head


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_missing_segment_is_named_by_the_seal_leaf_after_it(which: int, tmp_path: Path) -> None:
    camera = simple_camera()
    gone = camera.segments[which]
    for path in camera.write(tmp_path):
        if path.stem == gone.name:
            path.unlink()
    found = only(failures(tmp_path))
    assert (found.what, found.segment) == (What.MISSING_SEGMENT, gone.name)
    assert (found.first, found.last) == (gone.header.first, gone.header.first + len(gone.entries) - 1)


def test_a_missing_last_segment_needs_a_head(tmp_path: Path) -> None:
    camera = simple_camera()
    gone = camera.segments[-1]
    paths = camera.write(tmp_path / "seg")
    paths[-1].unlink()
    assert failures(tmp_path / "seg") == []
    assert What.TAIL_UNPROVEN in notes(tmp_path / "seg")
    for head in (
        write_head(tmp_path / "checkpoint", camera.checkpoint(13)),
        write_head(tmp_path / "r.receipt", camera.receipt(camera.segments)),
    ):
        found = only(failures(tmp_path / "seg", head=head))
        assert (found.what, found.first, found.last) == (What.MISSING_SEGMENT, 11, 12)
    assert found.segment == gone.name


@pytest.mark.parametrize("given", [1, 2])
def test_segments_that_are_named_are_not_the_whole_log(given: int, tmp_path: Path) -> None:
    """A head far behind them accuses none, and a note says what it does not show; one that they reach still counts."""
    camera = simple_camera()
    paths = camera.write(tmp_path)
    head = write_head(tmp_path / "newest.receipt", camera.receipt(camera.segments))
    assert failures(*paths[:given], head=head) == []
    found = next(f for f in report_of(*paths[:given], head=head).findings if f.what is What.UNCHECKED)
    assert found.last == 12 and "not compared" in found.text
    assert What.TAIL_UNPROVEN in notes(*paths[:given], head=head)
    assert What.UNCHECKED not in notes(*paths, head=head)


def test_a_receipt_or_tiles_in_the_directory_are_heads_too(tmp_path: Path) -> None:
    camera = simple_camera()
    paths = camera.write(tmp_path / "seg")
    paths[-1].unlink()
    (tmp_path / "seg" / "r.receipt").write_bytes(camera.receipt(camera.segments))
    assert only(failures(tmp_path / "seg")).segment == camera.segments[-1].name
    (tmp_path / "seg" / "r.receipt").unlink()
    camera.write_log(tmp_path / "seg" / "log" / "1")
    assert only(failures(tmp_path / "seg")).what is What.MISSING_SEGMENT


@pytest.mark.parametrize("which", [1, 2])
def test_a_missing_end_is_found_where_a_file_list_is_given_too(which: int, tmp_path: Path) -> None:
    paths = simple_camera().write(tmp_path)
    del paths[which]
    assert only(failures(*paths)).what is What.MISSING_SEGMENT


def test_a_recording_without_its_start_is_found_in_a_file_list(tmp_path: Path) -> None:
    paths = simple_camera().write(tmp_path)
    assert only(failures(*paths[1:])).what is What.MISSING_SEGMENT
    found = only(failures(*paths[2:]))
    assert found.what is What.MISSING_SEGMENT
    assert "first 1 segments" in found.text


def test_a_whole_recording_missing(tmp_path: Path) -> None:
    camera = simple_camera()
    camera.new_session(same_boot=True)
    recording = camera.start()
    camera.part()
    camera.rotate()
    camera.part()
    camera.stop()
    camera.shutdown()
    paths = camera.write(tmp_path)
    for path in paths:
        if path.stem.startswith(recording):
            path.unlink()
    found = failures(tmp_path)
    assert [f.what for f in found] == [What.MISSING_SEGMENT] * 2
    assert [f.segment for f in found] == [f"{recording}-0000", f"{recording}-0001"]
    assert {f.recording for f in found} == {recording}


def test_several_segments_missing_in_a_row(tmp_path: Path) -> None:
    """The seal leaf of the first missing one is in the second missing one: its number tells what it was called."""
    camera = simple_camera()
    for path in camera.write(tmp_path):
        if path.stem in (camera.segments[1].name, camera.segments[2].name):
            path.unlink()
    found = failures(tmp_path)
    assert [(f.what, f.segment, f.first, f.last) for f in found] == [
        (What.MISSING_SEGMENT, camera.segments[1].name, 2, 5),
        (What.MISSING_SEGMENT, camera.segments[2].name, 6, 10),
    ]


def test_entries_cut_from_the_end_with_the_trailer_mended(tmp_path: Path) -> None:
    """As long as the next segment is there its seal leaf tells."""
    camera = simple_camera()
    camera.segments[2].entries = camera.segments[2].entries[:2]
    camera.write(tmp_path)
    found = only(failures(tmp_path))
    assert (found.what, found.segment) == (What.MISSING_PARTS, camera.segments[2].name)
    assert (found.first, found.last) == (8, 10)


def test_a_truncated_segment_in_the_middle_is_one_finding(tmp_path: Path) -> None:
    camera = simple_camera()
    paths = camera.write(tmp_path)
    data = paths[1].read_bytes()
    paths[1].write_bytes(data[: len(data) // 2])
    found = only(failures(tmp_path))
    assert (found.what, found.segment, found.offset) == (What.TRUNCATED_SEGMENT, paths[1].stem, len(data) // 2)
    assert found.last == 5


def test_a_truncated_last_segment(tmp_path: Path) -> None:
    paths = simple_camera().write(tmp_path)
    paths[-1].write_bytes(paths[-1].read_bytes()[:-1024])
    assert only(failures(tmp_path)).what is What.TRUNCATED_SEGMENT
