"""Several histories of one log, all signed: which of them is followed, and which leaves another one has
(docs/evidence-format.md, section 8, "Histories").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agent.evidence.blobs import Blob
from agent.evidence.heads import Head
from agent.evidence.layout import Scanner
from agent.formats import merkle


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment as its head claims it: its first leaf, and the tree before that where it can be read."""

    blob: Blob
    first: int
    frontier: merkle.Frontier | None


class Ranks:
    """The order of segments for the same leaves. Of files of which each has a place of its own none is read."""

    def __init__(self, pieces: Iterable[Piece], heads: Iterable[Head]) -> None:
        """`heads` are those that a station cosigned."""
        pieces = sorted(pieces, key=lambda piece: piece.first, reverse=True)
        places = Counter(piece.first for piece in pieces)
        self._contested = {first for first, count in places.items() if count > 1}
        self._cosigned = {(head.size, head.root) for head in heads}
        self._sizes = {size for size, _ in self._cosigned}
        self._reaches: dict[Blob, tuple[int, int]] = {}
        self._after: dict[merkle.Frontier, tuple[int, int]] = {}
        lowest = min(self._contested, default=None)
        for piece in pieces:
            if lowest is not None and piece.first >= lowest:
                self._reaches[piece.blob] = self._reach(piece)

    def of(self, piece: Piece) -> tuple[int, int, str]:
        """Lower stands before higher: the history that leads to the largest cosigned head; that reaches furthest; the
        lower SHA-256.
        """
        if piece.first not in self._contested:
            return 0, 0, ""
        led, end = self._reaches[piece.blob]
        return -led, -end, piece.blob.sha256()

    def _reach(self, piece: Piece) -> tuple[int, int]:
        """(size of the largest cosigned head it leads to, leaves up to its end), over all that continue it. Unproven:
        signatures are checked when the segment is.
        """
        if piece.frontier is None:
            return 0, piece.first
        tree, led = piece.frontier, 0
        for leaf in _leaves(piece.blob, tree.size):
            tree = tree.append(merkle.leaf_hash(leaf))
            if tree.size in self._sizes and (tree.size, tree.root()) in self._cosigned:
                led = tree.size
        further, end = self._after.get(tree, (0, 0))
        found = max(led, further), max(tree.size, end)
        self._after[piece.frontier] = max(found, self._after.get(piece.frontier, found))
        return found


def _leaves(blob: Blob, first: int) -> Iterator[bytes]:
    """The leaves of a segment from this index on, as far as none is missing."""
    with blob.reader() as window:
        members = {m.index: m for m in reversed(Scanner(window).run().members) if m.kind == "json"}
        while (member := members.get(first)) is not None:
            yield window.at(member.data, member.size)
            first += 1


@dataclass
class Beside:
    """What lies in histories that are not followed: spans of leaves, and the trees that they end with."""

    spans: list[tuple[int, int]] = field(default_factory=list)
    tips: set[merkle.Frontier] = field(default_factory=set)

    def add(self, first: int, end: int, tip: merkle.Frontier | None) -> None:
        """A segment of another history."""
        self.spans.append((first, end))
        if tip is not None:
            self.tips.add(tip)

    def without(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Runs of start <= i < end that no other history has either."""
        for first, last in [*sorted(self.spans), (end, end)]:
            if start < min(first, end):
                yield start, min(first, end)
            start = max(start, last)
