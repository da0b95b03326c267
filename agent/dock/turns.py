"""The uploader's signs of life, given by the turns of its work and by no timer: to its supervisor's watchdog
(systemd.service(5), WatchdogSec=), and to the recorder, by a lock on one empty file in inbox/. A lock costs no write to
the card, and the kernel lets go of it with the process, however that ends (flock(2)).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

from agent.model import NS
from agent.notify import notify

LOCK = "uploader.lock"
EVERY_NS = NS


class Turns:
    """Thread-safe. Raises nothing: an uploader whose disk takes no file sends all the same."""

    def __init__(self, directory: Path, mono_ns: Callable[[], int], tell: Callable[[str], None] = notify) -> None:
        self._path, self._mono_ns, self._tell = directory / LOCK, mono_ns, tell
        self._mutex = threading.Lock()
        self._fd = -1
        self._told_ns = -EVERY_NS

    def turn(self) -> None:
        """Something was done: a look around, a piece sent, an answer heard. Told at most once a second."""
        with self._mutex:
            now_ns = self._mono_ns()
            if now_ns - self._told_ns < EVERY_NS:
                return
            self._told_ns = now_ns
            with contextlib.suppress(OSError):
                self._hold()
            with contextlib.suppress(OSError):
                self._tell("WATCHDOG=1")

    def _hold(self) -> None:
        if self._fd >= 0 and os.fstat(self._fd).st_nlink:
            return
        self.close()
        fd = os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
        try:
            # The recorder, who tries it for a moment, may have it just now: the next turn comes.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        self._fd = fd

    def close(self) -> None:
        """Safe to repeat."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
