"""Locks between the station's commands (flock(2)): each is waited for with a deadline. The kernel lets go of one with
the process that holds it, however that ends; one that is stopped, or waits for its disk, holds it on.
"""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

from agent import durable
from agent.errors import StorageError

WAIT_S = 30.0
"""Each command that holds one is done in much less."""
LOOK_EVERY_S = 0.05
"""flock(2) itself waits without an end, or not at all."""


def take(fd: int, path: Path, what: str, holders: str) -> None:
    """Hold the lock of `fd`, which is `path` opened, until that is closed. `what` it guards and which commands may hold
    it, in words. Raises StorageError, also where it is not free in time.
    """
    end_s = time.monotonic() + WAIT_S
    while not _taken(fd, path):
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            raise StorageError(
                f"{path}: the lock of {what} is not free after {WAIT_S:g} s: {holders} may hold it",
                "`lslocks` names the process: let it finish, or end it, and repeat this",
            )
        time.sleep(min(LOOK_EVERY_S, left_s))


def _taken(fd: int, path: Path) -> bool:
    with durable.storage_errors(path, "cannot lock"):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
