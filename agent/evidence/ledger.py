"""The accounts of a verified log: its proven leaves once more, with the bodies that a key opens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from agent import events
from agent.errors import EvidenceError, KeyTrustError
from agent.evidence.accounts import Book, Powered
from agent.evidence.findings import Finding, Sure, What
from agent.evidence.gaps import LogView
from agent.evidence.opening import Opened, SegmentOpener
from agent.evidence.verify import Report
from agent.formats import age
from agent.formats import leaf as leaves
from agent.model import NS

Progress = Callable[[str, int], None]


@dataclass
class LogAccounts:
    """The boots of one log, in its order."""

    origin: str
    boots: list[Powered] = field(default_factory=list)


def accounts_of(
    report: Report, identities: Sequence[age.Identity] = (), progress: Progress = lambda name, count: None
) -> list[LogAccounts]:
    """The accounts of each log of a report; each second that no leaf speaks for is added to its findings. Raises
    KeyTrustError where identities are given, and open no event.
    """
    found = [_Reader(log, report, identities, progress).run() for log in report.logs]
    for accounts in found:
        report.findings += _unaccounted(accounts)
    return found


class _Reader:
    """One log; a leaf that is not proven is as good as missing."""

    def __init__(self, log: LogView, report: Report, identities: Sequence[age.Identity], progress: Progress) -> None:
        self._log, self._report, self._identities, self._progress = log, report, identities, progress
        self._opened = 0
        self._refused = ""

    def run(self) -> LogAccounts:
        book = Book()
        for result in self._log.results:
            with result.blob.reader() as window:
                opener = SegmentOpener(window, self._identities)
                for index in sorted(result.sound):
                    leaf = opener.leaf(index)
                    if leaf is not None:
                        book.leaf(leaf, self._body(opener, leaf, result.name))
                        self._progress(result.name, leaf.common.sealed.size)
        if self._identities and self._refused and not self._opened:
            raise KeyTrustError(self._refused, "name the identity file of one of the recipients")
        return LogAccounts(self._log.origin, book.close())

    def _body(self, opener: SegmentOpener, leaf: leaves.Leaf, segment: str) -> events.Told | None:
        if not self._identities or isinstance(leaf, leaves.MediaLeaf):
            return None
        opened = opener.entry(leaf.common.index)
        if opened.data is None:
            self._refused = self._refused or opened.problem
            return None
        self._opened += 1
        try:
            return events.parse(json.loads(opened.data))
        except EvidenceError as err:
            self._report.findings.append(_strange(opened, segment, err))
            return None


def _strange(opened: Opened, segment: str, err: EvidenceError) -> Finding:
    text = f"the sealed body of this leaf is not what the format page says: {err.message}"
    recording = opened.leaf.recording if opened.leaf else None
    return Finding(What.UNCHECKED, text, segment, recording, opened.index)


def _unaccounted(accounts: LogAccounts) -> Iterator[Finding]:
    for powered in accounts.boots:
        sealed, boot = powered.sealed_events, powered.boot[:8]
        doubt = f"; {sealed} events were not opened, and may say more" if sealed else ""
        for account in powered.unaccounted:
            sure = Sure.LIKELY if sealed else account.sure
            begin_s, end_s, length_s = (ns / NS for ns in (account.begin_ns, account.end_ns, account.length_ns))
            span = f"{begin_s:.3f} to {end_s:.3f} s after the start of the kernel of boot {boot}"
            text = f"{length_s:.3f} s are not accounted for, {span}, {sure.value}: {account.reason}{doubt}"
            yield Finding(What.UNACCOUNTED, text, when=powered.when(account.begin_ns), sure=sure)
