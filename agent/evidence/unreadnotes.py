"""Receipts, purge notes, exports and directories that are here and cannot be read: nobody knows what they say or hold,
so what one may explain is not proven to be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from agent.evidence.blobs import Blob, blob_at
from agent.evidence.findings import Finding, Sure, What
from agent.evidence.logview import LogView
from agent.evidence.sources import Sources
from agent.formats import span
from agent.formats.merkle import MAX_SIZE
from agent.formats.purge import LEAST_PURGE
from agent.formats.receipt import LEAST_RECEIPT

TOLD = 8
"""Files that a finding names."""


@dataclass
class UnreadNotes:
    """The names of their files, but for those that are too short to be any. `at_home` are receipts that lie where their
    own station keeps them, and excuse nothing.
    """

    receipts: list[str] = field(default_factory=list)
    at_home: list[str] = field(default_factory=list)
    purges: list[str] = field(default_factory=list)
    holders: list[tuple[str, int]] = field(default_factory=list)
    """Proofs of exports and directories, which may hold all of these, and segments: so many leaves at most."""

    def add_holders(self, sources: Sources) -> None:
        """Those that were found, which hold most first."""
        self.holders += [(str(path), MAX_SIZE) for path in sources.unlisted]
        self.holders += [(path.name, span.most_entries(blob_at(path).most)) for path in sources.unread]
        self.holders.sort(key=lambda holder: -holder[1])

    def add_receipt(self, blob: Blob, at_home: bool = False) -> None:
        if blob.most >= LEAST_RECEIPT:
            (self.at_home if at_home else self.receipts).append(blob.name)

    def add_purge(self, blob: Blob) -> None:
        if blob.most >= LEAST_PURGE:
            self.purges.append(blob.name)

    @property
    def vouching(self) -> str:
        """Receipts that may show what a station saw, in words; empty where there are none."""
        return ", ".join([*self.receipts[:TOLD], *self.at_home[:TOLD]][:TOLD])

    def left_open(self, findings: Iterable[Finding], views: Iterable[LogView]) -> Iterator[Finding]:
        """All `findings` about these logs; what lacks, as far as the notes may explain it, is open. A purge note may of
        any log, but for event segments, a receipt of a spool's.
        """
        views = list(views)
        spools = {view.origin for view in views if view.elsewhere is not None}
        ends = {(view.origin, r.name): r.end for view in views for r in view.results if r.blob.is_open}
        for finding in findings:
            name = finding.segment or ""
            # The leaves behind an early copy's may be gone like a segment.
            lacks = finding.what is What.MISSING_SEGMENT or (
                finding.what is What.MISSING_PARTS
                and finding.first is not None
                and any(ends.get((origin, name), -1) == finding.first for origin in finding.of)
            )
            receipts = self.receipts[:TOLD] if lacks and not spools.isdisjoint(finding.of) else []
            purges = self.purges[:TOLD] if lacks and not name.startswith("e") else []
            count = 1 + (finding.last or 0) - (finding.first or 0)
            holders = [name for name, most in self.holders[:TOLD] if most >= count] if lacks else []
            if receipts or purges or holders:
                files = ", ".join([*receipts, *purges, *holders][:TOLD])
                text = f"{finding.text}; {files} cannot be read, and may say where that went"
                text += " or have it" if holders else ""
                finding = replace(finding, text=text, sure=Sure.OPEN)
            yield finding
