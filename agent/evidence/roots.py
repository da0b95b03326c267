"""The tree as the leaves of a segment build it, held against the signed roots: which leaves are proven, and which
one is not what was signed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from agent.formats import merkle, note

REPAIRS = 6
"""Leaves of one segment for which a single altered bit is searched; a bound on what hostile input can cost."""

MAX_BITS = 1_000_000
"""Bits tried in one verification, over all its segments: some ten seconds, or 100 leaves of the usual size."""


class Effort:
    """What is left of them."""

    def __init__(self, bits: int = MAX_BITS) -> None:
        self._left = bits

    def covers(self, data: bytes) -> bool:
        """Whether every bit of `data` may be tried still; then they are taken for tried."""
        if 8 * len(data) > self._left:
            return False
        self._left -= 8 * len(data)
        return True


Hints = Callable[[int], Iterable[merkle.Frontier]]
"""Given a size, unproven candidates for the log's frontier at that size; a signed root proves or refutes each."""


class Proof(Enum):
    """What is known of one leaf."""

    PROVEN = "proven"
    MENDED = "mended"
    """One bit differs from the leaf that was signed, and is known."""
    WRONG = "wrong"
    """Not the leaf that was signed (or, with leaves waiting for a root before it, one of them)."""
    WAITING = "waiting"
    """Fits so far; a later signed root decides."""
    UNKNOWN = "unknown"
    """Nothing to hold it against, because a leaf before it is lost."""
    LOST = "lost"
    """There is no leaf."""


NO_SEARCH = Effort(0)


@dataclass(frozen=True, slots=True)
class Step:
    """The leaf's bytes as signed where MENDED, with the offset of the altered byte in it. `blamed` names the
    first leaf that may be the wrong one.
    """

    proof: Proof
    leaf: bytes | None = None
    offset: int = 0
    blamed: int = 0


class Tracker:
    """Feed entries in order of index. `frontier` is None while it is not known; `led` is that after the last leaf that
    a signed root proved.
    """

    def __init__(self, frontier: merkle.Frontier | None, hints: Hints, effort: Effort) -> None:
        self.frontier = frontier
        self.waiting: list[int] = []
        self.led: merkle.Frontier | None = None
        self._hints = hints
        self._repairs, self._effort = REPAIRS, effort

    def step(self, index: int, leaf: bytes | None, head: note.Checkpoint | None) -> Step:
        """One entry: its leaf (None where there is none) and its authentic checkpoint (None where there is none)."""
        if self.frontier is None or self.frontier.size != index:
            self.frontier = self._known_at(index, leaf, head)
            # A root behind a gap proves nothing before it.
            self.waiting.clear()
        if leaf is None:
            return self._skip(index, head, Step(Proof.LOST))
        if self.frontier is None:
            return self._skip(index, head, Step(Proof.UNKNOWN))
        after = self.frontier.append(merkle.leaf_hash(leaf))
        if head is None or head.size != index + 1:
            self.frontier = after
            self.waiting.append(index)
            return Step(Proof.WAITING)
        if after.root() == head.root:
            return self._proven(after, Step(Proof.PROVEN))
        return self._mismatch(index, leaf, head)

    @property
    def proven_once(self) -> bool:
        return self.led is not None

    def settle(self) -> None:
        """The last leaf is proven by other means: so is all that waits."""
        self.waiting.clear()
        self.led = self.frontier

    def _proven(self, after: merkle.Frontier, step: Step) -> Step:
        self.frontier = after
        self.settle()
        return step

    def _mismatch(self, index: int, leaf: bytes, head: note.Checkpoint) -> Step:
        # Where none waits, a signed root has proven the tree before it: one that fits another is of another history.
        for other in self._hints(index) if self.waiting else ():
            if (after := other.append(merkle.leaf_hash(leaf))).root() == head.root:
                blamed = self.waiting[0]
                self._proven(after, Step(Proof.PROVEN))
                return Step(Proof.WRONG, None, 0, blamed)
        if not self.waiting and self._repairs and self._effort.covers(leaf):
            self._repairs -= 1
            for offset, candidate in one_bit_off(leaf):
                assert self.frontier is not None
                after = self.frontier.append(merkle.leaf_hash(candidate))
                if after.root() == head.root:
                    return self._proven(after, Step(Proof.MENDED, candidate, offset))
        blamed = self.waiting[0] if self.waiting else index
        return self._skip(index, head, Step(Proof.WRONG, None, 0, blamed))

    def _skip(self, index: int, head: note.Checkpoint | None, step: Step) -> Step:
        """Go on behind a leaf that is not to be had, from a frontier that the signed root confirms."""
        self.frontier = None
        self.waiting.clear()
        if head is not None and head.size == index + 1:
            self.frontier = next((f for f in self._hints(index + 1) if f.root() == head.root), None)
        return step

    def _known_at(self, index: int, leaf: bytes | None, head: note.Checkpoint | None) -> merkle.Frontier | None:
        """A candidate for the frontier before `index` which this entry's own signed root confirms."""
        if leaf is None or head is None or head.size != index + 1:
            return None
        value = merkle.leaf_hash(leaf)
        return next((f for f in self._hints(index) if f.append(value).root() == head.root), None)


def one_bit_off(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset, copy of `data` with one bit of that byte turned over), for every bit."""
    for offset in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[offset] ^= 1 << bit
            yield offset, bytes(changed)
