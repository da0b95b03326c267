"""How many pictures a camera captured that never came: by the driver's numbers, else by the stamps. Pure.

The numbers are exact. The stamps are an estimate: a camera that takes longer for each picture in the dark looks, for
half a second, like one that loses every other.
"""

from __future__ import annotations

from collections import deque
from statistics import median

from agent.model import NS

_WRAP = 1 << 32
_FASTEST = 4
"""So many times faster than agreed no camera captures: numbers that say so mean something else."""


class Numbering:
    """Feed it each picture as it comes. `exact` is True as long as the driver's numbers can be believed: they grow, and
    no faster than pictures can be captured; once they did not, stamps are counted instead.
    """

    def __init__(self, fps: float) -> None:
        self._usual_ns = NS / fps
        self._intervals: deque[int] = deque(maxlen=30)
        self._last: tuple[int, int | None] | None = None
        self.exact = True

    def missed(self, mono_ns: int, number: int | None) -> int:
        """Pictures that were captured between the last one and this one."""
        last, self._last = self._last, (mono_ns, number)
        self.exact = self.exact and number is not None
        if last is None:
            return 0
        since_ns = mono_ns - last[0]
        by_stamps = self._by_stamps(since_ns)
        if not self.exact or number is None or last[1] is None:
            return by_stamps
        grown = (number - last[1]) % _WRAP
        self.exact = 1 <= grown <= _FASTEST * max(0, since_ns) / self._usual_ns + _FASTEST
        return grown - 1 if self.exact else by_stamps

    def _by_stamps(self, since_ns: int) -> int:
        """Whole usual intervals, which may change with the light. Stamps that do not grow say nothing."""
        if since_ns <= 0:
            return 0
        usual_ns = median(self._intervals) if len(self._intervals) >= 5 else self._usual_ns
        self._intervals.append(since_ns)
        return max(0, round(since_ns / usual_ns) - 1)
