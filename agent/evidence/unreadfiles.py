"""Segments that are here, and of which the disk gives no entry: which leaves of a log each may hold, and what lacks of
that log all the same (docs/evidence-format.md, section 8).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from operator import attrgetter
from pathlib import Path

from agent.errors import UnreadableError
from agent.evidence.blobs import Blob, PatientWindow
from agent.evidence.entries import Entries
from agent.evidence.findings import Finding, Sure, What
from agent.evidence.heads import CheckedReceipt
from agent.evidence.layout import Layout
from agent.evidence.logview import LogView
from agent.evidence.purged import NO_LEAF
from agent.evidence.result import SegmentResult
from agent.evidence.unread import recording_of, segment_findings, whole_file
from agent.evidence.watch import Announced
from agent.formats import merkle, pack, span

TOLD = 8
"""Files that a finding names."""
_LOWEST, _BELOW = attrgetter("lowest"), attrgetter("below")


class UnreadFiles:
    """What is told of each, by its name: of which log it is, a seal leaf may say. `paths` hears of all of them."""

    def __init__(self, paths: set[Path]) -> None:
        self.told: dict[str, list[Finding]] = {}
        self._paths = paths
        self._sizes: dict[str, int] = {}
        self._below: dict[str, int] = {}
        self._blobs: dict[str, list[Blob]] = {}

    def add(self, blob: Blob, err: UnreadableError) -> None:
        self.keep(blob, [whole_file(blob, err)])

    def directory(self, path: Path) -> Finding:
        """Of one that cannot be listed."""
        self._paths.add(path)
        text = f"{path}: this directory is here and cannot be listed; nothing is known of what is in it"
        return Finding(What.UNREADABLE, text)

    def add_open(self, blob: Blob, window: PatientWindow, layout: Layout, entries: Entries) -> None:
        """One that can be opened, of which these are all `entries`: none."""
        window.sweep()
        self.keep(blob, segment_findings([], blob.stem, recording_of(blob), window, layout, entries))

    def keep(self, blob: Blob, findings: Iterable[Finding]) -> None:
        same = self.told.setdefault(blob.stem, [])
        same += [finding for finding in findings if finding not in same]
        self._know(blob, merkle.MAX_SIZE)

    def keep_aside(self, result: SegmentResult) -> None:
        """One that is read in part, of which all is told, and in the place of which another was followed."""
        if result.unread is not None:
            self.told.setdefault(result.name, [])
            self._know(result.blob, result.end + result.unread.behind)

    def _know(self, blob: Blob, below: int) -> None:
        """It may hold leaves `below` this one."""
        # Of one name there is one segment, however often it is here; any other name may be that of several.
        known, whole = self._sizes.get(blob.stem, 0), span.LEAST_ENTRY * span.most_entries(blob.most)
        self._sizes[blob.stem] = max(blob.most, known) if pack.SEGMENT_NAME.fullmatch(blob.stem) else known + whole
        self._below[blob.stem] = max(below, self._below.get(blob.stem, 0))
        self._blobs.setdefault(blob.stem, []).append(blob)
        self._paths.add(blob.path)

    def is_read(self, blob: Blob) -> bool:
        """Whether the disk gives all of it: of what it does not give nobody may say that it was being written."""
        try:
            blob.sha256()
        except UnreadableError as err:
            self.add(blob, err)
            return False
        return True

    def named_in(self, receipts: Iterable[CheckedReceipt]) -> list[Blob]:
        """Those that may be what these receipts name."""
        lines = {s.segment: s for checked in receipts for s in checked.receipt.stored if s.segment in self._blobs}
        return [b for name, line in lines.items() for b in self._blobs[name] if span.may_be(line.size, b.most)]

    def place(self, view: LogView) -> None:
        """Have the log know those to which a seal leaf of it, or else a receipt, gives their leaves, as far as their
        bytes reach.
        """
        if not self.told:
            return
        stored = [s for checked in view.receipts for s in checked.receipt.stored if s.segment in self.told]
        # One that is too short for what a station has is not here instead of that.
        view.broken |= self.told.keys() - {s.segment for s in stored if not span.may_be(s.size, self._sizes[s.segment])}
        lines = {
            s.segment: Announced(s.segment, s.size, s.sha256, s.first, s.end, NO_LEAF)
            for s in stored
            if s.entries and span.may_be(s.size, self._sizes[s.segment])
        }
        lines |= {a.segment: a for a in view.watch.announced if a.segment in self.told}
        view.unread = {name: replace(line, end=self._reach(name, line)) for name, line in lines.items()}

    def _reach(self, name: str, line: Announced) -> int:
        """Up to which leaf the file of this name may be the segment of this line."""
        size = self._sizes[name]
        fits = line.end if span.may_be(line.size, size) else min(line.end - 1, line.first + span.most_entries(size))
        return max(line.first, min(fits, self._below[name]))

    def of_log(self, view: LogView, found: Iterable[Finding]) -> list[Finding]:
        """Those that seal leaves of this log name, once; and what is `found` of it. Leaves that lack, and that no seal
        leaf gives to a segment, may lie in those that nothing gives a place, or where one was read in part.
        """
        given = list(found)
        lacks = any(finding.what is What.MISSING_SEGMENT for finding in given)
        if lacks and (self.told or any(r.unread is not None for r in view.results)):
            given = list(self._left_open(view, given))
        sealed = {name for name, line in view.unread.items() if line.leaf != NO_LEAF}
        return [finding for name in sorted(sealed & self.told.keys()) for finding in self.told.pop(name)] + given

    def _left_open(self, view: LogView, found: Iterable[Finding]) -> Iterator[Finding]:
        sealed = {a.segment for a in view.watch.announced}
        rooms, held, beside = _Rooms(self._rooms(view)), _Rooms(_held(view)), view.beside_unread
        for finding in found:
            if finding.what is not What.MISSING_SEGMENT or finding.first is None or finding.segment in sealed:
                yield finding
                continue
            first, end = finding.first, 1 + (finding.last if finding.last is not None else finding.first)
            since = view.given_before(first)
            most, names = rooms.within(since, first, end)
            for name, count in (at for leaf in {first, end - 1} for at in beside.get(leaf, ())):
                most, names = most + count, [*names, name]
            others = held.within(since, first, end)[0] if 0 < most < end - first else 0
            yield _with_doubt(finding, end - first, most, others, sorted(set(names))[:TOLD])

    def _rooms(self, view: LogView) -> Iterator[_Room]:
        sizes = {name: self._sizes[name] for name in self.told if name not in view.unread}
        below = {name: self._below[name] for name in sizes}
        for checked in view.receipts if sizes else ():
            for stored in (s for s in checked.receipt.stored if s.segment in sizes):
                sizes[stored.segment] = min(sizes[stored.segment], stored.size)
                below[stored.segment] = min(checked.head.size, below[stored.segment])
        for name, size in sizes.items():
            lowest = span.lowest(name) if pack.SEGMENT_NAME.fullmatch(name) else 0
            yield _Room(name, lowest, below[name], min(span.most_entries(size), below[name] - lowest))


def _held(view: LogView) -> Iterator[_Room]:
    """Of a spool, what it no longer has and nothing given has a place for: any of it may lie beside those."""
    if view.elsewhere is not None:
        for name, lowest, below, most in view.elsewhere.may_hold(view.known):
            yield _Room(name, lowest, below, min(most, below - lowest))


def _with_doubt(finding: Finding, count: int, most: int, others: int, names: Sequence[str]) -> Finding:
    """Of `count` leaves, of which at most `most` may lie in these, and `others` in what a receipt or a deletion leaf
    names.
    """
    if not most:
        return finding
    here = f"in {', '.join(names)}, which cannot be read"
    if most + others < count:
        return replace(finding, text=f"{finding.text}; at most {most} of them are {here}")
    beside = f", and {count - most} of them in what a receipt or a deletion leaf names" if most < count else ""
    return replace(finding, text=f"{finding.text}; or they are {here}{beside}", sure=Sure.OPEN)


@dataclass(frozen=True, slots=True)
class _Room:
    """Leaves that one may hold by its name and its bytes: at most `most`, from `lowest` on, all of them `below`."""

    name: str
    lowest: int
    below: int
    most: int

    @property
    def is_event(self) -> bool:
        """Its first leaf is `lowest`."""
        return self.name.startswith("e") and pack.SEGMENT_NAME.fullmatch(self.name) is not None


class _Rooms:
    """All of them, so that each of many runs asks for its own alone."""

    def __init__(self, rooms: Iterable[_Room]) -> None:
        ordered = sorted((room for room in rooms if room.most > 0), key=_LOWEST)
        self._events, self._others = [r for r in ordered if r.is_event], [r for r in ordered if not r.is_event]
        self._sums = [[0, *accumulate(room.most for room in kind)] for kind in (self._events, self._others)]
        self._over = sorted(self._others, key=_BELOW)
        self._sums_over = [0, *accumulate(room.most for room in self._over)]
        self._reach = [0, *accumulate((room.below for room in self._others), max)]

    def within(self, since: int, first: int, end: int) -> tuple[int, list[str]]:
        """How many of the leaves first <= i < end they may hold, no fewer, and the names of the first of those that may
        hold any. From `since` up to there no other segment stands.
        """
        low, high = (bisect_left(self._events, leaf, key=_LOWEST) for leaf in (since, end))
        most, names = (
            self._sums[0][high] - self._sums[0][low],
            [r.name for r in self._events[low : min(high, low + TOLD)]],
        )
        high, over = bisect_left(self._others, end, key=_LOWEST), bisect_right(self._over, first, key=_BELOW)
        most += min(self._sums[1][high] - self._sums_over[over], max(0, self._reach[high] - first))
        names += islice((room.name for room in islice(self._others, high) if room.below > first), TOLD)
        return most, names
