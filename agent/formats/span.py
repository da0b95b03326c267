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


def most_entries(size: int) -> int:
    """How many entries so many bytes can hold."""
    return size // LEAST_ENTRY


def may_be(sealed: int, size: int) -> bool:
    """Whether a file of `size` bytes can have all entries of a segment that has `sealed`: a copy has no trailer."""
    return size >= sealed - len(pack.TRAILER)


def can_hold(segment: str, size: int, first: int, entries: int) -> bool:
    """Whether a segment of this name and of so many bytes can hold the leaves first <= i < first + entries."""
    begins = first == lowest(segment) if segment.startswith("e") else first >= lowest(segment)
    return begins and 0 < entries <= most_entries(size)
