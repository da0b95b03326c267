"""A segment's file before anything is in it: its blocks claimed, its name durable.

A recording's next one is made ahead, while no part waits. So the part that begins a segment waits for its segment's
head and for itself, and not for a name in a directory besides.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

from agent import durable
from agent.errors import EvidenceError, StorageError
from agent.formats import pack


class Blank:
    """`open_dir/<name>.tar`, empty but for preallocated zeros. Raises StorageError, and leaves nothing then. Whoever
    `take`s its descriptor closes it.
    """

    def __init__(self, open_dir: Path, name: str, reserve_bytes: int) -> None:
        self.name, self.path = name, open_dir / f"{name}.tar"
        with durable.storage_errors(self.path, "cannot open segment"):
            self._fd = _create(self.path)
            try:
                claim(self._fd, reserve_bytes)
                durable.fsync_dir(open_dir)
            except OSError:
                self.drop()
                raise

    def take(self) -> int:
        fd, self._fd = self._fd, -1
        return fd

    def drop(self) -> None:
        """Where it stays, or comes back after a power cut, recovery removes it and says nothing: nothing is in it."""
        self.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        fd = self.take()
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)


class NextFile:
    """The file of the media segment that comes next: made in a turn in which no part waits, or else when it is taken.
    What the disk refuses ahead is no fault yet: it is tried again then.
    """

    def __init__(self, open_dir: Path, reserve_bytes: int, check_room: Callable[[], None]) -> None:
        """`check_room` raises StorageError where the disk is full for media."""
        self._dir, self._reserve_bytes, self._check_room = open_dir, reserve_bytes, check_room
        self._due = ""
        self._tried = ""
        self._made: Blank | None = None

    @property
    def owes(self) -> bool:
        return bool(self._due)

    def want(self, name: str) -> None:
        """From the next turn on; once for each name."""
        if name != self._tried:
            self.drop()
            self._due = self._tried = name

    def make(self) -> None:
        """The turn."""
        name, self._due = self._due, ""
        with contextlib.suppress(StorageError):
            self._made = self._new(name)

    def take(self, name: str) -> Blank:
        """For the segment `name`. Raises StorageError where it was not made and cannot be now."""
        if self._made is not None and self._made.name == name:
            blank, self._made = self._made, None
            return blank
        self.drop()
        return self._new(name)

    def drop(self) -> None:
        """No such segment comes."""
        self._due = self._tried = ""
        if self._made is not None:
            self._made.drop()
            self._made = None

    def close(self) -> None:
        """Let go of it as it is."""
        self._due = ""
        if self._made is not None:
            self._made.close()
            self._made = None

    def _new(self, name: str) -> Blank:
        self._check_room()
        return Blank(self._dir, name, self._reserve_bytes)


def claim(fd: int, size: int) -> None:
    """Claim the blocks now, so that a filling disk is met when a segment opens and not in its middle."""
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as err:
        if err.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o640)
    except FileExistsError:
        # A head that could not be written, nor removed: its place is free. Where an entry is in it, it is not.
        if _holds_entry(path):
            raise
        return os.open(path, flags | os.O_TRUNC)


def _holds_entry(path: Path) -> bool:
    with durable.opened(path) as file:
        reader = pack.PackReader(file.read)
        try:
            reader.head()
            return next(reader.entries(), None) is not None
        except EvidenceError:
            return False
