"""A card that does not give all that is on it: what cannot be read is told as that, and all else is checked."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agent.evidence import rangeopen
from agent.evidence import sources as listing
from agent.evidence.blobs import MOST_TRIED, Blob, blob_at, blob_of
from agent.evidence.commands import main
from agent.evidence.decrypt import decrypt
from agent.evidence.films import check_films
from agent.evidence.findings import Finding, Sure, What
from agent.evidence.layout import Scanner
from agent.evidence.rangeopen import open_ranges
from agent.evidence.sources import collect
from agent.evidence.verify import Report, verify
from agent.formats import merkle, pack
from agent.formats.kepthead import KeptHead
from agent.formats.tlogproof import Extension
from tests.builders import Camera, agency, frontier_of, simple_camera
from tests.evidence.disk_kit import BLOCK, Disk, blocks_of, leaves_of
from tests.evidence.kit import empty_spool, failures, only, report_of, write_head
from tests.evidence.range_kit import cosigned_range, range_of
from tests.evidence.test_epochs import second_of
from tests.evidence.test_export import run as export_whole
from tests.film import film_camera


@pytest.fixture
def camera() -> Camera:
    return simple_camera(part_bytes=9_000)


@pytest.fixture
def place(camera: Camera, tmp_path: Path) -> Path:
    """DIR/seg with a camera's segments, DIR/root.pem, DIR/agency.agekey."""
    camera.write(tmp_path / "seg")
    agency().write_trust(tmp_path)
    return tmp_path


def segments(place: Path) -> list[Path]:
    return sorted((place / "seg").glob("*.tar"))


