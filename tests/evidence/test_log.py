"""Across segments: what is missing, repeated, swapped or forked; recordings and their ends; later heads."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from agent.evidence.findings import Finding, What
from agent.formats import leaf as leaves
from agent.formats import note
from agent.formats.leaf import Kind
from tests.builders import BOOTS, Camera, agency, make_agency, replaced, simple_camera
from tests.evidence.kit import failures, notes, report_of


def write_head(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def only(found: list[Finding]) -> Finding:
    (one,) = found
    return one


# -- missing segments ----------------------------------------------------------------------------------------------


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


# -- repeated, swapped, renamed ------------------------------------------------------------------------------------


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


# -- forks ---------------------------------------------------------------------------------------------------------


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


# -- the tail ------------------------------------------------------------------------------------------------------


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


# -- truncation ----------------------------------------------------------------------------------------------------


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


# -- recordings and sessions ---------------------------------------------------------------------------------------


def crashed() -> Camera:
    camera = Camera(agency()).new_session()
    camera.start()
    for _ in range(4):
        camera.part()
    camera.crash(drop_entries=1)
    return camera.shutdown()


def test_an_interrupted_recording_is_a_note(tmp_path: Path) -> None:
    crashed().write(tmp_path)
    found = report_of(tmp_path)
    assert found.verified
    assert {What.INTERRUPTED, What.RECOVERED} <= {f.what for f in found.findings}


def test_the_identity_key_vouches_for_a_recovery(tmp_path: Path) -> None:
    """It ends a recording as a stop does."""
    camera = crashed()
    for segment in camera.segments:
        for entry in segment.entries:
            leaf = leaves.parse(entry.leaf)
            if isinstance(leaf, leaves.EventLeaf) and leaf.kind is Kind.RECOVERY:
                signed = note.parse(entry.note)
                entry.note = note.Note(signed.text, signed.signatures[:1]).to_bytes()
    camera.write(tmp_path)
    assert only(failures(tmp_path)).what is What.MISSING_SIGNATURE


def test_parts_cut_from_an_interrupted_recording(tmp_path: Path) -> None:
    camera = crashed()
    camera.segments[1].entries.pop()
    camera.write(tmp_path)
    found = failures(tmp_path)
    assert {f.what for f in found} == {What.MISSING_PARTS}


def test_a_new_session_that_is_silent_about_a_cut_recording(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    camera.new_session()
    camera.shutdown()
    camera.write(tmp_path)
    assert only(failures(tmp_path)).what is What.NO_END


def test_a_recording_without_an_end_at_the_tail_is_a_note(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    camera.close_segment()
    camera.write(tmp_path)
    assert failures(tmp_path) == []
    assert notes(tmp_path).count(What.TAIL_UNPROVEN) == 2


def test_a_stop_that_counts_more_parts_than_there_are(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    camera.parts += 2
    camera.stop()
    camera.write(tmp_path)
    assert only(failures(tmp_path)).what is What.MISSING_PARTS


def test_part_numbers_that_skip(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    camera.parts += 1
    camera.part()
    camera.stop()
    camera.write(tmp_path)
    found = only(failures(tmp_path))
    assert (found.what, found.part_first) == (What.MISSING_PARTS, 2)


def test_media_that_the_camera_lost_is_a_note(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    camera.start_ns += 3 * 10**9
    camera.part()
    camera.stop()
    camera.write(tmp_path)
    assert failures(tmp_path) == []
    assert What.MEDIA_GAP in notes(tmp_path)


@pytest.mark.parametrize("clock", ["mono_ns", "boottime_ns"])
def test_a_clock_that_goes_back(clock: str, tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.event()

    def back(leaf: leaves.Leaf) -> leaves.Leaf:
        stamp = leaf.common.stamp
        return replaced(leaf, stamp=replace(stamp, **{clock: getattr(stamp, clock) - 2 * 10**9}))

    camera.forge = back
    camera.event()
    camera.forge = lambda leaf: leaf
    camera.shutdown()
    camera.write(tmp_path)
    assert only(failures(tmp_path)).what is What.CLOCK_WENT_BACK


def test_clocks_of_two_boots_are_not_compared(tmp_path: Path) -> None:
    camera = simple_camera()
    camera.new_session()
    camera.shutdown()
    camera.write(tmp_path)
    assert report_of(tmp_path).verified


def test_an_unverified_clock_is_a_note(tmp_path: Path) -> None:
    camera = Camera(agency())
    camera.utc_source = "unverified"
    camera.new_session()
    camera.shutdown()
    camera.write(tmp_path)
    assert What.CLOCK_UNVERIFIED in notes(tmp_path)


def forged_session(camera: Camera, **facts: object) -> None:
    def forge(leaf: leaves.Leaf) -> leaves.Leaf:
        if isinstance(leaf, leaves.EventLeaf) and leaf.kind is Kind.SESSION:
            return replace(leaf, facts={**leaf.facts, **facts})
        return leaf

    camera.forge = forge
    camera.new_session()
    camera.shutdown()


@pytest.mark.parametrize(
    "facts",
    [
        {"session_cert": "ab" * 32},
        {"resumes": None},
        {"resumes": {"size": 12, "root": note.b64(bytes(32))}},
        {"resumes": {"size": 13, "root": note.b64(bytes(32))}},
    ],
)
def test_a_session_leaf_that_lies(facts: dict[str, object], tmp_path: Path) -> None:
    camera = simple_camera()
    forged_session(camera, **facts)
    camera.write(tmp_path)
    assert {f.what for f in failures(tmp_path)} == {What.BAD_SESSION}


def test_a_leaf_after_the_shutdown_of_its_session(tmp_path: Path) -> None:
    camera = simple_camera()
    camera.event()
    camera.close_segment()
    camera.write(tmp_path)
    assert {f.what for f in failures(tmp_path)} == {What.BAD_SESSION}


def test_a_session_that_no_leaf_opens(tmp_path: Path) -> None:
    camera = simple_camera()
    camera.forge = lambda leaf: (
        replace(leaf, kind=Kind.EVENT, facts={})
        if isinstance(leaf, leaves.EventLeaf) and leaf.kind is Kind.SESSION
        else leaf
    )
    camera.new_session()
    camera.shutdown()
    camera.write(tmp_path)
    assert What.BAD_SESSION in {f.what for f in failures(tmp_path)}


def test_a_leaf_of_another_boot_than_its_session(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.forge = lambda leaf: replaced(leaf, stamp=replace(leaf.common.stamp, boot=BOOTS[5]))
    camera.event()
    camera.close_segment()
    camera.write(tmp_path)
    assert {f.what for f in failures(tmp_path)} == {What.BAD_SESSION}


# -- spools --------------------------------------------------------------------------------------------------------


def spool_of(camera: Camera, root: Path, deleted: list[int]) -> Path:
    for name in ("open", "sealed", "delivered", "receipts", "log"):
        (root / name).mkdir(parents=True)
    for number, segment in enumerate(camera.segments):
        if number not in deleted:
            segment.write(root / "delivered")
    camera.write_log(root / "log" / "1")
    return root


@pytest.mark.parametrize("deleted", [[1], [0], [0, 1], [1, 2]])
def test_delivered_segments_may_be_gone_from_a_spool(deleted: list[int], tmp_path: Path) -> None:
    camera = simple_camera()
    spool = spool_of(camera, tmp_path / "spool", deleted)
    assert What.MISSING_SEGMENT in {f.what for f in failures(spool)}
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt(camera.segments))
    if deleted == [1, 2]:
        # Two in a row in the middle: the name of the first is in the second, so no receipt can speak for it.
        assert only(failures(spool)).first == 2
        return
    assert failures(spool) == []
    assert What.HELD_ELSEWHERE in notes(spool)


def test_a_receipt_for_other_bytes_excuses_nothing(tmp_path: Path) -> None:
    camera, other = simple_camera(), simple_camera(part_bytes=301)
    spool = spool_of(camera, tmp_path / "spool", [1])
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt([other.segments[1]]))
    assert only(failures(spool)).segment == camera.segments[1].name


def test_a_station_that_lost_a_segment_is_not_excused_by_its_own_receipt(tmp_path: Path) -> None:
    camera = simple_camera()
    paths = camera.write(tmp_path / "segments")
    paths[1].unlink()
    (tmp_path / "a.receipt").write_bytes(camera.receipt(camera.segments))
    assert only(failures(tmp_path)).segment == camera.segments[1].name


@pytest.mark.parametrize("tail", [b"", bytes(70_000), b"0000000099.age".ljust(300, b"\xff")])
def test_an_open_segment_is_a_note(tail: bytes, tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    camera.part()
    segment = camera.open
    assert segment is not None
    spool = spool_of(camera, tmp_path / "spool", [])
    shutil.rmtree(spool / "log")
    segment.sealed = False
    data = segment.to_bytes()
    (spool / "open" / f"{segment.name}.tar").write_bytes(data + tail)
    assert failures(spool) == []
    assert What.OPEN_SEGMENT in notes(spool)
    for cut in (1, 300, 600, 1500):
        (spool / "open" / f"{segment.name}.tar").write_bytes(data[:-cut] + tail)
        assert failures(spool) == [], cut


def test_damage_within_an_open_segment_is_a_failure(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    camera.part()
    segment = camera.open
    assert segment is not None
    spool = spool_of(camera, tmp_path / "spool", [])
    shutil.rmtree(spool / "log")
    segment.sealed = False
    wrong = bytearray(segment.entries[0].sealed)
    wrong[-1] ^= 1
    segment.entries[0].sealed = bytes(wrong)
    segment.write(spool / "open")
    assert only(failures(spool)).what is What.ALTERED_BYTES


# -- tiles help over damage ----------------------------------------------------------------------------------------


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
