"""Locks between the station's commands (flock(2)): each is waited for with a deadline. The kernel lets go of one with
the process that holds it, however that ends; one that is stopped, or waits for its disk, holds it on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent import durable
from agent.errors import StorageError

WAIT_S = 30.0
"""Each command that holds one is done in much less."""
LOOK_EVERY_S = 0.05
"""flock(2) itself waits without an end, or not at all."""
WHO_HOLDS_IT = "`lslocks` names the process: let it finish, or end it, and repeat this"
MODE = 0o644
"""The directory around it is the station's alone."""
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW


class NotFreeError(StorageError):
    """A lock that is not free in time: nor is it for whoever asks again at once."""


def opened(path: Path) -> int:
    """A file that is there for its lock alone, made where it is not. Who runs the station and who administers it, as
    root say, need not be one: each may lock what the other made, whatever its umask. Raises StorageError.
    """
    with durable.storage_errors(path, "cannot open"):
        try:
            # On NFS only what may be written is locked (flock(2)).
            fd = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, MODE)
        except PermissionError:
            if not path.exists():
                raise
            return os.open(path, os.O_RDONLY | _FLAGS)
    if stat.S_IMODE(os.fstat(fd).st_mode) != MODE:
        # The umask's, here or of an earlier version. Only its owner can, and root.
        with contextlib.suppress(OSError):
            os.fchmod(fd, MODE)
    return fd


def files(path: Path) -> tuple[Path, Path]:
    """What `alone` locks: this file, and beside it the one of whoever is next."""
    return path, path.with_suffix(".turn")


@contextmanager
def alone(path: Path, what: str, holders: str) -> Iterator[None]:
    """Hold this lock inside the block. Whoever waits for it is the next to have it, so that who takes it again and
    again, as a purge of many recordings, keeps others waiting for one of these. Words and errors as in `take`.
    """
    end_s = time.monotonic() + WAIT_S
    with _opened(path) as lock:
        following = files(path)[1]
        with _opened(following) as mine:
            take(mine, following, what, holders, end_s)
            take(lock, path, what, holders, end_s)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = opened(path)
    try:
        yield fd
    finally:
        os.close(fd)


def take(fd: int, path: Path, what: str, holders: str, end_s: float | None = None) -> None:
    """Hold the lock of `fd`, which is `path` opened, until that is closed. `what` it guards and which commands may hold
    it, in words. Waits until `end_s` (of time.monotonic), else for WAIT_S. Raises StorageError, and NotFreeError where
    it is not free in time.
    """
    end_s = time.monotonic() + WAIT_S if end_s is None else end_s
    while not _taken(fd, path):
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            raise NotFreeError(
                f"{path}: the lock of {what} is not free after {WAIT_S:g} s: {holders} may hold it",
                WHO_HOLDS_IT,
            )
        time.sleep(min(LOOK_EVERY_S, left_s))


def _taken(fd: int, path: Path) -> bool:
    with durable.storage_errors(path, "cannot lock"):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
