"""One segment on disk, from its first member to its rename into sealed/ (docs/evidence-format.md, "Segment").

Every entry is one pwrite and one fdatasync. After an error the same entry may be written again at the same place;
a different one never is.
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

from agent import durable
from agent.errors import StorageError
from agent.formats import pack
from agent.formats.seal import SealRecord


class SegmentWriter:
    """Appends entries to `open_dir/<name>.tar`; `seal` moves it to `sealed_dir`. Raises StorageError."""

    def __init__(
        self,
        open_dir: Path,
        name: str,
        header: pack.SegmentHeader,
        chain_pem: bytes,
        init: bytes | None,
        reserve_bytes: int,
    ) -> None:
        self.name, self.header = name, header
        self.path = open_dir / f"{name}.tar"
        self.next_index = header.first
        self._offset = 0
        self._sha256 = hashlib.sha256()
        head = pack.member(pack.INIT, init) if init is not None else b""
        head += pack.member(pack.HEADER, header.to_bytes()) + pack.member(pack.CHAIN, chain_pem)
        with durable.storage_errors(self.path, "cannot open segment"):
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
            try:
                _reserve(self._fd, max(reserve_bytes, len(head)))
                durable.pwrite_all(self._fd, head, 0)
                os.fsync(self._fd)
                durable.fsync_dir(open_dir)
            except OSError:
                os.close(self._fd)
                self.path.unlink(missing_ok=True)
                raise
        self._advance(head)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._offset

    def append(self, index: int, sealed: bytes, leaf: bytes, note: bytes) -> None:
        """Make one entry durable; when this returns, it survives the battery falling out."""
        if index != self.next_index:
            raise ValueError(f"entry {index} where {self.next_index} belongs")
        data = pack.entry(index, sealed, leaf, note)
        with durable.storage_errors(self.path, "cannot write"):
            durable.pwrite_all(self._fd, data, self._offset)
            os.fdatasync(self._fd)
        self._advance(data)
        self.next_index += 1

    def roll_back(self) -> None:
        """Erase what a failed append may have left behind the last whole entry, durably, so that another entry
        may take its index.
        """
        with durable.storage_errors(self.path, "cannot truncate"):
            os.ftruncate(self._fd, self._offset)
            os.fsync(self._fd)

    def seal(self, sealed_dir: Path) -> SealRecord:
        """Trailer, cut, fsync, rename, fsync both directories; then the seal record beside it."""
        with durable.storage_errors(self.path, "cannot seal"):
            durable.pwrite_all(self._fd, pack.TRAILER, self._offset)
            self._advance(pack.TRAILER)
            os.ftruncate(self._fd, self._offset)
            os.fsync(self._fd)
        self.close()
        durable.move(self.path, sealed_dir / self.path.name)
        record = SealRecord(
            self.name,
            self._offset,
            self._sha256.hexdigest(),
            self.header.first,
            self.next_index - self.header.first,
            self.header.recording,
            self.header.seq,
        )
        durable.write_file(sealed_dir / f"{self.name}.seal", record.to_bytes(), 0o640)
        return record

    def close(self) -> None:
        """Let go of the file as it is; recovery finishes it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _advance(self, data: bytes) -> None:
        self._sha256.update(data)
        self._offset += len(data)


def _reserve(fd: int, size: int) -> None:
    """Claim the blocks now, so that a filling disk is met when a segment opens and not in its middle."""
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as err:
        if err.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise


def reserve_file(path: Path, size: int) -> None:
    """A file of `size` bytes held back so that the log can still be written when the disk is full. Raises
    StorageError.
    """
    if path.exists() and path.stat().st_size >= size:
        return
    with durable.storage_errors(path, "cannot reserve space for the log in"):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _reserve(fd, size)
            os.fsync(fd)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)


def is_full(error: StorageError) -> bool:
    """True where the error is a full disk rather than a broken one."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
