"""What hostile heaps of files cost: time that grows with their number and not with its square, and bounded memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.evidence.decrypt import decrypt
from agent.evidence.findings import What
from agent.evidence.report import lines, to_json
from agent.evidence.roots import Effort
from agent.evidence.sources import collect
from agent.formats import merkle, pack
from tests.builders import Camera, agency, simple_camera
from tests.evidence.kit import failures, report_of


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


@pytest.mark.parametrize("heap", HEAPS, ids=lambda heap: heap.__name__)
def test_a_heap_of_files_costs_in_proportion(heap, tmp_path: Path) -> None:
    """At 400 files a second they are gone through; by their square it was minutes."""
    heap(tmp_path, 500)
    with cpu_within(6):
        report = report_of(tmp_path)
        assert list(lines(report)) and to_json(report)
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
