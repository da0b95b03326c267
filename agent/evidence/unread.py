"""What the disk does not give of evidence: told as that, and as no damage, for nobody knows what stands there."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

from agent.errors import UnreadableError
from agent.evidence.blobs import Blob, PatientWindow, Window, said_of
from agent.evidence.entries import Entries
from agent.evidence.findings import Finding, Sure, What
from agent.evidence.layout import Layout
from agent.formats import pack

MOST = 100
"""Stretches of one segment that are told one by one; what is behind them is told as one."""
_OFFSET = attrgetter("offset")
_LACKS = frozenset({What.MISSING_PARTS, What.MISSING_SEGMENT, What.SEAL_MISMATCH})


def whole_file(blob: Blob, err: UnreadableError) -> Finding:
    """Of a segment none of which could be read."""
    text = f"the file is here and cannot be read: {said_of(blob.path, err)}; nothing is known of its leaves"
    return Finding(What.UNREADABLE, text, blob.stem, _recording_of(blob))


def _recording_of(blob: Blob) -> str | None:
    return blob.stem[:20] if blob.stem.startswith("r") and pack.SEGMENT_NAME.fullmatch(blob.stem) else None


def segment_findings(
    found: Iterable[Finding], name: str, recording: str | None, window: Window, layout: Layout, entries: Entries
) -> list[Finding]:
    """The findings of one segment, for parts of which zeros were read: one for each such stretch, in the place of those
    that may come of it.
    """
    rest, spans = list(found), window.lost
    if len(spans) > MOST:
        spans = [*spans[: MOST - 1], (spans[MOST - 1][0], spans[-1][1])]
    told = []
    for begin, end in spans:
        near = _Near(begin, end, layout, entries)
        mine = [f for f in rest if f.fails and near.explains(f)]
        rest = [f for f in rest if f not in mine]
        said = f"bytes {begin} to {end - 1} cannot be read: {window.why}; nothing is known of what stands there"
        finding = Finding(What.UNREADABLE, said, name, recording, near.first, near.last, offset=begin)
        own = [f for f in mine if f.first == near.first and f.part_first is not None]
        if own and near.first == near.last:
            finding = replace(finding, part_first=own[0].part_first, when=own[0].when, bounds=own[0].bounds)
        told.append(finding)
    return [*told, *rest]


class _Near:
    """The entries that a stretch of zeros may have hidden or spoiled, by its place among those that were found."""

    def __init__(self, begin: int, end: int, layout: Layout, entries: Entries) -> None:
        self._begin, self._end = begin - pack.BLOCK, end + pack.BLOCK
        members = [m for m in layout.members if m.index >= 0]
        before = max((m for m in members if m.offset < begin), key=_OFFSET, default=None)
        after = min((m for m in members if m.offset >= end), key=_OFFSET, default=None)
        self._head = before is None
        hit = {m.index for m in members if m.offset < end and m.end > begin}
        highest = after.index if after is not None else max((m.index for m in members), default=-1)
        lowest = before.index if before is not None else highest + 1
        between = (i for i in range(lowest, highest + 1) if len(entries.slots.get(i, {})) < 3)
        # Behind the last entry nobody knows how many there were.
        self._open = after is None and bool(members) and end > max(m.end for m in members)
        self.indexes = hit.union(between)

    @property
    def first(self) -> int | None:
        return min(self.indexes, default=None)

    @property
    def last(self) -> int | None:
        return max(self.indexes, default=None) if len(self.indexes) > 1 else self.first

    def explains(self, finding: Finding) -> bool:
        """Whether it may come of these bytes. Of what stands before the entries all may, that fails in a segment."""
        if self._head or (finding.offset is not None and self._begin <= finding.offset < self._end):
            return True
        if finding.first is None:
            return False
        last = finding.last if finding.last is not None else finding.first
        return any(finding.first <= i <= last for i in self.indexes) or (
            self._open and finding.what in (What.TRUNCATED_SEGMENT, What.MISSING_PARTS)
        )


class UnreadFiles:
    """Segments of which no entry can be read, and what is told of each, by its name: of which log it is, a seal leaf
    may say. `paths` hears of all of them.
    """

    def __init__(self, paths: set[Path]) -> None:
        self.told: dict[str, list[Finding]] = {}
        self._paths = paths

    def add(self, blob: Blob, err: UnreadableError) -> None:
        self.keep(blob, [whole_file(blob, err)])

    def add_open(self, blob: Blob, window: PatientWindow, layout: Layout, entries: Entries) -> None:
        """One that can be opened, of which these are all `entries`: none."""
        window.sweep()
        self.keep(blob, segment_findings([], blob.stem, _recording_of(blob), window, layout, entries))

    def keep(self, blob: Blob, findings: Iterable[Finding]) -> None:
        same = self.told.setdefault(blob.stem, [])
        same += [finding for finding in findings if finding not in same]
        self._paths.add(blob.path)

    def is_read(self, blob: Blob) -> bool:
        """Whether the disk gives all of it: of what it does not give nobody may say that it was being written."""
        try:
            blob.sha256()
        except UnreadableError as err:
            self.add(blob, err)
            return False
        return True

    def of_log(
        self, sealed: Set[str], partly: Mapping[int | None, Sequence[str]], lacks: Iterable[Finding]
    ) -> list[Finding]:
        """Those that seal leaves of a log name, once; and what is told of this log, where it is not in any of these or
        in segments read in part (`partly`, by the leaves beside them that may be theirs).
        """
        unread = {*self.told, *(name for names in partly.values() for name in names)}
        found = list(_without_lacks(lacks, unread, sealed, self.told.keys() - sealed, partly))
        return [finding for name in sorted(sealed & self.told.keys()) for finding in self.told.pop(name)] + found


def _without_lacks(
    findings: Iterable[Finding],
    unread: Container[str | None],
    sealed: Set[str],
    unplaced: Collection[str],
    partly: Mapping[int | None, Sequence[str]],
) -> Iterator[Finding]:
    """What a log lacks, but what lies in the `unread` segments, which are here. What no seal leaf gives to a segment,
    and may lie in one that is `unplaced` or was read in part (`partly`, by leaves beside it), is not proven to be
    missing.
    """
    for finding in findings:
        if finding.what not in _LACKS:
            yield finding
        elif finding.what is What.MISSING_SEGMENT and finding.segment not in sealed and finding.segment not in unread:
            beside = [name for leaf in (finding.first, finding.last) for name in partly.get(leaf, ())]
            names = ", ".join(sorted({*unplaced, *beside})[:8])
            text = f"{finding.text}; or they are in {names}, which cannot be read"
            yield replace(finding, text=text, sure=Sure.OPEN) if names else finding
        elif finding.segment not in unread:
            yield finding
