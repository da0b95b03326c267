"""What a range stands on: the chains, the signed checkpoint, the station's cosignature, an earlier head, a timestamp
(docs/evidence-format.md, section 9).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.errors import AgentError, EvidenceError, UnreadableError
from agent.evidence.findings import What
from agent.evidence.heads import stamped
from agent.evidence.notes import check_note
from agent.evidence.sources import CHECKPOINT, ProofMembers
from agent.evidence.trust import MAX_PEM, Trust
from agent.formats import certs, merkle, note, pack, tlogproof

STATION, CHAINS = "station.pem", "chains"
EARLIER, CONSISTENCY = "earlier/checkpoint", "earlier/consistency"
IDENTITY = "identity"
MAX_CHAINS = 10_000
MAX_IDENTITY = 8
"""Heads in `identity/`: of each session one, and a range is of few."""
_CHAIN = re.compile(CHAINS + r"/([0-9a-f]{64})\.pem")
IDENTITY_MEMBER = re.compile(IDENTITY + r"/([0-9]{10})\.(?:checkpoint|consistency)")

Tell = Callable[[What, str], None]


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A checkpoint whose signatures hold, the session's, and that `by_identity` where that is on it. `signer` is the
    session's certificate in DER. `time_s` is the cosignature's, None where there is none.
    """

    data: bytes
    point: note.Checkpoint
    station: str | None = None
    time_s: int | None = None
    by_identity: bool = False
    signer: bytes = b""

    @property
    def told(self) -> str:
        """In words."""
        leaves = f"a checkpoint of {self.point.size} leaves"
        if self.time_s is None:
            return f"{leaves}, signed by the camera alone"
        return f"{leaves}, cosigned by {self.station} at {stamped(self.time_s)}"


@dataclass
class RangeHead:
    """`head` is None where nothing can be proven. `sessions` are the trusted ones by their chain's SHA-256. `identity`
    are heads that the identity key signed, of the same log as `head`.
    """

    head: SignedHead | None = None
    earlier: SignedHead | None = None
    identity: list[SignedHead] = field(default_factory=list)
    sessions: dict[str, certs.Session] = field(default_factory=dict)


def read_range_head(source: ProofMembers, trust: Trust, tell: Tell) -> RangeHead:
    """What is wrong is told; nothing of it is then used. `trust` learns the chains; none but those in the proof count
    for it. Raises UnreadableError.
    """
    found, members = RangeHead(), source.members
    found.sessions = _chains(source, trust, tell)
    station = _station(source, trust.root, tell)
    if CHECKPOINT not in members:
        tell(What.MISSING_PARTS, f"{CHECKPOINT}, which everything must lead to, is not in the proof")
        return found
    try:
        found.head = _signed(source, CHECKPOINT, found.sessions, station)
    except EvidenceError as err:
        what = What.ALTERED_BYTES if isinstance(err, Misspelled) else What.BAD_SIGNATURE
        tell(what, f"{CHECKPOINT}: {err.message}")
        return found
    if EARLIER in members or CONSISTENCY in members:
        try:
            found.earlier = _earlier(source, found, station)
        except EvidenceError as err:
            tell(What.BAD_HEAD, f"{EARLIER}: {err.message}")
    found.identity = [one for one in (found.head, found.earlier) if one is not None and one.by_identity]
    found.identity += _by_identity(source, found, tell)
    if STATION in members and all(h is None or h.time_s is None for h in (found.head, found.earlier)):
        tell(What.BAD_SIGNATURE, f"{STATION} is here, but no cosignature by its key")
    return found


class Absent(EvidenceError):
    """A member that must be in the proof is not."""


class Misspelled(EvidenceError):
    """Not a checkpoint in its one spelling, whoever signed it."""


def read_member(source: ProofMembers, name: str, limit: int) -> bytes:
    """Raises Absent where it is not there, EvidenceError where it is longer than it may be."""
    blob = source.members.get(name)
    if blob is None:
        raise Absent(f"{name} is not in the proof")
    if blob.size > limit:
        raise EvidenceError(f"{name} is longer than {limit} bytes")
    return blob.read(limit)


def _chains(source: ProofMembers, trust: Trust, tell: Tell) -> dict[str, certs.Session]:
    found: dict[str, certs.Session] = {}
    names = sorted(n for n in source.members if n.startswith(CHAINS + "/"))
    for name in names[:MAX_CHAINS]:
        try:
            data, match = read_member(source, name, MAX_PEM), _CHAIN.fullmatch(name)
            digest = hashlib.sha256(data).hexdigest()
            if match is None or match[1] != digest:
                tell(What.ALTERED_BYTES, f"{name} is not the chain of this name: its SHA-256 is {digest}")
                continue
            found[digest] = trust.learn(data)
        except UnreadableError:
            raise  # what the disk does not give is nobody's doing
        except AgentError as err:
            tell(What.UNTRUSTED_CHAIN, f"{name} is not trusted: {err.message}")
    return found


def _station(source: ProofMembers, root: x509.Certificate, tell: Tell) -> tuple[str, Ed25519PublicKey] | None:
    if STATION not in source.members:
        return None
    try:
        return station_of(read_member(source, STATION, MAX_PEM), root)
    except UnreadableError:
        raise
    except AgentError as err:
        tell(What.UNTRUSTED_CHAIN, f"{STATION} is not trusted: {err.message}")
        return None


def station_of(data: bytes, root: x509.Certificate) -> tuple[str, Ed25519PublicKey]:
    """The station and the key of its certificates, in PEM. Raises KeyTrustError."""
    return certs.check_receipt_key(certs.parse_chain(data), root)


