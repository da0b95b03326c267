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
    """In the loop's turn, all but `hear` and `hands`."""

    def __init__(self, config: Config, clock: Clock, life: Life, lens: Lens) -> None:
        self._before_press = config.recording.pre_event_sound
        self._clock, self._life, self._lens = clock, life, lens
        self._hand_ns: int | None = None
        """As the loop has come to know it."""
        self._hands = set[int]()
        """All of which the loop does not know yet that they are gone."""
        self._rested: str | None = None
        """The recording that takes in no more sound, though it may have to be sealed yet."""
        self._muted_until_ns = 0
        self._lock = threading.Lock()

    def wanted(self, since_ns: int) -> None:
        """Somebody wants a recording since then, with sound, unless that was muted."""
        if self._life.muted_ns is None:
            self._unmute(since_ns)

    def hear(self, since_ns: int) -> None:
        """A hand is on the button since then. It may mean a recording, which then has all sound since; if not, nobody
        ever hears that. From any thread, since the loop may be waiting for a disk.
        """
        with self._lock:
            self._hands.add(since_ns)
            if self._hears_only_hands:
                self._unmute(since_ns)

    @property
    def hands(self) -> tuple[int, ...]:
        """All that were heard of, and of which the loop does not know yet what they meant. From any thread."""
        with self._lock:
            return tuple(self._hands)

    def hand(self, since_ns: int | None) -> None:
        """As `hear`; None: there is no hand any more, and what it meant has been done."""
        gone_ns, self._hand_ns = self._hand_ns, since_ns
        if since_ns is not None:
            self.hear(since_ns)
        if gone_ns is not None and gone_ns != since_ns:
            with self._lock:
                self._hands.discard(gone_ns)
        if since_ns is None and self._hears_only_hands:
            self.rest()

    def done(self, since_ns: int) -> None:
        """What was heard of since then, a hand or a trigger, has been done, or could not be."""
        with self._lock:
            self._hands.discard(since_ns)
        if self._hears_only_hands:
            self.rest()

    @property
    def _hears_only_hands(self) -> bool:
        recording = self._life.recording
        ended = recording is None or recording.name == self._rested
        return ended and not (self._life.wanted or self._before_press)

    def _unmute(self, since_ns: int) -> None:
        """What was muted stays so, though a hand was there."""
        self._lens.unmute(max(since_ns, self._muted_until_ns))

    def silent_before(self, pressed_ns: int) -> int | None:
        """Where no sound is wanted before a press, the ring may still hold that of the recording before, which may have
        been in the making at the press.
        """
        wanted, rested_ns = self._life.wanted, self._life.rested_ns
        goes_on = wanted is not None and wanted.continues is not None
        return None if self._before_press or goes_on or rested_ns is None else min(rested_ns, pressed_ns)

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

    def rest(self, until_ns: int | None = None) -> None:
        """Nothing goes on: a mute ends with the recording that was muted, whose stop leaf ends its interval, and sound
        is kept for the next one only where the configuration wants it, or a hand is there that may mean it. What is
        recorded, if anything, has all its sound, up to `until_ns` (default: now).
        """
        with self._lock:
            now, recording = self._clock.monotonic_ns(), self._life.recording
            ended_ns = now if until_ns is None else until_ns
            if self._life.muted_ns is not None:
                self._life.muted_ns, self._muted_until_ns = None, ended_ns
            self._rested, self._life.rested_ns = recording.name if recording else None, now
            if self._before_press or self._hands:
                self._lens.unmute(ended_ns)
            else:
                self._lens.mute(now)
