"""An export of several recordings: what is wrong with one keeps no other from being handed out."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from agent.evidence.clip import ExportOptions
from agent.evidence.export import ExportResult, export
from agent.evidence.findings import OF_NO_LOG, Sure, What
from agent.evidence.sources import collect
from agent.evidence.times import parse_time
from agent.evidence.verify import verify
from agent.formats import leaf as leaves
from agent.formats import note, receipt
from agent.formats.leaf import Kind
from tests.builders import Camera, agency
from tests.evidence.kit import failures, report_of
from tests.evidence.range_kit import members


@pytest.mark.parametrize(("lost", "said"), [(0, "the start of"), (1, "the parts cannot be proven")])
def test_a_recording_that_cannot_be_proven_keeps_no_other_from_being_handed_out(
    tmp_path: Path, lost: int, said: str
) -> None:
    """Of one camera everything, of another one its first segment or one in the middle is missing."""
    whole, holed = (Camera(agency(), name, seed).new_session() for seed, name in enumerate(("cam-0001", "cam-0002")))
    for camera in (whole, holed):
        camera.start()
        camera.part()
        camera.rotate()
        camera.part()
        camera.stop()
        camera.close_segment()
    whole.write(tmp_path / "seg")
    holed.write(tmp_path / "seg")[lost].unlink()
    times = {"begin": parse_time("2026-01-01T00:00:00Z", "--from"), "end": parse_time("2027-01-01T00:00:00Z", "--to")}
    options = ExportOptions(tmp_path / "out", even_if_damaged=True, **times)
    result = export(collect([tmp_path / "seg"]), agency().root, [agency().identity], options)
    proven, other = result.exports
    assert verify(collect([Path(proven.proof)]), agency().root).verified and not proven.problems
    assert (other.proof, other.mp4, other.parts) == ("", "", 0)
    assert said in other.problems[0] and not result.whole


def undated(leaf: leaves.Leaf) -> leaves.Leaf:
    stamp = replace(leaf.common.stamp, utc=None, utc_source="none", utc_bound_ms=None)
    return replace(leaf, common=replace(leaf.common, stamp=stamp))


def film_of(place: Path, name: str, dated: int, parts: int = 4) -> str:
    """A recording whose first parts have no date, but for so many at its end."""
    camera = Camera(agency(), name, dated).new_session()
    recording = camera.start()
    for number in range(parts):
        camera.forge = undated if number < parts - dated else lambda leaf: leaf
        camera.part()
    camera.stop()
    camera.close_segment()
    camera.write(place / name)
    return recording


def test_a_recording_without_a_date_is_named_where_a_time_is_asked_for(tmp_path: Path) -> None:
    """Nobody can know whether it lies in that time; beside the MP4 of another, nothing names it."""
    dated, other = (film_of(tmp_path / "seg", f"cam-000{4 - n}", n) for n in (4, 0))
    first, second = between(tmp_path, "2026-01-01T00:00:00Z").exports
    assert (first.recording, first.parts, first.problems) == (dated, 4, [])
    assert (second.recording, second.parts, second.proof) == (other, 0, "")
    assert "parts 0 to 3" in second.problems[0] and "--recording" in second.problems[0]
    assert other not in (tmp_path / "out" / "report.json").read_text("utf-8")


@pytest.mark.parametrize(("begin", "parts"), [("2026-01-01T00:00:00Z", 2), ("2026-06-01T00:00:00Z", 0)])
def test_parts_before_the_first_that_has_a_date_are_named(begin: str, parts: int, tmp_path: Path) -> None:
    """By those behind them that have one, the time asked for begins before the recording, or after it."""
    film_of(tmp_path / "seg", "cam-0001", 2)
    result = between(tmp_path, begin)
    (only,) = result.exports
    assert (only.parts, result.whole) == (parts, False)
    assert "parts 0 to 1" in only.problems[0]


def test_each_proof_holds_the_receipts_of_its_own_log_and_tells_of_no_other(tmp_path: Path) -> None:
    """Two cameras, the receipts of both under one name; the first has another one of that name elsewhere."""
    names = ("cam-0001", "cam-0002")
    cameras = [Camera(agency(), name, seed).new_session() for seed, name in enumerate(names)]
    for camera, name in zip(cameras, names, strict=True):
        camera.start()
        camera.part()
        camera.stop()
        camera.shutdown()
        camera.write(tmp_path / "seg" / name)
        (tmp_path / "seg" / name / "a.receipt").write_bytes(camera.receipt(camera.segments))
    (tmp_path / "seg" / "more").mkdir()
    (tmp_path / "seg" / "more" / "a.receipt").write_bytes(cameras[0].receipt(cameras[0].segments[:1]))
    broken = tmp_path / "seg" / names[1] / f"{cameras[1].segments[-1].name}.tar"
    broken.write_bytes(broken.read_bytes()[:-700])
    (tmp_path / "head.receipt").write_bytes(cameras[1].receipt(cameras[1].segments))
    options = ExportOptions(tmp_path / "out", even_if_damaged=True)
    key, head = [agency().identity], tmp_path / "head.receipt"
    exports = export(collect([tmp_path / "seg"]), agency().root, key, options, head).exports
    for made, (name, foreign) in zip(exports, (names, names[::-1]), strict=True):
        content = members(Path(made.proof))
        held = [data for member, data in content.items() if member.startswith("receipts/")]
        assert [receipt.parse(note.parse(data).text).camera for data in held] == [name] * 2
        told = content["report.json"].decode("ascii")
        assert name in told and foreign not in told
        assert json.loads(told)["verification"]["verified"] == (name == names[0])


def told_in_proofs(place: Path, *heads: Path) -> list[tuple[bool, set[What], str]]:
    """Of each proof's report.json: whether it says verified, the kinds of failures, and the whole text."""
    options = ExportOptions(place / "out", even_if_damaged=True)
    result = export(collect([place / "seg"]), agency().root, [agency().identity], options, *heads)
    found = []
    for made in result.exports:
        text = members(Path(made.proof))["report.json"].decode("ascii")
        told = json.loads(text)["verification"]
        found.append((told["verified"], {What(f["what"]) for f in told["findings"] if f["fails"]}, text))
    return found


