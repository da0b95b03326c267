"""The station over HTTPS. The only file that touches `requests`.

TLS 1.3, the agency's root and no other, a client certificate, no redirects, no proxies, a timeout on everything and
a bound on every answer. A PATCH is repeated only after a HEAD told where to go on: `send` is one attempt.
"""

from __future__ import annotations

import base64
import email.utils
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

from agent import keyfile
from agent.dock.body import PIECE_BYTES, Pace, SegmentBody
from agent.dock.station import Attested, RefusedError, StaleSizeError, StationLog, TryAgainError
from agent.errors import KeyTrustError, StorageError, reason
from agent.formats import certs, note
from agent.formats.epoch import MAX_EPOCH
from agent.formats.merkle import TileId
from agent.formats.seal import SealRecord

TIMEOUT_S = (10.0, 30.0)
"""Connecting, and each send; waiting for an answer."""
STORE_TIMEOUT_S = (10.0, 120.0)
"""The answer to a whole segment comes after the station has read it back."""
ATTEST_TIMEOUT_S = (10.0, 600.0)
MAX_ANSWER = 256 << 10
MAX_RETRY_AFTER_S = 300.0
_AGAIN = frozenset({408, 423, 425, 429, 500, 502, 503, 504, 507})
_TUS = {"Tus-Resumable": "1.0.0"}
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


class _Connection(HTTPSConnection):
    """Checks the peer's role besides its chain and name: a camera's identity key is a CA too, and must not be able to
    stand for the station.
    """

    def connect(self) -> None:
        super().connect()
        told: Any = self.sock.getpeercert() if isinstance(self.sock, ssl.SSLSocket) else {}
        roles = [_role(told.get(which, ())) for which in ("subject", "issuer")]
        if roles != [certs.STATION_TLS, certs.ISSUING]:
            raise ssl.SSLCertVerificationError(f"the peer is {roles[0]!r} issued by {roles[1]!r}, not a station")


def _role(name: Sequence[Sequence[tuple[str, str]]]) -> str:
    return ",".join(value for part in name for key, value in part if key == "organizationalUnitName")


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection


class _Adapter(HTTPAdapter):
    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        more |= {"ssl_context": self._context, "blocksize": PIECE_BYTES}
        super().init_poolmanager(connections, maxsize, block, **more)
        self.poolmanager.pool_classes_by_scheme = {"https": _Pool}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing to add: the context already trusts the agency's root. The default would add public ones."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body[:300].decode("utf-8", "replace").strip()


