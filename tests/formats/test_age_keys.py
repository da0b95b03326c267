"""age keys as people write them, and the primitives below as their RFCs have them."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import KeyTrustError
from agent.formats import age, age_header, age_stream, age_x25519
from tests.formats.age_kit import ALICE, BOB

# From the specification's own text.
SPEC_IDENTITY = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
SPEC_RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"


def test_keys_of_the_specification() -> None:
    identity = age.X25519Identity.parse(SPEC_IDENTITY)
    assert identity.secret == b"\x42" * 32
    assert identity.to_string() == SPEC_IDENTITY
    assert identity.recipient.to_string() == SPEC_RECIPIENT
    assert age.X25519Recipient.parse(SPEC_RECIPIENT) == identity.recipient


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_keys_round_trip(secret: bytes) -> None:
    identity = age.X25519Identity(secret)
    assert age.X25519Identity.parse(identity.to_string()) == identity
    assert age.X25519Recipient.parse(identity.recipient.to_string()) == identity.recipient


@settings(deadline=None)
@given(st.integers(0, len(SPEC_RECIPIENT) - 1), st.characters(codec="utf-8"))
def test_one_wrong_character_of_a_recipient_is_noticed(at: int, char: str) -> None:
    wrong = SPEC_RECIPIENT[:at] + char + SPEC_RECIPIENT[at + 1 :]
    if wrong != SPEC_RECIPIENT:
        with pytest.raises(KeyTrustError):
            age.X25519Recipient.parse(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "age1",
        SPEC_RECIPIENT.upper(),
        SPEC_RECIPIENT[:10].upper() + SPEC_RECIPIENT[10:],
        SPEC_RECIPIENT + " ",
        SPEC_RECIPIENT + "q",
        SPEC_IDENTITY,
        SPEC_IDENTITY.lower(),
        "age1" + "q" * 100_000,
        "ssh-ed25519 AAAA",
        "age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z"[:-1],
    ],
)
def test_not_a_recipient(wrong: str) -> None:
    with pytest.raises(KeyTrustError, match="recipient"):
        age.X25519Recipient.parse(wrong)


def test_a_low_order_recipient_is_refused_when_it_is_read() -> None:
    for point in (bytes(32), bytes([1]) + bytes(31), ((1 << 255) - 20).to_bytes(32, "little")):
        with pytest.raises(KeyTrustError, match="low-order"):
            age.X25519Recipient.parse(age.X25519Recipient(point).to_string())


@pytest.mark.parametrize("wrong", ["", SPEC_IDENTITY.lower(), SPEC_IDENTITY[:-1], SPEC_RECIPIENT, SPEC_IDENTITY + "Q"])
def test_not_an_identity_and_never_shown(wrong: str) -> None:
    with pytest.raises(KeyTrustError, match="identity") as caught:
        age.X25519Identity.parse(wrong)
    assert not wrong or wrong not in str(caught.value)


def test_a_secret_does_not_show_in_a_repr() -> None:
    assert "secret" not in repr(ALICE) and "x01" not in repr(ALICE)


def test_identity_file() -> None:
    lines = f"# two keys\r\n\r\n{ALICE.to_string()}\n   \n# more\n{BOB.to_string()}\r\n"
    assert age.parse_identity_file(lines) == [ALICE, BOB]
    assert age.parse_identity_file(age.identity_file(ALICE, "first\nsecond")) == [ALICE]
    with pytest.raises(KeyTrustError, match="no identity"):
        age.parse_identity_file("# nothing\n")
    with pytest.raises(KeyTrustError, match="line 2"):
        age.parse_identity_file(f"# a\nx{ALICE.to_string()}\n")
    with pytest.raises(KeyTrustError, match="more than 64"):
        age.parse_identity_file(f"{ALICE.to_string()}\n" * 65)


def test_recipient_set_hash_does_not_depend_on_order() -> None:
    names = sorted(who.recipient.to_string() for who in (ALICE, BOB))
    expected = hashlib.sha256(f"{names[0]}\n{names[1]}\n".encode()).hexdigest()
    assert age.recipient_set_hash([ALICE.recipient, BOB.recipient]) == expected
    assert age.recipient_set_hash([BOB.recipient, ALICE.recipient]) == expected


def test_chunk_nonces() -> None:
    assert age_stream.chunk_nonce(0, final=False) == bytes(12)
    assert age_stream.chunk_nonce(0x0102, final=True) == bytes(9) + b"\x01\x02\x01"
    assert age_stream.chunk_nonce((1 << 88) - 1, final=False) == b"\xff" * 11 + b"\x00"
    with pytest.raises(OverflowError):
        age_stream.chunk_nonce(1 << 88, final=False)


class ZeroSecret:
    """A backend that hands an all-zero shared secret out, where OpenSSL raises."""

    def exchange(self, public: object) -> bytes:
        return bytes(32)


def test_an_all_zero_shared_secret_is_never_used() -> None:
    assert age_x25519.shared_secret(ZeroSecret(), bytes([9]) + bytes(31)) is None


# -- the primitives, as their RFCs have them -------------------------------------------------------------------------


def test_rfc_8439_section_2_8_2() -> None:
    key = bytes(range(0x80, 0xA0))
    nonce = bytes.fromhex("070000004041424344454647")
    plaintext = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    plaintext += b"sunscreen would be it."
    out = ChaCha20Poly1305(key).encrypt(nonce, plaintext, bytes.fromhex("50515253c0c1c2c3c4c5c6c7"))
    assert out[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert out[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


def test_rfc_7748_section_6_1() -> None:
    alice = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    assert (
        age.X25519Identity(alice).recipient.key.hex()
        == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    )
    shared = X25519PrivateKey.from_private_bytes(alice).exchange(X25519PublicKey.from_public_bytes(bob))
    assert shared.hex() == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


def test_rfc_5869_case_3() -> None:
    """No salt and no info, as the header key has no salt."""
    okm = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert age_header.derive(b"\x0b" * 22, b"", b"").hex() == okm
    assert HKDF(hashes.SHA256(), 32, None, b"").derive(b"\x0b" * 22).hex() == okm
