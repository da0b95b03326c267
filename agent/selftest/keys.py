"""The line about the identity key: it is there, it signs, and the certificate is for it."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from agent.clock import Clock
from agent.config import Config
from agent.configrules import KeyPlace
from agent.errors import AgentError, Exit, KeyTrustError, reason
from agent.formats import certs
from agent.identity import Signer, open_signer
from agent.model import NS
from agent.selftest.line import Fault, Line, failed, judged

NAME = "key"
LEAST_DAYS = 30
MAX_SIGN_MS = 2000.0
LIMIT = (
    f"signs within {MAX_SIGN_MS:.0f} ms, its certificate names this camera and this key, valid {LEAST_DAYS} more days"
)
ENROL = "enrol the camera again"


def check(config: Config, clock: Clock, open_key: Callable[[KeyPlace, Path], Signer] = open_signer) -> Line:
    try:
        signer = open_key(config.sealing.identity_key, config.sealing.tpm_device)
        identity = _chain(config.sealing.identity_chain)
        at = time.monotonic()
        message = os.urandom(32)
        signature = signer.sign(message)
        sign_ms = (time.monotonic() - at) * 1000
        ends = identity.not_valid_after_utc
    except AgentError as err:
        return failed(NAME, err, LIMIT)
    now = datetime.datetime.fromtimestamp(clock.utc().ns / NS, datetime.UTC)
    days = (ends - now).days
    where = "file" if isinstance(config.sealing.identity_key, Path) else "TPM"
    until = "without an end" if ends >= certs.FOREVER else f"until {ends:%Y-%m-%d}"
    figures = {"sign_ms": round(sign_ms, 1), "place": where, "valid_until": ends.isoformat(), "days_left": days}
    measured = f"a key in a {where} signed in {sign_ms:.1f} ms; certificate of {certs.common_name(identity)}, {until}"
    faults = []
    if not _verifies(signer.public, signature, message):
        faults.append(Fault("its signature does not verify", "the key's hardware fails: replace the unit"))
    if not _is_for(identity, signer.public):
        faults.append(Fault("the certificate is for another key", ENROL))
    if certs.common_name(identity) != config.camera.id:
        faults.append(Fault(f"the certificate is not for {config.camera.id}", ENROL))
    if days < LEAST_DAYS:
        faults.append(
            Fault(f"the certificate ends in {days} days" if days >= 0 else "the certificate has ended", ENROL)
        )
    if sign_ms > MAX_SIGN_MS:
        faults.append(Fault("it signs too slowly", "check the TPM"))
    return judged(NAME, measured, LIMIT, faults, Exit.KEYS, figures)


def _chain(path: Path) -> x509.Certificate:
    """The identity certificate, which comes first and is signed by the one after it. Raises KeyTrustError."""
    try:
        chain = certs.parse_pem(path.read_bytes())
    except OSError as err:
        raise KeyTrustError(f"identity chain {path}: {reason(err)}", "enrol the camera, or correct the path") from err
    if len(chain) != 2:
        raise KeyTrustError(f"{path} holds {len(chain)} certificates, not identity and issuing", ENROL)
    try:
        chain[0].verify_directly_issued_by(chain[1])
        certs.common_name(chain[0])
    except (ValueError, TypeError, InvalidSignature) as err:
        raise KeyTrustError(f"the identity certificate in {path} is not signed by the one after it", ENROL) from err
    return chain[0]


def _verifies(public: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    try:
        public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _is_for(certificate: x509.Certificate, public: ec.EllipticCurvePublicKey) -> bool:
    key = certificate.public_key()
    return isinstance(key, ec.EllipticCurvePublicKey) and key.public_numbers() == public.public_numbers()
