"""Which clock a driver's stamps follow, found out by looking: V4L2 documents CLOCK_MONOTONIC, libcamera CLOCK_BOOTTIME,
and the two part when the machine is suspended.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.model import NS

AHEAD_NS = NS
"""A stamp further in the future is of no picture, nor sound; one that is nearer is for the intake to judge, by all that
came (agent/intake/stamps.py).
"""
BEHIND_NS = 10 * NS
"""So long pictures and sound may wait in a driver, on a machine that stood still."""
_FUTURE_NS = 50_000_000
"""Some drivers stamp a little in the future."""
_SAME_NS = NS
"""A stamp this near to a clock's now was made by that clock."""
_ALIKE_NS = 1_000_000
"""Clocks so near to each other are one, as long as they stay so."""


def believed(stamp_ns: int, arrived_ns: int) -> int:
    """The stamp, or where it can be of nothing that arrives now, the instant of arrival."""
    return stamp_ns if -BEHIND_NS <= stamp_ns - arrived_ns <= AHEAD_NS else arrived_ns


class StampClock:
    """Turns a driver's stamps into CLOCK_MONOTONIC; stamps that follow no clock are replaced by the instant of arrival.

    With `watchful`, a stamp in the future of the clock found so far shows that clocks which were alike at first have
    parted since, and that it is the other one.
    """

    def __init__(self, now: Callable[[int], int] = time.clock_gettime_ns, watchful: bool = False) -> None:
        self._now, self._watchful = now, watchful
        self.domain: int | None = None
        self._known = False

    def to_monotonic(self, stamp_ns: int) -> int:
        if not self._known:
            self._known, self.domain = True, self._nearest(stamp_ns)
        elif self._watchful and self._is_ahead(stamp_ns):
            # One that is near to no clock is a wild one, and says nothing of those that follow.
            other = self._nearest(stamp_ns, other_than=self.domain)
            self.domain = self.domain if other is None else other
        mono_ns = self._now(time.CLOCK_MONOTONIC)
        if self.domain is None:
            return mono_ns
        return stamp_ns - (self._now(self.domain) - mono_ns if self.domain != time.CLOCK_MONOTONIC else 0)

    def _is_ahead(self, stamp_ns: int) -> bool:
        return self.domain is not None and stamp_ns - self._now(self.domain) > _FUTURE_NS

    def _nearest(self, stamp_ns: int, other_than: int | None = None) -> int | None:
        """The clock whose now is nearest; the first of those that are alike, for only a clock that is behind shows."""
        best, nearest_ns = None, _SAME_NS
        for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME, time.CLOCK_REALTIME):
            away_ns = abs(self._now(clock) - stamp_ns)
            if clock != other_than and away_ns < nearest_ns:
                best, nearest_ns = clock, away_ns - _ALIKE_NS
        return best
