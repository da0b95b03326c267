"""What was done last for a hand, a contact, a trigger or a command, as status and answers say it: what really came of
it, which is not always what it asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.controls.machine import BUTTON, Deed
from agent.controls.patterns import Cue
from agent.status import Life
from agent.takes import COMMAND

DEEDS = frozenset(deed.value for deed in Deed)
INSTEAD = (Cue.LATER, Cue.ENDING, Cue.REFUSED)
"""What may come of a deed in its place."""
CONTINUES = "continues"
"""What comes of recording what was stopped and is in its last seconds."""


@dataclass(slots=True)
class Did:
    """A deed's name, or what came instead, at `mono_ns`."""

    what: str
    mono_ns: int


@dataclass(frozen=True, slots=True)
class Before:
    """What deeds change, as it was before one; in the loop's turn."""

    recording: bool
    ending: bool
    muted: bool
    asleep: bool
    docked: bool

    @classmethod
    def of(cls, life: Life) -> Before:
        recording, ending = life.recording is not None, life.ends is not None
        return cls(recording, recording and ending, life.muted_ns is not None, life.asleep, life.docked)

    def is_so(self, deed: Deed) -> bool:
        """What it would bring about was so before it. A recording that is in its last seconds is to end."""
        so = {
            Deed.RECORD: self.recording and not self.ending,
            Deed.MUTE: self.muted,
            Deed.UNMUTE: not self.muted,
            Deed.SLEEP: self.asleep,
            Deed.WAKE: not self.asleep,
            Deed.DOCK: self.docked,
            Deed.UNDOCK: not self.docked,
        }
        return so.get(deed, False)


def came_of(deed: Deed, life: Life, before: Before, failed: bool = False) -> str:
    """In the loop's turn, once it has acted. What could not be recorded yet is kept, and begins by itself; a stop of
    what a hand could not see confirms it instead.
    """
    records = deed in (Deed.RECORD, Deed.STOP)
    if records and life.wanted and not life.recording:
        return Cue.LATER.value
    if failed:
        return Cue.REFUSED.value
    if deed is Deed.STOP and life.recording:
        return Cue.ENDING.value if life.ends else Deed.RECORD.value
    return CONTINUES if deed is Deed.RECORD and before.ending else deed.value


def commanded(deed: Deed, reason: str, life: Life, before: Before) -> str | None:
    """As `came_of`, of a command that was not refused; None where it changed nothing, which is no deed."""
    if not before.is_so(deed):
        return came_of(deed, life, before)
    if deed is Deed.DOCK and before.recording:
        return Deed.STOP.value
    # Another reason for what is recorded already is a mark.
    return Deed.MARK.value if deed is Deed.RECORD and reason not in (COMMAND, BUTTON) else None
