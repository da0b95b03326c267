"""The signed checkpoint that a range leads to: which one, by whose signature, with which chains."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from cryptography import x509

from agent.errors import AgentError, EvidenceError, KeyTrustError, UsageError
from agent.evidence.blobs import read_small
from agent.evidence.cosigned import Cosigned
from agent.evidence.heads import MAX_BYTES, TileLog
from agent.evidence.keptheads import Kept
from agent.evidence.layout import Scanner
from agent.evidence.loghashes import LogHashes
from agent.evidence.logview import LogView
from agent.evidence.opening import SegmentOpener
from agent.evidence.rangehead import SignedHead, signed_head, station_of
from agent.evidence.result import SegmentResult
from agent.evidence.sources import Sources
from agent.evidence.stamp import STAMP_HINT, Stamp
from agent.evidence.trust import Trust
from agent.formats import certs, merkle, note, pack, tlogproof


@dataclass(frozen=True, slots=True)
class Anchor:
    """The head, the chain of the session that signed it, and where a station cosigned it the certificates of its key,
    as `station.pem` holds them.
    """

    head: SignedHead
    chain: bytes
    station: bytes | None = None

    @property
    def chain_sha256(self) -> str:
        return hashlib.sha256(self.chain).hexdigest()


class LogProofs:
    """Paths, heads and chains of one verified log. No path is handed out that was not followed to its signed root."""

    def __init__(self, log: LogView, sources: Sources, root: x509.Certificate, asked: Path | None) -> None:
        self._log, self._asked = log, asked
        self._trust = Trust(root)
        self._tiles = list(self._own_tiles(sources))
        self._hashes = LogHashes(log.results, self._tiles)
        for one in log.cosigned:
            self._hashes.learn_extension(one.extension, one.head.point.size)
        self._kept = [one for one in log.kept if self._leads_to(one)]
        for kept in self._kept:
            self._hashes.learn_extension(kept.extension, kept.head.size)
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
        for data, station in self._candidates(end):
            if stamp is not None and not stamp.covers(data):
                continue
            try:
                anchor = self._signed(data, station)
                self.inclusion(anchor, first, leaf)
                self._hashes.subtree(end - 1, end)
                # Behind it leaves may not be at hand: then the first may be led further than those before the gap.
                merkle.inclusion_proof(end - 1, anchor.head.point.size, self._hashes.subtree)
                return anchor
            except AgentError as err:
                problem = err.message
        if stamp is not None and not problem:
            raise UsageError(f"{stamp.name} is over no checkpoint at hand that covers these parts", STAMP_HINT)
        raise EvidenceError(f"the parts cannot be proven: {problem or 'no checkpoint covers them'}")

    def earlier(self, anchor: Anchor, above: int) -> tuple[Anchor, bytes] | None:
        """The largest cosigned head of more than `above` leaves that the anchor's tree continues, and the proof."""
        point = anchor.head.point
        for size, data, station in reversed(self._cosigned()):
            if not above < size < point.size:
                continue
            try:
                old = self._signed(data, station)
                return old, self.consistency(old.head.point, point)
            except AgentError:
                continue
        return None

    def cosigned(self, name: str, covers: int, led: Callable[[int], int]) -> Cosigned | None:
        """The earliest cosigned head of at least `covers` leaves, and what leads to it from those below as many as
        `led` has for a head of its size.
        """
        for size, data, station in self._cosigned():
            if size < covers:
                continue
            try:
                anchor, old = self._signed(data, station), led(size)
                hashes = merkle.consistency_proof(old, size, self._hashes.subtree)
                found = Cosigned(name, anchor.head, tlogproof.Extension(old, tuple(hashes)), station, anchor.chain)
                found.check(self._hashes.subtree(0, old))
            except AgentError:
                continue
            return found
        return None

    def tree(self, size: int) -> note.Checkpoint:
        """The log of so many leaves, which nobody need have signed. Raises EvidenceError."""
        return note.Checkpoint(self._log.origin, size, self._hashes.subtree(0, size))

    def consistency(self, one: note.Checkpoint, other: note.Checkpoint) -> bytes:
        """What leads from the smaller of two trees to the larger. Raises EvidenceError."""
        old, new = sorted((one, other), key=lambda point: point.size)
        if old.size == new.size:
            merkle.verify_consistency(old.size, old.root, new.size, new.root, ())
            return b""
        hashes = merkle.consistency_proof(old.size, new.size, self._hashes.subtree)
        merkle.verify_consistency(old.size, old.root, new.size, new.root, hashes)
        return tlogproof.consistency_text(hashes)

    def by_identity(self, data: bytes) -> Anchor:
        """A checkpoint that the identity key signed, without what others put on it. Raises EvidenceError,
        KeyTrustError.
        """
        parsed = note.parse(data)
        origin = note.parse_checkpoint(parsed.text).origin
        anchor = self._signed(
            note.Note(parsed.text, tuple(s for s in parsed.signatures if s.name == origin)).to_bytes(), None
        )
        if origin != self._log.origin or not anchor.head.by_identity:
            raise EvidenceError("the identity key did not sign it")
        return anchor

    def beside(self) -> Iterator[bytes]:
        """Checkpoints of the log that stand in none of its segments."""
        yield from (data for _, data, _ in self._cosigned())
        yield from (kept.checkpoint() for kept in self._kept)
        for _, read in (*self._asked_note(), *((t.size, t.note) for t in self._tiles)):
            yield read()

    def _leads_to(self, kept: Kept) -> bool:
        """Whether the leaves at hand lead to it."""
        try:
            kept.check(self._hashes.subtree(0, kept.extension.old))
        except EvidenceError:
            return False
        return True

    # -- candidates ------------------------------------------------------------------------------------------------

    def _cosigned(self) -> list[tuple[int, bytes, bytes]]:
        """(leaves, checkpoint, certificates of the station) of every cosigned head at hand, by their size."""
        found = [(o.head.point.size, o.head.data, o.station) for o in self._log.cosigned]
        for checked in self._log.receipts:
            own = checked.receipt
            found.append((checked.head.size, own.checkpoint, certs.pem([certs.parse_der(c) for c in own.certificates])))
        return sorted(found, key=lambda f: f[0])

    def _candidates(self, end: int) -> Iterator[tuple[bytes, bytes | None]]:
        yield from ((data, station) for size, data, station in self._cosigned() if size >= end)
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
            with result.blob.patient() as window:
                member = SegmentOpener(window, ()).entries.slots.get(last, {}).get("note")
                return window.at(member.data, member.size) if member is not None else b""

        return read

    def _signed(self, data: bytes, pem: bytes | None) -> Anchor:
        """Raises EvidenceError, KeyTrustError."""
        parsed = note.parse(data)
        point, first = note.parse_checkpoint(parsed.text), parsed.signatures[0].key_id
        station = station_of(pem, self._trust.root) if pem is not None else None
        for own in self._each_chain(lambda key: note.key_id(point.origin, note.ED25519, key) == first):
            session = self._trust.learn(own)
            if note.key_id(point.origin, note.ED25519, note.raw_public(session.key)) == first:
                head = signed_head(data, {"": session}, station)
                return Anchor(head, own, pem if head.time_s is not None else None)
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
        beside = (data for tiles in self._tiles for _, data in tiles.chains(self._trust))
        for data in chain((one.chain for one in self._log.cosigned), beside):
            if data not in seen:
                seen.add(data)
                yield data

    def _chain_of(self, result: SegmentResult) -> bytes | None:
        if result.name not in self._chains:
            with result.blob.patient() as window:
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
