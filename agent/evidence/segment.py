"""One segment, checked whole: its file, its chain, every entry, every root (docs/evidence-format.md, section 8)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterator
from functools import partial

from agent.evidence.ahead import alongside
from agent.evidence.belief import Around, Belief, Watch
from agent.evidence.blobs import UNREAD, Blob, Window, known_by
from agent.evidence.entries import Entries, assemble
from agent.evidence.entry import EntryCheck, Facts, Outcome
from agent.evidence.findings import Finding, What
from agent.evidence.head import SegmentHead, check_head, header_mends, own_name, read_head
from agent.evidence.layout import Damage, Layout, Scanner
from agent.evidence.marks import Keeper, Mark
from agent.evidence.result import SegmentResult
from agent.evidence.roots import Effort, Hints, Tracker
from agent.evidence.silence import Silence
from agent.evidence.tally import MOST_OF_SEGMENT, Tally
from agent.evidence.trust import Trust
from agent.evidence.unread import Hidden, segment_findings
from agent.formats import leaf as leaves
from agent.formats import merkle, pack

WORTH_A_THREAD = 1 << 20
"""Of a file of more bytes than this the digest is worked out while its entries are checked."""


class SegmentCheck:
    """Checks one segment. `known` gives candidates for the log's frontier at a size (other segments, tiles);
    `before` is the proven frontier at the segment's first leaf where a segment before it ends there; the leaves
    `asked` for are kept as marks. `followed` are the trees (size, root) behind which the log is known to go on.
    """

    def __init__(
        self,
        blob: Blob,
        trust: Trust,
        watch: Watch,
        known: Hints,
        before: merkle.Frontier | None = None,
        effort: Effort | None = None,
        asked: Container[int] = (),
        followed: Container[tuple[int, bytes]] = (),
    ) -> None:
        self._blob, self._trust, self._watch, self._known, self._before = blob, trust, watch, known, before
        self._effort = effort or Effort()
        self._tally = Tally(MOST_OF_SEGMENT, joined=False)
        self._silence = Silence(blob.stem)
        self._base: merkle.Frontier | None = None
        self._sound: set[int] = set()
        self._lost = 0
        self._torn = False
        self._asked, self._marks = asked, tuple[Mark, ...]()
        self._followed = followed

    def run(self, progress: Callable[[int], None] = lambda count: None) -> SegmentResult:
        """Read the segment; `progress` hears bytes as they are checked. Raises UnreadableError where it cannot be
        opened.
        """
        digest = partial(known_by, self._blob)
        with alongside(digest, self._blob.size > WORTH_A_THREAD) as sha256, self._blob.patient() as window:
            layout = Scanner(window).run()
            head = read_head(window, layout, self._trust)
            if self._blob.is_open and head.header is not None:
                first = head.header.first
                known = self._before is not None and self._before.size == first
                self._torn = layout.drop_old_blocks(first, known)
            entries = assemble(window, layout)
            if self._blob.is_open:
                self._forgive_torn_tail(layout, entries)
            else:
                self._tell_cut(layout, entries)
            for damage in [*layout.damages, *entries.damages]:
                self._damage(damage)
            if entries.slots:
                for damage in check_head(head, window, layout, entries, self._trust, self._blob.stem):
                    self._damage(damage)
            elif not self._blob.is_open:
                # In open/ the power may have gone before the first entry was whole.
                named = next((f.first for f in self._tally.kept if f.first is not None), None)
                self._add(What.NOT_A_SEGMENT, "it holds no whole entry of a log", named)
            tracker = self._walk(window, layout, head, entries, progress)
            self._tell_misfit(layout)
            result = self._result(layout, head, entries, tracker, sha256())
            if window.lost or result.sha256.startswith(UNREAD):
                swept = window.sweep()
                if window.lost:
                    own, result.unread = self._recording, Hidden.by(window.lost, layout)
                    result.findings = segment_findings(result.findings, result.name, own, window, layout, entries)
                else:
                    # It was refused once, or in large pieces, and given after all: nothing of it is excused.
                    result.sha256 = swept
            return result

    def _add(self, what: What, text: str, first: int | None = None, offset: int | None = None) -> None:
        self._tally.tell(Finding(what, text, self._blob.stem, self._recording, first, offset=offset))

    def _damage(self, damage: Damage) -> None:
        self._add(damage.what, damage.text, damage.index, damage.offset if damage.offset >= 0 else None)

    @property
    def _recording(self) -> str | None:
        stem = self._blob.stem
        return stem[:20] if pack.SEGMENT_NAME.fullmatch(stem) and stem.startswith("r") else None

    # -- a file that ends early ------------------------------------------------------------------------------------

    def _tell_cut(self, layout: Layout, entries: Entries) -> None:
        """One finding, not one for each member that is gone."""
        if layout.cut_at is None:
            return
        dropped = entries.drop_incomplete_last()
        inside = f"inside entry {dropped}" if dropped is not None else "without its trailer"
        first = dropped if dropped is not None else max(entries.slots, default=-2) + 1
        text = f"the file ends {inside}; {len(entries.slots)} whole entries are left"
        self._add(What.TRUNCATED_SEGMENT, text, first if first >= 0 else None, layout.cut_at)

    def _forgive_torn_tail(self, layout: Layout, entries: Entries) -> None:
        """In open/ the file may end anywhere: what was being written when the power went is no damage. Its blocks
        may have reached the disk in any order, so this is the whole of the last entry.
        """
        layout.cut_at = None
        dropped = entries.drop_incomplete_last()
        last = max(entries.slots, default=None)
        start = min((m.offset for m in entries.slots[last].values()), default=0) if last is not None else 0
        torn = [d for d in layout.damages if d.offset >= start]
        if last is not None and torn and dropped is None and any(d.index == last for d in torn):
            dropped = last
            del entries.slots[last]
        layout.damages = [d for d in layout.damages if d.offset < start]
        self._torn |= dropped is not None or bool(torn)

    def _tell_open(self) -> None:
        text = "this segment is still open, or was when the power went; recovery seals it at the next start"
        if self._torn:
            text += "; what follows its last whole entry was being written and is not evidence"
        self._add(What.OPEN_SEGMENT, text)

    def _tell_misfit(self, layout: Layout) -> None:
        """Whatever else was looked for: what stands in no other order and holds nothing more is a segment."""
        member = None if self._blob.is_open or self._tally.fails else layout.misfit()
        if member is not None:
            self._add(What.INSERTED_BYTES, f"{member.name} does not belong where it stands", offset=member.offset)

    # -- entries ---------------------------------------------------------------------------------------------------

    def _walk(
        self,
        window: Window,
        layout: Layout,
        head: SegmentHead,
        entries: Entries,
        progress: Callable[[int], None],
    ) -> Tracker:
        facts = Facts(
            self._blob.stem,
            self._recording,
            entries.most(entries.recordings, head.header.recording if head.header else None),
            head.origin,
            head.session,
            layout.head(pack.CHAIN),
            hashlib.sha256(head.chain_pem).hexdigest(),
            layout.head(pack.INIT),
            head.init_sha256,
        )
        check = EntryCheck(facts, window, entries)
        # What no key vouches for is not worth a search.
        effort = self._effort if head.session is not None else Effort(0)
        self._base = self._choose_base(check, window, layout, head, entries)
        tracker = Tracker(self._base, self._hints, effort)
        lowest = min(entries.slots, default=0)
        expected = min(lowest, head.header.first) if head.header else lowest
        belief = Belief(self._watch, head.trusted, Keeper({f.first for f in self._tally.kept}, self._asked))
        last = max(entries.slots, default=0)
        for index in entries.indexes:
            if index > expected:
                belief.give_up(index - expected)
                self._gap(expected, index - 1, check.peek(index))
            before = tracker.frontier
            out = check.run(index, tracker)
            if self._blob.is_open and index == last and any(f.fails for f in out.findings):
                self._torn = True
                del entries.slots[index]
                break
            if self._is_tail(out, index == last, tracker):
                self._silence.withhold(out)
                break
            if index > expected or before is None or before.size != index or not out.follows:
                self._tally.tell_all(self._silence.part())
            self._tally.tell_all([*out.findings, *belief.hear(out, Around(self._blob.stem, head.session, before))])
            if out.vouches and head.trusted:
                self._tally.tell_all(self._silence.signed())
            if out.lacks is not None:
                self._silence.lacks(out.lacks, index)
            expected = index + 1
            progress(out.size)
        belief.give_up()
        self._sound, self._lost, self._marks = belief.sound, belief.lost, belief.marks.marks()
        self._tally.tell_all(check.finish())
        self._check_fork(head, tracker)
        if self._blob.is_open:
            self._tell_open()
        return tracker

    def _is_tail(self, out: Outcome, last: bool, tracker: Tracker) -> bool:
        """Whether the leaf is there, proven, and no evidence yet: no identity key signed it, and nobody goes on."""
        if not (self._blob.is_open and last and out.lacks is not None and out.proven):
            return False
        tree = tracker.frontier
        return tree is not None and (tree.size, tree.root()) not in self._followed

    def _hints(self, size: int) -> Iterator[merkle.Frontier]:
        """Frontiers to try at a size, likeliest first."""
        if self._before is not None and self._before.size == size:
            yield self._before
        yield from self._known(size)

    def _choose_base(
        self, check: EntryCheck, window: Window, layout: Layout, head: SegmentHead, entries: Entries
    ) -> merkle.Frontier | None:
        """The log before the segment: what segment.json says, unless the first signed root refutes it and confirms
        another (then segment.json is altered, and in which byte is found where one bit did it).
        """
        stated = head.header.frontier if head.header else None
        lowest = min(entries.slots, default=None)
        if lowest is None or (stated is not None and check.proves(lowest, stated)):
            return stated
        if head.session is None or not check.has_head(lowest):
            # Nothing authentic to hold any other against.
            return stated
        for at, header in header_mends(window, layout, self._effort):
            if self._belongs(header, head, entries) and check.proves(lowest, header.frontier):
                self._blame_header(head, layout, at)
                head.header = header
                return header.frontier
        for frontier in self._hints(lowest):
            if check.proves(lowest, frontier):
                self._blame_header(head, layout, None)
                return frontier
        return stated

    def _belongs(self, header: pack.SegmentHeader, head: SegmentHead, entries: Entries) -> bool:
        """Whether a mended header names what the leaves, the checkpoints and the file name do."""
        return (
            header.camera == entries.most(entries.cameras, header.camera)
            and header.origin == head.origin
            and header.recording == entries.most(entries.recordings, header.recording)
            and (header.recording is None or f"{header.recording}-{header.seq:04d}" == self._blob.stem)
        )

    def _blame_header(self, head: SegmentHead, layout: Layout, at: int | None) -> None:
        member = layout.head(pack.HEADER)
        if head.header is not None:
            text = f"{pack.HEADER} does not say where in the log this segment stands; the first signed root does"
            self._add(What.ALTERED_BYTES, text, offset=at if at is not None else (member.data if member else 0))

    def _gap(self, first: int, last: int, after: leaves.Leaf | None) -> None:
        """Entries that are simply not there."""
        parts: tuple[int | None, int | None] = (None, None)
        if isinstance(after, leaves.MediaLeaf):
            before = self._watch.next_part(after.recording)
            if before is not None and before < after.part <= before + last - first + 1:
                parts = (before, after.part - 1)
        count = last - first + 1
        text = f"{count} {'entry is' if count == 1 else 'entries are'} not in the segment"
        self._tally.tell(Finding(What.MISSING_PARTS, text, self._blob.stem, self._recording, first, last, *parts))

    def _check_fork(self, head: SegmentHead, tracker: Tracker) -> None:
        """The log before this segment, as the segment before it proves it and as this one continues it."""
        before, header = self._before, head.header
        if before is None or header is None or before.size != header.first or not tracker.proven_once:
            return
        if before.root() != header.frontier.root() and not self._tally.fails:
            text = "this segment continues another history than the segment before it; both are signed"
            self._add(What.FORK, text, header.first)

    def _result(
        self, layout: Layout, head: SegmentHead, entries: Entries, tracker: Tracker, sha256: str
    ) -> SegmentResult:
        header, indexes = head.header, entries.indexes
        first = header.first if header else (indexes[0] if indexes else 0)
        proven = head.trusted and tracker.proven_once
        return SegmentResult(
            self._blob,
            sha256,
            head.origin,
            header.recording if header else self._recording,
            header.seq if header else 0,
            min([first, *indexes[:1]]),
            max(first, indexes[-1] + 1) if indexes else first,
            own_name(head, self._blob.stem),
            head.session,
            tracker.frontier if proven and not tracker.waiting else None,
            layout.sealed,
            layout.cut_at is not None,
            proven,
            frozenset(self._sound),
            self._lost,
            self._tally.told(self._blob.stem, self._blob.stem),
            self._marks,
            self._base if header else None,
            tracker.led if proven else None,
            self._silence,
        )
