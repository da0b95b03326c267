"""age files that are cut, flipped, put together anew, or break a rule of the header."""

from __future__ import annotations

import pytest

from agent.errors import EvidenceError, KeyTrustError
from agent.formats import age, age_header
from tests.formats.age_kit import ALICE, BOB, CHUNK, EVE, is_rejected, sealed, text

# -- damage ----------------------------------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_small_file_is_rejected() -> None:
    data = sealed(33).data
    survived = [
        (at, bit)
        for at in range(len(data))
        for bit in range(8)
        if not is_rejected(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
    ]
    assert not survived


def test_every_cut_of_a_small_file_is_rejected() -> None:
    file = sealed(33)
    for size in range(len(file.data)):
        with pytest.raises(EvidenceError):
            age.decrypt(file.data[:size], [ALICE])
    for size in range(file.header_size):
        with pytest.raises(EvidenceError):
            age.split_header(file.data[:size])
        released, problem = age.decrypt_prefix(file.data[:size], [ALICE])
        assert released == b"" and problem


@pytest.mark.parametrize("size", [CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK])
def test_cut_near_a_chunk_boundary_salvages_the_chunks_before_it(size: int) -> None:
    file = sealed(size)
    payload = file.header_size + 16
    for boundary in range(0, len(file.data) - payload + 1, CHUNK + 16):
        for cut in range(payload + boundary - 17, payload + boundary + 18):
            if not payload <= cut < len(file.data):
                continue
            whole = (cut - payload) // (CHUNK + 16) * CHUNK
            released, problem = age.decrypt_prefix(file.data[:cut], [ALICE])
            assert released == text(size)[:whole]
            assert problem is not None and "cut short" in problem
            with pytest.raises(EvidenceError, match="cut short"):
                age.decrypt(file.data[:cut], [ALICE])


@pytest.mark.parametrize("extra", [1, 15, 16, 17, CHUNK + 16, CHUNK + 17])
@pytest.mark.parametrize("size", [0, 10, CHUNK, 2 * CHUNK])
def test_bytes_after_the_end_are_rejected(size: int, extra: int) -> None:
    data = sealed(size).data + bytes(extra)
    assert is_rejected(data)
    released, problem = age.decrypt_prefix(data, [ALICE])
    assert problem and text(size).startswith(released)
    if size and size % CHUNK == 0:
        assert released == text(size)
        assert problem == f"age payload has {extra} bytes after its final chunk"


def test_chunks_swapped_repeated_or_dropped_are_rejected() -> None:
    file = sealed(3 * CHUNK)
    head = file.data[: file.header_size + 16]
    a, b, c = (file.data[len(head) + n * (CHUNK + 16) :][: CHUNK + 16] for n in range(3))
    for chunks, kept in (((b, a, c), 0), ((a, a, b, c), 1), ((a, c), 1), ((b, c), 0), ((a, b, b, c), 2), ((c,), 0)):
        data = head + b"".join(chunks)
        assert is_rejected(data)
        assert age.decrypt_prefix(data, [ALICE])[0] == text(kept * CHUNK)


def test_a_payload_of_another_file_to_the_same_recipients_is_rejected() -> None:
    one, two = sealed(50), age.encrypt(text(50), [ALICE.recipient, BOB.recipient])
    assert is_rejected(one.data[: one.header_size] + two.data[two.header_size :])


def test_damage_in_a_later_chunk_is_named() -> None:
    file = sealed(2 * CHUNK + 1)
    data = bytearray(file.data)
    data[file.header_size + 16 + CHUNK + 20] ^= 1
    assert age.decrypt_prefix(bytes(data), [ALICE]) == (text(CHUNK), "age payload is altered in chunk 1")


# -- header rules ----------------------------------------------------------------------------------------------------

SHARE = age_header.b64(bytes(range(32)))
BODY = age_header.b64(bytes(32))


def header(*stanzas: str) -> bytes:
    return ("age-encryption.org/v1\n" + "".join(stanzas) + "--- " + age_header.b64(bytes(32)) + "\n").encode()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cut short"),
        (b"\x00" * 200, "cut short"),
        (b"\x00" * (1 << 20), "longer than 64 KiB"),
        (b"PNG\n", "not an age file"),
        (b"age-encryption.org/v2\n", "version b'v2'"),
        (header(), "no recipient stanza"),
        (header(f"-> X {SHARE}\n\n").replace(b"\n", b"\r\n"), "not supported"),
        (header("-> \n\n"), "not a recipient stanza"),
        (header("->X\n\n"), "not a recipient stanza"),
        (header("-> a  b\n\n"), "not a recipient stanza"),
        (header("-> a \n\n"), "not a recipient stanza"),
        (header("-> a\x7f\n\n"), "not a recipient stanza"),
        (header("-> a\n" + "A" * 65 + "\n\n"), "longer than 64 columns"),
        (header("-> a\nQQ==\n"), "base64"),
        (header("-> a\nQR\n"), "canonical"),
        (header("-> a\nQ\n"), "base64"),
        (header("-> a\nQ_-Q\n"), "base64"),
        (header("-> a\n\n" * 33), "more than 32"),
        (header("-> a\n" + ("A" * 64 + "\n") * 1100 + "\n"), "longer than 64 KiB"),
        (header("-> a\n\n")[:-10] + b"\n", "base64|32 bytes"),
        (header("-> a\n\n").replace(b"--- ", b"---  "), "base64"),
    ],
)
def test_a_header_that_breaks_a_rule(data: bytes, says: str) -> None:
    with pytest.raises(EvidenceError, match=says):
        age.split_header(data)
    with pytest.raises(EvidenceError, match=says):
        age.decrypt(data, [ALICE])


