"""What hostile heaps of files cost: time that grows with their number and not with its square, and bounded memory."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.evidence import sources, tally
from agent.evidence.blobs import CHUNK, Window, blob_of
from agent.evidence.decrypt import decrypt
from agent.evidence.findings import What
from agent.evidence.layout import Scanner
from agent.evidence.report import lines, to_json
from agent.evidence.roots import Effort
from agent.evidence.sources import collect
from agent.formats import leaf as leaves
from agent.formats import merkle, note, pack, tlogproof
from tests.builders import Camera, agency, replaced, simple_camera
from tests.evidence.kit import failures, memory_within, only, report_of
from tests.evidence.range_kit import written


@contextmanager
def cpu_within(seconds: float) -> Iterator[None]:
    begin = time.process_time()
    yield
    spent = time.process_time() - begin
    assert spent < seconds, f"{spent:.1f} s"


def head_of(origin: str, first: int = 0, chain: bytes = b"") -> bytes:
    """The members before the first entry, of a log that nobody signs."""
    frontier = merkle.Frontier(first, tuple(bytes(32) for _ in range(first.bit_count())))
    header = pack.SegmentHeader(origin, "cam-0001", None, 0, frontier)
    return pack.member(pack.HEADER, header.to_bytes()) + pack.member(pack.CHAIN, chain)


def garbage(directory: Path, count: int) -> None:
    for n in range(count):
        (directory / f"{n}.tar").write_bytes(b"%d" % (n % 7))


def logs_of_their_own(directory: Path, count: int) -> None:
    for n in range(count):
        (directory / f"e{0:010d}-{n:08x}.tar").write_bytes(head_of(f"x{n}/cam-0001/1") + pack.TRAILER)


def one_place(directory: Path, count: int) -> None:
    for n in range(count):
        (directory / f"e{0:010d}-{n:08x}.tar").write_bytes(head_of("x/cam-0001/1", 0, b"%d" % n) + pack.TRAILER)


def nobody_signed(directory: Path, count: int) -> None:
    entry = simple_camera(parts=1).segments[0].entries[0]
    for n in range(count):
        data = head_of("x/cam-0001/1", n) + pack.entry(n, b"", entry.leaf, entry.note) + pack.TRAILER
        (directory / f"e{n:010d}-00000000.tar").write_bytes(data)


def every_second_missing(directory: Path, count: int) -> None:
    camera = Camera(agency()).new_session()
    for _ in range(2 * count):
        camera.event()
        camera.close_segment()
    for segment in camera.segments[::2]:
        segment.write(directory)


def longer_copies(directory: Path, count: int) -> None:
    segment = simple_camera(parts=1).segments[0]
    for n in range(count):
        (directory / f"{n}").mkdir()
        (directory / f"{n}" / f"{segment.name}.tar").write_bytes(segment.to_bytes() + bytes(512) * (n + 1))


def many_recordings(directory: Path, count: int) -> None:
    camera = Camera(agency()).new_session()
    for _ in range(count):
        camera.start()
        camera.part(size=1)
        camera.stop()
    camera.shutdown().write(directory)


def films_and_receipts(directory: Path, count: int) -> None:
    for n in range(count):
        (directory / f"{n}.mp4").touch()
        (directory / f"{n}.receipt").write_bytes(b"%d" % n)
    simple_camera(parts=1).write(directory)


HEAPS = [
    garbage,
    logs_of_their_own,
    one_place,
    every_second_missing,
    longer_copies,
    many_recordings,
    films_and_receipts,
]


@pytest.mark.wide
@pytest.mark.parametrize("heap", HEAPS, ids=lambda heap: heap.__name__)
def test_a_heap_of_files_costs_in_proportion(heap, tmp_path: Path) -> None:
    """Four times as many cost four times as much; by their square it would be sixteen times."""
    spent = []
    for count in (50, 200):
        place = tmp_path / str(count)
        place.mkdir()
        heap(place, count)
        begin = time.process_time()
        report = report_of(place)
        assert list(lines(report)) and to_json(report)
        spent.append(time.process_time() - begin)
    assert spent[1] < 8 * max(spent[0], 0.02), spent
    assert not report.verified or heap is many_recordings


def test_files_that_nobody_signed_cost_no_search(tmp_path: Path) -> None:
    nobody_signed(tmp_path, 400)
    with cpu_within(3):
        assert failures(tmp_path)


def test_the_search_for_altered_bits_is_bounded_over_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of true evidence with a long leaf in each: to try all its bits is worth it a few times, not for each."""
    segment = simple_camera(parts=1).segments[0]
    segment.entries[0].leaf = segment.entries[0].leaf.replace(b'"v":1', b'"v":1' + b" " * 10_000)
    for n in range(40):
        (tmp_path / f"{n}").mkdir()
        (tmp_path / f"{n}" / f"{segment.name}.tar").write_bytes(segment.to_bytes() + bytes(512) * n)
    tried: list[int] = []
    refused: list[int] = []

    class Counted(Effort):
        def covers(self, data: bytes) -> bool:
            may = super().covers(data)
            (tried if may else refused).append(8 * len(data))
            return may

    monkeypatch.setattr("agent.evidence.verify.Effort", lambda: Counted(150_000))
    with cpu_within(10):
        assert failures(tmp_path)
    assert 80_000 < sum(tried) <= 150_000 < sum(refused)


