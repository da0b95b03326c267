"""How many pictures a camera captured that never came: by the driver's numbers, else by the stamps. Pure.

The numbers are exact. The stamps are an estimate: a camera that takes longer for each picture in the dark looks, for
half a second, like one that loses every other. What is usual is learned from its first pictures, and not from what it
was asked for; one whose stamp is out of order came all the same.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

from agent.model import NS

_WRAP = 1 << 32
_FASTEST = 4
"""So many times faster than agreed no camera captures: numbers that say so mean something else."""

_LEARN = 5
"""So many intervals say what is usual."""
_SILENT_NS = 2 * NS
"""A camera that gives nothing for longer is lost, and told as such: whether it captured meanwhile, no stamp says."""
_DISORDERED = 5
"""So many stamps in a row that follow no others are the new order."""


class Numbering:
    """Feed it each picture as it comes. `exact` is True as long as the driver's numbers can be believed: they grow, and
    no faster than pictures can be captured; once they did not, stamps are counted instead.
    """

    def __init__(self, fps: float) -> None:
        self._usual_ns = NS / fps
        self._intervals: deque[float] = deque(maxlen=30)
        self._early: list[_Span] = []
        self._last: tuple[int, int | None] | None = None
        self._ordered_ns: int | None = None
        self._disordered = 0
        self.exact = True

    def missed(self, mono_ns: int, number: int | None) -> int:
        """Pictures that were captured between the last one and this one."""
        last, self._last = self._last, (mono_ns, number)
        self.exact = self.exact and number is not None
        by_stamps = self._by_stamps(mono_ns)
        if last is None:
            return 0
        since_ns = mono_ns - last[0]
        if not self.exact or number is None or last[1] is None:
            return by_stamps
        grown = (number - last[1]) % _WRAP
        self.exact = 1 <= grown <= _FASTEST * max(0, since_ns) / self._usual_ns + _FASTEST
        return grown - 1 if self.exact else by_stamps

    def _by_stamps(self, mono_ns: int) -> int:
        """Whole usual intervals, which may change with the light."""
        since_ns = None if self._ordered_ns is None else mono_ns - self._ordered_ns
        if since_ns is None or not 0 < since_ns <= _SILENT_NS:
            self._disordered += since_ns is not None
            if since_ns is None or self._disordered > _DISORDERED:
                self._ordered_ns, self._disordered = mono_ns, 0
            return 0
        span = _Span(since_ns, self._disordered + 1)
        self._ordered_ns, self._disordered = mono_ns, 0
        if len(self._intervals) >= _LEARN:
            usual_ns = median(self._intervals)
            self._intervals.append(span.interval_ns)
            return span.missed(usual_ns)
        self._early.append(span)
        self._intervals.append(span.interval_ns)
        if len(self._intervals) < _LEARN:
            return 0
        usual_ns, early = median(self._intervals), self._early
        self._early = []
        return sum(one.missed(usual_ns) for one in early)


@dataclass(frozen=True, slots=True)
class _Span:
    """From one stamp to the next that is later, and how many pictures came in it, that one included."""

    since_ns: int
    came: int

    @property
    def interval_ns(self) -> float:
        return self.since_ns / self.came

    def missed(self, usual_ns: float) -> int:
        return max(0, round(self.since_ns / usual_ns) - self.came)
