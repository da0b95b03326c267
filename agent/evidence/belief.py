"""Leaves on their way to the watch over the whole log: none is heard before a trusted signature proves it, so that
nothing unproven can speak against anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from agent.evidence.entry import Outcome
from agent.evidence.findings import Finding
from agent.evidence.marks import Keeper
from agent.formats import certs, merkle
from agent.formats import leaf as leaves

MAX_HELD = 1_000
"""Leaves that wait for a good signature behind them; a bound on what hostile input can cost."""


@dataclass(frozen=True, slots=True)
class Around:
    """Where a leaf was met: the segment, its session, and the log before the leaf where that is known."""

    segment: str
    session: certs.Session | None
    before: merkle.Frontier | None


class Watch(Protocol):
    """Hears the leaves of one log in order, over all its segments, and tells what does not fit."""

    def leaf(self, leaf: leaves.Leaf, around: Around) -> Iterator[Finding]: ...
    def next_part(self, recording: str) -> int | None: ...


class Belief:
    """One segment's way to the watch. `sound` are the indexes of the proven entries without a finding of their own,
    `lost` counts the leaves that the watch cannot be told of, `marks` keeps those that a finding may be laid between.

    Where the segment's chain is not `trusted`, nothing in it is proven, whatever fits together.
    """

    def __init__(self, watch: Watch, trusted: bool, marks: Keeper) -> None:
        self.sound: set[int] = set()
        self.marks = marks
        self.lost = 0
        self._watch, self._trusted = watch, trusted
        self._held: list[tuple[Outcome, Around]] = []

    def hear(self, out: Outcome, around: Around) -> Iterator[Finding]:
        """The next entry; yields what the watch has to say once it is proven, and what was held back with it."""
        if not self._trusted or not (out.proven or out.waiting) or len(self._held) >= MAX_HELD:
            self.give_up()
            self.lost += 1
            return
        self._held.append((out, around))
        if out.proven:
            for held, there in self._held:
                yield from self._tell(held, there)
            self._held.clear()

    def give_up(self, gap: int = 0) -> None:
        """No signature will prove what waits, for the segment ends or so many leaves are not there."""
        self.lost += len(self._held) + gap
        self._held.clear()

    def _tell(self, out: Outcome, around: Around) -> Iterator[Finding]:
        if out.leaf is None:
            self.lost += 1
            return
        if not any(f.fails for f in out.findings):
            self.sound.add(out.index)
        self.marks.hear(out.leaf)
        yield from self._watch.leaf(out.leaf, around)