def test_a_sparse_file_of_a_tebibyte_is_not_read(tmp_path: Path) -> None:
    camera = simple_camera(parts=1)
    paths = camera.write(tmp_path)
    os.truncate(paths[1], 1 << 40)
    with cpu_within(5):
        found = failures(tmp_path)
        done = decrypt(collect([paths[1]]).segments, [agency().identity], tmp_path / "out")
    assert What.NOT_A_SEGMENT in {f.what for f in found if f.segment == paths[1].stem}
    assert not done.files and "a segment at most" in done.failures[0]


def test_a_tar_of_very_many_members_is_bounded(tmp_path: Path) -> None:
    """Strangers, empty entries, and an export of empty segments."""
    strangers, entries, export = (tmp_path / name for name in ("a.tar", "b.tar", "c.proof.tar"))
    strangers.write_bytes(pack.member("x", b"") * 50_000 + pack.TRAILER)
    kinds = ("age", "json", "note")
    headers = (pack.member_header(f"{n // 3:010d}.{kinds[n % 3]}", 0) for n in range(20_000))
    entries.write_bytes(b"".join(headers) + pack.TRAILER)
    export.write_bytes(pack.member_header("segments/x.tar", 0) * 20_000 + pack.TRAILER)
    with cpu_within(10):
        assert failures(tmp_path)


def test_a_directory_that_leads_nowhere_is_gone_through(tmp_path: Path) -> None:
    deep = tmp_path / "/".join(["d" * 200] * 15)
    deep.mkdir(parents=True)
    (deep / "loop").symlink_to(tmp_path)
    os.mkfifo(deep / "pipe.tar")
    with pytest.raises(UsageError, match="no segment"), cpu_within(2):
        collect([tmp_path])


# -- the proof of a range ------------------------------------------------------------------------------------------


class SparseLog:
    """A log of which a camera signed the root and wrote next to nothing: all leaves but these have the hash zero."""

    def __init__(self, held: dict[int, bytes]) -> None:
        self.size, self._held, self._indexes = max(held) + 1, held, sorted(held)
        self.subtree = cache(self._subtree)

    def _subtree(self, begin: int, end: int) -> bytes:
        inside = [i for i in self._indexes if begin <= i < end]
        if not inside:
            return bytes(32)
        if end - begin == 1:
            return merkle.leaf_hash(self._held[begin])
        middle = begin + (1 << ((end - begin - 1).bit_length() - 1))
        return merkle.node_hash(self.subtree(begin, middle), self.subtree(middle, end))


