"""Segments that are here, and of which the disk gives no entry: which leaves of a log each may hold, and what lacks of
that log all the same (docs/evidence-format.md, section 8).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from agent.errors import UnreadableError
from agent.evidence.blobs import Blob, PatientWindow
from agent.evidence.entries import Entries
from agent.evidence.findings import Finding, Sure, What
from agent.evidence.layout import Layout
from agent.evidence.logview import LogView
from agent.evidence.purged import NO_LEAF
from agent.evidence.unread import recording_of, segment_findings, whole_file
from agent.evidence.watch import Announced
from agent.formats import merkle, pack, span

TOLD = 8
"""Files that a finding names."""


class UnreadFiles:
    """What is told of each, by its name: of which log it is, a seal leaf may say. `paths` hears of all of them."""

    def __init__(self, paths: set[Path]) -> None:
        self.told: dict[str, list[Finding]] = {}
        self._paths = paths
        self._sizes: dict[str, int] = {}

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
        self._sizes[blob.stem] = max(blob.most, self._sizes.get(blob.stem, 0))
        self._paths.add(blob.path)

    def is_read(self, blob: Blob) -> bool:
        """Whether the disk gives all of it: of what it does not give nobody may say that it was being written."""
        try:
            blob.sha256()
        except UnreadableError as err:
            self.add(blob, err)
            return False
        return True

    def place(self, view: LogView) -> None:
        """Have the log know those to which a seal leaf of it, or else a receipt, gives their leaves, as far as their
        bytes reach.
        """
        view.broken |= self.told.keys()
        if not self.told:
            return
        lines = {
            s.segment: Announced(s.segment, s.size, s.sha256, s.first, s.end, NO_LEAF)
            for checked in view.receipts
            for s in checked.receipt.stored
            if s.entries and s.segment in self.told and span.may_be(s.size, self._sizes[s.segment])
        }
        lines |= {a.segment: a for a in view.watch.announced if a.segment in self.told}
        view.unread = {name: replace(line, end=_reach(line, self._sizes[name])) for name, line in lines.items()}

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
        own = {room.name: room for room in self._rooms(view)}
        rooms, beside = _Rooms(own.values()), view.beside_unread
        for finding in found:
            if finding.what is not What.MISSING_SEGMENT or finding.first is None or finding.segment in sealed:
                yield finding
                continue
            first, end = finding.first, 1 + (finding.last if finding.last is not None else finding.first)
            room = own.get(finding.segment or "")
            if room is not None and room.most >= end - first and room.lowest <= first and end <= room.below:
                continue  # it is here
            most, names = rooms.within(first, end)
            for name, count in (at for leaf in {first, end - 1} for at in beside.get(leaf, ())):
                most, names = most + count, [*names, name]
            yield _with_doubt(finding, end - first, most, sorted(set(names))[:TOLD])

    def _rooms(self, view: LogView) -> Iterator[_Room]:
        sizes = {name: self._sizes[name] for name in self.told if name not in view.unread}
        below = dict[str, int]()
        for checked in view.receipts if sizes else ():
            for stored in (s for s in checked.receipt.stored if s.segment in sizes):
                sizes[stored.segment] = min(sizes[stored.segment], stored.size)
                below[stored.segment] = min(checked.head.size, below.get(stored.segment, merkle.MAX_SIZE))
        for name, size in sizes.items():
            lowest = span.lowest(name) if pack.SEGMENT_NAME.fullmatch(name) else 0
            yield _Room(name, lowest, below.get(name, merkle.MAX_SIZE), span.most_entries(size))


def _reach(line: Announced, size: int) -> int:
    """Up to which leaf a file of so many bytes may be the segment of this line."""
    if span.may_be(line.size, size):
        return line.end
    return max(line.first, min(line.end - 1, line.first + span.most_entries(size)))


def _with_doubt(finding: Finding, count: int, most: int, names: Sequence[str]) -> Finding:
    """Of `count` leaves, of which at most `most` may lie in these."""
    if not most:
        return finding
    here = f"in {', '.join(names)}, which cannot be read"
    if most < count:
        return replace(finding, text=f"{finding.text}; at most {most} of them are {here}")
    return replace(finding, text=f"{finding.text}; or they are {here}", sure=Sure.OPEN)


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
        ordered = sorted((room for room in rooms if room.most), key=lambda room: room.lowest)
        self._kinds = [[r for r in ordered if r.is_event], [r for r in ordered if not r.is_event]]
        self._sums = [[0, *accumulate(room.most for room in kind)] for kind in self._kinds]

    def within(self, first: int, end: int) -> tuple[int, list[str]]:
        """How many of the leaves first <= i < end they may hold, no fewer, and the names of the first of those that may
        hold any.
        """
        most, names = 0, list[str]()
        for kind, sums, lowest in zip(self._kinds, self._sums, (first, 0), strict=True):
            low, high = (bisect_left(kind, leaf, key=lambda room: room.lowest) for leaf in (lowest, end))
            most += sums[high] - sums[low]
            names += [room.name for room in kind[low : min(high, low + TOLD)]]
        return most, names
