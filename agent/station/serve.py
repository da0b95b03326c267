"""The embedded station: one process, one directory, TLS 1.3 with client certificates. The only file that touches
cheroot.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from cheroot.server import HTTPConnection, KnownLengthRFile
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server

from agent import durable
from agent.errors import KeyTrustError, StationError, StorageError, reason
from agent.station import overview, promised, room, turn
from agent.station.access import AccessLog
from agent.station.app import App, open_app
from agent.station.counting import Counting
from agent.station.index import Index
from agent.station.layout import AgencyPaths
from agent.station.metrics import Metrics
from agent.station.patience import Coming, Patience
from agent.station.peers import Peers
from agent.station.porch import Porch
from agent.station.state import State
from agent.station.store import MAX_SEGMENT

THREADS = 24
"""More than three certificates alone can hold (agent/station/peers.py)."""
BACKLOG = 128
"""Connections that the kernel holds until the listener comes to them."""
SOCKET_TIMEOUT_S = 20
MAX_HEADER_BYTES = 16 << 10
RECORD_BYTES = 16 << 10
"""A record of TLS holds no more (RFC 8446 section 5.1)."""
STOP_S = 5
LOOK_EVERY_S = 0.1
"""At most so long after `stop` the listener ends; as often it looks for connections to give up."""


class _AsItComes:
    """The body of a request, what is there of it at each call, and no more than it says. cheroot's reader waits until
    it has all that was asked for, and drops what it has where the peer is cut off meanwhile: over a slow link that is
    half a minute of a segment.
    """

    def __init__(self, body: KnownLengthRFile, coming: Coming) -> None:
        self._body, self._coming = body, coming

    def read(self, size: int) -> bytes:
        """b"" at the end, and where the peer goes away."""
        size, reader = min(size, self._body.remaining, RECORD_BYTES), self._body.rfile
        # What came along with the request's head is in the reader's own buffer.
        with self._coming.reading():
            data: bytes = reader.read1(size) if reader.has_data() else reader.raw.read(size)
        self._coming.came(len(data))
        self._body.remaining -= len(data)
        return data


def _as_it_comes(app: App, patience: Patience) -> Callable[[dict[str, Any], Callable[..., Any]], list[bytes]]:
    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        body, coming = environ["wsgi.input"], patience.body()
        if isinstance(body, KnownLengthRFile):
            environ["wsgi.input"] = _AsItComes(body, coming)
        return app(environ, start_response)

    return answer


class _Connection(HTTPConnection):
    """`peer` is the digest of the certificate once one was shown; before, no worker has to do with it."""

    peer = b""

    def communicate(self) -> bool:
        try:
            with self.server.patience.request(self.socket):
                if not self.ssl_env:
                    self.ssl_env = self.server.ssl_adapter.get_environ(self.socket)
                return bool(super().communicate())  # type: ignore[no-untyped-call]
        finally:
            self.server.done(self)

    def close(self) -> None:
        """Raises nothing: in a worker that would be the end of the server."""
        self.server.peers.gone(self.peer, self)
        with contextlib.suppress(OSError, ValueError):
            super().close()


class _Server(Server):
    """Tells of a peer that went away in one line. A defect of ours, or of the disk, keeps its traceback."""

    patience: Patience
    porch: Porch
    peers: Peers[Any]

    def process_conn(self, conn: Any) -> None:
        """To a worker, or to where it waits for one, or shows a certificate first."""
        if not conn.peer:
            self.porch.take(conn)
        elif self.peers.begin(conn.peer, conn):
            super().process_conn(conn)

    def done(self, conn: Any) -> None:
        """A worker has nothing to do with it any more: another one of its peer's may be served."""
        following = self.peers.done(conn.peer, conn)
        if following is not None:
            super().process_conn(following)

    def welcome(self, conn: Any) -> None:
        """Its peer is known: a worker serves it as soon as something comes."""
        who = hashlib.sha256(conn.socket.getpeercert(binary_form=True)).digest()
        if not self.peers.come(who, conn):
            conn.close()
            return
        conn.peer = who
        conn.socket.settimeout(self.timeout)
        self.put_conn(conn)

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        error = sys.exc_info()[1] if traceback else None
        if isinstance(error, ConnectionError | TimeoutError | ssl.SSLError):
            what = "a peer went away" if msg.startswith("socket.error") else msg
            msg, traceback = f"station: {what}: {reason(error)}", False
        super().error_log(msg, level, traceback)


