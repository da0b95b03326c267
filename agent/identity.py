"""Who this camera is: its identity key behind one interface, and where that key lies.

The key is P-256 because that is what TPMs and secure elements hold: in a TPM it cannot be copied, in a file (for the
bench) it can. The camera's own identity certificate is a CA for sessions only (docs/evidence-format.md,
"Certificates").
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from agent import keyfile
from agent.configrules import KeyPlace, TpmHandle
from agent.errors import KeyTrustError, UsageError


class Signer(Protocol):
    """Holds the identity key; signs, and never shows it."""

    @property
    def public(self) -> ec.EllipticCurvePublicKey: ...

    @property
    def issuing_key(self) -> ec.EllipticCurvePrivateKey:
        """The key as `cryptography` signs certificates with it; one in hardware does nothing else."""

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256 over `message`, DER. Raises DeviceError where hardware fails."""


def open_signer(place: KeyPlace, tpm_device: Path) -> Signer:
    """The key that the configuration names. Raises KeyTrustError for a key that is not there or unfit, DeviceError
    for a TPM that is away.
    """
    return FileSigner(keyfile.handed_over(place)) if isinstance(place, Path) else TpmSigner(place, tpm_device)


def create_key(place: KeyPlace, tpm_device: Path) -> Signer:
    """Make a new key there. Raises KeyTrustError where there is one already: nothing is changed then."""
    if isinstance(place, Path):
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        keyfile.create(place, pem, "identity key")
    else:
        from agent.tpm import key as tpm_key
        from agent.tpm.device import Tpm

        tpm_key.create(Tpm(tpm_device), place)
    return open_signer(place, tpm_device)


def key_is_there(place: KeyPlace, tpm_device: Path) -> bool:
    """Whether something has that name or handle already. Raises DeviceError."""
    if isinstance(place, Path):
        return os.path.lexists(place)
    from agent.tpm import key as tpm_key
    from agent.tpm.device import Tpm

    return tpm_key.is_there(Tpm(tpm_device), place)


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


class TpmSigner:
    """A P-256 key in a TPM 2.0, which is asked for each signature. Raises KeyTrustError, DeviceError."""

    def __init__(self, handle: TpmHandle, device: Path) -> None:
        from agent.tpm import key
        from agent.tpm.device import Tpm

        self._tpm, self._handle = Tpm(device), handle
        self._sign = key.sign
        self._public = key.load(self._tpm, handle)

    @property
    def public(self) -> ec.EllipticCurvePublicKey:
        return self._public

    @property
    def issuing_key(self) -> ec.EllipticCurvePrivateKey:
        return HardwareKey(self)

    def sign(self, message: bytes) -> bytes:
        return self._sign(self._tpm, self._handle, message)


class HardwareKey(ec.EllipticCurvePrivateKey):
    """A Signer in the dress that `cryptography` asks for when it signs certificates and requests: it calls `public_key`
    and `sign`, with ECDSA and SHA-256. Everything else a key in hardware does not do.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._signer.public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._signer.public.curve

    @property
    def key_size(self) -> int:
        return self._signer.public.key_size

    def sign(self, data: object, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        algorithm = getattr(signature_algorithm, "algorithm", None)
        if isinstance(algorithm, Prehashed) or not isinstance(algorithm, hashes.SHA256):
            raise UsageError("the identity key signs with ECDSA and SHA-256 only")
        return self._signer.sign(bytes(memoryview(data)))  # type: ignore[arg-type]

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:
        raise UsageError("the identity key agrees on no secrets")

    def private_numbers(self) -> NoReturn:
        raise UsageError("a key in hardware is not shown")

    def private_bytes(self, *_: object) -> NoReturn:
        raise UsageError("a key in hardware is not shown")

    def __copy__(self) -> HardwareKey:
        return self

    def __deepcopy__(self, memo: object) -> HardwareKey:
        return self
