"""What a spool no longer has, and who is said to have it: segments that a receipt or a deletion leaf names.

A seal leaf gives the segment before it its leaves. Where that leaf is gone too, there is the name alone: of an event
segment its first leaf, of a recording's its start leaf and its number; and the size, which bounds how many leaves it
can hold, where the receipt's line does not say which it holds (docs/evidence-format.md, section 8, "Held elsewhere").
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from agent.evidence.findings import Sure
from agent.evidence.heads import CheckedReceipt
from agent.formats import merkle, span
from agent.formats.receipt import Receipt, Stored


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a deletion leaf says of a segment."""

    sha256: str
    receipt: str
    where: str

    @property
    def told(self) -> str:
        """Who has it, in words."""
        return f"deleted by the camera: {self.where} names it, and the receipt {self.receipt[:16]}"


@dataclass(frozen=True, slots=True)
class Run:
    """Leaves first <= i < end, in no segment given: `who` has them, in words, or nobody is known to. Then `segment` is
    the one that lacks, where its name follows from others'. `sure`: receipts give each of these leaves to a segment.
    """

    first: int
    end: int
    who: str = ""
    segment: str | None = None
    sure: Sure = Sure.LIKELY

    @property
    def told(self) -> str:
        """Who has them, and by what that is known."""
        by = "their names and sizes" if self.sure is Sure.LIKELY else "the leaves that these say they hold"
        return f"by the segments in receipts or deletion leaves, and {by}: {self.who}"


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    most: int
    """Leaves that it can hold."""
    end: int
    """No leaf of it is at this one or later: the smallest log that a station cosigned as it took the segment."""
    who: str
    leaves: tuple[int, int] | None = None
    """From which leaf on and up to which end it holds them, where a receipt says it."""

    @property
    def lowest(self) -> int:
        """Its first leaf; of a recording's segment one that is no later, where no receipt says which it is."""
        return self.leaves[0] if self.leaves else span.lowest(self.name)

    def reach(self, reach: int, begin: int) -> int:
        """Up to where it can have held the leaves from `begin` on, which the ones before it leave from `reach` on."""
        if self.leaves:
            return self.leaves[1]
        return min((self.lowest if self.is_event else max(reach, begin)) + self.most, self.end)

    @property
    def is_event(self) -> bool:
        return self.name.startswith("e")

    @property
    def order(self) -> tuple[int, int]:
        return (int(self.name[1:11]), 0) if self.is_event else (int(self.name[1:11]) + 1, 1 + int(self.name[-4:]))


class _Ordered:
    """Segments by a place that each has: of many gaps each looks at its own alone."""

    def __init__(self, placed: Iterable[tuple[int, _Named]]) -> None:
        ordered = sorted(placed, key=lambda item: item[0])
        self._at, self._named = [at for at, _ in ordered], [one for _, one in ordered]

    def __bool__(self) -> bool:
        return bool(self._named)

    def within(self, first: int, end: int) -> list[_Named]:
        """Those at first <= i < end."""
        return self._named[bisect_left(self._at, first) : bisect_left(self._at, end)]


class Of(Enum):
    """Of which log a receipt is, as seen from one."""

    OWN = "this"
    LATER = "a later one of the camera"
    OTHER = "another"
    """Or of a station whose own directory is given: it does not excuse what lacks there."""


