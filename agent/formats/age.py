"""age v1 encryption, files of bytes in memory (c2sp.org/age). Any age tool opens what this writes, and the reverse.

Recipients are all X25519 (`age1...`) or all post-quantum (`age1pq1...`); binary files, no armor. Primitives come from
`cryptography`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from agent.errors import EvidenceError, KeyTrustError
from agent.formats import age_header, age_stream
from agent.formats.age_pq import IDENTITY_PREFIX, RECIPIENT_PREFIX, PqIdentity, PqRecipient
from agent.formats.age_x25519 import FILE_KEY_BYTES, X25519Identity, X25519Recipient

__all__ = [
    "Encryptor",
    "Identity",
    "PqIdentity",
    "PqRecipient",
    "Recipient",
    "SealedFile",
    "X25519Identity",
    "X25519Recipient",
    "decrypt",
    "decrypt_prefix",
    "decrypt_with",
    "encrypt",
    "file_key",
    "identity_file",
    "parse_identity",
    "parse_identity_file",
    "parse_recipient",
    "parse_recipient_file",
    "recipient_set_hash",
    "rewrap",
    "split_header",
]

MAX_IDENTITIES = 64

Recipient = X25519Recipient | PqRecipient
"""Whom to encrypt to."""
Identity = X25519Identity | PqIdentity
"""Who can decrypt."""


@dataclass(frozen=True, slots=True)
class SealedFile:
    """One complete age file. The payload (nonce, then chunks) follows the first `header_size` bytes."""

    data: bytes
    header_size: int


class Encryptor:
    """Encrypts one file as it arrives. The output of all calls, in order, is the file; the header is in the first."""

    def __init__(self, recipients: Sequence[Recipient]) -> None:
        """Raises KeyTrustError for no recipient, too many, the same one twice, or both kinds together."""
        _check_recipients(recipients)
        # The file key is made here and used for this one file, so nothing derived from it meets another file.
        file_key = secrets.token_bytes(FILE_KEY_BYTES)
        header = age_header.write([recipient.wrap(file_key) for recipient in recipients], file_key)
        # Unique: 16 random bytes for each file, and the file key it goes with is never used again either.
        nonce = secrets.token_bytes(age_stream.PAYLOAD_NONCE_BYTES)
        self.header_size = len(header)
        self._pending = [header, nonce]
        self._chunks: age_stream.ChunkSealer | None = age_stream.ChunkSealer(age_stream.payload_key(file_key, nonce))

    def update(self, data: bytes) -> bytes:
        """Take more plaintext; return what can be written already."""
        return b"".join(self._update(data))

    def finish(self) -> bytes:
        """Return the rest of the file. Nothing can be added after it."""
        return b"".join(self._finish())

    def _update(self, data: bytes) -> list[bytes]:
        return [*self._lead(), *self._open_file().update(data)]

    def _finish(self) -> list[bytes]:
        chunks, self._chunks = self._open_file(), None
        return [*self._lead(), chunks.finish()]

    def _open_file(self) -> age_stream.ChunkSealer:
        if self._chunks is None:
            raise ValueError("this age file is finished")
        return self._chunks

    def _lead(self) -> list[bytes]:
        lead, self._pending = self._pending, []
        return lead


def encrypt(plaintext: bytes, recipients: Sequence[Recipient]) -> SealedFile:
    """Encrypt to all `recipients` under a file key of its own. Raises KeyTrustError as Encryptor does."""
    encryptor = Encryptor(recipients)
    # Joined once: a part is half a megabyte, and to copy it again costs more than to encrypt it.
    pieces = encryptor._update(plaintext) + encryptor._finish()
    return SealedFile(b"".join(pieces), encryptor.header_size)


def split_header(data: bytes) -> int:
    """Length of the header, its last newline included: read strictly, not authenticated. Raises EvidenceError."""
    return age_header.parse(data).size


def decrypt(data: bytes, identities: Sequence[Identity]) -> bytes:
    """The whole plaintext, all of it authentic.

    Raises EvidenceError for anything wrong in the file, KeyTrustError where no identity fits.
    """
    key, start = _open_header(data, identities)
    return b"".join(age_stream.open_chunks(key, data, start))


def file_key(data: bytes, identities: Sequence[Identity]) -> bytes:
    """The file key in an authentic header at the start of `data`. It opens this one file, and is nobody's to keep.

    Raises EvidenceError for anything wrong in the header, KeyTrustError where no identity fits.
    """
    return _unwrap(age_header.parse(data), identities)


def decrypt_with(key: bytes, data: bytes) -> bytes:
    """The whole plaintext of a file whose file key is known. Raises EvidenceError."""
    header = age_header.parse(data)
    header.check(key)
    return b"".join(age_stream.open_chunks(*_payload(key, header, data)))


def rewrap(data: bytes, key: bytes, recipients: Sequence[Recipient]) -> bytes:
    """A header for the same file key and other recipients: with the payload of `data` behind it, an age file that they
    open. Raises EvidenceError unless `key` is the file key of `data`, KeyTrustError as Encryptor does.
    """
    age_header.parse(data).check(key)
    _check_recipients(recipients)
    return age_header.write([recipient.wrap(key) for recipient in recipients], key)


def decrypt_prefix(data: bytes, identities: Sequence[Identity]) -> tuple[bytes, str | None]:
    """Salvage: every authentic chunk before the first wrong thing, and what that is; None where the file is whole.

    A damaged header gives (b"", reason). Raises KeyTrustError where no identity fits.
    """
    chunks: list[bytes] = []
    try:
        key, start = _open_header(data, identities)
        for chunk in age_stream.open_chunks(key, data, start):
            chunks.append(chunk)
    except EvidenceError as err:
        return b"".join(chunks), err.message
    return b"".join(chunks), None


def recipient_set_hash(recipients: Sequence[Recipient]) -> str:
    """Hex SHA-256 over the recipients' strings, sorted, each followed by a newline."""
    lines = sorted(recipient.to_string() + "\n" for recipient in recipients)
    return hashlib.sha256("".join(lines).encode("ascii")).hexdigest()


