"""Where an upload is, remembered from one process to the next."""

from __future__ import annotations

from pathlib import Path

from agent.dock.uploads import MAX_LINES, Uploads
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