def _signed(
    source: ProofMembers,
    name: str,
    sessions: dict[str, certs.Session],
    station: tuple[str, Ed25519PublicKey] | None,
) -> SignedHead:
    """Raises EvidenceError unless the camera signed it, and every signature on it is accounted for."""
    return signed_head(read_member(source, name, pack.MAX_NOTE), sessions, station)


def signed_head(
    data: bytes,
    sessions: dict[str, certs.Session],
    station: tuple[str, Ed25519PublicKey] | None,
    where: str = CHAINS + "/",
) -> SignedHead:
    """A checkpoint of the camera, cosigned by the station or not; `where` the chains of its sessions are. Raises
    EvidenceError.
    """
    point, parsed = _spelled(data)
    own, time_s = parsed, None
    name = station[0] if station else None
    if station is not None:
        last = parsed.signatures[-1]
        if (last.name, last.key_id) == (name, note.key_id(station[0], note.COSIGNATURE, note.raw_public(station[1]))):
            time_s = note.verify_cosignature(parsed, *station)
            own = note.Note(parsed.text, parsed.signatures[:-1])
    stranger = next((s.name for s in own.signatures if s.name != point.origin), None)
    if stranger is not None:
        raise EvidenceError(f"it bears a signature of {stranger[:80]}, and no {STATION} has its key")
    by_identity, signer = _check_camera(own, point, sessions, where)
    return SignedHead(data, point, name if time_s is not None else None, time_s, by_identity, signer)


def _spelled(data: bytes) -> tuple[note.Checkpoint, note.Note]:
    """Raises Misspelled."""
    try:
        parsed = note.parse(data)
        point = note.parse_checkpoint(parsed.text)
    except EvidenceError as err:
        raise Misspelled(err.message) from err
    if parsed.to_bytes() != data:
        raise Misspelled("it is not in its one spelling")
    return point, parsed


def _check_camera(
    own: note.Note, point: note.Checkpoint, sessions: dict[str, certs.Session], where: str
) -> tuple[bool, bytes]:
    """Whether the identity key signed it too, and the certificate of the session that did. Raises EvidenceError unless
    one did, and nobody else.
    """
    if not own.signatures:
        raise EvidenceError("the camera has not signed it")
    first = own.signatures[0].key_id
    for session in sessions.values():
        if note.key_id(point.origin, note.ED25519, note.raw_public(session.key)) != first:
            continue
        if session.camera != camera_of(point.origin):
            raise EvidenceError(f"it is of the log {point.origin}, signed by the camera {session.camera}")
        checked = check_note(own.to_bytes(), point.origin, session)
        if checked.what is not None:
            raise EvidenceError(checked.text)
        return checked.by_identity, session.certificate_der
    raise EvidenceError(f"no session whose trusted chain is in {where} signed it")


def camera_of(origin: str) -> str:
    """The camera whose log this is; "" where the name is none of ours."""
    return (origin.split("/")[-2:-1] or [""])[0]


def _earlier(source: ProofMembers, found: RangeHead, station: tuple[str, Ed25519PublicKey] | None) -> SignedHead:
    """Raises EvidenceError unless it is cosigned, and the log of `checkpoint` continues it."""
    assert found.head is not None
    earlier, point = _signed(source, EARLIER, found.sessions, station), found.head.point
    if earlier.time_s is None:
        raise EvidenceError("no station cosigned it")
    if (earlier.point.origin, earlier.point.size < point.size) != (point.origin, True):
        raise EvidenceError(f"it is of {earlier.point.size} leaves of {earlier.point.origin}, not an earlier head")
    hashes = tlogproof.parse_consistency(read_member(source, CONSISTENCY, tlogproof.MAX_PROOF))
    merkle.verify_consistency(earlier.point.size, earlier.point.root, point.size, point.root, hashes)
    return earlier


def _by_identity(source: ProofMembers, found: RangeHead, tell: Tell) -> Iterator[SignedHead]:
    """Those in `identity/` that hold."""
    sizes = sorted({match[1] for name in source.members if (match := IDENTITY_MEMBER.fullmatch(name))})
    if len(sizes) > MAX_IDENTITY:
        tell(What.BAD_HEAD, f"{IDENTITY}/ holds {len(sizes)} heads, and at most {MAX_IDENTITY} are read")
    for stem in sizes[:MAX_IDENTITY]:
        try:
            yield _of_identity(source, f"{IDENTITY}/{stem}", found)
        except EvidenceError as err:
            tell(What.BAD_HEAD, f"{IDENTITY}/{stem}.checkpoint: {err.message}")


def _of_identity(source: ProofMembers, stem: str, found: RangeHead) -> SignedHead:
    """Raises EvidenceError unless the camera alone signed it, with its identity key, and the log of one of it and
    `checkpoint` continues that of the other.
    """
    assert found.head is not None
    head, point = _signed(source, f"{stem}.checkpoint", found.sessions, None), found.head.point
    if not head.by_identity:
        raise EvidenceError("the identity key did not sign it")
    if (head.point.origin, f"{IDENTITY}/{head.point.size:010d}") != (point.origin, stem) or head.point.size == 0:
        raise EvidenceError(f"it is of {head.point.size} leaves of {head.point.origin}")
    hashes = tlogproof.parse_consistency(read_member(source, f"{stem}.consistency", tlogproof.MAX_PROOF))
    old, new = sorted((head.point, point), key=lambda one: one.size)
    merkle.verify_consistency(old.size, old.root, new.size, new.root, hashes)
    return head
