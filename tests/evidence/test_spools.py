"""A camera's spool: delivered segments may be gone, and one is still open."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from agent.evidence.findings import What
from agent.evidence.heads import CheckedReceipt, Head
from agent.evidence.held import Deleted, Elsewhere, Of
from agent.formats import receipt
from agent.formats.leaf import Kind
from tests.builders import Camera, Segment, agency, simple_camera
from tests.evidence.kit import empty_spool, failures, notes, only, report_of
from tests.independent.kit import verdicts


def spool_of(camera: Camera, root: Path, deleted: list[int]) -> Path:
    empty_spool(root, "receipts", "log")
    for number, segment in enumerate(camera.segments):
        if number not in deleted:
            segment.write(root / "delivered")
    camera.write_log(root / "log" / "1")
    return root


def spool_with_open_segment(root: Path) -> tuple[Path, Segment]:
    """The one segment of a camera whose recording has two parts, to be written to open/."""
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    camera.part()
    segment = camera.open
    assert segment is not None
    spool = spool_of(camera, root, [])
    shutil.rmtree(spool / "log")
    segment.sealed = False
    return spool, segment


@pytest.mark.parametrize("deleted", [[1], [0], [0, 1], [1, 2]])
def test_delivered_segments_may_be_gone_from_a_spool(deleted: list[int], tmp_path: Path) -> None:
    """Of two in a row the name of the first is in the second: its place follows from what the receipt names."""
    camera = simple_camera()
    spool = spool_of(camera, tmp_path / "spool", deleted)
    assert What.MISSING_SEGMENT in {f.what for f in failures(spool)}
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt(camera.segments))
    assert failures(spool) == []
    assert What.HELD_ELSEWHERE in notes(spool)


def lived(recordings: int = 3, deletes: str = "", part_bytes: int = 300) -> Camera:
    """E0, A0, E1, B0, E2, C0, E3, of which E3 has a deletion leaf of the segments named by their numbers, if any."""
    camera = Camera(agency(), seed=5).new_session()
    for _ in range(recordings):
        camera.start()
        for _ in range(5):
            camera.part(size=part_bytes)
        camera.stop()
        camera.event()
    if deletes:
        gone = [camera.segments[int(n)].record() for n in deletes]
        named = [{"segment": r.segment, "sha256": r.sha256, "receipt": "ab" * 32} for r in gone]
        camera.event(Kind.DELETION, facts={"segments": named})
    return camera.shutdown()


def without(camera: Camera, root: Path, gone: str, receipted: str) -> Path:
    """Its spool without these, with a receipt for those."""
    spool = spool_of(camera, root, [int(n) for n in gone])
    (spool / "receipts" / "a.receipt").write_bytes(camera.receipt([camera.segments[int(n)] for n in receipted]))
    return spool


@pytest.mark.parametrize("gone", ["0", "01", "0123", "12", "123", "12345", "012345"])
def test_a_spool_without_any_that_receipts_name_verifies(gone: str, tmp_path: Path) -> None:
    camera = lived()
    spool = without(camera, tmp_path / "spool", gone, "012345")
    assert failures(spool) == []
    told = [f for f in report_of(spool).findings if f.what is What.HELD_ELSEWHERE]
    leaves = {i for f in told for i in range(f.first or 0, (f.last or 0) + 1)}
    assert leaves == {e.index for n in gone for e in camera.segments[int(n)].entries}


@pytest.mark.parametrize(
    ("gone", "receipted", "lacks"),
    [
        ("0123", "3", "012"),
        ("0123", "023", "1"),
        ("0123", "013", "2"),
        ("0123", "123", "0"),
        ("012", "02", "1"),
        ("123", "13", "2"),
        ("012345", "012345".replace("3", ""), "3"),
        ("012345", "5", "01234"),
    ],
)
def test_what_was_removed_with_one_that_a_receipt_names_is_missing(
    gone: str, receipted: str, lacks: str, tmp_path: Path
) -> None:
    """Marked ones are delivered first: a receipt for a later one says nothing of those before it."""
    camera = lived()
    spool = without(camera, tmp_path / "spool", gone, receipted)
    found = failures(spool)
    assert {f.what for f in found} == {What.MISSING_SEGMENT}
    really = {e.index for n in lacks for e in camera.segments[int(n)].entries}
    told = {i for f in found for i in range(f.first or 0, (f.last or 0) + 1)}
    assert told and told & really


@pytest.mark.parametrize("gone", ["1234", "01234"])
def test_a_recording_that_no_station_had_is_missing_however_much_the_one_before_it_could_hold(
    gone: str, tmp_path: Path
) -> None:
    """Of parts as long as real ones: what was stored on the first day ends in the log of that day."""
    camera = lived(part_bytes=40_000)
    spool = without(camera, tmp_path / "spool", gone, "4")
    first_day = camera.receipt(camera.segments[:2], camera.segments[1].entries[-1].index + 1)
    (spool / "receipts" / "b.receipt").write_bytes(first_day)
    really = {e.index for n in "23" for e in camera.segments[int(n)].entries}
    assert really <= {i for f in failures(spool) for i in range(f.first or 0, (f.last or 0) + 1)}


@pytest.mark.parametrize("gone", ["13", "123"])
def test_what_a_station_hands_out_beside_a_spool_makes_nothing_missing(gone: str, tmp_path: Path) -> None:
    camera = lived()
    spool = without(camera, tmp_path / "spool", gone, "0123456")
    handed = camera.segments[3].write(tmp_path / "station")
    root, _ = agency().write_trust(tmp_path)
    assert failures(spool) == []
    for more in (handed, handed.parent):
        assert failures(spool, more) == []
    assert verdicts(root, tmp_path)[tmp_path] == "verified"
    (spool / "receipts" / "a.receipt").unlink()
    assert {f.what for f in failures(spool, handed)} == {What.MISSING_SEGMENT}
    assert "missing-segment" in verdicts(root, tmp_path)[tmp_path]


@pytest.mark.parametrize(("of", "held"), [(Of.OWN, False), (Of.LATER, True), (Of.OTHER, False)])
def test_what_a_log_kept_of_one_before_explains_nothing_in_itself(of: Of, held: bool) -> None:
    segment = lived().segments[1].record()
    stored = receipt.Stored(segment.sha256, segment.size, segment.segment, "disk:there", 0)
    origin = "bodycam.local/cam-0001/2"
    told = receipt.Receipt("station.test", origin, "cam-0001", 0, b"", (), (), (stored,))
    checked = CheckedReceipt(told, Head(origin, 1, bytes(32), "a.receipt", asked=False), "ab" * 32)
    found = Elsewhere(lambda: [(checked, of)], list)
    assert bool(found.of(segment.segment, segment.sha256)) is held
    assert any(run.who for run in found.runs(0, 20, None, "e0000000020-00000000", ())) is held


@pytest.mark.parametrize(("of", "reaches"), [(Of.OWN, 1), (Of.LATER, 0)])
def test_what_a_later_log_deleted_is_known_by_name_and_digest_alone(of: Of, reaches: int) -> None:
    """Two logs may both begin with such a name: of which of them a leaf speaks, only its digest tells."""
    segment = lived().segments[0].record()
    found = Elsewhere(list, lambda: [({segment.segment: Deleted(segment.sha256, "ab" * 32, "leaf 31")}, of)])
    assert found.of(segment.segment, segment.sha256)
    runs = found.runs(0, 20, None, "e0000000020-00000000", ())
    assert sum(run.end - run.first for run in runs if run.who) == reaches


def test_what_a_deletion_leaf_names_was_deleted_by_the_camera(tmp_path: Path) -> None:
    """Its receipt is gone: it is the camera's word alone, of no other segment, and where no seal leaf gives that its
    leaves, of the first of them alone.
    """
    camera = lived(deletes="0123")
    assert failures(spool_of(camera, tmp_path / "spool", [3])) == []
    assert What.HELD_ELSEWHERE in notes(tmp_path / "spool")
    assert failures(spool_of(camera, tmp_path / "all", [0, 1, 2, 3]))
    assert failures(spool_of(camera, tmp_path / "more", [3, 4]))


def test_two_empty_directories_make_no_spool_of_what_lies_beside_them(tmp_path: Path) -> None:
    camera = lived()
    camera.write(tmp_path)
    (tmp_path / "a.receipt").write_bytes(camera.receipt(camera.segments))
    (tmp_path / f"{camera.segments[3].name}.tar").unlink()
    for name in ("sealed", "delivered"):
        (tmp_path / name).mkdir()
    assert only(failures(tmp_path)).segment == camera.segments[3].name
    for segment in camera.segments[:-1]:
        (tmp_path / f"{segment.name}.tar").unlink(missing_ok=True)
    assert {f.what for f in failures(tmp_path)} == {What.MISSING_SEGMENT}


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


@pytest.mark.parametrize("card", ["bare", "with the receipt", "with a deletion leaf"])
def test_nor_beside_the_card(card: str, tmp_path: Path) -> None:
    """The station's own directory is given, and one segment is neither there nor on the card."""
    camera = lived(deletes="1" if card == "with a deletion leaf" else "")
    spool = spool_of(camera, tmp_path / "given" / "spool", [0, 1, 2, 3])
    station, told = tmp_path / "given" / "station", camera.receipt(camera.segments)
    for segment in (camera.segments[n] for n in (0, 2, 3, 4, 5)):
        segment.write(station / "segments" / "cam-0001")
    (station / "receipts" / "cam-0001").mkdir(parents=True)
    (station / "receipts" / "cam-0001" / "a.receipt").write_bytes(told)
    if card != "bare":
        (spool / "receipts" / "a.receipt").write_bytes(told)
    root, _ = agency().write_trust(tmp_path)
    for given in ([station, spool], [tmp_path / "given"]):
        assert {(f.what, f.segment) for f in failures(*given)} == {(What.MISSING_SEGMENT, camera.segments[1].name)}
    assert "missing-segment" in verdicts(root, tmp_path / "given")[tmp_path / "given"]
    camera.segments[1].write(station / "segments" / "cam-0001")
    assert failures(station, spool) == []
    assert verdicts(root, tmp_path / "given")[tmp_path / "given"] == "verified"


