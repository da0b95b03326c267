"""A P-256 signing key that was made in the TPM and never leaves it, under a persistent handle."""

from __future__ import annotations

import os
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from agent.errors import DeviceError, KeyTrustError
from agent.tpm import wire
from agent.tpm.device import Tpm, TpmSession


def create(tpm: Tpm, handle: int) -> ec.EllipticCurvePublicKey:
    """Make a key at a free handle. Raises KeyTrustError where one is there, DeviceError."""
    with tpm.session() as session:
        if _public(session, handle) is not None:
            raise KeyTrustError(f"there is a key at TPM handle 0x{handle:08x} already, nothing was changed")
        body = session.run(wire.create_primary(os.urandom(64)), "make a key")
        (transient,), _ = wire.parameters(body, handles=1)
        try:
            session.run(wire.evict_control(transient, handle), f"keep a key at handle 0x{handle:08x}")
        finally:
            session.run(wire.flush_context(transient), "let go of the key")
    return load(tpm, handle)


def is_there(tpm: Tpm, handle: int) -> bool:
    """Raises DeviceError."""
    with tpm.session() as session:
        return _public(session, handle) is not None


def load(tpm: Tpm, handle: int) -> ec.EllipticCurvePublicKey:
    """The public half of the key at a handle. Raises KeyTrustError where it is no key for this, DeviceError."""
    with tpm.session() as session:
        r = _public(session, handle)
    if r is None:
        raise KeyTrustError(
            f"there is no key at TPM handle 0x{handle:08x}", "provision the camera, or correct sealing.identity_key"
        )
    public = wire.ecc_public(r)
    if public is None:
        raise KeyTrustError(f"the key at TPM handle 0x{handle:08x} is not for ECDSA on P-256", "name another handle")
    if public.attributes & wire.NON_EXPORTABLE != wire.NON_EXPORTABLE:
        raise KeyTrustError(
            f"the key at TPM handle 0x{handle:08x} was not made in this TPM or may leave it",
            "make one with bodycam-agent provision",
        )
    try:
        return ec.EllipticCurvePublicNumbers(public.x, public.y, ec.SECP256R1()).public_key()
    except ValueError:
        raise DeviceError("the TPM's public key is no point of the curve", "check the TPM") from None


def sign(tpm: Tpm, handle: int, message: bytes) -> bytes:
    """ECDSA with SHA-256, DER. Raises DeviceError."""
    with tpm.session() as session:
        body = session.run(wire.sign(handle, sha256(message).digest()), f"sign with key 0x{handle:08x}")
    return encode_dss_signature(*wire.ecdsa_signature(wire.parameters(body)[1]))


def _public(session: TpmSession, handle: int) -> wire.Reader | None:
    code, body = session.try_run(wire.read_public(handle))
    if wire.is_absent(code):
        return None
    if code:
        raise wire.refusal(code, f"show the key at handle 0x{handle:08x}")
    return wire.Reader(body)
