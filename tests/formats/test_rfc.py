"""The examples printed in the RFCs, and NIST's for ECDSA and hashes, against the primitives as they are called here."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
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
from agent.formats import age_header, age_pq, age_x25519, merkle, note
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
    by_mac = {"rfc4231": 6, "wycheproof_hmac_sha256": 12}
    by_hash = {"fips180": 65, "fips202": 2, "rfc9180": 8, "xwing": 2}
    assert counts == by_mac | by_hash | {
        "rfc7748": 2, "rfc5869": 3, "rfc8439": 6, "rfc8032": 5, "rfc6979": 4, "fips186": 15
    }  # fmt: skip
    assert {name: len(found) for name, found in PRINTED["fips202"].items()} == {"sha3_256": 17, "shake256": 41}


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


# -- hashes and MACs -------------------------------------------------------------------------------------------------


def test_hmac_sha256_of_rfc_4231() -> None:
    for vector in PRINTED["rfc4231"]:
        it = raw(vector)
        assert hmac.digest(it["key"], it["message"], "sha256") == it["tag"]


def test_hmac_sha256_of_wycheproof() -> None:
    found = Counter[str]()
    for vector in PRINTED["wycheproof_hmac_sha256"]:
        it, result = raw({k: v for k, v in vector.items() if k != "result"}), vector["result"]
        same = hmac.compare_digest(hmac.digest(it["key"], it["message"], "sha256"), it["tag"])
        assert same == (result == "valid"), it["tcId"]
        found[result] += 1
    assert found == {"valid": 8, "invalid": 4}


def test_sha256_of_nist() -> None:
    for vector in PRINTED["fips180"]:
        it = raw(vector)
        assert hashlib.sha256(it["message"]).digest() == it["digest"]
        if it["message"][:1] == b"\x00":
            assert merkle.leaf_hash(it["message"][1:]) == it["digest"]
    assert raw(PRINTED["fips180"][0]) == {"message": b"", "digest": merkle.EMPTY_ROOT}


def test_sha3_and_shake_of_nist() -> None:
    """Messages around a block of 136 bytes are among them; outputs beyond the 96 bytes of X-Wing too."""
    for vector in PRINTED["fips202"]["sha3_256"]:
        assert hashlib.sha3_256(raw(vector)["message"]).digest() == raw(vector)["digest"]
    expanded = 0
    for vector in PRINTED["fips202"]["shake256"]:
        it = raw(vector)
        assert hashlib.shake_256(it["message"]).digest(len(it["digest"])) == it["digest"]
        if len(it["message"]) == 32 and len(it["digest"]) >= 96:
            seed_m, secret_x = age_pq.PqIdentity(it["message"])._expand()
            assert seed_m + secret_x.private_bytes_raw() == it["digest"][:96]
            expanded += 1
    assert expanded >= 5
    assert {len(v["message"]) // 2 for v in PRINTED["fips202"]["shake256"]} >= {135, 136}


# -- HPKE and X-Wing -------------------------------------------------------------------------------------------------


def scheduled(shared: bytes, info: bytes) -> tuple[bytes, bytes, dict[str, bytes]]:
    """RFC 9180 section 5.1 in base mode, by our labelled functions: (context, secret, what is expanded)."""
    context = b"\x00" + age_pq._extract(b"", b"psk_id_hash", b"") + age_pq._extract(b"", b"info_hash", info)
    secret = age_pq._extract(shared, b"secret", b"")
    sizes = {"key": 32, "base_nonce": 12}
    return (
        context,
        secret,
        {k: age_pq._expand(secret, k.encode(), context, size) for k, size in sizes.items()}
        | {"exporter_secret": age_pq._expand(secret, b"exp", context, 32)},
    )


def test_hpke_of_rfc_9180(monkeypatch: pytest.MonkeyPatch) -> None:
    """A.2.1: HKDF-SHA256 and ChaCha20-Poly1305 as here, under the KEM of that example, whose number labels all."""
    it = raw(PRINTED["rfc9180"])
    monkeypatch.setattr(age_pq, "_SUITE", b"HPKE" + bytes.fromhex("002000010003"))
    monkeypatch.setattr(age_pq, "_INFO", it["info"])
    context, secret, made = scheduled(it["shared_secret"], it["info"])
    assert (context, secret) == (it["key_schedule_context"], it["secret"])
    assert made == {name: it[name] for name in made}
    assert age_pq._key_schedule(it["shared_secret"]) == (it["key"], it["base_nonce"])
    sealed = raw(it["encryption"])
    aead = ChaCha20Poly1305(it["key"])
    assert sealed["nonce"] == it["base_nonce"]
    assert aead.encrypt(sealed["nonce"], sealed["pt"], sealed["aad"]) == sealed["ct"]


@pytest.mark.parametrize("number", range(len(PRINTED["xwing"])))
def test_x_wing(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The public key of a seed; and a stanza with this encapsulation opens under the shared secret that is printed."""
    it = raw(PRINTED["xwing"][number])
    identity = age_pq.PqIdentity(it["skRm"])
    assert identity.recipient.key == it["pkRm"]
    key, nonce = age_pq._key_schedule(it["shared_secret"])
    file_key = bytes(range(16))
    body = ChaCha20Poly1305(key).encrypt(nonce, file_key, None)
    stanza = age_header.Stanza(("mlkem768x25519", age_header.b64(it["enc"])), body)
    assert identity.unwrap([stanza]) == file_key
    if "info" in it:  # of our own suite
        assert scheduled(it["shared_secret"], it["info"])[2] == {
            n: it[n] for n in ("key", "base_nonce", "exporter_secret")
        }
        monkeypatch.setattr(age_pq, "_INFO", it["info"])
        assert age_pq._key_schedule(it["shared_secret"]) == (it["key"], it["base_nonce"])