def block_in(path: Path, name: str) -> int:
    """One that lies in the data of this member, and in nothing else."""
    with blob_of(path).reader() as window:
        member = next(m for m in Scanner(window).run().members if m.name == name)
    block = -(-member.data // BLOCK)
    assert (block + 1) * BLOCK <= member.data + member.size
    return block


def test_whichever_block_is_lost_it_alone_is_told(place: Path, disk: Disk) -> None:
    for path in segments(place):
        for block in range(-(-path.stat().st_size // BLOCK)):
            disk.spoil(path, block)
            report = report_of(place / "seg")
            failing = [f for f in report.findings if f.fails]
            assert [(f.what, f.segment) for f in failing] == [(What.UNREADABLE, path.stem)], (path, block, failing)
            assert failing[0].offset is not None and failing[0].offset // BLOCK == block
            assert not report.verified and not report.all_read
            disk.bad.clear()
    assert report_of(place / "seg").verified


def test_a_block_of_a_part_has_its_part_and_its_time(place: Path, disk: Disk) -> None:
    path = segments(place)[2]
    disk.spoil(path, block_in(path, "0000000004.age"))
    found = only(failures(place / "seg"))
    assert (found.part_first, found.part_last, found.first, found.last) == (1, None, 4, 4)
    assert found.when and not found.when.startswith(("between", "before", "after"))
    assert "Input/output error" in found.text


def test_damage_elsewhere_in_such_a_segment_is_damage(place: Path, disk: Disk) -> None:
    path = segments(place)[2]
    data = bytearray(path.read_bytes())
    data[-6_000] ^= 1
    path.write_bytes(data)
    disk.spoil(path, 3)
    assert {f.what for f in failures(place / "seg")} == {What.UNREADABLE, What.ALTERED_BYTES}


@pytest.mark.parametrize("number", range(4))
def test_a_file_that_may_not_be_opened_is_not_missing(place: Path, disk: Disk, number: int) -> None:
    path = segments(place)[number]
    disk.lock(path)
    assert [(f.what, f.segment) for f in failures(place / "seg")] == [(What.UNREADABLE, path.stem)]


@pytest.mark.parametrize("number", range(4))
def test_nor_is_one_that_opens_and_gives_nothing(place: Path, camera: Camera, disk: Disk, number: int) -> None:
    """Also the newest, of which no seal leaf tells, but a receipt."""
    told = camera.receipt(camera.segments, leaves_of=leaves_of)
    (place / "seg" / "a.receipt").write_bytes(told)
    path = segments(place)[number]
    disk.spoil(path, *blocks_of(path))
    assert [(f.what, f.segment) for f in failures(place / "seg")] == [(What.UNREADABLE, path.stem)]


def test_of_the_newest_a_receipt_that_gives_it_no_leaves_does_not_say_how_many(
    place: Path, camera: Camera, disk: Disk
) -> None:
    """They may be more than it held: of a tail that was taken away too."""
    (place / "seg" / "a.receipt").write_bytes(camera.receipt(camera.segments))
    path = next(p for p in segments(place) if p.stem == camera.segments[-1].name)
    disk.spoil(path, *blocks_of(path))
    found = {f.what: f for f in failures(place / "seg")}
    assert found.keys() == {What.UNREADABLE, What.MISSING_SEGMENT}
    assert found[What.MISSING_SEGMENT].sure is Sure.OPEN and path.stem in found[What.MISSING_SEGMENT].text


def test_nor_one_of_a_later_log(place: Path, camera: Camera, disk: Disk) -> None:
    for segment in second_of(camera).segments:
        segment.write(place / "second")
    path = next((place / "second").glob("r*.tar"))
    disk.spoil(path, *blocks_of(path))
    found = only(failures(place / "seg", place / "second"))
    assert (found.what, found.segment, found.first) == (What.UNREADABLE, path.stem, 2)


def test_leaves_that_were_lost_with_the_header_are_not_proven_to_be_missing(place: Path, disk: Disk) -> None:
    path = segments(place)[1]
    disk.spoil(path, 0, 1)
    found = {f.what: f for f in failures(place / "seg")}
    assert found.keys() == {What.UNREADABLE, What.MISSING_SEGMENT}
    missing = found[What.MISSING_SEGMENT]
    assert missing.sure is Sure.OPEN and missing.first == missing.last and path.stem in missing.text


def test_where_the_header_is_read_what_was_before_it_is_missing(place: Path, disk: Disk) -> None:
    """The seal leaf of the one that is gone is lost."""
    gone, path = segments(place)[2], segments(place)[3]
    gone.unlink()
    with blob_of(path).reader() as window:
        layout = Scanner(window).run()
    seal = next(m for m in layout.members if m.kind == "json")
    disk.spoil(path, seal.data // BLOCK)
    assert seal.data // BLOCK > 0
    missing = next(f for f in failures(place / "seg") if f.what is What.MISSING_SEGMENT)
    assert missing.sure is Sure.PROVEN


def test_its_leaves_are_those_that_its_seal_leaf_says(place: Path, disk: Disk) -> None:
    disk.lock(segments(place)[2])
    found = only(failures(place / "seg"))
    assert (found.recording, found.part_first, found.part_last) == (found.segment and found.segment[:20], 0, 2)
    assert found.when and found.when.startswith("between")


def test_what_is_missing_beside_it_is_missing(place: Path, disk: Disk) -> None:
    lost, locked = segments(place)[2:]
    lost.unlink()
    disk.lock(locked)
    assert {(f.what, f.segment, f.sure) for f in failures(place / "seg")} == {
        (What.UNREADABLE, locked.stem, Sure.PROVEN),
        (What.MISSING_SEGMENT, lost.stem, Sure.PROVEN),
    }


def test_of_a_file_without_a_seal_leaf_nobody_knows_whether_it_has_what_lacks(
    camera: Camera, place: Path, disk: Disk, tmp_path: Path
) -> None:
    """The last segment, up to a later head: its leaves may be those that lack."""
    head = write_head(tmp_path / "head", camera.checkpoint(camera.frontier.size))
    disk.lock(segments(place)[1])
    found = {f.what: f for f in failures(place / "seg", head=head)}
    assert set(found) == {What.UNREADABLE, What.MISSING_SEGMENT}
    assert found[What.MISSING_SEGMENT].sure is Sure.OPEN and segments(place)[1].stem in found[What.MISSING_SEGMENT].text


def test_two_cameras_one_of_whose_files_cannot_be_opened(place: Path, disk: Disk) -> None:
    Camera(agency(), "cam-0002", seed=2).new_session().write(place / "seg" / "other")
    path = segments(place)[2]
    disk.lock(path)
    found = only(failures(place / "seg"))
    assert (found.what, found.segment) == (What.UNREADABLE, path.stem) and "cam-0001" in "".join(found.of)


@pytest.mark.parametrize("as_json", [False, True])
def test_status_4_and_all_else_is_said(
    place: Path, disk: Disk, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    paths = segments(place)
    data = bytearray(paths[3].read_bytes())
    data[-6_000] ^= 1
    paths[3].write_bytes(data)
    disk.spoil(paths[2], 3)
    asked = ["verify", str(place / "seg"), "--trust", str(place / "root.pem")]
    assert main([*asked, *(["--json"] if as_json else [])]) == 4
    out = capsys.readouterr().out
    if as_json:
        told = json.loads(out)
        assert {f["what"] for f in told["findings"] if f["fails"]} == {"unreadable", "altered-bytes"}
        assert not told["verified"] and not told["all_read"]
        digests = {s["segment"]: s["sha256"] for log in told["logs"] for s in log["segments"]}
        assert [name for name, digest in digests.items() if digest is None] == [paths[2].stem]
    else:
        assert "FAIL unreadable" in out and "FAIL altered-bytes" in out


@pytest.mark.parametrize("kind", ["receipt", "revocation", "purge", "vouched"])
def test_what_stands_beside_and_cannot_be_read_is_not_called_bad(place: Path, disk: Disk, kind: str) -> None:
    path = place / "seg" / f"x.{kind}"
    path.write_bytes(b"x")
    disk.lock(path)
    assert [f.what for f in failures(place / "seg")] == [What.UNREADABLE]


def missing(found: list[Finding]) -> Finding:
    """What lacks, of findings that are this and what cannot be read."""
    assert {f.what for f in found} == {What.UNREADABLE, found[-1].what} and len(found) == 2
    return found[-1]


@pytest.mark.parametrize("gone", ["1", "12", "3"], ids=["named by a seal leaf", "one of them by none", "the newest"])
def test_what_a_receipt_may_explain_that_cannot_be_read_is_not_proven_to_be_missing(
    place: Path, camera: Camera, disk: Disk, gone: str
) -> None:
    """Of a spool; elsewhere a receipt explains nothing."""
    spool, names = empty_spool(place / "spool", "receipts"), [camera.segments[int(n)].name for n in gone]
    for path in segments(place):
        path.rename(spool / "sealed" / path.name)
    camera.write_log(spool / "log" / "1")
    for name in names:
        (spool / "sealed" / f"{name}.tar").unlink()
    receipt = spool / "receipts" / "a.receipt"
    receipt.write_bytes(camera.receipt(camera.segments, leaves_of=leaves_of))
    assert failures(spool) == []
    disk.lock(receipt)
    found = failures(spool)
    assert {f.what for f in found} == {What.UNREADABLE, What.MISSING_SEGMENT}
    assert all(f.sure is Sure.OPEN and "a.receipt" in f.text for f in found if f.what is What.MISSING_SEGMENT)
    disk.locked.clear()
    (spool / "sealed").rename(place / "card")
    moved = receipt.rename(place / "card" / receipt.name)
    (spool / "log").rename(place / "card" / "log")
    disk.lock(moved)
    assert {f.sure for f in failures(place / "card") if f.what is What.MISSING_SEGMENT} == {Sure.PROVEN}


def test_nor_is_what_lacks_of_an_early_copy(place: Path, camera: Camera, disk: Disk) -> None:
    spool, copied = empty_spool(place / "spool", "receipts"), camera.segments[1]
    for segment in camera.segments:
        if segment is copied:
            cut = replace(segment, entries=segment.entries[:2])
            begun = spool / "open" / f"{cut.name}.tar"
            begun.write_bytes(cut.to_bytes()[: -len(pack.TRAILER)])
        else:
            segment.write(spool / "sealed")
    receipt = spool / "receipts" / "a.receipt"
    receipt.write_bytes(camera.receipt(camera.segments))
    assert failures(spool) == []
    disk.lock(receipt)
    found = missing(failures(spool))
    assert (found.what, found.segment, found.sure) == (What.MISSING_PARTS, copied.name, Sure.OPEN)


def test_nor_what_a_purge_note_may_explain(place: Path, camera: Camera, disk: Disk) -> None:
    note = place / "seg" / "1.purge"
    note.write_bytes(camera.purge([camera.segments[1]]))
    (place / "seg" / f"{camera.segments[1].name}.tar").unlink()
    assert failures(place / "seg") == []
    disk.lock(note)
    found = missing(failures(place / "seg"))
    assert (found.what, found.sure) == (What.MISSING_SEGMENT, Sure.OPEN) and "1.purge" in found.text


def test_tiles_that_cannot_be_read_are_not_called_bad(place: Path, camera: Camera, disk: Disk) -> None:
    camera.write_log(place / "seg" / "log" / "1")
    for spoiled in ("checkpoint", "tile/0/000", "chain.pem"):
        (path,) = [p for p in (place / "seg" / "log" / "1").rglob("*") if p.is_file() and spoiled in str(p)][:1]
        disk.lock(path)
        assert [f.what for f in failures(place / "seg")] == [What.UNREADABLE], spoiled
        disk.locked.clear()


def test_a_disk_that_gives_nothing_is_not_asked_block_by_block(tmp_path: Path, disk: Disk) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(bytes(1 << 20))
    disk.spoil(path, *range(256))
    with blob_of(path).patient() as window:
        assert window.at(0, 1 << 20) == bytes(1 << 20)
        assert window.lost == [(0, 1 << 20)] and disk.asked <= MOST_TRIED + 2


def test_nobody_says_of_a_lost_block_that_it_was_being_written(place: Path, camera: Camera, disk: Disk) -> None:
    """Of a segment in open/ that has no whole head, or only the begin of its last entry."""
    spool = place / "spool"
    empty_spool(spool)
    last = camera.segments[-1]
    for path in (path for path in segments(place) if path.stem != last.name):
        path.rename(spool / "sealed" / path.name)
    begun = spool / "open" / f"{last.name}.tar"
    for size in (300, len(last.head_bytes()), len(last.to_bytes()) - 2_000):
        begun.write_bytes(last.to_bytes()[:size] + bytes(3 * BLOCK))
        assert report_of(spool).verified
        for block in range(begun.stat().st_size // BLOCK):
            disk.spoil(begun, block)
            assert [(f.what, f.segment) for f in failures(spool)] == [(What.UNREADABLE, last.name)], (size, block)
            disk.bad.clear()


def test_a_block_that_nothing_looks_at_is_told_too(place: Path, disk: Disk) -> None:
    """The sealed bytes of an entry whose leaf is altered are held against nothing; the file's digest is of them."""
    path = segments(place)[2]
    with blob_of(path).reader() as window:
        leaf = next(m for m in Scanner(window).run().members if m.name == "0000000004.json")
    data = bytearray(path.read_bytes())
    data[leaf.data : leaf.data + 3] = b"xyz"
    path.write_bytes(data)
    disk.spoil(path, block_in(path, "0000000004.age"))
    assert What.UNREADABLE in {f.what for f in failures(place / "seg")}


# -- what is handed on ---------------------------------------------------------------------------------------------


@pytest.fixture
def filmed(tmp_path: Path) -> Path:
    film_camera().write(tmp_path / "seg")
    return tmp_path / "seg"


def second(filmed: Path) -> Path:
    return sorted(filmed.glob("r*.tar"))[1]


def test_an_export_has_what_can_be_read_and_no_zeros(filmed: Path, disk: Disk, tmp_path: Path) -> None:
    disk.spoil(second(filmed), block_in(second(filmed), "0000000009.age"))
    result = export_whole(filmed, tmp_path / "out", even_if_damaged=True)
    (exported,) = result.exports
    assert exported.parts == 7 and len(exported.gaps) == 1
    assert (result.exit_status, result.whole) == (4, False)
    told = failures(tmp_path / "out")
    assert [(f.what, f.part_first) for f in told] == [(What.MISSING_PARTS, exported.gaps[0])]


def test_where_a_leaf_is_lost_what_stands_before_it_is_exported(filmed: Path, disk: Disk, tmp_path: Path) -> None:
    with blob_of(second(filmed)).reader() as window:
        leaf = next(m for m in Scanner(window).run().members if m.name == "0000000009.json")
    disk.spoil(second(filmed), leaf.data // BLOCK)
    result = export_whole(filmed, tmp_path / "out", even_if_damaged=True)
    (exported,) = result.exports
    assert (exported.parts, exported.last_part, result.exit_status) == (5, 4, 4)
    assert Path(exported.mp4).stem.endswith("parts-0-4") and failures(tmp_path / "out") == []


def test_an_export_goes_on_beside_a_file_that_may_not_be_opened(filmed: Path, disk: Disk, tmp_path: Path) -> None:
    disk.lock(sorted(filmed.glob("r*.tar"))[0])
    result = export_whole(filmed, tmp_path / "out", even_if_damaged=True)
    (exported,) = result.exports
    assert exported.parts == 4 and exported.gaps == [0, 1, 2, 3] and result.exit_status == 4


def test_an_export_of_what_the_disk_gave_when_it_was_checked_and_no_more_is_no_damage(
    filmed: Path, disk: Disk, tmp_path: Path
) -> None:
    """Each opening of its files in turn is refused; what is handed out is whole, or is told not to be."""
    ended, parts = Counter[int](), set[tuple[int, ...]]()
    for number in count(1):
        disk.opens.clear()
        disk.refused, disk.below = number, filmed
        result = export_whole(filmed, tmp_path / str(number), even_if_damaged=True)
        ended[result.exit_status] += 1
        assert result.exit_status in (0, 4) and result.all_read is (result.exit_status == 0)
        if result.all_read:
            parts.add(tuple(exported.parts for exported in result.exports))
            assert result.whole
        if max(times for path, times in disk.opens.items() if path.is_relative_to(filmed)) < number:
            break
    assert ended[4] > 2 and parts == {(8,)}


def test_decrypt_writes_the_other_parts(filmed: Path, disk: Disk, tmp_path: Path) -> None:
    whole = decrypt(collect([filmed]).segments, [agency().identity], tmp_path / "whole")
    disk.spoil(second(filmed), block_in(second(filmed), "0000000009.age"))
    done = decrypt(collect([filmed]).segments, [agency().identity], tmp_path / "out")
    assert len(done.files) == len(whole.files) - 1 and not done.all_read
    assert done.failures and all("cannot be read" in failure for failure in done.failures) and done.exit_status == 4
    disk.lock(second(filmed))
    done = decrypt(collect([filmed]).segments, [agency().identity], tmp_path / "other")
    assert only_text(done.failures).endswith("it cannot be read: Permission denied")


@pytest.mark.parametrize("of_range", [False, True])
def test_decrypt_tells_of_a_proof_that_is_damaged_or_cannot_be_read(
    filmed: Path, disk: Disk, tmp_path: Path, capsys: pytest.CaptureFixture[str], of_range: bool
) -> None:
    """Alone, and beside one that gives all."""
    _, key = agency().write_trust(tmp_path)
    make = range_of if of_range else exported
    sound, bad = make(filmed, tmp_path / "sound"), make(filmed, tmp_path / "bad")

    def decrypted(*proofs: Path) -> tuple[int, dict[str, Any]]:
        words = ["decrypt", *map(str, proofs), "-i", str(key), "-o", str(tmp_path / "out"), "--json"]
        return main(words), json.loads(capsys.readouterr().out)

    status, whole = decrypted(sound)
    assert status == 0 and whole["files"] and not whole["failures"]
    bad.write_bytes(bad.read_bytes()[:-700])
    for proofs in ((bad,), (bad, sound)):
        status, said = decrypted(*proofs)
        assert (status, said["all_read"]) == (1, True)
        assert len(said["files"]) == len(whole["files"]) * (len(proofs) - 1)
        assert only_text(said["failures"]).startswith(f"{bad.name}: ")
    disk.lock(bad)
    for proofs in ((bad,), (bad, sound)):
        status, said = decrypted(*proofs)
        assert (status, said["all_read"]) == (4, False)
        assert len(said["files"]) == len(whole["files"]) * (len(proofs) - 1)
        assert only_text(said["failures"]) == f"{bad.name}: it cannot be read: Permission denied"


def only_text(texts: list[str]) -> str:
    (one,) = texts
    return one


def exported(filmed: Path, out: Path, **options: object) -> Path:
    export_whole(filmed, out, **options)
    (proof,) = out.glob("*.proof.tar")
    return proof


def test_of_an_export_its_film_is_not_called_altered(filmed: Path, disk: Disk, tmp_path: Path) -> None:
    proof = exported(filmed, tmp_path / "out")
    mp4 = proof.with_name(proof.name.replace(".proof.tar", ".mp4"))
    disk.spoil(proof, proof.stat().st_size // BLOCK // 2)
    assert {f.what for f in told(proof, mp4)} == {What.UNREADABLE}
    disk.bad.clear()
    disk.lock(proof)
    assert {f.what for f in told(proof, mp4)} == {What.UNREADABLE}
    disk.locked.clear()
    disk.lock(mp4)
    assert {f.what for f in told(proof, mp4)} == {What.UNREADABLE}


def told(*paths: Path) -> list[Finding]:
    report = report_of(*paths)
    check_films(report, collect(paths), agency().root, [agency().identity])
    return [f for f in report.findings if f.fails]


def test_of_a_range_the_other_entries_are_checked(filmed: Path, disk: Disk, tmp_path: Path) -> None:
    proof = range_of(filmed, tmp_path / "out")
    disk.spoil(proof, proof.stat().st_size // BLOCK // 2)
    assert {f.what for f in failures(proof)} == {What.UNREADABLE}


def test_a_range_that_goes_before_it_is_opened_ends_nothing(
    filmed: Path, tmp_path: Path, disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between its check and its opening; the range beside it is opened."""
    root, key = agency().write_trust(tmp_path)
    going, staying = range_of(filmed, tmp_path / "a", begin="06.4", end="06.6"), range_of(filmed, tmp_path / "b")
    words = ["verify", str(going), str(staying), "--trust", str(root), "-i", str(key), "--json"]

    def opened(report: Report, *more: Any) -> list[Finding]:
        disk.lock(going)
        return open_ranges(report, *more)

    disk.patch.setattr(rangeopen, "open_ranges", opened)
    assert main(words) == 4
    said = json.loads(capsys.readouterr().out)
    assert {(f["what"], f["sure"]) for f in said["findings"] if f["fails"]} == {("unreadable", "proven")}
    assert not said["all_read"] and [bool(one["opened"]) for one in said["ranges"]] == [False, True]


def test_of_a_range_that_refuses_once_no_signature_is_called_bad(disk: Disk, tmp_path: Path) -> None:
    """Whichever look at it that is."""
    proof = cosigned_range(film_camera(), tmp_path)
    disk.opens.clear()
    assert failures(proof) == []
    for number in range(1, disk.opens[proof] + 1):
        disk.opens.clear()
        disk.refused = number
        assert {f.what for f in failures(proof)} <= {What.UNREADABLE}, number


# -- a card in use -------------------------------------------------------------------------------------------------


def test_a_segment_that_moves_on_while_the_card_is_read_is_read_where_it_is(place: Path, camera: Camera) -> None:
    """Sealed between the listing and the reading, and then delivered."""
    spool = place / "spool"
    empty_spool(spool)
    paths = segments(place)
    for path in paths:
        path.rename(spool / "sealed" / path.name)
    last = spool / "sealed" / paths[1].name
    begun = spool / "open" / last.name
    begun.write_bytes(last.read_bytes()[:-1_024])
    last.unlink()
    sources = collect([spool])
    begun.rename(last)
    found = verify(sources, agency().root)
    assert found.verified and found.all_read
    last.rename(spool / "delivered" / last.name)
    assert verify(sources, agency().root).verified
    (spool / "delivered" / last.name).unlink()
    assert [f.what for f in verify(sources, agency().root).findings if f.fails] == [What.UNREADABLE]


@pytest.mark.parametrize(("before", "after"), [("open", "sealed"), ("sealed", "delivered"), ("open", "delivered")])
def test_so_is_one_that_moves_on_while_the_card_is_listed(
    place: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    spool, moving = place / "spool", segments(place)[1].name
    empty_spool(spool)
    for path in segments(place):
        path.rename(spool / (before if path.name == moving else "sealed") / path.name)

    def late(path: Path) -> Blob:
        if path == spool / before / moving:
            path.rename(spool / after / moving)
        return blob_at(path)

    monkeypatch.setattr(listing, "blob_at", late)
    report = report_of(spool)
    assert (spool / after / moving).exists(), "it moved meanwhile"
    assert report.verified and report.all_read, [f.line() for f in report.findings]
    assert sorted(r.blob.name for r in report.results) == sorted({r.blob.name for r in report.results})


def growing() -> Camera:
    """Three segments: leaves 0 and 1, 2 to 6, and 7 to 11."""
    camera = Camera(agency(), seed=4).new_session()
    camera.start()
    for _ in range(4):
        camera.part()
    camera.rotate()
    for _ in range(4):
        camera.part()
    camera.close_segment()
    return camera


def image(camera: Camera, spool: Path, size: int, ahead: int) -> None:
    """The card with so many leaves, and so many bytes made ahead behind the last one."""
    for segment in camera.segments:
        first, end = segment.entries[0].index, segment.entries[-1].index + 1
        begun, sealed = (spool / state / f"{segment.name}.tar" for state in ("open", "sealed"))
        if end <= size and segment is not camera.segments[-1]:
            begun.unlink(missing_ok=True)
            sealed.write_bytes(segment.to_bytes())
        elif first < size:
            cut = replace(segment, entries=segment.entries[: size - first])
            begun.write_bytes(cut.to_bytes()[: -len(pack.TRAILER)] + bytes(ahead))
    camera.write_log(spool / "log" / "1", size)


@pytest.mark.parametrize(("before", "after", "ahead"), [(4, 9, 1 << 12), (4, 7, 1 << 12), (9, 11, 0)])
def test_what_a_card_writes_while_it_is_read_is_not_missing(
    tmp_path: Path, before: int, after: int, ahead: int
) -> None:
    """A segment is sealed and the next one begun, sealed alone, or only grows; then the checkpoint is written."""
    camera, spool = growing(), empty_spool(tmp_path / "spool")
    image(camera, spool, before, ahead)
    sources = collect([spool])
    image(camera, spool, after, ahead)
    assert [f.line() for f in verify(sources, agency().root).findings if f.fails] == []
    assert failures(spool) == []


@pytest.mark.parametrize("bound", ["MAX_LISTED", "MAX_ALL_LISTED"])
def test_a_checkpoint_too_long_to_keep_is_read_when_its_turn_comes(
    place: Path, camera: Camera, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    camera.write_log(place / "seg" / "log" / "1")
    monkeypatch.setattr(listing, bound, 10)
    sources = collect([place / "seg"])
    assert sources.logs and not sources.checkpoints
    segments(place)[-1].unlink()
    sources = collect([place / "seg"])
    assert What.MISSING_SEGMENT in {f.what for f in verify(sources, agency().root).findings}


def test_what_was_there_when_a_card_was_listed_is_asked_for(tmp_path: Path) -> None:
    camera, spool = growing(), empty_spool(tmp_path / "spool")
    image(camera, spool, 9, 1 << 12)
    (spool / "open" / f"{camera.segments[-1].name}.tar").unlink()
    sources = collect([spool])
    image(camera, spool, 11, 1 << 12)
    found = only([f for f in verify(sources, agency().root).findings if f.fails])
    assert (found.what, found.first, found.last) == (What.MISSING_SEGMENT, 7, 8)


def kept_head(camera: Camera, first: int) -> bytes:
    """What a purge of the segment that begins with this leaf may keep: the newest head, and what leads to it."""
    size = camera.frontier.size
    proof = merkle.consistency_proof(first, size, lambda a, b: frontier_of(camera.hashes[a:b]).root())
    return KeptHead(Extension(first, tuple(proof)), camera.checkpoint(size, by_identity=True)).to_bytes()


def listed_late(
    monkeypatch: pytest.MonkeyPatch, directory: Path, happens: Callable[[], None], turn: int = 1
) -> list[Path]:
    """What `happens` once, just before this one is listed for the `turn`th time; how often it was."""
    real, done = os.scandir, list[Path]()

    def late(place: Path) -> object:
        if place == directory:
            done.append(directory)
            if len(done) == turn:
                happens()
        return real(place)

    monkeypatch.setattr(os, "scandir", late)
    return done


@pytest.mark.parametrize(("before", "after"), [("open", "sealed"), ("sealed", "delivered"), ("open", "delivered")])
def test_one_that_moves_on_before_its_directory_is_listed_is_found_in_the_next(
    place: Path, camera: Camera, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    spool, moving = empty_spool(place / "spool", "receipts"), segments(place)[1].name
    for path in segments(place):
        path.rename(spool / (before if path.name == moving else "sealed") / path.name)
    camera.write_log(spool / "log" / "1")

    def goes_on() -> None:
        (spool / "receipts" / "a.receipt").write_bytes(camera.receipt(camera.segments[:2]))
        (spool / before / moving).rename(spool / after / moving)

    done = listed_late(monkeypatch, spool / before, goes_on)
    assert failures(spool) == [] and done


def test_a_station_that_takes_more_while_it_is_read_lacks_none(place: Path, camera: Camera) -> None:
    station, held = place / "station", camera.segments
    for segment in held[:2]:
        segment.write(station / "segments" / "cam-0001")
    camera.write_log(station / "logs" / "cam-0001" / "1", held[1].entries[-1].index + 1)
    sources = collect([station])
    for segment in held:
        segment.write(station / "segments" / "cam-0001")
    camera.write_log(station / "logs" / "cam-0001" / "1")
    assert [f.line() for f in verify(sources, agency().root).findings if f.fails] == []


def test_what_a_station_purges_while_it_is_listed_its_note_explains(
    place: Path, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    station, gone = place / "station", camera.segments[1]
    for segment in camera.segments:
        segment.write(station / "segments" / "cam-0001")
    (station / "purges" / "cam-0001").mkdir(parents=True)

    def purged() -> None:
        (station / "purges" / "cam-0001" / "1.purge").write_bytes(camera.purge([gone]))
        (station / "segments" / "cam-0001" / f"{gone.name}.tar").unlink()

    done = listed_late(monkeypatch, station / "segments" / "cam-0001", purged)
    assert failures(station) == [] and done


@pytest.mark.parametrize("turn", [1, 2])
def test_a_head_that_a_purge_keeps_while_a_station_is_listed_asks_for_nothing_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    """The camera docks meanwhile, so the head is one of leaves that came behind the listing; or before all of it."""
    camera = growing()
    held, before = list(camera.segments), camera.frontier.size
    camera.new_session().start()
    camera.part()
    camera.stop()
    camera.shutdown()
    station, gone = tmp_path / "station", held[1]
    for segment in held:
        segment.write(station / "segments" / "cam-0001")
    camera.write_log(station / "logs" / "cam-0001" / "1", before)
    purges = station / "purges" / "cam-0001"
    purges.mkdir(parents=True)

    def purged() -> None:
        for segment in camera.segments:
            segment.write(station / "segments" / "cam-0001")
        (purges / f"{gone.name}.vouched").write_bytes(kept_head(camera, gone.header.first))
        (purges / "1.purge").write_bytes(camera.purge([gone]))
        (station / "segments" / "cam-0001" / f"{gone.name}.tar").unlink()

    done = listed_late(monkeypatch, station / "purges", purged, turn)
    sources = collect([station])
    assert len(done) == 2 and (sources.late == set()) is (turn == 1)
    found = verify(sources, agency().root).findings
    assert [f.line() for f in found if f.fails and f.what is not What.UNREADABLE] == []
    assert failures(station) == [] and not collect([station]).late


@pytest.mark.parametrize("most", [None, 8 << 10], ids=["a disk that is well", "one that gives a little at a time"])
def test_what_is_given_after_all_excuses_nothing(place: Path, camera: Camera, disk: Disk, most: int | None) -> None:
    """The last entry cut whole from a sealed segment that is long enough to be read in large pieces."""
    path, whole = segments(place)[2], camera.segments[1]
    path.write_bytes(replace(whole, entries=whole.entries[:-1]).to_bytes())
    assert path.stem == whole.name and path.stat().st_size > 8 << 10
    disk.most = most
    report = report_of(place / "seg")
    assert {f.what for f in report.findings if f.fails} == {What.MISSING_PARTS}
    assert report.all_read and all(len(log_segment.sha256) == 64 for log in report.logs for log_segment in log.results)


@pytest.mark.parametrize("renamed", [False, True])
def test_a_copy_that_is_given_only_when_asked_again_is_a_copy(place: Path, disk: Disk, renamed: bool) -> None:
    """Refused once, as its digest is asked for."""
    victim = shutil.copytree(place / "seg", place / "copy") / segments(place)[2].name
    if renamed:
        victim = victim.rename(victim.with_stem(segments(place)[2].stem[:-1] + "9"))
    size, pread, refused = victim.stat().st_size, os.pread, list[int]()

    def once(fd: int, count: int, offset: int) -> bytes:
        if count >= size and not refused and Path(os.readlink(f"/proc/self/fd/{fd}")) == victim.resolve():
            refused.append(offset)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(fd, count, offset)

    disk.patch.setattr(os, "pread", once)
    report = report_of(place / "seg", place / "copy")
    assert refused and report.all_read
    named = [f.what for f in report.findings if f.fails and f.segment == victim.stem]
    assert bool(named) == renamed and report.verified != renamed, [f.line() for f in report.findings]


def test_a_copy_that_goes_while_the_others_are_read_is_told(place: Path, camera: Camera, disk: Disk) -> None:
    """In open/, with all leaves: it is held to its digest at last."""
    spool, copy = place / "spool", camera.segments[1]
    empty_spool(spool)
    for segment in camera.segments:
        segment.write(spool / ("open" if segment is copy else "sealed"))
    begun = spool / "open" / f"{copy.name}.tar"
    begun.write_bytes(copy.to_bytes()[: -len(pack.TRAILER)])
    assert failures(spool) == []
    read = Blob.sha256_as_sealed

    def gone(blob: Blob, size: int) -> str | None:
        blob.path.unlink()
        return read(blob, size)

    disk.patch.setattr(Blob, "sha256_as_sealed", gone)
    assert [(f.what, f.segment) for f in failures(spool)] == [(What.UNREADABLE, copy.name)]
