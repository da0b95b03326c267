"""What the proof of a whole recording holds of its log: the segments, and what others signed of them
(docs/evidence-format.md, section 9, "Whole").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography import x509

from agent.evidence.anchor import LogProofs
from agent.evidence.blobs import Blob, blob_of
from agent.evidence.cosigned import Cosigned
from agent.evidence.heads import CheckedReceipt
from agent.evidence.identityheads import IdentityHeads
from agent.evidence.logview import LogView
from agent.evidence.proof import Piece, piece_of
from agent.evidence.result import SegmentResult
from agent.evidence.silence import Waiting, unvouched
from agent.evidence.sources import ELSEWHERE, Sources
from agent.formats.kepthead import KeptHead
from agent.formats.tlogproof import Extension, parse_consistency


def inside(log: LogView, name: str) -> list[SegmentResult]:
    """The recording's segments, and those with its start and its end."""
    state, own = log.watch.recordings[name], [r for r in log.results if r.recording == name]
    # There is none of its own where its parts stand in segments of other recordings, which are no recording's.
    first = own[0].first if own else 0
    start = state.started if state.started is not None else first
    last = max([state.last_index, *(r.end - 1 for r in own[-1:])])
    return [r for r in log.results if r.end > start and r.first <= last]


@dataclass
class WholeProof:
    """Of one recording of a verified log. `asked` is the head that the user named; `lacks` tells that others hold some
    of the recording, by receipts that go with it.
    """

    log: LogView
    name: str
    sources: Sources
    root: x509.Certificate
    asked: Path | None
    lacks: bool
    unvouched: list[Waiting] = field(default_factory=list)
    """What waits for the identity key's signature, where nothing at hand that has it can go with them."""

    def pieces(self) -> Iterator[Piece]:
        """Its members, but those that are words. Raises EvidenceError, StorageError."""
        yield from (piece_of("segments", r.blob) for r in self.around)
        yield from self._receipts()
        purges, kept = self._purges()
        yield from (piece_of("purges", blob) for blob in (*purges, *kept))
        yield from self._vouched()
        yield from (Piece(*member) for member in (self.cosigned.members() if self.cosigned is not None else ()))
        if self.asked is not None and not self.asked.name.endswith(".receipt") and self._is_of_log:
            yield piece_of("heads", blob_of(self.asked))

    @cached_property
    def around(self) -> list[SegmentResult]:
        """Its segments, and the next one, which names the last, where it is whole and of no other export. Behind leaves
        that no note explains it would ask for these, though they may be of no concern to the recording.
        """
        found = inside(self.log, self.name)
        end = found[-1].end if found else 0
        after = [r for r in self.log.results if r.first >= end][:1]
        found += [
            r
            for r in after
            if not r.blob.is_open and not self.log.apart(end, r.first) and self.log.purged.explains(end, r.first)
        ]
        return [r for r in found if not r.unread]

    @cached_property
    def cosigned(self) -> Cosigned | None:
        """The earliest cosigned head that has the recording's last leaf, and what leads to it from the last leaves here
        that it has.
        """
        covers = self.log.watch.recordings[self.name].last_index + 1

        def led(size: int) -> int:
            return max((min(size, r.end) for r in self.around if r.first < size), default=0)

        return self._proofs.cosigned(self.name, covers, led)

    @cached_property
    def _proofs(self) -> LogProofs:
        return LogProofs(self.log, self.sources, self.root, self.asked)

    def _purges(self) -> tuple[list[Blob], list[Blob]]:
        """The notes that explain what lacks between these leaves, or of the recording behind them, and the heads kept
        of it.
        """
        first, end = self.around[0].first, self.around[-1].end
        notes = [
            one
            for one in self.log.purges
            if one.note.recording == self.name or any(first <= gone.first < end for gone in one.note.gone)
        ]
        kept = [one for one in self.log.kept if first < one.extension.old <= end]
        return [one.blob for one in notes], [one.blob for one in kept]

    # -- the identity key's word -----------------------------------------------------------------------------------

    def _vouched(self) -> Iterator[Piece]:
        """Heads for leaves for which only what stands behind these segments vouches."""
        first, end = self.around[0].first, self.around[-1].end
        sizes = [one.extension.old for one in self.log.kept if first < one.extension.old <= end]
        sizes += [self.cosigned.extension.old] if self.cosigned is not None and self.cosigned.by_identity else []
        heads, roots = [checked.head for checked in self.log.receipts], self.log.watch.roots
        sizes += [head.size for head in heads if head.signer is not None and roots.get(head.size) == head.root]
        for waits in unvouched(self.around, sizes):
            found = IdentityHeads(self.log, self._proofs, (), self._proofs.tree(waits.end)).beyond(waits)
            if found is None:
                self.unvouched.append(waits)
                continue
            anchor, consistency = found
            kept = KeptHead(Extension(waits.end, parse_consistency(consistency)), anchor.head.data)
            yield Piece(f"purges/{waits.segment}.behind.vouched", kept.to_bytes())

    # -- receipts --------------------------------------------------------------------------------------------------

    @cached_property
    def excuse(self) -> list[CheckedReceipt]:
        """Those that say who has segments which are gone, where the recording lacks some."""
        elsewhere = self.log.elsewhere if self.lacks else None
        return elsewhere.excusing({r.name for r in self.log.results}) if elsewhere is not None else []

    @property
    def _is_of_log(self) -> bool:
        """Whether the head that the user named is one of this log."""
        return any(head.asked for head in self.log.heads)

    def _receipts(self) -> Iterator[Piece]:
        """Those of this log; all of them are small. Those that say who has what lacks lie apart."""
        apart = {checked.sha256 for checked in self.excuse}
        yield from self._as_given(ELSEWHERE, self.excuse)
        yield from self._as_given("receipts", (c for c in self.log.receipts if c.sha256 not in apart))

    def _as_given(self, folder: str, wanted: Iterable[CheckedReceipt]) -> Iterator[Piece]:
        """By their digests, for other logs may have some of the same name; of one name the first has it."""
        given = [*self.sources.receipts]
        if self.asked is not None and self.asked.name.endswith(".receipt") and self._is_of_log:
            given.append(blob_of(self.asked))
        told = list(wanted)
        digests, names = {c.sha256 for c in told}, {c.head.source.removeprefix("receipt ") for c in told}
        held, taken = set[str](), set[str]()
        for blob in (blob for blob in given if blob.name in names):
            if (digest := blob.sha256()) in digests - held:
                held.add(digest)
                piece = piece_of(folder, blob)
                name = piece.name if piece.name not in taken else f"{folder}/{digest[:32]}.receipt"
                taken.add(name)
                yield Piece(name, blob)
