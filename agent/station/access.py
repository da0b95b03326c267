"""The access log: one line for every decrypt, export, hold and purge that is made through the station, each naming the
digest of the line before. It is only ever appended to, and a line is durable before what it tells happens.

The chain shows a line that was changed, taken out or put in. A tail that was cut shows against the head that is kept
beside it, and whoever can write both can write another story: note the head somewhere else, as `status` prints it.

The head also says up to where the log held, and when the file changed last then (st_ctime, inode(7), which no call
sets): as long as that is so nobody else has written to it, and what is behind is all that is to be looked at.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import durable
from agent.errors import EvidenceError, StorageError, UsageError
from agent.station import turn
from agent.station.accessline import MAX_LINE, START, Head, Line, follow, is_last, whole_lines

MAX_REASON = 200
_HOLDERS = "`bodycam-station open`, `hold`, `purge`, `index`, `status`, or `serve` for its metrics,"


@dataclass(frozen=True, slots=True)
class _Kept:
    """What lies beside the log: its head, and the log's st_ctime (ns) as all of it held; 0 where nobody said."""

    head: Head
    changed_ns: int


class AccessLog:
    """Several processes may append. Raises StorageError; EvidenceError where what is there does not hold."""

    def __init__(self, path: Path, now_s: Callable[[], float] = time.time, who: str | None = None) -> None:
        self._path, self._head, self._now_s = path, path.with_suffix(".head"), now_s
        self._who = who

    def append(self, what: str, camera: str, recording: str, reason: str, **more: Any) -> Line:
        """Durable when this returns. Raises UsageError for a reason that is none."""
        check_reason(reason)
        with self._alone() as fd:
            kept = self._kept()
            head, _ = self._held(fd, kept, whole=False)
            if head.count > kept.head.count:
                # Two lines that no head tells of would be taken for somebody else's.
                self._keep(head, os.fstat(fd).st_ctime_ns)
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
            made = Head(line.number, hashlib.sha256(data).hexdigest(), head.size + len(data))
            self._keep(made, os.fstat(fd).st_ctime_ns)
        return line

    def verify(self, whole: bool = True) -> Head:
        """Walk all of it; or, where nobody else changed the file since all of it held, what came since. Raises
        EvidenceError that names the first line which does not hold.
        """
        if not self._path.exists():
            if self._head.exists():
                raise EvidenceError(f"{self._path} is gone, and {self._head.name} says that it had lines")
            return START
        with self._alone() as fd:
            kept, changed_ns = self._kept(), os.fstat(fd).st_ctime_ns
            last, told = self._held(fd, kept, whole)
            if not whole and told.count and kept != _Kept(told, changed_ns):
                # So that who asks each few seconds does not walk all of it each time. How many lines there are is left
                # to who writes one.
                with suppress(StorageError):
                    self._keep(told, changed_ns)
            return last

    def lines(self) -> Iterator[Line]:
        """Those that are there now, one by one. Each follows on the one before; whether the head says so too shows
        behind the last: act on none before that.
        """
        if not self._path.exists():
            return
        with self._alone() as fd:
            kept, end = self._kept(), whole_lines(fd, os.fstat(fd).st_size)
        # What is there is not written again, so nobody has to wait meanwhile.
        with durable.storage_errors(self._path, "cannot open"):
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            for line, _ in self._checked(fd, kept, START, end):
                yield line
        finally:
            os.close(fd)

    def _held(self, fd: int, kept: _Kept, whole: bool) -> tuple[Head, Head]:
        """The last line, and the one that the kept head tells of."""
        state = os.fstat(fd)
        with durable.storage_errors(self._path, "cannot read"):
            known = not whole and kept.changed_ns == state.st_ctime_ns and is_last(fd, kept.head)
            end = whole_lines(fd, state.st_size)
        last = told = kept.head if known else START
        for _, last in self._checked(fd, kept, told, end):
            told = last if last.count == kept.head.count else told
        if end < state.st_size:
            # The power went in the middle of a line: what it tells did not happen yet.
            with durable.storage_errors(self._path, "cannot write"):
                os.ftruncate(fd, end)
                os.fsync(fd)
        return last, told

    def _checked(self, fd: int, kept: _Kept, head: Head, end: int) -> Iterator[tuple[Line, Head]]:
        """The lines behind `head`, which holds, up to `end`, against the kept head."""
        last, count = head, kept.head.count
        held = head.sha256 if head.count == count else None
        for line, last in follow(fd, self._path, head, end):
            held = last.sha256 if last.count == count else held
            yield line, last
        # A line that is durable while its head is not: the power went between, or the disk was full.
        if held != kept.head.sha256 or last.count - count > 1:
            raise EvidenceError(f"{self._path} has {last.count} lines, and {self._head.name} says {count}, or others")

    def _kept(self) -> _Kept:
        try:
            with durable.storage_errors(self._head, "cannot read"):
                if not self._head.exists():
                    return _Kept(START, 0)
                v = json.loads(self._head.read_bytes())
            head, changed_ns = Head(v["count"], v["sha256"], v.get("size", 0)), v.get("changed", 0)
            if not all(type(n) is int and n >= 0 for n in (head.count, head.size, changed_ns)):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise EvidenceError(f"{self._head} is damaged") from None
        return _Kept(head, changed_ns)

    def _keep(self, head: Head, changed_ns: int) -> None:
        value = {"v": 1, "count": head.count, "sha256": head.sha256, "size": head.size, "changed": changed_ns}
        durable.write_file(self._head, json.dumps(value).encode() + b"\n")

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


def _who() -> str:
    """The person as the system knows them: who became root, where somebody did."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"uid {os.getuid()}"
    before = os.environ.get("SUDO_USER", "")
    return f"{before} as {user}" if before and before != user else user