def sparse_range(place: Path, parts: int, gap: int) -> Path:
    """Signed by the camera itself, hence valid in every path: between two parts `gap` leaves are missing."""
    camera = Camera(agency(), seed=5).new_session()
    recording = camera.start()
    for _ in range(parts):
        camera.part(size=10)
    camera.stop()
    camera.close_segment()
    entries = [e for s in camera.segments for e in s.entries]
    sealed, held = {}, {}
    for entry in entries:
        leaf = leaves.parse(entry.leaf)
        index = 2 + leaf.part * (gap + 1) if isinstance(leaf, leaves.MediaLeaf) else leaf.common.index
        if isinstance(leaf, leaves.MediaLeaf) or leaf.kind is leaves.Kind.START:
            sealed[index], held[index] = entry.sealed, leaves.to_bytes(replaced(leaf, index=index))
    log = SparseLog(held)
    head = camera.sign(note.Checkpoint(camera.origin, log.size, log.subtree(0, log.size)).text(), by_identity=True)
    told = {"recording": recording, "mp4_sha256": "", "first_part": 0, "last_part": parts - 1, "shift_s": 0}
    init = next(s.init for s in camera.segments if s.init)
    content = {
        "report.json": json.dumps({"v": 1, "export": told}).encode(),
        "checkpoint": head,
        f"chains/{hashlib.sha256(camera.chain).hexdigest()}.pem": camera.chain,
        pack.INIT: init,
    }
    for index, leaf_bytes in held.items():
        path = tuple(merkle.inclusion_proof(index, log.size, log.subtree))
        content[f"entries/{index:010d}.age"] = sealed[index]
        content[f"entries/{index:010d}.json"] = leaf_bytes
        content[f"entries/{index:010d}.tlog-proof"] = tlogproof.InclusionProof(index, path, head).to_bytes()
    return written(place / f"{recording}.parts-0-{parts - 1}.proof.tar", content)


def test_a_hole_of_many_leaves_is_one_finding(tmp_path: Path) -> None:
    """A proof of 24 KB that its camera signed, with 99,998 leaves missing in it."""
    proof = sparse_range(tmp_path, 3, 49_999)
    report_of(proof)
    with cpu_within(1), memory_within(1 << 20):
        report = report_of(proof)
    one, other = (f for f in report.findings if f.fails)
    assert (one.what, one.first, one.last, other.first, other.last) == (What.MISSING_PARTS, 3, 50_001, 50_003, 100_001)
    assert "leaves 3 to 50001, between parts 0 and 1, are not here" in one.text
    told = to_json(report)["findings"][0]
    assert (told["leaves"], told["when"].startswith("between ")) == ([3, 50_001], True)


def test_a_single_leaf_that_is_missing_is_named_as_one(tmp_path: Path) -> None:
    assert "leaf 3, between parts 0 and 1, is not here" in only(failures(sparse_range(tmp_path, 2, 1))).text


def members_that_are_nothing(place: Path, count: int) -> Path:
    proof = place / f"r0000000001-446fcec2.parts-0-{count}.proof.tar"
    names = [f"entries/{n:010d}.json" for n in range(count)]
    proof.write_bytes(b"".join(pack.member_header(name, 0) for name in names * 2) + pack.TRAILER)
    return proof


def test_of_very_many_findings_about_one_proof_most_are_counted_only(tmp_path: Path) -> None:
    """3,000 names, each twice: as much again is held of the findings as for the first thousand, and no more."""
    proof = members_that_are_nothing(tmp_path, 3_000)
    with memory_within(3 << 20):
        report = report_of(proof)
    *kept, last = report.findings
    assert (len(kept), last.what, last.fails) == (tally.MOST, What.MORE_FINDINGS, True)
    assert "and 5002 more findings" in last.text and not report.verified
    assert any("and 5002 more findings" in line for line in lines(report))
    told = to_json(report)
    assert told["findings"][-1]["what"] == "more-findings" and not told["ranges"][0]["verified"]