class HttpStation:
    """One station, for one visit; `halt` ends what is being sent. Thread-safe: each thread has its own connections."""

    def __init__(self, url: str, credentials: Credentials, halt: threading.Event, limit_kbps: int = 0) -> None:
        self._base = url.rstrip("/") + "/"
        self._context = credentials.context()
        self._pace = Pace(limit_kbps, halt)
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    def close(self) -> None:
        for session in self._sessions:
            session.close()

    # -- log -------------------------------------------------------------------------------------------------------

    def log_state(self, epoch: int) -> StationLog:
        value = _json(self._ask("GET", f"log/{epoch}", {200}))
        cosigned, proven, newest = value.get("cosigned"), value.get("proven"), value.get("newest", 0)
        if type(cosigned) is not int or type(proven) is not int or not 0 <= proven <= cosigned < 1 << 62:
            raise RefusedError("the station's answer about the log makes no sense")
        if type(newest) is not int or not 0 <= newest <= MAX_EPOCH:
            raise RefusedError("the station's answer about the newest log makes no sense")
        return StationLog(cosigned, proven, newest)

    def cosigned_head(self, epoch: int) -> bytes:
        return self._ask("GET", f"log/{epoch}/checkpoint", {200}).body

    def put_tile(self, epoch: int, tile: TileId, data: bytes) -> None:
        self._ask("PUT", f"log/{epoch}/{tile.path}", {200, 204}, data)

    def put_chain(self, epoch: int, chain_pem: bytes) -> None:
        self._ask("PUT", f"log/{epoch}/chain", {200, 204}, chain_pem)

    def add_checkpoint(self, old: int, proof: Sequence[bytes], checkpoint: bytes) -> None:
        lines = [f"old {old}", *(note.b64(p) for p in proof), "", ""]
        answer = self._ask("POST", "add-checkpoint", {200, 409}, "\n".join(lines).encode() + checkpoint)
        if answer.status == 200:
            return
        size = answer.text
        if answer.headers.get("content-type") == "text/x.tlog.size" and size.isascii() and size.isdigit():
            raise StaleSizeError(int(size[:19]))
        raise RefusedError(f"the station refuses the checkpoint: {size}", 409)

    # -- segments --------------------------------------------------------------------------------------------------

    def send(self, record: SealRecord, path: Path, on_offset: Callable[[int], None]) -> None:
        url = self._announce(record)
        offset = self._offset(url, record)
        on_offset(offset)
        if offset == record.size:
            return
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(offset)
                self._patch(
                    url, record, SegmentBody(file, record.size - offset, self._pace, _adder(offset, on_offset)), offset
                )
        except OSError as err:
            raise StorageError(f"cannot read {path}: {err.strerror}", "the card may be failing") from err

    def _announce(self, record: SealRecord) -> str:
        metadata = ",".join(
            f"{key} {base64.b64encode(value.encode()).decode()}"
            for key, value in (("name", record.segment), ("sha256", record.sha256))
        )
        headers = {**_TUS, "Upload-Length": str(record.size), "Upload-Metadata": metadata}
        answer = self._ask("POST", "files", {201}, b"", headers)
        url = urljoin(self._base + "files", answer.headers.get("location", ""))
        if urlsplit(url)[:2] != urlsplit(self._base)[:2]:
            raise RefusedError(f"the station sends uploads elsewhere: {url[:100]}")
        return url

    def _offset(self, url: str, record: SealRecord) -> int:
        answer = self._ask("HEAD", url, {200, 204}, None, _TUS, again={404, 410})
        text = answer.headers.get("upload-offset", "")
        if not re.fullmatch(r"[0-9]{1,15}", text) or int(text) > record.size:
            raise RefusedError(f"the station's offset makes no sense: {text[:30]!r}")
        return int(text)

    def _patch(self, url: str, record: SealRecord, body: SegmentBody, offset: int) -> None:
        headers = {**_TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        answer = self._ask("PATCH", url, {204}, body, headers, STORE_TIMEOUT_S, again={404, 409, 410})
        if answer.headers.get("upload-offset") != str(record.size):
            raise TryAgainError(f"the station has only part of {record.segment}")

    # -- receipt ---------------------------------------------------------------------------------------------------

    def attest(self, epoch: int, records: Sequence[SealRecord], kept: Sequence[SealRecord] = ()) -> Attested:
        named = ([[r.segment, r.sha256] for r in of] for of in (records, kept))
        body = json.dumps(dict(zip(("segments", "kept"), named, strict=True)) | {"epoch": epoch}).encode()
        value = _json(self._ask("POST", "attest", {200}, body, {}, ATTEST_TIMEOUT_S))
        try:
            refused = {str(n): (str(r["reason"])[:300], r["permanent"] is True) for n, r in value["refused"].items()}
            return Attested(value["receipt"].encode(), refused)
        except (KeyError, TypeError, AttributeError):
            raise RefusedError("the station's answer holds no receipt") from None

    # -- one request -----------------------------------------------------------------------------------------------

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.trust_env = False
            session.mount("https://", _Adapter(self._context))
            session.headers.update({"Accept-Encoding": "identity", "User-Agent": "bodycam-agent"})
            self._local.session = session
            self._sessions.append(session)
        return session

    def _ask(
        self,
        method: str,
        path: str,
        expected: set[int],
        body: bytes | SegmentBody | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: tuple[float, float] = TIMEOUT_S,
        again: set[int] | None = None,
    ) -> _Answer:
        """One request, one bounded answer. Raises TryAgainError, RefusedError."""
        try:
            with self._session().request(
                method, urljoin(self._base, path), data=body, headers=dict(headers or {}), timeout=timeout_s,
                allow_redirects=False, stream=True,
            ) as response:  # fmt: skip
                data = response.raw.read(MAX_ANSWER + 1)
                answer = _Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, data)
        except (requests.RequestException, OSError) as err:
            raise _translate(err) from err
        if len(data) > MAX_ANSWER:
            raise RefusedError("the station's answer is too long")
        if answer.status in expected:
            return answer
        told = f"the station answers {answer.status} to {method} {urlsplit(path).path}: {answer.text}"
        if answer.status in _AGAIN or answer.status in (again or ()):
            raise TryAgainError(told, retry_after_s=retry_after_s(answer.headers.get("retry-after", "")))
        raise RefusedError(told, answer.status)


def _adder(offset: int, on_offset: Callable[[int], None]) -> Callable[[int], None]:
    total = offset

    def add(count: int) -> None:
        nonlocal total
        total += count
        on_offset(total)

    return add


def _json(answer: _Answer) -> dict[str, Any]:
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RefusedError("the station's answer is not JSON")
    return value


def _translate(err: Exception) -> TryAgainError | RefusedError:
    """A peer that is not trusted, or does not trust us, is a refusal; everything else is a station out of reach."""
    cause = _cause(err)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return RefusedError(f"the station's certificate is not trusted: {cause}")
    if isinstance(cause, ssl.SSLError) and "ALERT" in str(cause):
        return RefusedError(f"the station does not accept this camera's TLS certificate: {cause}")
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
