"""Whether somebody sends what is recorded: the uploader holds a lock on a file in inbox/ as long as it lives
(agent/dock/turns.py). One that does not start, or ends again and again, is a fault: else all would look well in the
dock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path

from agent.model import NS

LOCK = "uploader.lock"
STEADY_NS = 10 * NS
"""One that has lived this long works; systemd begins one that ends anew after five seconds."""
SILENT_NS = 60 * NS
"""Longer than a start takes, and than a new configuration."""
OFTEN = 3
LASTING_NS = 120 * NS
"""So many ends in more than a minute, and no life as long as this between them, are a loop, though each life may have
seemed to work.
"""


def lives(inbox: Path) -> bool | None:
    """Whether somebody holds the lock; None where nobody ever did. What lies there is hostile: only a regular file can
    be held.
    """
    try:
        fd = os.open(inbox / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)
    return False


class Sender:
    """Asked in each turn of the recorder's loop."""

    def __init__(self) -> None:
        self._alive_ns: int | None = None
        self._steady_ns: int | None = None
        self._ends_ns: list[int] = []

    def silent(self, alive: bool | None, docked: bool, mono_ns: int) -> bool:
        """True where no uploader has lived for ten seconds on end within the last minute, or one has ended three times
        since the last that lived for two minutes. `alive` as `lives` says: where none ever was, one is missed in the
        dock alone.
        """
        if self._steady_ns is None or (alive is None and not docked):
            self._steady_ns = mono_ns
        if not alive:
            if self._alive_ns is not None and len(self._ends_ns) < OFTEN:
                self._ends_ns.append(mono_ns)
            self._alive_ns = None
        elif self._alive_ns is None:
            self._alive_ns = mono_ns
        else:
            lived_ns = mono_ns - self._alive_ns
            self._steady_ns = mono_ns if lived_ns >= STEADY_NS else self._steady_ns
            self._ends_ns = [] if lived_ns >= LASTING_NS else self._ends_ns
        loops = len(self._ends_ns) >= OFTEN and mono_ns - self._ends_ns[0] >= SILENT_NS
        return loops or mono_ns - self._steady_ns >= SILENT_NS
