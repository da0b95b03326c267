"""Signed notes: one spelling, the right key, and what Go's sumdb/note says of the same bytes."""

from __future__ import annotations

import hashlib
import random

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from agent.errors import EvidenceError, KeyTrustError
from agent.formats import note

ORIGIN = "bodycam.local/cam-0001/1"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
IDENTITY = ec.derive_private_key(123456789, ec.SECP256R1())
HEAD = note.Checkpoint(ORIGIN, 7, bytes(range(32)))

# The example of golang.org/x/mod/sumdb/note's documentation (and of c2sp.org/signed-note's test data).
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def signed(text: str = HEAD.text()) -> note.Note:
    der = IDENTITY.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
    both = (note.sign_ed25519(text, ORIGIN, KEY), note.ecdsa_signature(ORIGIN, IDENTITY.public_key(), der))
    return note.Note(text, both)


def test_the_published_example_of_go() -> None:
    name, key = note.parse_vkey(GO_VKEY)
    parsed = note.parse(GO_NOTE.encode())
    note.verify_ed25519(parsed, name, key)
    assert parsed.to_bytes() == GO_NOTE.encode()
    assert note.vkey(name, note.ED25519, key) == GO_VKEY


def test_a_note_round_trips_and_verifies() -> None:
    data = signed().to_bytes()
    parsed = note.parse(data)
    assert parsed.to_bytes() == data
    note.verify_ed25519(parsed, ORIGIN, KEY.public_key())
    assert note.verify_ecdsa(parsed, ORIGIN, IDENTITY.public_key())
    assert note.parse_checkpoint(parsed.text) == HEAD


def test_another_key_another_name_another_text_do_not_verify() -> None:
    parsed, other = note.parse(signed().to_bytes()), Ed25519PrivateKey.generate().public_key()
    with pytest.raises(EvidenceError):
        note.verify_ed25519(parsed, ORIGIN, other)
    with pytest.raises(EvidenceError):
        note.verify_ed25519(parsed, "bodycam.local/cam-0002/1", KEY.public_key())
    moved = note.Note(HEAD.text().replace("\n7\n", "\n8\n"), parsed.signatures)
    with pytest.raises(EvidenceError):
        note.verify_ed25519(moved, ORIGIN, KEY.public_key())
    with pytest.raises(EvidenceError):
        note.verify_ecdsa(moved, ORIGIN, IDENTITY.public_key())
    assert not note.verify_ecdsa(parsed, ORIGIN, ec.generate_private_key(ec.SECP256R1()).public_key())


def test_the_other_form_of_an_ecdsa_signature_is_refused() -> None:
    """Whoever finds (r, s) can compute (r, n - s), which proves the same: bytes changed without a key."""
    text = note.Checkpoint(ORIGIN, 3, bytes(32)).text()
    for _ in range(8):
        der = IDENTITY.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        signed = note.ecdsa_signature(ORIGIN, IDENTITY.public_key(), der)
        assert note.verify_ecdsa(note.Note(text, (signed,)), ORIGIN, IDENTITY.public_key())
        r, s = decode_dss_signature(signed.value)
        other = encode_dss_signature(r, note.P256_ORDER - s)
        IDENTITY.public_key().verify(other, text.encode(), ec.ECDSA(hashes.SHA256()))
        changed = note.Note(text, (note.Signature(ORIGIN, signed.key_id, other),))
        with pytest.raises(EvidenceError, match="one spelling"):
            note.verify_ecdsa(changed, ORIGIN, IDENTITY.public_key())


def test_one_good_and_one_bad_signature_of_the_same_key_is_refused() -> None:
    good = note.sign_ed25519(HEAD.text(), ORIGIN, KEY)
    bad = note.Signature(good.name, good.key_id, bytes(64))
    for order in ((good, bad), (bad, good)):
        with pytest.raises(EvidenceError):
            note.verify_ed25519(note.Note(HEAD.text(), order), ORIGIN, KEY.public_key())


