"""Every call of a life that changes a disk, in order, written down at the os module as the product makes it.

The product is run as it is. It has no other way to the disk than these calls (agent/durable.py, and the segments in
agent/sealing/writer.py); that none is missed is checked by playing the tape against the real directory.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest


class Do(Enum):
    CREATE = "create"
    WRITE = "write"
    ALLOCATE = "allocate"
    TRUNCATE = "truncate"
    RENAME = "rename"
    LINK = "link"
    UNLINK = "unlink"
    MKDIR = "mkdir"
    CHMOD = "chmod"
    SYNC = "sync"
    SYNC_DATA = "sync data"
    SYNC_DIR = "sync directory"
    REFUSED = "sync refused"
    PROMISE = "promise"
    COUNT = "count"


SYNCS = (Do.SYNC, Do.SYNC_DATA, Do.SYNC_DIR)
SAYINGS = (Do.PROMISE, Do.COUNT)


@dataclass(frozen=True, slots=True)
class Op:
    """One call that returned. Paths are relative to the root; `file` names a file whatever it is called by then.
    `at_ns` is the clock when it returned, `phase` what the camera was doing.
    """

    do: Do
    phase: str
    at_ns: int
    path: str = ""
    to: str = ""
    file: int = 0
    offset: int = 0
    size: int = 0
    data: bytes = b""
    mode: int = 0


After = Callable[[Any], None]


class Tape:
    """`deaf` says which calls are made and not written down: a product that forgets to make them, or a disk that
    returns before it did what was asked. `took` hears of each call before its time is read.
    """

    def __init__(
        self,
        root: Path,
        now_ns: Callable[[], int],
        took: Callable[[Do], None] = lambda do: None,
        deaf: Callable[[Do, str], bool] = lambda do, path: False,
    ) -> None:
        self.ops: list[Op] = []
        self.phase = "life"
        self._root, self._now_ns, self._took, self._deaf = os.fspath(root), now_ns, took, deaf
        self._opened: dict[int, _Opened] = {}
        self._count = 0
        self._lock = threading.RLock()
        self.names: dict[str, int] = {}
        there: dict[int, int] = {}
        for path in sorted(root.rglob("*")) if root.exists() else []:
            if path.is_file():
                number = there.setdefault(path.stat().st_ino, 0) or self._number()
                there[path.stat().st_ino] = self.names[self._inside(path) or ""] = number

    @contextmanager
    def running(self) -> Iterator[Tape]:
        """While the life is lived."""
        hooks = {name.removeprefix("_on_"): getattr(self, name) for name in dir(self) if name.startswith("_on_")}
        with pytest.MonkeyPatch.context() as patch:
            for name, hook in hooks.items():
                patch.setattr(os, name, self._wrap(hook, getattr(os, name)))
            yield self

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        before, self.phase = self.phase, phase
        yield
        self.phase = before

    def promise(self) -> None:
        """The product has just said that the last entry it wrote is durable."""
        with self._lock:
            last = next(op for op in reversed(self.ops) if op.do is Do.WRITE and op.path.startswith("open/"))
            self._note(Do.PROMISE, path=last.path, data=last.data)

    def counted(self, value: int) -> None:
        """The hardware counter, which no power cut takes back, went up to this."""
        with self._lock:
            self._note(Do.COUNT, size=value)

    def _number(self) -> int:
        self._count += 1
        return self._count

    def _inside(self, path: Any) -> str | None:
        """Relative to the root; None where it lies outside."""
        if isinstance(path, int):
            return None
        text = os.path.normpath(os.fspath(path))
        if text == self._root:
            return "."
        return text[len(self._root) + 1 :] if text.startswith(self._root + "/") else None

    def _note(self, do: Do, path: str = "", **what: Any) -> None:
        self._took(do)
        if not self._deaf(do, path):
            self.ops.append(Op(do, self.phase, self._now_ns(), path, **what))

    def _wrap(self, hook: Callable[..., After | None], real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            with self._lock:
                after = hook(*arguments, **keywords)
                try:
                    result = real(*arguments, **keywords)
                except OSError:
                    if hook in (self._on_fsync, self._on_fdatasync) and (
                        about := self._about(arguments[0], Do.REFUSED)
                    ):
                        about(None)
                    raise
                if after is not None:
                    after(result)
                return result

        return call

    # -- one hook for each call: it looks before the call, and says what to note after it --------------------------

    def _on_open(self, path: Any, flags: int, mode: int = 0o777, **_: Any) -> After | None:
        inside = self._inside(path)
        if inside is None:
            return None

        def after(fd: int) -> None:
            if os.path.isdir(path):
                self._opened[fd] = _Opened(inside, 0)
                return
            fresh = inside not in self.names
            if fresh:
                self.names[inside] = self._number()
            file = self.names[inside]
            self._opened[fd] = _Opened(inside, file)
            if fresh:
                self._note(Do.CREATE, inside, file=file, mode=mode)
            elif flags & os.O_TRUNC:
                self._note(Do.TRUNCATE, inside, file=file)

        return after

    def _on_close(self, fd: int) -> None:
        self._opened.pop(fd, None)

    def _on_write(self, fd: int, data: Any) -> After | None:
        opened = self._opened.get(fd)
        if opened is None:
            return None

        def after(count: int) -> None:
            self._note(Do.WRITE, opened.path, file=opened.file, offset=opened.at, data=bytes(data[:count]))
            opened.at += count

        return after

    def _on_pwrite(self, fd: int, data: Any, offset: int) -> After | None:
        opened = self._opened.get(fd)
        if opened is None:
            return None
        return lambda count: self._note(
            Do.WRITE, opened.path, file=opened.file, offset=offset, data=bytes(data[:count])
        )

    def _on_ftruncate(self, fd: int, size: int) -> After | None:
        return self._about(fd, Do.TRUNCATE, size=size)

    def _on_posix_fallocate(self, fd: int, offset: int, size: int) -> After | None:
        return self._about(fd, Do.ALLOCATE, size=offset + size)

    def _on_fsync(self, fd: int) -> After | None:
        opened = self._of(fd)
        return self._about(fd, Do.SYNC if opened and opened.file else Do.SYNC_DIR)

    def _on_fdatasync(self, fd: int) -> After | None:
        return self._about(fd, Do.SYNC_DATA)

    def _about(self, fd: int, do: Do, **what: Any) -> After | None:
        opened = self._of(fd)
        return (lambda _: self._note(do, opened.path, file=opened.file, **what)) if opened else None

    def _of(self, fd: int) -> _Opened | None:
        return self._opened.get(fd)

    def _on_rename(self, source: Any, target: Any) -> After | None:
        old, new = self._inside(source), self._inside(target)
        if old is None or new is None:
            assert old is new, "a rename in or out of the spool"
            return None

        def after(_: Any) -> None:
            if self.names[old] != self.names.get(new):
                file = self.names[new] = self.names.pop(old)
                self._note(Do.RENAME, old, to=new, file=file)

        return after

    def _on_link(self, source: Any, target: Any, **_: Any) -> After | None:
        old, new = self._inside(source), self._inside(target)
        if old is None or new is None:
            assert old is new, "a link in or out of what is written down"
            return None

        def after(_: Any) -> None:
            file = self.names[new] = self.names[old]
            self._note(Do.LINK, old, to=new, file=file)

        return after

    def _on_unlink(self, path: Any) -> After | None:
        inside = self._inside(path)
        return (lambda _: self._note(Do.UNLINK, inside, file=self.names.pop(inside))) if inside else None

    def _on_mkdir(self, path: Any, mode: int = 0o777) -> After | None:
        inside = self._inside(path)
        return (lambda _: self._note(Do.MKDIR, inside, mode=mode)) if inside else None

    def _on_chmod(self, path: Any, mode: int, **_: Any) -> After | None:
        inside = self._inside(path)
        return (lambda _: self._note(Do.CHMOD, inside, mode=mode)) if inside else None

    # Nothing of ours calls these. Where that changes, they must be written down too.

    def _on_rmdir(self, path: Any) -> None:
        assert self._inside(path) is None, path

    def _on_replace(self, source: Any, target: Any) -> None:
        assert self._inside(target) is None, target

    def _on_truncate(self, path: Any, size: int) -> None:
        assert self._inside(path) is None, path


@dataclass(slots=True)
class _Opened:
    """`file` 0 is a directory."""

    path: str
    file: int
    at: int = 0
