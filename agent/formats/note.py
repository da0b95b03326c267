"""Signed notes and checkpoints: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature.

A note is text, a blank line, and signature lines `— name base64(key id || signature)`. This reader is strict: one
encoding for each note, so that a changed byte anywhere is a different or an invalid note.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import EvidenceError, KeyTrustError

if TYPE_CHECKING:
    # Imported where a signature is made or checked: what only reads notes, as the uploader does, is 9 MiB smaller.
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519, ECDSA, COSIGNATURE = 0x01, 0x02, 0x04
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group (SEC 2, secp256r1: n)."""
MAX_NOTE_BYTES = 1 << 20
MAX_SIGNATURES = 16
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NOT_IN_NAME = re.compile(r"[\s+\x00-\x1f]")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the signer's name, the 4-byte key id, and the signature proper."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        return f"— {self.name} {b64(self.key_id + self.value)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note; `text` ends in a newline and is what signatures cover. Nothing in it is trusted before a
    verify call.
    """

    text: str
    signatures: tuple[Signature, ...]

    def to_bytes(self) -> bytes:
        return (self.text + "\n" + "".join(s.line() for s in self.signatures)).encode()

    def with_signatures(self, more: Sequence[Signature]) -> Note:
        return Note(self.text, (*self.signatures, *more))


def b64(data: bytes) -> str:
    """RFC 4648 section 4, with padding."""
    return base64.b64encode(data).decode("ascii")


def unb64(text: str) -> bytes:
    """Strict inverse of b64: any other spelling of the same bytes raises EvidenceError."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise EvidenceError(f"not base64: {text[:60]!r}") from None
    if b64(data) != text:
        raise EvidenceError(f"not canonical base64: {text[:60]!r}")
    return data


def check_name(name: str) -> str:
    """A key name: not empty, no white space, no plus, no control character."""
    if not name or _NOT_IN_NAME.search(name):
        raise EvidenceError(f"not a key name: {name[:60]!r}")
    return name


def parse(data: bytes) -> Note:
    """Read one note of at most 1 MiB and 16 signatures. Raises EvidenceError."""
    if len(data) > MAX_NOTE_BYTES:
        raise EvidenceError("note is longer than 1 MiB")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise EvidenceError("note is not UTF-8") from None
    if _CONTROL.search(whole):
        raise EvidenceError("note has control characters")
    text, blank, tail = whole.rpartition("\n\n")
    if not blank or not text or not tail.endswith("\n"):
        raise EvidenceError("note lacks its text, blank line or signatures")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise EvidenceError(f"note has more than {MAX_SIGNATURES} signatures")
    return Note(text + "\n", tuple(_parse_line(line) for line in lines))


def _parse_line(line: str) -> Signature:
    words = line.split(" ")
    if len(words) != 3 or words[0] != "—":
        raise EvidenceError(f"not a signature line: {line[:60]!r}")
    value = unb64(words[2])
    if len(value) < 5:
        raise EvidenceError("signature is too short")
    return Signature(check_name(words[1]), value[:4], value[4:])


# -- keys ----------------------------------------------------------------------------------------------------------


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """First four bytes of SHA-256(name, newline, kind, key); for ECDSA, of SHA-256(SPKI DER) alone, as
    signed-note says.
    """
    if kind == ECDSA:
        return hashlib.sha256(public).digest()[:4]
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def raw_public(key: Ed25519PublicKey) -> bytes:
    """The 32 bytes of RFC 8032."""
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def spki(key: ec.EllipticCurvePublicKey) -> bytes:
    """SubjectPublicKeyInfo, DER."""
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def vkey(name: str, kind: int, public: Ed25519PublicKey) -> str:
    """Verifier key text `name+hash+base64(kind || key)` (signed-note, verifier keys)."""
    raw = raw_public(public)
    return f"{check_name(name)}+{key_id(name, kind, raw).hex()}+{b64(bytes([kind]) + raw)}"


def parse_vkey(text: str, kind: int = ED25519) -> tuple[str, Ed25519PublicKey]:
    """(name, key) of a verifier key of the given kind. Raises KeyTrustError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        name, hash_hex, key = text.strip().split("+", 2)
        raw = unb64(key)
        if len(raw) != 33 or raw[0] != kind or key_id(check_name(name), kind, raw[1:]).hex() != hash_hex:
            raise ValueError
    except (ValueError, EvidenceError):
        raise KeyTrustError(f"not a verifier key: {text[:80]!r}", "copy the line the station printed, whole") from None
    return name, Ed25519PublicKey.from_public_bytes(raw[1:])


Keys = Sequence[tuple[str, "Ed25519PublicKey"]]
"""Names and public keys: whoever of them signed is believed. More than one while a key is exchanged for its successor.
"""


def parse_vkeys(*texts: str) -> Keys:
    """Those that are not empty. Raises KeyTrustError."""
    return tuple(parse_vkey(text) for text in texts if text)


def hash_of(vkey_text: str) -> str:
    """The hash in a verifier key's text, 8 hex digits, by which people and stations name the key."""
    return vkey_text.strip().split("+", 2)[1]


