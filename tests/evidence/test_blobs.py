"""Reading by position: the same bytes however they are asked for, and as few calls as what stands together needs."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from agent.errors import StorageError
from agent.evidence.blobs import Blob, blob_of

DATA = random.Random(5).randbytes(100_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    return path


def test_any_order_of_reads_gives_the_bytes_of_the_file(path: Path) -> None:
    chance = random.Random(7)
    blob = Blob(path, "inside", 1_000, 90_000)
    whole = DATA[1_000:91_000]
    with blob.reader() as window:
        for _ in range(3_000):
            at = chance.choice([chance.randrange(90_001), chance.randrange(9_000), 90_000 - chance.randrange(600)])
            count = chance.choice([0, 1, 512, 8_191, 8_192, 8_193, chance.randrange(20_000)])
            assert window.at(at, count) == whole[at : at + count]


def test_what_stands_together_is_one_call(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = os.pread

    def counted(fd: int, count: int, offset: int) -> bytes:
        calls.append(offset)
        return real(fd, count, offset)

    monkeypatch.setattr(os, "pread", counted)
    with blob_of(path).reader() as window:
        for at in range(0, 8_192, 512):
            assert window.at(at, 512) == DATA[at : at + 512]
    assert calls == [0]


def test_a_bad_block_behind_what_is_asked_for_hides_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pread

    def failing(fd: int, count: int, offset: int) -> bytes:
        if offset < 4_608 and offset + count > 4_096:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, count, offset)

    monkeypatch.setattr(os, "pread", failing)
    with blob_of(path).reader() as window:
        assert window.at(3_584, 512) == DATA[3_584:4_096]
        with pytest.raises(StorageError, match="cannot read"):
            window.at(4_000, 512)
        assert window.at(4_608, 512) == DATA[4_608:5_120]


def test_a_file_that_became_shorter_ends_early(path: Path) -> None:
    with blob_of(path).reader() as window:
        os.truncate(path, 3_000)
        assert window.at(2_900, 512) == DATA[2_900:3_000]
        assert window.at(5_000, 512) == b""
