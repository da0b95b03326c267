"""What a hand or a trigger wants recorded, until the recorder has done it or keeps it itself (agent/resume.py): beside
the control socket, so that a process that is ended while a disk hangs takes no press with it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent import durable
from agent.errors import StorageError
from agent.events import Actor

FILE = "presses"
MAX_PRESSES = 16
"""Of more, the first are kept."""
MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class LetGo:
    """Why a press is not to be done any more, by whom, and when."""

    reason: str
    actor: Actor
    mono_ns: int


@dataclass(frozen=True, slots=True)
class Press:
    """`trigger` by `actor`, at `mono_ns` of this boot, `docked` where the camera was. `let_go`: somebody stopped it, or
    docked the camera, before it had its turn.
    """

    trigger: str
    actor: Actor
    mono_ns: int
    docked: bool = False
    let_go: LetGo | None = None


class Presses:
    """From any thread. On a camera the file lies in memory (RuntimeDirectory=, which a restart of the service leaves as
    it is), and is to outlive the process alone: nothing here waits for the card, nor for any sync.
    """

    def __init__(self, directory: Path, boot_id: str) -> None:
        self._path, self._boot_id, self._lock = directory / FILE, boot_id, threading.Lock()
        self._waiting = list(self._read())
        self.left = tuple(press for press in self._waiting if press.let_go is None)
        """What the life before this one had not done. They wait here, too."""
        self.forgone = tuple(press for press in self._waiting if press.let_go)
        """And what it was not to do any more, of which it could not say so."""

    def keep(self, press: Press) -> None:
        """It waits for its turn. Where that cannot be kept, the recorder, which keeps what waits beside it, says so."""
        with self._lock:
            known = any((one.trigger, one.mono_ns) == (press.trigger, press.mono_ns) for one in self._waiting)
            if not known and len(self._waiting) < MAX_PRESSES:
                self._waiting.append(press)
                self._write()

    def done(self, mono_ns: int) -> None:
        """Its turn came."""
        with self._lock:
            if any(press.mono_ns == mono_ns for press in self._waiting):
                self._waiting = [press for press in self._waiting if press.mono_ns != mono_ns]
                self._write()

    def let_go(self, end: LetGo, spare: Sequence[Press] = ()) -> None:
        """Should this process end before their turn, nobody is to do what waits now, but for `spare`."""
        with self._lock:
            waiting = [p if p.let_go or p in spare else replace(p, let_go=end) for p in self._waiting]
            if waiting != self._waiting:
                self._waiting = waiting
                self._write()

    def forget(self) -> tuple[Press, ...]:
        """What waits, and does no longer."""
        with self._lock:
            waited, self._waiting = tuple(self._waiting), []
            if waited:
                self._write()
            return waited

    def _write(self) -> None:
        presses = [_told(press) for press in self._waiting]
        with suppress(StorageError, OSError):
            if presses:
                durable.write_copy(self._path, json.dumps({"boot": self._boot_id, "presses": presses}).encode())
            else:
                self._path.unlink(missing_ok=True)

    def _read(self) -> tuple[Press, ...]:
        """What cannot be read says nothing."""
        told = durable.read_of_boot(self._path, self._boot_id)
        try:
            return tuple(_press(*press) for press in told["presses"][:MAX_PRESSES]) if told else ()
        except durable.UNREADABLE:
            return ()


def _told(press: Press) -> list[object]:
    end = press.let_go
    told = [end.reason[:MAX_TEXT], end.actor.value, end.mono_ns] if end else None
    return [press.trigger[:MAX_TEXT], press.actor.value, press.mono_ns, press.docked, told]


def _press(trigger: str, actor: str, at_ns: int, docked: bool = False, end: list[Any] | None = None) -> Press:
    let_go: LetGo | None = None
    if end:
        reason, by, let_go_ns = end
        let_go = LetGo(str(reason), Actor(by), int(let_go_ns))
    return Press(str(trigger), Actor(actor), int(at_ns), docked is True, let_go)
