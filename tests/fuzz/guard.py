"""What no input may do: take long, take memory, touch a file outside its directory, start or call anything."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

ROOM_BYTES = 1 << 30
"""Address space a run may take on top of what the process has."""
GROWTH_KIB = 192 << 10
"""How much the most memory ever held may rise in one run; the largest input is 128 KiB."""


class Forbidden(BaseException):
    """Not an Exception: no `except` of the code under test may hide it."""


class TooSlow(BaseException):
    """The run took more CPU time than it may."""


_CHANGES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
            "os.chown", "os.utime"}  # fmt: skip
_NEVER = {"subprocess.Popen", "os.exec", "os.fork", "os.posix_spawn", "os.system", "socket.connect", "socket.bind",
          "ctypes.dlopen", "pickle.find_class"}  # fmt: skip
_watching: list[Path] = []
_hooked = False


def limit_memory() -> None:
    """For the rest of this process."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most = pages * resource.getpagesize() + ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@contextmanager
def watched(directory: Path) -> Iterator[None]:
    """Raises Forbidden where anything outside `directory` is written, removed, renamed, or a program or peer called."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_audit)
        _hooked = True
    _watching.append(directory)
    try:
        yield
    finally:
        _watching.pop()


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event == "open":
        path, _, flags = args
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if writes and not isinstance(path, int):
            _check(path, event)
    elif event in _CHANGES:
        for path in args[:2] if event in ("os.rename", "os.link", "os.symlink") else args[:1]:
            if isinstance(path, (str, bytes, os.PathLike)):
                _check(path, event)
    elif event in _NEVER:
        raise Forbidden(f"{event} {args!r:.200}")


def _check(path: Any, event: str) -> None:
    real = os.path.realpath(os.fsdecode(path))
    if not Path(real).is_relative_to(_watching[-1]):
        raise Forbidden(f"{event} outside {_watching[-1]}: {real!r:.300}")


@contextmanager
def within(cpu_s: float) -> Iterator[None]:
    """Raises TooSlow where the body takes more CPU time than this."""
    before = signal.signal(signal.SIGVTALRM, _ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _ring(number: int, frame: FrameType | None) -> None:
    raise TooSlow("more CPU time than it may take")
