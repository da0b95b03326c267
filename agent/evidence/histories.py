"""Several histories of one log, all signed: which of them is followed, and which leaves another one has
(docs/evidence-format.md, section 8, "Histories").
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from agent.errors import UnreadableError
from agent.evidence.blobs import Blob, known_by
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
        return -led, -end, known_by(piece.blob)

    def _reach(self, piece: Piece) -> tuple[int, int]:
        """(size of the largest cosigned head it leads to, leaves up to its end), over all that continue it. Unproven:
        signatures are checked when the segment is.
        """
        if piece.frontier is None or piece.frontier.size != piece.first:
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
    """The leaves of a segment from this index on, as far as none is missing, and the disk gives them."""
    with suppress(UnreadableError), blob.reader() as window:
        members = {m.index: m for m in reversed(Scanner(window).run().members) if m.kind == "json"}
        while (member := members.get(first)) is not None:
            yield window.at(member.data, member.size)
            first += 1


class Held:
    """The leaves of one segment that is followed, for those that claim the same places: it is read once for all of
    them, which come in order of their first leaf.
    """

    def __init__(self, blob: Blob, tree: merkle.Frontier, end: int) -> None:
        """`tree` is the log before it; what follows its `end` was being written, and is none of them."""
        self.blob, self._tree = blob, tree
        self._hashes = dict(zip(range(tree.size, end), map(merkle.leaf_hash, _leaves(blob, tree.size)), strict=False))

    def parts(self, other: Piece, sound: Container[int], clean: bool) -> bool:
        """Whether two signatures stand against one another: the `sound` leaves of the other one, proven as these are,
        are not the same at the same places. Where nothing fails in the other (`clean`), so is the log before it.
        """
        before = other.frontier
        if before is None or before.size != other.first:
            return False
        while self._tree.size < before.size and self._tree.size in self._hashes:
            self._tree = self._tree.append(self._hashes[self._tree.size])
        if clean and self._tree.size == before.size and self._tree != before:
            return True
        leaves = enumerate(_leaves(other.blob, before.size), before.size)
        return any(
            index in self._hashes and index in sound and self._hashes[index] != merkle.leaf_hash(leaf)
            for index, leaf in leaves
        )


@dataclass
class Beside:
    """What lies in histories that are not followed: leaves, and the trees that they end with."""

    tips: set[merkle.Frontier] = field(default_factory=set)
    _spans: list[tuple[int, int]] = field(default_factory=list)
    _held: Held | None = None

    @classmethod
    def over(cls, spans: Iterable[tuple[int, int]]) -> Beside:
        """With these leaves, start <= i < end of each."""
        found = cls()
        for first, end in spans:
            found.add(first, end)
        return found

    def add(self, first: int, end: int) -> None:
        """A segment of another history. They come almost in order; what lies in several is kept once."""
        at = bisect_left(self._spans, first, key=lambda span: span[1])
        past = bisect_right(self._spans, end, lo=at, key=lambda span: span[0])
        for low, high in self._spans[at:past]:
            first, end = min(first, low), max(end, high)
        self._spans[at:past] = [(first, end)]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Its leaves, start <= i < end, in order, none beside another."""
        return self._spans

    def without(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Runs of start <= i < end that no other history has either."""
        for at in range(bisect_right(self._spans, start, key=lambda span: span[1]), len(self._spans)):
            first, last = self._spans[at]
            if first >= end:
                break
            if start < first:
                yield start, first
            start = last
        if start < end:
            yield start, end

    def held(self, blob: Blob, before: merkle.Frontier, end: int) -> Held:
        """The leaves of the segment that is followed there, which were read if it was the last one asked for."""
        if self._held is None or self._held.blob is not blob:
            self._held = Held(blob, before, end)
        return self._held
