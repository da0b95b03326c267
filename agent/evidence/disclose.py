"""The proof of a range: its entries and what leads them to one signed checkpoint, and nothing else of the log
(docs/evidence-format.md, section 9).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509

from agent.errors import EvidenceError, UsageError
from agent.evidence.anchor import Anchor, LogProofs
from agent.evidence.blobs import Blob
from agent.evidence.identityheads import Found, IdentityHeads, session_of
from agent.evidence.logview import LogView
from agent.evidence.opening import SegmentOpener
from agent.evidence.proof import Piece, json_bytes
from agent.evidence.rangehead import CHAINS, CONSISTENCY, EARLIER, IDENTITY, STATION
from agent.evidence.rangeview import AUTHORITY, PROOF_SUFFIX, TIMESTAMP, entry_name
from agent.evidence.result import SegmentResult
from agent.evidence.sources import CHECKPOINT, Sources
from agent.evidence.stamp import Stamp
from agent.evidence.told import REPORT
from agent.formats import certs, pack
from agent.formats import leaf as leaves

UNVOUCHED = (
    "lacks the identity key's signature, and nothing that can go with the proof vouches for it: by itself it will not "
    "verify"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One part to hand out: in which segment, at which log index."""

    result: SegmentResult
    index: int
    leaf: leaves.MediaLeaf


def recording_parts(log: LogView, recording: str) -> Iterator[Part]:
    """Its sound parts, as they stand in the segments."""
    for result in log.results:
        if result.recording != recording:
            continue
        with result.blob.patient() as window:
            opener = SegmentOpener(window, ())
            for index in opener.entries.indexes:
                leaf = opener.leaf(index)
                if index in result.sound and isinstance(leaf, leaves.MediaLeaf) and leaf.recording == recording:
                    yield Part(result, index, leaf)


