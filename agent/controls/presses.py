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
MAX_ENDS = 16
"""Of one press, and of what runs or waits: so here."""
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
    """`trigger` by `actor`, at `mono_ns` of this boot, `docked` where the camera was. `ends`: who stopped it, or docked
    the camera, before it had its turn; each of them may be taken back.
    """

    trigger: str
    actor: Actor
    mono_ns: int
    docked: bool = False
    ends: tuple[LetGo, ...] = ()

    @property
    def let_go(self) -> LetGo | None:
        """Who let go of it first, if anybody did."""
        return self.ends[0] if self.ends else None

    def without(self, end_ns: int) -> Press:
        """As if nobody had ended it then."""
        return replace(self, ends=tuple(end for end in self.ends if end.mono_ns != end_ns))


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
        self._waiting, self._stops = list(_read_presses(told)), list(_read_stops(told))
        self.left = tuple(press for press in self._waiting if press.let_go is None)
        """What the life before this one had not done. They wait here, too."""
        self.forgone = tuple(press for press in self._waiting if press.let_go)
        """And what it was not to do any more, of which it could not say so."""
        self.stopped = tuple(self._stops)
        """What it was to end, and perhaps had not. It stays here, too."""

    def keep(self, press: Press) -> None:
        """It waits for its turn. Where that cannot be kept, the recorder, which keeps what waits beside it, says so."""
        with self._lock:
            known = any((one.trigger, one.mono_ns) == (press.trigger, press.mono_ns) for one in self._waiting)
            if not known and len(self._waiting) < MAX_PRESSES:
                self._waiting.append(press)
                self._write()

    def done(self, mono_ns: int) -> None:
        """Its turn came, be it a press or an end; or it was an end that nobody will do any more. What that was to end,
        and still waits, waits for its own turn.
        """
        with self._lock:
            waiting = [press.without(mono_ns) for press in self._waiting if press.mono_ns != mono_ns]
            self._become(waiting, [stop for stop in self._stops if stop.end.mono_ns != mono_ns])

    def stop(self, what: str | int, end: LetGo) -> None:
        """Should this process end before its turn, this (`Stopped.what`) is not to go on."""
        with self._lock:
            self._become(self._waiting, [*self._stops, Stopped(what, end)])

    def became(self, what: str | int, of: Collection[str | int | None], runs: bool) -> None:
        """What runs, or waits, now (`Stopped.what`) came of one of these: who had ended that, and had no turn yet, ends
        this, where that may end what waits.
        """
        with self._lock:
            ends = [end for press in self._waiting if press.mono_ns in of for end in press.ends]
            ends += [stop.end for stop in self._stops if stop.what in of]
            ends = [end for end in ends if runs or end.waits]
            waiting = [p for p in self._waiting if not (p.mono_ns in of and set(p.ends) & set(ends))]
            others = [stop for stop in self._stops if not (stop.what in of and stop.end in ends)]
            self._become(waiting, [*others, *(Stopped(what, end) for end in ends)])

    def let_go(self, end: LetGo, spare: Sequence[Press] = ()) -> None:
        """Should this process end before their turn, nobody is to do what waits now, but for `spare`."""
        with self._lock:
            spared = {(press.trigger, press.mono_ns) for press in spare}
            waiting = [
                p if (p.trigger, p.mono_ns) in spared else replace(p, ends=(*p.ends, end)) for p in self._waiting
            ]
            self._become(waiting, self._stops)

    def forget(self) -> tuple[Press, ...]:
        """What waits, and does no longer."""
        with self._lock:
            waited = tuple(self._waiting)
            self._become([], [])
            return waited

    def _become(self, waiting: list[Press], stops: list[Stopped]) -> None:
        """What is so from here on."""
        waiting = [replace(press, ends=press.ends[:MAX_ENDS]) for press in waiting]
        stops = list(dict.fromkeys(stops))[:MAX_ENDS]
        if (waiting, stops) != (self._waiting, self._stops):
            self._waiting, self._stops = waiting, stops
            self._write()

    def _write(self) -> None:
        told: dict[str, object] = {"boot": self._boot_id, "presses": [_told(press) for press in self._waiting]}
        if self._stops:
            told["stops"] = [[stop.what, _told_end(stop.end)] for stop in self._stops]
        with suppress(StorageError, OSError):
            if self._waiting or self._stops:
                durable.write_copy(self._path, json.dumps(told).encode())
            else:
                self._path.unlink(missing_ok=True)


def _read_presses(told: Mapping[str, Any]) -> tuple[Press, ...]:
    """What cannot be read says nothing."""
    try:
        return tuple(_press(*press) for press in told["presses"][:MAX_PRESSES]) if told else ()
    except durable.UNREADABLE:
        return ()


def _read_stops(told: Mapping[str, Any]) -> tuple[Stopped, ...]:
    """So here."""
    try:
        return tuple(_stopped(*stop) for stop in told["stops"][:MAX_ENDS])
    except durable.UNREADABLE:
        return ()


def _told(press: Press) -> list[object]:
    ends = [_told_end(end) for end in press.ends]
    return [press.trigger[:MAX_TEXT], press.actor.value, press.mono_ns, press.docked, ends]


def _told_end(end: LetGo) -> list[object]:
    return [end.reason[:MAX_TEXT], end.actor.value, end.mono_ns, end.waits]


def _press(trigger: str, actor: str, at_ns: int, docked: bool = False, ends: Sequence[Any] = ()) -> Press:
    return Press(str(trigger), Actor(actor), int(at_ns), docked is True, tuple(_end(*end) for end in ends))


def _stopped(what: str | int, end: list[Any]) -> Stopped:
    return Stopped(what if type(what) is int else str(what), _end(*end))


def _end(reason: str, actor: str, at_ns: int, waits: bool = False) -> LetGo:
    return LetGo(str(reason), Actor(actor), int(at_ns), waits is True)