@pytest.mark.wide
@pytest.mark.parametrize("place", ["receipts/cam-0001", "receipts/cam-0001/2026", "receipts", "receipts/cam-0002"])
@pytest.mark.parametrize("spool", [".", "segments"])
def test_nor_where_its_directory_was_made_to_look_like_a_spool(place: str, spool: str, tmp_path: Path) -> None:
    """By whoever may write there: a segment in `sealed/`, and the receipt in another place below `receipts/`."""
    camera, station = lived(), tmp_path / "station"
    for segment in (camera.segments[n] for n in (2, 3, 4, 5, 6)):
        segment.write(station / "segments" / "cam-0001")
    (station / spool / "delivered").mkdir()
    camera.segments[0].write(station / spool / "sealed")
    (station / place).mkdir(parents=True)
    (station / place / "a.receipt").write_bytes(camera.receipt(camera.segments))
    root, _ = agency().write_trust(tmp_path)
    assert only(failures(station)).what is What.MISSING_SEGMENT
    assert "missing-segment" in verdicts(root, station)[station]


def test_what_an_export_holds_that_somebody_unpacked_is_of_no_station(tmp_path: Path) -> None:
    """It has directories of the same names, and lies beside the card that it came from."""
    camera = lived()
    spool, case = without(camera, tmp_path / "spool", "1", "0123456"), tmp_path / "case"
    for segment in camera.segments[2:5]:
        segment.write(case / "segments")
    (case / "trust").mkdir()
    (case / "receipts").mkdir()
    (case / "report.json").write_bytes(b"{}")
    (case / "receipts" / "a.receipt").write_bytes(camera.receipt(camera.segments))
    root, _ = agency().write_trust(tmp_path)
    assert failures(spool, case) == []
    (tmp_path / "both").mkdir()
    for inner in (spool, case):
        inner.rename(tmp_path / "both" / inner.name)
    assert verdicts(root, tmp_path / "both")[tmp_path / "both"] == "verified"


