"""What a hand or a trigger wants recorded, and what a hand or the dock ends, until the recorder has done it or keeps it
itself (agent/resume.py): beside the control socket, so that a process that is ended while it hangs takes no press with
it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping, Sequence
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
    """Why a press is not to be done any more, by whom, and when. `waits`: it ends what only waits, too, as the dock and
    a command do; a hand confirms that.
    """

    reason: str
    actor: Actor
    mono_ns: int
    waits: bool = False


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


@dataclass(frozen=True, slots=True)
class Stopped:
    """What somebody ended: a recording that ran or broke off, by its name, or a press that waited, by its instant."""

    what: str | int
    end: LetGo


class Presses:
    """From any thread. On a camera the file lies in memory (RuntimeDirectory=, which a restart of the service leaves as
    it is), and is to outlive the process alone: nothing here waits for the card, nor for any sync.
    """

    def __init__(self, directory: Path, boot_id: str) -> None:
        self._path, self._boot_id, self._lock = directory / FILE, boot_id, threading.Lock()
        told = durable.read_of_boot(self._path, boot_id) or {}
        self._waiting, self._stop = list(_read_presses(told)), _read_stop(told)
        self.left = tuple(press for press in self._waiting if press.let_go is None)
        """What the life before this one had not done. They wait here, too."""
        self.forgone = tuple(press for press in self._waiting if press.let_go)
        """And what it was not to do any more, of which it could not say so."""
        self.stopped = self._stop
        """What it was to end, and perhaps had not. It stays here, too."""

    def keep(self, press: Press) -> None:
        """It waits for its turn. Where that cannot be kept, the recorder, which keeps what waits beside it, says so."""
        with self._lock:
            known = any((one.trigger, one.mono_ns) == (press.trigger, press.mono_ns) for one in self._waiting)
            if not known and len(self._waiting) < MAX_PRESSES:
                self._waiting.append(press)
                self._write()

    def done(self, mono_ns: int) -> None:
        """Its turn came, be it a press or an end."""
        with self._lock:
            left = [press for press in self._waiting if press.mono_ns != mono_ns]
            stop = None if self._stop and self._stop.end.mono_ns == mono_ns else self._stop
            if (left, stop) != (self._waiting, self._stop):
                self._waiting, self._stop = left, stop
                self._write()

    def stop(self, what: str | int, end: LetGo) -> None:
        """Should this process end before its turn, this (`Stopped.what`) is not to go on."""
        with self._lock:
            self._stop = Stopped(what, end)
            self._write()

    def became(self, what: str | int, of: Collection[str | int | None], runs: bool) -> None:
        """What runs, or waits, now (`Stopped.what`) came of one of these: who had ended that, and had no turn yet, ends
        this, where that may end what waits.
        """
        with self._lock:
            ends = [press.let_go for press in self._waiting if press.let_go and press.mono_ns in of]
            if self._stop and self._stop.what in of:
                ends.append(self._stop.end)
            ends = [end for end in ends if runs or end.waits]
            if ends:
                self._waiting = [p for p in self._waiting if not (p.mono_ns in of and p.let_go in ends)]
                self._stop = Stopped(what, max(ends, key=lambda end: end.mono_ns))
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
            waited, stop = tuple(self._waiting), self._stop
            self._waiting, self._stop = [], None
            if waited or stop:
                self._write()
            return waited

    def _write(self) -> None:
        told: dict[str, object] = {"boot": self._boot_id, "presses": [_told(press) for press in self._waiting]}
        if stop := self._stop:
            told["stop"] = [stop.what, _told_end(stop.end)]
        with suppress(StorageError, OSError):
            if self._waiting or stop:
                durable.write_copy(self._path, json.dumps(told).encode())
            else:
                self._path.unlink(missing_ok=True)


def _read_presses(told: Mapping[str, Any]) -> tuple[Press, ...]:
    """What cannot be read says nothing."""
    try:
        return tuple(_press(*press) for press in told["presses"][:MAX_PRESSES]) if told else ()
    except durable.UNREADABLE:
        return ()


def _read_stop(told: Mapping[str, Any]) -> Stopped | None:
    """So here."""
    try:
        what, end = told["stop"]
        return Stopped(what if type(what) is int else str(what), _end(*end))
    except durable.UNREADABLE:
        return None


def _told(press: Press) -> list[object]:
    end = _told_end(press.let_go) if press.let_go else None
    return [press.trigger[:MAX_TEXT], press.actor.value, press.mono_ns, press.docked, end]


def _told_end(end: LetGo) -> list[object]:
    return [end.reason[:MAX_TEXT], end.actor.value, end.mono_ns, end.waits]


def _press(trigger: str, actor: str, at_ns: int, docked: bool = False, end: list[Any] | None = None) -> Press:
    return Press(str(trigger), Actor(actor), int(at_ns), docked is True, _end(*end) if end else None)


def _end(reason: str, actor: str, at_ns: int, waits: bool = False) -> LetGo:
    return LetGo(str(reason), Actor(actor), int(at_ns), waits is True)
