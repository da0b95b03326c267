"""Files that are repeated, swapped, renamed, or of another camera."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from agent.evidence.findings import What
from tests.builders import Camera, agency, replaced, simple_camera
from tests.evidence.kit import failures, only


def test_a_copy_under_another_name(tmp_path: Path) -> None:
    camera = simple_camera()
    paths = camera.write(tmp_path)
    copy = tmp_path / f"{camera.segments[1].name[:-4]}0002.tar"
    shutil.copy(paths[1], copy)
    assert only(failures(tmp_path)).what is What.REPEATED_SEGMENT


def test_a_segment_in_the_place_of_another(tmp_path: Path) -> None:
    camera = simple_camera()
    paths = camera.write(tmp_path)
    shutil.copy(paths[1], paths[2])
    assert {f.what for f in failures(tmp_path)} == {What.REPEATED_SEGMENT, What.MISSING_SEGMENT}


def test_a_backup_under_the_same_name_is_no_finding(tmp_path: Path) -> None:
    simple_camera().write(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert failures(tmp_path) == []


def test_a_damaged_backup_beside_a_sound_copy_is_a_finding(tmp_path: Path) -> None:
    camera = simple_camera()
    camera.write(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    path = tmp_path / "two" / f"{camera.segments[1].name}.tar"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found = only(failures(tmp_path))
    assert (found.what, found.segment) == (What.ALTERED_BYTES, camera.segments[1].name)


def test_two_segments_swapped(tmp_path: Path) -> None:
    paths = simple_camera().write(tmp_path)
    one, other = paths[1].read_bytes(), paths[2].read_bytes()
    paths[1].write_bytes(other)
    paths[2].write_bytes(one)
    found = failures(tmp_path)
    assert [f.what for f in found] == [What.SWAPPED_SEGMENTS] * 2
    assert {f.segment for f in found} == {paths[1].stem, paths[2].stem}


def test_a_renamed_segment(tmp_path: Path) -> None:
    camera = simple_camera()
    paths = camera.write(tmp_path)
    paths[2].rename(tmp_path / f"{camera.segments[1].name[:-4]}0005.tar")
    assert only(failures(tmp_path)).what is What.SWAPPED_SEGMENTS


def test_a_segment_of_another_camera_slipped_in(tmp_path: Path) -> None:
    simple_camera().write(tmp_path)
    other = Camera(agency(), name="cam-0002", seed=2).new_session()
    other.start()
    other.part()
    other.stop()
    segment = other.segments[1]
    name = next(p for p in sorted(tmp_path.glob("r*.tar")))
    name.write_bytes(segment.to_bytes())
    found = failures(tmp_path)
    assert {f.what for f in found} == {What.SWAPPED_SEGMENTS, What.MISSING_SEGMENT}


def test_a_session_of_one_camera_signing_for_another(tmp_path: Path) -> None:
    """A stolen, properly certified key of cam-0002 signs a log in the name of cam-0001."""
    thief = Camera(agency(), name="cam-0002", seed=2)
    thief.origin = "bodycam.local/cam-0001/1"
    thief.forge = lambda leaf: replaced(leaf, camera="cam-0001")
    thief.new_session()
    thief.event()
    thief.close_segment()
    thief.segments[0].header = replace(thief.segments[0].header, camera="cam-0001")
    thief.write(tmp_path)
    assert What.OTHER_CAMERA in {f.what for f in failures(tmp_path)}
