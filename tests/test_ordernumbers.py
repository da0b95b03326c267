"""What is kept of orders beside the configuration: upwards only, whole or not to be read, each camera's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent import ordernumbers
from agent.errors import EvidenceError, StorageError
from agent.ordernumbers import Highest, keep, read

A, B = "a" * 64, "b" * 64


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "orders.json"


def test_numbers_go_up_for_each_kind_and_each_camera(file: Path) -> None:
    assert read(file) == {}
    keep(file, "cam-1", {"configuration": Highest(5, A)})
    keep(file, "cam-1", {"assignment": Highest(3, B), "configuration": Highest(5, A)})
    keep(file, "cam-2", {"configuration": Highest(1, A)})
    for older in (Highest(4, A), Highest(5, B)):
        with pytest.raises(EvidenceError):
            keep(file, "cam-1", {"configuration": older, "assignment": Highest(9, A)})
    assert read(file) == {
        "cam-1": {"configuration": Highest(5, A), "assignment": Highest(3, B)},
        "cam-2": {"configuration": Highest(1, A)},
    }
    assert file.stat().st_mode & 0o777 == 0o644, "the recorder reads it"


def test_what_is_kept_already_is_not_written_again(file: Path) -> None:
    keep(file, "cam-1", {"tags": Highest(5, A)})
    before = file.stat()
    keep(file, "cam-1", {"tags": Highest(5, A)})
    assert file.stat().st_ino == before.st_ino


def test_no_bit_of_it_can_flip_unseen(file: Path) -> None:
    keep(file, "cam-1", {"configuration": Highest(1_790_000_000, A)})
    data = file.read_bytes()
    for at in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        file.write_bytes(flipped)
        with pytest.raises(EvidenceError, match="is damaged"):
            read(file)


@pytest.mark.parametrize("size", [0, 1, 40, -1])
def test_one_that_is_cut_is_not_an_empty_one(file: Path, size: int) -> None:
    keep(file, "cam-1", {"configuration": Highest(5, A)})
    file.write_bytes(file.read_bytes()[: size if size >= 0 else -2])
    with pytest.raises(EvidenceError, match=r"orders\.json is damaged"):
        keep(file, "cam-1", {"configuration": Highest(6, A)})


def test_one_that_cannot_be_read_is_not_an_empty_one(file: Path) -> None:
    file.mkdir()
    with pytest.raises(StorageError):
        read(file)


def test_it_does_not_grow_for_ever(file: Path) -> None:
    with pytest.raises(EvidenceError, match="so many cameras"):
        for number in range(1000):
            keep(file, f"cam-{number}", {kind: Highest(1, A) for kind in sorted(ordernumbers.KINDS)})
    assert 100 < len(read(file)) < 1000


@pytest.mark.parametrize(
    "orders",
    [
        {"shell": {"number": 1, "sha256": A}}, {"tags": {"number": True, "sha256": A}},
        {"tags": {"number": 0, "sha256": A}}, {"tags": {"number": 1 << 53, "sha256": A}},
        {"tags": {"number": 1, "sha256": "A" * 64}}, {"tags": {"number": 1}}, {"tags": 1}, [], None,
    ],
)  # fmt: skip
def test_a_request_that_holds_no_numbers_is_none(orders: object) -> None:
    line = json.dumps({"camera": "cam-1", "orders": orders}).encode()
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        ordernumbers.requested(line)


def test_a_request_says_what_was_asked() -> None:
    marks = {"configuration": Highest(5, A)}
    assert ordernumbers.requested(ordernumbers.request("cam-1", marks)) == ("cam-1", marks)
    for camera in ("", "x" * 101, None, 1):
        with pytest.raises(ValueError, match="no camera"):
            ordernumbers.requested(json.dumps({"camera": camera, "orders": {}}).encode())
