"""Logs of which no segment is given, though a card or a station that was given has had them
(docs/evidence-format.md, section 8, "Not given at all").
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from agent.evidence.bylog import ByLog, OfLog
from agent.evidence.epochs import begun, elsewhere, ended
from agent.evidence.epochwatch import EpochWatch
from agent.evidence.findings import Finding, Sure, What, about, spoken
from agent.evidence.given import Given
from agent.evidence.heads import CheckedReceipt, Head
from agent.evidence.held import Run
from agent.evidence.logview import LogView
from agent.evidence.sources import Scope
from agent.evidence.unreadfiles import UnreadFiles
from agent.evidence.watch import LogWatch
from agent.evidence.words import order

TOLD = 8
"""Segments, or logs, that a finding names."""


class Absent:
    """Once all logs of which segments are given were checked: these are `views`. `nameless` are segments that name no
    log, and may be of any.
    """

    def __init__(
        self, given: Given, by_log: ByLog, views: Sequence[LogView], unread: UnreadFiles, nameless: Sequence[str]
    ) -> None:
        self._given, self._views, self._unread, self._nameless = given, views, unread, nameless
        # By camera: there may be as many logs as receipts.
        self._same, self._receipts = dict[str, list[LogView]](), dict[str, list[CheckedReceipt]]()
        for view in sorted(views, key=lambda view: order(view.origin)):
            self._same.setdefault(order(view.origin)[0], []).append(view)
        for checked in given.receipts:
            self._receipts.setdefault(order(checked.receipt.origin)[0], []).append(checked)
        # Of the log that another follows, that one says what lacks.
        known = {view.origin for view in views} | {log for view in views if (log := _followed(view)) is not None}
        claimed = given.on_cards | given.at_stations
        self.views = [self._view(origin, by_log.of(origin)) for origin in sorted(claimed - known, key=order)]
        """What is known of each."""

    def _view(self, origin: str, of: OfLog) -> LogView:
        watch, (stem, _) = LogWatch(EpochWatch(origin)), order(origin)
        same = self._same.get(stem, [])
        on_card = origin in self._given.on_cards or any(view.elsewhere is not None for view in same)
        others = elsewhere(origin, self._receipts.get(stem, []), same) if on_card else None
        heads = [head for head in of.heads if not head.asked]
        view = LogView(origin, [], watch, heads, of.receipts, Scope.WHOLE, others, purges=of.purges)
        self._unread.place(view)
        return view

    def tell(self) -> Iterator[Finding]:
        """Where their leaves are, or that they are missing."""
        for view in self.views:
            head = max(view.heads, key=lambda head: head.size)
            found = self._unread.of_log(view, [*view.purged.tell(), *_tell(view, head)])
            begin, end = self._when(view.origin)
            for finding in about(found, view.origin):
                if self._nameless and finding.what is What.MISSING_SEGMENT:
                    names = ", ".join(self._nameless[:TOLD])
                    text = f"{finding.text}; or they are in {names}, of which nothing tells of which log it is"
                    finding = replace(finding, text=text, sure=Sure.OPEN)
                yield spoken(finding, begin, end) if finding.fails else finding

    def _when(self, origin: str) -> tuple[str | None, str | None]:
        """The times of the last leaf of the epoch before it that is given, and of the first of the one after."""
        stem, number = order(origin)
        same = self._same.get(stem, [])
        at = bisect_left(same, number, key=lambda view: order(view.origin)[1])
        return ended(same[at - 1]) if at else None, begun(same[at]) if at < len(same) else None

    def tell_unasked(self, given: Collection[str | None]) -> Iterator[Finding]:
        """Later heads of logs of which nothing is `given`, and nothing is asked."""
        known = {*given, *(view.origin for view in self.views)}
        known |= {view.watch.epochs.link.follows.origin for view in self._views if view.watch.epochs.link is not None}
        named = {head.origin: head for head in self._given.heads if not head.asked and head.size}
        others = sorted(named.keys() - known, key=order)
        if others:
            more = f" and {len(others) - TOLD} more" if len(others) > TOLD else ""
            which = ", ".join(f"{origin} by {named[origin].source}" for origin in others[:TOLD])
            text = f"of these logs no segment is given, and none is asked for: {which}{more}"
            yield Finding(What.UNCHECKED, text, of=tuple(others))


def _followed(view: LogView) -> str | None:
    """The log that this one says it follows, where all of it is asked for."""
    link = view.watch.epochs.link
    return link.follows.origin if link is not None and view.scope is Scope.WHOLE else None


def _tell(view: LogView, head: Head) -> Iterator[Finding]:
    runs = [Run(0, head.size)] if head.size else []
    if view.elsewhere is not None and head.size:
        runs = list(view.elsewhere.runs(0, head.size, None, "", ()))
    names = sorted({stored.segment for checked in view.receipts for stored in checked.receipt.stored})
    named = f", and receipts name {', '.join(names[:TOLD])}" if names else ""
    for run in runs:
        if run.who:
            text = f"the log {view.origin} is not present here; {run.told}"
            yield Finding(What.HELD_ELSEWHERE, text, first=run.first, last=run.end - 1, sure=run.sure)
            continue
        for start, stop in view.purged.without(run.first, run.end):
            for first, end in view.unread_spans.without(start, stop):
                text = (
                    f"{end - first} leaves of the log {view.origin}, of which no segment is given; {head.told} shows "
                    f"that they exist{named}"
                )
                yield Finding(What.MISSING_SEGMENT, text, first=first, last=end - 1)
