"""An order: one signed note in which the agency tells a camera who wears it, how it is configured, or which tags its
marks may have (docs/dock-format.md). Signed as a C2SP note by the agency's configuration key.

An order has a number, which goes up for each kind: a camera takes none below one that it has taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from agent.errors import EvidenceError
from agent.formats import note
from agent.model import CAMERA_NAME

if TYPE_CHECKING:
    # What only carries them needs no library for it, and is small without.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAGIC = "bodycam-order/v1"
MAX_ORDER = 60 << 10
"""Encrypted to a camera it still fits a message of 64 KiB."""
MAX_SEALED = 64 << 10
ENCRYPTED = b"age-encryption.org/v1\n"
"""How it begins where it is encrypted (age's version line); no note begins so."""
RECIPIENT = "age-recipient"
"""The header in which a camera says to whom its orders are to be encrypted."""
PINNED = "pinned-keys"
"""The header in which it says the hashes of the verifier keys that it believes, with blanks between."""
MAX_PINNED = 8
ALL_CAMERAS = "*"
MAX_WORD = 100
MAX_TAGS = 64
MAX_NUMBER = (1 << 53) - 1
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_TAG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class Kind(Enum):
    """What an order is about; for each kind numbers count apart."""

    ASSIGNMENT = "assignment"
    CONFIGURATION = "configuration"
    TAGS = "tags"


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who wears the camera from now on, until the next one says otherwise; nobody, where `officer` is None. `until_s`
    is when the shift should end (POSIX seconds, 0 where nobody says).
    """

    officer: str | None
    unit: str | None
    shift: str | None
    until_s: int = 0


@dataclass(frozen=True, slots=True)
class Configuration:
    """The text of a whole agent.toml, unchecked."""

    toml: str


@dataclass(frozen=True, slots=True)
class Tag:
    """What a mark may be filed under: its id, and the word for it in three languages."""

    id: str
    ar: str
    fr: str
    en: str


@dataclass(frozen=True, slots=True)
class Tags:
    """All of them, in the order in which they are shown; no id twice."""

    tags: tuple[Tag, ...]


Body = Assignment | Configuration | Tags
KINDS: Mapping[type[Body], Kind] = {
    Assignment: Kind.ASSIGNMENT,
    Configuration: Kind.CONFIGURATION,
    Tags: Kind.TAGS,
}


@dataclass(frozen=True, slots=True)
class Order:
    """What the note says. `camera` is one camera's name, or "*" for all of the agency (tags only). Taken until
    `expires_s` (POSIX seconds, 0 = no end).
    """

    camera: str
    number: int
    issued_s: int
    expires_s: int
    body: Body

    @property
    def kind(self) -> Kind:
        return KINDS[type(self.body)]

    def text(self) -> str:
        """The note text to sign."""
        lines = [
            MAGIC,
            f"kind {self.kind.value}",
            f"camera {self.camera}",
            f"number {self.number}",
            f"issued {self.issued_s}",
            f"expires {self.expires_s}",
            f"body {note.b64(_written(self.body))}",
        ]
        return "\n".join(lines) + "\n"


def sign(order: Order, name: str, key: Ed25519PrivateKey) -> bytes:
    """The whole note. Raises EvidenceError for an order that a camera would not read."""
    text = order.text()
    signed = note.Note(text, (note.sign_ed25519(text, name, key),)).to_bytes()
    if parse(text) != order or len(signed) > MAX_ORDER:
        raise EvidenceError("the order says what no camera would read")
    return signed


def check(data: bytes, name: str, key: Ed25519PublicKey, camera: str) -> Order:
    """The order in a note that this key has signed, for this camera. Raises EvidenceError.

    Whether it is new, and whether its time has come, is for the camera to say.
    """
    if len(data) > MAX_ORDER:
        raise EvidenceError(f"order is longer than {MAX_ORDER} bytes")
    signed = note.parse(data)
    note.verify_ed25519(signed, name, key)
    order = parse(signed.text)
    if order.camera not in (camera, ALL_CAMERAS):
        raise EvidenceError(f"the order is for camera {order.camera}, not for {camera}")
    return order


def parse(text: str) -> Order:
    """Read an order's note text; trust it only after its note's signature was verified. Raises EvidenceError."""
    lines = text.split("\n")
    if len(text) > MAX_ORDER or len(lines) != 8 or lines[0] != MAGIC or lines.pop():
        raise EvidenceError("not an order")
    keys = ("kind", "camera", "number", "issued", "expires", "body")
    kind, camera, number, issued, expires, body = (_field(line, key) for line, key in zip(lines[1:], keys, strict=True))
    if kind not in _READERS:
        raise EvidenceError(f"order: not a kind: {kind[:40]!r}")
    if not CAMERA_NAME.fullmatch(camera) and (camera, kind) != (ALL_CAMERAS, Kind.TAGS.value):
        raise EvidenceError(f"order: not a camera name: {camera[:40]!r}")
    order = Order(camera, _number(number), _number(issued), _number(expires), _READERS[kind](_object(body)))
    if not 1 <= order.number <= MAX_NUMBER or order.text() != text:
        raise EvidenceError("order is not in its one spelling")
    return order


def _written(body: Body) -> bytes:
    match body:
        case Assignment():
            value: dict[str, Any] = {
                "officer": body.officer,
                "unit": body.unit,
                "shift": body.shift,
                "until": body.until_s,
            }
        case Configuration():
            value = {"toml": body.toml}
        case Tags():
            value = {"tags": [{"id": t.id, "ar": t.ar, "fr": t.fr, "en": t.en} for t in body.tags]}
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(note.unb64(text))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise EvidenceError("order: its body is no JSON object")
    return value


def _assignment(value: dict[str, Any]) -> Assignment:
    until = value.get("until")
    if type(until) is not int or not 0 <= until <= MAX_NUMBER:
        raise EvidenceError("order: until is not valid")
    officer, unit, shift = (_word(value, key) if value.get(key) is not None else None for key in _WHO)
    return Assignment(officer, unit, shift, until)


_WHO = ("officer", "unit", "shift")


def _configuration(value: dict[str, Any]) -> Configuration:
    toml = value.get("toml")
    if not isinstance(toml, str):
        raise EvidenceError("order: toml is not valid")
    return Configuration(toml)


def _tags(value: dict[str, Any]) -> Tags:
    found = value.get("tags")
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_TAGS or not all(isinstance(t, dict) for t in found):
        raise EvidenceError(f"order: tags are 1 to {MAX_TAGS} objects")
    tags = tuple(Tag(*(_word(tag, key) for key in ("id", "ar", "fr", "en"))) for tag in found)
    for tag in tags:
        if not _TAG.fullmatch(tag.id):
            raise EvidenceError(f"order: not a tag's id (1 to 40 of a-z, 0-9 and -): {tag.id!r}")
    if len({tag.id for tag in tags}) != len(tags):
        raise EvidenceError("order: a tag stands twice")
    return Tags(tags)


def _word(value: Mapping[str, Any], key: str) -> str:
    """A short text that people are shown: printable, no space at either end."""
    text = value.get(key)
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_WORD or not text.isprintable() or text != text.strip():
        raise EvidenceError(f"order: {key} is not 1 to {MAX_WORD} printable characters")
    return text


def _field(line: str, key: str) -> str:
    name, _, value = line.partition(" ")
    if name != key or not value:
        raise EvidenceError(f"order: a line {key!r} expected, {line[:40]!r} found")
    return value


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise EvidenceError(f"order: not a number: {text[:30]!r}")
    return int(text)


_READERS: Mapping[str, Callable[[dict[str, Any]], Body]] = {
    Kind.ASSIGNMENT.value: _assignment,
    Kind.CONFIGURATION.value: _configuration,
    Kind.TAGS.value: _tags,
}
