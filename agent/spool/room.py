"""How much room the card has, decided purely from values: percent for people, minutes of what is coded now, and the
edges at which that is worth a word. The card is full where not one more segment fits beside the log's reserve.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.spool.store import DiskSpace

EDGES = (20, 10, 5)
"""Percent of the card below which it is told."""
MARGIN = 2
"""So many percent above an edge it is no longer below it: what is deleted and recorded must not fill the log."""


@dataclass(frozen=True, slots=True)
class Room:
    """`space` is what the file system says. `freeable_bytes` a station has: they go before anything is refused.
    `minutes` of picture and sound fit before the card is full; `full`: it is, even with these gone.
    """

    space: DiskSpace
    freeable_bytes: int
    percent: int
    minutes: int
    full: bool

    def edge(self, before: int | None) -> int | None:
        """The lowest edge that it is below, where it was below `before`; None where there is room enough."""
        held = before or 0
        return min((e for e in EDGES if self.percent < e + (MARGIN if held and held <= e else 0)), default=None)


def room_of(space: DiskSpace, freeable_bytes: int, kept_back_bytes: int, kbps: int) -> Room:
    """`kept_back_bytes` of what is free no media may take: floor, one segment, and the log's reserve where that is not
    held in a file of its own.
    """
    there = space.free_bytes + freeable_bytes
    minute = max(1, 60 * kbps * 1000 // 8)
    return Room(
        space,
        freeable_bytes,
        min(100, 100 * there // max(1, space.total_bytes)),
        max(0, there - kept_back_bytes) // minute,
        there < kept_back_bytes,
    )