class _Adapter(BuiltinSSLAdapter):
    """TLS 1.3 only, a client certificate required and checked against the agency's root alone."""

    def __init__(self, paths: AgencyPaths) -> None:
        super().__init__(str(paths.tls_chain), str(paths.tls_key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(paths.trust_root)
        context.load_cert_chain(paths.tls_chain, paths.tls_key)
        # No resumption: docking is rare, and each connection shows its certificate anew.
        context.num_tickets = 0
        self.context = context

    def wrap(self, sock: Any) -> tuple[ssl.SSLSocket, dict[str, Any]]:
        return self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), {}


class Station:
    """What one directory holds, listening. Raises KeyTrustError, StorageError, StationError."""

    def __init__(self, root: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        paths = AgencyPaths(root)
        if not paths.tls_key.exists():
            raise KeyTrustError(f"{root} is not a station's directory", f"run bodycam-station init --dir {root}")
        held = durable.make_dir(paths.station)
        self._lock = _only_one(held / "lock")
        # On a full disk receipts are refused in their own words.
        with contextlib.suppress(StorageError):
            promised.prepare(held)
        self._state = State(paths.state)
        self._index = Index(paths.index)
        app = open_app(paths, self._state, self._index)
        self.name = app.name
        adapter = _Adapter(paths)
        self._patience = Patience()
        self._server = _Server(
            (host, port), _as_it_comes(app, self._patience), numthreads=THREADS, max=THREADS, server_name="station"
        )
        self._server.ssl_adapter = adapter
        self._server.patience = self._patience
        self._server.peers = Peers()
        self._porch = self._server.porch = Porch(self._server.welcome)
        self._server.request_queue_size = BACKLOG
        self._server.ConnectionClass = _Connection
        self._server.timeout = SOCKET_TIMEOUT_S
        self._server.shutdown_timeout = STOP_S
        self._server.expiration_interval = LOOK_EVERY_S
        self._server.max_request_header_size = MAX_HEADER_BYTES
        self._server.max_request_body_size = MAX_SEGMENT
        self._host, self._paths = host, paths
        self._thread: threading.Thread | None = None
        self._metrics: Metrics | None = None

    def start(self) -> str:
        """Listen; returns the URL."""
        try:
            self._server.prepare()
        except OSError as err:
            raise StationError(f"cannot listen on {self._host}: {reason(err)}", "choose another --listen") from err
        self._porch.start()
        self._thread = threading.Thread(target=self._server.serve, name="station")
        self._thread.start()
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"https://{host}:{self._server.bind_addr[1]}"

    def measure(self, host: str, port: int) -> int:
        """Answer /metrics there as well; returns the port."""
        paths, index, state = self._paths, self._index, self._state
        counting, access = Counting(paths, index), AccessLog(paths.access)
        self._metrics = Metrics(
            host, port, lambda: overview.metrics(overview.look(paths, index, state, counting, access))
        )
        return self._metrics.port

    def stop(self) -> None:
        """Finish what is being answered, at most a few seconds, and close."""
        self._server.stop()
        if self._thread:
            self._thread.join(STOP_S)
        if self._metrics:
            self._metrics.close()
        self._porch.close()
        for conn in self._server.peers.waiting():
            conn.close()
        self._patience.close()
        self._index.close()
        self._state.close()
        self._lock.close()


def _only_one(path: Path) -> IO[bytes]:
    """The directory's lock, held as long as the file is open (flock(2)). Raises StorageError."""
    lock = os.fdopen(turn.opened(path), "rb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StorageError(f"another station serves {path.parent}", "stop it first") from None
    return lock


def serve(root: Path, host: str, port: int, as_json: bool, metrics: tuple[str, int] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Prints one line when listening. `metrics` is where Prometheus may ask."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    station = Station(root, host, port)
    url = station.start()
    measured = station.measure(*metrics) if metrics else None
    if as_json:
        print(
            json.dumps({"url": url, "station": station.name, "pid": os.getpid(), "metrics_port": measured}), flush=True
        )
    else:
        print(f"station {station.name} listens on {url}", flush=True)
    if room.is_full(AgencyPaths(root).station):
        print(f"station: {room.FULL}", file=sys.stderr, flush=True)
    while not asked.wait(1):
        pass
    print("station stops", file=sys.stderr)
    station.stop()
