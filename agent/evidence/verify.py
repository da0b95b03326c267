"""Verify evidence: every segment, then every log they belong to. Never stops at the first finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from cryptography import x509

from agent.errors import AgentError, EvidenceError, KeyTrustError
from agent.evidence.blobs import Blob
from agent.evidence.bylog import ByLog
from agent.evidence.candidates import Candidate, Copies, home_strays, together
from agent.evidence.cosigned import Cosigned, bad_head, of_export, read_cosigned, tell_cosigned
from agent.evidence.entries import assemble
from agent.evidence.entry import believed_origin
from agent.evidence.epochs import elsewhere, heads_of, of_log, tell_epochs, written_later
from agent.evidence.epochwatch import EpochWatch
from agent.evidence.findings import Finding, What, about, merged
from agent.evidence.gaps import tell_clock, tell_gaps, tell_recordings, tell_seals, tell_tail
from agent.evidence.head import TORN_HEAD, last_in_torn_head, own_name, read_head
from agent.evidence.heads import CheckedReceipt, Head, TileLog, load_head, read_receipts
from agent.evidence.histories import Piece, Ranks
from agent.evidence.keptheads import Kept, read_kept, tell_kept
from agent.evidence.layout import Scanner
from agent.evidence.logview import LogView
from agent.evidence.marks import Timeline
from agent.evidence.names import tell_names
from agent.evidence.purged import CheckedPurge, read_purges, strangers
from agent.evidence.rangecheck import check_range
from agent.evidence.rangeview import RangeView
from agent.evidence.rangewhole import tell_head, timed
from agent.evidence.revoked import read_revocations, revoked_heads, tell_revoked_log, tell_revoked_range
from agent.evidence.roots import NO_SEARCH, Effort, Hints
from agent.evidence.segment import SegmentCheck, SegmentResult, holding
from agent.evidence.silence import settle, tell_unsigned
from agent.evidence.sources import COSIGNED, Scope, Sources
from agent.evidence.trust import Trust
from agent.evidence.watch import LogWatch
from agent.evidence.words import order
from agent.formats import merkle, pack
from agent.formats.revocation import Revocation

MAX_HINTS = 16
"""Different heads of segments for one place of the log; more than one are a fork, or forged."""

EXTRACTED = (
    "taken for an export that was unpacked: each recording in it is asked for whole, nothing before, after or between"
)

Progress = Callable[[str, int], None]


@dataclass
class Report:
    """Everything found, and the logs and ranges it was found in."""

    findings: list[Finding] = field(default_factory=list)
    logs: list[LogView] = field(default_factory=list)
    ranges: list[RangeView] = field(default_factory=list)

    @property
    def verified(self) -> bool:
        return not any(f.fails for f in self.findings)

    @property
    def results(self) -> list[SegmentResult]:
        return [r for log in self.logs for r in log.results]


def verify(
    sources: Sources,
    root: x509.Certificate,
    head: Path | Sequence[Path] | None = None,
    progress: Progress = lambda name, count: None,
) -> Report:
    """Check all of `sources` against the agency's root, and each log against the later heads of it. Raises UsageError
    and StorageError for what cannot be read; whatever is wrong with the evidence is in the report.
    """
    heads = [head] if isinstance(head, Path) else list(head or ())
    return _Verifier(sources, Trust(root), progress).run(heads)


class _Verifier:
    def __init__(self, sources: Sources, trust: Trust, progress: Progress) -> None:
        self._sources, self._trust, self._progress = sources, trust, progress
        self._report, self._effort = Report(), Effort()
        self._tiles: list[TileLog] = []
        self._heads: list[Head] = []
        self._receipts: list[CheckedReceipt] = []
        self._revoked: list[Revocation] = []
        self._cosigned: list[Cosigned] = []
        self._purges: list[CheckedPurge] = []
        self._kept: list[Kept] = []

    def run(self, heads: Sequence[Path]) -> Report:
        for blob in (b for b in self._sources.segments if b.size > pack.MAX_SEGMENT):
            text = f"it is {blob.size} bytes long, and a segment at most {pack.MAX_SEGMENT}: it was not read"
            self._find(What.NOT_A_SEGMENT, text, blob.stem)
        if self._sources.passed:
            self._find(What.UNCHECKED, self._sources.passed_over)
        for proof in self._sources.extracted:
            self._find(What.OUTSIDE, f"{proof}: {EXTRACTED}")
        segments = [b for b in self._sources.segments if b.size <= pack.MAX_SEGMENT]
        candidates, self._strays = home_strays([self._peek(blob) for blob in segments])
        by_origin: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            by_origin.setdefault(candidate.origin, []).append(candidate)
        for text in self._sources.broken_exports:
            self._find(What.NOT_A_SEGMENT, f"an export that cannot be read: {text}")
        self._report.findings += [
            of_export(What.REPEATED_ENTRY, name, f"{name}: {text}") for name, text in self._sources.repeated
        ]
        ranges = [check_range(source, self._trust, self._progress) for source in self._sources.ranges]
        self._read_heads(heads)
        self._given = ByLog(self._heads, self._receipts, self._cosigned, self._kept, self._purges)
        # The newest first: its first leaf tells how long the one before it was.
        for origin in sorted(by_origin, key=order, reverse=True):
            self._check_log(origin, by_origin[origin])
        self._report.logs.sort(key=lambda log: order(log.origin))
        self._check_epochs()
        for view in ranges:
            self._report.ranges.append(view)
            told = [f for h in self._heads if h.asked and (f := tell_head(view, h)) is not None]
            view.tally.tell_all([*told, *tell_revoked_range(view, self._revoked)])
            self._report.findings += about(timed(view, view.tally.told(view.name)), view.origin)
        self._check_asked()
        self._report.findings = merged(self._report.findings)
        return self._report

    def _find(self, what: What, text: str, segment: str | None = None) -> None:
        self._report.findings.append(Finding(what, text, segment))

    # -- before ----------------------------------------------------------------------------------------------------

    def _peek(self, blob: Blob) -> Candidate:
        """Learn the chain, and where in which log the segment says it stands: its first signed checkpoint tells
        even where its header is damaged.
        """
        with blob.reader() as window:
            layout = Scanner(window).run(head_only=True)
            head, entries = read_head(window, layout, self._trust), assemble(window, layout)
            header = head.header
            origin = believed_origin(window, entries, header.origin if header else None, head.session)
        first = min(entries.slots, default=header.first if header else 0)
        torn_last = last_in_torn_head(blob) if blob.is_open else -1
        if header is not None and (header.first < first or (blob.is_open and torn_last < 0)):
            first = header.first
        blank = blob.is_open and not any(len(slot) == 3 for slot in entries.slots.values())
        frontier = header.frontier if header else None
        return Candidate(blob, origin, first, frontier, own_name(head, blob.stem), torn_last, blank)

    def _read_heads(self, asked: Sequence[Path]) -> None:
        logs = [(directory, TileLog(directory)) for directory in self._sources.logs]
        for _, tiles in logs:
            tiles.learn(self._trust)
        self._revoked, refused = read_revocations(self._sources.revocations, self._trust)
        self._report.findings += refused
        self._heads += revoked_heads(self._revoked)
        self._receipts, bad = read_receipts(self._sources.receipts, self._trust, self._sources.of_stations)
        for name, text in bad:
            self._find(What.BAD_RECEIPT, f"receipt {name}: {text}")
        self._heads += [checked.head for checked in self._receipts]
        for directory, tiles in logs:
            try:
                head = tiles.load(self._trust)
            except AgentError as err:
                self._find(What.BAD_HEAD, f"log {directory}: {err.message}")
                continue
            self._heads.append(head)
            self._tiles.append(tiles)
            if head.size and not tiles.leads_to(head):
                self._find(What.UNCHECKED, f"log {directory}: the tiles do not lead to the checkpoint beside them")
        for source in self._sources.cosigned:
            try:
                self._cosigned.append(read_cosigned(source, self._trust))
            except (EvidenceError, KeyTrustError) as err:
                text = f"{source.blob.name}: {COSIGNED}: {err.message}"
                self._report.findings.append(bad_head(source.blob.name, text))
        for path in asked:
            self._read_asked(path)
        self._kept, refused = read_kept(self._sources.kept, self._trust)
        self._heads += [kept.head for kept in self._kept]
        self._report.findings += refused
        self._purges, refused = read_purges(self._sources.purges, self._receipts, self._trust)
        self._report.findings += refused

    def _read_asked(self, asked: Path) -> None:
        try:
            head, checked = load_head(asked, self._trust)
        except (EvidenceError, KeyTrustError) as err:
            self._find(What.BAD_HEAD, f"--head {asked.name}: {err.message}")
            return
        self._heads.append(head)
        self._receipts += [checked] if checked else []

    def _check_asked(self) -> None:
        known = {log.origin for log in self._report.logs} | {view.origin for view in self._report.ranges}
        for head in self._heads:
            if head.asked and head.origin not in known:
                text = f"--head {head.source}: it is of the log {head.origin}, of which no segment is given"
                self._report.findings += about([Finding(What.BAD_HEAD, text)], head.origin)
        self._report.findings += strangers(self._purges, {log.origin for log in self._report.logs})
        for one in self._cosigned:
            if one.origin not in known:
                text = f"{one.name}: {one.head.told}, is of the log {one.origin}, of which no segment is given"
                self._report.findings += about([bad_head(one.name, text)], one.origin)

    def _check_epochs(self) -> None:
        told = {f.segment for f in self._report.findings if f.fails}
        given = (self._report.logs, self._heads, self._tiles, self._receipts, self._sources.segments)
        self._report.findings += tell_epochs(*given, told)

    # -- one log ---------------------------------------------------------------------------------------------------

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
            elsewhere(origin, self._receipts, self._report.logs, [watch.deleted])
            if self._sources.in_spool(c.blob for c in candidates)
            else None,
            purges=given.purges,
            kept=given.kept,
            together=together(candidates, self._sources.proof_of),
        )
        known = self._frontiers(origin, candidates)
        view.followed = {(f.size, f.root()) for c in candidates if (f := c.frontier) is not None and not c.blank}
        view.followed |= {(head.size, head.root) for head in heads if head.signer is not None}
        kept = self._without_copies(candidates)
        torn = [candidate for candidate in kept if candidate.torn_last >= 0]
        ranks = Ranks([c.piece for c in kept if c.torn_last < 0], [r.head for r in view.receipts])
        for _, rivals in groupby((c for c in kept if c.torn_last < 0), key=lambda c: c.first):
            for candidate in self._in_order(list(rivals), ranks, view, known):
                self._check_segment(candidate, view, known)
        for candidate in torn:
            if candidate.torn_last < view.end:
                self._find(What.OPEN_SEGMENT, TORN_HEAD, candidate.blob.stem)
            else:
                self._check_segment(candidate, view, known)
        for result in view.results:
            if result.frontier is not None:
                watch.tree(result.frontier)
        settle(view.results, led, heads, watch.roots)
        self._report.logs.append(view)
        self._given.follows(view)
        across = [*tell_names(view.results), *tell_gaps(view), *view.purged.tell(), *tell_kept(view.kept, watch.roots)]
        spans = [(r.first, r.end) for r in view.results]
        for one in cosigned:
            against = tell_cosigned(one, watch.roots, spans)
            view.cosigned += [one] if against is None else []
            across += [against] if against is not None else []
        across += tell_seals(view, {f.segment for f in across if f.fails})
        across += [*tell_recordings(view), *tell_tail(view), *tell_clock(view)]
        across += tell_revoked_log(view, self._revoked)
        if view.scope is not Scope.WHOLE:
            across += tell_unsigned(view.results, led, heads, watch.roots)
        for result in view.results:
            self._report.findings += result.findings
        self._report.findings += across
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
            result = SegmentCheck(candidate.blob, self._trust, watch, known, base, NO_SEARCH).run()
            return -1 if result.spoiled else result.end

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
        result = check.run(lambda count: self._progress(blob.name, count))
        if result.first == result.end:
            self._report.findings += result.findings
            if not blob.is_open:
                view.broken.add(result.name)
        elif aside or (before is not None and result.first < before.end and not result.proven):
            self._tell_overlap(candidate.piece, result, view)
        else:
            # A segment of which nothing is proven takes no place in the log that another claims.
            self._report.findings += [f for displaced in view.place(result) for f in displaced.findings]

    def _tell_overlap(self, piece: Piece, result: SegmentResult, view: LogView) -> None:
        """A second segment for the same leaves: a copy, or another history; or one that continues that."""
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
        elif result.blob.is_open:
            return  # an earlier copy
        else:
            what, text = What.REPEATED_SEGMENT, f"the leaves of {other.name} stand here again, in other bytes"
        if parted:
            view.beside.add(result.first, result.end)
        self._report.findings.append(
            own.placed(Finding(what, text, result.name, result.recording, result.first, last), result.marks)
        )

    def _without_copies(self, candidates: list[Candidate]) -> list[Candidate]:
        """In order of the log, each content once. A copy under the same name is a backup; under another it claims
        to be what it is not.
        """
        kept, copies = [], Copies()
        # Of equal files the first is the original: one that has the name its content gives it, if there is one.
        for candidate in sorted(
            candidates, key=lambda c: (c.first, c.blob.is_open, c.blob.stem != c.own_name, c.blob.name)
        ):
            # A cut before the first entries of two files leaves them alike.
            twin = None if candidate.blank else copies.twin(candidate)
            if twin is None:
                kept.append(candidate)
            elif twin.blob.name != candidate.blob.name:
                text = f"the same bytes as {twin.blob.name}, under another name"
                self._find(What.REPEATED_SEGMENT, text, candidate.blob.stem)
        return kept

    def _frontiers(self, origin: str, candidates: Sequence[Candidate]) -> Callable[[int], Iterator[merkle.Frontier]]:
        """Unproven frontiers from tiles and from the heads of all segments."""
        by_size: dict[int, list[merkle.Frontier]] = {}
        for candidate in candidates:
            if candidate.frontier is not None:
                by_size.setdefault(candidate.first, []).append(candidate.frontier)

        of_log = [tiles for tiles in self._tiles if tiles.origin == origin]

        def known(size: int) -> Iterator[merkle.Frontier]:
            for tiles in of_log:
                yield from tiles.frontier(size)
            yield from by_size.get(size, [])[:MAX_HINTS]

        return known


def _rank(ranks: Ranks, before: SegmentResult | None, candidate: Candidate) -> tuple[bool, int, bool, tuple[int, str]]:
    """Of several segments for the same leaves the first is followed: one that continues what is before it, if any
    does, and then by rank; what a station cosigned counts more than that a file is in open/.
    """
    known = (before.proves(candidate.first) or before.frontier) if before is not None else None
    led, end, digest = ranks.of(candidate.piece)
    return known is not None and candidate.frontier != known, led, candidate.blob.is_open, (end, digest)
