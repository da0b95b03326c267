"""A deadline on every request as a whole. A timeout on a socket counts from byte to byte: a peer that drips would hold
a request for ever. Here one thread shuts the sockets of requests that are overdue, and of all once `halt` is set.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

LOOK_EVERY_S = 0.25
CLOSE_S = 2.0


class Call:
    """One request under way."""

    def __init__(self, seconds: float) -> None:
        self._ends_s = time.monotonic() + seconds
        self.lifeline: socket.socket | None = None
        self.cut = False

    def allow(self, seconds: float) -> None:
        """From now on it may take so long; infinity while it waits for us."""
        self._ends_s = time.monotonic() + seconds

    def over(self, lifeline: socket.socket) -> None:
        """It goes over this connection. `lifeline` is a duplicate: to shut it is to shut the connection, whoever else
        closes theirs meanwhile.
        """
        self.lifeline = lifeline
        if self.cut:
            self._shut()

    def look(self, halted: bool) -> None:
        """Cut it where it is overdue or halted."""
        if halted or time.monotonic() > self._ends_s:
            self.cut = True
            self._shut()

    def _shut(self) -> None:
        if self.lifeline:
            with contextlib.suppress(OSError):
                self.lifeline.shutdown(socket.SHUT_RDWR)


class Deadlines:
    """The calls under way of all threads, and the thread that looks after them."""

    def __init__(self, halt: threading.Event) -> None:
        self._halt = halt
        self._calls: set[Call] = set()
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def call(self, seconds: float) -> Iterator[Call]:
        """A request of this thread, to be over within so many seconds."""
        made = self._mine.call = Call(seconds)
        with self._lock:
            self._calls.add(made)
        try:
            yield made
        finally:
            self._mine.call = None
            with self._lock:
                self._calls.discard(made)

    def goes_over(self, lifeline: socket.socket) -> None:
        """This thread's request goes over this connection."""
        call: Call | None = getattr(self._mine, "call", None)
        if call:
            call.over(lifeline)

    def over(self) -> bool:
        """Whether this thread's request is cut, or everything is to end."""
        call: Call | None = getattr(self._mine, "call", None)
        return self._halt.is_set() or bool(call and call.cut)

    def connect(
        self, address: str, port: int, seconds: float | None, options: Iterable[tuple[Any, ...]]
    ) -> tuple[socket.socket, socket.socket]:
        """A connection of this thread's request to one address, and the lifeline by which it is cut: already while it
        is being made, which shutting ends on Linux (inet_shutdown, SYN_SENT). Raises OSError.
        """
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        lifeline = sock.dup()
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(seconds)
            self.goes_over(lifeline)
            sock.connect((address, port))
        except BaseException:
            sock.close()
            lifeline.close()
            raise
        return sock, lifeline

    def close(self) -> None:
        self._closed.set()
        self._thread.join(CLOSE_S)

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            halted = self._halt.is_set()
            with self._lock:
                for call in self._calls:
                    call.look(halted)


def resolve(host: str, port: int, seconds: float, over: Callable[[], bool] = lambda: False) -> list[str]:
    """The addresses of a host, at most so long, and until it is `over`: getaddrinfo(3) has no deadline of its own.
    Raises OSError.
    """
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    found: list[str] = []
    failed: list[OSError] = []

    def ask() -> None:
        try:
            for _, _, _, _, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.append(str(where[0]))
        except (OSError, UnicodeError) as err:
            failed.append(err if isinstance(err, OSError) else OSError(f"not a host name: {host[:80]}"))

    # A daemon: one that hangs in the resolver must hold up nobody, not even the end of the process.
    asking = threading.Thread(target=ask, name="resolve", daemon=True)
    asking.start()
    ends_s = time.monotonic() + seconds
    while asking.is_alive() and time.monotonic() < ends_s and not over():
        asking.join(min(LOOK_EVERY_S, max(0.0, ends_s - time.monotonic())))
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(f"no name server answers for {host}")
    return list(dict.fromkeys(found))
