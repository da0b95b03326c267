"""What a daemon says of itself, on its standard error, which systemd keeps in its journal. Recording waits for no
reader: what is not taken at once is left out, and how much that was is said once something is taken again. Where the
other end went away, journald killed say, the stream is opened anew. What must not get lost is in the camera's own log.

systemd.exec(5), $JOURNAL_STREAM; the lines that begin a stream are those of sd_journal_stream_fd(3).
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from agent.model import NS

SOCKET = Path("/run/systemd/journal/stdout")
HEAD = b"bodycam-agent\n\n6\n1\n0\n0\n0\n"
"""Who speaks; no unit, since journald looks itself; level 6 (info) where a line begins with none; no copies."""
AGAIN_NS = NS
"""So often, at most, a stream that went away is opened anew."""
PIECE = select.PIPE_BUF
"""Of these no pipe or socket that may be written to waits for room."""


def install(level: int) -> None:
    """From here on all that is logged goes this way, and whatever else writes to standard error (a driver's library)
    waits for nobody either, where that is systemd's journal. Once in a process, as logging.basicConfig.
    """
    root = logging.getLogger()
    if root.handlers:
        return
    root.addHandler(JournalStream(tuple(fd for fd in (1, 2) if is_the_journal(fd, os.environ)), 2))
    root.setLevel(level)


def is_the_journal(fd: int, environment: Mapping[str, str]) -> bool:
    """As systemd says it."""
    with contextlib.suppress(OSError):
        found = os.fstat(fd)
        return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
    return False


class WithoutSource(logging.Formatter):
    """Tracebacks by file and line alone: the lines themselves would be read from a card that may not answer."""

    def formatException(
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        err = ei[1]
        lines = list[str]()
        while err is not None:
            frames = traceback.walk_tb(err.__traceback__)
            places = [f"  {frame.f_code.co_filename}:{line} in {frame.f_code.co_name}" for frame, line in frames]
            lines[:0] = [*places, f"{type(err).__name__}: {err}"]
            err = err.__cause__ or (None if err.__suppress_context__ else err.__context__)
        return "\n".join(lines)


class JournalStream(logging.Handler):
    """Never waits, never raises. `streams`: the open files that are one stream of the journal; `fd` is written to,
    whether it is one of these or not.
    """

    def __init__(
        self,
        streams: tuple[int, ...],
        fd: int,
        now_ns: Callable[[], int] = time.monotonic_ns,
        journal: Path = SOCKET,
    ) -> None:
        super().__init__()
        self.setFormatter(WithoutSource())
        self._streams, self._fd, self._now_ns, self._journal = streams, fd, now_ns, journal
        self._left_out, self._cut = 0, False
        self._tried_ns = now_ns() - AGAIN_NS
        for stream in streams:
            # Nobody else writes to it: systemd opens one for each process that it starts.
            os.set_blocking(stream, False)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            data = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        except Exception as err:
            # Whatever a message is made of.
            data = f"{record.name}:{record.lineno}: {type(err).__name__}\n".encode()
        self._left_out = 0 if self._put(data) or (self._opened_anew() and self._put(data)) else self._left_out + 1

    def _put(self, data: bytes) -> bool:
        """Whether it was taken whole."""
        if self._left_out:
            data = b"%d messages were left out: nobody took them\n" % self._left_out + data
        if self._cut:
            data = b"\n" + data
        sent = 0
        with contextlib.suppress(OSError):
            while sent < len(data) and self._may_write():
                sent += os.write(self._fd, data[sent : sent + PIECE])
        self._cut = self._cut if not sent else sent < len(data)
        return sent == len(data)

    def _may_write(self) -> bool:
        ready = select.poll()
        ready.register(self._fd, select.POLLOUT)
        return bool(ready.poll(0))

    def _opened_anew(self) -> bool:
        """Whether the other end had gone, and is there again."""
        now_ns = self._now_ns()
        if not self._streams or now_ns - self._tried_ns < AGAIN_NS or not self._gone():
            return False
        self._tried_ns = now_ns
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            # A local socket is connected at once, or not at all.
            stream.setblocking(False)
            stream.connect(str(self._journal))
            stream.shutdown(socket.SHUT_RD)
            stream.sendall(HEAD)
            for fd in self._streams:
                os.dup2(stream.fileno(), fd)
            self._cut = False
            return True
        return False

    def _gone(self) -> bool:
        ready = select.poll()
        ready.register(self._fd, 0)
        return any(events & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, events in ready.poll(0))
