"""What a disk and its file system answer when they are asked."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agent import probe
from agent.errors import StorageError


@pytest.mark.parametrize(
    ("code", "shut"), [(errno.EIO, True), (errno.ESHUTDOWN, True), (errno.EMFILE, False), (None, False)]
)
def test_a_file_system_that_was_shut_lets_no_open_file_be_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None, shut: bool
) -> None:
    """tests/vm/test_vm_faults.py has it on a real ext4."""

    def refused(*_: object) -> int:
        assert code is not None
        raise OSError(code, os.strerror(code))

    path, before = tmp_path / "a segment", len(os.listdir("/proc/self/fd"))
    path.touch()
    with monkeypatch.context() as patch:
        if code is not None:
            patch.setattr(os, "open", refused)
        assert probe.is_shut(path) is shut
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_read_through_asks_the_disk_and_not_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in memory: a disk that gives its first block no more is told."""
    path = tmp_path / "a segment"
    path.write_bytes(b"in memory since it was written")
    opened, real = list[int](), os.open

    def watched(name: Path, flags: int, *rest: int) -> int:
        opened.append(flags)
        return real(name, flags, *rest)

    def gone(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", watched)
        probe.read_through(path)
    assert [bool(flags & os.O_DIRECT) for flags in opened] == [True]
    monkeypatch.setattr(os, "preadv", gone)
    with pytest.raises(StorageError, match=r"cannot read .*a segment: Input/output error"):
        probe.read_through(path)
    with pytest.raises(StorageError, match=r"cannot read .*lost: No such file"):
        probe.read_through(tmp_path / "lost")


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EPERM])
def test_a_file_system_that_knows_no_read_past_memory_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refused(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        probe.read_through(tmp_path / "a segment")
