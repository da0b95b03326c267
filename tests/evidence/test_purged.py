"""What a station deleted, since its days were over, is told from what is missing: by its signed note, and no more."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from agent.evidence.findings import Finding, Sure, What
from agent.evidence.ledger import accounts_of
from agent.evidence.tiling import Account, Doing
from agent.formats import note, purge, receipt
from agent.formats.leaf import Kind
from tests.builders import Camera, agency, make_agency, simple_camera
from tests.evidence.kit import only, report_of
from tests.evidence.test_spools import lived, spool_of

END = 1_780_128_000
"""The end of its days, a day before each purge here: 30 May 2026, 8:00 UTC."""


def stored(camera: Camera, place: Path, gone: str) -> Path:
    """What a station has of it: E0, A0, E1, B0, E2, C0, E3 without those named by their numbers, and its log."""
    for number, segment in enumerate(camera.segments):
        if str(number) not in gone:
            segment.write(place / "segments")
    camera.write_log(place / "log" / "1")
    (place / "purges").mkdir(parents=True)
    return place


def noted(place: Path, *notes: bytes) -> Path:
    for number, data in enumerate(notes):
        (place / "purges" / f"{number}.purge").write_bytes(data)
    return place


def of(camera: Camera, number: int, **changes: Any) -> bytes:
    return camera.purge([camera.segments[number]], **changes)


def fails(*paths: Path) -> list[Finding]:
    return [f for f in report_of(*paths).findings if f.fails]


def told(*paths: Path) -> list[Finding]:
    return [f for f in report_of(*paths).findings if f.what is What.PURGED]


def test_what_a_receipt_names_is_not_said_of_leaves_that_it_cannot_hold(tmp_path: Path) -> None:
    """Behind the end, before and behind what was purged."""
    camera = lived()
    place = noted(stored(camera, tmp_path, "456"), of(camera, 5))
    (place / "a.receipt").write_bytes(camera.receipt(camera.segments[4:5]))
    before, behind = camera.segments[4], camera.segments[6]
    assert [(f.segment, f.first) for f in fails(place)] == [
        (before.name, before.entries[0].index),
        (None, behind.entries[0].index),
    ]


@pytest.mark.parametrize("gone", ["1", "3", "5", "13", "135"])
def test_what_a_note_names_is_not_missing_and_is_told(gone: str, tmp_path: Path) -> None:
    camera = lived()
    place = stored(camera, tmp_path, gone)
    assert {f.what for f in fails(place)} == {What.MISSING_SEGMENT}
    noted(place, *(of(camera, int(n)) for n in gone))
    assert fails(place) == []
    found = told(place)
    assert [(f.segment, f.recording, f.first, f.last) for f in found] == [
        (s.name, s.name[:20], s.entries[0].index, s.entries[-1].index) for s in (camera.segments[int(n)] for n in gone)
    ]
    for finding in found:
        for word in (agency().station, "2026-05-31T08:00:00+00:00", "2026-05-30T08:00:00+00:00", ".purge"):
            assert word in finding.text, finding.text


def test_a_note_is_told_also_where_nothing_is_gone(tmp_path: Path) -> None:
    """The card still has what the station deleted."""
    camera = lived()
    place = noted(stored(camera, tmp_path, ""), of(camera, 1))
    assert fails(place) == []
    assert only(told(place)).text.endswith("of them 1 are here, or are others by what is here")


def test_what_no_seal_leaf_names_is_explained_leaf_by_leaf(tmp_path: Path) -> None:
    """The event segments behind A0 and B0, with the seal leaves of these, are gone too: those are missing."""
    camera = lived()
    place = noted(stored(camera, tmp_path, "1234"), of(camera, 1), of(camera, 3))
    missing = {i for f in fails(place) for i in range(f.first or 0, (f.last or 0) + 1)}
    assert {f.what for f in fails(place)} == {What.MISSING_SEGMENT}
    assert missing == {e.index for n in (2, 4) for e in camera.segments[n].entries}


@pytest.mark.parametrize("gone", ["1", "123"])
def test_of_a_card_what_is_neither_held_nor_purged_is_missing(gone: str, tmp_path: Path) -> None:
    camera = lived()
    spool = spool_of(camera, tmp_path / "spool", [int(n) for n in gone])
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt([camera.segments[4]]))
    assert {f.what for f in fails(spool)} == {What.MISSING_SEGMENT}
    for number in (1, 3):
        (spool / f"{number}.purge").write_bytes(of(camera, number))
    missing = {i for f in fails(spool) for i in range(f.first or 0, (f.last or 0) + 1)}
    assert missing == ({e.index for e in camera.segments[2].entries} if "2" in gone else set())


def test_of_a_card_what_one_station_holds_and_one_purged_is_all_told(tmp_path: Path) -> None:
    camera = lived()
    spool = spool_of(camera, tmp_path / "spool", [1, 2, 3])
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt([camera.segments[2]]))
    for number in (1, 3):
        (spool / f"{number}.purge").write_bytes(of(camera, number))
    assert fails(spool) == []
    held = [f for f in report_of(spool).findings if f.what is What.HELD_ELSEWHERE]
    assert {i for f in held for i in range(f.first or 0, (f.last or 0) + 1)} == {
        e.index for e in camera.segments[2].entries
    }


def test_the_newest_recording_may_be_purged_before_the_leaves_behind_it_came(tmp_path: Path) -> None:
    camera = lived()
    upto = camera.segments[5].entries[-1].index + 1
    place = stored(camera, tmp_path, "56")
    (place / "log" / "1" / "checkpoint").write_bytes(camera.checkpoint(upto, by_identity=True))
    assert only(fails(place)).what is What.MISSING_SEGMENT
    noted(place, of(camera, 5))
    assert fails(place) == []
    assert {What.PURGED, What.TAIL_UNPROVEN} <= {f.what for f in report_of(place).findings}


# -- what explains nothing -----------------------------------------------------------------------------------------


def refused(place: Path, data: bytes) -> list[What]:
    noted(place, data)
    return [f.what for f in fails(place)]


def test_before_its_own_end_it_explains_nothing(tmp_path: Path) -> None:
    camera = lived()
    data = of(camera, 1, purged_s=END - 1)
    assert refused(stored(camera, tmp_path, "1"), data) == [What.BAD_PURGE, What.MISSING_SEGMENT]


def test_of_another_agency_or_edited_it_explains_nothing(tmp_path: Path) -> None:
    camera = lived()
    good = of(camera, 1)
    text = note.parse(good).text
    other = make_agency("another")
    forged = note.Note(text, (note.sign_ed25519(text, other.station, other.receipt_key),)).to_bytes()
    for number, data in enumerate((forged, good.replace(b"until 1", b"until 0"), good[:-40], b"")):
        place = stored(camera, tmp_path / f"{number}", "1")
        assert refused(place, data) == [What.BAD_PURGE, What.MISSING_SEGMENT]


def test_of_another_segment_or_other_bytes_it_explains_nothing(tmp_path: Path) -> None:
    camera = lived()
    other = lived(part_bytes=301)
    for number, data in enumerate((of(camera, 3), of(other, 1))):
        place = stored(camera, tmp_path / f"{number}", "1")
        assert refused(place, data) == [What.MISSING_SEGMENT]
        assert only(told(place)).text.endswith("or are others by what is here")


def test_of_another_log_it_explains_nothing_and_is_told(tmp_path: Path) -> None:
    camera = lived()
    data = of(camera, 1, origin="bodycam.local/cam-0001/2")
    place = stored(camera, tmp_path, "1")
    assert refused(place, data) == [What.MISSING_SEGMENT]
    strange = [f for f in report_of(place).findings if f.what is What.UNCHECKED]
    assert any("bodycam.local/cam-0001/2, of which no segment is given" in f.text for f in strange)


@pytest.mark.parametrize(
    ("until_s", "issued_s", "broken"),
    [
        (0, END, True), (END + 86_401, END, True), (END + 86_400, END, False),
        (0, END + 86_401, False), (END - 1, 5, False),
    ],
)  # fmt: skip
def test_before_the_end_that_a_receipt_names_it_explains_nothing(
    until_s: int, issued_s: int, broken: bool, tmp_path: Path
) -> None:
    """A receipt that was signed after the purge, of what came again, says nothing of it."""
    camera = lived()
    plain = receipt.parse(note.parse(camera.receipt([camera.segments[1]])).text)
    kept = tuple(dataclasses.replace(line, until_s=until_s) for line in plain.stored)
    text = dataclasses.replace(plain, issued_s=issued_s, stored=kept).text()
    signature = note.sign_ed25519(text, agency().station, agency().receipt_key)
    place = noted(stored(camera, tmp_path, "1"), of(camera, 1))
    (place / "a.receipt").write_bytes(note.Note(text, (signature,)).to_bytes())
    found = [What.BAD_PURGE, What.MISSING_SEGMENT] if broken else []
    assert [f.what for f in fails(place)] == found


# -- what is checked all the same ----------------------------------------------------------------------------------


def test_a_purge_hides_no_silence_about_another_recording(tmp_path: Path) -> None:
    """B0 is purged; A was cut, and no later session says so."""
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    camera.recording = None
    camera.new_session()
    camera.event()
    camera.start()
    camera.part()
    camera.stop()
    camera.event()
    camera.shutdown()
    (number,) = (n for n, s in enumerate(camera.segments) if s.name.startswith("r") and n > 2)
    place = noted(stored(camera, tmp_path, str(number)), of(camera, number))
    assert [f.what for f in fails(place)] == [What.NO_END]


@pytest.mark.parametrize("cut", [False, True])
def test_of_a_purged_recording_neither_end_nor_parts_are_asked_for(cut: bool, tmp_path: Path) -> None:
    """Its stop is gone with it; or the next session says how many parts it had."""
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    if cut:
        camera.crash(0)
    else:
        camera.stop()
    camera.new_session()
    camera.event()
    camera.shutdown()
    (number,) = (n for n, s in enumerate(camera.segments) if s.name.startswith("r"))
    place = noted(stored(camera, tmp_path, str(number)), of(camera, number))
    assert fails(place) == []


def test_what_is_left_of_a_recording_is_not_called_damaged(tmp_path: Path) -> None:
    """A purge that was cut short: one of its two segments is still there."""
    for number in (1, 2):
        camera = simple_camera()
        place = noted(stored(camera, tmp_path / f"{number}", str(number)), camera.purge(camera.segments[1:3]))
        assert fails(place) == []
        assert "2 segments deleted" in only(told(place)).text


def test_what_a_later_epoch_keeps_of_the_one_before_may_be_purged(tmp_path: Path) -> None:
    camera = lived()
    record = camera.segments[1].record()
    later = camera.next_epoch()
    kept = {"segment": record.segment, "epoch": 1, "size": record.size, "sha256": record.sha256, "whole": True}
    later.event(Kind.KEPT, facts={"segments": [kept]})
    later.shutdown()
    place = stored(camera, tmp_path, "1")
    for segment in later.segments:
        segment.write(place / "later")
    assert {f.what for f in fails(place)} == {What.MISSING_SEGMENT}
    noted(place, of(camera, 1))
    assert fails(place) == []


def test_one_note_given_twice_is_told_once(tmp_path: Path) -> None:
    camera = lived()
    place = noted(stored(camera, tmp_path, "1"), of(camera, 1), of(camera, 1))
    assert len(told(place)) == 1
    assert purge.parse(note.parse(of(camera, 1)).text).gone[0].segment == camera.segments[1].name


# -- accounts ------------------------------------------------------------------------------------------------------


def accounts(place: Path) -> tuple[list[Account], list[Finding]]:
    """Of the one boot, and what is not accounted for."""
    report = report_of(place)
    (camera,) = accounts_of(report)
    (powered,) = camera.boots
    return powered.accounts, [f for f in report.findings if f.what is What.UNACCOUNTED]


def test_what_a_station_purged_is_accounted_for_as_purged(tmp_path: Path) -> None:
    """From the last leaf before it to the first behind it, and no longer; its station, and which recording it was."""
    camera = lived()
    whole, _ = accounts(stored(camera, tmp_path / "whole", ""))
    begins = {a.recording: a.begin_ns for a in whole if a.doing is Doing.RECORDING}
    place = stored(camera, tmp_path / "purged", "1")
    (unknown, *more) = accounts(place)[1]
    assert not more and unknown.sure is Sure.LIKELY
    found, unaccounted = accounts(noted(place, of(camera, 1)))
    assert unaccounted == []
    assert found[0].begin_ns == 0 and found[-1].end_ns == whole[-1].end_ns
    assert all(one.end_ns == other.begin_ns for one, other in itertools.pairwise(found))
    at = next(n for n, one in enumerate(found) if one.doing is Doing.PURGED)
    gone, after = found[at : at + 2]
    assert (gone.recording, gone.begin_ns) == (camera.segments[1].name[:20], begins[gone.recording])
    assert "deleted by station station.test at 2026-05-31" in gone.reason
    behind = json.loads(camera.segments[2].entries[0].leaf)["boottime_ns"]
    assert (gone.end_ns, after.begin_ns, after.doing) == (behind, behind, Doing.ON)
    assert [a for a in found if a.begin_ns >= begins[camera.segments[3].name[:20]]] == [
        a for a in whole if a.begin_ns >= begins[camera.segments[3].name[:20]]
    ]


def test_what_no_note_names_beside_what_was_purged_is_not_accounted_for(tmp_path: Path) -> None:
    camera = lived()
    for gone, notes in (("12", [of(camera, 1)]), ("1", [of(camera, 3)]), ("1", [of(camera, 1, purged_s=END - 1)])):
        place = noted(stored(camera, tmp_path / gone / str(len(notes[0])), gone), *notes)
        found, unaccounted = accounts(place)
        assert unaccounted and Doing.PURGED not in {a.doing for a in found}


def test_a_boot_behind_what_was_purged_begins_as_any_other(tmp_path: Path) -> None:
    """The recording was cut by the power; how the boot before it ended stood in what is gone."""
    camera = Camera(agency(), seed=5).new_session()
    camera.start()
    camera.part()
    camera.part()
    camera.crash().shutdown()
    place = noted(stored(camera, tmp_path, "1"), of(camera, 1))
    report = report_of(place)
    (told_of,) = accounts_of(report)
    before, after = told_of.boots
    assert (before.lost, after.lost, after.accounts[0].doing) == (True, False, Doing.STARTING)
    assert What.UNACCOUNTED not in {f.what for f in report.findings}


def test_so_does_one_that_begins_a_later_epoch(tmp_path: Path) -> None:
    """What was purged is the end of the old log, which the new one follows."""
    first = simple_camera()
    del first.segments[3:]
    end = first.segments[2].entries[-1].index + 1
    first.boot += 1
    second = first.next_epoch(follows=first.head(end)).shutdown()
    place = noted(stored(first, tmp_path, "12"), first.purge(first.segments[1:3]))
    (place / "log" / "1" / "checkpoint").unlink()
    second.write(place / "segments")
    report = report_of(place)
    (told_of,) = accounts_of(report)
    before, after = told_of.boots
    assert (before.lost, after.accounts[0].doing) == (True, Doing.STARTING)
    assert [f.what for f in report.findings if f.fails or f.what is What.UNACCOUNTED] == []
    # Without the note nobody knows what stood there.
    (place / "purges" / "0.purge").unlink()
    (told_of,) = accounts_of(report_of(place))
    assert told_of.boots[1].accounts[0].doing is Doing.UNKNOWN