def test_the_directory_of_a_station_says_nothing_of_what_another_one_has(tmp_path: Path) -> None:
    """Nor of another camera, and a receipt alone is not what the station has."""
    camera, other = lived(), Camera(agency(), "cam-0002").new_session().shutdown()
    spool = without(camera, tmp_path / "spool", "1", "0123456")
    station = tmp_path / "station"
    other.write(station / "segments" / "cam-0002")
    for one, name in ((other, "cam-0002"), (camera, "cam-0001")):
        (station / "receipts" / name).mkdir(parents=True)
        (station / "receipts" / name / "a.receipt").write_bytes(one.receipt(one.segments))
        assert (failures(spool, station) == []) is (name == "cam-0002")
    assert failures(spool, station / "receipts" / "cam-0001" / "a.receipt") == []
    assert failures(spool, station / "receipts") == []


@pytest.mark.parametrize("blank", ["empty", "zeros", "half a head", "a head", "half an entry"])
def test_files_that_the_power_left_before_their_first_entry_are_no_copies_of_each_other(
    blank: str, tmp_path: Path
) -> None:
    spool, segment = spool_with_open_segment(tmp_path / "spool")
    head = segment.head_bytes()
    entry = segment.to_bytes()[len(head) :]
    data = {
        "empty": b"",
        "zeros": bytes(70_000),
        "half a head": head[:700],
        "a head": head + bytes(70_000),
        "half an entry": head + entry[:600],
    }[blank]
    for name in ("e0000000000-4af79546", "e0000000000-3aa3095e", segment.name):
        (spool / "open" / f"{name}.tar").write_bytes(data)
    assert failures(spool) == []


