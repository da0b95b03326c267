"""Files as evidence tools may touch them: regular ones only, read by position, never through a link in a walk.

An export's proof holds whole segments inside one tar; a Blob is a window on a file, so both read alike.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from agent.durable import storage_errors
from agent.errors import AgentError, StorageError, UnreadableError, UsageError
from agent.formats import pack

CHUNK = 1 << 20
_AHEAD = 8 << 10
_PAGE = 4 << 10
"""What a disk loses, it loses in blocks of at most this size, which begin at multiples of it."""
UNREAD = "unread-"
"""How a word begins that stands for the SHA-256 of what cannot be read."""
MOST_TRIED = 64
"""Blocks that are asked for one by one around a bad one: a disk may take seconds for each that it does not give."""
MOST_UNSIZED = 1 << 62
"""Bytes that a file may have which nobody could look at."""
STATES = ("open", "sealed", "delivered")
"""Where a spool has its segments."""
_MOVES = {**dict.fromkeys(STATES, STATES), "inbox": ("receipts",)}
"""Where a file of a spool in use may have gone from each directory, under its name."""


@dataclass(frozen=True, slots=True)
class Blob:
    """`size` bytes of a file from `start`. `name` is what it is called where it lies; one that is not `sized` could not
    even be looked at.
    """

    path: Path
    name: str
    start: int
    size: int
    sized: bool = True

    @property
    def most(self) -> int:
        """How many bytes it may have."""
        return self.size if self.sized else MOST_UNSIZED

    @property
    def stem(self) -> str:
        return self.name.removesuffix(".tar")

    @property
    def is_open(self) -> bool:
        """In a spool's open/: it may still grow, and has no trailer. What lies in an export is closed, wherever that
        lies.
        """
        return not self.start and self.path.parent.name == "open"

    def reader(self) -> AbstractContextManager[Window]:
        """Raises UnreadableError, then and as it is read."""
        return self._window(Window)

    def patient(self) -> AbstractContextManager[PatientWindow]:
        """The same, over what the disk does not give. Raises UnreadableError where it cannot be opened."""
        return self._window(PatientWindow)

    @contextmanager
    def _window(self, kind: type[W]) -> Iterator[W]:
        fd = _open_wherever(self.path)
        try:
            yield kind(fd, self.start, self.size, self.path)
        finally:
            os.close(fd)

    def read(self, limit: int) -> bytes:
        """All of it, if it is at most `limit` bytes; UsageError otherwise. Raises UnreadableError."""
        if self.size > limit:
            raise UsageError(f"{self.path} is longer than {limit} bytes", "name the right file")
        with self.reader() as window:
            return window.at(0, self.size)

    def sha256(self, progress: Callable[[int], None] = lambda count: None) -> str:
        """Raises UnreadableError."""
        digest = hashlib.sha256()
        with self.reader() as window:
            for offset in range(0, self.size, CHUNK):
                digest.update(window.at(offset, min(CHUNK, self.size - offset)))
                progress(min(CHUNK, self.size - offset))
        return digest.hexdigest()

    def sha256_as_sealed(self, size: int) -> str | None:
        """That of a segment of `size` bytes which is the beginning of this one, and a trailer; None where this does not
        reach so far. Raises UnreadableError.
        """
        body = size - len(pack.TRAILER)
        if not 0 < body <= self.size:
            return None
        digest = hashlib.sha256()
        with self.reader() as window:
            for offset in range(0, body, CHUNK):
                digest.update(window.at(offset, min(CHUNK, body - offset)))
        digest.update(pack.TRAILER)
        return digest.hexdigest()


class Window:
    """Positioned reads within a Blob; a short result means its end. For one thread.

    What is small is read with the 8 KiB that follow: a leaf, a checkpoint and the headers around them stand together,
    and a system call for each would cost as much as to decrypt a chunk.
    """

    def __init__(self, fd: int, start: int, size: int, path: Path) -> None:
        self._fd, self._start, self.size, self._path = fd, start, size, path
        self._held_at, self._held = 0, b""
        self.lost: list[tuple[int, int]] = []
        """Bytes begin <= i < end for which zeros stand, in order, none beside another."""
        self.why = ""

    def lacks(self, offset: int, count: int) -> bool:
        """Whether zeros stand for any of these bytes."""
        return any(begin < offset + count and offset < end for begin, end in self.lost)

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
        with _unreadable(self._path, "cannot read"):
            while count and (piece := os.pread(self._fd, count, self._start + offset)):
                pieces.append(piece)
                offset, count = offset + len(piece), count - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class PatientWindow(Window):
    """One that goes on over what the disk does not give: zeros stand for it, and `lost` has where they do. For what is
    held against a digest or a signature, and for nothing that is handed on.
    """

    def __init__(self, fd: int, start: int, size: int, path: Path) -> None:
        super().__init__(fd, start, size, path)
        self._tried = 0

    def _exactly(self, offset: int, count: int) -> bytes:
        try:
            return super()._exactly(offset, count)
        except UnreadableError as err:
            self.why = self.why or said_of(self._path, err)
        pieces, end = [], offset + count
        while offset < end:
            # Blocks are those of the file, wherever in it this begins.
            upto = min(end, offset + _PAGE - (self._start + offset) % _PAGE) if self._tried < MOST_TRIED else end
            try:
                pieces.append(super()._exactly(offset, upto - offset))
            except UnreadableError:
                self._tried += 1
                pieces.append(bytes(upto - offset))
                self._lose(offset, upto)
            offset = upto
        return b"".join(pieces)

    def sweep(self) -> str:
        """Ask for all of it, so that `lost` has whatever the disk does not give. The SHA-256, of zeros for that."""
        digest = hashlib.sha256()
        for offset in range(0, self.size, CHUNK):
            digest.update(self._exactly(offset, min(CHUNK, self.size - offset)))
        return digest.hexdigest()

    def _lose(self, begin: int, end: int) -> None:
        beside = [span for span in self.lost if span[0] <= end and begin <= span[1]]
        apart = [span for span in self.lost if span not in beside]
        joined = min([begin, *(b for b, _ in beside)]), max([end, *(e for _, e in beside)])
        self.lost = sorted([*apart, joined])


W = TypeVar("W", bound=Window)


@contextmanager
def _unreadable(path: Path, doing: str) -> Iterator[None]:
    """Translate an OSError about evidence at `path`."""
    try:
        with storage_errors(path, doing):
            yield
    except StorageError as err:
        raise UnreadableError(err.message, err.hint) from err.__cause__


def _open_wherever(path: Path) -> int:
    """As `open_regular`; of a spool in use, what has left its directory since that was listed, in the one where it is
    now: what it held then it holds still.
    """
    try:
        return open_regular(path)
    except UnreadableError as err:
        if (moved := _moved(path, err)) is None:
            raise
        return open_regular(moved, follow=False)


def _moved(path: Path, err: UnreadableError) -> Path | None:
    """Where a file went that is not at `path` any more; None where it is nowhere, or this is another error."""
    if not isinstance(err.__cause__, FileNotFoundError):
        return None
    places = (path.parent.with_name(name) / path.name for name in _MOVES.get(path.parent.name, ()))
    return next((place for place in places if place.is_file() and not place.is_symlink()), None)


def open_regular(path: Path, follow: bool = True) -> int:
    """A descriptor of a regular file. UsageError for anything else, UnreadableError where it cannot be opened."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    with _unreadable(path, "cannot open"):
        fd = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UsageError(f"{path} is not a regular file", "name a segment, a directory of them, or an export")
    return fd


