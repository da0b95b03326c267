"""A line of the access log, and how each names the one before (docs/dock-format.md, "What the station keeps of it")."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import durable
from agent.errors import EvidenceError

FIRST = "0" * 64
MAX_LINE = 64 << 10
_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Head:
    """How many lines there are, the digest of the last one, and where it ends (bytes)."""

    count: int
    sha256: str
    size: int


START = Head(0, FIRST, 0)


@dataclass(frozen=True, slots=True)
class Line:
    """Who did what, when, to which recording, and why."""

    number: int
    time_s: int
    who: str
    what: str
    camera: str
    recording: str
    reason: str
    more: dict[str, Any]
    before: str

    def to_bytes(self) -> bytes:
        value = {
            "v": 1,
            "n": self.number,
            "time": self.time_s,
            "who": self.who,
            "what": self.what,
            "camera": self.camera,
            "recording": self.recording,
            "reason": self.reason,
            "more": self.more,
            "before": self.before,
        }
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def follow(fd: int, path: Path, end: int) -> Iterator[tuple[Line, Head]]:
    """The lines up to `end`, where one ends (bytes), one by one, each with the head that it makes. Raises EvidenceError
    that names the first which does not follow; StorageError.
    """
    head = START
    # The file's own position is nobody's: it is written to with O_APPEND, and read here alone.
    with durable.storage_errors(path, "cannot read"), open(fd, "rb", buffering=_BUFFER, closefd=False) as file:
        file.seek(0)
        while head.size < end:
            text = file.readline(MAX_LINE + 1)
            try:
                line = _parse(text)
            except EvidenceError as err:
                raise EvidenceError(f"{path}: line {head.count + 1} {err.message}") from err
            if (line.number, line.before) != (head.count + 1, head.sha256) or not text.endswith(b"\n"):
                raise EvidenceError(f"{path}: line {head.count + 1} is not the one that was written")
            head = Head(line.number, hashlib.sha256(text).hexdigest(), head.size + len(text))
            yield line, head


def whole_lines(fd: int, size: int) -> int:
    """Where the last whole line of a file of `size` bytes ends. All of it, where what is behind that is too long for a
    line that was cut off.
    """
    begin = max(0, size - MAX_LINE)
    data = os.pread(fd, size - begin, begin)
    return begin + data.rfind(b"\n") + 1 if b"\n" in data or not begin else size


def _parse(data: bytes) -> Line:
    try:
        v = json.loads(data)
        line = Line(
            v["n"], v["time"], v["who"], v["what"], v["camera"], v["recording"], v["reason"], v["more"], v["before"]
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise EvidenceError("is no line of an access log") from None
    return line
