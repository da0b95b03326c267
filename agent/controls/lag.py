"""How far what is durable is behind what is recorded, and whether that is too far. Pure.

What a press finds in the ring was recorded before it and is behind by no fault: it may take its time, as long as it
becomes less. What is live may not.
"""

from __future__ import annotations

from agent.model import NS

BEHIND_NS = 1_800_000_000
"""What comes out of the encoder was seen up to 0.2 s before: it is two seconds old when it is told."""
GAIN = 4
"""While more than that waits, as behind a press, every so many seconds one of it must go, besides what comes in: a card
at the very limits of `bodycam-agent selftest` makes two of it.
"""
FIRST_NS = NS // 2
"""So long nothing has to go yet: the first part comes after the name and the head of its segment."""
CALM_NS = 2 * NS
"""So long nothing must have been too late before it is over: on a slow card each write makes up for something, and each
read answers in the end.
"""


class Lasting:
    """What comes and goes is there until it has been away for CALM_NS."""

    def __init__(self) -> None:
        self._last_ns: int | None = None

    def lasts(self, now_ns: int, is_there: bool) -> bool:
        if is_there:
            self._last_ns = now_ns
        elif self._last_ns is not None and now_ns - self._last_ns > CALM_NS:
            self._last_ns = None
        return self._last_ns is not None


class Lag:
    """Of one recording. Look often, from its begin on."""

    def __init__(self) -> None:
        self._left_ns: int | None = None
        """What may still wait of the ring."""
        self._looked_ns: int | None = None
        self._late = Lasting()

    def is_late(self, now_ns: int, behind_ns: int, begun: bool) -> bool:
        """`behind_ns`: so much of what was recorded is not durable. `begun`: something of it is."""
        if self._left_ns is None or self._looked_ns is None:
            self._left_ns, self._looked_ns = behind_ns, now_ns + FIRST_NS
        # Also before the first part: a card that became too slow while that was written is told as soon as any other.
        if begun or now_ns > self._looked_ns:
            passed_ns, self._looked_ns = max(0, now_ns - self._looked_ns), now_ns
            self._left_ns = max(0, min(self._left_ns - passed_ns // GAIN, behind_ns))
        return begun and self._late.lasts(now_ns, behind_ns > self._left_ns + BEHIND_NS)