def blob_of(path: Path) -> Blob:
    """A whole file. Raises UsageError, UnreadableError."""
    fd = open_regular(path)
    try:
        return Blob(path, path.name, 0, os.fstat(fd).st_size)
    finally:
        os.close(fd)


def blob_at(path: Path) -> Blob:
    """The same of one that was listed there: where it cannot be opened, whoever reads it hears why; where it has moved
    on in its spool since then, that is its place. Raises UsageError.
    """
    try:
        return blob_of(path)
    except UnreadableError as err:
        if (moved := _moved(path, err)) is not None:
            return blob_at(moved)
        try:
            return Blob(path, path.name, 0, path.stat().st_size)
        except OSError:
            return Blob(path, path.name, 0, 0, sized=False)


def known_by(blob: Blob) -> str:
    """Its SHA-256; of one that cannot be read, a word that no digest is, and that no other file has."""
    try:
        return blob.sha256()
    except UnreadableError:
        return UNREAD + hashlib.sha256(f"{blob.start} {blob.path}".encode("utf-8", "surrogateescape")).hexdigest()


def said_of(path: Path, err: AgentError) -> str:
    """An error of this file for a sentence that names the file already."""
    said = err.message.removeprefix(f"cannot open {path}: ").removeprefix(f"cannot read {path}: ")
    return said.removeprefix(f"{path} ")


def read_small(path: Path, limit: int) -> bytes:
    """A small regular file, whole. Raises UsageError, UnreadableError."""
    return blob_of(path).read(limit)
