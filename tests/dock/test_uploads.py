"""Where an upload is, remembered from one process to the next."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from agent.dock.uploads import MAX_BYTES, MAX_LINES, Uploads
from agent.formats.seal import SealRecord

BASE = "https://station:8443/"


def record(number: int = 0, sha256: str = "0" * 64) -> SealRecord:
    return SealRecord(f"e{number:010d}-00000000", 1000, sha256, number, 1, None, 0)


def test_another_process_finds_it_and_other_bytes_or_stations_do_not(tmp_path: Path) -> None:
    path = tmp_path / "uploads.jsonl"
    Uploads(path).remember(BASE, record(), f"{BASE}files/1")
    later = Uploads(path)
    assert later.url(BASE, record()) == f"{BASE}files/1"
    assert later.url(BASE, record(0, "1" * 64)) is None
    assert later.url("https://other/", record()) is None
    later.remember(BASE, record(), f"{BASE}files/2")
    assert Uploads(path).url(BASE, record()) == f"{BASE}files/2"


def test_a_torn_or_strange_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "uploads.jsonl"
    Uploads(path).remember(BASE, record(1), "one")
    with path.open("ab") as file:
        file.write(b'[1]\n{"key": 1}\n\xff\n' + b"[" * 100_000 + b'\n{"key": "torn')
    assert Uploads(path).url(BASE, record(1)) == "one"


def test_without_a_place_to_write_it_is_remembered_in_memory(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "gone" / "uploads.jsonl")
    uploads.remember(BASE, record(), "one")
    assert uploads.url(BASE, record()) == "one"
    assert Uploads().url(BASE, record()) is None


def test_it_does_not_grow_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "uploads.jsonl"
    uploads = Uploads(path)
    for number in range(MAX_LINES + 1):
        uploads.remember(BASE, record(number), f"u{number}")
    again = Uploads(path)
    assert len(path.read_text().splitlines()) == MAX_LINES // 2
    assert again.url(BASE, record(MAX_LINES)) == f"u{MAX_LINES}"
    assert again.url(BASE, record(0)) is None
    assert Uploads(path).url(BASE, record(MAX_LINES)) == f"u{MAX_LINES}"


def test_its_bytes_have_a_bound_and_the_newest_are_kept(tmp_path: Path) -> None:
    """A station may give another address of 2 KiB at each try."""
    path = tmp_path / "uploads.jsonl"
    uploads, largest = Uploads(path), 0
    for number in range(3 * MAX_BYTES // 2000):
        uploads.remember(BASE, record(number), f"{number}{'x' * 2000}")
        largest = max(largest, path.stat().st_size)
    assert MAX_BYTES // 2 < largest <= MAX_BYTES
    for held in (uploads, Uploads(path)):
        assert str(held.url(BASE, record(number))).startswith(f"{number}x")
        assert held.url(BASE, record(0)) is None


def test_the_same_again_and_again_takes_no_more_than_that_either(tmp_path: Path) -> None:
    path = tmp_path / "uploads.jsonl"
    uploads = Uploads(path)
    for number in range(3 * MAX_BYTES // 2000):
        uploads.remember(BASE, record(), f"{number}{'x' * 2000}")
        assert path.stat().st_size <= MAX_BYTES
    assert str(Uploads(path).url(BASE, record())).startswith(f"{number}x")


def test_of_a_file_that_is_too_large_the_end_counts(tmp_path: Path) -> None:
    """An earlier version let it grow."""
    path = tmp_path / "uploads.jsonl"
    lines = Uploads(tmp_path / "one")
    lines.remember(BASE, record(7), "newest")
    old = (f'{{"key": "{BASE} {n}", "url": "{"x" * 60_000}"}}\n' for n in count())
    with path.open("wb") as file:
        while file.tell() < 5 << 20:
            file.write(next(old).encode())
        file.write((tmp_path / "one").read_bytes())
    for _ in range(2):
        assert Uploads(path).url(BASE, record(7)) == "newest"
        assert path.stat().st_size <= MAX_BYTES
