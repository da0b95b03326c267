"""The examples printed in the RFCs, and NIST's for ECDSA, against the primitives as they are called here."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from agent.errors import EvidenceError
from agent.formats import age_header, age_x25519, note
from tests.formats.test_wycheproof import NAME, ecdsa, message

PRINTED: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "rfc" / "vectors.json").read_text())


def raw(vector: dict[str, Any]) -> dict[str, Any]:
    """Hex fields as bytes."""
    return {k: bytes.fromhex(v) if isinstance(v, str) else v for k, v in vector.items()}


def x25519(scalar: bytes, u: bytes) -> bytes:
    shared = age_x25519.shared_secret(X25519PrivateKey.from_private_bytes(scalar), u)
    assert shared is not None
    return shared


def test_every_example_is_there() -> None:
    counts = {name: len(vectors) for name, vectors in PRINTED.items()}
    assert counts == {"rfc7748": 2, "rfc5869": 3, "rfc8439": 6, "rfc8032": 5, "rfc6979": 4, "fips186": 15}


@pytest.mark.parametrize("vector", PRINTED["rfc7748"]["single"])
def test_x25519_of_rfc_7748(vector: dict[str, str]) -> None:
    it = raw(vector)
    assert x25519(it["scalar"], it["u"]) == it["output"]


def test_x25519_of_rfc_7748_a_thousand_times() -> None:
    at, scalar, u = raw(PRINTED["rfc7748"]["iterated"]), bytes([9]) + bytes(31), bytes([9]) + bytes(31)
    for turn in range(1, 1001):
        scalar, u = x25519(scalar, u), scalar
        assert at.pop(str(turn), scalar) == scalar
    assert at == {}


@pytest.mark.parametrize("vector", PRINTED["rfc5869"])
def test_hkdf_of_rfc_5869(vector: dict[str, Any]) -> None:
    it = raw(vector)
    assert age_header.derive(it["ikm"], it["salt"], it["info"]) == it["okm"][:32]
    assert HKDF(hashes.SHA256(), it["length"], it["salt"] or None, it["info"]).derive(it["ikm"]) == it["okm"]
    assert hmac.digest(it["salt"], it["ikm"], "sha256") == it["prk"]
    assert HKDFExpand(hashes.SHA256(), it["length"], it["info"]).derive(it["prk"]) == it["okm"]


def test_chacha20_poly1305_of_rfc_8439() -> None:
    it = raw(PRINTED["rfc8439"])
    aead, sealed = ChaCha20Poly1305(it["key"]), it["ciphertext"] + it["tag"]
    assert aead.encrypt(it["nonce"], it["plaintext"], it["aad"]) == sealed
    assert aead.decrypt(it["nonce"], sealed, it["aad"]) == it["plaintext"]


@pytest.mark.parametrize("vector", PRINTED["rfc8032"], ids=lambda vector: vector["test"])
def test_ed25519_of_rfc_8032(vector: dict[str, str]) -> None:
    it = raw({k: v for k, v in vector.items() if k != "test"})
    secret, text = Ed25519PrivateKey.from_private_bytes(it["secret"]), message(it["message"])
    assert note.raw_public(secret.public_key()) == it["public"]
    signature = note.sign_ed25519(text, NAME, secret)
    assert signature.value == it["signature"]
    public = Ed25519PublicKey.from_public_bytes(it["public"])
    note.verify_ed25519(note.Note(text, (signature,)), NAME, public)
    with pytest.raises(EvidenceError):
        note.verify_ed25519(note.Note(message(it["message"] + b"x"), (signature,)), NAME, public)


@pytest.mark.parametrize("vector", PRINTED["rfc6979"]["signatures"], ids=lambda vector: vector["message"])
def test_ecdsa_of_rfc_6979(vector: dict[str, str]) -> None:
    """`sample` is printed with the form of s that is refused here; with the other one it is taken."""
    secret, x, y = (int(PRINTED["rfc6979"][name], 16) for name in ("secret", "x", "y"))
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    assert ec.derive_private_key(secret, ec.SECP256R1()).public_key() == key
    printed = encode_dss_signature(int(vector["r"], 16), int(vector["s"], 16))
    text = vector["message"].encode()
    verdict = {"sample": "not in its one spelling", "test": "taken"}[vector["message"]]
    assert ecdsa(key, printed, text) == verdict
    assert ecdsa(key, note.low_s(printed), text) == "taken"
    assert ecdsa(key, note.low_s(printed), text + b"x") == "not valid"


@pytest.mark.parametrize("number", range(len(PRINTED["fips186"])))
def test_ecdsa_of_nist(number: int) -> None:
    vector = PRINTED["fips186"][number]
    x, y, r, s = (int(vector[name], 16) for name in "xyrs")
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    verdict = ecdsa(key, note.low_s(encode_dss_signature(r, s)), bytes.fromhex(vector["message"]))
    assert verdict == ("taken" if vector["result"].startswith("P") else "not valid")
