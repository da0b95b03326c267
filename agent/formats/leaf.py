"""The leaf: one line of the log, as JSON whose bytes are stored and hashed verbatim (docs/evidence-format.md,
"Leaf").

A leaf is public: it shows that something was recorded, sizes, times and hashes. What happened in an event travels
in the sealed body; the leaf holds SHA-256(salt || body), so a finder of the card learns nothing by guessing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from agent.errors import EvidenceError
from agent.formats.pack import MAX_LEAF, RECORDING_ID
from agent.model import CAMERA_NAME

SALT_SIZE = 32
BODY_BLOCK = 256
HEX = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z")
_SOURCE, _NO_SOURCE = re.compile("synchronised|unverified"), re.compile("none")
MAX_DEPTH = 50
"""Objects and lists within one another, the leaf itself included."""
MAX_DIGITS = 20
"""Characters of a number, its sign included."""


class Kind(Enum):
    """Kinds of event leaf that a verifier must understand without any key. Everything else is EVENT, its nature
    sealed.
    """

    SESSION = "session"
    START = "start"
    STOP = "stop"
    RECOVERY = "recovery"
    SEAL = "seal"
    DELIVERY = "delivery"
    DELETION = "deletion"
    KEPT = "kept"
    SHUTDOWN = "shutdown"
    EVENT = "event"


IDENTITY_KINDS = frozenset({Kind.SESSION, Kind.START, Kind.STOP, Kind.RECOVERY, Kind.SHUTDOWN})
"""Kinds whose checkpoint the identity key signs too (docs/evidence-format.md, section 2)."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """The .age file of this entry: digest of the whole, and size and digest of its header and payload apart."""

    sha256: str
    header_size: int
    header_sha256: str
    payload_size: int
    payload_sha256: str

    @classmethod
    def of(cls, data: bytes, header_size: int) -> Sealed:
        view = memoryview(data)
        return cls(
            hashlib.sha256(data).hexdigest(),
            header_size,
            hashlib.sha256(view[:header_size]).hexdigest(),
            len(data) - header_size,
            hashlib.sha256(view[header_size:]).hexdigest(),
        )

    @property
    def size(self) -> int:
        return self.header_size + self.payload_size

    def names(self, data: bytes) -> bool:
        """True where these are the bytes: hashed once, since the digest of the whole leaves nothing open.
        That the other digests fit them is for a verifier to check.
        """
        return len(data) == self.size and hashlib.sha256(data).hexdigest() == self.sha256


@dataclass(frozen=True, slots=True)
class Stamp:
    """When, by every clock the camera has. `utc` is None where no date is known; `bound_ms` None where nobody
    vouches for an error bound.
    """

    boot: str
    mono_ns: int
    boottime_ns: int
    utc: str | None
    utc_source: str
    utc_bound_ms: int | None


@dataclass(frozen=True, slots=True)
class Common:
    """What every leaf carries."""

    camera: str
    index: int
    stamp: Stamp
    chain: str
    recipients: str
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class MediaLeaf:
    """One part of a recording. Times in ns on the recording's timeline, whose zero stands at `zero_mono_ns` on
    CLOCK_MONOTONIC.
    """

    common: Common
    recording: str
    part: int
    idr: bool
    zero_mono_ns: int
    start_ns: int
    duration_ns: int
    init: str


@dataclass(frozen=True, slots=True)
class EventLeaf:
    """One event. `facts` are the public facts its kind needs; `body` is the hex SHA-256(salt || body) of the
    sealed ones.
    """

    common: Common
    kind: Kind
    recording: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)
    body: str = ""


Leaf = MediaLeaf | EventLeaf


def to_bytes(leaf: Leaf) -> bytes:
    """The leaf's bytes: compact JSON, ASCII, one line. Raises EvidenceError where it would exceed 16 KiB."""
    c = leaf.common
    value: dict[str, Any] = {
        "v": 1,
        "class": "media" if isinstance(leaf, MediaLeaf) else "event",
        "camera": c.camera,
        "index": c.index,
        "boot": c.stamp.boot,
        "mono_ns": c.stamp.mono_ns,
        "boottime_ns": c.stamp.boottime_ns,
        "utc": {"time": c.stamp.utc, "source": c.stamp.utc_source, "bound_ms": c.stamp.utc_bound_ms},
        "chain": c.chain,
        "recipients": c.recipients,
        "sealed": {
            "sha256": c.sealed.sha256,
            "header": {"size": c.sealed.header_size, "sha256": c.sealed.header_sha256},
            "payload": {"size": c.sealed.payload_size, "sha256": c.sealed.payload_sha256},
        },
        "recording": leaf.recording,
    }
    if isinstance(leaf, MediaLeaf):
        value |= {
            "part": leaf.part,
            "idr": leaf.idr,
            "zero_mono_ns": leaf.zero_mono_ns,
            "start_ns": leaf.start_ns,
            "duration_ns": leaf.duration_ns,
            "init": leaf.init,
        }
    else:
        value |= {"kind": leaf.kind.value, "facts": dict(leaf.facts), "body": leaf.body}
    data = json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode("ascii") + b"\n"
    if len(data) > MAX_LEAF:
        raise EvidenceError(f"leaf {c.index} would be {len(data)} bytes long")
    return data


