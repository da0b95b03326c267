"""The session: an Ed25519 key that lives in this process's memory, certified once by the camera's identity key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import DeviceError, KeyTrustError, UsageError
from agent.formats import certs, note
from agent.identity import Signer
from agent.model import CAMERA_NAME, CAMERA_NAME_FORM


class Signed(NamedTuple):
    """A checkpoint note, and whether the identity key's signature is on it."""

    note: bytes
    by_identity: bool


@dataclass(frozen=True)
class Session:
    """Signs checkpoints for one process life. `chain_pem` is what each segment carries."""

    camera: str
    key: Ed25519PrivateKey
    signer: Signer
    chain_pem: bytes
    chain_sha256: str
    cert_sha256: str
    trouble: list[DeviceError] = field(default_factory=list)
    """Why the identity key did not sign the last time it was to; empty where it did."""

    def sign_checkpoint(self, checkpoint: note.Checkpoint, with_identity: bool) -> Signed:
        """The checkpoint note; the identity key's signature is added where asked, after the session's.

        A TPM that fails stops no recording: the note then goes without its signature, `trouble` says so until it signs
        again, and a later checkpoint that it signs vouches for this one too.
        """
        text = checkpoint.text()
        signatures = [note.sign_ed25519(text, checkpoint.origin, self.key)]
        if with_identity:
            try:
                der = self.signer.sign(text.encode())
                signatures.append(note.ecdsa_signature(checkpoint.origin, self.signer.public, der))
                self.trouble.clear()
            except DeviceError as err:
                self.trouble[:] = [err]
        return Signed(note.Note(text, tuple(signatures)).to_bytes(), len(signatures) > 1)


def open_session(signer: Signer, identity_chain_pem: bytes, camera: str, boot_id: str) -> Session:
    """Make a session key and certify it. `identity_chain_pem` holds the identity and issuing certificates.

    Raises KeyTrustError where the chain does not belong to this key or this camera, UsageError for a camera name that
    is none: a longer one than allowed would not fit into the session's certificate.
    """
    if not CAMERA_NAME.fullmatch(camera):
        raise UsageError(f"{camera[:60]!r} is not a camera name ({CAMERA_NAME_FORM})", "enrol the camera under another")
    chain = certs.parse_pem(identity_chain_pem)
    if len(chain) != 2:
        raise KeyTrustError(
            f"the identity chain holds {len(chain)} certificates, not identity and issuing", "enrol the camera again"
        )
    identity = chain[0]
    public = identity.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey) or note.spki(public) != note.spki(signer.public):
        raise KeyTrustError("the identity certificate is for another key", "enrol the camera again")
    if certs.common_name(identity) != camera:
        raise KeyTrustError(
            f"the identity certificate is for {certs.common_name(identity)!r}, not {camera!r}", "check camera.id"
        )
    key = Ed25519PrivateKey.generate()
    certificate = certs.issue(
        name=f"{camera} {boot_id}",
        role=certs.SESSION,
        public=key.public_key(),
        issuer=identity,
        issuer_key=signer.issuing_key,
        not_before=identity.not_valid_before_utc,
    )
    pem = certs.pem([certificate, *chain])
    return Session(camera, key, signer, pem, hashlib.sha256(pem).hexdigest(), _fingerprint(certificate))


def _fingerprint(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