def parse_recipient(text: str) -> Recipient:
    """Read `age1...` or `age1pq1...`. Raises KeyTrustError."""
    if text.lower().startswith(RECIPIENT_PREFIX + "1"):
        return PqRecipient.parse(text)
    return X25519Recipient.parse(text)


def parse_identity(text: str) -> Identity:
    """Read `AGE-SECRET-KEY-1...` or `AGE-SECRET-KEY-PQ-1...`. Raises KeyTrustError, which never shows it."""
    if text.lower().startswith(IDENTITY_PREFIX + "1"):
        return PqIdentity.parse(text)
    return X25519Identity.parse(text)


def parse_identity_file(text: str) -> list[Identity]:
    """Read what `age -i` reads: an identity a line, comments (#) and blank lines.

    Raises KeyTrustError, which names the line but never shows it.
    """
    identities: list[Identity] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if len(identities) == MAX_IDENTITIES:
            raise KeyTrustError(f"identity file has more than {MAX_IDENTITIES} identities")
        try:
            identities.append(parse_identity(line))
        except KeyTrustError as err:
            raise KeyTrustError(f"identity file, line {number}: {err.message}", err.hint) from None
    if not identities:
        raise KeyTrustError("identity file has no identity", "name a file with an AGE-SECRET-KEY-1... line")
    return identities


def parse_recipient_file(text: str) -> list[Recipient]:
    """Read what `age -R` reads: a recipient a line, comments (#) and blank lines. Raises KeyTrustError."""
    found = [parse_recipient(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not found:
        raise KeyTrustError("recipients file has no recipient", "name a file with an age1... line")
    return found


def identity_file(identity: Identity, comment: str) -> str:
    """The text of a file for `age -i`: the comment, the recipient, the secret."""
    notes = [*comment.splitlines(), f"public key: {identity.recipient.to_string()}"]
    return "".join(f"# {note}\n" for note in notes) + identity.to_string() + "\n"


def _check_recipients(recipients: Sequence[Recipient]) -> None:
    if not recipients:
        raise KeyTrustError("no age recipient to encrypt to", "name at least one under [sealing] recipients")
    if len(recipients) > age_header.MAX_STANZAS:
        raise KeyTrustError(f"more than {age_header.MAX_STANZAS} age recipients", "name fewer of them")
    if len(set(recipients)) != len(recipients):
        raise KeyTrustError("an age recipient is named twice", "name each recipient once")
    if len({type(recipient) for recipient in recipients}) > 1:
        # c2sp.org/age forbids it: the file would be no stronger than its weaker recipient.
        raise KeyTrustError("post-quantum and other age recipients together", "name recipients of one kind")


def _open_header(data: bytes, identities: Sequence[Identity]) -> tuple[bytes, int]:
    """(payload key, offset of the first chunk) of an age file whose header is authentic."""
    header = age_header.parse(data)
    key, _, start = _payload(_unwrap(header, identities), header, data)
    return key, start


def _unwrap(header: age_header.Header, identities: Sequence[Identity]) -> bytes:
    # The first file key that comes out must fit the MAC too: a wrong one is an altered file, not a reason to look on.
    found = next((key for identity in identities if (key := identity.unwrap(header.stanzas)) is not None), None)
    if found is None:
        raise KeyTrustError("no identity fits this age file", "name the key file of one of its recipients")
    header.check(found)
    return found


def _payload(file_key: bytes, header: age_header.Header, data: bytes) -> tuple[bytes, bytes, int]:
    """(payload key, the file, offset of its first chunk), as `age_stream.open_chunks` takes them."""
    start = header.size + age_stream.PAYLOAD_NONCE_BYTES
    if len(data) < start:
        raise EvidenceError("age payload is cut short in its nonce")
    return age_stream.payload_key(file_key, data[header.size : start]), data, start
