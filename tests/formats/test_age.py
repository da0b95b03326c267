"""age v1: interop with tools we did not write, the C2SP vectors, every chunk boundary, every cut, every flipped bit."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import zlib
from functools import cache
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import EvidenceError, KeyTrustError
from agent.formats import age, age_header, age_stream, age_x25519

CHUNK = 64 << 10
SIZES = sorted({max(0, n * CHUNK + d) for n in (0, 1, 2, 3) for d in (-17, -16, -1, 0, 1, 16, 17)})
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "age" / "cctv.json").read_text())

# From the specification's own text.
SPEC_IDENTITY = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
SPEC_RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"

ALICE, BOB, EVE = (age.Identity(bytes([n]) * 32) for n in (1, 2, 3))


def text(size: int) -> bytes:
    """Bytes in which no two chunks are alike."""
    return hashlib.shake_128(b"plaintext").digest(size)


@cache
def sealed(size: int) -> age.SealedFile:
    return age.encrypt(text(size), [ALICE.recipient, BOB.recipient])


def is_rejected(data: bytes) -> bool:
    try:
        age.decrypt(data, [ALICE])
    except (EvidenceError, KeyTrustError):
        return True
    return False


# -- the C2SP vectors ------------------------------------------------------------------------------------------------


def read_vector(name: str) -> tuple[dict[str, str], list[age.Identity], bytes]:
    head, _, body = base64.b64decode(VECTORS[name]).partition(b"\n\n")
    pairs = [line.split(": ", 1) for line in head.decode().split("\n")]
    fields = dict(pairs)
    assert set(fields) <= {"expect", "payload", "identity", "file key", "comment", "compressed"}
    identities = [age.Identity.parse(value) for key, value in pairs if key == "identity"]
    return fields, identities, zlib.decompress(body) if "compressed" in fields else body


@pytest.mark.parametrize("name", VECTORS)
def test_c2sp_vector(name: str) -> None:
    fields, identities, data = read_vector(name)
    expect = fields["expect"]
    if expect == "success":
        plaintext = age.decrypt(data, identities)
        assert hashlib.sha256(plaintext).hexdigest() == fields["payload"]
        assert age.decrypt_prefix(data, identities) == (plaintext, None)
        return
    with pytest.raises(KeyTrustError if expect == "no match" else EvidenceError) as caught:
        age.decrypt(data, identities)
    assert ("MAC does not fit" in str(caught.value)) == (expect == "HMAC failure")
    if expect == "payload failure":
        released, problem = age.decrypt_prefix(data, identities)
        assert problem
        assert hashlib.sha256(released).hexdigest() == fields["payload"]


@pytest.mark.parametrize("name", [n for n in VECTORS if read_vector(n)[0]["expect"] != "header failure"])
def test_c2sp_header_is_written_as_it_was_read(name: str) -> None:
    fields, _, data = read_vector(name)
    header = age_header.parse(data)
    again = age_header.write(header.stanzas, bytes.fromhex(fields.get("file key", "00" * 16)))
    assert (again == data[: header.size]) == (fields["expect"] != "HMAC failure" and "file key" in fields)
    assert age_header.parse(again).stanzas == header.stanzas


# -- interop ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_age_opens_what_we_write(size: int, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(age.identity_file(BOB, "agency\nof the test"))
    done = subprocess.run(["age", "-d", "-i", key_file], input=sealed(size).data, capture_output=True, check=True)
    assert done.stdout == text(size)


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_age_writes(size: int) -> None:
    recipients = [arg for who in (EVE, ALICE) for arg in ("-r", who.recipient.to_string())]
    done = subprocess.run(["age", *recipients], input=text(size), capture_output=True, check=True)
    assert age.decrypt(done.stdout, [ALICE]) == text(size)


def test_age_agrees_where_the_chunk_counter_fills_its_first_byte(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(age.identity_file(ALICE, ""))
    plaintext = text(257 * CHUNK + 1)
    ours = age.encrypt(plaintext, [ALICE.recipient]).data
    assert (
        subprocess.run(["age", "-d", "-i", key_file], input=ours, capture_output=True, check=True).stdout == plaintext
    )
    assert age.decrypt(ours, [ALICE]) == plaintext


@pytest.mark.parametrize("size", SIZES)
def test_pyrage_both_ways(size: int) -> None:
    theirs = pyrage.x25519.Identity.from_str(ALICE.to_string())
    assert str(theirs.to_public()) == ALICE.recipient.to_string()
    assert pyrage.decrypt(sealed(size).data, [theirs]) == text(size)
    # pyrage adds a stanza of a made-up type ("grease"), which a reader has to pass over.
    assert age.decrypt(pyrage.encrypt(text(size), [theirs.to_public()]), [ALICE]) == text(size)


def test_age_keygen_reads_and_writes_our_keys(tmp_path: Path) -> None:
    made = subprocess.run(["age-keygen"], capture_output=True, check=True, text=True).stdout
    (identity,) = age.parse_identity_file(made)
    assert f"# public key: {identity.recipient.to_string()}\n" in made
    ours = tmp_path / "key"
    ours.write_text(age.identity_file(identity, "by us"))
    public = subprocess.run(["age-keygen", "-y", ours], capture_output=True, check=True, text=True).stdout
    assert public.strip() == identity.recipient.to_string()


def test_age_salvages_the_same_prefix(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(age.identity_file(ALICE, "agency"))
    cut = sealed(3 * CHUNK).data[:-1]
    done = subprocess.run(["age", "-d", "-i", key_file], input=cut, capture_output=True, check=False)
    assert done.returncode == 1
    assert age.decrypt_prefix(cut, [ALICE])[0] == done.stdout == text(2 * CHUNK)


# -- round trip ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_round_trip_to_every_recipient(size: int) -> None:
    for who in (ALICE, BOB):
        assert age.decrypt(sealed(size).data, [EVE, who]) == text(size)
        assert age.decrypt_prefix(sealed(size).data, [who]) == (text(size), None)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3000), st.integers(0, 3), st.lists(st.integers(0, 2 * CHUNK), max_size=6))
def test_pushed_in_any_pieces_it_is_the_same_file(noise: bytes, chunks: int, cuts: list[int]) -> None:
    plaintext = text(chunks * CHUNK) + noise
    encryptor = age.Encryptor([ALICE.recipient])
    out, at = b"", 0
    for cut in [*sorted(min(c, len(plaintext)) for c in cuts), len(plaintext)]:
        out, at = out + encryptor.update(plaintext[at:cut]), cut
        assert out[: encryptor.header_size].startswith(b"age-encryption.org/v1\n")
    out += encryptor.finish()
    assert age.decrypt(out, [ALICE]) == plaintext
    assert age.split_header(out) == encryptor.header_size


def test_header_size_is_where_the_payload_begins() -> None:
    file = sealed(100)
    assert age.split_header(file.data) == file.header_size
    assert file.data[: file.header_size].endswith(b"\n")
    assert len(file.data) - file.header_size == 16 + 100 + 16


def test_nothing_repeats_between_two_files_of_one_plaintext() -> None:
    one, two = (age.encrypt(text(100), [ALICE.recipient]) for _ in range(2))
    headers = [age_header.parse(file.data) for file in (one, two)]
    assert headers[0].stanzas[0].args[1] != headers[1].stanzas[0].args[1]
    assert one.data[one.header_size :][:16] != two.data[two.header_size :][:16]
    assert headers[0].stanzas[0].body != headers[1].stanzas[0].body
    keys = [ALICE.unwrap(header.stanzas) for header in headers]
    assert keys[0] != keys[1]


def test_a_finished_file_takes_nothing_more() -> None:
    encryptor = age.Encryptor([ALICE.recipient])
    encryptor.finish()
    with pytest.raises(ValueError, match="finished"):
        encryptor.update(b"more")
    with pytest.raises(ValueError, match="finished"):
        encryptor.finish()


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
    many = [age.Identity.generate() for _ in range(33)]
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
        age.encrypt(b"x", [age.Recipient(bytes(32))])
    with pytest.raises(KeyTrustError, match="no identity fits"):
        age.decrypt(sealed(0).data, [EVE])
    with pytest.raises(KeyTrustError, match="no identity fits"):
        age.decrypt_prefix(sealed(0).data, [])


# -- keys ------------------------------------------------------------------------------------------------------------


def test_keys_of_the_specification() -> None:
    identity = age.Identity.parse(SPEC_IDENTITY)
    assert identity.secret == b"\x42" * 32
    assert identity.to_string() == SPEC_IDENTITY
    assert identity.recipient.to_string() == SPEC_RECIPIENT
    assert age.Recipient.parse(SPEC_RECIPIENT) == identity.recipient


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_keys_round_trip(secret: bytes) -> None:
    identity = age.Identity(secret)
    assert age.Identity.parse(identity.to_string()) == identity
    assert age.Recipient.parse(identity.recipient.to_string()) == identity.recipient


@settings(deadline=None)
@given(st.integers(0, len(SPEC_RECIPIENT) - 1), st.characters(codec="utf-8"))
def test_one_wrong_character_of_a_recipient_is_noticed(at: int, char: str) -> None:
    wrong = SPEC_RECIPIENT[:at] + char + SPEC_RECIPIENT[at + 1 :]
    if wrong != SPEC_RECIPIENT:
        with pytest.raises(KeyTrustError):
            age.Recipient.parse(wrong)


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
        age.Recipient.parse(wrong)


def test_a_low_order_recipient_is_refused_when_it_is_read() -> None:
    for point in (bytes(32), bytes([1]) + bytes(31), ((1 << 255) - 20).to_bytes(32, "little")):
        with pytest.raises(KeyTrustError, match="low-order"):
            age.Recipient.parse(age.Recipient(point).to_string())


@pytest.mark.parametrize("wrong", ["", SPEC_IDENTITY.lower(), SPEC_IDENTITY[:-1], SPEC_RECIPIENT, SPEC_IDENTITY + "Q"])
def test_not_an_identity_and_never_shown(wrong: str) -> None:
    with pytest.raises(KeyTrustError, match="identity") as caught:
        age.Identity.parse(wrong)
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
    assert age_x25519._shared(ZeroSecret(), bytes([9]) + bytes(31)) is None


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
    assert age.Identity(alice).recipient.key.hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    shared = X25519PrivateKey.from_private_bytes(alice).exchange(X25519PublicKey.from_public_bytes(bob))
    assert shared.hex() == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


def test_rfc_5869_case_3() -> None:
    """No salt and no info, as the header key has no salt."""
    okm = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert age_header.derive(b"\x0b" * 22, b"", b"").hex() == okm
    assert HKDF(hashes.SHA256(), 32, None, b"").derive(b"\x0b" * 22).hex() == okm
