"""systemd's readiness protocol (sd_notify(3)): silent where no supervisor listens."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from agent.clock import Clock
from agent.headway import heard
from agent.model import NS

LOG = logging.getLogger("bodycam.notify")
READY = "READY=1"
READY_S = 10.0
"""Said once, and waited for by who starts the unit."""
WORD_S = 0.5
"""For all else, which the loop and the panel's thread say between their turns: the next word comes soon."""
EXTEND_NS = 5 * NS
"""So often, at most, the supervisor is told that a start or a stop gets on."""
EXTEND_S = 120
"""So long each piece of it may take: a mebibyte that is read, a sync, an entry that is checked."""


def notify(message: str) -> None:
    """Send e.g. `READY=1` or `STATUS=recording` to NOTIFY_SOCKET, if there is one. A supervisor whose queue stays full
    does not get it, and nobody waits for it any longer: recording does not hang on who listens.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.settimeout(READY_S if message == READY else WORD_S)
        try:
            channel.connect("\0" + address[1:] if address.startswith("@") else address)
            channel.sendall(message.encode())
        except TimeoutError:
            LOG.warning("the supervisor did not take %s within %g s", message, channel.gettimeout())


FIRST_OPEN_S = 90
"""Of the first lens, in seconds: libraries are loaded then."""


@contextmanager
def patience(seconds: int) -> Iterator[None]:
    """Meanwhile the watchdog waits so long, then again as the unit says: a driver's library that is loaded from a slow
    card lets no thread of Python have its turn.
    """
    usual = os.environ.get("WATCHDOG_USEC")
    if usual:
        notify(f"WATCHDOG_USEC={seconds * 1_000_000}")
    try:
        yield
    finally:
        if usual:
            notify(f"WATCHDOG_USEC={usual}")


class Extension:
    """Moves the end that the unit sets to a start or a stop (EXTEND_TIMEOUT_USEC, sd_notify(3)) with each `piece` that
    is done, told each five seconds at most. Not for what neither starts nor stops: it would put off the watchdog too.
    """

    def __init__(self) -> None:
        self._told_ns: int | None = None

    def piece(self, mono_ns: int) -> None:
        """One was done at this instant. Raises nothing: whoever does not listen is no fault of the disk, at which this
        is heard.
        """
        if self._told_ns is None or mono_ns - self._told_ns >= EXTEND_NS:
            self._told_ns = mono_ns
            with suppress(OSError):
                notify(f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1_000_000}")


@contextmanager
def supervised(clock: Clock, beat: Callable[[int], None]) -> Iterator[None]:
    """Meanwhile each piece that is done (agent/headway.py) is a beat, at that instant, and an `Extension`'s. What
    stands still is ended as ever.
    """
    extension = Extension()

    def hear() -> None:
        now = clock.monotonic_ns()
        beat(now)
        extension.piece(now)

    with heard(hear):
        yield
