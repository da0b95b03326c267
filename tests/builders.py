"""Valid evidence, made from `agent.formats` alone, with every step open to a test that wants to forge something.

Nothing here is the recorder: the verifier is held against the format page, not against the writer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import events
from agent.formats import age, certs, merkle, note, pack, purge, receipt, revocation
from agent.formats import leaf as leaves
from agent.formats.epoch import Link, Why, split
from agent.formats.leaf import Kind
from agent.formats.seal import SealRecord
from agent.model import NS

T0 = datetime(2026, 3, 1, 8, 0, 0, tzinfo=UTC)
BOOTS = [f"{n}{n}{n}{n}{n}{n}{n}{n}-0000-4000-8000-00000000000{n}" for n in range(10)]
INIT = b"ftyp and moov of a recording"


@dataclass
class Agency:
    """Root, issuing CA, one age identity, one station with its receipt key."""

    name: str
    root_key: ec.EllipticCurvePrivateKey
    root: x509.Certificate
    issuing_key: ec.EllipticCurvePrivateKey
    issuing: x509.Certificate
    identity: age.Identity
    station: str
    receipt_key: Ed25519PrivateKey
    receipt_cert: x509.Certificate

    def write_trust(self, directory: Path) -> tuple[Path, Path]:
        """(root.pem, agency.agekey) below `directory`."""
        root, key = directory / "root.pem", directory / "agency.agekey"
        root.write_bytes(certs.pem([self.root]))
        key.write_text(age.identity_file(self.identity, "agency, for tests"))
        return root, key


def make_agency(
    name: str = "agency",
    ca_keys: Sequence[ec.EllipticCurvePrivateKey] = (),
    receipt_key: Ed25519PrivateKey | None = None,
    identity: age.Identity | None = None,
) -> Agency:
    """With fresh keys, or those of root and issuing CA, of the station, and of the holder of recordings."""
    root_key, issuing_key = ca_keys or (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = certs.issue(
        name=name, role=certs.ROOT, public=root_key.public_key(), issuer=None, issuer_key=root_key, not_before=T0,
        path_length=2,
    )  # fmt: skip
    issuing = certs.issue(
        name=name, role=certs.ISSUING, public=issuing_key.public_key(), issuer=root, issuer_key=root_key,
        not_before=T0, path_length=1,
    )  # fmt: skip
    receipt_key = receipt_key or Ed25519PrivateKey.generate()
    station = "station.test"
    receipt_cert = certs.issue(
        name=station, role=certs.RECEIPT, public=receipt_key.public_key(), issuer=issuing, issuer_key=issuing_key,
        not_before=T0,
    )  # fmt: skip
    opener = identity or age.X25519Identity.generate()
    return Agency(name, root_key, root, issuing_key, issuing, opener, station, receipt_key, receipt_cert)


@cache
def agency() -> Agency:
    """One for all tests: making keys is what it costs."""
    return make_agency()


@dataclass
class StoredEntry:
    """The three members of one entry; a test may replace any of them."""

    index: int
    sealed: bytes
    leaf: bytes
    note: bytes

    def to_bytes(self) -> bytes:
        return pack.entry(self.index, self.sealed, self.leaf, self.note)


@dataclass
class Segment:
    """A segment as its pieces; `to_bytes` packs whatever they are by then."""

    name: str
    header: pack.SegmentHeader
    chain: bytes
    init: bytes | None
    entries: list[StoredEntry] = field(default_factory=list)
    sealed: bool = True

    def head_bytes(self) -> bytes:
        init = pack.member(pack.INIT, self.init) if self.init is not None else b""
        return init + pack.member(pack.HEADER, self.header.to_bytes()) + pack.member(pack.CHAIN, self.chain)

    def to_bytes(self) -> bytes:
        body = b"".join(e.to_bytes() for e in self.entries)
        return self.head_bytes() + body + (pack.TRAILER if self.sealed else b"")

    def record(self) -> SealRecord:
        data = self.to_bytes()
        h = self.header
        digest = hashlib.sha256(data).hexdigest()
        return SealRecord(self.name, len(data), digest, h.first, len(self.entries), h.recording, h.seq)

    def write(self, directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.name}.tar"
        path.write_bytes(self.to_bytes())
        return path


class Camera:
    """Writes one log. Call order is the recorder's: session, start, media ..., stop, seal, and so on."""

    def __init__(
        self,
        agency: Agency,
        name: str = "cam-0001",
        seed: int = 1,
        identity_key: ec.EllipticCurvePrivateKey | None = None,
    ) -> None:
        self.agency, self.name = agency, name
        self.origin = f"bodycam.local/{name}/1"
        self.random = random.Random(seed)
        self.identity_key = identity_key or ec.generate_private_key(ec.SECP256R1())
        self.identity_cert = certs.issue(
            name=name, role=certs.IDENTITY, public=self.identity_key.public_key(), issuer=agency.issuing,
            issuer_key=agency.issuing_key, not_before=T0, path_length=0,
        )  # fmt: skip
        self.link: dict[str, Any] | None = None
        self.frontier = merkle.Frontier()
        self.hashes: list[bytes] = []
        self.roots = [merkle.EMPTY_ROOT]
        self.segments: list[Segment] = []
        self.open: Segment | None = None
        self.owed: list[SealRecord] = []
        self.mono_ns = 5 * NS
        self.utc_source = "synchronised"
        self.boot = -1
        self.recording: str | None = None
        self.parts = 0
        self.seq = 0
        self.zero_ns = 0
        self.part_ns = NS // 2
        self.start_ns = 0
        self.recipients: Sequence[age.Recipient] = (agency.identity.recipient,)
        self.new_session_key: Callable[[], Ed25519PrivateKey] = Ed25519PrivateKey.generate
        # A hook for forgers: the leaf just before it is hashed and signed.
        self.forge: Callable[[leaves.Leaf], leaves.Leaf] = lambda leaf: leaf

    # -- sessions --------------------------------------------------------------------------------------------------

    def new_session(self, same_boot: bool = False, counter: object = None) -> Camera:
        """A fresh session key, and the leaf that opens it; `counter` is what the hardware counter is said to be."""
        if not same_boot:
            self.boot += 1
            self.mono_ns = 5 * NS
        self.session_key = self.new_session_key()
        cert = certs.issue(
            name=f"{self.name} {BOOTS[self.boot]}", role=certs.SESSION, public=self.session_key.public_key(),
            issuer=self.identity_cert, issuer_key=self.identity_key, not_before=T0,
        )  # fmt: skip
        self.chain = certs.pem([cert, self.identity_cert, self.agency.issuing])
        self.cert_sha256 = hashlib.sha256(certs.der(cert)).hexdigest()
        self.close_segment()
        size = self.frontier.size
        resumes = {"size": size, "root": note.b64(self.frontier.root())} if size else None
        self._open_events()
        facts: dict[str, Any] = {"session_cert": self.cert_sha256, "resumes": resumes, "receipt": None, "agent": "0"}
        if counter is not None:
            facts["counter"] = counter
        if self.link is not None and not size:
            facts["epoch"] = self.link
        self.event(Kind.SESSION, facts=facts)
        self._announce()
        return self

    def next_epoch(
        self,
        why: Why = Why.DAMAGED,
        follows: note.Checkpoint | None = None,
        left: note.Checkpoint | None = None,
        counter: object = None,
    ) -> Camera:
        """The same camera, beginning another log: a writer of its own, since this one's segments stay as they are."""
        after = Camera(self.agency, self.name, self.random.randrange(1 << 30), self.identity_key)
        stem, number = split(self.origin)
        after.origin, after.boot, after.identity_cert = f"{stem}/{number + 1}", self.boot, self.identity_cert
        after.link = Link(why, follows or self.head(), left).facts()
        return after.new_session(counter=counter)

    def head(self, size: int | None = None) -> note.Checkpoint:
        """The log at a size, else as it stands."""
        size = self.frontier.size if size is None else size
        return note.Checkpoint(self.origin, size, self.roots[size])

    def shutdown(self) -> Camera:
        self.event(Kind.SHUTDOWN)
        self.close_segment()
        return self

    def crash(self, drop_entries: int = 0, same_boot: bool = False) -> Camera:
        """Power gone: the open segment keeps all but the last entries, as recovery finds it; a new boot follows, or in
        the `same_boot`, where only the recorder ended, another session.
        """
        segment = self.open
        assert segment is not None
        if drop_entries:
            segment.entries = segment.entries[:-drop_entries]
            self._rewind(segment.header.first + len(segment.entries))
        parts = sum(b'"class":"media"' in e.leaf for e in segment.entries)
        cut = self.recording
        said = {"segment": segment.name, "entries": len(segment.entries), "torn_bytes": 100 * drop_entries}
        if cut:
            said |= {"parts": self.parts - (drop_entries if parts else 0), "interrupted": True}
        self.recording = None
        self.new_session(same_boot)
        self.event(Kind.RECOVERY, facts=said, recording=cut)
        return self

    def _rewind(self, size: int) -> None:
        self.hashes = self.hashes[:size]
        self.roots = self.roots[: size + 1]
        self.frontier = frontier_of(self.hashes)

    # -- segments --------------------------------------------------------------------------------------------------

    def _open_events(self) -> None:
        name = f"e{self.frontier.size:010d}-{self.random.randbytes(4).hex()}"
        self.open = Segment(name, pack.SegmentHeader(self.origin, self.name, None, 0, self.frontier), self.chain, None)

    def _open_media(self) -> None:
        assert self.recording
        self.close_segment()
        header = pack.SegmentHeader(self.origin, self.name, self.recording, self.seq, self.frontier)
        self.open = Segment(f"{self.recording}-{self.seq:04d}", header, self.chain, self.init)
        self._announce()

    def close_segment(self) -> None:
        if self.open is not None:
            self.segments.append(self.open)
            self.owed.append(self.open.record())
            self.open = None

    def _announce(self) -> None:
        while self.owed:
            record = self.owed.pop(0)
            self.event(Kind.SEAL, {"type": "seal"}, record.facts(), record.recording)

    # -- leaves ----------------------------------------------------------------------------------------------------

    def event(
        self,
        kind: Kind = Kind.EVENT,
        body: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        recording: str | None = None,
    ) -> int:
        if self.open is None:
            self._open_events()
            self._announce()
        plain, digest = leaves.seal_body(body or {"type": kind.value}, self.random.randbytes(32))
        return self._append(plain, lambda common: leaves.EventLeaf(common, kind, recording, dict(facts or {}), digest))

    def start(self, init: bytes = INIT, counter: object = None) -> str:
        if self.open is None:
            self._open_events()
            self._announce()
        self.recording = f"r{self.frontier.size:010d}-{self.random.randbytes(4).hex()}"
        facts = {} if counter is None else {"counter": counter}
        body = events.RecordStart("test", 0, self.mono_ns).body()
        self.event(Kind.START, body, recording=self.recording, facts=facts)
        self.parts = self.seq = 0
        self.start_ns = 0
        self.zero_ns = self.mono_ns
        self.init = age.encrypt(init, self.recipients).data
        self._open_media()
        return self.recording

    def part(self, data: bytes | None = None, size: int = 300) -> int:
        name, number, start = self.recording, self.parts, self.start_ns
        assert name
        init = hashlib.sha256(self.init).hexdigest()
        index = self._append(
            data if data is not None else self.random.randbytes(size),
            lambda common: leaves.MediaLeaf(
                common, name, number, number % 2 == 0, self.zero_ns, start, self.part_ns, init
            ),
        )
        self.parts += 1
        self.start_ns += self.part_ns
        return index

    def rotate(self) -> None:
        self.seq += 1
        self._open_media()

    def stop(self) -> None:
        self.event(
            Kind.STOP, events.RecordStop("test").body(), {"parts": self.parts, "interrupted": False}, self.recording
        )
        self.recording = None
        self.close_segment()

    def _append(self, plain: bytes, make: Callable[[leaves.Common], leaves.Leaf]) -> int:
        assert self.open is not None
        sealed = age.encrypt(plain, self.recipients)
        index = self.frontier.size
        self.mono_ns += NS // 2
        utc = (T0 + timedelta(microseconds=(self.boot * 3600 * NS + self.mono_ns) // 1000)).strftime(
            "%Y-%m-%dT%H:%M:%S.%fZ"
        )
        stamp = leaves.Stamp(BOOTS[self.boot], self.mono_ns, self.mono_ns + NS, utc, self.utc_source, 12)
        common = leaves.Common(
            self.name, index, stamp, hashlib.sha256(self.chain).hexdigest(),
            age.recipient_set_hash(self.recipients), leaves.Sealed.of(sealed.data, sealed.header_size),
        )  # fmt: skip
        leaf = self.forge(make(common))
        data = leaves.to_bytes(leaf)
        self.hashes.append(merkle.leaf_hash(data))
        self.frontier = self.frontier.append(self.hashes[-1])
        self.roots.append(self.frontier.root())
        strong = isinstance(leaf, leaves.EventLeaf) and leaf.kind in (
            Kind.SESSION, Kind.START, Kind.STOP, Kind.RECOVERY, Kind.SHUTDOWN
        )  # fmt: skip
        self.open.entries.append(StoredEntry(index, sealed.data, data, self.checkpoint(index + 1, strong)))
        return index

    def checkpoint(self, size: int, by_identity: bool = False) -> bytes:
        """The signed head of the first `size` leaves."""
        text = note.Checkpoint(self.origin, size, self.roots[size]).text()
        return self.sign(text, by_identity)

    def sign(self, text: str, by_identity: bool = False) -> bytes:
        signatures = [note.sign_ed25519(text, self.origin, self.session_key)]
        if by_identity:
            der = self.identity_key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
            signatures.append(note.ecdsa_signature(self.origin, self.identity_key.public_key(), der))
        return note.Note(text, tuple(signatures)).to_bytes()

    # -- the station -----------------------------------------------------------------------------------------------

    def receipt(
        self,
        segments: Sequence[Segment],
        size: int | None = None,
        cosigned_s: int | None = None,
        leaves_of: Callable[[Segment], tuple[int, int]] = lambda segment: (0, 0),
    ) -> bytes:
        """The station's receipt for these segments, cosigning the head of `size` leaves (all by default); `leaves_of`
        gives what a line says of its leaves: the first, and how many, of which 0 says nothing.
        """
        a = self.agency
        size = self.frontier.size if size is None else size
        checkpoint = note.parse(self.docked(size))
        issued = int(T0.timestamp()) + 7200
        cosigned = checkpoint.with_signatures([
            note.cosign(checkpoint.text, a.station, a.receipt_key, issued if cosigned_s is None else cosigned_s)
        ])  # fmt: skip
        stored = tuple(
            receipt.Stored(r.sha256, r.size, r.segment, f"disk:{r.segment}", 0, "", *leaves_of(segment))
            for r, segment in ((s.record(), s) for s in segments)
        )
        chain = (certs.der(a.receipt_cert), certs.der(a.issuing))
        told = receipt.Receipt(a.station, self.origin, self.name, issued, cosigned.to_bytes(), stored, chain)
        text = told.text()
        return note.Note(text, (note.sign_ed25519(text, a.station, a.receipt_key),)).to_bytes()

    def docked(self, size: int) -> bytes:
        """The head that a station is shown at the dock."""
        return self.checkpoint(size, by_identity=True)

    def revocation(self, size: int | None, camera: str = "", reason: str = "lost on 3 May") -> bytes:
        """The station's revocation: the first `size` leaves of this log count; None names no log."""
        a = self.agency
        logs = () if size is None else (revocation.Counted(self.origin, size, frontier_of(self.hashes[:size]).root()),)
        chain, issued = (certs.der(a.receipt_cert), certs.der(a.issuing)), int(T0.timestamp()) + 9000
        text = revocation.Revocation(a.station, camera or self.name, issued, reason, logs, chain).text()
        return note.Note(text, (note.sign_ed25519(text, a.station, a.receipt_key),)).to_bytes()

    def purge(self, segments: Sequence[Segment], **changes: Any) -> bytes:
        """The station's purge note of these segments of one recording, a day after their days were over."""
        a, until = self.agency, int(T0.timestamp()) + 90 * 86_400
        gone = tuple(
            purge.Gone(r.sha256, r.size, r.segment, r.first, r.entries) for r in (s.record() for s in segments)
        )
        chain, recording = (certs.der(a.receipt_cert), certs.der(a.issuing)), segments[0].name[:20]
        told = purge.Purge(a.station, self.origin, self.name, recording, until, until + 86_400, gone, chain)
        text = dataclasses.replace(told, **changes).text()
        return note.Note(text, (note.sign_ed25519(text, a.station, a.receipt_key),)).to_bytes()

    # -- files -----------------------------------------------------------------------------------------------------

    def write(self, directory: Path) -> list[Path]:
        """All closed segments."""
        return [s.write(directory) for s in self.segments]

    def write_log(self, directory: Path, size: int | None = None) -> None:
        """Tiles, checkpoint and chain, as a spool's log/<epoch> holds them."""
        size = self.frontier.size if size is None else size
        for tile in merkle.tiles_of(size):
            path = directory / tile.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._tile(tile))
        (directory / "checkpoint").write_bytes(self.checkpoint(size, by_identity=True))
        (directory / "chain.pem").write_bytes(self.chain)

    def _tile(self, tile: merkle.TileId) -> bytes:
        width = merkle.TILE_WIDTH**tile.level
        first = tile.index * merkle.TILE_WIDTH
        spans = [self.hashes[(first + n) * width : (first + n + 1) * width] for n in range(tile.width)]
        return b"".join(frontier_of(span).root() for span in spans)


def frontier_of(hashes_of_leaves: Sequence[bytes]) -> merkle.Frontier:
    frontier = merkle.Frontier()
    for value in hashes_of_leaves:
        frontier = frontier.append(value)
    return frontier


def replaced(leaf: leaves.Leaf, **changes: Any) -> leaves.Leaf:
    """The leaf with other fields, common ones too."""
    common = {k: changes.pop(k) for k in list(changes) if k in leaves.Common.__dataclass_fields__}
    return dataclasses.replace(leaf, common=dataclasses.replace(leaf.common, **common), **changes)


def simple_camera(parts: int = 6, rotate_after: int = 3, seed: int = 1, part_bytes: int = 300) -> Camera:
    """Session, one recording of two segments, stop, shutdown: segments e, r-0000, r-0001, e."""
    camera = Camera(agency(), seed=seed).new_session()
    camera.start()
    for number in range(parts):
        if number == rotate_after:
            camera.rotate()
        camera.part(size=part_bytes)
    camera.stop()
    camera.shutdown()
    return camera