def signer(note: Note, keys: Keys, kind: int = ED25519) -> tuple[str, Ed25519PublicKey]:
    """Of these keys the first of which the note bears a signature, to be verified; else the first."""
    return next((one for one in keys if _find(note, one[0], key_id(one[0], kind, raw_public(one[1])))), keys[0])


# -- signing and verifying -----------------------------------------------------------------------------------------


def sign_ed25519(text: str, name: str, key: Ed25519PrivateKey) -> Signature:
    """Ed25519 over the note text (type 0x01)."""
    return Signature(name, key_id(name, ED25519, raw_public(key.public_key())), key.sign(text.encode()))


def ecdsa_signature(name: str, public: ec.EllipticCurvePublicKey, der_signature: bytes) -> Signature:
    """Wrap an ECDSA-with-SHA-256 signature over the note text, made by whatever holds the key (type 0x02)."""
    return Signature(name, key_id(name, ECDSA, spki(public)), low_s(der_signature))


def low_s(der_signature: bytes) -> bytes:
    """The same signature in the one of its two forms that is valid here: from (r, s) anyone can compute (r, n - s)."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    r, s = decode_dss_signature(der_signature)
    return encode_dss_signature(r, min(s, P256_ORDER - s))


def cosign(text: str, name: str, key: Ed25519PrivateKey, unix_s: int) -> Signature:
    """Timestamped cosignature of a checkpoint's text (type 0x04, tlog-cosignature, Ed25519)."""
    signed = f"cosignature/v1\ntime {unix_s}\n{text}".encode()
    return Signature(
        name, key_id(name, COSIGNATURE, raw_public(key.public_key())), unix_s.to_bytes(8, "big") + key.sign(signed)
    )


def _find(note: Note, name: str, wanted: bytes) -> list[Signature]:
    return [s for s in note.signatures if s.name == name and s.key_id == wanted]


def verify_ed25519(note: Note, name: str, key: Ed25519PublicKey) -> None:
    """Raises EvidenceError unless the note carries this key's valid signature, and no invalid one."""
    if not is_by_ed25519(note, name, key):
        raise EvidenceError(f"note has no signature of {name} by the expected key")


def is_by_ed25519(note: Note, name: str, key: Ed25519PublicKey) -> bool:
    """True if the note carries this key's valid signature, False if it carries none; EvidenceError if an invalid
    one.
    """
    found = _find(note, name, key_id(name, ED25519, raw_public(key)))
    for signature in found:
        _ed25519(key, signature.value, note.text.encode(), name)
    return bool(found)


def verify_ecdsa(note: Note, name: str, key: ec.EllipticCurvePublicKey) -> bool:
    """True if the note carries this key's valid ECDSA signature, False if it carries none; EvidenceError if an
    invalid one.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    found = _find(note, name, key_id(name, ECDSA, spki(key)))
    for signature in found:
        try:
            key.verify(signature.value, note.text.encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise EvidenceError(f"ECDSA signature of {name} is not valid") from None
        if low_s(signature.value) != signature.value:
            raise EvidenceError(f"ECDSA signature of {name} is not in its one spelling")
    return bool(found)


def verify_cosignature(note: Note, name: str, key: Ed25519PublicKey) -> int:
    """The POSIX time (seconds) of this witness's valid cosignature; EvidenceError where it lacks or is not valid."""
    found = _find(note, name, key_id(name, COSIGNATURE, raw_public(key)))
    if not found or any(len(s.value) != 72 for s in found):
        raise EvidenceError(f"checkpoint has no cosignature of {name} by the expected key")
    times = []
    for signature in found:
        unix_s = int.from_bytes(signature.value[:8], "big")
        _ed25519(key, signature.value[8:], f"cosignature/v1\ntime {unix_s}\n{note.text}".encode(), name)
        times.append(unix_s)
    return max(times)


def _ed25519(key: Ed25519PublicKey, signature: bytes, message: bytes, name: str) -> None:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, message)
    except InvalidSignature:
        raise EvidenceError(f"Ed25519 signature of {name} is not valid") from None


# -- checkpoints ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: which log, how many leaves, and their root hash. Extension lines are not used, and refused."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64(self.root)}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Read a checkpoint's note text. Raises EvidenceError."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise EvidenceError("checkpoint does not have exactly three lines")
    if not (lines[1].isascii() and lines[1].isdigit()) or len(lines[1]) > 19 or str(int(lines[1])) != lines[1]:
        raise EvidenceError(f"checkpoint size is not a number: {lines[1][:30]!r}")
    root = unb64(lines[2])
    if len(root) != 32:
        raise EvidenceError("checkpoint root is not 32 bytes long")
    return Checkpoint(check_name(lines[0]), int(lines[1]), root)
