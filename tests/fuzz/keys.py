"""Keys that are the same in every process, so that what was signed with them can be kept in a corpus: worth nothing,
known to everybody. With them a mutator signs again what it changed.
"""

from __future__ import annotations

import hashlib
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import AgentError
from agent.formats import age, certs, note
from agent.formats.leaf import Kind
from agent.own import Own
from tests.builders import Agency, Camera, make_agency

CAMERA = "cam-0001"
ORIGIN = f"bodycam.local/{CAMERA}/1"
SESSIONS = 4
ALICE = age.X25519Identity(hashlib.sha256(b"alice").digest())
PAUL = age.PqIdentity(hashlib.sha256(b"paul").digest())
IDENTITIES = (ALICE, PAUL)


def p256(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(name.encode()).digest()[:31], "big"), ec.SECP256R1())


def ed25519(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


CAMERA_KEY = p256("camera")
RECEIPT_KEY = ed25519("receipt")


@cache
def fixed_agency(name: str = "agency") -> Agency:
    """The agency whose root is trusted; under another name, one with keys of its own."""
    return make_agency(name, (p256(f"{name} root"), p256(f"{name} issuing")), RECEIPT_KEY, ALICE)


@cache
def session_key(number: int) -> Ed25519PrivateKey:
    return ed25519(f"session {number}")


class FixedCamera(Camera):
    """A camera whose session keys are, in turn, session_key(0), session_key(1), and so on."""

    def __init__(self, agency: Agency | None = None, name: str = CAMERA, seed: int = 1) -> None:
        super().__init__(agency or fixed_agency(), name, seed, CAMERA_KEY)
        self._sessions = 0
        self.new_session_key = self._next_key

    def _next_key(self) -> Ed25519PrivateKey:
        self._sessions += 1
        return session_key((self._sessions - 1) % SESSIONS)


def whole_camera() -> FixedCamera:
    """A short life, with a receipt named in it."""
    made = FixedCamera().new_session()
    made.start()
    made.part(size=40)
    made.stop()
    made.event(Kind.EVENT, {"type": "heartbeat", "faults": []})
    made.event(Kind.DELIVERY, facts={"receipt": "0" * 64, "segments": ["e0000000000-00000000"]})
    made.close_segment()
    return made


@cache
def own() -> Own:
    """What that camera takes for its own."""
    return Own(ORIGIN.rpartition("/")[0], certs.pem([FixedCamera().identity_cert, fixed_agency().issuing]))


def signer_of(chain_pem: bytes) -> Ed25519PrivateKey:
    """The private half of the session key in a chain, if it is one of ours; else that of the first session."""
    try:
        raw = note.raw_public(certs.read_session(certs.parse_pem(chain_pem)).key)
    except AgentError:
        return session_key(0)
    return _by_public().get(raw, session_key(0))


@cache
def _by_public() -> dict[bytes, Ed25519PrivateKey]:
    return {note.raw_public(session_key(n).public_key()): session_key(n) for n in range(SESSIONS)}


def sign(text: str, session: Ed25519PrivateKey, *, by_identity: bool = False) -> bytes:
    """A note as the camera writes it."""
    origin = text.split("\n", 1)[0]
    signatures = [note.sign_ed25519(text, origin, session)]
    if by_identity:
        der = CAMERA_KEY.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        signatures.append(note.ecdsa_signature(origin, CAMERA_KEY.public_key(), der))
    return note.Note(text, tuple(signatures)).to_bytes()
