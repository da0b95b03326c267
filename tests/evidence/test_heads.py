"""Forks, and later heads: checkpoints, receipts and tiles that prove the end of a log, or another history."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.evidence.findings import What
from agent.formats import note
from tests.builders import Camera, agency, make_agency, simple_camera
from tests.evidence.kit import failures, notes, only, report_of, write_head


def two_histories() -> tuple[Camera, Camera]:
    """One camera's key, two logs that part after leaf 5: a card that was copied, or a key that was stolen."""
    camera, twin = simple_camera(), Camera(agency(), seed=1)
    twin.__dict__.update(
        {k: v for k, v in camera.__dict__.items() if k not in ("segments", "hashes", "roots", "frontier")}
    )
    twin.segments, twin.open = list(camera.segments[:2]), None
    twin.owed = [camera.segments[1].record()]
    twin.hashes, twin.roots, twin.frontier = camera.hashes[:6], camera.roots[:7], camera.segments[2].header.frontier
    twin.recording, twin.parts, twin.seq, twin.start_ns = camera.segments[1].header.recording, 3, 0, 3 * twin.part_ns
    twin.rotate()
    twin.part(size=333)
    twin.stop()
    twin.shutdown()
    return camera, twin


def test_two_signed_histories(tmp_path: Path) -> None:
    camera, twin = two_histories()
    camera.write(tmp_path / "a")
    twin.write(tmp_path / "b")
    assert failures(tmp_path / "a") == []
    assert failures(tmp_path / "b") == []
    found = failures(tmp_path)
    assert {f.what for f in found} == {What.FORK}
    assert twin.segments[2].name in {f.segment for f in found} | {camera.segments[2].name}


@pytest.mark.parametrize("size", [13, 9])
def test_a_head_of_another_history(size: int, tmp_path: Path) -> None:
    camera, twin = two_histories()
    camera.write(tmp_path / "a")
    if size > twin.frontier.size:
        for _ in range(size - twin.frontier.size):
            twin.event()
    head = write_head(tmp_path / "head", twin.checkpoint(size))
    assert only(failures(tmp_path / "a", head=head)).what is What.FORK


def test_a_segment_that_continues_another_history(tmp_path: Path) -> None:
    camera, twin = two_histories()
    camera.write(tmp_path / "a")
    twin.write(tmp_path / "b")
    paths = [*sorted((tmp_path / "a").glob("*-000?.tar"))[:2], *sorted((tmp_path / "a").glob("e0000000000*"))]
    later = tmp_path / "b" / f"{twin.segments[3].name}.tar"
    found = failures(*paths, later)
    assert What.FORK in {f.what for f in found} or {What.MISSING_SEGMENT} <= {f.what for f in found}
    assert found


def test_a_head_that_is_reached_leaves_nothing_unproven(tmp_path: Path) -> None:
    camera = simple_camera()
    camera.write(tmp_path / "seg")
    head = write_head(tmp_path / "head", camera.checkpoint(13, by_identity=True))
    assert [f.what for f in report_of(tmp_path / "seg", head=head).findings] == []


def test_an_older_head_leaves_the_rest_unproven(tmp_path: Path) -> None:
    camera = simple_camera()
    camera.write(tmp_path / "seg")
    head = write_head(tmp_path / "head", camera.checkpoint(6))
    found = only(report_of(tmp_path / "seg", head=head).findings)
    assert (found.what, found.first, found.last) == (What.TAIL_UNPROVEN, 6, 12)


def test_a_head_nobody_trusted_signed(tmp_path: Path) -> None:
    camera, stranger = simple_camera(), Camera(make_agency("another"), seed=3).new_session()
    stranger.event()
    camera.write(tmp_path / "seg")
    for data in (
        stranger.checkpoint(2),
        stranger.receipt([]),
        b"not a note\n",
        stranger.sign(note.Checkpoint(camera.origin, 13, camera.roots[13]).text()),
    ):
        head = write_head(tmp_path / "head", data)
        assert only(failures(tmp_path / "seg", head=head)).what is What.BAD_HEAD


def test_a_head_of_another_log(tmp_path: Path) -> None:
    camera, other = simple_camera(), Camera(agency(), name="cam-0002", seed=2).new_session()
    camera.write(tmp_path / "seg")
    head = write_head(tmp_path / "head", other.receipt(other.segments))
    assert only(failures(tmp_path / "seg", head=head)).what is What.BAD_HEAD


def test_a_bad_receipt_in_the_directory(tmp_path: Path) -> None:
    camera = simple_camera()
    camera.write(tmp_path)
    data = camera.receipt(camera.segments)
    (tmp_path / "r.receipt").write_bytes(data.replace(b"issued ", b"issued 9", 1))
    assert only(failures(tmp_path)).what is What.BAD_RECEIPT


@pytest.mark.parametrize("cosigned_s", [253402300800, 1 << 55, (1 << 64) - 1])
def test_a_receipt_cosigned_when_no_calendar_reaches(cosigned_s: int, tmp_path: Path) -> None:
    camera = simple_camera()
    camera.write(tmp_path)
    (tmp_path / "a.receipt").write_bytes(camera.receipt(camera.segments, cosigned_s=cosigned_s))
    (tmp_path / f"{camera.segments[-1].name}.tar").unlink()
    found = only(failures(tmp_path))
    assert found.what is What.MISSING_SEGMENT and str(cosigned_s) in found.text


def test_tiles_prove_what_follows_a_lost_leaf(tmp_path: Path) -> None:
    camera = simple_camera()
    lost = camera.segments[1].entries[1]
    lost.leaf = lost.leaf.replace(b'"utc":{"time":"2026-03-01', b'"utc":{"time":"2026-04-02')
    late = camera.segments[1].entries[3]
    late.leaf = late.leaf.replace(b'"utc":{"time":"2026-03-01', b'"utc":{"time":"2026-04-02')
    camera.write(tmp_path)
    assert [f.first for f in failures(tmp_path)] == [3]
    assert What.UNCHECKED in notes(tmp_path)
    camera.write_log(tmp_path / "log" / "1")
    assert [f.first for f in failures(tmp_path)] == [3, 5]
    assert What.UNCHECKED not in notes(tmp_path)


def test_tiles_that_do_not_belong(tmp_path: Path) -> None:
    camera, stranger = simple_camera(), Camera(make_agency("another"), seed=3).new_session()
    camera.write(tmp_path)
    stranger.write_log(tmp_path / "log" / "1")
    assert only(failures(tmp_path)).what is What.BAD_HEAD


def test_damaged_tiles_are_a_note_and_the_segments_still_verify(tmp_path: Path) -> None:
    camera = simple_camera()
    camera.write(tmp_path)
    camera.write_log(tmp_path / "log" / "1")
    assert What.UNCHECKED not in notes(tmp_path)
    tile = next((tmp_path / "log" / "1" / "tile").rglob("*.p/*"))
    tile.write_bytes(bytes(len(tile.read_bytes())))
    assert failures(tmp_path) == []
    assert What.UNCHECKED in notes(tmp_path)
