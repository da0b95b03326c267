"""Receipts and purge notes that are here and cannot be read: nobody knows what they say, so what one may explain is not
proven to be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from agent.evidence.findings import Finding, Sure, What
from agent.evidence.logview import LogView


@dataclass
class UnreadNotes:
    """The names of their files."""

    receipts: list[str] = field(default_factory=list)
    purges: list[str] = field(default_factory=list)

    def left_open(self, findings: Iterable[Finding], views: Sequence[LogView]) -> Iterator[Finding]:
        """All `findings` about these logs; what lacks, as far as the notes may explain it, is open. A purge note may of
        any log, a receipt of a spool's.
        """
        spools = {view.origin for view in views if view.elsewhere is not None}
        ends = {(view.origin, r.name): r.end for view in views for r in view.results if r.blob.is_open}
        for finding in findings:
            files = [*(self.receipts if spools.intersection(finding.of) else ()), *self.purges]
            # The leaves behind an early copy's may be gone like a segment.
            behind = {ends.get((origin, finding.segment or ""), -1) for origin in finding.of}
            lacks = finding.what is What.MISSING_SEGMENT or (
                finding.what is What.MISSING_PARTS and finding.first in behind
            )
            if lacks and files:
                text = f"{finding.text}; {', '.join(files[:8])} cannot be read, and may say where that went"
                finding = replace(finding, text=text, sure=Sure.OPEN)
            yield finding
