"""Peers that lie: an HTTPS server that answers what it is told to."""

from __future__ import annotations

import inspect
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    head: bytes = b""
    """More of the head, as it goes over the line: large ones the server would copy, once for each question."""
    between: Callable[[], None] | None = None
    """Where there is one: the body comes byte after byte, and it is called after each, as long as somebody listens."""


Script = Callable[[str, str], Reply]
"""(method, path) to reply."""
LongScript = Callable[[str, str, Mapping[str, str], int], Reply]
"""The same of method, path, headers and the length of the body that came."""


def drip(peer: BinaryIO, data: bytes, between: Callable[[], None]) -> None:
    for at in range(len(data)):
        peer.write(data[at : at + 1])
        peer.flush()
        between()


@contextmanager
def rogue(chain: Path, key: Path, script: Script | LongScript) -> Iterator[str]:
    """Serve on loopback; yields the URL."""

    takes_more = len(inspect.signature(script).parameters) > 2

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            left = length = int(self.headers.get("Content-Length", "0"))
            while left:
                left -= len(self.rfile.read(min(left, 1 << 16)))
            more = (self.headers, length) if takes_more else ()
            reply = script(self.command, self.path, *more)
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            if reply.head:
                self.flush_headers()
                self.wfile.write(reply.head)
            self.end_headers()
            if self.command != "HEAD" and reply.status != 204:
                drip(self.wfile, reply.body, reply.between) if reply.between else self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = do_OPTIONS = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that turns away is what these tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
