"""Whether a range holds what it says: its parts from first to last, every leaf between them, start and end."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise

from agent.evidence.findings import UNSAID, Finding, What
from agent.evidence.heads import Head
from agent.evidence.marks import Timeline
from agent.evidence.rangeview import RangeView
from agent.evidence.told import REPORT, Told
from agent.formats.leaf import Kind

_Span = tuple[int | None, int | None]


def whole_range(view: RangeView, told: Told) -> Iterator[Finding]:
    """Everything that the range says it holds and does not. What a finding of its own accuses is not told again."""
    return _Whole(view, told).findings()


def timed(view: RangeView, findings: Iterable[Finding]) -> Iterator[Finding]:
    """With times and parts; what is about no leaf of its own, and not about an export as such, has those of all parts
    that are proven.
    """
    marks = view.marks.marks()
    timeline, parts = Timeline(marks), tuple(m for m in marks if view.proven[m.index].part is not None)
    for finding in findings:
        yield finding if finding.first is None and finding.what in UNSAID else timeline.placed(finding, parts)


class _Whole:
    def __init__(self, view: RangeView, told: Told) -> None:
        self._view, self._told = view, told
        self._parts = {x.part: i for i, x in view.proven.items() if x.part is not None}
        self._timeline = Timeline(view.marks.marks())
        self._accused = sorted(view.accused)
        self._here = sorted({*view.proven, *view.accused})

    def findings(self) -> Iterator[Finding]:
        told, parts = self._told, self._parts
        others = {x.recording or "" for x in self._view.proven.values() if x.part is not None} - {told.recording}
        if others:
            text = f"{REPORT} names the recording {told.recording[:40]}, its parts are of "
            yield self._found(What.ALTERED_EXPORT, text + ", ".join(sorted(others)[:3]))
            return
        yield from self._start_and_end()
        yield from self._runs()
        yield from self._left_out()
        if parts and (told.first, told.last) == (min(parts), max(parts)):
            text = f"only parts {told.first} to {told.last} are here"
            text += "; what was before, after or beside them is not proven"
            yield self._found(What.OUTSIDE, text, parts=(told.first, told.last))

    def _found(self, what: What, text: str, leaves: _Span = (None, None), parts: _Span = (None, None)) -> Finding:
        return Finding(
            what,
            f"{self._view.name}: {text}",
            recording=self._told.recording,
            first=leaves[0],
            last=leaves[1],
            part_first=parts[0],
            part_last=parts[1],
        )

    def _start_and_end(self) -> Iterator[Finding]:
        view, told, start = self._view, self._told, self._start
        first = view.proven.get(start)
        if start not in view.accused and (
            first is None or (first.kind, first.recording) != (Kind.START, told.recording)
        ):
            text = "the recording's start leaf is not here, or not proven"
            yield self._found(What.MISSING_PARTS, text, (start, None))
        state = view.watch.recordings.get(told.recording)
        if state is not None and state.ended and state.said_parts != told.last + 1:
            text = f"its {state.ended} leaf says {state.said_parts} parts, {REPORT} ends with part {told.last}"
            yield self._found(What.MISSING_PARTS, text, (state.last_index, None))

    @property
    def _start(self) -> int:
        """Where the start leaf belongs."""
        return int(self._told.recording[1:11])

    # -- parts -----------------------------------------------------------------------------------------------------

    def _runs(self) -> Iterator[Finding]:
        """Parts that the report names and that are not proven; and the reverse."""
        told, parts = self._told, self._parts
        for number in sorted(n for n in parts if not told.first <= n <= told.last):
            text = f"{REPORT} names parts {told.first} to {told.last}, and not this one"
            yield self._found(What.ALTERED_EXPORT, text, (parts[number], None), (number, number))
        at = told.first
        for number in [*sorted(n for n in parts if told.first <= n <= told.last), told.last + 1]:
            if number > at:
                yield from self._hole(at, number)
            at = number + 1

    def _hole(self, at: int, number: int) -> Iterator[Finding]:
        """Parts at <= n < number are not proven; nearest beside them the leaves of what stands around them."""
        told = self._told
        where = "the range is shortened at its beginning" if at == told.first else "the range has a hole"
        where = "the range is shortened at its end" if number > told.last and at > told.first else where
        text = f"{where}: {REPORT} names parts {told.first} to {told.last}, these are not here or not proven"
        before, after = self._around(at, number)
        for first, last in self._unaccused(at, number, before, after):
            yield self._timeline.between(self._found(What.MISSING_PARTS, text, parts=(first, last)), before, after)

    def _around(self, at: int, number: int) -> tuple[int | None, int | None]:
        """The proven leaves between which these parts were written; None where nothing proven bounds them."""
        proven = self._view.proven
        before, after = self._parts.get(at - 1), self._parts.get(number)
        if at == self._told.first:
            before = max((i for i in proven if i <= self._start), default=None)
        if number > self._told.last:
            ends = (i for i, x in proven.items() if x.kind in (Kind.STOP, Kind.RECOVERY))
            after = min((i for i in ends if proven[i].recording == self._told.recording), default=None)
        if before is not None and after is not None and before > after:
            before, after = after, before
        while before is not None and before + 1 in proven and before + 1 != after:
            before += 1
        while after is not None and after - 1 in proven and after - 1 != before:
            after -= 1
        return before, after

    def _unaccused(self, at: int, number: int, before: int | None, after: int | None) -> list[tuple[int, int]]:
        """Runs of these parts, without those that entries which are here and not proven say they are. Of entries that
        do not say what they are each may be one.
        """
        low = 0 if before is None else bisect_right(self._accused, before)
        high = len(self._accused) if after is None else bisect_left(self._accused, after)
        claims = [self._view.accused[i] for i in self._accused[low:high]]
        runs, first = [], at
        for claimed in [*sorted({n for n in claims if n is not None and at <= n < number}), number]:
            if claimed > first:
                runs.append((first, claimed - 1))
            first = claimed + 1
        return runs if sum(last + 1 - first for first, last in runs) > claims.count(None) else []

    # -- other leaves ----------------------------------------------------------------------------------------------

    def _left_out(self) -> Iterator[Finding]:
        """Indexes without a leaf between two parts that follow each other: an event was left out."""
        for one, other in pairwise(sorted(self._parts)):
            begin, end = self._parts[one], self._parts[other]
            if other != one + 1 or begin >= end:
                continue
            for left, right in pairwise(self._here[bisect_left(self._here, begin) : bisect_right(self._here, end)]):
                first, last = left + 1, right - 1
                if first < last:
                    text = f"leaves {first} to {last}, between parts {one} and {other}, are not here"
                elif first == last:
                    text = f"leaf {first}, between parts {one} and {other}, is not here"
                else:
                    continue
                yield self._found(What.MISSING_PARTS, text, (first, last))


def tell_head(view: RangeView, asked: Head) -> Finding | None:
    """A later head that the user named: a range holds no path from its own to that one."""
    head = view.head.head
    if head is None or head.point.origin != asked.origin:
        return None
    if head.point.size != asked.size:
        text = (
            f"{view.name} stands on {head.told}; {asked.told} was not compared, for no path leads from one to the other"
        )
        return Finding(What.UNCHECKED, text)
    if head.point.root == asked.root:
        return None
    return Finding(What.FORK, f"{asked.told} signs another history than {head.told}, on which {view.name} stands")
