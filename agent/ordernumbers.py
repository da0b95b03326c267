"""The highest order of each kind that this machine has taken, kept beside its configuration, where no change of the
card with the spool takes it away. Root writes it (agent/apply.py), the recorder reads it.

A file that is damaged counts as one that nobody can read, never as one in which nothing stands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent import durable
from agent.errors import EvidenceError

FILE = "orders.json"
MAX_BYTES = 64 << 10
MAX_NUMBER = (1 << 53) - 1
KINDS = {"assignment", "configuration", "tags"}
_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Highest:
    """Number and digest of a signed order."""

    number: int
    sha256: str


Marks = Mapping[str, Highest]
"""By the word for the kind of order."""


def check(kind: str, number: int, sha256: str, kept: Marks) -> None:
    """Raises EvidenceError for an order below the highest of its kind, and for another one of the same number."""
    highest = kept.get(kind)
    if highest is None:
        return
    if number < highest.number:
        raise EvidenceError(
            f"{kind} number {number} is older than number {highest.number}, which this machine has taken, on this card "
            "or another"
        )
    if number == highest.number and sha256 != highest.sha256:
        raise EvidenceError(f"{kind} number {number} is another order than the one of this number that was taken")


def read(path: Path) -> dict[str, dict[str, Highest]]:
    """By camera; nothing where there is no file. Raises EvidenceError where it is damaged, StorageError."""
    with durable.storage_errors(path, "cannot read"):
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return {}
    try:
        value = json.loads(data)
        cameras = {str(camera): _marks(marks) for camera, marks in value["cameras"].items()}
        if value["v"] != 1 or len(data) > MAX_BYTES or value["sha256"] != _digest(cameras):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise EvidenceError(
            f"{path} is damaged, so no order can be told from an old one: on an inspected camera remove it, and dock it"
        ) from None
    return cameras


def request(camera: str, marks: Marks) -> bytes:
    """One line: what root is asked to keep."""
    return json.dumps({"camera": camera, "orders": _value(marks)}, sort_keys=True).encode("ascii") + b"\n"


def requested(line: bytes) -> tuple[str, Marks]:
    """What such a line says. Raises ValueError, TypeError, KeyError, AttributeError, RecursionError."""
    value = json.loads(line)
    camera = value["camera"]
    if not isinstance(camera, str) or not 0 < len(camera) <= 100:
        raise ValueError("it names no camera")
    return camera, _marks(value["orders"])


def keep(path: Path, camera: str, marks: Marks) -> None:
    """Durable when this returns. Raises EvidenceError for what is below what is kept, or where that cannot be told;
    StorageError.
    """
    cameras = read(path)
    kept = cameras.get(camera, {})
    for kind, mark in marks.items():
        check(kind, mark.number, mark.sha256, kept)
    after = {**cameras, camera: {**kept, **marks}}
    if after == cameras:
        return
    value = {"v": 1, "cameras": {name: _value(each) for name, each in after.items()}, "sha256": _digest(after)}
    data = json.dumps(value).encode("ascii") + b"\n"
    if len(data) > MAX_BYTES:
        raise EvidenceError(f"{path} has orders of so many cameras that no more fit: remove it on an inspected camera")
    durable.write_file(path, data, 0o644)


def _marks(value: Mapping[str, Mapping[str, object]]) -> dict[str, Highest]:
    found = {}
    for kind, mark in value.items():
        number, sha256 = mark["number"], mark["sha256"]
        if kind not in KINDS or type(number) is not int or not 0 < number <= MAX_NUMBER:
            raise ValueError("it holds no numbers of orders")
        if not isinstance(sha256, str) or len(sha256) != 64 or not _DIGITS.issuperset(sha256):
            raise ValueError("it holds no digests of orders")
        found[kind] = Highest(number, sha256)
    return found


def _value(marks: Marks) -> dict[str, dict[str, object]]:
    return {kind: {"number": mark.number, "sha256": mark.sha256} for kind, mark in marks.items()}


def _digest(cameras: Mapping[str, Marks]) -> str:
    """A bit that flipped in a number would be a lower number."""
    value = {camera: _value(marks) for camera, marks in cameras.items()}
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).hexdigest()
