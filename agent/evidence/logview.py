"""One log as far as it was given: its segments in order, and what its leaves and others say of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile

from agent.evidence.cosigned import Cosigned
from agent.evidence.heads import CheckedReceipt, Head
from agent.evidence.held import Elsewhere
from agent.evidence.histories import Beside
from agent.evidence.marks import Timeline
from agent.evidence.segment import SegmentResult
from agent.evidence.sources import Scope
from agent.evidence.watch import LogWatch


@dataclass
class LogView:
    """One log as far as it was given: its segments in order, what its leaves say, and what others say of it.

    `broken` names files of which not one entry could be read. `proven` is the last segment placed of which a trusted
    signature proves anything, `unproven` are those placed of which none does: each ends where the next may begin. Its
    leaves were followed to the `cosigned` heads, of as many leaves or more. `beside` it lie other histories. `followed`
    are trees (size, root) that a segment with an entry says to continue, or that the identity key signed beside them.
    Of a spool, `elsewhere` says who has what is no longer in it.
    """

    origin: str
    results: list[SegmentResult]
    watch: LogWatch
    heads: list[Head]
    receipts: list[CheckedReceipt]
    scope: Scope
    elsewhere: Elsewhere | None = None
    broken: set[str] = field(default_factory=set)
    proven: SegmentResult | None = None
    unproven: list[SegmentResult] = field(default_factory=list)
    cosigned: list[Cosigned] = field(default_factory=list)
    beside: Beside = field(default_factory=Beside)
    followed: set[tuple[int, bytes]] = field(default_factory=set)

    @cached_property
    def asked(self) -> set[int]:
        """The leaves beside which a head stands."""
        return {place for head in self.heads for place in (head.size - 1, head.size)}

    def timeline(self, later: tuple[int, str | None] | None = None) -> Timeline:
        """Its marks, once all segments are placed."""
        spans = {a.segment: (a.first, a.end) for a in self.watch.announced if a.end > a.first}
        return Timeline((mark for result in self.results for mark in result.marks), spans, later, self.broken)

    def place(self, result: SegmentResult) -> list[SegmentResult]:
        """Put it behind those before it. Returns the unproven ones that it drives out, for it is proven; itself, where
        it is not and one of those stands there. What nothing proves at the end of the last proven one gives way too.
        """
        rivals = list(takewhile(lambda r: r.end > result.first, reversed(self.unproven)))
        if rivals and not result.proven:
            return [result]
        for rival in rivals:
            self.unproven.pop()
            del self.results[_place_of(rival, self.results)]
        self.results.append(result)
        if result.proven:
            if self.proven is not None and result.first < self.proven.end:
                self.proven.give_way()
            self.proven = result
        else:
            self.unproven.append(result)
        return rivals[::-1]

    @property
    def first(self) -> int:
        return self.results[0].first if self.results else 0

    @property
    def end(self) -> int:
        return max((r.end for r in self.results), default=0)

    @property
    def withheld(self) -> bool:
        """Whether its last leaf is there, and no evidence yet."""
        return bool(self.results) and self.results[-1].silence.tail >= 0

    def apart(self, start: int, end: int) -> bool:
        """Whether the leaves start <= i < end, which no segment holds, are none that was asked for: of picked segments,
        or of exports side by side, each recording is to be whole, and here one is over and the next begins later.
        """
        if self.scope is not Scope.PICKED or start >= end:
            return False
        states = self.watch.recordings.values()
        return all(
            (state.ended is not None and state.last_index < start) or int(state.recording[1:11]) >= end
            for state in states
        )

    @cached_property
    def of_recording(self) -> dict[str, list[SegmentResult]]:
        """The segments of each recording, once all are placed."""
        found: dict[str, list[SegmentResult]] = {}
        for result in self.results:
            if result.recording is not None:
                found.setdefault(result.recording, []).append(result)
        return found


def _place_of(wanted: SegmentResult, results: list[SegmentResult]) -> int:
    """Where it stands, near the end."""
    return next(i for i in reversed(range(len(results))) if results[i] is wanted)
