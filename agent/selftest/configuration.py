"""The line about the configuration: its file has no mistake that the recorder has to do something else for."""

from __future__ import annotations

from collections.abc import Sequence

from agent.errors import Exit
from agent.selftest.line import Fault, Line, judged

NAME = "configuration"
LIMIT = "0 mistakes"


def check(notes: Sequence[str]) -> Line:
    """`notes`: each mistake, with what is used in its place."""
    faults = [Fault(note, "correct it, then run: bodycam-agent config check FILE") for note in notes]
    return judged(NAME, f"mistakes: {len(notes)}", LIMIT, faults, Exit.USAGE, {"mistakes": list(notes)})
