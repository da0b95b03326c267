"""Whether stored bytes are evidence of this camera: one segment, read from the disk, against the agency's root and
the cosigned log (docs/evidence-format.md, section 8, "Per segment").
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from agent import durable
from agent.errors import AgentError, EvidenceError
from agent.formats import certs, merkle, note, pack, possession
from agent.formats import leaf as leaves
from agent.formats.epoch import Link, number_of, parse_link
from agent.station import readback
from agent.station.summary import Summary


class NotYetError(AgentError):
    """Nothing is wrong with the segment, but the log that was cosigned does not reach it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Whose segment it must be. `tree` is the proven tree of `size` leaves with `root`, `cosigned` the checkpoint of it
    that the camera signed and the station did.
    """

    camera: str
    origin: str
    trust: x509.Certificate
    size: int
    root: bytes
    tree: merkle.TileTree
    cosigned: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """Digest and size of the bytes that were read, and what their leaves say; what the log follows, where its first
    leaf is among them; what they answer to the challenge, where there was one. `silent` is the first leaf without the
    signature of the identity key that it demands, where its session has no later one that is known here.
    """

    sha256: str
    size: int
    told: Summary
    link: Link | None = None
    answer: str = ""
    silent: int | None = None


class _Tap:
    """Digest of everything read through it, and the answer that it makes."""

    def __init__(self, read: Callable[[int], bytes], challenge: str) -> None:
        self._read = read
        self._answering = possession.Answering(challenge) if challenge else None
        self.sha256 = hashlib.sha256()
        self.size = 0

    def __call__(self, count: int) -> bytes:
        data = self._read(count)
        self.sha256.update(data)
        self.size += len(data)
        if self._answering:
            self._answering.update(data)
        return data

    @property
    def answer(self) -> str:
        return self._answering.with_end() if self._answering else ""


def check_segment(path: Path, name: str, expected: Expected, challenge: str = "") -> Found:
    """Read the segment once and check all of it. Raises EvidenceError, KeyTrustError, NotYetError, StorageError."""
    with durable.storage_errors(path, "cannot read back"), path.open("rb", buffering=1 << 20) as file:
        readback.forget_cache(file.fileno())
        tap = _Tap(file.read, challenge)
        reader = pack.PackReader(tap)
        header = reader.head()
        _check_head(header, name, expected)
        session = certs.check_session(certs.parse_chain(reader.chain), expected.trust)
        if session.camera != expected.camera:
            raise EvidenceError(f"its chain is of camera {session.camera}")
        walk = _Walk(header, reader, session)
        for entry in reader.entries():
            walk.entry(entry)
        if not reader.sealed:
            raise EvidenceError("it is not sealed")
    _check_log(walk.frontier, expected)
    silent = None if _vouches(expected, session) else walk.silent
    return Found(tap.sha256.hexdigest(), tap.size, walk.told, walk.link, tap.answer, silent)


def _vouches(expected: Expected, session: certs.Session) -> bool:
    """Whether the cosigned checkpoint, whose signatures were checked when it was cosigned, is of this session, and the
    identity key signed it.
    """
    signed = {s.key_id for s in note.parse(expected.cosigned).signatures if s.name == expected.origin}
    own = note.key_id(expected.origin, note.ED25519, note.raw_public(session.key))
    return {own, note.key_id(expected.origin, note.ECDSA, note.spki(session.identity))} <= signed


def _check_head(header: pack.SegmentHeader, name: str, expected: Expected) -> None:
    if (header.camera, header.origin) != (expected.camera, expected.origin):
        raise EvidenceError(f"it is of {header.origin[:80]}, not of {expected.origin}")
    own = f"{header.recording}-{header.seq:04d}" if header.recording else f"e{header.first:010d}-{name[12:]}"
    if own != name:
        raise EvidenceError(f"it calls itself {own}")


def _check_log(frontier: merkle.Frontier, expected: Expected) -> None:
    """The root after its last leaf leads to the cosigned one."""
    if frontier.size > expected.size:
        raise NotYetError(f"it reaches leaf {frontier.size}, the cosigned log {expected.size}")
    proof = merkle.consistency_proof(frontier.size, expected.size, expected.tree.subtree)
    merkle.verify_consistency(frontier.size, frontier.root(), expected.size, expected.root, proof)


class _Walk:
    """Entry by entry: leaf, digests, tree, checkpoint."""

    def __init__(self, header: pack.SegmentHeader, reader: pack.PackReader, session: certs.Session) -> None:
        self._header, self._session = header, session
        self.frontier = header.frontier
        self.link: Link | None = None
        self.silent: int | None = None
        self.told = Summary(header.recording, header.seq, header.first)
        self._chain = hashlib.sha256(reader.chain).hexdigest()
        self._init = hashlib.sha256(reader.init).hexdigest() if reader.init is not None else ""

    def entry(self, entry: pack.Entry) -> None:
        """Raises EvidenceError that names the entry."""
        try:
            leaf = leaves.parse(entry.leaf)
            self._check_leaf(entry, leaf)
            self.frontier = self.frontier.append(merkle.leaf_hash(entry.leaf))
            self._check_note(entry, leaf)
            self.told.add(leaf)
            if entry.index == 0 and number_of(self._header.origin) > 1:
                facts = leaf.facts if isinstance(leaf, leaves.EventLeaf) and leaf.kind is leaves.Kind.SESSION else {}
                self.link = parse_link(facts.get("epoch"), self._header.origin)
        except EvidenceError as err:
            raise EvidenceError(f"entry {entry.index}: {err.message}") from None

    def _check_leaf(self, entry: pack.Entry, leaf: leaves.Leaf) -> None:
        common = leaf.common
        if (common.camera, common.index, entry.index) != (self._header.camera, self.frontier.size, self.frontier.size):
            raise EvidenceError("its leaf is of another camera or index")
        if common.chain != self._chain:
            raise EvidenceError("its leaf names another chain")
        size = common.sealed.header_size
        if size > len(entry.sealed) or leaves.Sealed.of(entry.sealed, size) != common.sealed:
            raise EvidenceError("its sealed bytes are not those of its leaf")
        if isinstance(leaf, leaves.MediaLeaf) and (leaf.recording, leaf.init) != (self._header.recording, self._init):
            raise EvidenceError("its leaf names another recording or init")

    def _check_note(self, entry: pack.Entry, leaf: leaves.Leaf) -> None:
        signed, origin = note.parse(entry.note), self._header.origin
        if signed.to_bytes() != entry.note:
            raise EvidenceError("its checkpoint is not in its one spelling")
        if note.parse_checkpoint(signed.text) != note.Checkpoint(origin, self.frontier.size, self.frontier.root()):
            raise EvidenceError("its checkpoint is not of the leaves up to here")
        note.verify_ed25519(signed, origin, self._session.key)
        by_identity = note.verify_ecdsa(signed, origin, self._session.identity)
        if len(signed.signatures) != 1 + by_identity:
            raise EvidenceError("its checkpoint carries other signatures")
        if by_identity:
            self.silent = None
        elif isinstance(leaf, leaves.EventLeaf) and leaf.kind in leaves.IDENTITY_KINDS and self.silent is None:
            # A key in hardware that did not answer: whether a later checkpoint vouches for the leaf shows later.
            self.silent = leaf.common.index
