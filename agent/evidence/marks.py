"""When, and which part: what the proven leaves around a finding say of it where its own leaf cannot."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.evidence.findings import Finding, spoken, when
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from agent.formats.merkle import MAX_SIZE

NO_PARTS = (0, -1)
KEPT_KINDS = frozenset({Kind.SESSION, Kind.START, Kind.STOP, Kind.RECOVERY, Kind.SHUTDOWN})


@dataclass(frozen=True, slots=True)
class Mark:
    """A proven leaf. Of `recording`, None where the leaves do not tell, parts before this leaf have numbers below
    `below`, and `newest` is the highest with it.
    """

    index: int
    stamp: leaves.Stamp
    recording: str | None = None
    newest: int = -1
    below: int = 0

    @property
    def time(self) -> str | None:
        return when(self.stamp)


class Keeper:
    """Hears the proven leaves of one segment in order and keeps those that a finding may be laid between: the first
    and the last, also of media, those beside a gap, and those that are `asked` for. So memory grows with what is wrong
    and with the number of segments, not with that of leaves.
    """

    def __init__(self, *asked: Container[int | None]) -> None:
        self._asked = asked
        self._kept: dict[int, Mark] = {}
        self._last: Mark | None = None
        self._last_part: Mark | None = None

    def hear(self, leaf: leaves.Leaf) -> None:
        """The next proven leaf; between it and the one heard before there may be a gap."""
        last, index = self._last, leaf.common.index
        gap = last is None or last.index + 1 != index
        mark, media = _marked(leaf, None if gap else last), isinstance(leaf, leaves.MediaLeaf)
        if gap and last is not None:
            self._keep(last)
        kind = leaf.kind if isinstance(leaf, leaves.EventLeaf) else None
        if gap or kind in KEPT_KINDS or any(index in a for a in self._asked) or (media and self._last_part is None):
            self._keep(mark)
        self._last = mark
        if media:
            self._last_part = mark

    def marks(self) -> tuple[Mark, ...]:
        """What is kept, in order."""
        for mark in (self._last_part, self._last):
            if mark is not None:
                self._keep(mark)
        return tuple(self._kept[index] for index in sorted(self._kept))

    def _keep(self, mark: Mark) -> None:
        self._kept[mark.index] = mark


def _marked(leaf: leaves.Leaf, before: Mark | None) -> Mark:
    """`before` is the leaf just before, None where that is not known."""
    index, stamp = leaf.common.index, leaf.common.stamp
    if isinstance(leaf, leaves.MediaLeaf):
        return Mark(index, stamp, leaf.recording, leaf.part, leaf.part)
    if leaf.kind is Kind.START:
        return Mark(index, stamp, leaf.recording)
    if leaf.recording and (leaf.kind is Kind.STOP or leaf.facts.get("interrupted") is True):
        parts = leaf.facts.get("parts")
        known = leaf.recording if type(parts) is int else None
        return Mark(index, stamp, known, parts - 1, parts) if type(parts) is int else Mark(index, stamp, known)
    if before is None or before.recording is None:
        return Mark(index, stamp)
    return Mark(index, stamp, before.recording, before.newest, before.newest + 1)


class Timeline:
    """The marks of one log. `spans` are the leaves (first, end) that seal leaves give to segments by name; `later` is a
    leaf of a later log that was written after all leaves below a size of this one: (size, time). `broken` names files
    of which nothing could be read.
    """

    def __init__(
        self,
        marks: Iterable[Mark],
        spans: Mapping[str, tuple[int, int]] | None = None,
        later: tuple[int, str | None] | None = None,
        broken: Container[str | None] = (),
    ) -> None:
        self._marks = sorted(marks, key=lambda m: m.index)
        self._sealed = sorted((spans or {}).values())
        self._indexes = [m.index for m in self._marks]
        self._told = [m for m in self._marks if m.recording is not None]
        self._told_indexes = [m.index for m in self._told]
        self._spans, self._later, self._broken = spans or {}, later, broken

    def placed(self, finding: Finding, own: Sequence[Mark] = ()) -> Finding:
        """A failing finding with its time and its parts; any other as it is. `own` are the marks of the segment that
        it names, and stand for the whole of it where it names no leaf.
        """
        if not finding.fails:
            return finding
        if finding.first is None and own:
            return self._timed(finding, *self._whole(own))
        if finding.first is None:
            return self._by_seal(finding)
        last = finding.last if finding.last is not None else finding.first
        return self._numbered(self._timed(finding, finding.first, last), finding.first, last)

    def between(self, finding: Finding, before: int | None, after: int | None) -> Finding:
        """With the times of these proven leaves as its bounds; None leaves it open."""
        one = self._before(before) if before is not None else None
        other = self._after(after) if after is not None else None
        return spoken(finding, one.time if one else None, other.time if other else None)

    def _whole(self, own: Sequence[Mark]) -> tuple[int, int]:
        """First and last leaf of a segment with these marks: its seal leaf also knows those that are lost."""
        first, last = own[0].index, own[-1].index
        at = bisect_right(self._sealed, (first, MAX_SIZE)) - 1
        if at >= 0 and self._sealed[at][1] > last:
            return self._sealed[at][0], self._sealed[at][1] - 1
        return first, last

    def _by_seal(self, finding: Finding) -> Finding:
        """A file of which nothing is proven stands where a seal leaf has the segment of its name; of one that could not
        be read these are the leaves that are lost.
        """
        span = self._spans.get(finding.segment or "")
        if span is None:
            return finding
        if finding.segment in self._broken:
            return self.placed(replace(finding, first=span[0], last=span[1] - 1))
        return self._timed(finding, span[0], span[1] - 1)

    # -- when ------------------------------------------------------------------------------------------------------

    def _timed(self, finding: Finding, first: int, last: int) -> Finding:
        if finding.when is not None:
            return finding
        begin, end = self._at(first), self._at(last)
        if begin is not None and end is not None and begin.time and end.time:
            return spoken(finding, begin.time, end.time, exact=True)
        before, after = self._before(first), self._after(last)
        return spoken(finding, before.time if before else None, after.time if after else self._afterwards(last))

    def _afterwards(self, last: int) -> str | None:
        return self._later[1] if self._later is not None and last < self._later[0] else None

    def _at(self, index: int) -> Mark | None:
        at = bisect_left(self._indexes, index)
        return self._marks[at] if at < len(self._marks) and self._indexes[at] == index else None

    def _before(self, index: int) -> Mark | None:
        """The last one at this leaf or before it."""
        at = bisect_right(self._indexes, index)
        return self._marks[at - 1] if at else None

    def _after(self, index: int) -> Mark | None:
        """The first one at this leaf or after it."""
        at = bisect_left(self._indexes, index)
        return self._marks[at] if at < len(self._marks) else None

    # -- which part ------------------------------------------------------------------------------------------------

    def _numbered(self, finding: Finding, first: int, last: int) -> Finding:
        """The parts that stand at these leaves, where the numbers before and after leave one reading."""
        at = bisect_left(self._told_indexes, last)
        if finding.part_first is not None or at == len(self._told):
            return finding
        after = self._told[at]
        before = self._part_before(after, first)
        if before is None or (finding.recording or after.recording) != after.recording:
            return finding
        low, high = self._held(before, after, first, last) or self._missing(before, after, first, last)
        return replace(finding, part_first=low, part_last=high if high > low else None) if low <= high else finding

    def _held(self, before: Mark, after: Mark, first: int, last: int) -> tuple[int, int] | None:
        """Of leaves that begin and end with proven ones."""
        if after.index != last:
            return None
        if before.index == first:
            return before.below, after.newest
        inner = self._told[bisect_left(self._told_indexes, first)]
        proven = inner.recording == after.recording and self._count(first, inner.index) == inner.index - first
        return (inner.below, after.newest) if proven else NO_PARTS

    def _missing(self, before: Mark, after: Mark, first: int, last: int) -> tuple[int, int]:
        """Of leaves that are not proven: all between the two marks, or some of them where each must be a part."""
        if self._told[bisect_left(self._told_indexes, first)].index <= last:
            return NO_PARTS
        unknown = self._unknown(before.index + 1, after.index)
        own, earlier = self._unknown(max(first, before.index + 1), last + 1), self._unknown(before.index + 1, first)
        if own == unknown:
            return before.newest + 1, after.below - 1
        if after.below - before.newest - 1 == unknown:
            return before.newest + 1 + earlier, before.newest + earlier + own
        return NO_PARTS

    def _count(self, first: int, end: int) -> int:
        """Marks among the leaves first <= i < end."""
        return bisect_left(self._indexes, end) - bisect_left(self._indexes, first)

    def _unknown(self, first: int, end: int) -> int:
        return max(0, end - first) - (self._count(first, end) if end > first else 0)

    def _part_before(self, after: Mark, first: int) -> Mark | None:
        """The last mark of the same recording up to leaf `first`; where there is none its start, after which its parts
        are numbered from 0, is as good.
        """
        at = bisect_right(self._told_indexes, first)
        if at and self._told[at - 1].recording == after.recording:
            return self._told[at - 1]
        start = int((after.recording or "")[1:11])
        return replace(after, index=start, newest=-1, below=0) if start < after.index else None
