"""Targets: age files and age keys."""

from __future__ import annotations

import base64
import contextlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.errors import AgentError, EvidenceError, KeyTrustError
from agent.formats import age, age_header, age_stream, bech32
from tests.fuzz.engine import Target, demand
from tests.fuzz.keys import ALICE, IDENTITIES, PAUL
from tests.fuzz.mutate import MAX_BYTES, havoc

CHUNK = 64
"""Bytes a chunk, here: so a file of many chunks is a short input. tests/formats/test_age.py has the true size."""


@contextmanager
def short_chunks() -> Iterator[None]:
    """Files are written and read in chunks of CHUNK bytes."""
    whole = age_stream.CHUNK_BYTES, age_stream._SEALED_BYTES
    age_stream.CHUNK_BYTES, age_stream._SEALED_BYTES = CHUNK, CHUNK + age_stream.TAG_BYTES
    try:
        yield
    finally:
        age_stream.CHUNK_BYTES, age_stream._SEALED_BYTES = whole


def run_age(data: bytes) -> None:
    with short_chunks():
        _run_age(data)


def _run_age(data: bytes) -> None:
    """One spelling of the header; whole or not at all; salvage that is a prefix."""
    plain, key = _opened(data)
    with contextlib.suppress(KeyTrustError):
        salvaged, why = age.decrypt_prefix(data, IDENTITIES)
        demand((plain is None) == (why is not None), "decrypt and decrypt_prefix disagree")
        demand(plain is None or salvaged == plain, "salvage of a whole file is not the file")
    _run_keys(data, plain)
    try:
        header = age_header.parse(data)
    except EvidenceError:
        demand(plain is None, "a file was opened whose header does not parse")
        return
    demand(age.split_header(data) == header.size, "split_header and parse disagree")
    spelt = b"age-encryption.org/v1\n" + b"".join(s.to_bytes() for s in header.stanzas) + b"---"
    demand(spelt == header.covered, "a header has two spellings")
    demand(data[: header.size] == spelt + b" " + age_header.b64(header.mac).encode() + b"\n", "a MAC has two spellings")
    if plain is not None and key is not None:
        nonce = data[header.size : header.size + 16]
        sealer = age_stream.ChunkSealer(age_stream.payload_key(key, nonce))
        demand(nonce + b"".join([*sealer.update(plain), sealer.finish()]) == data[header.size :], "two payloads")


def _run_keys(data: bytes, plain: bytes | None) -> None:
    """By its file key it opens to the same, also under another header."""
    with contextlib.suppress(EvidenceError, KeyTrustError):
        key = age.file_key(data, IDENTITIES)
        with contextlib.suppress(EvidenceError):
            demand(age.decrypt_with(key, data) == plain, "a file key opens what an identity does not")
        header = age.rewrap(data, key, [ALICE.recipient])
        again = header + data[age.split_header(data) :]
        demand(plain is None or age.decrypt(again, [ALICE]) == plain, "a rewrapped file is another")


def _opened(data: bytes) -> tuple[bytes | None, bytes | None]:
    try:
        plain = age.decrypt(data, IDENTITIES)
        return plain, _file_key(age_header.parse(data))
    except (EvidenceError, KeyTrustError):
        return None, None


def _file_key(header: age_header.Header) -> bytes | None:
    return next((key for identity in IDENTITIES if (key := identity.unwrap(header.stanzas)) is not None), None)


