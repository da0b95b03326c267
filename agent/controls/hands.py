"""What hand, dock and trigger did, in the one order in which the camera acts on it: the same whether somebody looks
fifty times a second or comes late, as after a slow start. Pure.

Of a hand and the dock, whichever began first is acted on first, where that is clear within ORDER_NS: a hand that comes
while the dock's contact still rattles waits for it, and a contact that has come to rest waits for a hand that was there
before. So a press that came just before the dock is ended by it, and one that came just after is not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from agent.controls.base import Line
from agent.controls.contacts import Seen, Steady
from agent.controls.gestures import Edge, Found, Habits, Recogniser, Timing
from agent.controls.machine import Contact
from agent.model import NS

DOCK_NS = 300_000_000
"""A contact in a dock rattles for longer than a button does."""
ORDER_NS = NS
"""So long hand and dock wait for each other: a contact that is loose keeps no press."""

Did = Found | Contact | Edge
"""What a hand meant; the dock's contact; an edge of the trigger, when it left its rest."""


class Hands:
    """Give it the edges since the last look, and take what comes of them one by one: what a gesture is depends on what
    the last one did.
    """

    def __init__(self, timing: Timing) -> None:
        self._recogniser = Recogniser(timing)
        self._dock, self._trigger = Steady(DOCK_NS), Steady(timing.debounce_ns)
        self._edges: dict[Line, deque[Edge]] = {line: deque() for line in Line}
        self._seen = {line: Seen() for line in Line}
        self._docked: deque[Edge] = deque()
        """What the contact is believed to have done, which nobody acted on yet."""
        self._at_ns = -1
        self.rests = False
        """Whether the last look found nothing under way: the next one may wait until an edge comes."""

    @property
    def hand_ns(self) -> int | None:
        """As `Recogniser.hand_ns`; a hand that waits for the dock, or that no edge has told of yet, is one, too."""
        waits_ns = next((edge.mono_ns for edge in self._edges[Line.BUTTON] if edge.down), None)
        begun = (waits_ns, self._recogniser.hand_ns, self._seen[Line.BUTTON].down_ns)
        return min((at_ns for at_ns in begun if at_ns is not None), default=None)

    @property
    def dock_moves(self) -> bool:
        """Whether it is docked is not clear yet."""
        return self._seen[Line.DOCK].doubted or self._moved_ns is not None

    def look(
        self,
        now_ns: int,
        edges: Sequence[tuple[Line, Edge]],
        levels: Mapping[Line, bool | None],
        habits: Callable[[], Habits],
        read_ns: int | None = None,
    ) -> Iterator[Did]:
        """What became clear up to `now_ns`; the edges were taken after that. `levels`: how each line was somewhen from
        `now_ns` to `read_ns`, None where there is none: an edge that never comes is made up for. `habits` is asked
        before each piece.
        """
        read_ns = now_ns if read_ns is None else read_ns
        self.rests = not edges and self._rests(levels)
        if self.rests:
            # As nearly all looks find it: nothing that follows would come to anything.
            for seen in self._seen.values():
                seen.looked(now_ns)
            self._at_ns = now_ns
            return
        for line, seen in self._seen.items():
            came = [edge for one, edge in edges if one is line]
            self._edges[line] += seen.look(now_ns, read_ns, came, levels[line])
        if levels[Line.BUTTON] is None:
            self._edges[Line.BUTTON] += self._seen[Line.BUTTON].let_go(now_ns)
        while True:
            at_ns = self._next(now_ns)
            yield from self._step(at_ns, habits)
            self._at_ns = at_ns
            if at_ns == now_ns:
                return

    def _rests(self, levels: Mapping[Line, bool | None]) -> bool:
        """Whether nothing is under way, and no line is otherwise than its edges have said."""
        moves = self._dock.left_ns is not None or self._trigger.left_ns is not None or self._recogniser.due_ns
        waits = moves or self._docked or any(self._edges.values())
        return not waits and all(seen.rests(levels[line]) for line, seen in self._seen.items())

    def _next(self, now_ns: int) -> int:
        """The next instant at which something may be decided: order depends on these, and on no look."""
        instants = [edges[0].mono_ns for edges in self._edges.values() if edges]
        instants += [at for one in (self._dock, self._trigger) if (at := one.rests_at_ns) is not None]
        instants += self._recogniser.due_ns
        instants += [at + ORDER_NS for at in (self._dock.left_ns, *(edge.mono_ns for edge in self._docked)) if at]
        return min((at for at in instants if self._at_ns < at < now_ns), default=now_ns)

    def _step(self, at_ns: int, habits: Callable[[], Habits]) -> Iterator[Did]:
        yield from self._trigger.feed(at_ns, self._until(Line.TRIGGER, at_ns))
        self._docked += self._dock.feed(at_ns, self._until(Line.DOCK, at_ns))
        while True:
            yield from self._feel(at_ns, habits)
            hand_ns = self._recogniser.hand_ns
            contact = self._docked[0] if self._docked else None
            if contact is None or self._is_first(hand_ns, contact.mono_ns, at_ns - contact.mono_ns):
                return
            self._docked.popleft()
            yield Contact(contact.down, contact.mono_ns)

    def _feel(self, at_ns: int, habits: Callable[[], Habits]) -> Iterator[Did]:
        """The button's edges, up to the first of a hand that waits for the dock."""
        edges = self._edges[Line.BUTTON]
        while edges and edges[0].mono_ns <= at_ns:
            edge, moved_ns = edges[0], self._moved_ns
            yield from self._recogniser.feed(edge.mono_ns, (), habits())
            begins = edge.down and self._recogniser.hand_ns is None
            if begins and moved_ns is not None and self._is_first(moved_ns, edge.mono_ns, at_ns - moved_ns):
                return
            edges.popleft()
            yield from self._recogniser.feed(edge.mono_ns, (edge,), habits())
        if not self._seen[Line.BUTTON].doubted:
            yield from self._recogniser.feed(at_ns, (), habits())

    @property
    def _moved_ns(self) -> int | None:
        """Since when the dock's contact does what is not acted on yet."""
        return self._docked[0].mono_ns if self._docked else self._dock.left_ns

    @staticmethod
    def _is_first(one_ns: int | None, other_ns: int, waited_ns: int) -> bool:
        """Whether the one comes before the other, and is still waited for."""
        return one_ns is not None and one_ns < other_ns and waited_ns < ORDER_NS

    def _until(self, line: Line, at_ns: int) -> list[Edge]:
        edges, found = self._edges[line], list[Edge]()
        while edges and edges[0].mono_ns <= at_ns:
            found.append(edges.popleft())
        return found
