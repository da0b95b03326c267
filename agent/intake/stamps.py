"""Stamps that can be believed: later than the last one, and near the instant at which they arrived. Pure.

A driver may repeat a stamp, step back, or give one of another clock for a while. A recording's timeline must rise all
the same, and one wild stamp must not push a minute of pictures out of the ring.
"""

from __future__ import annotations

from agent.capture.stampclock import AHEAD_NS, BEHIND_NS
from agent.model import NS, VIDEO_HZ

_TICK_NS = NS // VIDEO_HZ + 1


class Stamps:
    """`replaced` counts those that were not believed. What is not live arrives when it is asked for: there only the
    order tells.
    """

    def __init__(self, live: bool, ahead_ns: int = AHEAD_NS) -> None:
        self._live, self._ahead_ns = live, ahead_ns
        self._last_ns: int | None = None
        self.replaced = 0

    def place(self, stamp_ns: int, arrived_ns: int, usual_ns: int) -> int:
        """Where it belongs: later than the last, and by a tick of VIDEO_HZ where it was not so by itself.

        What is no stamp gives way to the one that its arrival would give; what is not later than the last, to
        `usual_ns` after that, or to less where it has come sooner: one of a burst.
        """
        placed_ns = stamp_ns
        if self._live and not -BEHIND_NS <= stamp_ns - arrived_ns <= self._ahead_ns:
            placed_ns = arrived_ns
        last_ns = self._last_ns
        if last_ns is not None and placed_ns <= last_ns:
            soon_ns = min(arrived_ns, last_ns + usual_ns) if self._live else last_ns
            placed_ns = max(last_ns + _TICK_NS, soon_ns)
        self._last_ns = placed_ns
        self.replaced += placed_ns != stamp_ns
        return placed_ns
