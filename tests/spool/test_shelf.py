"""What lies in delivered/ is read once, and known as it is."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from agent.formats.seal import SealRecord
from agent.model import SegmentState
from agent.spool import store
from agent.spool.shelf import Shelf
from agent.spool.store import Spool


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each seal record was read."""
    counted: Counter[str] = Counter()
    read_seal = store.read_seal

    def reading(path: Path) -> SealRecord:
        counted[path.stem] += 1
        return read_seal(path)

    monkeypatch.setattr(store, "read_seal", reading)
    return counted


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path)
    for number in range(5):
        put(made, number)
    return made


def put(spool: Spool, number: int) -> Path:
    """A delivered segment of ten bytes and its number."""
    record = SealRecord(f"e{number:010d}-00000000", 10 + number, f"{number:064x}", number, 1, None, 0)
    seal = spool.dir(SegmentState.DELIVERED) / f"{record.segment}.seal"
    seal.write_bytes(record.to_bytes())
    seal.with_suffix(".tar").write_bytes(bytes(record.size))
    return seal


def numbers(shelf: Shelf) -> set[int]:
    return {record.first for record in shelf.records()}


def test_records_are_read_once_in_portions_and_sizes_are_known_before(spool: Spool, read: Counter[str]) -> None:
    shelf = Shelf(spool)
    shelf.look()
    assert (shelf.bytes, shelf.records(), read.total()) == (50 + 10, [], 0)
    assert [shelf.read(2) for _ in range(3)] == [False, False, True]
    assert numbers(shelf) == set(range(5))
    shelf.look()
    assert shelf.read(2)
    assert set(read.values()) == {1}


def test_what_comes_and_goes_is_known(spool: Spool, read: Counter[str]) -> None:
    shelf = Shelf(spool)
    shelf.look()
    shelf.read()
    seal = put(spool, 7)
    (spool.dir(SegmentState.DELIVERED) / "e0000000002-00000000.tar").unlink()
    shelf.look()
    shelf.read()
    assert numbers(shelf) == {0, 1, 3, 4, 7}
    assert shelf.since_s(seal.stem) == os.stat(seal.with_suffix(".tar")).st_ctime
    assert set(read.values()) == {1}


def test_a_damaged_one_is_named_hides_no_other_and_is_read_again(spool: Spool) -> None:
    seal = put(spool, 3)
    whole = seal.read_bytes()
    seal.write_bytes(whole[:-9])
    shelf = Shelf(spool)
    shelf.look()
    shelf.read()
    assert numbers(shelf) == {0, 1, 2, 4} and shelf.bytes == 60 - 13
    shelf.look()
    assert shelf.bytes == 60 - 13, "until it is read"
    shelf.read()
    assert [str(seal) in str(err) for err in shelf.damaged] == [True]
    seal.write_bytes(whole)
    shelf.look()
    shelf.read()
    assert numbers(shelf) == set(range(5)) and not shelf.damaged
    assert shelf.bytes == 60
    seal.unlink()
    shelf.look()
    assert shelf.bytes == 60 - 13, "without a record it is never deleted"


def test_one_that_was_damaged_since_it_was_read_is_found_when_it_is_asked_for_again(spool: Spool) -> None:
    shelf = Shelf(spool)
    shelf.look()
    shelf.read()
    seal = put(spool, 3)
    seal.write_bytes(seal.read_bytes()[:-9])
    assert shelf.again(seal.stem) is None
    assert shelf.damaged and numbers(shelf) == {0, 1, 2, 4}