class Disclosure:
    """The range of `parts`, in their order, of one recording of a verified log."""

    def __init__(
        self,
        log: LogView,
        recording: str,
        parts: Sequence[Part],
        sources: Sources,
        root: x509.Certificate,
        head: Path | None = None,
        stamp: Stamp | None = None,
    ) -> None:
        """Raises UsageError where the recording's start was not given or `stamp` is of another checkpoint,
        EvidenceError where nothing signed is led to.
        """
        self._stamp = stamp
        self._log, self._recording, self._parts, self._root = log, recording, parts, root
        self._proofs = LogProofs(log, sources, root, head)
        self.left_out: list[int] = []
        """Leaves of the range that are damaged, or not there."""
        self._indexes = self._choose()
        start = self._indexes[0]
        self.anchor: Anchor = self._proofs.anchor(start, self._leaf(start), self._indexes[-1] + 1, stamp)
        # Every path once before anything is written: what cannot be proven is not handed out.
        for index in self._indexes:
            self._proofs.inclusion(self.anchor, index, self._leaf(index))

    @property
    def indexes(self) -> tuple[int, ...]:
        """Of its leaves, in order."""
        return tuple(self._indexes)

    def proven(self, index: int) -> tuple[bytes, bytes]:
        """The leaf, one of `indexes`, and its .tlog-proof. Raises EvidenceError."""
        leaf = self._leaf(index)
        return leaf, self._proofs.inclusion(self.anchor, index, leaf)

    @property
    def unvouched(self) -> int | None:
        """The last leaf that must have the identity key's word, where no head that can go with it has that. Raises
        EvidenceError.
        """
        heads = [self.anchor, *([self._earlier[0]] if self._earlier else []), *(one for one, _ in self._vouching)]
        most = max((anchor.head.point.size for anchor in heads if anchor.head.by_identity), default=0)
        return max((index for index in self._demands.values() if index >= most), default=None)

    @property
    def example(self) -> tuple[int, str]:
        """(index of the first part, SHA-256 of its chain), to show commands with."""
        return self._parts[0].index, self._parts[0].leaf.common.chain

    def pieces(self, exported: Mapping[str, Any], verified: bool, readme: bytes) -> Iterator[Piece]:
        """The members of the proof, one entry in memory at a time. Raises EvidenceError."""
        head = self.anchor.head
        told = {"size": head.point.size, "station": head.station, "cosigned_s": head.time_s}
        report = {"v": 1, "export": dict(exported), "verification": {"verified": verified, "checkpoint": told}}
        yield Piece("README.txt", readme)
        yield Piece(REPORT, json_bytes(report))
        yield Piece("trust/root.pem", certs.pem([self._root]))
        yield from self._heads()
        if self._stamp is not None:
            yield Piece(TIMESTAMP, self._stamp.data)
            if self._stamp.authority is not None:
                yield Piece(AUTHORITY, self._stamp.authority)
        yield self._init()
        for index in self._indexes:
            yield from self._entry(index)

    # -- which entries ---------------------------------------------------------------------------------------------

    def _choose(self) -> list[int]:
        first, last, state = self._parts[0], self._parts[-1], self._log.watch.recordings[self._recording]
        if state.started is None or self._result(state.started) is None:
            raise UsageError(
                f"the start of {self._recording} (leaf {int(self._recording[1:11])}) is in no segment given",
                "name the segments that hold the recording's start too, or their directory",
            )
        wanted = {state.started, *range(first.index, last.index + 1)}
        session = max((i for i in self._log.watch.session_leaves if i <= first.index), default=None)
        if session is not None and self._chain_at(session) == first.leaf.common.chain:
            wanted.add(session)
        if state.ended and last.leaf.part + 1 == state.said_parts:
            wanted.add(state.last_index)
        sound = {i for i in wanted if (r := self._result(i)) is not None and i in r.sound}
        self.left_out = sorted(wanted - sound)
        return sorted(sound)

    def _result(self, index: int) -> SegmentResult | None:
        at = bisect_right(self._log.results, index, key=lambda r: r.first) - 1
        found = self._log.results[at] if at >= 0 else None
        return found if found is not None and index < found.end else None

    def _chain_at(self, index: int) -> str | None:
        result = self._result(index)
        if result is None or index not in result.sound:
            return None
        with result.blob.patient() as window:
            leaf = SegmentOpener(window, ()).leaf(index)
        return leaf.common.chain if leaf is not None else None

    # -- members ---------------------------------------------------------------------------------------------------

    def _heads(self) -> Iterator[Piece]:
        yield Piece(CHECKPOINT, self.anchor.head.data)
        cosigned: Anchor | None = self.anchor if self.anchor.station is not None else None
        if self._earlier is not None:
            cosigned, consistency = self._earlier
            yield Piece(EARLIER, cosigned.head.data)
            yield Piece(CONSISTENCY, consistency)
        if cosigned is not None and cosigned.station is not None:
            yield Piece(STATION, cosigned.station)
        anchors = [anchor for anchor in (self.anchor, cosigned) if anchor is not None]
        found = dict(self._chains)
        for vouching, consistency in self._vouching:
            anchors.append(vouching)
            stem = f"{IDENTITY}/{vouching.head.point.size:010d}"
            yield Piece(f"{stem}.checkpoint", vouching.head.data)
            yield Piece(f"{stem}.consistency", consistency)
        for anchor in anchors:
            found.setdefault(anchor.chain_sha256, anchor.chain)
        for digest, chain in found.items():
            yield Piece(f"{CHAINS}/{digest}.pem", chain)

    @cached_property
    def _earlier(self) -> tuple[Anchor, bytes] | None:
        """Where no station cosigned the anchor: an earlier head of which one did, and what leads from it."""
        return self._proofs.earlier(self.anchor, self._parts[0].index) if self.anchor.station is None else None

    @cached_property
    def _vouching(self) -> list[Found]:
        """Heads that the identity key signed, where the anchors are none that vouch for all that must have its word."""
        anchors = [self.anchor] if self._earlier is None else [self.anchor, self._earlier[0]]
        wanted = {session_of(self._chains[digest]): index for digest, index in self._demands.items()}
        return list(IdentityHeads(self._log, self._proofs, anchors).of(wanted, self._indexes[-1] + 1))

    @cached_property
    def _chains(self) -> dict[str, bytes]:
        """By its digest the chain of each session that wrote any of these leaves."""
        digests = {leaves.parse(self._leaf(index)).common.chain for index in self._indexes}
        return {digest: self._proofs.chain(digest) for digest in sorted(digests)}

    @cached_property
    def _demands(self) -> dict[str, int]:
        """By the chain of their session: the last of these leaves that must have the identity key's word."""
        found = dict[str, int]()
        for index in self._indexes:
            leaf = leaves.parse(self._leaf(index))
            if isinstance(leaf, leaves.EventLeaf) and leaf.kind in leaves.IDENTITY_KINDS:
                found[leaf.common.chain] = index
        return found

    def _init(self) -> Piece:
        """The copy in the first part's segment or, where that is damaged, in another of the recording."""
        wanted = self._parts[0].leaf.init
        for result in [p.result for p in self._parts] + [
            r for r in self._log.results if r.recording == self._recording
        ]:
            blob = self._blob(result, None, pack.INIT)
            if blob is not None and blob.sha256() == wanted:
                return Piece(pack.INIT, blob)
        raise EvidenceError(f"no sound {pack.INIT} of {self._recording} is in the segments given")

    def _entry(self, index: int) -> Iterator[Piece]:
        (leaf, proof), result = self.proven(index), self._result(index)
        sealed = self._blob(result, index, "age") if result is not None else None
        if sealed is None:
            raise EvidenceError(f"the sealed bytes of leaf {index} are not at hand")
        yield Piece(entry_name(index, "age"), sealed)
        yield Piece(entry_name(index, "json"), leaf)
        yield Piece(entry_name(index, PROOF_SUFFIX), proof)

    def _leaf(self, index: int) -> bytes:
        result = self._result(index)
        blob = self._blob(result, index, "json") if result is not None else None
        if blob is None:
            raise EvidenceError(f"leaf {index} is not at hand")
        return blob.read(pack.MAX_LEAF)

    def _blob(self, result: SegmentResult, index: int | None, kind: str) -> Blob | None:
        """Where a member lies: of the entry `index`, or of the segment's head."""
        opener = self._opener(result)
        member = opener.layout.head(kind) if index is None else opener.entries.slots.get(index, {}).get(kind)
        if member is None:
            return None
        return Blob(result.blob.path, member.name, result.blob.start + member.data, member.size)

    def _opener(self, result: SegmentResult) -> SegmentOpener:
        """Of one segment at a time; entries are asked for in order."""
        if self._opened is None or self._opened[0] is not result:
            with result.blob.patient() as window:
                self._opened = (result, SegmentOpener(window, ()))
        return self._opened[1]

    _opened: tuple[SegmentResult, SegmentOpener] | None = None
