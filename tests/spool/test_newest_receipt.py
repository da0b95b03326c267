"""The receipt that the log names: the one accepted last, as far as the card still reads."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from agent import durable
from agent.errors import StorageError
from agent.spool.store import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Of two receipts the older has the later date."""
    spool = Spool(tmp_path)
    for when, data in ((2, b"older"), (1, b"newest")):
        os.utime(spool.receipts_dir / f"{spool.keep_receipt(data)}.receipt", (when, when))
    return spool


def refuse(monkeypatch: pytest.MonkeyPatch, path: Path, code: int) -> None:
    real = durable.opened

    def opened(asked: Path, *how: Any) -> Any:
        if asked == path:
            raise OSError(code, os.strerror(code))
        return real(asked, *how)

    monkeypatch.setattr(durable, "opened", opened)


def no_inode(monkeypatch: pytest.MonkeyPatch, path: Path, code: int) -> None:
    """Its name is there, and nothing else is to be had."""
    refuse(monkeypatch, path, code)
    for name in ("lstat", "stat"):
        real = getattr(os, name)

        def look(asked: Any, *how: Any, real: Any = real, **more: Any) -> Any:
            if asked == path:
                raise OSError(code, os.strerror(code))
            return real(asked, *how, **more)

        monkeypatch.setattr(os, name, look)


def noted(spool: Spool) -> Path:
    return spool.root / "log" / "newest-receipt"


def told(spool: Spool) -> bytes | None:
    newest = spool.newest_receipt()
    return newest and newest.read_bytes()


def test_it_is_the_one_that_was_noted(spool: Spool) -> None:
    assert told(spool) == b"newest"


def test_where_the_disk_does_not_read_the_note_the_files_dates_tell(spool: Spool, monkeypatch) -> None:
    refuse(monkeypatch, noted(spool), errno.EIO)
    assert told(spool) == b"older"


def test_one_that_the_disk_does_not_read_is_passed_over(spool: Spool, monkeypatch) -> None:
    newest = spool.newest_receipt()
    assert newest
    refuse(monkeypatch, newest, errno.EIO)
    assert told(spool) == b"older"


@pytest.mark.parametrize("note", [True, False], ids=["noted", "not noted"])
@pytest.mark.parametrize("code", [errno.EIO, errno.EBADMSG, errno.EUCLEAN])
def test_so_is_one_of_which_the_disk_has_lost_what_it_is(spool: Spool, monkeypatch, code: int, note: bool) -> None:
    newest = spool.newest_receipt()
    assert newest
    if not note:
        noted(spool).unlink()
        os.utime(newest, (3, 3))
    no_inode(monkeypatch, newest, code)
    assert told(spool) == b"older"


@pytest.mark.parametrize("note", [True, False], ids=["noted", "not noted"])
def test_where_what_it_is_cannot_be_seen_for_now_it_is_waited_for(spool: Spool, monkeypatch, note: bool) -> None:
    newest = spool.newest_receipt()
    assert newest
    if not note:
        noted(spool).unlink()
    no_inode(monkeypatch, newest, errno.ENOMEM)
    with pytest.raises(StorageError):
        spool.newest_receipt()


@pytest.mark.parametrize("note", [True, False], ids=["the note", "the receipt"])
def test_a_read_that_may_pass_makes_none_an_older_one(spool: Spool, monkeypatch, note: bool) -> None:
    newest = spool.newest_receipt()
    assert newest
    refuse(monkeypatch, noted(spool) if note else newest, errno.ENOMEM)
    with pytest.raises(StorageError):
        spool.newest_receipt()
