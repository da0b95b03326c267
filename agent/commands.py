"""What a command wants counts from when it came, though its turn in the loop comes later: what it ends, and from when
on it records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from agent.controls.machine import Deed
from agent.controls.presses import LetGo, Press
from agent.deeds import DEEDS, Before, commanded
from agent.errors import UnheardError
from agent.events import Actor
from agent.loop import Action, Asked, Loop
from agent.resume import Resume
from agent.status import Life
from agent.takes import Takes


class Commands:
    """`did` is called in the loop's turn with what a command did, where it did anything."""

    def __init__(self, loop: Loop, life: Life, takes: Takes, resume: Resume, did: Callable[[str], object]) -> None:
        self._loop, self._life, self._takes, self._resume, self._did = loop, life, takes, resume, did

    def ask(
        self, command: str, reason: str, now_ns: int, what: str, action: Asked, owed: Sequence[Press]
    ) -> dict[str, Any]:
        """From a control thread; as `Loop.ask`. `reason`: of a stop or a recording; `owed` no command ends."""
        over, records = self._counts(command, reason, now_ns, owed), command == Deed.RECORD.value
        try:
            return self._loop.ask(what, partial(self._turn, command, reason, action, over))
        except UnheardError:
            # Whoever gave it is told that it is not done: what it was to end goes on, and nothing is held for it.
            if records:
                self._loop.post("officer", over)
            else:
                over()
            raise

    def _counts(self, command: str, reason: str, now_ns: int, owed: Sequence[Press]) -> Action:
        """From now on; returns what to do once it had its turn: of a recording in the loop's."""
        if command == Deed.RECORD.value:
            self._takes.reach.hear(now_ns)
            return partial(self._takes.hearing.done, now_ns)
        if command in (Deed.STOP.value, Deed.DOCK.value):
            why, actor = (reason, Actor.CTL) if command == Deed.STOP.value else ("docked", Actor.DOCK)
            self._resume.ends(LetGo(why, actor, now_ns, waits=True), spare=owed)
            return partial(self._resume.presses.done, now_ns)
        return dict

    def _turn(self, command: str, reason: str, action: Asked, over: Action) -> dict[str, Any]:
        before = Before.of(self._life)
        try:
            answer = action()
        finally:
            over()
        if command in DEEDS and (what := commanded(Deed(command), reason, self._life, before)):
            self._did(what)
        return answer