def filmed(camera: Camera) -> Camera:
    camera.start()
    camera.part()
    camera.stop()
    return camera.shutdown()


@pytest.mark.parametrize("what", [What.FORK, What.COUNTER_JUMP, What.BAD_EPOCH])
def test_what_speaks_against_two_logs_together_is_told_in_the_proofs_of_both_and_of_no_other(
    tmp_path: Path, what: What
) -> None:
    """The older goes on after it ended; more was counted from one to the next; a receipt knows another end of it."""
    old = filmed(Camera(agency(), "cam-0001", 1).new_session(counter=5))
    said = {
        What.FORK: lambda: old.next_epoch(follows=old.head(3)),
        What.COUNTER_JUMP: lambda: old.next_epoch(counter=9),
        What.BAD_EPOCH: lambda: old.next_epoch(follows=replace(old.head(), root=bytes(32))),
    }
    logs = [old, filmed(said[what]()), filmed(Camera(agency(), "cam-0002", 2).new_session())]
    for number, camera in enumerate(logs):
        camera.write(tmp_path / "seg" / f"{number}")
    (tmp_path / "seg" / "a.receipt").write_bytes(old.receipt(old.segments))
    *both, (verified, failed, text) = told_in_proofs(tmp_path)
    assert all(not told and what in kinds for told, kinds, _ in both) and len(both) == 2
    assert verified and not failed and "cam-0001" not in text


def test_a_fork_against_what_follows_it_is_told_in_the_proofs_of_both(tmp_path: Path) -> None:
    """Only the first leaf of the next epoch says that the older one had another root."""
    old = filmed(Camera(agency(), "cam-0001", 1).new_session())
    later = filmed(old.next_epoch(follows=replace(old.head(), root=bytes(32))))
    for number, camera in enumerate((old, later)):
        camera.write(tmp_path / "seg" / f"{number}")
    assert [What.FORK in kinds for _, kinds, _ in told_in_proofs(tmp_path)] == [True, True]


