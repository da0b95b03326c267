"""A clock of stamps that is stepped for good: found by the arrivals, which no driver makes, and taken out. Pure.

How long before their arrival pictures or sound are stamped is learned. Where several stamps in a row cannot be believed
though they keep the pace of the arrivals, one offset brings them back to that, and is added to all that follow.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable

from agent.model import NS

LEAPT = "ms taken out that its clock was set by"
"""What is told of it, in words for people."""
ROW = 5
"""So many stamps in a row that are wrong in one way are a step."""
AHEAD_NS = 30_000_000
"""A stamp that leaps so far beyond pace and arrivals, and then lies so far after its own arrival, and after where any
lay, is of a clock that was set. A smaller leap stays: a driver whose queue drains makes it too, with a right clock.
"""
_ROW_MOST = 32
_KNOWN = 30
"""So many say how near to their arrival stamps may come."""
_RECENT = 300
_FEW = 5
SILENT_NS = 2 * NS
"""What comes after so long may come by another way."""
_SAME_NS = 15_000_000


class Steps:
    """`offset_ns` is to be added to each stamp; `taken_ns` is how much was found in all steps together, `found` how
    many there were.
    """

    def __init__(self) -> None:
        self.offset_ns = self.taken_ns = self.found = 0
        self._lags: deque[int] = deque(maxlen=_RECENT)
        self._kept_ns: int | None = None
        self._settling = False
        self._since_ns = self._arrived_ns = 0
        self._row: deque[tuple[int, int]] = deque(maxlen=_ROW_MOST)

    @property
    def taken_ms(self) -> int:
        return self.taken_ns // 1_000_000

    @property
    def lag_ns(self) -> int:
        """By how much stamps lie before their arrival where nothing holds that up; 0 until something is known of it."""
        return self._usual(self._lags) if len(self._lags) >= _FEW and not self._settling else self._kept_ns or 0

    def arrive(self, stamp_ns: int, arrived_ns: int) -> None:
        """Before anything else is asked of a stamp. What comes after a silence may have its clock put right by that."""
        silent = self._arrived_ns and arrived_ns - self._arrived_ns > SILENT_NS
        if silent:
            lag_ns = arrived_ns - stamp_ns - self.lag_ns
            if abs(lag_ns) < abs(lag_ns - self.offset_ns):
                self.offset_ns = 0
            self._keep()
            self._settling = False
        if silent or not self._arrived_ns:
            self._since_ns = arrived_ns
        self._arrived_ns = arrived_ns

    def is_ahead(self, stamp_ns: int, arrived_ns: int) -> bool:
        """Whether it lies after its arrival, as no stamp of a right clock does, and further than any that came by this
        way. Nearer to its arrival than those is no proof: all of them may have waited in a queue.
        """
        known = len(self._lags) >= _KNOWN and arrived_ns - self._since_ns > SILENT_NS
        return known and arrived_ns - stamp_ns < min(0, self.lag_ns) - AHEAD_NS

    def believe(self, stamp_ns: int, arrived_ns: int) -> None:
        """A stamp, its offset added, that is right."""
        self._row.clear()
        self._lags.append(arrived_ns - stamp_ns)
        if self._settling and len(self._lags) >= _KNOWN:
            # The few that told the step may all have been late.
            self._settling = False
            late_ns = self._usual(self._lags) - (self._kept_ns or 0)
            self.offset_ns += late_ns
            self._lags = deque((lag_ns - late_ns for lag_ns in self._lags), maxlen=_RECENT)

    def doubt(self, stamp_ns: int, arrived_ns: int) -> int:
        """A stamp, its offset added, that cannot be right: by how much it is off, together with those before it; 0 as
        long as that does not show.
        """
        self._row.append((stamp_ns, arrived_ns))
        if len(self._row) < ROW or not self._keeps_pace():
            return 0
        step_ns = min(arrived - stamp for stamp, arrived in self._row) - self.lag_ns
        self._row.clear()
        # How long before their arrival stamps lie here need not be known of those that lie after it.
        known = self._kept_ns is not None or len(self._lags) >= _FEW or step_ns < 0
        if abs(step_ns) < (_SAME_NS if known else NS):
            return 0
        self._keep()
        self._settling = self._kept_ns is not None
        self.offset_ns += step_ns
        self.taken_ns += abs(step_ns)
        self.found += 1
        return step_ns

    def _keeps_pace(self) -> bool:
        """Whether those in a row rise as fast as they arrive, as of a clock that goes."""
        stamps, arrivals = [stamp for stamp, _ in self._row], [arrived for _, arrived in self._row]
        lags = [arrived - stamp for stamp, arrived in self._row]
        rising = all(a < b for a, b in itertools.pairwise(stamps))
        return rising and (max(lags) - min(lags)) * 4 <= arrivals[-1] - arrivals[0]

    def _keep(self) -> None:
        """What is known so far holds for what comes by another way, until that is known better."""
        if len(self._lags) >= _FEW and not self._settling:
            self._kept_ns = self._usual(self._lags)
        self._lags.clear()

    @staticmethod
    def _usual(lags: Iterable[int]) -> int:
        """The least, but for a few: arrivals are late at times, and stamps wild."""
        few = sorted(lags)
        return few[max(2, len(few) // 10)]
