"""One HTTPS request after another to a station, each one attempt. The only file that touches `requests`.

TLS 1.3, the agency's root and no other, a client certificate, no redirects, no proxies, a deadline on everything and
a bound on every answer.
"""

from __future__ import annotations

import email.utils
import http.client
import http.cookiejar
import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from agent import keyfile
from agent.dock import lean
from agent.dock.body import PIECE_BYTES, SegmentBody
from agent.dock.deadlines import Call, Deadlines, resolve
from agent.dock.links import Links
from agent.dock.presence import fits
from agent.dock.station import HaltedError, HeldError, RefusedError, TryAgainError, UntrustedError
from agent.errors import KeyTrustError, reason
from agent.formats import roles

lean.load()
import requests  # noqa: E402
from requests.adapters import HTTPAdapter  # noqa: E402
from urllib3.connection import HTTPSConnection  # noqa: E402
from urllib3.connectionpool import HTTPSConnectionPool  # noqa: E402
from urllib3.exceptions import HTTPError, NewConnectionError  # noqa: E402

TIMEOUT_S = (10.0, 30.0)
"""Connecting, and each send; waiting for an answer."""
PIECE_S = 120.0
"""The peer takes a piece of a segment within this."""
LOOK_S = 1.0
"""While a segment goes, whether it still goes over a way that costs nothing."""
MAX_ANSWER = 256 << 10
MAX_HEAD = 64 << 10
"""Of an answer's lines, in bytes: http.client's own bounds, 100 fields of 64 KiB each, come to tens of MiB."""
SIZE_LINE = 32
MAX_ADDRESSES = 4
MAX_RETRY_AFTER_S = 300.0
LOCKED = 423
"""Another request is at work on this upload (RFC 4918 section 11.3)."""
_OVERRUN = frozenset({429, 502, 503, 504, 507})
"""Too many, nobody behind the gateway, not now, full: not about what was asked."""
_AGAIN = _OVERRUN | {408, LOCKED, 425, 500}
_NOT_KNOWN = re.compile(
    r"ALERT_((BAD|NO|UNSUPPORTED)_CERTIFICATE|CERTIFICATE_(REVOKED|EXPIRED|UNKNOWN|REQUIRED)|UNKNOWN_CA|ACCESS_DENIED)\b"
)
"""Alerts that are about our certificate (RFC 8446 section 6.2), as OpenSSL spells them. A box in the way sends any of
the others.
"""
_TOO_LONG = "the station's answer is too long"
_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME (openssl/x509_vfy.h): a camera may boot without a clock."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Paths: the agency's root, the client's chain, its key."""

    ca: Path
    client_cert: Path
    client_key: Path

    def context(self) -> ssl.SSLContext:
        """Raises KeyTrustError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags = ssl.VerifyFlags(int(context.verify_flags) | _NO_CHECK_TIME)
        keyfile.read(self.client_key, "TLS key", "enrol the camera, or correct [dock]")
        try:
            context.load_verify_locations(self.ca)
            context.load_cert_chain(self.client_cert, self.client_key)
        except (OSError, ssl.SSLError) as err:
            raise KeyTrustError(
                f"TLS files {self.ca}, {self.client_cert}, {self.client_key}: {reason(err)}",
                "enrol the camera, or correct [dock]",
            ) from err
        return context


class Unmetered:
    """Keeps off links that cost by the byte: those whose interface fits one of `patterns`."""

    def __init__(self, links: Links, patterns: Sequence[str]) -> None:
        self._links, self._patterns = links, patterns

    def check(self, sock: socket.socket) -> None:
        """Of a connection, before a request goes over it, and again while it does. Raises HeldError, also where nobody
        can tell which interface it takes: it may be one of those.
        """
        if not self._patterns:
            return
        address = str(sock.getsockname()[0])
        interface = self._links.interface_of(address)
        if not interface:
            raise HeldError(f"the way to the station may be metered: no interface has its address {address}")
        if fits(interface, self._patterns):
            raise HeldError(f"the way to the station is metered: {interface}")


class _TooLongError(http.client.HTTPException):
    """More lines than an answer needs."""


class _Reader(io.BufferedReader):
    """What a peer sends: never all until it ends, which `http.client` asks for at a chunk of negative length, and in
    lines (heads, interim ones too, sizes of chunks, trailers) at most MAX_HEAD bytes. A short line before data is the
    size of a chunk, and the data's bound is its own.
    """

    _left, _refund = MAX_HEAD, 0

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise http.client.IncompleteRead(b"")
        self._left, self._refund = self._left + self._refund, 0
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        most = self._left + 1 if size is None or size < 0 else min(size, self._left + 1)
        line = super().readline(most)
        self._left -= len(line)
        if self._left < 0:
            raise _TooLongError
        self._refund = min(len(line), SIZE_LINE)
        return line


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *what: Any, **more: Any) -> None:
        super().__init__(sock, *what, **more)
        self.fp = _Reader(self.fp.detach())


class _Connection(HTTPSConnection):
    """Checks the peer's role besides its chain and name: a camera's identity key is a CA too, and must not be able to
    stand for the station.
    """

    response_class = _Response
    deadlines: Deadlines
    unmetered: Unmetered | None
    _lifeline: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        host, port = self._dns_host, self.port or 443
        try:
            addresses = resolve(host, port, TIMEOUT_S[0], self.deadlines.over)[:MAX_ADDRESSES]
        except OSError as err:
            raise NewConnectionError(self, f"no address of {host}: {err}") from err
        sock, self._lifeline = self._reach(addresses, port)
        if self.unmetered:
            self.unmetered.check(sock)
        return sock

    def _reach(self, addresses: Sequence[str], port: int) -> tuple[socket.socket, socket.socket]:
        for number, address in enumerate(addresses, 1):
            try:
                return self.deadlines.connect(address, port, self.timeout, self.socket_options or ())
            except OSError as err:
                if number == len(addresses) or self.deadlines.over():
                    raise NewConnectionError(self, f"no connection to {address}: {err}") from err
        raise NewConnectionError(self, "no address")

    def connect(self) -> None:
        super().connect()
        told: Any = self.sock.getpeercert() if isinstance(self.sock, ssl.SSLSocket) else {}
        shown = [_role(told.get(which, ())) for which in ("subject", "issuer")]
        if shown != [roles.STATION_TLS, roles.ISSUING]:
            raise ssl.SSLCertVerificationError(f"the peer is {shown[0]!r} issued by {shown[1]!r}, not a station")

    def request(self, *what: Any, **more: Any) -> None:
        # One that was connected for an earlier request: the address may have gone to another interface since.
        if self._lifeline:
            if self.unmetered:
                self.unmetered.check(self._lifeline)
            self.deadlines.goes_over(self._lifeline)
        super().request(*what, **more)

    def __str__(self) -> str:
        """As errors name it to people."""
        return f"{self.host}:{self.port}"

    def close(self) -> None:
        super().close()
        if self._lifeline:
            self._lifeline.close()
            self._lifeline = None


def _role(name: Sequence[Sequence[tuple[str, str]]]) -> str:
    return ",".join(value for part in name for key, value in part if key == "organizationalUnitName")


class _Adapter(HTTPAdapter):
    def __init__(self, context: ssl.SSLContext, deadlines: Deadlines, unmetered: Unmetered | None) -> None:
        self._context = context
        own = {"deadlines": deadlines, "unmetered": unmetered}
        self._pool = type("_Pool", (HTTPSConnectionPool,), {"ConnectionCls": type("_Own", (_Connection,), own)})
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        more |= {"ssl_context": self._context, "blocksize": PIECE_BYTES}
        super().init_poolmanager(connections, maxsize, block, **more)
        self.poolmanager.pool_classes_by_scheme = {"https": self._pool}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing to add: the context already trusts the agency's root. The default would add public ones."""


