"""The findings of one object, as many as are worth keeping: whoever made the evidence decides how many there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.evidence.findings import Finding, What, merged

MOST = 1_000
"""Findings that are kept about one range; the others are counted."""
MOST_OF_SEGMENT = 5_000
"""The same of one segment, before runs of one cause are joined: more than a day of events has."""


@dataclass
class Tally:
    """Where `joined`, runs of one cause over neighbouring leaves are one finding as they come."""

    most: int = MOST
    joined: bool = True
    kept: list[Finding] = field(default_factory=list)
    left_out: int = 0
    fails: bool = False
    _left_out_fails: bool = False

    def tell(self, finding: Finding) -> None:
        """The next one."""
        self.fails = self.fails or finding.fails
        if self.joined and self.left_out == 0 and self.kept and finding.follows(self.kept[-1]):
            self.kept[-1:] = merged([self.kept[-1], finding])
        elif len(self.kept) < self.most:
            self.kept.append(finding)
        else:
            self.left_out += 1
            self._left_out_fails = self._left_out_fails or finding.fails

    def tell_all(self, findings: Iterable[Finding]) -> None:
        """The next ones."""
        for finding in findings:
            self.tell(finding)

    def told(self, name: str, segment: str | None = None) -> list[Finding]:
        """Those that were kept, and in one more how many were not; `name` is that of the object."""
        if not self.left_out:
            return list(self.kept)
        what = What.MORE_FINDINGS if self._left_out_fails else What.UNCHECKED
        noun = "finding" if self.left_out == 1 else "findings"
        text = f"{name}: and {self.left_out} more {noun}, which are counted and not listed"
        return [*self.kept, Finding(what, text, segment)]
