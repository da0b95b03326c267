"""What a hand or a trigger wants recorded, until the recorder has done it or keeps it itself (agent/resume.py): beside
the control socket, so that a process that is ended while a disk hangs takes no press with it.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent import durable
from agent.errors import StorageError
from agent.events import Actor

FILE = "presses"
MAX_PRESSES = 16
"""Of more, the first are kept."""
MAX_TEXT = 200
MAX_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Press:
    """`trigger` by `actor`, at `mono_ns` of this boot."""

    trigger: str
    actor: Actor
    mono_ns: int


class Presses:
    """From any thread. On a camera the file lies in memory (RuntimeDirectory=, which a restart of the service leaves as
    it is), and is to outlive the process alone: nothing here waits for the card, nor for any sync.
    """

    def __init__(self, directory: Path, boot_id: str) -> None:
        self._path, self._boot_id, self._lock = directory / FILE, boot_id, threading.Lock()
        self.left = self._read()
        """What the life before this one had not done. They wait here, too."""
        self._waiting = list(self.left)

    def keep(self, press: Press) -> None:
        """It waits for its turn. Where that cannot be kept, the recorder, which keeps what waits beside it, says so."""
        with self._lock:
            if press not in self._waiting and len(self._waiting) < MAX_PRESSES:
                self._waiting.append(press)
                self._write()

    def done(self, mono_ns: int) -> None:
        """Its turn came."""
        with self._lock:
            if any(press.mono_ns == mono_ns for press in self._waiting):
                self._waiting = [press for press in self._waiting if press.mono_ns != mono_ns]
                self._write()

    def forget(self) -> tuple[Press, ...]:
        """What waits, and does no longer."""
        with self._lock:
            waited, self._waiting = tuple(self._waiting), []
            if waited:
                self._write()
            return waited

    def _write(self) -> None:
        presses = [[press.trigger[:MAX_TEXT], press.actor.value, press.mono_ns] for press in self._waiting]
        with suppress(StorageError, OSError):
            if presses:
                durable.write_copy(self._path, json.dumps({"boot": self._boot_id, "presses": presses}).encode())
            else:
                self._path.unlink(missing_ok=True)

    def _read(self) -> tuple[Press, ...]:
        """What cannot be read says nothing."""
        try:
            with self._path.open("rb") as file:
                told = json.loads(file.read(MAX_BYTES))
            if told["boot"] != self._boot_id:
                return ()
            presses = [Press(str(trigger), Actor(by), int(at_ns)) for trigger, by, at_ns in told["presses"]]
            return tuple(presses[:MAX_PRESSES])
        except (OSError, ValueError, KeyError, TypeError):
            return ()
