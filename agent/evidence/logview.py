"""One log as far as it was given: its segments in order, and what its leaves and others say of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise, takewhile
from math import inf

from agent.evidence.candidates import Together
from agent.evidence.cosigned import Cosigned
from agent.evidence.heads import CheckedReceipt, Head
from agent.evidence.held import Elsewhere
from agent.evidence.histories import Beside
from agent.evidence.keptheads import Kept
from agent.evidence.marks import Timeline
from agent.evidence.purged import NO_LEAF, CheckedPurge, Purged, standing
from agent.evidence.result import SegmentResult, holding
from agent.evidence.sources import Scope
from agent.evidence.watch import Announced, LogWatch, RecordingState


@dataclass
class LogView:
    """One log as far as it was given: its segments in order, what its leaves say, and what others say of it.

    `broken` names files of which not one entry could be read; `unread` are those of them that the disk does not give,
    with the leaves that a seal leaf or a receipt gives them, as far as their bytes reach. `proven` is the last segment
    placed of which a trusted signature proves anything, `unproven` are those placed of which none does: each ends where
    the next may begin. Its leaves were followed to the `cosigned` heads, of as many leaves or more. `beside` it lie
    other histories. `followed` are trees (size, root) that a segment with an entry says to continue, or that the
    identity key signed beside them. Of a spool, `elsewhere` says who has what is no longer in it; the station's notes
    in `purges` say what it deleted, and the heads that were `kept` vouch for what led to it. `together` says which
    segments one export has.
    """

    origin: str
    results: list[SegmentResult]
    watch: LogWatch
    heads: list[Head]
    receipts: list[CheckedReceipt]
    scope: Scope
    elsewhere: Elsewhere | None = None
    broken: set[str] = field(default_factory=set)
    unread: Mapping[str, Announced] = field(default_factory=dict)
    proven: SegmentResult | None = None
    unproven: list[SegmentResult] = field(default_factory=list)
    cosigned: list[Cosigned] = field(default_factory=list)
    beside: Beside = field(default_factory=Beside)
    followed: set[tuple[int, bytes]] = field(default_factory=set)
    purges: list[CheckedPurge] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    together: Together = field(default_factory=Together)
    _end: int | None = None

    @cached_property
    def asked(self) -> set[int]:
        """The leaves beside which a head stands."""
        return {place for head in self.heads for place in (head.size - 1, head.size)}

    @cached_property
    def purged(self) -> Purged:
        """What its purge notes explain, once all segments are placed."""
        return Purged(self.purges, self.results, self.watch.announced)

    @cached_property
    def behind(self) -> dict[Announced, str]:
        """Of a spool, behind its last leaf: the segments to which a receipt gives their leaves, and who has each."""
        if self.elsewhere is None:
            return {}
        others = [*self.watch.announced, *self.purged.unsealed]
        names, placed = {one.segment for one in others}, (Announced(*line, NO_LEAF) for line in self.elsewhere.placed())
        last = self.results[-1:]
        lines = [
            line
            for line in placed
            if line.segment not in names
            and (line.first >= self.end or any(r.is_early(line.segment, line.first) for r in last))
        ]
        found = standing(lines, self.results, others)
        who = {line: self.elsewhere.of(line.segment, line.sha256) for line in found}
        return {line: told for line, told in who.items() if told}

    @cached_property
    def behind_spans(self) -> Beside:
        """The leaves of those."""
        return Beside.over((line.first, line.end) for line in self.behind)

    @cached_property
    def unread_spans(self) -> Beside:
        """The leaves of what the disk does not give."""
        return Beside.over((line.first, line.end) for line in self.unread.values() if line.end > line.first)

    @cached_property
    def here(self) -> list[tuple[int, int]]:
        """Leaves first <= i < end that are here, read or not, in order. Once all segments are placed."""
        spans = Beside.over((r.first, r.end) for r in self.results)
        for first, end in self.unread_spans.spans:
            spans.add(first, end)
        return spans.spans

    def given_before(self, index: int) -> int:
        """Where what is known to stand before this leaf ends. A file in open/ may be a copy that was made early, and
        what it is of goes on behind it. Once all segments are placed.
        """
        spans = self._closed.spans
        at = bisect_right(spans, index, key=lambda one: one[0])
        return min(spans[at - 1][1], index) if at else 0

    @cached_property
    def _closed(self) -> Beside:
        known = [(r.first, r.end) for r in self.results if not r.blob.is_open]
        return Beside.over([*known, *((a.first, a.end) for a in self.watch.announced if a.end > a.first)])

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
        gives_way = result.proven and self.proven is not None and result.first < self.proven.end
        self._end = None if self._end is None or rivals or gives_way else max(self._end, result.end)
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
        if self._end is None:
            self._end = max((r.end for r in self.results), default=0)
        return self._end

    @property
    def withheld(self) -> bool:
        """Whether its last leaf is there, and no evidence yet."""
        return bool(self.results) and self.results[-1].silence.tail >= 0

    def apart(self, start: int, end: int) -> bool:
        """Whether the leaves start <= i < end, which no segment holds, are none that was asked for: of picked segments,
        or of exports side by side, each recording is to be whole. One before them is over, or nothing given shows that
        it went on: its end may be among them, where it was exported before its end was written. One behind them begins
        later. Once all segments are placed.

        An export is of the recording that begins in the first of its segments in which one does, or that is of one.
        Its last ones may have the beginning of the next, and the first may say how the one before was cut: it asks for
        neither, but where it lies on both sides. What was purged is not looked for: what lacks begins behind it.
        """
        lacks = next(self.purged.without(start, end), None) if self.scope is Scope.PICKED else None
        if lacks is None:
            return False
        start = lacks[0]
        begins, over = self._recordings_claimed
        if _joined(self._in_exports, start, end):
            begins, over = self._recordings_exported
        elif _joined(self._in_any, start, end):
            begins, over = self._recordings
        before = bisect_left(begins, end)
        return before == 0 or over[before - 1] <= start

    def left_out(self, state: RecordingState) -> bool:
        """Whether leaves between the start of this recording and its last one are none that was asked for."""
        hole = self._hole(int(state.recording[1:11]), state.last_index)
        return hole is not None and self.apart(*hole)

    def went_on(self, state: RecordingState) -> bool:
        """Whether this recording has no end here, and a later segment of it is named that no note explains."""
        named = state.ended is None and self._went_on(state.recording)
        return named and state.recording not in self.purged.recordings

    @cached_property
    def _in_any(self) -> tuple[list[int], list[int]]:
        return _reaches(self.together.spans)

    @cached_property
    def _in_exports(self) -> tuple[list[int], list[int]]:
        return _reaches(self.together.exports)

    @cached_property
    def _recordings(self) -> tuple[list[int], list[float]]:
        """The start leaf of each recording, in order, and from which leaf on it and all before it are over."""
        return self._until_over(self.watch.recordings.values())

    @cached_property
    def _recordings_exported(self) -> tuple[list[int], list[float]]:
        """The same, where one export has segments on both sides: it would have the end of each."""
        return self._until_over(self.watch.recordings.values(), exported=True)

    @cached_property
    def _recordings_claimed(self) -> tuple[list[int], list[float]]:
        """The same, of those that are asked for on one side alone."""
        return self._until_over(self.claimed)

    @cached_property
    def claimed(self) -> list[RecordingState]:
        """Recordings that are asked for where segments or exports were given: where of each of `together` the first
        segment that is of one, or has the start of one, is of it, or has its start. Other events in front of that claim
        nothing.
        """
        starts = (holding(self.results, int(name[1:11])) for name in self.watch.recordings)
        begins = {r.first for r in starts if r is not None}
        claim = [r for r in self.results if r.recording is not None or r.first in begins]
        ahead = [bisect_right(claim, low, key=lambda r: r.end) for low, _ in self.together.spans]
        spans = zip(ahead, self.together.spans, strict=True)
        leading = [claim[at] for at, (_, high) in spans if at < len(claim) and claim[at].first <= high]
        firsts, own = {r.first for r in leading}, {r.recording for r in leading}

        def is_own(state: RecordingState) -> bool:
            begins_in = holding(self.results, int(state.recording[1:11]))
            return state.recording in own or (begins_in is not None and begins_in.first in firsts)

        return [state for state in self.watch.recordings.values() if is_own(state)]

    def _until_over(self, states: Iterable[RecordingState], exported: bool = False) -> tuple[list[int], list[float]]:
        ordered = sorted((int(state.recording[1:11]), self._over(state, exported)) for state in states)
        return [begin for begin, _ in ordered], list(accumulate((over for _, over in ordered), max))

    def _over(self, state: RecordingState, exported: bool) -> float:
        """From which leaf on it asks for none; infinity where its end must be somewhere. One all of whose parts are
        here is over with them, though only a session behind it says that it was cut; one that was purged with that.
        `exported`: without an end one is asked for, whether anything names more of it or not.
        """
        here = self.of_recording.get(state.recording, ())
        last = max(state.last_index + 1, self.purged.recordings.get(state.recording, (-1, 0))[1])
        lacks = state.recording not in self.purged.recordings if exported else self._went_on(state.recording)
        over = last if state.ended is not None or not lacks else inf
        if state.ended == "interrupted" and state.said_parts == state.next_part:
            over = min(over, max((r.end for r in here), default=0))
        return over

    def _went_on(self, recording: str) -> bool:
        """Whether a seal leaf or a receipt names a later segment of it than those given or purged; of one of which
        nothing but the start is here, its parts must stand somewhere.
        """
        here, (purged, _) = self.of_recording.get(recording, ()), self.purged.recordings.get(recording, (-1, 0))
        last = max((r.seq for r in here), default=purged)
        return last < 0 or self._last_named.get(recording, -1) > max(last, purged)

    @cached_property
    def _last_named(self) -> dict[str, int]:
        """The highest number of a segment of each recording that a seal leaf or a receipt names."""
        named = [a.segment for a in self.watch.announced]
        named += [stored.segment for checked in self.receipts for stored in checked.receipt.stored]
        found: dict[str, int] = {}
        for name in named:
            if name.startswith("r"):
                found[name[:20]] = max(found.get(name[:20], -1), int(name[21:]))
        return found

    @property
    def beside_unread(self) -> dict[int, list[tuple[str, int]]]:
        """By a leaf beside them, the segments read in part that may have it, and how many leaves from there on at most:
        the one behind its last, and the one before its first where its header, which tells that, is lost.
        """
        found: dict[int, list[tuple[str, int]]] = {}
        for result in self.results:
            if result.unread is not None:
                if result.unread.behind:
                    found.setdefault(result.end, []).append((result.name, result.unread.behind))
                if result.unread.before and result.before is None:
                    found.setdefault(result.first - 1, []).append((result.name, result.unread.before))
        return found

    def hidden(self, first: int, end: int) -> bool:
        """Whether any of the leaves first <= i < end was not given. Once all segments are placed."""
        return self._hole(first, end) is not None

    def _hole(self, first: int, end: int) -> tuple[int, int] | None:
        """The first of those that has any of these leaves."""
        at = bisect_right(self._holes, first, key=lambda hole: hole[1])
        return self._holes[at] if at < len(self._holes) and self._holes[at][0] < end else None

    @cached_property
    def _holes(self) -> list[tuple[int, int]]:
        """Leaves start <= i < end between segments that are in none, in order."""
        return [(a.end, b.first) for a, b in pairwise(self.results) if a.end < b.first]

    @cached_property
    def known(self) -> set[str]:
        """The names of segments that are here, or of which a seal leaf or a purge note tells. Once all are placed."""
        named = [*self.watch.announced, *self.purged.unsealed]
        return {r.name for r in self.results} | {a.segment for a in named} | self.broken

    def settled_after(self, index: int) -> int | None:
        """The first leaf that is written only when the first session behind this leaf of which any is given had said
        what was cut before it.
        """
        at = bisect_right(self._settling, index)
        return self.watch.settled[self._settling[at]] if at < len(self._settling) else None

    @cached_property
    def _settling(self) -> list[int]:
        return sorted(self.watch.settled)

    def sealed_at(self, index: int) -> str | None:
        """The segment that has this leaf, by a seal leaf."""
        at = bisect_right(self._sealed, index, key=lambda a: a.first)
        return self._sealed[at - 1].segment if at and index < self._sealed[at - 1].end else None

    @cached_property
    def _sealed(self) -> list[Announced]:
        return sorted((a for a in self.watch.announced if a.end > a.first), key=lambda a: a.first)

    def last_held(self, recording: str, start: int) -> int:
        """The highest number of a segment of this recording that ends up to this leaf; -1 where there is none."""
        ends, numbers = self._numbers.get(recording, ((), ()))
        at = bisect_right(ends, start)
        return numbers[at - 1] if at else -1

    @cached_property
    def _numbers(self) -> dict[str, tuple[Sequence[int], Sequence[int]]]:
        """Of each recording the ends of its segments, in order, and the highest number up to each."""
        found: dict[str, tuple[Sequence[int], Sequence[int]]] = {}
        for recording, here in self.of_recording.items():
            ordered = sorted(here, key=lambda r: r.end)
            found[recording] = [r.end for r in ordered], list(accumulate((r.seq for r in ordered), max))
        return found

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


def _reaches(spans: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Where each begins, in order, and where the last segment of it or of one before it does."""
    ordered = sorted(spans)
    return [low for low, _ in ordered], list(accumulate((high for _, high in ordered), max))


def _joined(reaches: tuple[list[int], list[int]], start: int, end: int) -> bool:
    """Whether segments on both sides of the leaves start <= i < end were given together."""
    lows, highs = reaches
    before = bisect_left(lows, start)
    return before > 0 and highs[before - 1] >= end
