"""Which leaves a segment can hold, by its name and its size (docs/evidence-format.md, sections 1 and 5)."""

from __future__ import annotations

from agent.formats import pack

LEAST_ENTRY = 6 * pack.BLOCK
"""An entry is three members, each a header and at least one block."""


def lowest(segment: str) -> int:
    """Its first leaf; of a recording's segment one that is no later: before it stand the start leaf, and a leaf in each
    segment between.
    """
    return int(segment[1:11]) + (0 if segment.startswith("e") else 1 + int(segment[21:]))


def can_hold(segment: str, size: int, first: int, entries: int) -> bool:
    """Whether a segment of this name and of so many bytes can hold the leaves first <= i < first + entries."""
    begins = first == lowest(segment) if segment.startswith("e") else first >= lowest(segment)
    return begins and 0 < entries <= size // LEAST_ENTRY
