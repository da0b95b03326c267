"""What the disk gives back of stored bytes, read from it and not from memory."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from agent import durable
from agent.errors import StorageError
from agent.formats import possession

LOG = logging.getLogger("bodycam.station")


def forget_cache(fd: int) -> None:
    """Ask the kernel to read this file from the disk next time, not from memory (posix_fadvise(2))."""
    os.fdatasync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def read_back(path: Path) -> str:
    """Hex SHA-256 of the file as the disk gives it back. Raises StorageError."""
    with durable.storage_errors(path, "cannot read back"), path.open("rb") as file:
        forget_cache(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def answer_back(path: Path, challenge: str) -> tuple[str, int, str]:
    """The same, how many bytes, and what they answer to the challenge, "" where there is none: one reading. Raises
    StorageError.
    """
    digest, size, answering = hashlib.sha256(), 0, possession.Answering(challenge) if challenge else None
    with durable.storage_errors(path, "cannot read back"), path.open("rb") as file:
        forget_cache(file.fileno())
        while data := file.read(1 << 20):
            digest.update(data)
            size += len(data)
            if answering:
                answering.update(data)
    return digest.hexdigest(), size, answering.with_end() if answering else ""


Look = tuple[int, int, int, int]
"""Which file it is, how long, and when its bytes were written last."""


def look(path: Path) -> Look | None:
    """None where it cannot be looked at. Another name, given or taken, makes it no other file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def may_be_there(path: Path) -> bool:
    """False only where the disk says so: whoever then reads it learns what is wrong with it."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def holds(path: Path, sha256: str, length: int) -> bool:
    """Whether the disk gives just these bytes back. False, too, where it has lost what it holds: it has to come
    again. Raises StorageError.
    """
    try:
        with durable.storage_errors(path, "cannot look at"):
            if path.stat().st_size != length:
                return False
        return read_back(path) == sha256
    except StorageError as err:
        if not durable.says_lost(err):
            raise
        LOG.error("%s: its bytes are asked for again", err)
        return False
