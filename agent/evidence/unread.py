"""What the disk does not give of evidence: told as that, and as no damage, for nobody knows what stands there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import attrgetter

from agent.errors import UnreadableError
from agent.evidence.blobs import Blob, Window, said_of
from agent.evidence.entries import Entries
from agent.evidence.findings import Finding, What
from agent.evidence.layout import Layout
from agent.formats import pack, span

MOST = 100
"""Stretches of one segment that are told one by one; what is behind them is told as one."""
_OFFSET = attrgetter("offset")


@dataclass(frozen=True, slots=True)
class Hidden:
    """Of a segment read in part: how many entries, at most, may stand where nothing was read, in front of the first one
    found and behind the last.
    """

    before: int
    behind: int

    @classmethod
    def by(cls, lost: Iterable[tuple[int, int]], layout: Layout) -> Hidden:
        """`lost` are bytes, begin <= i < end."""
        members = [m for m in layout.members if m.index >= 0]
        first, last = min((m.offset for m in members), default=0), max((m.end for m in members), default=0)
        before = behind = 0
        for begin, end in lost:
            before += _most_in(min(end, first) - begin)
            behind += _most_in(end - max(begin, last))
        return cls(before, behind)


def _most_in(count: int) -> int:
    """Of so many lost bytes: of the first and the last entry a part is enough, that of one with the names."""
    return span.most_entries(count) + 1 if count > 0 else 0


def whole_file(blob: Blob, err: UnreadableError) -> Finding:
    """Of a segment none of which could be read."""
    text = f"the file is here and cannot be read: {said_of(blob.path, err)}; nothing is known of its leaves"
    return Finding(What.UNREADABLE, text, blob.stem, recording_of(blob))


def recording_of(blob: Blob) -> str | None:
    """By its name."""
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
