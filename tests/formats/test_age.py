"""age v1: interop with tools we did not write, the C2SP vectors, every size around a chunk boundary there and back."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import zlib
from pathlib import Path

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import EvidenceError, KeyTrustError
from agent.formats import age, age_header
from tests.formats.age_kit import ALICE, BOB, CHUNK, EVE, SIZES, sealed, text

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "age" / "cctv.json").read_text())


# -- the C2SP vectors ------------------------------------------------------------------------------------------------


def read_vector(name: str) -> tuple[dict[str, str], list[age.Identity], bytes]:
    head, _, body = base64.b64decode(VECTORS[name]).partition(b"\n\n")
    pairs = [line.split(": ", 1) for line in head.decode().split("\n")]
    fields = dict(pairs)
    assert set(fields) <= {"expect", "payload", "identity", "file key", "comment", "compressed"}
    identities = [age.parse_identity(value) for key, value in pairs if key == "identity"]
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
