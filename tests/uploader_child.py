"""An uploader process for tests that kill it: `python -m tests.uploader_child AGENCY SPOOL URL LIMIT_KBPS`."""

from __future__ import annotations

import signal
import sys
import threading
from functools import partial
from pathlib import Path

from agent.clock import SystemClock
from agent.dock.outgoing import Outgoing
from agent.dock.presence import AlwaysPresence
from agent.dock.report import Inbox
from agent.dock.transport import HttpStation
from agent.dock.uploads import Uploads
from agent.dock.wire import Credentials
from agent.station.layout import AgencyPaths
from agent.uploader import UPLOADS, Uploader
from tests.camera_kit import CAMERA

PARALLEL = 2


def uploader(agency: AgencyPaths, spool: Path, url: str, limit_kbps: int = 0) -> Uploader:
    keys, clock = agency.camera(CAMERA), SystemClock()
    credentials = Credentials(agency.trust_root, keys.tls_chain, keys.tls_key)
    connect = partial(_connect, url, credentials, limit_kbps, spool / "inbox" / UPLOADS)
    return Uploader(
        Outgoing(spool), Inbox(spool / "inbox", clock.monotonic_ns), AlwaysPresence(), connect, clock, PARALLEL
    )


def _connect(url: str, credentials: Credentials, limit_kbps: int, uploads: Path, halt: threading.Event) -> HttpStation:
    return HttpStation(url, credentials, halt, limit_kbps, uploads=Uploads(uploads))


if __name__ == "__main__":
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    root, spool, url, limit = sys.argv[1:]
    uploader(AgencyPaths(Path(root)), Path(spool), url, int(limit)).run(stop)
