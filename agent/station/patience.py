"""How long the station waits for a camera. A timeout on a socket counts from byte to byte: a peer that drips would hold
one of the few workers for ever. What came before the station loses patience is kept.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

from agent.dock.deadlines import Call, Deadlines

HEAD_S = 30.0
"""From the first byte of a request, or of a connection, to the end of its head."""
WINDOW_S, WINDOW_BYTES = 60.0, 60_000
"""So much of a body comes within so long: an eighth of what the lowest limit of a camera allows. Our own disk's time
does not count.
"""


class Patience:
    """With all connections of one station."""

    def __init__(self) -> None:
        self._deadlines = Deadlines(threading.Event())
        self._mine = threading.local()

    def close(self) -> None:
        self._deadlines.close()

    @contextlib.contextmanager
    def request(self, sock: socket.socket) -> Iterator[None]:
        """This thread reads a request's head from here, and answers it."""
        with socket.socket(fileno=os.dup(sock.fileno())) as lifeline, self._deadlines.call(HEAD_S) as call:
            call.over(lifeline)
            self._mine.call = call
            try:
                yield
            finally:
                self._mine.call = None

    def body(self) -> Coming:
        """The head of this thread's request is there: the body's time begins."""
        return Coming(getattr(self._mine, "call", None))


class Coming:
    """A body on its way."""

    def __init__(self, call: Call | None) -> None:
        self._call = call
        self._left_s, self._came = WINDOW_S, 0
        self._rest()

    def _rest(self) -> None:
        if self._call:
            self._call.allow(float("inf"))

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """It is waited for inside the block, and nowhere else."""
        begun_s = time.monotonic()
        if self._call:
            self._call.allow(self._left_s)
        try:
            yield
        finally:
            self._left_s -= time.monotonic() - begun_s
            self._rest()

    def came(self, count: int) -> None:
        """So many bytes."""
        self._came += count
        if self._came >= WINDOW_BYTES:
            self._left_s, self._came = WINDOW_S, 0