def test_of_very_many_findings_about_one_segment_most_are_counted_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 entries of nothing, each with two findings."""
    monkeypatch.setattr("agent.evidence.segment.MOST_OF_SEGMENT", 50)
    entries = b"".join(pack.entry(n, b"", b"", b"") for n in range(100))
    path = tmp_path / "e0000000000-446fcec2.tar"
    path.write_bytes(head_of("x/cam-0001/1") + entries + pack.TRAILER)
    found = report_of(path).findings
    more = only([f for f in found if f.what is What.MORE_FINDINGS])
    assert (sum(f.segment == path.stem for f in found), more.segment) == (51, path.stem)
    assert f"{path.stem}: and " in more.text and "more findings" in more.text


def film_of(place: Path, number: int) -> None:
    (place / f"{number}.mp4").touch()


def log_of(place: Path, number: int) -> None:
    (place / f"{number}" / "tile").mkdir(parents=True)
    (place / f"{number}" / "checkpoint").touch()


def broken_export_of(place: Path, number: int) -> None:
    (place / f"{number}.proof.tar").touch()


def range_of_names(place: Path, number: int) -> None:
    (place / f"{number}.proof.tar").write_bytes(pack.member_header("entries/0000000001.age", 0) * 9 + pack.TRAILER)


def export_of_segments(place: Path, number: int) -> None:
    (place / f"{number}.proof.tar").write_bytes(pack.member_header("segments/x.tar", 0) * 9 + pack.TRAILER)


def export_of_receipts(place: Path, number: int) -> None:
    (place / f"{number}.proof.tar").write_bytes(pack.member_header("receipts/x.receipt", 0) * 9 + pack.TRAILER)


def receipt_of(place: Path, number: int) -> None:
    (place / f"{number}.receipt").touch()


KINDS = [film_of, log_of, broken_export_of, range_of_names, export_of_segments, export_of_receipts, receipt_of]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_whatever_is_held_of_what_was_given_is_counted(
    kind: Callable[[Path, int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_HELD", 60)
    each = 10 if kind in (range_of_names, export_of_segments, export_of_receipts) else 1
    (tmp_path / "a.tar").touch()
    for number in range(59 // each):
        kind(tmp_path, number)
    assert collect([tmp_path]).held == 1 + each * (59 // each)
    kind(tmp_path, 59)
    with pytest.raises(UsageError, match="more than 60 files and members to check"):
        collect([tmp_path])


def test_a_proof_of_too_many_members_is_named_and_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proof = members_that_are_nothing(tmp_path, 1_000)
    monkeypatch.setattr(sources, "MAX_MEMBERS", 1_999)
    assert "it holds more than 1999 members" in only(failures(proof)).text
    monkeypatch.setattr(sources, "MAX_MEMBERS", 2_000)
    assert "members" not in failures(proof)[0].text


def test_no_proof_is_written_that_no_verifier_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.evidence.proof.MAX_MEMBERS", 3)
    written(tmp_path / "a.proof.tar", {"1": b"", "2": b"", "3": b""})
    with pytest.raises(UsageError, match="would hold more than 3 members"):
        written(tmp_path / "b.proof.tar", {"1": b"", "2": b"", "3": b"", "4": b""})
    assert [p.name for p in tmp_path.iterdir()] == ["a.proof.tar"]


def claims(path: Path, count: int, zeros: int) -> None:
    """So many headers, each of a member up to one and the same place, and there a hole with a byte at its end."""
    end = pack.BLOCK * (count + 1)
    with path.open("wb") as file:
        for number in range(count + 1):
            file.write(pack.member_header("0000000000.age", end - pack.BLOCK * (number + 1)))
        file.seek(end + zeros)
        file.write(b"x")


def test_a_hole_that_many_headers_point_at_is_read_no_more_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros, read = 16 << 20, [0]
    exactly = Window._exactly

    def counted(window: Window, offset: int, count: int) -> bytes:
        read[-1] += count
        return exactly(window, offset, count)

    monkeypatch.setattr(Window, "_exactly", counted)
    for count in (8, 200):
        claims(tmp_path / "x.tar", count, zeros)
        read.append(0)
        with blob_of(tmp_path / "x.tar").reader() as window:
            layout = Scanner(window).run()
        assert len(layout.damages) >= count
    _, few, many = read
    # The search for the next header, which stands close by, reads a piece of the file each time.
    assert zeros <= few <= many < few + (200 - 8) * 2 * CHUNK
