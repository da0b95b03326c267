"""Where connections wait that have not shown a certificate yet: anybody can make one, so none of them holds a worker.
One thread goes on with each handshake of TLS as its bytes come.

They are bounded in number, and in how long they take. Where one more would be too many, the oldest goes of the address
that has the most: a flood from one address displaces itself.

Who is sent away for his certificate is told so by an alert, and has begun his request by then (TLS 1.3): what he still
says is read away for a moment, since a connection that is closed at once is cut off, and the alert may go with it.
"""

from __future__ import annotations

import contextlib
import queue
import selectors
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

HANDSHAKE_S = 20.0
"""From the connection to the certificate: a few round trips of a few kB, over the slowest link."""
MAX_GUESTS = 256
FAREWELL_S = 2.0
LOOK_EVERY_S = 0.25
CLOSE_S = 2.0
READ_BYTES = 16 << 10


class Guest(Protocol):
    """A connection; `socket` has not begun its handshake."""

    socket: ssl.SSLSocket
    remote_addr: str | None

    def close(self) -> object: ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    guest: Guest
    until_s: float
    leaves: bool = False


class Porch:
    """`welcome` is given each guest whose certificate was found to be the agency's, its socket not blocking."""

    def __init__(self, welcome: Callable[[Guest], None], now_s: Callable[[], float] = time.monotonic) -> None:
        self._welcome, self._now_s = welcome, now_s
        self._come = queue.SimpleQueue[Guest]()
        self._guests: dict[int, _Waiting] = {}
        """By descriptor, the oldest first."""
        self._selector = selectors.DefaultSelector()
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="porch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self, guest: Guest) -> None:
        """Any thread."""
        self._come.put(guest)
        self._ring()

    def close(self) -> None:
        """All who wait are sent away."""
        self._closed.set()
        self._ring()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def _ring(self) -> None:
        # A bell that nobody has heard yet rings already.
        with contextlib.suppress(OSError):
            self._rope.send(b"\0", socket.MSG_DONTWAIT)

    def _run(self) -> None:
        while not self._closed.is_set():
            self.turn(LOOK_EVERY_S)
        for number in list(self._guests):
            self._send_away(number)
        self._selector.close()
        self._bell.close()
        self._rope.close()

    def turn(self, wait_s: float) -> None:
        """Go on with those of whom something came; take in who came; send away who takes too long."""
        for key, _ in self._selector.select(wait_s):
            if key.fileobj is self._bell:
                with contextlib.suppress(OSError):
                    self._bell.recv(4096)
            else:
                self._go_on(key.fd)
        while not self._come.empty():
            self._let_in(self._come.get())
        for number in [n for n, one in self._guests.items() if self._now_s() > one.until_s]:
            self._send_away(number)

    def _let_in(self, guest: Guest) -> None:
        if len(self._guests) >= MAX_GUESTS:
            crowd = Counter(one.guest.remote_addr for one in self._guests.values())
            ((address, _),) = crowd.most_common(1)
            self._send_away(next(n for n, one in self._guests.items() if one.guest.remote_addr == address))
        guest.socket.settimeout(0)
        number = guest.socket.fileno()
        self._guests[number] = _Waiting(guest, self._now_s() + HANDSHAKE_S)
        self._selector.register(number, selectors.EVENT_READ)
        self._go_on(number)

    def _go_on(self, number: int) -> None:
        guest = self._guests[number].guest
        try:
            if self._guests[number].leaves:
                self._hear_out(number)
                return
            guest.socket.do_handshake()
        except ssl.SSLWantReadError:
            self._selector.modify(number, selectors.EVENT_READ)
        except ssl.SSLWantWriteError:
            self._selector.modify(number, selectors.EVENT_WRITE)
        except ssl.SSLError:
            self._see_off(number)
        except (OSError, ValueError):
            self._send_away(number)
        else:
            self._forget(number)
            self._welcome(guest)

    def _see_off(self, number: int) -> None:
        """The alert is on its way; nothing else is said."""
        guest = self._guests[number].guest
        try:
            guest.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._send_away(number)
            return
        self._guests[number] = _Waiting(guest, self._now_s() + FAREWELL_S, leaves=True)
        self._selector.modify(number, selectors.EVENT_READ)

    def _hear_out(self, number: int) -> None:
        """What comes means nothing any more, up to its end. Raises OSError."""
        if not self._guests[number].guest.socket.recv(READ_BYTES):
            self._send_away(number)

    def _send_away(self, number: int) -> None:
        guest = self._guests[number].guest
        self._forget(number)
        with contextlib.suppress(OSError):
            guest.close()

    def _forget(self, number: int) -> None:
        self._selector.unregister(number)
        del self._guests[number]
