"""The time, signed: what a station answers to a camera's nonce (docs/dock-format.md, "Time"). Signed as a C2SP note by
the station's receipt key, which is at work whenever a camera is docked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import EvidenceError
from agent.formats import note
from agent.model import CAMERA_NAME

if TYPE_CHECKING:
    # What only carries them needs no library for it, and is small without.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAGIC = "bodycam-time/v1"
MAX_TIME = 4 << 10
NONCE = re.compile(r"[0-9a-f]{64}")
UNKNOWN = "unknown"
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_MAX_NS = 1 << 63


@dataclass(frozen=True, slots=True)
class SignedTime:
    """At some instant between question and answer it was `utc_ns`, give or take `bound_ms`, where anybody vouches for
    the station's own clock.
    """

    station: str
    camera: str
    nonce: str
    utc_ns: int
    bound_ms: int | None

    def text(self) -> str:
        """The note text to sign."""
        lines = [
            MAGIC,
            f"station {self.station}",
            f"camera {self.camera}",
            f"nonce {self.nonce}",
            f"utc {self.utc_ns}",
            f"bound {UNKNOWN if self.bound_ms is None else self.bound_ms}",
        ]
        return "\n".join(lines) + "\n"


def sign(told: SignedTime, key: Ed25519PrivateKey) -> bytes:
    """The whole note."""
    text = told.text()
    return note.Note(text, (note.sign_ed25519(text, told.station, key),)).to_bytes()


def check(data: bytes, station: str, key: Ed25519PublicKey, camera: str, nonce: str) -> SignedTime:
    """The answer to this camera's nonce, signed by this key. Raises EvidenceError."""
    if len(data) > MAX_TIME:
        raise EvidenceError(f"signed time is longer than {MAX_TIME} bytes")
    signed = note.parse(data)
    note.verify_ed25519(signed, station, key)
    told = parse(signed.text)
    if (told.station, told.camera) != (station, camera):
        raise EvidenceError(f"the time is for {told.camera} by {told.station}")
    if told.nonce != nonce:
        raise EvidenceError("the time answers another question than the one that was asked")
    return told


def parse(text: str) -> SignedTime:
    """Read a note's text; trust it only after its note's signature was verified. Raises EvidenceError."""
    lines = text.split("\n")
    if len(lines) != 7 or lines[0] != MAGIC or lines.pop():
        raise EvidenceError("not a signed time")
    keys = ("station", "camera", "nonce", "utc", "bound")
    station, camera, nonce, utc, bound = (_field(line, key) for line, key in zip(lines[1:], keys, strict=True))
    if not CAMERA_NAME.fullmatch(camera) or not NONCE.fullmatch(nonce):
        raise EvidenceError("signed time: camera or nonce is not valid")
    told = SignedTime(
        note.check_name(station), camera, nonce, _number(utc), None if bound == UNKNOWN else _number(bound)
    )
    if told.text() != text:
        raise EvidenceError("signed time is not in its one spelling")
    return told


def _field(line: str, key: str) -> str:
    name, _, value = line.partition(" ")
    if name != key or not value:
        raise EvidenceError(f"signed time: a line {key!r} expected, {line[:40]!r} found")
    return value


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) >= _MAX_NS:
        raise EvidenceError(f"signed time: not a number: {text[:30]!r}")
    return int(text)