def test_a_flipped_bit_anywhere_is_another_note_or_none() -> None:
    data, chosen = signed().to_bytes(), random.Random(1)
    public = KEY.public_key()
    for offset in range(len(data)):
        changed = bytearray(data)
        changed[offset] ^= 1 << chosen.randrange(8)
        with pytest.raises(EvidenceError):
            parsed = note.parse(bytes(changed))
            assert parsed.to_bytes() == bytes(changed)
            note.verify_ed25519(parsed, ORIGIN, public)
            if not note.verify_ecdsa(parsed, ORIGIN, IDENTITY.public_key()):
                raise EvidenceError("the identity's signature is gone")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        b"text\n",
        b"text\n\n",
        b"text\n\nno signature\n",
        b"text\n\n\xe2\x80\x94 name\n",
        b"text\n\n\xe2\x80\x94 name AAAA\n",
        b"text\n\n\xe2\x80\x94 name AAAAAAA=",
        b"\xff\n\n\xe2\x80\x94 n AAAAAAA=\n",
        b"te\txt\n\n\xe2\x80\x94 n AAAAAAA=\n",
        b"text\n\n\xe2\x80\x94 n+m AAAAAAA=\n",
        b"text\n\n\xe2\x80\x94 n AAAAAAB=\n",
        b"text\n\n\xe2\x80\x94 n AAAAAAA= \n",
        b"text\n\n\xe2\x80\x94  n AAAAAAA=\n",
        b"text\n\n- n AAAAAAA=\n",
        b"text\n\n" + b"\xe2\x80\x94 n AAAAAAA=\n" * 17,
        b"x" * (1 << 20) + b"\n\n",
    ],
)
def test_what_is_no_note_is_refused(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        note.parse(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n1\n",
        f"o\n1\n{'A' * 43}=",
        f"o\n01\n{'A' * 43}=\n",
        f"o\n-1\n{'A' * 43}=\n",
        f"o\n1\n{'A' * 43}=\nextra\n",
        "o\n1\nAAAA\n",
        f"o\n\u0661\n{'A' * 43}=\n",
        f"o o\n1\n{'A' * 43}=\n",
        f"o\n{'9' * 20}\n{'A' * 43}=\n",
        f"o\n1\n{'A' * 42}B=\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(EvidenceError):
        note.parse_checkpoint(text)


def test_a_cosignature_is_bound_to_its_time() -> None:
    witness = Ed25519PrivateKey.generate()
    cosigned = signed().with_signatures([note.cosign(HEAD.text(), "station", witness, 1_700_000_000)])
    assert note.verify_cosignature(cosigned, "station", witness.public_key()) == 1_700_000_000
    last = cosigned.signatures[-1]
    later = note.Signature(last.name, last.key_id, (1_700_000_001).to_bytes(8, "big") + last.value[8:])
    with pytest.raises(EvidenceError):
        note.verify_cosignature(note.Note(cosigned.text, (later,)), "station", witness.public_key())
    with pytest.raises(EvidenceError):
        note.verify_cosignature(signed(), "station", witness.public_key())


def test_a_signature_and_a_cosignature_of_one_key_are_not_taken_for_each_other() -> None:
    assert len({note.key_id("n", kind, bytes(32)) for kind in (note.ED25519, note.COSIGNATURE)}) == 2
    plain = note.Note(HEAD.text(), (note.sign_ed25519(HEAD.text(), "station", KEY),))
    with pytest.raises(EvidenceError):
        note.verify_cosignature(plain, "station", KEY.public_key())


@pytest.mark.parametrize(
    "text", ["", "name", "name+00000000+AA==", GO_VKEY[:-1], GO_VKEY.replace("c74f20a3", "c74f20a4"), "a b" + GO_VKEY]
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(KeyTrustError):
        note.parse_vkey(text)


def test_key_ids_by_hand() -> None:
    """SHA-256(name || 0x0A || 0x01 || key)[:4], and SHA-256(SPKI)[:4] for ECDSA (signed-note, "Signature types")."""
    raw = note.raw_public(KEY.public_key())
    assert note.key_id("n", note.ED25519, raw) == hashlib.sha256(b"n\n\x01" + raw).digest()[:4]
    der = note.spki(IDENTITY.public_key())
    assert note.key_id("n", note.ECDSA, der) == hashlib.sha256(der).digest()[:4]
