"""A revocation: one signed note in which a station says up to where a camera's logs count (docs/evidence-format.md,
"Revocation"). Signed as a C2SP note by the station's receipt key, like a receipt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.errors import EvidenceError
from agent.formats import note
from agent.formats.merkle import HASH_SIZE
from agent.model import CAMERA_NAME

MAGIC = "bodycam-revocation/v1"
MAX_REVOCATION = 64 << 10
MAX_LOGS = 256
MAX_REASON = 200
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Counted:
    """Of this log the first `size` leaves count, whose root is `root`."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Revocation:
    """Of logs that are not named, and of what follows in those that are, nothing counts. `certificates` are DER: the
    receipt key's, then its issuer's.
    """

    station: str
    camera: str
    issued_s: int
    reason: str
    logs: tuple[Counted, ...]
    certificates: tuple[bytes, ...]

    def text(self) -> str:
        """The note text to sign."""
        lines = [
            MAGIC,
            f"station {self.station}",
            f"camera {self.camera}",
            f"issued {self.issued_s}",
            f"reason {self.reason}",
            *(f"log {log.origin} {log.size} {note.b64(log.root)}" for log in self.logs),
            *(f"certificate {note.b64(c)}" for c in self.certificates),
        ]
        return "\n".join(lines) + "\n"

    def counts(self, origin: str) -> int:
        """So many leaves of this log."""
        return log.size if (log := self.log(origin)) is not None else 0

    def log(self, origin: str) -> Counted | None:
        """What is said of this log."""
        return next((log for log in self.logs if log.origin == origin), None)


def parse(text: str) -> Revocation:
    """Read a revocation's note text; trust it only after its note's signature was verified. Raises EvidenceError."""
    if len(text) > MAX_REVOCATION:
        raise EvidenceError("revocation is longer than 64 KiB")
    lines = text.split("\n")
    if len(lines) < 8 or lines[0] != MAGIC or lines.pop():
        raise EvidenceError("not a revocation")
    keys = ("station", "camera", "issued", "reason")
    station, camera, issued, reason = (_field(line, key) for line, key in zip(lines[1:5], keys, strict=True))
    rest = lines[5:]
    logs = []
    while rest and rest[0].startswith("log "):
        logs.append(_counted(rest.pop(0)))
    certificates = tuple(note.unb64(_field(line, "certificate")) for line in rest)
    if len(logs) > MAX_LOGS or len(certificates) != 2:
        raise EvidenceError("revocation holds too much, or lacks its certificates")
    found = Revocation(
        note.check_name(station), camera, _number(issued), check_reason(reason), tuple(logs), certificates
    )
    if len({log.origin for log in logs}) < len(logs):
        raise EvidenceError("revocation names a log twice")
    if not CAMERA_NAME.fullmatch(camera) or found.text() != text:
        raise EvidenceError("revocation is not in its one spelling")
    return found


def check_reason(reason: str) -> str:
    """Raises EvidenceError for what is no line of printable text."""
    if not 1 <= len(reason) <= MAX_REASON or not reason.isprintable() or reason != reason.strip():
        raise EvidenceError(f"revocation: not a reason: {reason[:40]!r}")
    return reason


def _counted(line: str) -> Counted:
    words = line.split(" ")
    if len(words) != 4:
        raise EvidenceError(f"revocation: not a log line: {line[:60]!r}")
    root = note.unb64(words[3])
    if len(root) != HASH_SIZE:
        raise EvidenceError("revocation: a root is not 32 bytes")
    return Counted(note.check_name(words[1]), _number(words[2]), root)


def _field(line: str, key: str) -> str:
    name, _, value = line.partition(" ")
    if name != key or not value:
        raise EvidenceError(f"revocation: a line {key!r} expected, {line[:40]!r} found")
    return value


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise EvidenceError(f"revocation: not a number: {text[:30]!r}")
    return int(text)
