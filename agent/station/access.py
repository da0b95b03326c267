"""The access log: one line for every decrypt, export, hold and purge that is made through the station, each naming the
digest of the line before. It is only ever appended to, and a line is durable before what it tells happens.

The chain shows a line that was changed, taken out or put in. A tail that was cut shows against the head that is kept
beside it, and whoever can write both can write another story: note the head somewhere else, as `status` prints it.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import durable
from agent.errors import EvidenceError, UsageError
from agent.station import turn

FIRST = "0" * 64
MAX_LINE = 64 << 10
MAX_REASON = 200
_HOLDERS = "`bodycam-station open`, `hold`, `purge`, `index`, `status`, or `serve` for its metrics,"


@dataclass(frozen=True, slots=True)
class Head:
    """How many lines there are, and the digest of the last one."""

    count: int
    sha256: str


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


class AccessLog:
    """Several processes may append. Raises StorageError; EvidenceError where what is there does not hold."""

    def __init__(self, path: Path, now_s: Callable[[], float] = time.time, who: str | None = None) -> None:
        self._path, self._head, self._now_s = path, path.with_suffix(".head"), now_s
        self._who = who

    def append(self, what: str, camera: str, recording: str, reason: str, **more: Any) -> Line:
        """Durable when this returns. Raises UsageError for a reason that is none."""
        check_reason(reason)
        with self._alone() as fd:
            head, told = self._verified(fd)
            if head.count > told:
                # Two lines that no head tells of would be taken for somebody else's.
                self._keep(head)
            line = Line(
                head.count + 1, int(self._now_s()), self._who or _who(), what, camera, recording, reason, more,
                head.sha256,
            )  # fmt: skip
            data = line.to_bytes()
            if len(data) > MAX_LINE:
                raise UsageError("that is too much for one line of the access log", "name fewer recordings at a time")
            with durable.storage_errors(self._path, "cannot write"):
                durable.write_all(fd, data)
                os.fsync(fd)
            self._keep(Head(line.number, hashlib.sha256(data).hexdigest()))
        return line

    def verify(self) -> Head:
        """Walk all of it. Raises EvidenceError that names the first line which does not hold."""
        if not self._path.exists():
            if self._head.exists():
                raise EvidenceError(f"{self._path} is gone, and {self._head.name} says that it had lines")
            return Head(0, FIRST)
        with self._alone() as fd:
            return self._verified(fd)[0]

    def lines(self) -> list[Line]:
        """All of them, verified."""
        if not self._path.exists():
            return []
        with self._alone() as fd:
            self._verified(fd)
            return [_parse(data) for data in _split(_read(fd))]

    def _verified(self, fd: int) -> tuple[Head, int]:
        """And how many of the lines the head that is kept tells of."""
        head = Head(0, FIRST)
        data = _read(fd)
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            # The power went in the middle of a line: what it tells did not happen yet.
            os.ftruncate(fd, whole)
            os.fsync(fd)
        for text in _split(data[:whole]):
            line = _parse(text)
            if (line.number, line.before) != (head.count + 1, head.sha256):
                raise EvidenceError(f"{self._path}: line {head.count + 1} is not the one that was written")
            head = Head(line.number, hashlib.sha256(text).hexdigest())
        return head, self._compare(head, data[:whole])

    def _compare(self, head: Head, data: bytes) -> int:
        try:
            kept = json.loads(self._head.read_bytes())
            count, sha256 = kept["count"], kept["sha256"]
        except FileNotFoundError:
            count, sha256 = 0, FIRST
        except (ValueError, KeyError, TypeError):
            raise EvidenceError(f"{self._head} is damaged") from None
        lines = _split(data)
        held = hashlib.sha256(lines[count - 1]).hexdigest() if 0 < count <= len(lines) else FIRST
        # A line that is durable while its head is not: the power went between, or the disk was full.
        if count > head.count or held != sha256 or head.count - count > 1:
            raise EvidenceError(f"{self._path} has {head.count} lines, and {self._head.name} says {count}, or others")
        return int(count)

    def _keep(self, head: Head) -> None:
        data = json.dumps({"v": 1, "count": head.count, "sha256": head.sha256}).encode() + b"\n"
        durable.write_file(self._head, data)

    @contextmanager
    def _alone(self) -> Iterator[int]:
        durable.make_dir(self._path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        with durable.storage_errors(self._path, "cannot open"):
            fd = os.open(self._path, flags, 0o600)
        try:
            turn.take(fd, self._path, "the access log", _HOLDERS)
            yield fd
        finally:
            os.close(fd)


def check_reason(reason: str) -> None:
    """Raises UsageError for one that is none."""
    if not 1 <= len(reason) <= MAX_REASON or not reason.isprintable() or reason != reason.strip():
        raise UsageError(f"--reason {reason[:40]!r} is not a line of text", "say in a few words why")


def _read(fd: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    pieces = []
    while piece := os.read(fd, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def _split(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def _parse(data: bytes) -> Line:
    try:
        v = json.loads(data)
        line = Line(
            v["n"], v["time"], v["who"], v["what"], v["camera"], v["recording"], v["reason"], v["more"], v["before"]
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise EvidenceError("the access log holds a line that is none") from None
    return line


def _who() -> str:
    """The person as the system knows them: who became root, where somebody did."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"uid {os.getuid()}"
    before = os.environ.get("SUDO_USER", "")
    return f"{before} as {user}" if before and before != user else user
