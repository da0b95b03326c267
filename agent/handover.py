"""The end of what a recording captures: all up to that instant goes to it, out of the intake's ring."""

from __future__ import annotations

from collections.abc import Callable

from agent.errors import StorageError
from agent.intake import Intake
from agent.recording import Recording


def hand_over(recording: Recording, intake: Intake | None, now_ns: int, rest: Callable[[int], None]) -> None:
    """What comes after `now_ns` is for the next one. `rest` is called as soon as that is with the recording, and before
    any wait for the disk: a ring that still flushes does not wait for it either. Raises StorageError where some of it
    stays behind, and the AgentError of a muxer that failed.
    """
    recording.hurry()
    try:
        whole = intake is None or intake.detach(now_ns)
    finally:
        rest(now_ns)
    if not whole:
        raise StorageError(
            f"the end of {recording.name} is lost: the machine was too slow to take it from memory in time",
            "choose a smaller picture or a lower rate in [video]",
        )
