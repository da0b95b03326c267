"""Our side of the comparison, as a process of its own: the segments of one spool over the real uploader's visit to the
dock. The server knows only tus, so the log stays away: the visit ends where it waits for that.

    python -m benchmarks.upload_child SPOOL URL ROOT CHAIN KEY PARALLEL
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from agent import heap
from agent.clock import SystemClock
from agent.dock.outgoing import Outgoing
from agent.dock.report import Inbox
from agent.dock.station import TryAgainError
from agent.dock.transport import HttpStation
from agent.dock.uploads import Uploads
from agent.dock.visit import Visit
from agent.dock.wire import Credentials
from agent.errors import AgentError


def main(words: list[str]) -> int:
    # As `bodycam-agent uploader` begins.
    heap.settle()
    spool, url, root, chain, key, parallel = words
    clock, halt = SystemClock(), threading.Event()
    inbox = Path(spool) / "inbox"
    credentials = Credentials(Path(root), Path(chain), Path(key))
    station = HttpStation(url, credentials, halt, uploads=Uploads(inbox / "uploads.jsonl"))
    visit = Visit(Outgoing(Path(spool)), Inbox(inbox, clock.monotonic_ns), station, clock, int(parallel), halt)
    try:
        visit.run(attempts=1)
    except TryAgainError as err:
        if "no checkpoint" not in err.message:
            raise
    finally:
        visit.close()
        station.close()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AgentError as err:
        sys.exit(err.message)
