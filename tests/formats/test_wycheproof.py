"""Project Wycheproof's vectors against the primitives called here, through our own functions where there is one.

Every vector is tried: what must come of it follows from its result and, where ours is stricter, from a reason that is
written down here. Each test ends by counting what it found.
"""

from __future__ import annotations

import gzip
import hmac
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from agent.errors import EvidenceError, KeyTrustError
from agent.formats import age_header, age_pq, age_stream, age_x25519, note
from agent.formats.age_header import Stanza

VECTORS = Path(__file__).parents[1] / "vectors" / "wycheproof"
NAME = "wycheproof"
FILE_KEY = bytes(range(16))
SECRET = X25519PrivateKey.from_private_bytes(bytes(range(32)))


class Message(str):
    """A note's text that signs as any bytes: a vector's message need not be UTF-8."""

    raw: bytes

    def encode(self, *_: Any) -> bytes:
        return self.raw


def message(raw: bytes) -> Message:
    made = Message()
    made.raw = raw
    return made


def vectors(name: str) -> Iterator[tuple[dict[str, Any], bytes]]:
    """(test, its group's key). Hex fields are bytes already."""
    for group in json.loads(gzip.decompress((VECTORS / f"{name}.json.gz").read_bytes())):
        for test in group["tests"]:
            words = {"tcId", "comment", "flags", "result", "size"}
            yield {k: v if k in words else bytes.fromhex(v) for k, v in test.items()}, bytes.fromhex(group["key"])


def told(test: dict[str, Any]) -> str:
    return f"tcId {test['tcId']}, {test['result']}: {test.get('comment', '')} {test['flags']}"


# -- X25519 ----------------------------------------------------------------------------------------------------------


def test_x25519() -> None:
    """Acceptable are keys of low order, which we refuse, and others that RFC 7748 computes with: on the twist, not
    reduced, small. Those we take, as it says.
    """
    found: Counter[str] = Counter()
    for test, _ in vectors("x25519"):
        shared = age_x25519.shared_secret(X25519PrivateKey.from_private_bytes(test["private"]), test["public"])
        if "ZeroSharedSecret" in test["flags"]:
            assert test["result"] == "acceptable" and not any(test["shared"])
            assert shared is None, told(test)
            refuse_everywhere(test["public"])
            found["refused: low order"] += 1
        else:
            assert test["result"] in ("valid", "acceptable")
            assert shared == test["shared"], told(test)
            found[f"{test['result']}: shared"] += 1
    assert found == {"valid: shared": 264, "acceptable: shared": 223, "refused: low order": 31}


def refuse_everywhere(public: bytes) -> None:
    """As a recipient, and as the share in a stanza of either type."""
    recipient = age_x25519.X25519Recipient(public)
    with pytest.raises(KeyTrustError, match="low-order"):
        recipient.wrap(FILE_KEY)
    with pytest.raises(KeyTrustError, match="low-order"):
        age_x25519.X25519Recipient.parse(recipient.to_string())
    for identity, encapsulated in (
        (age_x25519.X25519Identity(bytes(range(32))), public),
        (age_pq.PqIdentity(bytes(range(32))), bytes(1088) + public),
    ):
        kind = {32: "X25519", 1120: "mlkem768x25519"}[len(encapsulated)]
        with pytest.raises(EvidenceError, match="low-order"):
            identity.unwrap([Stanza((kind, age_header.b64(encapsulated)), bytes(32))])


# -- ChaCha20-Poly1305 -----------------------------------------------------------------------------------------------


