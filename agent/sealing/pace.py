"""When the identity key is asked to sign, beside the leaves that demand it. Pure."""

from __future__ import annotations

from agent.model import NS

SHARE = 30
"""Of the time, at most one part in so many goes into a key that does not answer."""
FIRST_PAUSE_NS = NS


class Pace:
    """Every `every_ns` where it signs. Where it did not, with the very next leaf, then ever later: what waits for its
    signature gets it soon, and a key that is gone holds up no recording.
    """

    def __init__(self, every_ns: int) -> None:
        self._every_ns = every_ns
        self._due_ns: int | None = None
        self._refusals = 0

    def due(self, now_ns: int) -> bool:
        """Whether a leaf of this instant is to be signed by it, whatever its kind."""
        return self._due_ns is None or now_ns >= self._due_ns

    def signed(self, now_ns: int) -> None:
        """A checkpoint of this instant, which is the log's by now, has its signature."""
        self._due_ns, self._refusals = now_ns + self._every_ns, 0

    def refused(self, now_ns: int, took_ns: int) -> None:
        """It was asked at this instant, and said after `took_ns` that it does not sign."""
        pause_ns = FIRST_PAUSE_NS << min(self._refusals - 1, 16) if self._refusals else 0
        self._due_ns = now_ns + took_ns + min(max(pause_ns, SHARE * took_ns), self._every_ns)
        self._refusals += 1
