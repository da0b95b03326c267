"""What the officer has made of the camera, kept beside the control socket: a recorder that its watchdog starts anew
must not light up somebody who hides, nor open the lens of a camera that was sent to sleep. It counts within one boot;
whoever switches the camera on sees that it is on.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from agent import durable
from agent.errors import StorageError

STEALTH, ASLEEP = "stealth", "asleep"


class KeptFlag:
    """A file with the boot's id while it is so. On a camera it lies in memory (RuntimeDirectory=, which a restart of
    the service preserves), so nothing here waits for the card, and the card tells nothing of it.
    """

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path, self._boot_id = path, boot_id

    def read(self) -> bool:
        """What cannot be read is not so: a light too many is seen, and put out by the same gesture."""
        try:
            with self._path.open("rb") as file:
                return file.read(len(self._boot_id) + 1) == self._boot_id.encode()
        except OSError:
            return False

    def keep(self, on: bool) -> None:
        """Raises StorageError."""
        if on:
            durable.write_file(self._path, self._boot_id.encode())
        else:
            durable.remove(self._path)


class Kept:
    """Both of them, from any thread: what could not be kept at once is tried again until it can."""

    def __init__(self, directory: Path, boot_id: str) -> None:
        self._flags = {name: KeptFlag(directory / name, boot_id) for name in (STEALTH, ASLEEP)}
        self._owed: dict[str, bool] = {}
        self._lock = threading.Lock()

    def read(self, name: str) -> bool:
        """As the life before this one left it."""
        return self._flags[name].read()

    def keep(self, name: str, on: bool) -> None:
        """Now, or as soon as `settle` can."""
        with self._lock, suppress(StorageError):
            self._owed[name] = on
            self._settle()

    def settle(self) -> None:
        """What is not kept yet. Raises StorageError where some of it still cannot be."""
        with self._lock:
            self._settle()

    def _settle(self) -> None:
        trouble: StorageError | None = None
        for name, on in tuple(self._owed.items()):
            try:
                self._flags[name].keep(on)
                del self._owed[name]
            except StorageError as err:
                trouble = err
        if trouble:
            raise trouble