def test_chacha20_poly1305(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is called, and where there is no associated data (there never is here) as the one chunk of a payload."""
    found: Counter[str] = Counter()
    for test, _ in vectors("chacha20_poly1305"):
        aead, sealed = ChaCha20Poly1305(test["key"]), test["ct"] + test["tag"]
        aad = test["aad"] or None
        if "InvalidNonceSize" in test["flags"]:
            assert test["result"] == "invalid"
            for call in (aead.encrypt, aead.decrypt):
                with pytest.raises(ValueError, match=r"[Nn]once"):
                    call(test["iv"], sealed, aad)
            found["refused: nonce"] += 1
            continue
        monkeypatch.setattr(age_stream, "chunk_nonce", lambda *_, iv=test["iv"], **__: iv)
        if test["result"] == "valid":
            assert aead.encrypt(test["iv"], test["msg"], aad) == sealed, told(test)
            assert aead.decrypt(test["iv"], sealed, aad) == test["msg"], told(test)
            found["valid"] += 1
        else:
            with pytest.raises(InvalidTag):
                aead.decrypt(test["iv"], sealed, aad)
            found["refused: tag"] += 1
        if aad is None:
            as_a_chunk(test, sealed)
            found["as a chunk"] += 1
    assert found == {"valid": 256, "refused: tag": 60, "refused: nonce": 9, "as a chunk": 45}


def as_a_chunk(test: dict[str, Any], sealed: bytes) -> None:
    if test["result"] != "valid":
        with pytest.raises(EvidenceError, match="altered"):
            list(age_stream.open_chunks(test["key"], sealed, 0))
        return
    sealer = age_stream.ChunkSealer(test["key"])
    assert sealer.update(test["msg"]) == []
    assert sealer.finish() == sealed, told(test)
    assert list(age_stream.open_chunks(test["key"], sealed, 0)) == [test["msg"]], told(test)


# -- HKDF-SHA-256 ----------------------------------------------------------------------------------------------------


def test_hkdf_sha256() -> None:
    """`derive` makes 32 bytes; HKDF's output of another length begins with the same. At the vector's own length, the
    primitive is called as `derive` and as HPKE's two halves in age_pq call it.
    """
    found: Counter[str] = Counter()
    for test, _ in vectors("hkdf_sha256"):
        ikm, salt, info, size = (test[name] for name in ("ikm", "salt", "info", "size"))
        if test["result"] == "invalid":
            assert test["flags"] == ["SizeTooLarge"]
            with pytest.raises(ValueError, match="larger than 8160"):
                HKDF(hashes.SHA256(), size, salt or None, info)
            with pytest.raises(ValueError, match="larger than 8160"):
                HKDFExpand(hashes.SHA256(), size, info)
            found["refused: too long"] += 1
            continue
        assert len(test["okm"]) == size
        assert age_header.derive(ikm, salt, info)[:size] == test["okm"][:32], told(test)
        assert HKDF(hashes.SHA256(), size, salt or None, info).derive(ikm) == test["okm"], told(test)
        extracted = hmac.digest(salt, ikm, "sha256")
        assert HKDFExpand(hashes.SHA256(), size, info).derive(extracted) == test["okm"], told(test)
        found["valid"] += 1
    assert found == {"valid": 83, "refused: too long": 3}


# -- signatures ------------------------------------------------------------------------------------------------------


def test_ed25519() -> None:
    """Acceptable are public keys of small or mixed order whose signatures RFC 8032's equation takes, as OpenSSL does.
    Only who makes a key can make it one of those; what such a key signs proves as little as if its owner gave it away.
    """
    found: Counter[str] = Counter()
    for test, raw in vectors("ed25519"):
        key = Ed25519PublicKey.from_public_bytes(raw)
        signature = note.Signature(NAME, note.key_id(NAME, note.ED25519, raw), test["sig"])
        signed = note.Note(message(test["msg"]), (signature,))
        try:
            note.verify_ed25519(signed, NAME, key)
            verdict = "taken"
        except EvidenceError as err:
            assert "is not valid" in str(err)
            verdict = "refused"
        if test["result"] == "acceptable":
            (reason,) = test["flags"]
            assert reason in ("SmallOrderPublicKey", "MixedOrderPublicKey")
            found[f"{reason}: {verdict}"] += 1
        else:
            assert verdict == {"valid": "taken", "invalid": "refused"}[test["result"]], told(test)
            found[test["result"]] += 1
    assert found == {"valid": 117, "invalid": 64, "SmallOrderPublicKey: taken": 8, "MixedOrderPublicKey: taken": 21}


def test_ecdsa_p256_sha256() -> None:
    """A valid signature is taken in the one of its two forms that note.low_s makes; in the other one it is refused."""
    found: Counter[str] = Counter()
    for test, point in vectors("ecdsa_p256_sha256"):
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        verdict = ecdsa(key, test["sig"], test["msg"])
        if test["result"] == "valid" and decode_dss_signature(test["sig"])[1] > note.P256_ORDER // 2:
            assert verdict == "not in its one spelling", told(test)
            assert ecdsa(key, note.low_s(test["sig"]), test["msg"]) == "taken", told(test)
            found["valid, high s: taken with its low s alone"] += 1
        else:
            assert verdict == {"valid": "taken", "invalid": "not valid"}[test["result"]], told(test)
            found[test["result"]] += 1
    assert found == {"valid": 103, "valid, high s: taken with its low s alone": 71, "invalid": 310}


def ecdsa(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> str:
    line = note.Signature(NAME, note.key_id(NAME, note.ECDSA, note.spki(key)), signature)
    try:
        assert note.verify_ecdsa(note.Note(message(signed), (line,)), NAME, key)
    except EvidenceError as err:
        return str(err).split(" is ")[1]
    return "taken"


# -- ML-KEM-768 ------------------------------------------------------------------------------------------------------


def test_ml_kem_768_decapsulation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stanza that was made with the vector's ciphertext and key opens to an identity with the vector's seed."""
    found: Counter[str] = Counter()
    identity, share = age_pq.PqIdentity(bytes(32)), age_x25519.public_bytes(X25519PrivateKey.generate())
    for test, _ in vectors("mlkem768_decapsulate"):
        monkeypatch.setattr(age_pq.PqIdentity, "_expand", lambda _, seed=test["seed"]: (seed, SECRET))
        stanza = made_with(test["K"], test["c"], share)
        if test["result"] == "valid":
            assert identity.recipient.key[:1184] == test["ek"], told(test)
            assert identity.unwrap([stanza]) == FILE_KEY, told(test)
            assert identity.unwrap([made_with(bytes(32), test["c"], share)]) is None
            found["valid"] += 1
        elif "Private key" in test["comment"]:
            with pytest.raises(ValueError, match="seed"):
                identity.unwrap([stanza])
            found["refused: seed"] += 1
        else:
            with pytest.raises(EvidenceError, match="another length"):
                identity.unwrap([stanza])
            found["refused: ciphertext"] += 1
    assert found == {"valid": 14, "refused: seed": 10, "refused: ciphertext": 10}


def made_with(secret_m: bytes, ciphertext: bytes, share: bytes) -> Stanza:
    secret_x = age_x25519.shared_secret(SECRET, share) or b""
    combined = age_pq._combine(secret_m, secret_x, share, age_x25519.public_bytes(SECRET))
    key, nonce = age_pq._key_schedule(combined)
    body = ChaCha20Poly1305(key).encrypt(nonce, FILE_KEY, None)
    return Stanza(("mlkem768x25519", age_header.b64(ciphertext + share)), body)


def test_ml_kem_768_keys_to_encapsulate_to() -> None:
    """Encapsulation is random here, so a valid key's vector shows only that the key is taken."""
    found: Counter[str] = Counter()
    for test, _ in vectors("mlkem768_encapsulate"):
        text = age_pq.PqRecipient(test["ek"] + age_x25519.public_bytes(SECRET)).to_string()
        if test["result"] == "valid":
            assert age_pq.PqRecipient.parse(text).wrap(FILE_KEY).body, told(test)
            found["valid"] += 1
            continue
        reason = "no ML-KEM-768 key" if len(test["ek"]) == 1184 else "not an age post-quantum recipient"
        with pytest.raises(KeyTrustError, match=reason):
            age_pq.PqRecipient.parse(text)
        found[reason] += 1
    assert found == {"valid": 5, "no ML-KEM-768 key": 17, "not an age post-quantum recipient": 10}