def mutate_age(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """The header with a MAC that fits, the chunks sealed for where they are put."""
    if rng.random() < 0.4:
        return havoc(data, rng, other)
    try:
        header = age_header.parse(data)
        key = _file_key(header) or bytes(16)
    except AgentError:
        return havoc(data, rng, other)
    stanzas = list(header.stanzas)
    if rng.random() < 0.6:
        _change_stanzas(stanzas, rng)
    payload = data[header.size :]
    if rng.random() < 0.4:
        payload = _payload(key, rng)
    return (age_header.write(stanzas[:60], key) + payload)[:MAX_BYTES]


def _change_stanzas(stanzas: list[age_header.Stanza], rng: random.Random) -> None:
    at = rng.randrange(len(stanzas))
    old = stanzas[at]
    args, body = list(old.args), old.body
    match rng.randrange(6):
        case 0:
            stanzas.insert(at, old)
            return
        case 1:
            stanzas.extend([old] * rng.choice((1, 31, 50)))
            return
        case 2:
            args.append("x")
        case 3 if len(args) > 1:
            share = _decoded(args[1])
            low = rng.choice((bytes(32), b"\1" + bytes(31), havoc(share, rng), share[:-32] + bytes(32)))
            args[1] = age_header.b64(low)
        case 4:
            args[0] = rng.choice(("X25519", "mlkem768x25519", "scrypt", "x"))
        case _:
            body = havoc(body, rng)
    stanzas[at] = age_header.Stanza(tuple(a for a in args if a), body)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return text.encode()


def _payload(key: bytes, rng: random.Random) -> bytes:
    """Chunks of any length, final or not, at any index."""
    nonce = rng.randbytes(16)
    aead = ChaCha20Poly1305(age_stream.payload_key(key, nonce))
    out, index = nonce, 0
    for last in [False] * rng.choice((0, 0, 0, 1)) + [True] * rng.choice((0, 1, 1, 2)):
        size = rng.choice((0, 1, 40, CHUNK, CHUNK if not last else 5))
        final = last if rng.random() < 0.9 else not last
        out += aead.encrypt(age_stream.chunk_nonce(index, final=final), bytes(size), None)
        index += rng.choice((1, 1, 1, 0, 2))
    return out + rng.choice((b"", b"", b"x", bytes(16)))


def seeds_age() -> dict[str, bytes]:
    alice, paul = ALICE.recipient, PAUL.recipient
    with short_chunks():
        chunks = age.encrypt(bytes(3 * CHUNK), [alice]).data
    return {
        "x25519": age.encrypt(b"plain", [alice]).data,
        "two": age.encrypt(b"", [age.X25519Identity(bytes([7]) * 32).recipient, alice]).data,
        "pq": age.encrypt(b"plain", [paul]).data,
        "foreign": age.encrypt(b"plain", [age.X25519Identity(bytes([9]) * 32).recipient]).data,
        "chunks": chunks,
    }


def run_agekeys(data: bytes) -> None:
    """Recipients and identities as people copy them: KeyTrustError, and one spelling."""
    text = data.decode("utf-8", "surrogateescape")
    with contextlib.suppress(KeyTrustError):
        demand(age.parse_recipient(text).to_string() == text, "a recipient has two spellings")
    with contextlib.suppress(KeyTrustError):
        demand(age.parse_identity(text).to_string() == text, "an identity has two spellings")
    with contextlib.suppress(KeyTrustError):
        found = age.parse_identity_file(text)
        again = "".join(age.identity_file(identity, "x") for identity in found)
        demand(age.parse_identity_file(again) == found, "an identity file reads otherwise when written again")


def mutate_agekeys(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """A Bech32 text whose checksum fits what it says."""
    if rng.random() < 0.5:
        return havoc(data, rng, other)
    key = rng.choice((ALICE.recipient.key, ALICE.secret, PAUL.seed, PAUL.recipient.key, bytes(32), b"\xff" * 1216))
    key = rng.choice((key, havoc(key, rng), key[:-1], key + b"\0", key[:1184] + bytes(32)))
    prefix = rng.choice(("age", "age1pq", "age-secret-key-", "age-secret-key-pq-", "x", "age1"))
    text = bech32.encode(prefix, key)
    text = text.upper() if "secret" in prefix and rng.random() < 0.9 else text
    return rng.choice((text, f"# {text}\n{text}\n", text + "\n" + text, text[:-1], text.swapcase())).encode()


def seeds_agekeys() -> dict[str, bytes]:
    texts = {"recipient": ALICE.recipient.to_string(), "identity": ALICE.to_string(), "pq": PAUL.to_string(),
             "pq-recipient": PAUL.recipient.to_string(), "file": age.identity_file(ALICE, "agency")}  # fmt: skip
    return {name: text.encode() for name, text in texts.items()}


TARGETS = (
    Target("age", run_age, mutate_age, seeds_age, share=100),
    Target("agekeys", run_agekeys, mutate_agekeys, seeds_agekeys, share=50),
)
