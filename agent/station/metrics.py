"""`GET /metrics` for Prometheus, on a listener of its own: plain HTTP, so for this machine or a network that is trusted
with names of cameras and counts, and nothing else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from agent.errors import AgentError, StationError, reason

LOG = logging.getLogger("bodycam.station")
TYPE = "text/plain; version=0.0.4; charset=utf-8"
TIMEOUT_S = 5


class Metrics:
    """`text` is asked anew for each request. Raises StationError where it cannot listen."""

    def __init__(self, host: str, port: int, text: Callable[[], str]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = TIMEOUT_S

            def do_GET(self) -> None:
                if self.path != "/metrics":
                    self._answer(404, "nothing here: /metrics\n")
                    return
                try:
                    self._answer(200, text())
                except AgentError as err:
                    LOG.error("metrics: %s", err.message)
                    self._answer(503, f"{err.message}\n")

            def _answer(self, status: int, body: str) -> None:
                data = body.encode("utf-8")
                self.send_response(status)
                self.send_header("Content-Type", TYPE)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Nothing for each scrape."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = 10 if ":" in host else 2
            """AF_INET6, AF_INET (socket(7))."""

            def handle_error(self, *_: object) -> None:
                """A scraper that went away."""

        try:
            self._server = Server((host, port), Handler)
        except OSError as err:
            raise StationError(f"cannot listen on {host}:{port}: {reason(err)}", "choose another --metrics") from err
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Listens no more when this returns; a scrape that is being answered ends with its timeout."""
        # `shutdown` itself waits without an end for the thread that listens.
        threading.Thread(target=self._server.shutdown, name="metrics-end", daemon=True).start()
        self._thread.join(TIMEOUT_S)
        self._server.server_close()
