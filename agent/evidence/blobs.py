"""Files as evidence tools may touch them: regular ones only, read by position, never through a link in a walk.

An export's proof holds whole segments inside one tar; a Blob is a window on a file, so both read alike.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.durable import storage_errors
from agent.errors import AgentError, UsageError

CHUNK = 1 << 20
_AHEAD = 8 << 10


@dataclass(frozen=True, slots=True)
class Blob:
    """`size` bytes of a file from `start`. `name` is what it is called where it lies."""

    path: Path
    name: str
    start: int
    size: int

    @property
    def stem(self) -> str:
        return self.name.removesuffix(".tar")

    @property
    def is_open(self) -> bool:
        """In a spool's open/: it may still grow, and has no trailer."""
        return self.path.parent.name == "open"

    @contextmanager
    def reader(self) -> Iterator[Window]:
        fd = open_regular(self.path)
        try:
            yield Window(fd, self.start, self.size, self.path)
        finally:
            os.close(fd)

    def read(self, limit: int) -> bytes:
        """All of it, if it is at most `limit` bytes; UsageError otherwise."""
        if self.size > limit:
            raise UsageError(f"{self.path} is longer than {limit} bytes", "name the right file")
        with self.reader() as window:
            return window.at(0, self.size)

    def sha256(self, progress: Callable[[int], None] = lambda count: None) -> str:
        digest = hashlib.sha256()
        with self.reader() as window:
            for offset in range(0, self.size, CHUNK):
                digest.update(window.at(offset, min(CHUNK, self.size - offset)))
                progress(min(CHUNK, self.size - offset))
        return digest.hexdigest()


class Window:
    """Positioned reads within a Blob; a short result means its end. For one thread.

    What is small is read with the 8 KiB that follow: a leaf, a checkpoint and the headers around them stand together,
    and a system call for each would cost as much as to decrypt a chunk.
    """

    def __init__(self, fd: int, start: int, size: int, path: Path) -> None:
        self._fd, self._start, self.size, self._path = fd, start, size, path
        self._held_at, self._held = 0, b""

    def at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`; fewer only at the end."""
        count = max(0, min(count, self.size - offset))
        at = offset - self._held_at
        if 0 <= at <= len(self._held) - count:
            return self._held[at : at + count]
        if not 0 < count < _AHEAD or not self._read_ahead(offset):
            return self._exactly(offset, count)
        return self._held[:count] if len(self._held) >= count else self._exactly(offset, count)

    def _read_ahead(self, offset: int) -> bool:
        """False where the disk cannot: then what was asked for may still be read, without what follows it."""
        try:
            held = os.pread(self._fd, min(_AHEAD, self.size - offset), self._start + offset)
        except OSError:
            return False
        self._held_at, self._held = offset, held
        return True

    def _exactly(self, offset: int, count: int) -> bytes:
        pieces = []
        with storage_errors(self._path, "cannot read"):
            while count and (piece := os.pread(self._fd, count, self._start + offset)):
                pieces.append(piece)
                offset, count = offset + len(piece), count - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def open_regular(path: Path, follow: bool = True) -> int:
    """A descriptor of a regular file. UsageError for anything else, StorageError where it cannot be read."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    with storage_errors(path, "cannot open"):
        fd = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UsageError(f"{path} is not a regular file", "name a segment, a directory of them, or an export")
    return fd


def blob_of(path: Path) -> Blob:
    """A whole file. Raises UsageError, StorageError."""
    fd = open_regular(path)
    try:
        return Blob(path, path.name, 0, os.fstat(fd).st_size)
    finally:
        os.close(fd)


def said_of(path: Path, err: AgentError) -> str:
    """An error of this file for a sentence that names the file already."""
    return err.message.removeprefix(f"cannot open {path}: ").removeprefix(f"{path} ")


def read_small(path: Path, limit: int) -> bytes:
    """A small regular file, whole. Raises UsageError, StorageError."""
    return blob_of(path).read(limit)
