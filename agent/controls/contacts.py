"""A contact that is closed or open, and rattles in between; and what is made of one whose edges do not come. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent.controls.gestures import Edge
from agent.model import NS

COMES_NS = 3 * NS // 10
"""So long an edge may be under way from the kernel: whoever brings it comes late where whoever looks does."""


class Steady:
    """Open until it has been closed for `rest_ns`, and the other way round."""

    def __init__(self, rest_ns: int) -> None:
        self._rest_ns = rest_ns
        self._believed = False
        self._raw, self._raw_ns = False, 0
        self._moved_ns: int | None = None

    @property
    def left_ns(self) -> int | None:
        """When it left its rest; None while it rests."""
        return self._moved_ns

    @property
    def rests_at_ns(self) -> int | None:
        """When it will have come to rest, if it does not move any more."""
        return None if self._moved_ns is None else self._raw_ns + self._rest_ns

    def feed(self, now_ns: int, edges: Sequence[Edge]) -> list[Edge]:
        """What is believed from now on, with the instant at which it left its rest."""
        found: list[Edge] = []
        for edge in edges:
            found += self._until(edge.mono_ns)
            self._move(edge)
        return found + self._until(now_ns)

    def _move(self, edge: Edge) -> None:
        if edge.down is not self._raw:
            self._moved_ns = edge.mono_ns if self._moved_ns is None else self._moved_ns
            self._raw, self._raw_ns = edge.down, edge.mono_ns

    def _until(self, now_ns: int) -> list[Edge]:
        if self._moved_ns is None or now_ns - self._raw_ns < self._rest_ns:
            return []
        moved_ns, self._moved_ns = self._moved_ns, None
        if self._raw is self._believed:
            return []
        self._believed = self._raw
        return [Edge(moved_ns, self._raw)]


class Seen:
    """What a line's level shows that no edge has said yet. An edge that comes takes the place of it, with an instant of
    its own; one that does not come in time is made up for, as of the look that saw it, and tells nothing new if it does
    come after all.
    """

    def __init__(self) -> None:
        self._said = Edge(0, False)
        self._unsaid: list[Edge] = []
        self._made_ns = -1
        """Up to here the line's edges have been made up for."""
        self._looked_ns, self._overdue = 0, False

    @property
    def doubted(self) -> bool:
        """Edges may be under way: what time alone would decide is not clear yet."""
        return bool(self._unsaid)

    @property
    def down_ns(self) -> int | None:
        """Since when it was seen down, where no edge has said that yet."""
        return next((edge.mono_ns for edge in self._unsaid if edge.down), None)

    def look(self, now_ns: int, read_ns: int, edges: Sequence[Edge], level: bool | None) -> list[Edge]:
        """Those of the edges that tell something new, and what is made up after them. `level`: how it was somewhen
        between `now_ns` and `read_ns`; None where there is none.
        """
        new = [edge for edge in edges if edge.mono_ns > self._made_ns]
        if new:
            self._said, self._unsaid = new[-1], []
        # An edge of after `now_ns` may be newer than the level.
        if level is not None and level is not self._down and self._said.mono_ns <= now_ns:
            self._unsaid.append(Edge(read_ns, level))
        return new + self._make_up() if self._missed(now_ns) else new

    def rests(self, level: bool | None) -> bool:
        """Whether a look that finds it so, and no edge, has nothing to tell; a line that is gone is held by nobody."""
        return not self._unsaid and bool(level) is self._said.down

    def looked(self, now_ns: int) -> None:
        """Such a look was made."""
        self._looked_ns, self._overdue = now_ns, False

    def _missed(self, now_ns: int) -> bool:
        """Whether the edges would have come by now. Where the look itself came late, they may, too."""
        gap_ns, self._looked_ns = now_ns - self._looked_ns, now_ns
        before, self._overdue = self._overdue, bool(self._unsaid) and now_ns - self._unsaid[0].mono_ns > COMES_NS
        return self._overdue and (before or gap_ns <= COMES_NS)

    def let_go(self, now_ns: int) -> list[Edge]:
        """What is made up where the line itself is gone: nobody holds that down."""
        if self._down:
            self._unsaid.append(Edge(now_ns, False))
        return self._make_up() if self._unsaid else []

    @property
    def _down(self) -> bool:
        return (self._unsaid or [self._said])[-1].down

    def _make_up(self) -> list[Edge]:
        made, self._unsaid = self._unsaid, []
        self._said, self._made_ns = made[-1], made[-1].mono_ns
        return made
