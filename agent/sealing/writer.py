"""One segment on disk, from its first member to its rename into sealed/ (docs/evidence-format.md, "Segment").

Every entry is one pwrite and one fdatasync. What a failed one may have left behind is erased before anything else
is written there: the note in it signs a head that the log may never have.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

from agent import durable
from agent.errors import StorageError
from agent.formats import pack, possession
from agent.formats.seal import PieceDigests, SealRecord
from agent.headway import gone_on
from agent.sealing.blank import Blank, claim

T = TypeVar("T")


class SegmentWriter:
    """Appends entries to `open_dir/<name>.tar`; `sealing` moves it to `sealed_dir`. Raises StorageError, after which
    the same call may be made again.
    """

    def __init__(
        self,
        blank: Blank,
        header: pack.SegmentHeader,
        chain_pem: bytes,
        challenge: str,
        init: bytes | None = None,
    ) -> None:
        """Makes the head durable, in this file; whoever has all its bytes can answer `challenge`. Raises StorageError,
        and leaves nothing then.
        """
        self.name, self.header, self.path = blank.name, header, blank.path
        self.next_index = header.first
        self._offset = 0
        self._sha256, self._pieces = hashlib.sha256(), PieceDigests()
        self._answering = possession.Answering(challenge)
        self._torn = False
        self._record: SealRecord | None = None
        head = pack.member(pack.INIT, init) if init is not None else b""
        head += pack.member(pack.HEADER, header.to_bytes()) + pack.member(pack.CHAIN, chain_pem)
        self._fd = blank.take()
        with durable.storage_errors(self.path, "cannot open segment"):
            try:
                durable.pwrite_all(self._fd, head, 0)
                os.fsync(self._fd)
                gone_on()
            except OSError:
                self.close()
                with contextlib.suppress(OSError):
                    self.path.unlink()
                raise
        self._advance(head)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._offset

    @property
    def empty(self) -> bool:
        """True before the first entry."""
        return self.next_index == self.header.first

    def append(self, index: int, sealed: bytes, leaf: bytes, note: bytes) -> None:
        """Make one entry durable; when this returns, it survives the battery falling out."""
        if index != self.next_index:
            raise ValueError(f"entry {index} where {self.next_index} belongs")
        if self._torn:
            raise ValueError("a failed entry is still there: roll back first")
        data = pack.entry(index, sealed, leaf, note)
        self._torn = True
        with durable.storage_errors(self.path, "cannot write"):
            durable.pwrite_all(self._fd, data, self._offset)
            durable.sync_data(self._fd)
        self._torn = False
        self._advance(data)
        self.next_index += 1

    def roll_back(self) -> None:
        """Erase, durably, what a failed append may have left behind the last whole entry: only then may another entry
        take its index, here or in the next segment. Where nothing failed, nothing is done.
        """
        if not self._torn:
            return
        with durable.storage_errors(self.path, "cannot truncate"):
            os.ftruncate(self._fd, self._offset)
            os.fsync(self._fd)
            gone_on()
        self._torn = False

    def sealing(self, sealed_dir: Path) -> Generator[None, None, SealRecord]:
        """Trailer, cut, fsync; rename, fsync both directories; then the seal record beside it: in steps of one sync.
        Begun again, after an error or not, it goes on where it was.
        """
        if self._record is None:
            self._record = self._finish()
            yield
        yield from durable.moving(self.path, sealed_dir / self.path.name)
        yield
        yield from durable.writing(sealed_dir / f"{self.name}.seal", self._record.to_bytes(), 0o640)
        return self._record

    def _finish(self) -> SealRecord:
        end, digest = self._offset + len(pack.TRAILER), self._sha256.copy()
        digest.update(pack.TRAILER)
        with durable.storage_errors(self.path, "cannot seal"):
            durable.pwrite_all(self._fd, pack.TRAILER, self._offset)
            os.ftruncate(self._fd, end)
            os.fsync(self._fd)
            gone_on()
        self.close()
        entries = self.next_index - self.header.first
        pieces = self._pieces.with_end(pack.TRAILER)
        asked = self._answering.challenge, self._answering.with_end(pack.TRAILER)
        return SealRecord.of(self.header, self.name, end, digest.hexdigest(), entries, pieces, *asked)

    def discard(self) -> None:
        """Remove a segment that has no entry."""
        self.close()
        durable.remove(self.path)

    def close(self) -> None:
        """Let go of the file as it is; recovery finishes it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            # All that counts was synced before: what close(2) may say of the rest changes nothing.
            with contextlib.suppress(OSError):
                os.close(fd)

    def _advance(self, data: bytes) -> None:
        self._sha256.update(data)
        self._pieces.update(data)
        self._answering.update(data)
        self._offset += len(data)


def reserve_file(path: Path, size: int) -> None:
    """A file of `size` bytes held back so that the log can still be written when the disk is full. Raises
    StorageError.
    """
    if path.exists() and path.stat().st_size >= size:
        return
    with durable.storage_errors(path, "cannot reserve space for the log in"):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            claim(fd, size)
            gone_on()
            os.fsync(fd)
            gone_on()
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)


def with_reserve(reserve: Path, action: Callable[[], T]) -> T:
    """`action`; where the disk is full, once more with the log's reserve given up. Raises StorageError."""
    try:
        return action()
    except StorageError as err:
        if not is_full(err) or not os.path.lexists(reserve):
            raise
        durable.remove(reserve)
        return action()


def is_full(error: StorageError) -> bool:
    """True where the error is a full disk rather than a broken one."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