class Elsewhere:
    """Of one log: who has a segment that is not given. `receipts` are all there are, each as one of this log, or of a
    later one of the camera, which says what it kept of this; `deletions` likewise. Nobody is asked for them before
    something is missing: not all of it is known earlier, and of most logs nothing is.
    They do not say of which log a segment is: they count for those that no receipt names, and a later log's only where
    the digest is known.
    """

    def __init__(
        self,
        receipts: Callable[[], Iterable[tuple[CheckedReceipt, Of]]],
        deletions: Callable[[], Iterable[tuple[Mapping[str, Deleted], Of]]],
    ) -> None:
        self._receipts, self._deletions = receipts, deletions
        self._sizes: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        self._leaves: dict[str, tuple[int, int]] = {}

    @cached_property
    def _named(self) -> dict[tuple[str, str], str]:
        """By name and digest: who has it, in words."""
        found, receipts = dict[tuple[str, str], str](), list(self._receipts())
        receipted = {(s.segment, s.sha256) for c, _ in receipts for s in (*c.receipt.stored, *c.receipt.kept)}
        for checked, of in receipts:
            told = checked.receipt
            # What an earlier epoch had is kept: of this log a later one says so.
            for stored in _lines(told, of):
                if of is Of.OWN:
                    ends = self._ends.get(stored.segment, checked.head.size)
                    self._ends[stored.segment] = min(checked.head.size, ends)
                    if stored.entries:
                        leaves = stored.first, stored.end
                        self._leaves[stored.segment] = min(leaves, self._leaves.get(stored.segment, leaves))
                found.setdefault((stored.segment, stored.sha256), held_by(told.station))
                self._sizes[stored.segment] = max(stored.size, self._sizes.get(stored.segment, 0))
        for segments, of in self._deletions():
            for name, gone in segments.items():
                if (name, gone.sha256) in receipted:
                    continue
                found.setdefault((name, gone.sha256), gone.told)
                # It tells no size: where no seal leaf does, no more than the segment's first leaf follows from it.
                if of is Of.OWN:
                    self._sizes.setdefault(name, span.LEAST_ENTRY)
        return found

    def of(self, name: str, sha256: str) -> str | None:
        """Who has exactly these bytes."""
        return self._named.get((name, sha256))

    def excusing(self, here: Container[str]) -> list[CheckedReceipt]:
        """The receipts that say who has a segment which is not `here`."""
        return [c for c, of in self._receipts() if any(one.segment not in here for one in _lines(c.receipt, of))]

    def placed(self) -> Iterator[tuple[str, int, str, int, int]]:
        """Name, size, digest, first leaf and end of those that a receipt of this log names with their leaves."""
        for told in (checked.receipt for checked, of in self._receipts() if of is Of.OWN):
            yield from ((s.segment, s.size, s.sha256, s.first, s.end) for s in told.stored if s.entries)

    def may_hold(self, here: Container[str]) -> Iterator[tuple[str, int, int, int]]:
        """Of those that are not `here`: the name, a leaf before which it has none, one from which on it has none, and
        how many it has at most.
        """
        for one in (one for one in self._placed if one.name not in here):
            first, end = one.leaves or (one.lowest, one.end)
            yield one.name, first, end, min(one.most, end - first)

    def runs(
        self,
        first: int,
        end: int,
        before: str | None,
        after: str | None,
        here: Container[str],
        early: int | None = None,
    ) -> Iterator[Run]:
        """The leaves first <= i < end, which lie between the segments `before` and `after` (of which the log's first
        has none; None also for one whose name nothing tells), and of which no seal leaf tells: cut up at what no
        segment named can have held. Where `before` is there as a copy that was made while it grew, `early` is its
        first leaf: a receipt may give it leaves that follow.
        """
        rest, holes = self._rest_of(before, early, first), list[Run]()
        found = [*rest, *self._between(first, end, before, here)]
        reach, last, low = first, before, first
        for one in [*found, None]:
            name = one.name if one is not None else after
            begin = max(first, one.lowest) if one is not None else end
            lacks = _lacking(last, name) if one is None or one not in rest else None
            if begin > reach or lacks is not None:
                start = reach if begin > reach else min(low, end - 1)
                holes.append(Run(start, max(start + 1, begin), segment=lacks or None))
            if one is not None:
                reach, last = max(reach, begin, one.reach(reach, begin)), one.name
                low = one.leaves[1] if one.leaves else begin + 1
        who = ", ".join(sorted({one.who for one in found}))
        sure = Sure.PROVEN if all(one.leaves for one in found) else Sure.LIKELY
        at = first
        for hole in holes:
            if hole.first > at:
                yield Run(at, hole.first, who, sure=sure)
            yield hole
            at = max(at, hole.end)
        if at < end:
            yield Run(at, end, who, sure=sure)

    def _between(self, first: int, end: int, before: str | None, here: Container[str]) -> list[_Named]:
        """Those named that can lie there, in order."""
        found = self._events.within(first, end)
        found += (one for one in self._recordings.within(first, end) if one.lowest < end)
        for one in self._following(first, before):
            if one.lowest < end:
                found.append(one)
        return sorted((one for one in found if one.name not in here), key=lambda one: one.order)

    def _rest_of(self, before: str | None, early: int | None, first: int) -> list[_Named]:
        """The segment itself of which a copy has the leaves from `early` on up to `first`, where it goes on behind."""
        if before is None or early is None:
            return []
        return [
            one
            for one in self._placed
            if one.name == before and one.leaves and one.leaves[0] == early and one.leaves[1] > first
        ]

    def _following(self, first: int, before: str | None) -> list[_Named]:
        """Of recordings that began before leaf `first`, what can stand behind the segment `before`."""
        if before is None or not self._recordings:
            return []
        if before.startswith("e"):
            return self._recordings.within(int(before[1:11]), first)
        start = int(before[1:11])
        if start >= first:
            return []
        return [
            one
            for one in self._recordings.within(start, start + 1)
            if one.name[:20] == before[:20] and int(one.name[-4:]) > int(before[-4:])
        ]

    @cached_property
    def _placed(self) -> list[_Named]:
        """All of which a place is known, each name once."""
        names = {name: who for (name, _), who in self._named.items() if name in self._sizes}
        return [
            _Named(
                name,
                max(1, self._sizes[name] // span.LEAST_ENTRY),
                self._ends.get(name, merkle.MAX_SIZE),
                who,
                self._leaves.get(name),
            )
            for name, who in names.items()
        ]

    @cached_property
    def _events(self) -> _Ordered:
        return _Ordered((one.lowest, one) for one in self._placed if one.is_event)

    @cached_property
    def _recordings(self) -> _Ordered:
        """By their start leaf."""
        return _Ordered((int(one.name[1:11]), one) for one in self._placed if not one.is_event)


def _lines(told: Receipt, of: Of) -> Sequence[Stored]:
    """What it says of a log, as that sees it."""
    return told.stored if of is Of.OWN else told.kept if of is Of.LATER else ()


def held_by(station: str) -> str:
    """Who has what a receipt names, in words."""
    return f"held by station {station}, by its receipt"


def can_hold(name: str, first: int, end: int) -> bool:
    """Whether any of the leaves first <= i < end can be of this segment, by its name alone."""
    lowest = _Named(name, 1, end, "").lowest
    return lowest < end and (name.startswith("r") or lowest >= first)


def _lacking(before: str | None, name: str | None) -> str | None:
    """The segment that must stand between two neighbours, "" where it is several or only its kind is known; None where
    none must. A recording begins behind an event segment, which has its start leaf; its segments follow one another.
    """
    if name is None or not name.startswith("r"):
        return None
    number = int(name[-4:])
    if number:
        wanted = f"{name[:20]}-{number - 1:04d}"
        if before == wanted:
            return None
        # Others of it lack too, unless the one before that is there.
        here = int(before[-4:]) if before is not None and before[:20] == name[:20] else -1
        return wanted if here == number - 2 else ""
    return None if before is not None and before.startswith("e") else ""
