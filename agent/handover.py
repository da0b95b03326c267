"""The end of what a recording captures: all up to that instant goes to it, out of the intake's ring."""

from __future__ import annotations

from collections.abc import Callable

from agent.errors import AgentError, StorageError
from agent.intake import Intake, Tally
from agent.recording import Recording

STANDS = "the machine stood still while memory was emptied"


def hand_over(
    recording: Recording, intake: Intake | None, now_ns: int, rest: Callable[[int], None], tally: Tally | None
) -> None:
    """What comes after `now_ns` is for the next one. `rest` is called as soon as that is with the recording, and before
    any wait for the disk: a ring that still flushes does not wait for it either. What stays behind of `tally` is lost
    to it. Raises StorageError where something does, and the AgentError of a muxer that failed.
    """
    why = ""
    recording.hurry()
    try:
        why = "" if intake is None or intake.detach(now_ns) else STANDS
    except AgentError as err:
        why = err.message
        raise
    finally:
        rest(now_ns)
        if tally:
            recording.forgo(tally.untaken_ns, why)
    if why:
        raise StorageError(
            f"the end of {recording.name} is lost: {why}",
            "choose a smaller picture or a lower rate in [video]",
        )
