"""When what was lost is back for good: on a machine that is too busy, sound may be lost and come again several times a
second, and each would be two leaves and an alarm. Pure.
"""

from __future__ import annotations

from agent.model import NS

HOLD_NS, MOST_NS = NS, 30 * NS
"""So long it must be there before it is back; twice as long each time that it was lost again soon after, up to that."""
SOON_NS = 30 * NS


class Steadiness:
    """Fed, while it counts as lost, with whether it is; and told when it is lost again."""

    def __init__(self) -> None:
        self._hold_ns = HOLD_NS
        self._since_ns: int | None = None
        self._back_ns: int | None = None

    def lose(self, now_ns: int) -> None:
        """It counted as there, and is lost."""
        soon = self._back_ns is not None and now_ns - self._back_ns < SOON_NS
        self._hold_ns = min(2 * self._hold_ns, MOST_NS) if soon else HOLD_NS
        self._since_ns = None

    def see(self, now_ns: int, lost: bool) -> int | None:
        """Since when it is back, once that has lasted; None before."""
        if lost:
            self._since_ns = None
            return None
        self._since_ns = now_ns if self._since_ns is None else self._since_ns
        if now_ns - self._since_ns < self._hold_ns:
            return None
        self._back_ns = now_ns
        return self._since_ns
