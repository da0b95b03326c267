"""How far the ring reaches back while somebody wants what it holds, or may want it.

What is too old for the ring does not come back, and the loop may be waiting for a disk, minutes at the end of a
recording: so whoever hears of a hand or a trigger holds the ring at that instant.
"""

from __future__ import annotations

import threading

from agent.config import Config
from agent.hearing import Hearing
from agent.lens import Lens
from agent.model import NS
from agent.status import Life

GONE = "the ring had no room for them until it could begin"
"""Why the first seconds of a recording are lost."""


class Reach:
    """From any thread, all but `hand`. What bounds it is the ring's memory: what has no room there is `gone`."""

    def __init__(self, config: Config, life: Life, lens: Lens, hearing: Hearing) -> None:
        self._pre_event_ns = config.recording.pre_event_s * NS
        self._life, self._lens, self._hearing = life, lens, hearing
        self._lock = threading.Lock()
        self._begins_ns: int | None = None
        """Since when what is just being begun is to reach."""
        self.hand_ns: int | None = None
        """Since when a hand is on the button, as the loop has come to know it."""

    def hear(self, since_ns: int) -> None:
        """A hand, or a trigger, is there since then, and may mean a recording: it is to have pictures and sound since
        then, and the seconds before, whenever the loop's turn comes.
        """
        self._hearing.hear(since_ns)
        self.keep()

    def hand(self, since_ns: int | None) -> None:
        """As `hear`, and what it means shows at its release; None: it is gone. What it does not come to mean nobody
        ever hears.
        """
        self.hand_ns = since_ns
        self._hearing.hand(since_ns)
        self.keep()

    def begins(self, since_ns: int | None) -> None:
        """A recording is being begun that reaches back to then, and waits for its start leaf; None: it is not."""
        self._begins_ns = since_ns
        self.keep()

    def keep(self) -> None:
        """The ring reaches back to a hand that is on the button, or to a press that waits, and the seconds before; and
        to where a recording broke off that is to go on. While one takes in all that comes there is nothing to keep.
        """
        with self._lock:
            intake, wanted, begins_ns = self._lens.intake, self._life.wanted, self._begins_ns
            asked = [*self._hearing.hands, self.hand_ns, wanted.pressed_ns if wanted else None]
            since = [ns - self._pre_event_ns for ns in asked if ns is not None]
            since += [ns for ns in (begins_ns, wanted.since_ns if wanted else None) if ns is not None]
            takes = self._life.records and begins_ns is None
            if intake:
                intake.keep(min(since) if since and not takes else None)

    def gone_ns(self, pressed_ns: int, begins_ns: int) -> int:
        """So much of what came since the press there is no more in the ring, whose picture begins at `begins_ns`: it
        had no room for it. What no lens was open for it never had.
        """
        return max(0, begins_ns - max(pressed_ns, self._lens.seen_ns))
