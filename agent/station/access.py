"""The access log: one line for every decrypt, export, hold and purge that is made through the station, each naming the
digest of the line before. It is only ever appended to, and a line is durable before what it tells happens.

The chain shows a line that was changed, taken out or put in. A tail that was cut shows against the head that is kept
beside it, and whoever can write both can write another story: note the head somewhere else, as `status` prints it.

Before a process appends its first line it walks all of it; then it goes by what it saw and wrote itself, kept in its
memory alone, for as long as the file's st_ctime (inode(7), which no call sets) says that nobody else has written, and
for an hour at most: a page that is mapped and dirty takes more writes, and so does one step of the file system's clock,
without another st_ctime.
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
from agent.station.accessline import FIRST, MAX_LINE, START, Head, Line, follow, whole_lines

MAX_REASON = 200
_HOLDERS = "`bodycam-station open`, `hold`, `purge`, `index`, `status`, or `serve` for its metrics,"
WALK_EVERY_S = 3600.0
"""A process that asks again and again walks all of it at least so often."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """The head beside it: how many lines, and the digest of the last."""

    count: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _State:
    """Which file it is, its size (bytes), and when it was changed last (ns)."""

    inode: int
    size: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class _Seen:
    """That all of it held: its last line, the head beside it, the file's state before it was walked, or behind the own
    line, and when it was walked (s, as the process counts).
    """

    last: Head
    kept: _Kept
    state: _State
    walked_s: float


_NOTHING_KEPT = _Kept(0, FIRST)


class AccessLog:
    """Several processes may append. Raises StorageError; EvidenceError where what is there does not hold."""

    def __init__(
        self,
        path: Path,
        now_s: Callable[[], float] = time.time,
        who: str | None = None,
        running_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._head, self._now_s = path, path.with_suffix(".head"), now_s
        self._who, self._running_s = who, running_s
        self._seen: _Seen | None = None

    def append(self, what: str, camera: str, recording: str, reason: str, **more: Any) -> Line:
        """Durable when this returns. Raises UsageError for a reason that is none."""
        check_reason(reason)
        with self._alone() as fd:
            seen = self._held(fd)
            head = seen.last
            if head.count > seen.kept.count:
                # Two lines that no head tells of would be taken for somebody else's.
                self._keep(head)
            line = Line(
                head.count + 1, int(self._now_s()), self._who or _who(), what, camera, recording, reason, more,
                head.sha256,
            )  # fmt: skip
            data = line.to_bytes()
            if len(data) > MAX_LINE:
                raise UsageError("that is too much for one line of the access log", "name fewer recordings at a time")
            self._seen, state = None, self._written(fd, seen, data)
            made = Head(line.number, hashlib.sha256(data).hexdigest(), head.size + len(data))
            self._keep(made)
            if state.size == made.size:
                self._seen = _Seen(made, _Kept(made.count, made.sha256), state, seen.walked_s)
        return line

    def _written(self, fd: int, seen: _Seen, data: bytes) -> _State:
        """Durable behind what was seen; the file's state as it was just written. What somebody else writes while this
        waits for the disk makes it another one.
        """
        with durable.storage_errors(self._path, "cannot write"):
            if _state(fd) != seen.state:
                raise EvidenceError(f"{self._path} was changed by something else meanwhile")
            durable.write_all(fd, data)
            state = _state(fd)
            os.fsync(fd)
        return state

    def verify(self, whole: bool = True) -> Head:
        """Walk all of it; or only where this has not done so for an hour, or anything else changed the file since.
        Raises EvidenceError that names the first line which does not hold.
        """
        if not self._is_there():
            return START
        with self._alone() as fd:
            return self._held(fd, whole).last

    def lines(self) -> Iterator[Line]:
        """Those that are there now, one by one. Each follows on the one before; whether the head says so too shows
        behind the last: act on none before that.
        """
        if not self._is_there():
            return
        with self._alone() as fd:
            kept, end = self._kept(), whole_lines(fd, os.fstat(fd).st_size)
        # What is there is not written again, so nobody has to wait meanwhile.
        with durable.storage_errors(self._path, "cannot open"):
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            for line, _ in self._checked(fd, kept, end):
                yield line
        finally:
            os.close(fd)

    def _is_there(self) -> bool:
        """False where nothing was written yet."""
        if durable.is_there(self._path):
            return True
        if durable.is_there(self._head):
            raise EvidenceError(f"{self._path} is gone, and {self._head.name} says that it had lines")
        return False

    def _held(self, fd: int, whole: bool = False) -> _Seen:
        """All of it holds, as was seen now, or before and nothing has changed since."""
        kept, state, now_s, seen = self._kept(), _state(fd), self._running_s(), self._seen
        if not whole and seen and (seen.kept, seen.state) == (kept, state) and now_s - seen.walked_s < WALK_EVERY_S:
            return seen
        self._seen, size = None, state.size
        with durable.storage_errors(self._path, "cannot read"):
            end = whole_lines(fd, size)
        last = START
        for _, head in self._checked(fd, kept, end):
            last = head
        if end < size:
            # The power went in the middle of a line: what it tells did not happen yet.
            with durable.storage_errors(self._path, "cannot write"):
                os.ftruncate(fd, end)
                os.fsync(fd)
            return self._held(fd, whole)
        self._seen = _Seen(last, kept, state, now_s)
        return self._seen

    def _checked(self, fd: int, kept: _Kept, end: int) -> Iterator[tuple[Line, Head]]:
        """The lines up to `end`, against the kept head."""
        last = START
        held = FIRST if kept.count == 0 else None
        for line, last in follow(fd, self._path, end):
            held = last.sha256 if last.count == kept.count else held
            yield line, last
        # A line that is durable while its head is not: the power went between, or the disk was full.
        if held != kept.sha256 or last.count - kept.count > 1:
            told = f"{self._path} has {last.count} lines, and {self._head.name} says {kept.count}, or others"
            raise EvidenceError(told)

    def _kept(self) -> _Kept:
        try:
            with durable.storage_errors(self._head, "cannot read"):
                if not self._head.exists():
                    return _NOTHING_KEPT
                v = json.loads(self._head.read_bytes())
            count, sha256 = v["count"], v["sha256"]
            if type(count) is not int or count < 0:
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise EvidenceError(f"{self._head} is damaged") from None
        return _Kept(count, sha256)

    def _keep(self, head: Head) -> None:
        value = {"v": 1, "count": head.count, "sha256": head.sha256}
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


def _state(fd: int) -> _State:
    found = os.fstat(fd)
    return _State(found.st_ino, found.st_size, found.st_ctime_ns)


def _who() -> str:
    """The person as the system knows them: who became root, where somebody did."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"uid {os.getuid()}"
    before = os.environ.get("SUDO_USER", "")
    return f"{before} as {user}" if before and before != user else user
