"""The time that a station signs: asked for with a nonce, held against the wall clock, told in the log; and the clock
set by it, which root does, and never while something is recorded.

The answer was signed at some instant between question and answer. Both are on the recorder's own CLOCK_BOOTTIME, so the
error is at most the time between them, however long the uploader held on to either.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass

from agent import events
from agent.clock import Clock, Reading
from agent.errors import EvidenceError
from agent.eventbody import Event
from agent.formats import note, signedtime
from agent.formats.signedtime import SignedTime
from agent.model import NS
from agent.spool.requests import CLOCK, Requests

MS = 1_000_000
AGAIN_NS = 600 * NS
"""A question that nobody answered is asked anew, with another nonce. One that was answered too late, at once."""
FRESH_NS = 3600 * NS
"""In the dock the time is asked for so often."""
MOST_NS = 10 * NS
"""An answer that took longer says too little."""
SET_NS = 20 * NS
"""So long the unit that sets the clock may take."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a signed time says of the wall clock: how far it is off, and how well that is known; `vouched` where
    somebody vouches for the station's own clock. `offset_ns` is UTC less CLOCK_BOOTTIME.
    """

    step_ns: int
    offset_ns: int
    bound_ms: int
    vouched: bool
    set: bool


def judge(told: SignedTime, asked_ns: int, now: Reading) -> Judged:
    """Pure. The clock is to be set where nobody vouches for it, where it is off by more than both bounds, or where
    this is known much better; by a station whose own clock nobody vouches for, only where that is true of both.
    """
    interval_ns = now.boottime_ns - asked_ns
    utc_ns = told.utc_ns + interval_ns // 2
    bound_ms = -(-interval_ns // MS) + (told.bound_ms or 0)
    step_ns, own_ms = utc_ns - now.utc.ns, now.utc.bound_ms
    if told.bound_ms is None:
        wrong = own_ms is None and abs(step_ns) > bound_ms * MS
    else:
        wrong = own_ms is None or abs(step_ns) > (own_ms + bound_ms) * MS or 2 * bound_ms < own_ms
    return Judged(step_ns, utc_ns - now.boottime_ns, bound_ms, told.bound_ms is not None, wrong)


class WallClock:
    """Not thread-safe. `say` writes an event. Raises StorageError; `trouble` says why the clock is not set."""

    def __init__(self, clock: Clock, requests: Requests, say: Callable[[Event], None]) -> None:
        self._clock, self._requests, self._say = clock, requests, say
        self._nonce: str | None = None
        self._asked_ns = 0
        self._heard_ns: int | None = None
        self._wanted: Judged | None = None
        self._given_ns: int | None = None
        self.trouble: str | None = None

    def question(self) -> str | None:
        """A new nonce, where it is time to ask; it is to be given to the uploader at once."""
        now = self._clock.boottime_ns()
        waits = self._nonce is not None and now - self._asked_ns < AGAIN_NS
        fresh = self._heard_ns is not None and now - self._heard_ns < FRESH_NS
        if waits or fresh:
            return None
        self._nonce, self._asked_ns = os.urandom(32).hex(), now
        return self._nonce

    def forget(self) -> None:
        """Out of the dock: no answer to what was asked counts any more."""
        self._nonce = self._heard_ns = None

    def hear(self, data: bytes, check: Callable[[bytes, str], SignedTime]) -> None:
        """A signed time from the inbox. Raises EvidenceError for what answers nothing that was asked."""
        if self._nonce is None:
            raise EvidenceError("a signed time answers no question of this camera")
        told, now = check(data, self._nonce), Reading.of(self._clock)
        # Used once, whatever it says.
        self._nonce = None
        if now.boottime_ns - self._asked_ns > MOST_NS:
            return
        self._heard_ns = now.boottime_ns
        judged = judge(told, self._asked_ns, now)
        bound = judged.bound_ms if judged.vouched else None
        interval_ns = now.boottime_ns - self._asked_ns
        self._say(events.ClockStation(told.station, judged.step_ns, bound, interval_ns, now.mono_ns))
        self._wanted = judged if judged.set else None
        self._given_ns = self.trouble = None

    def step(self, recording: bool) -> None:
        """In each turn: have the clock set where that is wanted and nothing is recorded."""
        if recording:
            if self._given_ns is not None:
                self._requests.withdraw(CLOCK)
                self._given_ns = None
            return
        wanted, now = self._wanted, self._clock.boottime_ns()
        if wanted is None:
            return
        if self._given_ns is None:
            bound_ms = wanted.bound_ms if wanted.vouched else None
            value = {"boot": self._clock.boot_id, "offset_ns": wanted.offset_ns, "bound_ms": bound_ms}
            self._requests.ask(CLOCK, json.dumps(value).encode())
            self._given_ns = now
        elif not self._requests.is_asked(CLOCK):
            off_ns = self._clock.utc().ns - self._clock.boottime_ns() - wanted.offset_ns
            self._wanted = self._given_ns = self.trouble = None
            if abs(off_ns) > wanted.bound_ms * MS + NS:
                self.trouble = (
                    f"the clock is off by {abs(off_ns) // NS} s, and was not set: see bodycam-apply's journal"
                )
        elif now - self._given_ns > SET_NS:
            self.trouble = (
                f"the station says that the clock is off by {abs(wanted.step_ns) / NS:.3f} s, and nobody sets it: "
                "is bodycam-apply.path enabled?"
            )


def checker(keys: note.Keys, camera: str) -> Callable[[bytes, str], SignedTime]:
    """What checks an answer to a nonce, under the pinned keys."""
    return lambda data, nonce: signedtime.check(data, *note.signer(note.parse(data), keys), camera, nonce)
