"""The uploader process: waits for the dock, sends what is sealed, brings the receipt. It decides nothing about
truth: the recorder checks what lands in inbox/, which is the only place written here.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent import journalstream
from agent.clock import Clock, SystemClock
from agent.config import Config
from agent.dock import services
from agent.dock.body import senders
from agent.dock.links import KernelLinks, Links
from agent.dock.outgoing import Outgoing
from agent.dock.policy import HeatPolicy, Policy
from agent.dock.presence import Presence, presence
from agent.dock.report import Inbox, State
from agent.dock.services import Services
from agent.dock.station import Station
from agent.dock.turns import Turns
from agent.dock.visit import Visit
from agent.keyfile import handed_over
from agent.model import NS
from agent.mounts import must_be_there
from agent.notify import READY, notify

if TYPE_CHECKING:
    from agent.dock.wire import Credentials

LOG = logging.getLogger("bodycam.uploader")
POLL_S = 0.25
UPLOADS = "uploads.jsonl"
WATCH_ENDS_S = 5.0
SERVICES_END_S = 60.0
"""It asks for the time and for three kinds of orders, each within QUICK_TIMEOUT_S (dock/transport.py);
undocking ends them at once.
"""


class OpenStation(Station, services.Station, Protocol):
    """A station that is let go of at the end of a visit."""

    def close(self) -> None: ...


Connect = Callable[[threading.Event], OpenStation]
"""Given the event that ends the visit, the station."""


def run(config: Config, *, stop: threading.Event, file: Path | None = None) -> None:
    """Serve until `stop` is set, or `file`, which is the configuration's, is another one than before. Raises
    StorageError where the spool's disk is not mounted: one that comes later is not behind the wall of a unit that runs.
    """
    must_be_there(config.spool.dir)
    journalstream.install(logging.INFO)
    clock = SystemClock()
    spool, dock, links = config.spool.dir, config.dock, KernelLinks()
    turns = Turns(spool / "inbox", clock.monotonic_ns)
    uploader = Uploader(
        Outgoing(spool),
        Inbox(spool / "inbox", clock.monotonic_ns, turns.turn),
        presence(dock.presence, spool / "outbox", clock.boot_id, links, dock.interfaces),
        partial(_connect, config, links),
        clock,
        senders(dock.parallel, dock.limit_kbps),
        HeatPolicy(dock.max_celsius),
        dock.start_spread_s,
        spool,
        _changed(file) if file else lambda: False,
        try_keys=lambda: _credentials(config).context(),
    )
    with contextlib.closing(turns):
        notify(READY)
        uploader.run(stop)


def _changed(file: Path) -> Callable[[], bool]:
    """Whether the file is another one than now: root puts a new one in its place, and changes none."""

    def which() -> tuple[int, int] | None:
        try:
            found = file.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    before = which()
    return lambda: which() not in (None, before)


def _credentials(config: Config) -> Credentials:
    from agent.dock.wire import Credentials

    dock = config.dock
    return Credentials(dock.ca, dock.client_cert, handed_over(dock.client_key))


def _connect(config: Config, links: Links, halt: threading.Event) -> OpenStation:
    # Here, so that whoever only imports this module needs no HTTP library.
    from agent.dock.transport import HttpStation
    from agent.dock.uploads import Uploads
    from agent.dock.wire import Unmetered

    dock, credentials = config.dock, _credentials(config)
    unmetered, uploads = Unmetered(links, dock.metered), Uploads(config.spool.dir / "inbox" / UPLOADS)
    return HttpStation(dock.station_url, credentials, halt, dock.limit_kbps, unmetered, uploads)


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
        policy: Policy | None = None,
        spread_s: float = 0.0,
        spool: Path | None = None,
        stale: Callable[[], bool] = lambda: False,
        halts: Callable[[], threading.Event] = threading.Event,
        try_keys: Callable[[], object] = lambda: None,
    ) -> None:
        """`spool` is where the recorder asks for time and orders, None where nobody does; `stale` is true when there is
        another configuration than this was begun with; `halts` makes what ends a visit and its waits; `try_keys` raises
        where no visit could be made with the keys that are there.
        """
        self._outgoing, self._inbox, self._presence = outgoing, inbox, presence
        self._connect, self._clock, self._parallel = connect, clock, parallel
        self._policy, self._spread_s = policy, spread_s
        self._spool, self._stale, self._halts, self._try_keys = spool, stale, halts, try_keys

    def run(self, stop: threading.Event) -> None:
        """One visit after another, until `stop`, or until it has to begin anew with another configuration."""
        docked = False
        while not (stop.is_set() or self._stale()):
            docked, before = self._presence.docked(), docked
            self._inbox.turn()
            why = self._hold()
            if docked and not before:
                # With keys that cannot be used it ends at once, and not after each wait anew.
                self._try_keys()
                self._spread(stop)
                # Whether it is docked, and may send, is looked at again, and at once.
                continue
            if docked and not why:
                with self._visit(stop) as visit:
                    visit.run()
            if docked and why:
                self._inbox.tell(State.HELD, why)
            elif not docked:
                self._inbox.tell(State.IDLE)
            stop.wait(POLL_S)

    def _hold(self) -> str:
        return self._policy.hold() if self._policy else ""

    def _spread(self, stop: threading.Event) -> None:
        """A random wait, so that cameras which get power at once do not ask at once; undocking ends it."""
        end_ns = self._clock.monotonic_ns() + round(random.uniform(0, self._spread_s) * NS)
        while self._clock.monotonic_ns() < end_ns and self._presence.docked() and not stop.is_set():
            self._inbox.turn()
            stop.wait(min(POLL_S, max(0, end_ns - self._clock.monotonic_ns()) / NS))

    @contextlib.contextmanager
    def _visit(self, stop: threading.Event) -> Iterator[Visit]:
        halt, over = self._halts(), threading.Event()
        watcher = threading.Thread(target=self._watch, args=(stop, halt, over), name="presence", daemon=True)
        watcher.start()
        try:
            with contextlib.closing(self._connect(halt)) as station:
                self._inbox.new_visit()
                visit = Visit(self._outgoing, self._inbox, station, self._clock, self._parallel, halt)
                with contextlib.closing(visit), self._serving(station, halt):
                    yield visit
        finally:
            over.set()
            _ends(watcher, WATCH_ENDS_S)

    @contextlib.contextmanager
    def _serving(self, station: OpenStation, halt: threading.Event) -> Iterator[None]:
        """Time and orders, beside the visit and as long as it."""
        if self._spool is None:
            yield
            return
        over = threading.Event()
        bringing = Services(self._spool, station, self._clock.boot_id, self._clock.monotonic_ns)
        bringing.step()

        def run() -> None:
            while not (halt.is_set() or over.wait(POLL_S)):
                bringing.step()

        thread = threading.Thread(target=run, name="services", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            _ends(thread, SERVICES_END_S)

    def _watch(self, stop: threading.Event, halt: threading.Event, over: threading.Event) -> None:
        """Undocking, heat or stopping ends the visit in the middle of whatever it does."""
        while not over.wait(POLL_S):
            if stop.is_set() or self._stale() or not self._presence.docked() or self._hold():
                halt.set()


def _ends(thread: threading.Thread, within_s: float) -> None:
    """One that hangs in the kernel, at the card or a driver, keeps nobody: the next visit has its own."""
    thread.join(within_s)
    if thread.is_alive():
        LOG.error("the thread %s does not end within %g s: look at card and power supply", thread.name, within_s)