class _Reader:
    """Typed access to an untrusted JSON object; every miss is an EvidenceError that names the key."""

    def __init__(self, value: Any, where: str = "leaf") -> None:
        if not isinstance(value, dict):
            raise EvidenceError(f"{where} is not a JSON object")
        self._value, self._where = value, where

    def text(self, key: str, pattern: re.Pattern[str] | None = None) -> str:
        value = self._value.get(key)
        if not isinstance(value, str) or (pattern and not pattern.fullmatch(value)):
            raise EvidenceError(f"{self._where}.{key} is not valid")
        return value

    def text_or_none(self, key: str, pattern: re.Pattern[str]) -> str | None:
        return None if self._value.get(key, 0) is None else self.text(key, pattern)

    def integer(self, key: str, least: int = 0) -> int:
        value = self._value.get(key)
        if type(value) is not int or not least <= value < 1 << 63:
            raise EvidenceError(f"{self._where}.{key} is not a number in range")
        return value

    def boolean(self, key: str) -> bool:
        value = self._value.get(key)
        if type(value) is not bool:
            raise EvidenceError(f"{self._where}.{key} is not true or false")
        return value

    def object(self, key: str) -> _Reader:
        return _Reader(self._value.get(key), f"{self._where}.{key}")

    def raw(self, key: str) -> dict[str, Any]:
        return self.object(key)._value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise EvidenceError("leaf has a key twice")
    return value


def _no_float(text: str) -> Any:
    raise EvidenceError(f"leaf holds a number that is not an integer: {text[:30]}")


def parse(data: bytes) -> Leaf:
    """Read one leaf. Unknown keys are ignored (a change that a reader must not ignore raises `v`). Raises
    EvidenceError.
    """
    if len(data) > MAX_LEAF or not (data.startswith(b"{") and data.endswith(b"}\n")):
        raise EvidenceError("leaf is too long, or not one object and a newline")
    try:
        value = json.loads(
            data.decode("ascii"),
            object_pairs_hook=_no_duplicates,
            parse_float=_no_float,
            parse_constant=_no_float,
            parse_int=_short_int,
        )
    except (ValueError, RecursionError):
        raise EvidenceError("leaf is not JSON") from None
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and deeper(value, MAX_DEPTH):
        raise EvidenceError("leaf is nested too deep")
    r = _Reader(value)
    if r.integer("v") != 1:
        raise EvidenceError("leaf is of a version this reader does not know")
    common = _common(r)
    recording = r.text_or_none("recording", RECORDING_ID)
    which = r.text("class")
    if which == "media":
        if recording is None:
            raise EvidenceError("media leaf names no recording")
        return MediaLeaf(
            common,
            recording,
            r.integer("part"),
            r.boolean("idr"),
            r.integer("zero_mono_ns"),
            r.integer("start_ns", -(1 << 62)),
            r.integer("duration_ns"),
            r.text("init", HEX),
        )
    if which != "event":
        raise EvidenceError("leaf is neither media nor event")
    kind = r.text("kind")
    if kind not in (k.value for k in Kind):
        raise EvidenceError(f"leaf is of an unknown kind: {kind[:30]!r}")
    return EventLeaf(common, Kind(kind), recording, r.raw("facts"), r.text("body", HEX))


def _short_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise EvidenceError("leaf holds a number too large")
    return int(text)


def deeper(value: Any, levels: int) -> bool:
    """Whether more objects and lists than these stand within one another in what JSON gave."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(deeper(item, levels - 1) for item in inner)


def _date(utc: _Reader) -> str | None:
    """One that the calendar has, or none."""
    text = utc.text_or_none("time", _UTC)
    try:
        if text is not None:
            datetime.fromisoformat(text[:-1])
    except ValueError:
        raise EvidenceError("leaf.utc.time is no date") from None
    return text


def _common(r: _Reader) -> Common:
    utc, sealed = r.object("utc"), r.object("sealed")
    header, payload = sealed.object("header"), sealed.object("payload")
    bound = None if utc._value.get("bound_ms", 0) is None else utc.integer("bound_ms")
    date = _date(utc)
    stamp = Stamp(
        r.text("boot", _UUID),
        r.integer("mono_ns"),
        r.integer("boottime_ns"),
        date,
        utc.text("source", _SOURCE if date else _NO_SOURCE),
        bound,
    )
    sizes = Sealed(
        sealed.text("sha256", HEX),
        header.integer("size"),
        header.text("sha256", HEX),
        payload.integer("size"),
        payload.text("sha256", HEX),
    )
    camera, index = r.text("camera", CAMERA_NAME), r.integer("index")
    return Common(camera, index, stamp, r.text("chain", HEX), r.text("recipients", HEX), sizes)


# -- event bodies --------------------------------------------------------------------------------------------------


MAX_BODY = 256 << 10
"""A reader takes no longer one for a body: read as JSON, hostile text takes thirty times its size."""


def seal_body(body: Mapping[str, Any], salt: bytes) -> tuple[bytes, str]:
    """(plaintext to encrypt, hex hash for the leaf) of an event's private facts.

    The plaintext is salt || JSON || spaces up to a multiple of 256 bytes, so that its size says little about
    which event it is. `salt` is 32 fresh random bytes: without it, a body with few possible values could be found
    by hashing them all.
    """
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    text += b" " * (-(len(text) + SALT_SIZE) % BODY_BLOCK)
    return salt + text, hashlib.sha256(salt + text).hexdigest()


def open_body(plaintext: bytes, expected: str) -> dict[str, Any]:
    """The event's private facts, checked against the leaf's hash. Raises EvidenceError."""
    if len(plaintext) > MAX_BODY:
        raise EvidenceError(f"event body has {len(plaintext)} bytes, and at most {MAX_BODY} are one")
    if len(plaintext) < SALT_SIZE or hashlib.sha256(plaintext).hexdigest() != expected:
        raise EvidenceError("event body does not match the hash in its leaf")
    try:
        body = json.loads(plaintext[SALT_SIZE:].decode("ascii"))
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise EvidenceError("event body is not a JSON object")
    return body
