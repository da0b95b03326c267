"""A purge note: one signed note in which a station says which segments of a recording it deleted, since the days for
which it keeps them were over (docs/evidence-format.md, "Purge"). Signed as a C2SP note by the station's receipt key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from agent.errors import EvidenceError
from agent.formats import certs, epoch, note, pack, span
from agent.model import CAMERA_NAME

if TYPE_CHECKING:
    from cryptography import x509

MAGIC = "bodycam-purge/v1"
MAX_PURGE = 64 << 10
LEAST_PURGE = 512
"""Bytes: two certificates, a digest and a signature alone are more."""
MAX_SEGMENTS = 256
_HEX = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Gone:
    """One segment that was deleted: digest and size of its bytes, and the leaves first <= i < first + entries that it
    held.
    """

    sha256: str
    size: int
    segment: str
    first: int
    entries: int

    @property
    def end(self) -> int:
        return self.first + self.entries


@dataclass(frozen=True, slots=True)
class Purge:
    """Of one recording, in the order of the log. It was kept until `until_s`, and purged at `purged_s`, no sooner, both
    POSIX seconds. `certificates` are DER: the receipt key's, then its issuer's.
    """

    station: str
    origin: str
    camera: str
    recording: str
    until_s: int
    purged_s: int
    gone: tuple[Gone, ...]
    certificates: tuple[bytes, ...]

    def text(self) -> str:
        """The note text to sign."""
        lines = [
            MAGIC,
            f"station {self.station}",
            f"origin {self.origin}",
            f"camera {self.camera}",
            f"recording {self.recording}",
            f"until {self.until_s}",
            f"purged {self.purged_s}",
            *(f"segment {g.sha256} {g.size} {g.segment} {g.first} {g.entries}" for g in self.gone),
            *(f"certificate {note.b64(c)}" for c in self.certificates),
        ]
        return "\n".join(lines) + "\n"


def parse(text: str) -> Purge:
    """Read a purge note's text; trust it only after its note's signature was verified. Raises EvidenceError."""
    if len(text) > MAX_PURGE:
        raise EvidenceError("purge note is longer than 64 KiB")
    lines = text.split("\n")
    if len(lines) < 10 or lines[0] != MAGIC or lines.pop():
        raise EvidenceError("not a purge note")
    keys = ("station", "origin", "camera", "recording", "until", "purged")
    station, origin, camera, recording, until, purged = (
        _field(line, key) for line, key in zip(lines[1:7], keys, strict=True)
    )
    rest, gone = lines[7:], list[Gone]()
    while rest and rest[0].startswith("segment "):
        gone.append(_gone(rest.pop(0)))
    if not 1 <= len(gone) <= MAX_SEGMENTS or len(rest) != 2:
        raise EvidenceError("purge note names no segment or too many, or lacks its certificates")
    certificates = tuple(note.unb64(_field(line, "certificate")) for line in rest)
    names = note.check_name(station), note.check_name(origin), camera, recording
    found = Purge(*names, _number(until), _number(purged), tuple(gone), certificates)
    if found.text() != text:
        raise EvidenceError("purge note is not in its one spelling")
    _check(found)
    return found


def check(data: bytes, root: x509.Certificate) -> Purge:
    """What a whole note says: its one spelling, signed by a receipt key whose certificates lead to the agency's root.
    Raises EvidenceError, KeyTrustError.
    """
    parsed = note.parse(data)
    if parsed.to_bytes() != data:
        raise EvidenceError("it is not in its one spelling")
    found = parse(parsed.text)
    station, key = certs.check_receipt_key([certs.parse_der(c) for c in found.certificates], root)
    if station != found.station:
        raise EvidenceError(f"it is of station {found.station}, its certificate of {station}")
    note.verify_ed25519(parsed, station, key)
    return found


def _check(found: Purge) -> None:
    """Whether what it says can be so. Raises EvidenceError."""
    if not CAMERA_NAME.fullmatch(found.camera) or epoch.split(found.origin)[0].rpartition("/")[2] != found.camera:
        raise EvidenceError(f"purge note: {found.origin[:80]!r} is not a log of the camera {found.camera[:40]!r}")
    if not pack.RECORDING_ID.fullmatch(found.recording):
        raise EvidenceError(f"purge note: not a recording: {found.recording[:40]!r}")
    if not 0 < found.until_s <= found.purged_s:
        raise EvidenceError("purge note says that it was purged before the end to which it was to be kept")
    for one in found.gone:
        if one.segment[:20] != found.recording:
            raise EvidenceError(f"purge note: {one.segment} cannot be of {found.recording}")
        if not span.can_hold(one.segment, one.size, one.first, one.entries):
            raise EvidenceError(f"purge note: {one.segment} cannot hold {one.entries} leaves from {one.first} on")
    if any(b.first < a.end or b.segment <= a.segment for a, b in pairwise(found.gone)):
        raise EvidenceError("purge note names segments in another order than that of the log")


def _gone(line: str) -> Gone:
    words = line.split(" ")
    if len(words) != 6 or not _HEX.fullmatch(words[1]) or not pack.SEGMENT_NAME.fullmatch(words[3]):
        raise EvidenceError(f"purge note: not a segment line: {line[:60]!r}")
    return Gone(words[1], _number(words[2]), words[3], _number(words[4]), _number(words[5]))


def _field(line: str, key: str) -> str:
    name, _, value = line.partition(" ")
    if name != key or not value:
        raise EvidenceError(f"purge note: a line {key!r} expected, {line[:40]!r} found")
    return value


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise EvidenceError(f"purge note: not a number: {text[:30]!r}")
    return int(text)
