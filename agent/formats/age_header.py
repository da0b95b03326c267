"""The header of an age v1 file: version line, recipient stanzas, MAC (c2sp.org/age, "Header").

The reader is strict: one spelling for each header. What it spends on hostile input is bounded by MAX_HEADER_BYTES.
"""

from __future__ import annotations

import binascii
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.errors import EvidenceError

# Room for 32 stanzas of the widest native type; the age specification sets no limit of its own.
MAX_HEADER_BYTES = 64 << 10
MAX_STANZAS = 32

_FAMILY = b"age-encryption.org/"
_VERSION = _FAMILY + b"v1\n"
_COLUMNS = 64
_STANZA = re.compile(rb"->(?: [!-~]+)+")


@dataclass(frozen=True, slots=True)
class Stanza:
    """One wrapped file key: the arguments (the first names the type) and the body."""

    args: tuple[str, ...]
    body: bytes

    def to_bytes(self) -> bytes:
        text = b64(self.body)
        # The last line is always shorter than 64 columns, hence empty where the text fills its lines.
        lines = [text[at : at + _COLUMNS] for at in range(0, len(text) + 1, _COLUMNS)]
        return "\n".join(("-> " + " ".join(self.args), *lines, "")).encode("ascii")


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header. `covered` is what the MAC is over; `size` counts the final newline."""

    stanzas: tuple[Stanza, ...]
    covered: bytes
    mac: bytes
    size: int

    def check(self, file_key: bytes) -> None:
        """Raises EvidenceError unless the MAC is that of `file_key` over this header."""
        if not hmac.compare_digest(self.mac, _mac(file_key, self.covered)):
            raise EvidenceError("age header was altered: its MAC does not fit")


def derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869), 32 bytes. An empty salt means the hash's length of zeros, as the RFC says."""
    return HKDF(hashes.SHA256(), 32, salt or None, info).derive(secret)


def write(stanzas: Sequence[Stanza], file_key: bytes) -> bytes:
    """The whole header, with its MAC."""
    covered = _VERSION + b"".join(stanza.to_bytes() for stanza in stanzas) + b"---"
    return covered + b" " + b64(_mac(file_key, covered)).encode("ascii") + b"\n"


def parse(data: bytes) -> Header:
    """Read the header at the start of `data`; what follows it is not looked at. Raises EvidenceError."""
    lines = _Lines(data[:MAX_HEADER_BYTES])
    _check_version(lines.next())
    stanzas: list[Stanza] = []
    while True:
        start, line = lines.at, lines.next()
        if line.startswith(b"--- "):
            break
        if len(stanzas) == MAX_STANZAS:
            raise EvidenceError(f"age header has more than {MAX_STANZAS} recipient stanzas")
        stanzas.append(Stanza(_arguments(line), _body(lines)))
    if not stanzas:
        raise EvidenceError("age header has no recipient stanza")
    mac = unb64(line[4:])
    if len(mac) != 32:
        raise EvidenceError("age header MAC is not 32 bytes long")
    return Header(tuple(stanzas), data[: start + 3], mac, lines.at)


def b64(data: bytes) -> str:
    """RFC 4648 section 4, without padding."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").decode("ascii")


def unb64(text: bytes) -> bytes:
    """Strict inverse of b64: any other spelling of the same bytes raises EvidenceError."""
    try:
        data = binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        raise EvidenceError(f"age header: not base64: {text[:60]!r}") from None
    if binascii.b2a_base64(data, newline=False).rstrip(b"=") != text:
        raise EvidenceError(f"age header: not canonical base64: {text[:60]!r}")
    return data


class _Lines:
    """Newline-ended lines of a bounded head of the file; `at` is the offset of the next one."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self.at = 0

    def next(self) -> bytes:
        end = self._head.find(b"\n", self.at)
        if end < 0:
            full = len(self._head) == MAX_HEADER_BYTES
            raise EvidenceError("age header is longer than 64 KiB" if full else "age header is cut short")
        line, self.at = self._head[self.at : end], end + 1
        return line


def _check_version(line: bytes) -> None:
    if line + b"\n" == _VERSION:
        return
    if line.startswith(_FAMILY):
        raise EvidenceError(f"age version {line[len(_FAMILY) :][:20]!r} is not supported")
    raise EvidenceError("not an age file")


def _arguments(line: bytes) -> tuple[str, ...]:
    if not _STANZA.fullmatch(line):
        raise EvidenceError(f"age header: not a recipient stanza: {line[:60]!r}")
    return tuple(line.decode("ascii").split(" ")[1:])


def _body(lines: _Lines) -> bytes:
    text = []
    while True:
        line = lines.next()
        if len(line) > _COLUMNS:
            raise EvidenceError("age header: a stanza line is longer than 64 columns")
        text.append(line)
        if len(line) < _COLUMNS:
            return unb64(b"".join(text))


def _mac(file_key: bytes, covered: bytes) -> bytes:
    return hmac.digest(derive(file_key, b"", b"header"), covered, "sha256")