class _Session(requests.Session):
    """Keeps no cookie, and looks at no address that a redirect names: `requests` would read all of what comes with it,
    even where it is not to follow.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        self.headers.update({"Accept-Encoding": "identity", "User-Agent": "bodycam-agent"})

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body[:300].decode("utf-8", "replace").strip()


class Wire:
    """To the station at `base`. Thread-safe: each thread has its own connections."""

    def __init__(
        self, base: str, context: ssl.SSLContext, halt: threading.Event, unmetered: Unmetered | None = None
    ) -> None:
        self.base = base
        self._context, self._halt, self._unmetered = context, halt, unmetered
        self._deadlines = Deadlines(halt)
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    def close(self) -> None:
        for session in self._sessions:
            session.close()
        self._deadlines.close()

    def ask(
        self,
        method: str,
        path: str,
        expected: set[int],
        body: bytes | SegmentBody | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: tuple[float, float] | None = None,
        again: set[int] | None = None,
    ) -> Answer:
        """One request, one bounded answer. Raises TryAgainError, RefusedError, UntrustedError, HaltedError,
        HeldError.
        """
        timeout_s = timeout_s or TIMEOUT_S
        with self._deadlines.call(2 * sum(timeout_s)) as call:
            if isinstance(body, SegmentBody):
                body.on_piece = self._each_piece(call, timeout_s[1])
                body.on_wait = lambda: call.allow(float("inf"))
            answer = self._answer(method, path, body, headers, timeout_s, call)
        if len(answer.body) > MAX_ANSWER:
            raise RefusedError(_TOO_LONG)
        if answer.status in expected:
            return answer
        why = answer.text or http.client.responses.get(answer.status, "")
        told = f"the station answers {answer.status} to {method} {urlsplit(path).path}: {why}"
        if answer.status in _AGAIN or answer.status in (again or ()):
            least_s = retry_after_s(answer.headers.get("retry-after", ""))
            locked, overrun = answer.status == LOCKED, answer.status in _OVERRUN
            raise TryAgainError(told, retry_after_s=least_s, locked=locked, overrun=overrun)
        raise RefusedError(told, answer.status)

    def _each_piece(self, call: Call, answer_s: float) -> Callable[[bool], None]:
        """When a piece of a segment goes: it has its time, and at most once a second the way is looked at."""
        looked_s = time.monotonic()

        def goes(more: bool) -> None:
            nonlocal looked_s
            call.allow(PIECE_S if more else PIECE_S + answer_s)
            if self._unmetered and call.lifeline and time.monotonic() - looked_s >= LOOK_S:
                looked_s = time.monotonic()
                self._unmetered.check(call.lifeline)

        return goes

    def _answer(
        self,
        method: str,
        path: str,
        body: bytes | SegmentBody | None,
        headers: Mapping[str, str] | None,
        timeout_s: tuple[float, float],
        call: Call,
    ) -> Answer:
        try:
            with self._session().request(
                method, urljoin(self.base, path), data=body, headers=dict(headers or {}), timeout=timeout_s,
                allow_redirects=False, stream=True,
            ) as response:  # fmt: skip
                data = response.raw.read(MAX_ANSWER + 1)
                if len(data) <= MAX_ANSWER:
                    # Whether it was the whole is told by the read behind it (urllib3's IncompleteRead).
                    response.raw.read(1)
                if call.cut:
                    raise ConnectionAbortedError("cut")
                return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, data)
        except (requests.RequestException, HTTPError, OSError) as err:
            if self._halt.is_set():
                raise HaltedError("undocked while the station was asked") from err
            if call.cut:
                raise TryAgainError(f"the station is too slow in answering {method}", away=True) from err
            raise _translate(err) from err

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = _Session()
            session.mount("https://", _Adapter(self._context, self._deadlines, self._unmetered))
            self._local.session = session
            self._sessions.append(session)
        return session


def _translate(err: Exception) -> TryAgainError | RefusedError | UntrustedError:
    """A peer that is not trusted, or does not trust us, is told apart, and one that says too much; everything else is a
    station out of reach.
    """
    cause = _cause(err)
    if isinstance(cause, _TooLongError):
        return RefusedError(_TOO_LONG)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return UntrustedError(f"the station's certificate is not trusted: {cause}")
    if isinstance(cause, ssl.SSLError) and _NOT_KNOWN.search(str(cause)):
        return UntrustedError(f"the station does not accept this camera's TLS certificate: {cause}")
    return TryAgainError(f"the station does not answer: {cause}", away=True)


def _cause(err: BaseException) -> BaseException:
    """The innermost exception: urllib3 and requests each wrap what they meet, in `reason` or in `args`."""
    for _ in range(10):
        inner = [x for x in (getattr(err, "reason", None), *err.args) if isinstance(x, BaseException)]
        if not inner:
            return err
        err = inner[0]
    return err


def retry_after_s(text: str, now_s: Callable[[], float] = time.time) -> float:
    """Seconds of a Retry-After header (RFC 9110 section 10.2.3), at most 5 minutes; 0 where there is none."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError):
        return 0.0
    return min(max(0.0, moment - now_s()), MAX_RETRY_AFTER_S)
