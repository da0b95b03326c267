"""An uploader process for tests that kill it: `python -m tests.uploader_child AGENCY SPOOL URL LIMIT_KBPS`."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from agent.clock import SystemClock
from agent.configdock import DockConfig
from agent.dock.outgoing import Outgoing
from agent.dock.presence import AlwaysPresence
from agent.dock.report import Inbox, State
from agent.dock.transport import HttpStation
from agent.dock.uploads import Uploads
from agent.dock.wire import Credentials
from agent.errors import StationError
from agent.station.layout import AgencyPaths
from agent.uploader import UPLOADS, Uploader
from tests.camera_kit import CAMERA

PARALLEL = next(int(str(field.default)) for field in fields(DockConfig) if field.name == "parallel")
"""As shipped."""


ATTEMPTS = 6


class Ending(Inbox):
    """Ends a visit as a hand would that takes the camera out: when it says that all is delivered, or something refused,
    or has told so many times that it waits.
    """

    def begin(self, end: Callable[[], None]) -> None:
        self._end, self._waits, self.said = end, 0, (State.IDLE, "")

    def tell(self, state: State, error: str = "") -> None:
        super().tell(state, error)
        self.said = state, error
        self._waits += state in (State.WAITING, State.UNREACHABLE, State.HELD)
        if state in (State.DELIVERED, State.REFUSED) or self._waits >= ATTEMPTS:
            self._end()


class OneVisit(Uploader):
    """The uploader as shipped, which can also be asked for one visit alone."""

    def __init__(self, box: Ending, *what: Any) -> None:
        self._box, self._halt = box, threading.Event()
        super().__init__(what[0], box, *what[1:], halts=self._begun)
        box.begin(lambda: None)

    def _begun(self) -> threading.Event:
        self._halt = threading.Event()
        return self._halt

    def once(self, stop: threading.Event) -> None:
        """Raises StationError where it does not end in all being delivered."""
        over = threading.Event()

        def end() -> None:
            over.set()
            self._halt.set()

        self._box.begin(end)
        ends = Either(over, stop)
        self.run(ends)
        state, error = self._box.said
        if state is not State.DELIVERED:
            raise StationError(error)


class Either(threading.Event):
    """Set where it, or one of these, is."""

    def __init__(self, *events: threading.Event) -> None:
        super().__init__()
        self._events = events

    def is_set(self) -> bool:
        return super().is_set() or any(event.is_set() for event in self._events)

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set() or super().wait(timeout)


def uploader(agency: AgencyPaths, spool: Path, url: str, limit_kbps: int = 0) -> OneVisit:
    keys, clock = agency.camera(CAMERA), SystemClock()
    credentials = Credentials(agency.trust_root, keys.tls_chain, keys.tls_key)
    connect = partial(_connect, url, credentials, limit_kbps, spool / "inbox" / UPLOADS)
    box = Ending(spool / "inbox", clock.monotonic_ns)
    return OneVisit(box, Outgoing(spool), AlwaysPresence(), connect, clock, PARALLEL)


def _connect(url: str, credentials: Credentials, limit_kbps: int, uploads: Path, halt: threading.Event) -> HttpStation:
    return HttpStation(url, credentials, halt, limit_kbps, uploads=Uploads(uploads))


if __name__ == "__main__":
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    root, spool, url, limit = sys.argv[1:]
    uploader(AgencyPaths(Path(root)), Path(spool), url, int(limit)).run(stop)
