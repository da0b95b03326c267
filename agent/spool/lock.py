"""One recorder at a time on a spool: two would sign two histories of one log (flock(2) on the directory itself; the
kernel lets go of it with the process, however that ends).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from agent import durable
from agent.errors import UsageError
from agent.mounts import must_be_there


class SpoolLock:
    """Held from here until `release`; made where there is none, but never in the place of a file system that is not
    mounted. Raises UsageError where another process holds it, StorageError.
    """

    def __init__(self, root: Path) -> None:
        must_be_there(root)
        durable.make_dir(root, 0o750)
        with durable.storage_errors(root, "cannot open"):
            self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise UsageError(
                f"another recorder works on {root}", "ask it: bodycam-agent ctl status; or stop it first"
            ) from None

    def release(self) -> None:
        """Safe to repeat."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
