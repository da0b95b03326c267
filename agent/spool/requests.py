"""What the recorder asks of root: files in `apply/`, each named by the digest of its content and what is to be done
with it. Only the recorder writes here, and only what it has verified; `bodycam-agent apply` reads it (agent/apply.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from pathlib import Path

from agent import durable

CLOCK, CONFIGURATION, ORDERS = "clock", "configuration", "orders"
STILL = "still"
"""Locked for as long as nobody may step the clock."""


class Requests:
    """One at a time of each kind. Raises StorageError."""

    def __init__(self, spool: Path) -> None:
        self._dir = durable.make_dir(spool / "apply", 0o700)
        for name in durable.files(self._dir):
            # Of an earlier life: whatever is still wanted is asked for again.
            if name != STILL:
                durable.remove(self._dir / name)
        with durable.storage_errors(self._dir / STILL, "cannot open"):
            self._still = os.open(self._dir / STILL, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def ask(self, kind: str, data: bytes) -> None:
        """Ask for it, in place of what was asked for before."""
        self.withdraw(kind)
        durable.write_file(self._dir / f"{hashlib.sha256(data).hexdigest()}.{kind}", data, 0o600)

    def is_asked(self, kind: str) -> bool:
        """Whether it waits to be done."""
        return bool(self._asked(kind))

    def withdraw(self, kind: str) -> None:
        """Ask no longer."""
        for path in self._asked(kind):
            durable.remove(path)

    def _asked(self, kind: str) -> list[Path]:
        return [self._dir / name for name in durable.files(self._dir) if name.endswith(f".{kind}")]

    def hold(self) -> None:
        """From now on nobody steps the clock. Waits for nobody: a step takes two system calls, and a press comes
        first.
        """
        with contextlib.suppress(OSError):
            fcntl.flock(self._still, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """The clock may be stepped again."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._still, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._still)