def test_a_copy_of_a_file_that_holds_an_entry_is_named_also_in_open(tmp_path: Path) -> None:
    spool, segment = spool_with_open_segment(tmp_path / "spool")
    for name in (f"{segment.name[:-4]}0009", segment.name):
        (spool / "open" / f"{name}.tar").write_bytes(segment.to_bytes())
    assert What.REPEATED_SEGMENT in {f.what for f in failures(spool)}


@pytest.mark.parametrize("tail", [b"", bytes(70_000), b"0000000099.age".ljust(300, b"\xff")])
def test_an_open_segment_is_a_note(tail: bytes, tmp_path: Path) -> None:
    spool, segment = spool_with_open_segment(tmp_path / "spool")
    data = segment.to_bytes()
    (spool / "open" / f"{segment.name}.tar").write_bytes(data + tail)
    assert failures(spool) == []
    assert What.OPEN_SEGMENT in notes(spool)
    for cut in (1, 300, 600, 1500):
        (spool / "open" / f"{segment.name}.tar").write_bytes(data[:-cut] + tail)
        assert failures(spool) == [], cut


@pytest.mark.parametrize("old", ["head", "entry", "half an entry"])
@pytest.mark.parametrize("torn", [0, 512, 1024])
def test_old_blocks_in_the_torn_end_of_an_open_segment_are_a_note(old: str, torn: int, tmp_path: Path) -> None:
    """Where the power went before a block was written, an earlier use of it may show."""
    spool, segment = spool_with_open_segment(tmp_path / "spool")
    data, head = segment.to_bytes(), len(segment.head_bytes())
    first = len(segment.entries[0].to_bytes())
    blocks = {
        "head": data[:head],
        "entry": data[head : head + first],
        "half an entry": data[head + 1024 : head + first],
    }
    kept = len(data) - len(segment.entries[-1].to_bytes()) + torn
    (spool / "open" / f"{segment.name}.tar").write_bytes(data[:kept] + blocks[old] + bytes(4_096))
    assert failures(spool) == []
    assert What.OPEN_SEGMENT in notes(spool)


