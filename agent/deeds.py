"""What was done last for a hand, a contact, a trigger or a command, as status and answers say it: what really came of
it, which is not always what it asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.controls.machine import Deed
from agent.controls.patterns import Cue
from agent.status import Life

DEEDS = frozenset(deed.value for deed in Deed)
INSTEAD = (Cue.LATER, Cue.ENDING, Cue.REFUSED)
"""What may come of a deed in its place."""


@dataclass(slots=True)
class Did:
    """A deed's name, or what came instead, at `mono_ns`."""

    what: str
    mono_ns: int


def came_of(deed: Deed, life: Life, failed: bool = False) -> str:
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
    return deed.value
