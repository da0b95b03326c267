"""The line about the dock: the station's name leads somewhere, and what answers there is the agency's station."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from agent.clock import Clock
from agent.config import Config
from agent.dock.links import KernelLinks
from agent.dock.presence import presence
from agent.dock.station import RefusedError, StationLog
from agent.errors import AgentError, Exit, StationError, reason
from agent.keyfile import handed_over
from agent.selftest.line import Fault, Line, failed, judged, skipped

NAME = "dock"
MAX_MS = 10_000.0
LIMIT = f"the agency's station answers this camera over TLS within {MAX_MS / 1000:.0f} s"


class Asked(Protocol):
    """What is used of a station. Raises AgentError."""

    def log_state(self, epoch: int) -> StationLog: ...
    def close(self) -> None: ...


Connect = Callable[[Config], Asked]
Resolve = Callable[[str, int], str]


def connect(config: Config) -> Asked:
    from agent.dock.transport import HttpStation
    from agent.dock.wire import Credentials, Unmetered

    dock = config.dock
    credentials = Credentials(dock.ca, dock.client_cert, handed_over(dock.client_key))
    unmetered = Unmetered(KernelLinks(), dock.metered)
    return HttpStation(dock.station_url, credentials, threading.Event(), dock.limit_kbps, unmetered)


def resolve(host: str, port: int) -> str:
    """The first address behind a name. Raises StationError."""
    try:
        return str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as err:
        raise StationError(
            f"the station's name {host} cannot be resolved: {reason(err)}", "check the network, and dock.station_url"
        ) from err


def check(config: Config, clock: Clock, anyway: bool, connect: Connect = connect, resolve: Resolve = resolve) -> Line:
    """Asks for this camera's log. `anyway` also where the camera is not docked."""
    dock, outbox = config.dock, config.spool.dir / "outbox"
    docked = presence(dock.presence, outbox, clock.boot_id, KernelLinks(), dock.interfaces).docked()
    if not docked and not anyway:
        return skipped(NAME, "not docked, so the station is not looked for; --only dock asks all the same")
    url = urlsplit(dock.station_url)
    host, at = url.hostname or "", time.monotonic()
    try:
        address = resolve(host, url.port or 443)
        told = _ask(config, connect)
    except AgentError as err:
        return failed(NAME, err, LIMIT)
    spent_ms = (time.monotonic() - at) * 1000
    measured = f"{host} is {address}; the station answered in {spent_ms:.0f} ms: {told}"
    faults = [] if spent_ms <= MAX_MS else [Fault("too slow", "check the network")]
    return judged(NAME, measured, LIMIT, faults, Exit.NETWORK, {"address": address, "ms": round(spent_ms, 1)})


def _ask(config: Config, connect: Connect) -> str:
    with contextlib.closing(connect(config)) as station:
        try:
            return f"it cosigned {station.log_state(1).cosigned} leaves"
        except RefusedError as err:
            if err.status == 404:
                return "it holds nothing of this camera yet"
            raise