@pytest.mark.wide
@pytest.mark.parametrize("seed", [*range(12), 23])
def test_old_blocks_where_the_first_entry_of_an_open_segment_was_torn_are_a_note(seed: int, tmp_path: Path) -> None:
    """A recording's later segment is named after the recording's first leaf, and holds none of the leaves since."""
    camera, chance = Camera(agency()).new_session(), random.Random(seed)
    camera.start()
    for _ in range(3):
        camera.part()
    before = camera.open
    camera.rotate()
    segment = camera.open
    assert before is not None and segment is not None
    segment.entries.clear()
    segment.sealed = False
    spool = spool_of(camera, tmp_path / "spool", [])
    shutil.rmtree(spool / "log")
    old = b"".join(entry.to_bytes() for entry in before.entries)
    starts = [chance.randrange(len(old) // 512) * 512 for _ in range(8)]
    shown = b"".join(old[start : start + chance.choice((512, 4_096))] for start in starts)
    (spool / "open" / f"{segment.name}.tar").write_bytes(segment.to_bytes() + shown + bytes(4_096))
    assert failures(spool) == []
    assert What.OPEN_SEGMENT in notes(spool)


def test_old_blocks_in_the_torn_head_of_an_open_segment_are_a_note(tmp_path: Path) -> None:
    camera = simple_camera()
    spool = spool_of(camera, tmp_path / "spool", [])
    old = camera.segments[-1].entries[-3:][::-1]
    recording = next(s.header.recording for s in camera.segments if s.header.recording)
    torn = spool / "open" / f"{recording}-0009.tar"
    for start in (0, 1_024):
        torn.write_bytes(bytes(512) + b"".join(entry.to_bytes()[start:] for entry in old) + bytes(4_096))
        assert failures(spool) == []
        assert What.OPEN_SEGMENT in notes(spool)


def test_a_damaged_head_of_an_open_segment_that_goes_on_is_a_failure(tmp_path: Path) -> None:
    """Its head was on the disk before the leaves that follow it."""
    spool, segment = spool_with_open_segment(tmp_path / "spool")
    path = segment.write(spool / "open")
    path.write_bytes(bytes(512) + path.read_bytes()[512:])
    assert failures(spool)


def test_a_later_entry_after_damage_in_an_open_segment_is_no_torn_end(tmp_path: Path) -> None:
    spool, segment = spool_with_open_segment(tmp_path / "spool")
    lost = segment.entries.pop(-2)
    assert len(segment.entries) >= 2
    segment.write(spool / "open")
    assert only(failures(spool)).first == lost.index


@pytest.mark.parametrize("length", [0, 1, 512, 700, 4_000, 100_000])
def test_a_cut_before_the_first_entry_is_a_note(length: int, tmp_path: Path) -> None:
    """The file is there, but of its head and its first entry only so much; zeros follow, as they were reserved."""
    camera = simple_camera()
    spool = spool_of(camera, tmp_path / "spool", [])
    camera.new_session()
    camera.start()
    segment = camera.open
    assert segment is not None
    data = segment.to_bytes()
    assert length > len(data) or length < len(segment.head_bytes()) + 512
    for kept in (data[:length], data[:length] + bytes(65_536)) if length <= len(data) else (bytes(length),):
        (spool / "open" / f"{segment.name}.tar").write_bytes(kept)
        assert failures(spool) == []
        assert What.OPEN_SEGMENT in notes(spool)


def test_damage_within_an_open_segment_is_a_failure(tmp_path: Path) -> None:
    spool, segment = spool_with_open_segment(tmp_path / "spool")
    wrong = bytearray(segment.entries[0].sealed)
    wrong[-1] ^= 1
    segment.entries[0].sealed = bytes(wrong)
    segment.write(spool / "open")
    assert only(failures(spool)).what is What.ALTERED_BYTES


@pytest.mark.parametrize("beside", [0, 1, 2, 3])
@pytest.mark.parametrize("name", ["evidence", "e0o00000000-00000000", "r", "recording-of-the-accident-0001", "e"])
def test_beside_a_gap_a_file_of_any_name_is_what_its_content_says(name: str, beside: int, tmp_path: Path) -> None:
    """Renamed, it is named as that, and nothing else is found than beside one that is called as it was."""
    camera = lived()
    gone = "".join(n for n in "0123" if n != f"{beside}")
    spool = without(camera, tmp_path / "spool", gone, "012345")
    assert failures(spool) == []
    own = spool / "delivered" / f"{camera.segments[beside].name}.tar"
    own.rename(own.with_name(f"{name}.tar"))
    assert {f.what for f in failures(spool)} == {What.SWAPPED_SEGMENTS}
