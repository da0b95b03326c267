"""Who this camera is: its identity key behind one interface, and the certificate chain that says so.

The key is P-256 because that is what TPMs and secure elements hold. Today's implementation is a key file, for the
bench; the camera's own identity certificate is a CA for sessions only (docs/evidence-format.md, "Certificates").
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent import keyfile
from agent.errors import KeyTrustError


class Signer(Protocol):
    """Holds the identity key; signs, and never shows it."""

    @property
    def public(self) -> ec.EllipticCurvePublicKey: ...

    @property
    def issuing_key(self) -> ec.EllipticCurvePrivateKey:
        """The key as `cryptography` signs certificates with it (a hardware signer gives a proxy of this type)."""

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256 over `message`, DER."""


class FileSigner:
    """A P-256 key in a PEM file that only its owner may read. Raises KeyTrustError."""

    def __init__(self, path: Path) -> None:
        data = keyfile.read(path, "identity key", "provision the camera, or correct the path")
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as err:
            raise KeyTrustError(f"identity key {path} is not a PEM private key", "provision the camera again") from err
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise KeyTrustError(f"identity key {path} is not a P-256 key", "provision the camera again")
        self._key = key

    @property
    def public(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()

    @property
    def issuing_key(self) -> ec.EllipticCurvePrivateKey:
        return self._key

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))
