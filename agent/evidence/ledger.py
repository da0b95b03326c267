"""The accounts of verified logs: their proven leaves once more, with the bodies that a key opens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from agent import events
from agent.errors import EvidenceError, KeyTrustError, UnreadableError
from agent.evidence.accounts import Book, Powered
from agent.evidence.findings import Finding, Sure, What
from agent.evidence.logview import LogView
from agent.evidence.offtime import bound_by_receipts
from agent.evidence.opening import Opened, SegmentOpener
from agent.evidence.result import SegmentResult
from agent.evidence.unread import whole_file
from agent.evidence.verify import Report
from agent.formats import age
from agent.formats import leaf as leaves
from agent.formats.epoch import split
from agent.model import NS

Progress = Callable[[str, int], None]


@dataclass
class CameraAccounts:
    """The boots of one camera, in the order of its logs. `camera` is what all epochs of its logs share."""

    camera: str
    boots: list[Powered] = field(default_factory=list)


def accounts_of(
    report: Report, identities: Sequence[age.Identity] = (), progress: Progress = lambda name, count: None
) -> list[CameraAccounts]:
    """The accounts of each camera of a report; each second that no leaf speaks for is added to its findings. Where
    identities are given, and open no event, that is noted, and the report is `locked`.
    """
    cameras: dict[str, list[tuple[int, LogView]]] = {}
    for log in report.logs:
        stem, epoch = _split(log.origin)
        cameras.setdefault(stem, []).append((epoch, log))
    found = [
        _Reader(camera, [log for _, log in sorted(logs, key=lambda item: item[0])], report, identities, progress).run()
        for camera, logs in cameras.items()
    ]
    for accounts in found:
        report.findings += _unaccounted(accounts)
    return found


def _split(origin: str) -> tuple[str, int]:
    try:
        return split(origin)
    except EvidenceError:
        return origin, 0


class _Reader:
    """One camera; a leaf that is not proven is as good as missing."""

    def __init__(
        self,
        camera: str,
        logs: Sequence[LogView],
        report: Report,
        identities: Sequence[age.Identity],
        progress: Progress,
    ) -> None:
        self._camera, self._logs, self._report = camera, logs, report
        self._identities, self._progress = identities, progress
        self._opened = 0
        self._refused = ""

    def run(self) -> CameraAccounts:
        purged = {log.origin: log.purged for log in self._logs}
        book = Book(lambda origin, first, end: purged[origin].deleted(first, end))
        for log in self._logs:
            for result in log.results:
                try:
                    self._read(book, log.origin, result)
                except UnreadableError as err:
                    self._report.findings.append(whole_file(result.blob, err))
        if self._identities and self._refused and not self._opened:
            locked = KeyTrustError(self._refused, "name the identity file of one of the recipients")
            self._report.locked = self._report.locked or locked
            text = f"no event of {self._camera} was opened, its accounts lack what events say: {self._refused}"
            self._report.findings.append(Finding(What.UNCHECKED, text))
        boots = book.close()
        bound_by_receipts(boots, self._logs)
        return CameraAccounts(self._camera, boots)

    def _read(self, book: Book, origin: str, result: SegmentResult) -> None:
        """Its leaves are of the log in which it was placed, whatever name its own notes have."""
        with result.blob.patient() as window:
            opener = SegmentOpener(window, self._identities)
            for index in sorted(result.sound):
                leaf = opener.leaf(index)
                if leaf is not None:
                    book.leaf(origin, leaf, self._body(opener, leaf, result.name))
                    self._progress(result.name, leaf.common.sealed.size)

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


def _unaccounted(accounts: CameraAccounts) -> Iterator[Finding]:
    for powered in accounts.boots:
        sealed, boot = powered.sealed_events, powered.boot[:8]
        doubt = f"; {sealed} events were not opened, and may say more" if sealed else ""
        for account in powered.unaccounted:
            sure = Sure.LIKELY if sealed else account.sure
            begin_s, end_s, length_s = (ns / NS for ns in (account.begin_ns, account.end_ns, account.length_ns))
            span = f"{begin_s:.3f} to {end_s:.3f} s after the start of the kernel of boot {boot}"
            text = f"{length_s:.3f} s are not accounted for, {span}, {sure.value}: {account.reason}{doubt}"
            yield Finding(What.UNACCOUNTED, text, when=powered.when(account.begin_ns), sure=sure)
