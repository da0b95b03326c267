"""The receipt: one signed note in which a station says which segments it stores, re-read and verified, where and
until when.

docs/evidence-format.md, "Receipt". Signed as a C2SP note by the station's receipt key; the checkpoint it cosigned
is inside, whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.errors import EvidenceError
from agent.formats import note, possession, span
from agent.formats.pack import SEGMENT_NAME
from agent.model import CAMERA_NAME

MAGIC = "bodycam-receipt/v1"
MAX_RECEIPT = 64 << 10
LEAST_RECEIPT = 512
"""Bytes: two certificates, a checkpoint and a signature alone are more."""
MAX_SEGMENTS = 256
_HEX = re.compile(r"[0-9a-f]{64}")
_PLACE = re.compile(r"[\x21-\x7e]{1,200}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Stored:
    """One segment the station holds: digest and size of the bytes it re-read, where they lie, until when (POSIX
    seconds; 0 = no end). `answer` is to the challenge that the camera asked with, made from those bytes; "" where it
    asked none. It holds the leaves first <= i < first + entries; 0 entries: nothing is said of them.
    """

    sha256: str
    size: int
    segment: str
    place: str
    until_s: int
    answer: str = ""
    first: int = 0
    entries: int = 0

    @property
    def end(self) -> int:
        return self.first + self.entries


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the note says. `checkpoint` is the camera's checkpoint note with the station's cosignature added,
    verbatim.

    `certificates` are DER: the receipt key's, then its issuer's; with the agency's root they show whose key it
    is. `kept` are left over from an earlier epoch: their bytes are stored and re-read like the others', and nothing is
    said of what they prove.
    """

    station: str
    origin: str
    camera: str
    issued_s: int
    checkpoint: bytes
    stored: tuple[Stored, ...]
    certificates: tuple[bytes, ...]
    kept: tuple[Stored, ...] = ()

    def text(self) -> str:
        """The note text to sign."""
        lines = [
            MAGIC,
            f"station {self.station}",
            f"origin {self.origin}",
            f"camera {self.camera}",
            f"issued {self.issued_s}",
            *(_line("segment", s) for s in self.stored),
            *(_line("kept", s) for s in self.kept),
            f"checkpoint {note.b64(self.checkpoint)}",
            *(f"certificate {note.b64(c)}" for c in self.certificates),
        ]
        return "\n".join(lines) + "\n"


def parse(text: str) -> Receipt:
    """Read a receipt's note text; trust it only after its note's signature was verified. Raises EvidenceError."""
    if len(text) > MAX_RECEIPT:
        raise EvidenceError("receipt is longer than 64 KiB")
    lines = text.split("\n")
    if len(lines) < 7 or lines[0] != MAGIC or lines.pop():
        raise EvidenceError("not a receipt")
    station, origin, camera = (_field(lines[i], key) for i, key in ((1, "station"), (2, "origin"), (3, "camera")))
    issued, rest = _number(_field(lines[4], "issued")), lines[5:]
    stored: list[Stored] = []
    kept: list[Stored] = []
    for key, found in (("segment ", stored), ("kept ", kept)):
        while rest and rest[0].startswith(key):
            found.append(_stored(rest.pop(0)))
    if not rest or len(stored) + len(kept) > MAX_SEGMENTS or len(rest) > 5:
        raise EvidenceError("receipt lacks its checkpoint, or holds too much")
    if not CAMERA_NAME.fullmatch(camera):
        raise EvidenceError(f"receipt: not a camera name: {camera[:40]!r}")
    checkpoint = note.unb64(_field(rest[0], "checkpoint"))
    certificates = tuple(note.unb64(_field(line, "certificate")) for line in rest[1:])
    names = note.check_name(station), note.check_name(origin), camera
    receipt = Receipt(*names, issued, checkpoint, tuple(stored), certificates, tuple(kept))
    if receipt.text() != text:
        raise EvidenceError("receipt is not in its one spelling")
    return receipt


def _line(key: str, stored: Stored) -> str:
    answer = f" {stored.answer}" if stored.answer else ""
    leaves = f" {stored.first} {stored.entries}" if stored.entries else ""
    return f"{key} {stored.sha256} {stored.size} {stored.segment} {stored.place} {stored.until_s}{answer}{leaves}"


def _field(line: str, key: str) -> str:
    name, _, value = line.partition(" ")
    if name != key or not value:
        raise EvidenceError(f"receipt: a line {key!r} expected, {line[:40]!r} found")
    return value


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise EvidenceError(f"receipt: not a number: {text[:30]!r}")
    return int(text)


def _stored(line: str) -> Stored:
    """A line of 6 words, a 7th where it answers, and two more where it says which leaves the segment holds."""
    words = line.split(" ")
    answer, leaves = words[6 : 6 + len(words) % 2], words[6 + len(words) % 2 :]
    if (
        len(words) not in (6, 7, 8, 9)
        or not _HEX.fullmatch(words[1])
        or not SEGMENT_NAME.fullmatch(words[3])
        or not _PLACE.fullmatch(words[4])
        or not all(map(possession.is_hex, answer))
    ):
        raise EvidenceError(f"receipt: not a segment line: {line[:60]!r}")
    size, held = _number(words[2]), [_number(word) for word in leaves]
    if held and (words[0] != "segment" or not span.can_hold(words[3], size, *held)):
        raise EvidenceError(f"receipt: {words[3]} cannot hold these leaves: {' '.join(leaves)}")
    first, entries = held or (0, 0)
    return Stored(words[1], size, words[3], words[4], _number(words[5]), "".join(answer), first, entries)
