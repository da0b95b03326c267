"""Recordings and their ends; sessions and clocks, leaf after leaf."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from agent.evidence.findings import Sure, What
from agent.formats import leaf as leaves
from agent.formats import note
from agent.formats.leaf import Kind
from tests.builders import BOOTS, Camera, agency, replaced, simple_camera
from tests.evidence.kit import failures, notes, only, report_of, write_head


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


def without_identity(camera: Camera, stripped: Collection[Kind]) -> Camera:
    """Of these events the session key alone signed the checkpoint."""
    for segment in camera.segments:
        for entry in segment.entries:
            leaf = leaves.parse(entry.leaf)
            if isinstance(leaf, leaves.EventLeaf) and leaf.kind in stripped:
                signed = note.parse(entry.note)
                entry.note = note.Note(signed.text, signed.signatures[:1]).to_bytes()
    return camera


def test_the_identity_key_vouches_for_a_recovery(tmp_path: Path) -> None:
    """It ends a recording as a stop does."""
    without_identity(crashed(), {Kind.RECOVERY, Kind.SHUTDOWN}).write(tmp_path)
    assert {f.what for f in failures(tmp_path)} == {What.MISSING_SIGNATURE}


def test_the_end_of_the_boot_vouches_for_a_recovery_to_which_the_identity_key_was_silent(tmp_path: Path) -> None:
    without_identity(crashed(), {Kind.RECOVERY}).write(tmp_path)
    assert failures(tmp_path) == [] and What.IDENTITY_SILENT in notes(tmp_path)


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


def test_a_new_session_that_was_cut_before_it_could_say_so_is_a_note(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    camera.new_session()
    assert camera.open is not None
    camera.close_segment()
    camera.write(tmp_path)
    assert failures(tmp_path) == []
    assert What.TAIL_UNPROVEN in notes(tmp_path)


def test_a_recording_without_an_end_at_the_tail_is_a_note(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    camera.close_segment()
    camera.write(tmp_path)
    assert failures(tmp_path) == []
    assert notes(tmp_path).count(What.TAIL_UNPROVEN) == 2


def tail(camera: Camera, root: Path, head: Path | None = None) -> list[tuple[str | None, Sure, str]]:
    camera.close_segment()
    camera.write(root)
    found = report_of(root, head=head)
    assert found.verified
    return [(f.recording, f.sure, f.text) for f in found.findings if f.what is What.TAIL_UNPROVEN]


@pytest.mark.parametrize("end", ["shutdown", "stop", "event"])
def test_a_clean_end_is_told_from_one_that_may_be_a_lost_tail(end: str, tmp_path: Path) -> None:
    """Without a later head: a shutdown says that its session is whole; nothing else does."""
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    camera.stop()
    if end == "shutdown":
        camera.shutdown()
    elif end == "event":
        camera.event()
    ((recording, sure, text),) = tail(camera, tmp_path)
    assert (recording, sure) == (None, Sure.OPEN)
    assert ("no leaf of it is missing" in text, "fell out" in text) == (end == "shutdown", end != "shutdown")


def test_an_open_recording_may_have_lost_its_tail_unless_a_head_covers_it(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    name = camera.start()
    camera.part()
    of_it = next(found for found in tail(camera, tmp_path / "alone") if found[0] == name)
    assert (of_it[1], "left out" in of_it[2]) == (Sure.OPEN, True)
    head = write_head(tmp_path / "head", camera.checkpoint(camera.frontier.size))
    ((recording, sure, text),) = tail(camera, tmp_path / "covered", head)
    assert (recording, sure) == (name, Sure.PROVEN)
    assert "none was left out" in text


def test_that_the_power_cut_a_recording_is_only_likely(tmp_path: Path) -> None:
    """Whoever took parts off the card before the start that says so leaves the same."""
    crashed().write(tmp_path)
    (found,) = (f for f in report_of(tmp_path).findings if f.what is What.INTERRUPTED)
    assert found.sure is Sure.LIKELY
    assert "likely" in found.line()
    assert "at most 1 s" in found.text


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


def test_leaves_without_a_date_are_not_said_to_carry_one(tmp_path: Path) -> None:
    camera = Camera(agency())
    camera.forge = lambda leaf: replace(
        leaf,
        common=replace(leaf.common, stamp=replace(leaf.common.stamp, utc=None, utc_source="none", utc_bound_ms=None)),
    )
    camera.new_session()
    camera.shutdown()
    camera.write(tmp_path)
    (told,) = (f.text for f in report_of(tmp_path).findings if f.what is What.CLOCK_UNVERIFIED)
    assert told == "2 of 2 leaves carry no date: the camera's clock was not set"


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