@pytest.mark.parametrize(
    ("stanza", "says"),
    [
        (f"-> X25519\n{BODY}\n", "two arguments"),
        (f"-> X25519 {SHARE} more\n{BODY}\n", "two arguments"),
        (f"-> X25519 {SHARE[:-2]}\n{BODY}\n", "32 bytes|base64"),
        (f"-> X25519 {SHARE}AAAA\n{BODY}\n", "canonical|32 bytes|base64"),
        (f"-> X25519 {SHARE}\n{BODY[:-4]}\n", "32 bytes|base64"),
        (f"-> X25519 {SHARE}\n\n", "32 bytes"),
        (f"-> X25519 {age_header.b64(bytes(32))}\n{BODY}\n", "low-order"),
        (f"-> X25519 {age_header.b64(bytes([1]) + bytes(31))}\n{BODY}\n", "low-order"),
    ],
)
def test_an_x25519_stanza_that_breaks_a_rule(stanza: str, says: str) -> None:
    assert age.split_header(header(stanza)) == len(header(stanza))
    with pytest.raises(EvidenceError, match=says):
        age.decrypt(header(stanza) + bytes(64), [ALICE])


def test_a_malformed_x25519_stanza_is_no_less_wrong_behind_a_good_one() -> None:
    file_key = bytes(16)
    stanzas = [ALICE.recipient.wrap(file_key), age_header.Stanza(("X25519", "QQ"), bytes(32))]
    with pytest.raises(EvidenceError, match="32 bytes"):
        age.decrypt(age_header.write(stanzas, file_key) + bytes(32), [ALICE])


def test_thirty_two_recipients_and_no_more() -> None:
    many = [age.X25519Identity.generate() for _ in range(33)]
    file = age.encrypt(b"x", [who.recipient for who in many[:32]])
    assert age.decrypt(file.data, [many[31]]) == b"x"
    with pytest.raises(KeyTrustError, match="more than 32"):
        age.encrypt(b"x", [who.recipient for who in many])


def test_who_may_be_encrypted_to() -> None:
    with pytest.raises(KeyTrustError, match="no age recipient"):
        age.encrypt(b"x", [])
    with pytest.raises(KeyTrustError, match="twice"):
        age.encrypt(b"x", [ALICE.recipient, BOB.recipient, ALICE.recipient])
    with pytest.raises(KeyTrustError, match="low-order"):
        age.encrypt(b"x", [age.X25519Recipient(bytes(32))])
    with pytest.raises(KeyTrustError, match="no identity fits"):
        age.decrypt(sealed(0).data, [EVE])
    with pytest.raises(KeyTrustError, match="no identity fits"):
        age.decrypt_prefix(sealed(0).data, [])
