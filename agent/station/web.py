"""The little HTTP the station needs: a request with a bounded body, a response, and a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

READ_BYTES = 256 << 10
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
JSON = {"Content-Type": "application/json"}
BYTES = {"Content-Type": "application/octet-stream"}

_REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 409: "Conflict", 411: "Length Required", 412: "Precondition Failed",
    413: "Content Too Large", 415: "Unsupported Media Type", 422: "Unprocessable Content", 423: "Locked",
    429: "Too Many Requests", 460: "Checksum Mismatch", 500: "Internal Server Error", 503: "Service Unavailable",
    507: "Insufficient Storage",
}  # fmt: skip


class Body:
    """A request's body: known length, read in pieces, never more than it said."""

    def __init__(self, read: Callable[[int], bytes], length: int) -> None:
        self._read = read
        self.left = length

    def read(self) -> bytes:
        """The next piece, at most 256 KiB; b"" at the end, or where the peer went away early."""
        data = self._read(min(READ_BYTES, self.left)) if self.left else b""
        self.left = self.left - len(data) if data else 0
        return data

    def read_all(self, limit: int) -> bytes:
        """The whole body. Raises Refused (413) where it is longer than `limit`."""
        if self.left > limit:
            raise Refused(413, f"at most {limit} bytes here")
        pieces = []
        while piece := self.read():
            pieces.append(piece)
        return b"".join(pieces)

    def drain(self) -> None:
        """Read away what is left, so that the answer reaches a peer that is still sending."""
        while self.read():
            pass


@dataclass(frozen=True, slots=True)
class Request:
    """`camera` is who the TLS certificate says it is; header names are in lower case; `length` is None where the
    peer did not say.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    camera: str
    length: int | None
    body: Body


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whole."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def start(self, start_response: Callable[..., Any]) -> list[bytes]:
        """Hand it to a WSGI server (PEP 3333)."""
        headers = [(name, value) for name, value in self.headers.items()]
        if self.status != 204:
            headers.append(("Content-Length", str(len(self.body))))
        start_response(f"{self.status} {_REASONS.get(self.status, 'Unknown')}", headers)
        return [self.body] if self.body else []


class Refused(Exception):
    """A request that is not served; becomes a response with one line of text saying why."""

    def __init__(self, status: int, why: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.status, self.why, self.headers = status, why, dict(headers or {})

    def response(self) -> Response:
        return Response(self.status, self.why.encode() + b"\n", {**TEXT, **self.headers})


def request_of(environ: Mapping[str, Any], camera: str) -> Request:
    """Read a WSGI environ (PEP 3333). Raises Refused for a body of unknown length."""
    headers = {k[5:].replace("_", "-").lower(): str(v) for k, v in environ.items() if k.startswith("HTTP_")}
    headers["content-type"] = str(environ.get("CONTENT_TYPE", ""))
    text = str(environ.get("CONTENT_LENGTH", ""))
    if headers.get("transfer-encoding") or (text and not (text.isascii() and text.isdigit() and len(text) < 16)):
        raise Refused(411, "send a Content-Length")
    length = int(text) if text else None
    body = Body(environ["wsgi.input"].read, length or 0)
    return Request(str(environ["REQUEST_METHOD"]), str(environ["PATH_INFO"]), headers, camera, length, body)
