"""One log as far as it was given: its segments in order, and what its leaves and others say of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, takewhile

from agent.evidence.cosigned import Cosigned
from agent.evidence.heads import CheckedReceipt, Head
from agent.evidence.held import Elsewhere
from agent.evidence.histories import Beside
from agent.evidence.marks import Timeline
from agent.evidence.segment import SegmentResult
from agent.evidence.sources import Scope
from agent.evidence.watch import LogWatch, RecordingState


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
        or of exports side by side, each recording is to be whole. One before them is over, or nothing given shows that
        it went on: its end may be among them, where it was exported before its end was written. One behind them begins
        later.
        """
        if self.scope is not Scope.PICKED or start >= end:
            return False
        states = self.watch.recordings.values()
        return all(
            int(state.recording[1:11]) >= end
            or (state.last_index < start and (state.ended is not None or not self._went_on(state.recording)))
            or self._whole_before(state, start)
            for state in states
        )

    def _whole_before(self, state: RecordingState, start: int) -> bool:
        """Whether all its parts are before this leaf, though only a session behind it says that it was cut."""
        here = self.of_recording.get(state.recording, ())
        return (
            state.ended == "interrupted" and state.said_parts == state.next_part and all(r.end <= start for r in here)
        )

    def _went_on(self, recording: str) -> bool:
        """Whether a seal leaf or a receipt names a later segment of it than those given; of one of which nothing but
        the start is here, its parts must stand somewhere.
        """
        here = self.of_recording.get(recording)
        if not here:
            return True
        named = [a.segment for a in self.watch.announced]
        named += [stored.segment for checked in self.receipts for stored in checked.receipt.stored]
        return any(name[:20] == recording and int(name[-4:]) > max(r.seq for r in here) for name in named)

    def hidden(self, first: int, end: int) -> bool:
        """Whether any of the leaves first <= i < end was not given."""
        return any(a.end < b.first and a.end < end and first < b.first for a, b in pairwise(self.results))

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
