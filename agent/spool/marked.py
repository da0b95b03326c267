"""Which segments hold a mark, and are to be sent before others, kept beside the control socket: the recorder starts
anew at its dock for each configuration, and must not forget it then. It counts within one boot.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from agent import durable
from agent.errors import StorageError

FILE = "marked"
MAX_MARKED = 256
"""The newest."""
MAX_BYTES = 16 << 10


class Marked:
    """A file with the boot's id and a name on each line after it. On a camera it lies in memory (RuntimeDirectory=,
    which a restart of the service preserves): nothing here waits for the card, and the card tells nothing of it.
    """

    def __init__(self, directory: Path, boot_id: str) -> None:
        self._path, self._boot_id = directory / FILE, boot_id
        self._names = deque(self._read(), maxlen=MAX_MARKED)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def add(self, name: str) -> None:
        """Raises nothing: what cannot be kept costs its place in the order, after the next start."""
        if name in self._names:
            return
        self._names.append(name)
        with contextlib.suppress(StorageError):
            durable.write_file(self._path, "\n".join([self._boot_id, *self._names]).encode())

    def _read(self) -> list[str]:
        try:
            with durable.opened(self._path) as file:
                boot_id, *names = file.read(MAX_BYTES).decode("ascii").split("\n")
        except (OSError, ValueError):
            return []
        return names if boot_id == self._boot_id else []
