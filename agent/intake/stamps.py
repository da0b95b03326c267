"""Stamps that can be believed: later than the last one, and near the instant at which they arrived. Pure.

A driver may repeat a stamp, step back, give one of another clock for a while, or have its clock set for good. A
recording's timeline must rise all the same and stay where the lens and the microphone are, and one wild stamp must not
push a minute of pictures out of the ring.
"""

from __future__ import annotations

from collections import deque
from statistics import median_low

from agent.capture.stampclock import BEHIND_NS
from agent.intake import steps
from agent.model import NS, VIDEO_HZ

AHEAD_NS = NS // 20
"""Nothing comes before it was captured; a driver's clock may be off by so much (vivid's is by 29 ms)."""
_TICK_NS = NS // VIDEO_HZ + 1
_INTERVALS = 9


class Stamps:
    """`replaced` counts those that were not believed, `steps` is what their clock was set by for good (steps.py). What
    is not live arrives when it is asked for: there only the order tells.
    """

    def __init__(self, live: bool) -> None:
        self._live = live
        self._last_ns: int | None = None
        self._right_ns: int | None = None
        self._follows = self._set_back = False
        self._arrived_ns = self._usual_ns = 0
        self._intervals: deque[int] = deque(maxlen=_INTERVALS)
        self.steps = steps.Steps()
        self.replaced = 0

    def place(self, stamp_ns: int, arrived_ns: int, usual_ns: int) -> int:
        """Where it belongs: later than the last, and by a tick of VIDEO_HZ where it was not so by itself.

        What is not later than the last gives way to the usual interval after that, or to less where it has come sooner:
        one of a burst. So does what is no stamp, after one that is right: a busy machine may take it late, and those
        that follow with a stamp of their own are to find their place free. One more of these, or one after a silence,
        gives way to the stamp that its arrival would give. `usual_ns` is that interval as the source says, where it
        gives them faster than it does.
        """
        self._usual_ns = max([usual_ns, *([median_low(self._intervals)] if self._intervals else [])])
        after_right = False
        if self._live:
            self.steps.arrive(stamp_ns, arrived_ns)
            stamp_ns += self.steps.offset_ns
            if self._is_wrong(stamp_ns, arrived_ns):
                stamp_ns += self.steps.doubt(stamp_ns, arrived_ns)
            after_right = self._follows and arrived_ns - self._arrived_ns <= steps.SILENT_NS
            self._learn(stamp_ns, arrived_ns)
        placed_ns = self._placed(stamp_ns, arrived_ns, after_right)
        self._last_ns, self._arrived_ns = placed_ns, arrived_ns
        self.replaced += placed_ns != stamp_ns
        return placed_ns

    def _placed(self, stamp_ns: int, arrived_ns: int, after_right: bool) -> int:
        due_ns, last_ns = arrived_ns - self.steps.lag_ns, self._last_ns
        strays = self._live and self._strays(stamp_ns, arrived_ns)
        placed_ns = due_ns if strays else stamp_ns
        if last_ns is None or (placed_ns > last_ns and not (strays and after_right)):
            return placed_ns
        return max(last_ns + _TICK_NS, min(due_ns, last_ns + self._usual_ns) if self._live else last_ns)

    def _is_wrong(self, stamp_ns: int, arrived_ns: int) -> bool:
        """In itself, or together with those before it: not because one that was wrong was placed too late."""
        if self._strays(stamp_ns, arrived_ns):
            return True
        if self._right_ns is None or self._last_ns is None:
            return False
        return stamp_ns <= self._right_ns or (self._set_back and stamp_ns <= self._last_ns)

    def _strays(self, stamp_ns: int, arrived_ns: int) -> bool:
        """Whether it lies where nothing that arrives now can have been, or leaps there beyond its pace."""
        if not -BEHIND_NS <= stamp_ns - arrived_ns <= AHEAD_NS:
            return True
        if self._last_ns is None:
            return False
        paced_ns = max(self._usual_ns, arrived_ns - self._arrived_ns)
        leaps = stamp_ns - self._last_ns > paced_ns + steps.AHEAD_NS
        return leaps and self.steps.is_ahead(stamp_ns, arrived_ns)

    def _learn(self, stamp_ns: int, arrived_ns: int) -> None:
        if self._is_wrong(stamp_ns, arrived_ns):
            self._set_back = self._right_ns is not None and not self._strays(stamp_ns, arrived_ns)
            self._follows = False
            return
        if self._right_ns is not None and self._follows:
            self._intervals.append(stamp_ns - self._right_ns)
        self._right_ns, self._follows, self._set_back = stamp_ns, True, False
        self.steps.believe(stamp_ns, arrived_ns)
