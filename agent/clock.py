"""Clocks, passed in wherever time matters, so that tests own time.

CLOCK_MONOTONIC is the timeline of capture; CLOCK_BOOTTIME shows suspends; CLOCK_REALTIME is only ever reported
together with what is known about its truth (adjtimex(2)).
"""

from __future__ import annotations

import ctypes
import logging
import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

LOG = logging.getLogger("bodycam.clock")
SYNCHRONISED = "synchronised"


@dataclass(frozen=True, slots=True)
class Utc:
    """Wall-clock time and how far to trust it.

    `source` is "synchronised" where the kernel's clock is disciplined (STA_UNSYNC clear) or agent/vouch.py says that it
    was, else "unverified"; `bound_ms` is the maximum error in milliseconds, None where nobody vouches for one.
    """

    ns: int
    source: str
    bound_ms: int | None


class Clock(Protocol):
    """The instants a leaf carries, and the wait that goes with them."""

    boot_id: str

    def monotonic_ns(self) -> int: ...
    def boottime_ns(self) -> int: ...
    def utc(self) -> Utc: ...


class Timex(ctypes.Structure):
    """struct timex of adjtimex(2), as far as it is used here."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    ]


_STA_UNSYNC = 0x0040


def _reason() -> str:
    return os.strerror(ctypes.get_errno())


class SystemClock:
    """The clocks of the running Linux kernel."""

    def __init__(self) -> None:
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._refused = False

    def monotonic_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def boottime_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def utc(self) -> Utc:
        # The kernel's word counts that stands before the reading and behind it: whoever sets the clock takes it away
        # with the step, and gives another for the new time only.
        before_ms, now_ns, after_ms = self._bound_ms(), time.time_ns(), self._bound_ms()
        if before_ms is None or after_ms is None:
            return Utc(now_ns, "unverified", None)
        return Utc(now_ns, SYNCHRONISED, max(before_ms, after_ms))

    def _bound_ms(self) -> int | None:
        timex = Timex()
        state = self._libc.adjtimex(ctypes.byref(timex))
        if state < 0 and not self._refused:
            # A unit's filter of system calls, say. Nothing else would tell it from a clock that nobody vouches for.
            self._refused = True
            LOG.warning("adjtimex: %s: whether somebody vouches for the clock cannot be asked", _reason())
        return None if state < 0 or timex.status & _STA_UNSYNC else timex.maxerror // 1000 + 1


SUSPEND_NS = STEP_NS = 100_000_000
"""Less is not told from the time that passes between two readings."""
MAX_TOLD, WITHIN_NS = 6, 60_000_000_000
"""A wall clock that jumps all the time is told of so often in so long at the most, then with the sum. A few are told at
once: where the power goes before that, what the log says of the time it was off would be wrong by them.
"""
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Reading:
    """All clocks at, as nearly as can be, one instant."""

    mono_ns: int
    boottime_ns: int
    utc: Utc

    @classmethod
    def of(cls, clock: Clock) -> Reading:
        """The closest of a few: a busy machine may take long between two."""
        return min((cls._timed(clock) for _ in range(_TRIES)), key=lambda timed: timed[0])[1]

    @classmethod
    def _timed(cls, clock: Clock) -> tuple[int, Reading]:
        begin_ns = clock.monotonic_ns()
        boottime_ns, utc = clock.boottime_ns(), clock.utc()
        spent_ns = clock.monotonic_ns() - begin_ns
        return spent_ns, cls(begin_ns, boottime_ns, utc)

    @property
    def divergence_ns(self) -> int:
        """All time suspended since the kernel started."""
        return self.boottime_ns - self.mono_ns


@dataclass(frozen=True, slots=True)
class Drift:
    """What became of the clocks since they were last told of. `step_ns` is the wall clock's against CLOCK_BOOTTIME."""

    now: Reading
    suspended_ns: int
    step_ns: int
    source_changed: bool


class ClockWatch:
    """Ask it in each turn."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = Reading.of(clock)
        self._told_ns: deque[int] = deque(maxlen=MAX_TOLD)

    def look(self) -> Drift | None:
        """A suspend, a step of the wall clock or another source, since the last time; None where nothing happened."""
        now = Reading.of(self._clock)
        suspended_ns = now.divergence_ns - self._last.divergence_ns
        step_ns = (now.utc.ns - now.boottime_ns) - (self._last.utc.ns - self._last.boottime_ns)
        slept, stepped = suspended_ns >= SUSPEND_NS, abs(step_ns) >= STEP_NS
        changed = now.utc.source != self._last.utc.source
        if not (slept or stepped or changed):
            # The kernel may turn the wall clock slowly: that is no step, however far it gets in a shift.
            self._last = Reading(now.mono_ns, now.mono_ns + self._last.divergence_ns, now.utc)
            return None
        often = len(self._told_ns) == MAX_TOLD and now.mono_ns - self._told_ns[0] < WITHIN_NS
        if often and not slept:
            return None
        self._last = now
        self._told_ns.append(now.mono_ns)
        return Drift(now, suspended_ns if slept else 0, step_ns if stepped else 0, changed)
