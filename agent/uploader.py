"""The uploader process: waits for the dock, sends what is sealed, brings the receipt. It decides nothing about
truth: the recorder checks what lands in inbox/, which is the only place written here.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from agent.clock import Clock, SystemClock
from agent.config import Config
from agent.dock.outgoing import Outgoing
from agent.dock.presence import Presence, presence
from agent.dock.report import Inbox, State
from agent.dock.station import Station
from agent.dock.visit import Visit
from agent.keyfile import handed_over

POLL_S = 0.25
ONCE_ATTEMPTS = 6


class OpenStation(Station, Protocol):
    """A station that is let go of at the end of a visit."""

    def close(self) -> None: ...


Connect = Callable[[threading.Event], OpenStation]
"""Given the event that ends the visit, the station."""


def run(config: Config, *, once: bool = False, stop: threading.Event) -> None:
    """Serve until `stop` is set. With `once`, one visit: returns when everything has its receipt, and raises
    StationError where the station is away or refuses something.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    clock = SystemClock()
    spool = config.spool.dir
    uploader = Uploader(
        Outgoing(spool),
        Inbox(spool / "inbox", clock.monotonic_ns),
        presence(config.dock.presence, spool / "outbox", clock.boot_id),
        partial(_connect, config),
        clock,
        config.dock.parallel,
    )
    if once:
        uploader.once(stop)
    else:
        uploader.run(stop)


def _connect(config: Config, halt: threading.Event) -> OpenStation:
    # Here, so that whoever only imports this module needs no HTTP library.
    from agent.dock.transport import Credentials, HttpStation

    dock = config.dock
    credentials = Credentials(dock.ca, dock.client_cert, handed_over(dock.client_key))
    return HttpStation(dock.station_url, credentials, halt, dock.limit_kbps)


class Uploader:
    """Watches the dock, and makes a visit of each docking."""

    def __init__(
        self,
        outgoing: Outgoing,
        inbox: Inbox,
        presence: Presence,
        connect: Connect,
        clock: Clock,
        parallel: int,
    ) -> None:
        self._outgoing, self._inbox, self._presence = outgoing, inbox, presence
        self._connect, self._clock, self._parallel = connect, clock, parallel

    def run(self, stop: threading.Event) -> None:
        """One visit after another, until `stop`."""
        while not stop.is_set():
            if self._presence.docked():
                with self._visit(stop) as visit:
                    visit.run()
            self._inbox.tell(State.IDLE)
            stop.wait(POLL_S)

    def once(self, stop: threading.Event) -> None:
        """One visit, whether docked or not. Raises StationError."""
        with self._visit(stop, always=True) as visit:
            visit.run(ONCE_ATTEMPTS)

    @contextlib.contextmanager
    def _visit(self, stop: threading.Event, always: bool = False) -> Iterator[Visit]:
        halt, over = threading.Event(), threading.Event()
        watcher = threading.Thread(target=self._watch, args=(stop, halt, over, always), name="presence")
        watcher.start()
        try:
            with contextlib.closing(self._connect(halt)) as station:
                self._inbox.new_visit()
                visit = Visit(self._outgoing, self._inbox, station, self._clock, self._parallel, halt)
                with contextlib.closing(visit):
                    yield visit
        finally:
            over.set()
            watcher.join()

    def _watch(self, stop: threading.Event, halt: threading.Event, over: threading.Event, always: bool) -> None:
        """Undocking or stopping ends the visit in the middle of whatever it does."""
        while not over.wait(POLL_S):
            if stop.is_set() or not (always or self._presence.docked()):
                halt.set()
