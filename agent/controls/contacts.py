"""A contact that is closed or open, and rattles in between. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent.controls.gestures import Edge


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

    def feed(self, now_ns: int, edges: Sequence[Edge], level: bool | None) -> list[Edge]:
        """What is believed from now on, with the instant at which it left its rest. `level` is how the contact is now,
        where that is known: an edge that never came is made up for.
        """
        found: list[Edge] = []
        for edge in edges:
            found += self._until(edge.mono_ns)
            self._move(edge)
        found += self._until(now_ns)
        if level is not None and level is not self._raw and now_ns - self._raw_ns >= self._rest_ns:
            self._move(Edge(now_ns, level))
        return found

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
