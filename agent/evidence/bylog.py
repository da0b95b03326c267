"""What was given, by the log that it is about: there may be as many logs as heads, receipts and notes."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.evidence.cosigned import Cosigned
from agent.evidence.given import Given
from agent.evidence.heads import CheckedReceipt, Head
from agent.evidence.keptheads import Kept
from agent.evidence.logview import LogView
from agent.evidence.purged import CheckedPurge


@dataclass
class OfLog:
    """Of one log. `following` are the logs that say of themselves that they follow it, the newest first."""

    heads: list[Head] = field(default_factory=list)
    receipts: list[CheckedReceipt] = field(default_factory=list)
    cosigned: list[Cosigned] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    purges: list[CheckedPurge] = field(default_factory=list)
    following: list[LogView] = field(default_factory=list)


class ByLog:
    """Made when all is read but the segments."""

    def __init__(self, given: Given) -> None:
        self._logs: dict[str, OfLog] = {}
        for head in given.heads:
            self.of(head.origin).heads.append(head)
        for checked in given.receipts:
            self.of(checked.receipt.origin).receipts.append(checked)
        for one in given.cosigned:
            self.of(one.origin).cosigned.append(one)
        for led in given.kept:
            self.of(led.head.origin).kept.append(led)
        for purge in given.purges:
            self.of(purge.note.origin).purges.append(purge)

    def of(self, origin: str) -> OfLog:
        """What there is of this log."""
        return self._logs.setdefault(origin, OfLog())

    def follows(self, view: LogView) -> None:
        """A log whose segments are placed, for the one that it says it follows."""
        link = view.watch.epochs.link
        if link is not None:
            self.of(link.follows.origin).following.append(view)
