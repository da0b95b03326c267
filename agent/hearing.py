"""When sound is kept: between mute and unmute never, before a press only where the configuration wants it, and since a
press always, however long the disk takes.

What has passed as silence does not come back, so each of these comes before any wait for the log.
"""

from __future__ import annotations

import threading

from agent.clock import Clock
from agent.config import Config
from agent.events import Actor
from agent.lens import Lens
from agent.status import Life


class Hearing:
    """In the loop's turn, all but `hear`."""

    def __init__(self, config: Config, clock: Clock, life: Life, lens: Lens) -> None:
        self._before_press = config.recording.pre_event_sound
        self._clock, self._life, self._lens = clock, life, lens
        self._hand_ns: int | None = None
        self._lock = threading.Lock()

    def wanted(self, since_ns: int) -> None:
        """Somebody wants a recording since then, with sound, unless that was muted."""
        if self._life.muted_ns is None:
            self._lens.unmute(since_ns)

    def hear(self, since_ns: int) -> None:
        """A hand is on the button since then. It may mean a recording, which then has all sound since; if not, nobody
        ever hears that. From any thread, since the loop may be waiting for a disk.
        """
        with self._lock:
            if self._hears_only_hands:
                self._lens.unmute(since_ns)

    def hand(self, since_ns: int | None) -> None:
        """As `hear`; None: there is no hand any more, and what it meant has been done."""
        self._hand_ns = since_ns
        if since_ns is not None:
            self.hear(since_ns)
        elif self._hears_only_hands:
            self.rest()

    @property
    def _hears_only_hands(self) -> bool:
        return not (self._life.recording or self._life.wanted or self._before_press)

    def mute(self, actor: Actor) -> int:
        """Silence from now on; returns when that is."""
        # A hand that came before is heard before this, or not at all.
        with self._lock:
            now = self._clock.monotonic_ns()
            self._life.muted_ns, self._life.muted_by = now, actor
            self._lens.mute(now)
        return now

    def unmute(self) -> int:
        """Sound again from now on; returns when that is."""
        now = self._clock.monotonic_ns()
        self._life.muted_ns = None
        self._lens.unmute(now)
        return now

    def rest(self) -> None:
        """Nothing goes on: a mute ends with the recording that was muted, whose stop leaf ends its interval, and sound
        is kept for the next one only where the configuration wants it.
        """
        self._life.muted_ns = None
        self._life.rested_ns = now = self._clock.monotonic_ns()
        rest = self._lens.unmute if self._before_press else self._lens.mute
        rest(now)
        if self._hand_ns is not None:
            # It may mean the next one.
            self._lens.unmute(now)
