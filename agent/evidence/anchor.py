"""The signed checkpoint that a range leads to: which one, by whose signature, with which chains."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from agent.errors import AgentError, EvidenceError, KeyTrustError, UsageError
from agent.evidence.blobs import read_small
from agent.evidence.gaps import LogView
from agent.evidence.heads import MAX_BYTES, CheckedReceipt, TileLog
from agent.evidence.layout import Scanner
from agent.evidence.loghashes import LogHashes
from agent.evidence.opening import SegmentOpener
from agent.evidence.rangehead import SignedHead, signed_head
from agent.evidence.segment import SegmentResult
from agent.evidence.sources import Sources
from agent.evidence.stamp import STAMP_HINT, Stamp
from agent.evidence.trust import Trust
from agent.formats import certs, merkle, note, pack, tlogproof


@dataclass(frozen=True, slots=True)
class Anchor:
    """The head, the chain of the session that signed it, and the receipt whose cosignature it bears."""

    head: SignedHead
    chain: bytes
    receipt: CheckedReceipt | None = None

    @property
    def chain_sha256(self) -> str:
        return hashlib.sha256(self.chain).hexdigest()

    def station_pem(self) -> bytes:
        """The certificates of the receipt key, as `station.pem` holds them. Only where it is cosigned."""
        assert self.receipt is not None
        return certs.pem([certs.parse_der(c) for c in self.receipt.receipt.certificates])


class LogProofs:
    """Paths, heads and chains of one verified log. No path is handed out that was not followed to its signed root."""

    def __init__(self, log: LogView, sources: Sources, root: x509.Certificate, asked: Path | None) -> None:
        self._log, self._asked = log, asked
        self._trust = Trust(root)
        self._tiles = list(self._own_tiles(sources))
        self._hashes = LogHashes(log.results, self._tiles)
        self._chains: dict[str, bytes] = {}

    def chain(self, digest: str) -> bytes:
        """The chain.pem of this SHA-256. Raises EvidenceError."""
        for found in self._each_chain():
            if hashlib.sha256(found).hexdigest() == digest:
                return found
        raise EvidenceError(f"the certificate chain {digest} is in none of the segments given")

    def inclusion(self, anchor: Anchor, index: int, leaf: bytes) -> bytes:
        """The leaf's .tlog-proof. Raises EvidenceError."""
        point = anchor.head.point
        hashes = merkle.inclusion_proof(index, point.size, self._hashes.subtree)
        merkle.verify_inclusion(merkle.leaf_hash(leaf), index, point.size, hashes, point.root)
        return tlogproof.InclusionProof(index, tuple(hashes), anchor.head.data).to_bytes()

    def anchor(self, first: int, leaf: bytes, end: int, stamp: Stamp | None = None) -> Anchor:
        """The earliest cosigned head of at least `end` leaves; else the newest that the camera signed. With a `stamp`
        only that of which it was made. Raises EvidenceError where there is none that the leaf `first` can be led to,
        UsageError where there is none that was stamped.
        """
        problem = ""
        for data, receipt in self._candidates(end):
            if stamp is not None and not stamp.covers(data):
                continue
            try:
                anchor = self._signed(data, receipt)
                self.inclusion(anchor, first, leaf)
                self._hashes.subtree(end - 1, end)
                return anchor
            except AgentError as err:
                problem = err.message
        if stamp is not None and not problem:
            raise UsageError(f"{stamp.name} is over no checkpoint at hand that covers these parts", STAMP_HINT)
        raise EvidenceError(f"the parts cannot be proven: {problem or 'no checkpoint covers them'}")

    def earlier(self, anchor: Anchor, above: int) -> tuple[Anchor, bytes] | None:
        """The largest cosigned head of more than `above` leaves that the anchor's tree continues, and the proof."""
        point = anchor.head.point
        fit = [r for r in self._log.receipts if above < r.head.size < point.size]
        for receipt in sorted(fit, key=lambda r: -r.head.size):
            try:
                old = self._signed(receipt.receipt.checkpoint, receipt)
                hashes = merkle.consistency_proof(old.head.point.size, point.size, self._hashes.subtree)
                merkle.verify_consistency(old.head.point.size, old.head.point.root, point.size, point.root, hashes)
                return old, tlogproof.consistency_text(hashes)
            except AgentError:
                continue
        return None

    # -- candidates ------------------------------------------------------------------------------------------------

    def _candidates(self, end: int) -> Iterator[tuple[bytes, CheckedReceipt | None]]:
        for receipt in sorted(self._log.receipts, key=lambda r: r.head.size):
            if receipt.head.size >= end:
                yield receipt.receipt.checkpoint, receipt
        alone = [*self._asked_note(), *((t.size, t.note) for t in self._tiles)]
        alone += [(r.end, self._last_note(r)) for r in self._log.results if r.end >= end]
        for size, read in sorted(alone, key=lambda c: -c[0]):
            if size >= end:
                yield read(), None

    def _asked_note(self) -> Iterator[tuple[int, Callable[[], bytes]]]:
        """--head, where it is a checkpoint of this log and no receipt."""
        try:
            data = read_small(self._asked, MAX_BYTES) if self._asked else b""
            point = note.parse_checkpoint(note.parse(data).text)
        except AgentError:
            return
        if point.origin == self._log.origin:
            yield point.size, lambda: data

    @staticmethod
    def _last_note(result: SegmentResult) -> Callable[[], bytes]:
        def read() -> bytes:
            last = max(result.sound, default=-1)
            with result.blob.reader() as window:
                member = SegmentOpener(window, ()).entries.slots.get(last, {}).get("note")
                return window.at(member.data, member.size) if member is not None else b""

        return read

    def _signed(self, data: bytes, receipt: CheckedReceipt | None) -> Anchor:
        """Raises EvidenceError, KeyTrustError."""
        parsed = note.parse(data)
        point, first = note.parse_checkpoint(parsed.text), parsed.signatures[0].key_id
        station = None
        if receipt is not None:
            chain = [certs.parse_der(c) for c in receipt.receipt.certificates]
            station = certs.check_receipt_key(chain, self._trust.root)
        for pem in self._each_chain(lambda key: note.key_id(point.origin, note.ED25519, key) == first):
            session = self._trust.learn(pem)
            if note.key_id(point.origin, note.ED25519, note.raw_public(session.key)) == first:
                head = signed_head(data, {"": session}, station)
                return Anchor(head, pem, receipt if head.time_s is not None else None)
        raise EvidenceError(f"no chain given is of the session that signed the checkpoint of {point.size} leaves")

    # -- chains ----------------------------------------------------------------------------------------------------

    def _each_chain(self, wanted: Callable[[bytes], bool] = lambda key: True) -> Iterator[bytes]:
        """Trusted ones, each once, of `wanted` session keys as far as that is known; segments are opened as far as
        somebody asks on.
        """
        seen = set()
        for result in reversed(self._log.results):
            if result.session is not None and not wanted(note.raw_public(result.session.key)):
                continue
            data = self._chain_of(result)
            if data is not None and data not in seen:
                seen.add(data)
                yield data
        for tiles in self._tiles:
            for _, data in tiles.chains(self._trust):
                if data not in seen:
                    seen.add(data)
                    yield data

    def _chain_of(self, result: SegmentResult) -> bytes | None:
        if result.name not in self._chains:
            with result.blob.reader() as window:
                member = Scanner(window).run(head_only=True).head(pack.CHAIN)
                self._chains[result.name] = window.at(member.data, member.size) if member else b""
        try:
            self._trust.learn(self._chains[result.name])
        except KeyTrustError:
            return None
        return self._chains[result.name]

    def _own_tiles(self, sources: Sources) -> Iterator[TileLog]:
        for directory in sources.logs:
            tiles = TileLog(directory)
            try:
                tiles.load(self._trust)
            except AgentError:
                continue
            if tiles.origin == self._log.origin:
                yield tiles