@pytest.mark.parametrize("stray", [False, True])
def test_what_is_wrong_and_may_be_of_any_log_is_told_in_each_proof_without_a_name(tmp_path: Path, stray: bool) -> None:
    """A receipt that is not valid, or a segment that names no log, of one of two cameras or of the other."""
    logs = [filmed(Camera(agency(), f"cam-000{n}", n).new_session()) for n in (1, 2)]
    for number, camera in enumerate(logs):
        camera.write(tmp_path / "seg" / f"{number}")
    if stray:
        last = logs[1].segments[-1]
        (tmp_path / "seg" / "1" / f"{last.name}.tar").unlink()
        (tmp_path / "seg" / f"{last.name}-secret.tar").write_bytes(b"\1" * 1024)
    else:
        bad = bytearray(logs[1].receipt(logs[1].segments))
        bad[-8] ^= 1
        (tmp_path / "seg" / "secret.receipt").write_bytes(bad)
    proofs = told_in_proofs(tmp_path)
    assert [verified for verified, _, _ in proofs] == [False, False]
    kinds = proofs[0][1] & proofs[1][1]
    assert kinds == ({What.NOT_A_SEGMENT, What.ALTERED_BYTES} if stray else {What.BAD_RECEIPT})
    assert not any("secret" in text or OF_NO_LOG not in text for _, _, text in proofs)


def test_a_head_of_another_log_is_told_in_no_proof(tmp_path: Path) -> None:
    filmed(Camera(agency(), "cam-0001", 1).new_session()).write(tmp_path / "seg")
    other = filmed(Camera(agency(), "cam-0002", 2).new_session())
    (tmp_path / "head.receipt").write_bytes(other.receipt(other.segments))
    ((verified, failed, text),) = told_in_proofs(tmp_path, tmp_path / "head.receipt")
    assert verified and not failed and "cam-0002" not in text


def between(place: Path, begin: str) -> ExportResult:
    options = ExportOptions(place / "out", begin=parse_time(begin, "--from"))
    return export(collect([place / "seg"]), agency().root, [agency().identity], options)


@pytest.mark.parametrize("stopped", [False, True])
def test_what_is_exported_from_a_card_that_is_being_written_to_verifies(tmp_path: Path, stopped: bool) -> None:
    """In the midst of a recording, and after it, where the segment of events with its stop is open."""
    camera = Camera(agency()).new_session()
    recording = camera.start()
    camera.part()
    camera.rotate()
    camera.part()
    if stopped:
        camera.stop()
        camera.event()
    *sealed, last = camera.segments
    last.sealed = False
    for segment in sealed:
        segment.write(tmp_path / "spool" / "sealed")
    last.write(tmp_path / "spool" / "open")
    sources = collect([tmp_path / "spool"])
    assert verify(sources, agency().root).verified
    (exported,) = export(sources, agency().root, [agency().identity], ExportOptions(tmp_path / "out")).exports
    report = verify(collect([Path(exported.proof)]), agency().root)
    assert report.verified and len(report.ranges) == 1
    assert Path(exported.proof).name.startswith(f"{recording}.parts-0-")


def proofs_of(place: Path, out: Path) -> list[Path]:
    result = export(collect([place]), agency().root, [agency().identity], ExportOptions(out))
    return [Path(one.proof) for one in result.exports]


def twice_cut() -> tuple[Camera, str]:
    """A recording whose power failed, and a session that it failed again before it had said so."""
    camera = Camera(agency(), seed=5).new_session()
    recording = camera.start()
    for _ in range(3):
        camera.part()
    camera.recording = None
    return camera.new_session(), recording


