"""Verify evidence: every segment, then every log they belong to. Never stops at the first finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from cryptography import x509

from agent.errors import Exit, KeyTrustError, UnreadableError
from agent.evidence.absent import Absent
from agent.evidence.blobs import Blob, said_of
from agent.evidence.bylog import ByLog
from agent.evidence.candidates import Candidate, Together, home_strays, without_copies
from agent.evidence.cosigned import Cosigned, bad_head, of_export, tell_cosigned
from agent.evidence.entries import assemble
from agent.evidence.entry import UNKNOWN_ORIGIN, believed_origin
from agent.evidence.epochs import elsewhere, heads_of, of_log, tell_epochs, written_later
from agent.evidence.epochwatch import EpochWatch
from agent.evidence.findings import Finding, What, about, merged
from agent.evidence.gaps import tell_clock, tell_gaps, tell_recordings
from agent.evidence.given import Given, read_given
from agent.evidence.head import TORN_HEAD, last_in_torn_head, own_name, read_head
from agent.evidence.held import Elsewhere
from agent.evidence.histories import Piece, Ranks
from agent.evidence.keptheads import Kept, tell_kept
from agent.evidence.layout import Scanner
from agent.evidence.logview import LogView
from agent.evidence.marks import Timeline
from agent.evidence.names import tell_names
from agent.evidence.purged import strangers
from agent.evidence.rangecheck import check_range
from agent.evidence.rangeview import RangeView
from agent.evidence.rangewhole import tell_head, timed
from agent.evidence.result import SegmentResult, holding
from agent.evidence.revoked import tell_revoked_log, tell_revoked_range
from agent.evidence.roots import NO_SEARCH, Effort, Hints
from agent.evidence.seals import tell_seals
from agent.evidence.segment import SegmentCheck
from agent.evidence.silence import settle, tell_unsigned
from agent.evidence.sources import ProofMembers, Scope, Sources
from agent.evidence.tail import tell_tail
from agent.evidence.trust import Trust
from agent.evidence.unreadfiles import UnreadFiles
from agent.evidence.watch import LogWatch
from agent.evidence.words import order
from agent.formats import pack

EXTRACTED = (
    "taken for an export that was unpacked: each recording in it is asked for whole, nothing before, after or between"
)

Progress = Callable[[str, int], None]


@dataclass
class Report:
    """What was found, and where. `unread`: what the disk gives not or in part; `locked`: what no key given opens."""

    findings: list[Finding] = field(default_factory=list)
    logs: list[LogView] = field(default_factory=list)
    ranges: list[RangeView] = field(default_factory=list)
    unread: set[Path] = field(default_factory=set)
    locked: KeyTrustError | None = None

    @property
    def verified(self) -> bool:
        return not any(f.fails for f in self.findings)

    @property
    def all_read(self) -> bool:
        """Whether the disk gave all that was given."""
        return not any(f.what is What.UNREADABLE for f in self.findings)

    @property
    def exit_status(self) -> Exit:
        """First what could not be read or opened: nobody knows what it would have said."""
        whole = Exit.OK if self.verified else Exit.EVIDENCE
        return Exit.STORAGE if not self.all_read else Exit.KEYS if self.locked else whole

    @property
    def results(self) -> list[SegmentResult]:
        return [r for log in self.logs for r in log.results]


def verify(
    sources: Sources,
    root: x509.Certificate,
    head: Path | Sequence[Path] | None = None,
    progress: Progress = lambda name, count: None,
) -> Report:
    """Check all of `sources` against the agency's root, and each log against the later heads of it. Raises UsageError;
    whatever is wrong with the evidence is in the report, and what of it cannot be read.
    """
    heads = [head] if isinstance(head, Path) else list(head or ())
    return _Verifier(sources, Trust(root), progress).run(heads)


class _Verifier:
    def __init__(self, sources: Sources, trust: Trust, progress: Progress) -> None:
        self._sources, self._trust, self._progress = sources, trust, progress
        self._report, self._effort, self._others = Report(), Effort(), Given()
        self._unread = UnreadFiles(self._report.unread)

    def run(self, heads: Sequence[Path]) -> Report:
        for blob in (b for b in self._sources.segments if b.size > pack.MAX_SEGMENT):
            text = f"it is {blob.size} bytes long, and a segment at most {pack.MAX_SEGMENT}: it was not read"
            self._find(What.NOT_A_SEGMENT, text, blob.stem)
        if self._sources.passed:
            self._find(What.UNCHECKED, self._sources.passed_over)
        for proof in self._sources.extracted:
            self._find(What.OUTSIDE, f"{proof}: {EXTRACTED}")
        segments = [b for b in self._sources.segments if b.size <= pack.MAX_SEGMENT]
        peeked = [c for blob in segments if (c := self._peek(blob)) is not None]
        nameless = sorted(c.blob.stem for c in peeked if c.origin == UNKNOWN_ORIGIN)
        candidates, self._strays = home_strays(peeked)
        by_origin: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            by_origin.setdefault(candidate.origin, []).append(candidate)
        for text in self._sources.broken_exports:
            self._find(What.NOT_A_SEGMENT, f"an export that cannot be read: {text}")
        for path, text in self._sources.unread.items():
            self._no_proof(path, text)
        self._report.findings += [self._unread.directory(path) for path in self._sources.unlisted]
        self._report.findings += [
            of_export(What.REPEATED_ENTRY, name, f"{name}: {text}") for name, text in self._sources.repeated
        ]
        ranges = [view for source in self._sources.ranges if (view := self._check_range(source)) is not None]
        others = self._others = read_given(self._sources, self._trust, heads)
        self._report.findings += others.findings
        self._given = ByLog(others)
        # The newest first: its first leaf tells how long the one before it was.
        for origin in sorted(by_origin, key=order, reverse=True):
            self._check_log(origin, by_origin[origin])
        self._report.logs.sort(key=lambda log: order(log.origin))
        self._report.findings += [finding for same in self._unread.told.values() for finding in same]
        self._check_epochs()
        self._absent = Absent(others, self._given, self._report.logs, self._unread, nameless)
        self._report.findings += self._absent.tell()
        views = [*self._report.logs, *self._absent.views]
        self._report.findings = list(others.unread.left_open(self._report.findings, views))
        for view in ranges:
            self._report.ranges.append(view)
            told = [f for h in self._others.heads if h.asked and (f := tell_head(view, h)) is not None]
            view.tally.tell_all([*told, *tell_revoked_range(view, self._others.revoked)])
            self._report.findings += about(timed(view, view.tally.told(view.name)), view.origin)
        self._check_asked()
        self._report.findings = merged(self._report.findings)
        return self._report

    def _find(self, what: What, text: str, segment: str | None = None) -> None:
        self._report.findings.append(Finding(what, text, segment))

    # -- what cannot be read ---------------------------------------------------------------------------------------

    def _no_proof(self, path: Path, text: str) -> None:
        self._report.unread.add(path)
        said = f"{path.name}: the proof is here and cannot be read: {text}"
        self._report.findings.append(of_export(What.UNREADABLE, path.name, said))

    def _check_range(self, source: ProofMembers) -> RangeView | None:
        path = source.blob.path
        try:
            view = check_range(source, self._trust, self._progress)
        except UnreadableError as err:
            self._no_proof(path, said_of(path, err))
            return None
        self._report.unread |= {path for f in view.tally.kept if f.what is What.UNREADABLE}
        return view

    def _peek(self, blob: Blob) -> Candidate | None:
        """None of a file of which the disk gives no entry: which log it is of, a seal leaf may tell."""
        try:
            return self._head_of(blob)
        except UnreadableError as err:
            self._unread.add(blob, err)
            return None

    # -- before ----------------------------------------------------------------------------------------------------

    def _head_of(self, blob: Blob) -> Candidate | None:
        """Learn the chain, and where in which log the segment says it stands: its first signed checkpoint tells
        even where its header is damaged.
        """
        with blob.patient() as window:
            layout = Scanner(window).run(head_only=True)
            head, entries = read_head(window, layout, self._trust), assemble(window, layout)
            if window.lost and not entries.slots:
                self._unread.add_open(blob, window, layout, entries)
                return None
            header = head.header
            origin = believed_origin(window, entries, header.origin if header else None, head.session)
        first = min(entries.slots, default=header.first if header else 0)
        torn_last = last_in_torn_head(blob) if blob.is_open else -1
        if header is not None and (header.first < first or (blob.is_open and torn_last < 0)):
            first = header.first
        blank = blob.is_open and not any(len(slot) == 3 for slot in entries.slots.values())
        frontier = header.frontier if header else None
        return Candidate(blob, origin, first, frontier, own_name(head, blob.stem), torn_last, blank)

    def _check_asked(self) -> None:
        known = {log.origin for log in self._report.logs} | {view.origin for view in self._report.ranges}
        for head in self._others.heads:
            if head.asked and head.origin not in known:
                text = f"--head {head.source}: it is of the log {head.origin}, of which no segment is given"
                self._report.findings += about([Finding(What.BAD_HEAD, text)], head.origin)
        told = {view.origin for view in (*self._report.logs, *self._absent.views)}
        self._report.findings += [*strangers(self._others.purges, told), *self._absent.tell_unasked(known)]
        for one in self._others.cosigned:
            if one.origin not in known:
                text = f"{one.name}: {one.head.told}, is of the log {one.origin}, of which no segment is given"
                self._report.findings += about([bad_head(one.name, text)], one.origin)

    def _check_epochs(self) -> None:
        told = {f.segment for f in self._report.findings if f.fails}
        given = (
            self._report.logs,
            self._others.heads,
            self._others.tiles,
            self._others.receipts,
            self._sources.segments,
        )
        self._report.findings += tell_epochs(*given, told)

    # -- one log ---------------------------------------------------------------------------------------------------

    def _elsewhere(self, watch: LogWatch, blobs: Sequence[Blob]) -> Elsewhere | None:
        """What of it need not be here. Of an export, from which anybody may have taken a segment, only what a receipt
        says that was put there for that.
        """
        origin = watch.epochs.origin
        if self._sources.in_spool(blobs):
            return elsewhere(origin, self._others.receipts, self._report.logs, [watch.deleted])
        lent = [checked for blob in self._sources.lent_to(blobs) for checked in self._others.lent.get(blob, ())]
        lent = [checked for checked in lent if order(checked.receipt.origin)[0] == order(origin)[0]]
        return elsewhere(origin, lent, []) if lent else None

    def _check_log(self, origin: str, candidates: list[Candidate]) -> None:
        watch = LogWatch(EpochWatch(origin))
        given = self._given.of(origin)
        heads, cosigned = [*given.heads, *heads_of(given.following)], given.cosigned
        watch.wanted, told = {h.size for h in heads}, len(self._report.findings)
        led: list[Cosigned | Kept] = [*cosigned, *given.kept]
        watch.wanted |= {one.extension.old for one in led}
        view = LogView(
            origin,
            [],
            watch,
            heads,
            given.receipts,
            self._sources.scope_of([c.blob for c in candidates]),
            self._elsewhere(watch, [*(c.blob for c in candidates), *self._unread.named_in(given.receipts)]),
            purges=given.purges,
            kept=given.kept,
            together=Together.of(candidates, self._sources.proof_of),
        )
        known = self._others.frontiers(origin, candidates)
        view.followed = {(f.size, f.root()) for c in candidates if (f := c.frontier) is not None and not c.blank}
        view.followed |= {(head.size, head.root) for head in heads if head.signer is not None}
        kept, repeated = without_copies(candidates)
        self._report.findings += repeated
        torn = [candidate for candidate in kept if candidate.torn_last >= 0]
        ranks = Ranks([c.piece for c in kept if c.torn_last < 0], [r.head for r in view.receipts])
        for _, rivals in groupby((c for c in kept if c.torn_last < 0), key=lambda c: c.first):
            for candidate in self._in_order(list(rivals), ranks, view, known):
                self._check_segment(candidate, view, known)
        for candidate in torn:
            if candidate.torn_last >= view.end:
                self._check_segment(candidate, view, known)
            elif self._unread.is_read(candidate.blob):
                self._find(What.OPEN_SEGMENT, TORN_HEAD, candidate.blob.stem)
        for result in view.results:
            if result.frontier is not None:
                watch.tree(result.frontier)
        self._unread.place(view)
        settle(view.results, led, heads, watch.roots)
        self._report.logs.append(view)
        self._given.follows(view)
        across = [*tell_names(view.results), *tell_gaps(view), *view.purged.tell(), *tell_kept(view.kept, watch.roots)]
        for one in cosigned:
            against = list(tell_cosigned(one, watch.roots, view.here, view.purged.without))
            view.cosigned += [one] if not against else []
            across += against
        across += tell_seals(view, {f.segment for f in across if f.fails})
        across += [*tell_recordings(view), *tell_tail(view, across), *tell_clock(view)]
        across += tell_revoked_log(view, self._others.revoked, self._others.unread.vouching)
        if view.scope is not Scope.WHOLE:
            across += tell_unsigned(view.results, led, heads, watch.roots)
        self._report.findings += [finding for result in view.results for finding in result.findings]
        self._report.findings += self._unread.of_log(view, across)
        self._place(view, told)

    def _place(self, view: LogView, start: int) -> None:
        """Time, parts and origin for the findings about one log: all from `start` on."""
        following, found = self._given.of(view.origin).following, self._report.findings
        timeline = view.timeline(written_later(following))
        own = {r.name: r.marks for r in view.results}
        placed = [timeline.placed(f, own.get(f.segment or "", ())) for f in found[start:]]
        found[start:] = of_log(placed, view.origin, following, self._strays)

    def _in_order(self, rivals: list[Candidate], ranks: Ranks, view: LogView, known: Hints) -> list[Candidate]:
        """Segments for the same leaves, that which is followed first. Of those for which as much speaks, as far as
        somebody vouches for it, it is one in which nothing fails; each is checked by itself for that.
        """
        base = view.proven.proves(rivals[0].first) if view.proven is not None else None

        def end(candidate: Candidate) -> int:
            """Behind its last leaf; -1 where anything fails."""
            watch = LogWatch(EpochWatch(view.origin))
            with suppress(UnreadableError):
                result = SegmentCheck(candidate.blob, self._trust, watch, known, base, NO_SEARCH).run()
                return -1 if result.spoiled else result.end
            return -1

        rank = {candidate.blob: _rank(ranks, view.proven, candidate) for candidate in rivals}
        rivals.sort(key=lambda candidate: rank[candidate.blob])
        alike = [candidate for candidate in rivals if rank[candidate.blob][:3] == rank[rivals[0].blob][:3]]
        if len(alike) > 1:
            # Only once it is checked is it known whether the last entry of a file in open/ is whole.
            is_open = alike[0].blob.is_open
            best = max(alike, key=end) if is_open else next((one for one in alike if end(one) >= 0), alike[0])
            rivals.insert(0, rivals.pop(rivals.index(best)))
        return rivals

    def _check_segment(self, candidate: Candidate, view: LogView, known: Hints) -> None:
        before = view.proven
        base = before.proves(candidate.first) if before is not None else None
        # What nothing proves at the end of the one before stands in the way of nothing that is proven.
        aside = before is not None and before.led is not None and candidate.first < before.led.size
        if candidate.frontier != base and candidate.frontier in view.beside.tips:
            aside, base = True, candidate.frontier
        watch = LogWatch(EpochWatch(view.origin)) if aside else view.watch
        blob = candidate.blob
        check = SegmentCheck(blob, self._trust, watch, known, base, self._effort, view.asked, view.followed)
        try:
            result = check.run(lambda count: self._progress(blob.name, count))
        except UnreadableError as err:
            self._unread.add(blob, err)
            return
        self._report.unread |= {blob.path} if result.unread is not None else set()
        if result.first == result.end:
            if result.unread is not None:
                self._unread.keep(blob, result.findings)
                return
            self._report.findings += result.findings
            if not blob.is_open:
                view.broken.add(result.name)
        elif aside or (before is not None and result.first < before.end and not result.proven):
            self._tell_overlap(candidate.piece, result, view)
        else:
            # A segment of which nothing is proven takes no place in the log that another claims.
            for displaced in view.place(result):
                self._unread.keep_aside(displaced)
                self._report.findings += displaced.findings

    def _tell_overlap(self, piece: Piece, result: SegmentResult, view: LogView) -> None:
        """A second segment for the same leaves: a copy, or another history; or one that continues that."""
        self._unread.keep_aside(result)
        # Of two histories, each has its own times.
        own = Timeline(result.marks)
        self._report.findings += [own.placed(f, result.marks) for f in result.findings if f.fails]
        other = holding(view.results, piece.first)
        parted = piece.frontier in view.beside.tips
        if other is not None:
            if other.spoiled or not other.proven or other.before is None:
                return
            held, clean = view.beside.held(other.blob, other.before, other.end), not result.spoiled
            parted = held.parts(piece, result.sound, clean) or (clean and result.end > other.end)
        # What fails in it does not make what continues it a part of the history that is followed.
        if parted and result.frontier is not None:
            view.beside.tips.add(result.frontier)
        if result.spoiled or not (parted or other is not None):
            return
        what, last = What.FORK, result.end - 1
        if other is None:
            text = "two signed histories: it continues one that is not followed here"
        elif parted:
            text = f"two signed histories: other leaves than in {other.name} at the same places of the log"
            last = min(result.end, other.end) - 1
        elif result.blob.is_open or (result.name, result.sha256) == (other.name, other.sha256):
            return  # an earlier copy, or a backup that the disk did not give at once when its bytes were compared
        else:
            what, text = What.REPEATED_SEGMENT, f"the leaves of {other.name} stand here again, in other bytes"
        if parted:
            view.beside.add(result.first, result.end)
        self._report.findings.append(
            own.placed(Finding(what, text, result.name, result.recording, result.first, last), result.marks)
        )


def _rank(ranks: Ranks, before: SegmentResult | None, candidate: Candidate) -> tuple[bool, int, bool, tuple[int, str]]:
    """Of several segments for the same leaves the first is followed: one that continues what is before it, if any
    does, and then by rank; what a station cosigned counts more than that a file is in open/.
    """
    known = (before.proves(candidate.first) or before.frontier) if before is not None else None
    led, end, digest = ranks.of(candidate.piece)
    return known is not None and candidate.frontier != known, led, candidate.blob.is_open, (end, digest)