@pytest.mark.parametrize("told", [True, False])
def test_a_cut_recording_that_was_exported_before_its_cut_was_logged_accuses_none_exported_later(
    tmp_path: Path, told: bool
) -> None:
    """`told`: its end is in the segment with the start of the other one."""
    camera, cut = twice_cut()
    sealed, opened = list(camera.segments), camera.open
    assert opened is not None
    for segment in sealed:
        segment.write(tmp_path / "early" / "sealed")
    opened.sealed = False
    opened.write(tmp_path / "early" / "open")
    (early,) = proofs_of(tmp_path / "early", tmp_path / "out-early")
    opened.sealed = True
    camera.new_session()
    entries = len(sealed[-1].entries)
    facts = {"segment": sealed[-1].name, "entries": entries, "torn_bytes": 0, "parts": 3, "interrupted": True}
    camera.event(Kind.RECOVERY, facts=facts, recording=cut)
    if not told:
        camera.shutdown().new_session()
    camera.start()
    camera.part()
    camera.stop()
    camera.shutdown()
    camera.write(tmp_path / "late")
    first, second = proofs_of(tmp_path / "late", tmp_path / "out-late")
    assert failures(first, second) == []
    assert failures(early, second) == []
    unproven = [f for f in report_of(early, second).findings if f.what is What.TAIL_UNPROVEN and f.recording == cut]
    assert [f.sure for f in unproven] == ([] if told else [Sure.OPEN])


def test_one_without_its_end_is_named_where_a_receipt_names_that(tmp_path: Path) -> None:
    camera = Camera(agency(), seed=5).new_session()
    for _ in range(3):
        camera.start()
        camera.part()
        camera.rotate()
        camera.part()
        camera.stop()
        camera.event()
    camera.shutdown()
    (tmp_path / "seg").mkdir()
    (tmp_path / "seg" / "a.receipt").write_bytes(camera.receipt(camera.segments))
    camera.write(tmp_path / "seg")
    given = [tmp_path / "seg" / f"{camera.segments[n].name}.tar" for n in (0, 1, 6, 7, 8)]
    assert {f.what for f in failures(*given, tmp_path / "seg" / "a.receipt")} == {What.MISSING_SEGMENT}


def test_an_export_that_was_unpacked_and_another_camera_beside_it_accuse_none(tmp_path: Path) -> None:
    camera, other = Camera(agency(), seed=5).new_session(), Camera(agency(), "cam-0002", 9).new_session()
    for one in (camera, camera, other):
        one.start()
        one.part()
        one.stop()
        one.event()
    camera.shutdown().write(tmp_path / "seg")
    (tmp_path / "seg" / "a.receipt").write_bytes(camera.receipt(camera.segments))
    second = proofs_of(tmp_path / "seg", tmp_path / "out")[1]
    case = tmp_path / "case"
    case.mkdir()
    second.rename(case / second.name)
    subprocess.run(["tar", "-xf", second.name], cwd=case, check=True)
    assert failures(case) == []
    assert any(f.what is What.OUTSIDE and "unpacked" in f.text for f in report_of(case).findings)
    (case / second.name).unlink()
    assert failures(case) == []
    other.shutdown().write(tmp_path / "cam2")
    assert failures(case, tmp_path / "cam2") == []
    # Its own end still has to be there, and of another camera everything.
    (tmp_path / "cam2" / f"{other.segments[0].name}.tar").unlink()
    max((case / "segments").iterdir(), key=lambda path: int(path.name[1:11])).unlink()
    assert {f.what for f in failures(case, tmp_path / "cam2")} == {What.MISSING_SEGMENT}
    assert len(failures(case, tmp_path / "cam2")) == 2


def test_what_lies_beside_an_unpacked_export_is_a_log(tmp_path: Path) -> None:
    """Two files more make an export of what is in segments/, said as such, and of nothing else."""
    camera = Camera(agency(), seed=5).new_session()
    camera.start()
    camera.part()
    camera.stop()
    camera.event()
    camera.shutdown()
    for name in ("segments", "trust", "sealed"):
        (tmp_path / name).mkdir()
    (tmp_path / "report.json").touch()
    camera.segments[2].write(tmp_path / "sealed")
    assert {f.what for f in failures(tmp_path)} == {What.MISSING_SEGMENT}
