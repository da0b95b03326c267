"""The station over HTTPS: its log, its uploads (tus 1.0.0) and its receipts, in requests of `wire`.

A PATCH is repeated only after a HEAD told where to go on: `send` is one attempt.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from agent.dock.body import Pace, SegmentBody
from agent.dock.station import Attested, HaltedError, RefusedError, StaleSizeError, StationLog, TryAgainError
from agent.dock.uploads import Uploads
from agent.dock.wire import Answer, Credentials, Unmetered, Wire
from agent.errors import StorageError
from agent.formats import note
from agent.formats.epoch import MAX_EPOCH
from agent.formats.merkle import TileId
from agent.formats.order import Kind
from agent.formats.seal import PIECE, SealRecord

QUICK_TIMEOUT_S = (5.0, 5.0)
"""What needs no disk."""
STORE_TIMEOUT_S = (10.0, 120.0)
"""The answer to a whole segment comes after the station has read it back."""
ATTEST_TIMEOUT_S = (10.0, 600.0)
_TUS = {"Tus-Resumable": "1.0.0"}


class HttpStation:
    """One station, for one visit; `halt` ends what is being sent. Thread-safe: each thread has its own connections."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        halt: threading.Event,
        limit_kbps: int = 0,
        unmetered: Unmetered | None = None,
        uploads: Uploads | None = None,
    ) -> None:
        self._wire = Wire(url.rstrip("/") + "/", credentials.context(), halt, unmetered)
        self._pace = Pace(limit_kbps, halt)
        self._uploads = uploads or Uploads()
        self._checksums: bool | None = None
        self._cut_off: set[str] = set()

    def close(self) -> None:
        self._wire.close()

    # -- log -------------------------------------------------------------------------------------------------------

    def log_state(self, epoch: int) -> StationLog:
        value = _json(self._wire.ask("GET", f"log/{epoch}", {200}))
        cosigned, proven, newest = value.get("cosigned"), value.get("proven"), value.get("newest", 0)
        if type(cosigned) is not int or type(proven) is not int or not 0 <= proven <= cosigned < 1 << 62:
            raise RefusedError("the station's answer about the log makes no sense")
        if type(newest) is not int or not 0 <= newest <= MAX_EPOCH:
            raise RefusedError("the station's answer about the newest log makes no sense")
        return StationLog(cosigned, proven, newest)

    def cosigned_head(self, epoch: int) -> bytes:
        return self._wire.ask("GET", f"log/{epoch}/checkpoint", {200}).body

    def put_tile(self, epoch: int, tile: TileId, data: bytes) -> None:
        self._wire.ask("PUT", f"log/{epoch}/{tile.path}", {200, 204}, data)

    def put_chain(self, epoch: int, chain_pem: bytes) -> None:
        self._wire.ask("PUT", f"log/{epoch}/chain", {200, 204}, chain_pem)

    def add_checkpoint(self, old: int, proof: Sequence[bytes], checkpoint: bytes) -> None:
        lines = [f"old {old}", *(note.b64(p) for p in proof), "", ""]
        answer = self._wire.ask("POST", "add-checkpoint", {200, 409}, "\n".join(lines).encode() + checkpoint)
        if answer.status == 200:
            return
        size = answer.text
        if answer.headers.get("content-type") == "text/x.tlog.size" and size.isascii() and size.isdigit():
            raise StaleSizeError(int(size[:19]))
        raise RefusedError(f"the station refuses the checkpoint: {size}", 409)

    # -- segments --------------------------------------------------------------------------------------------------

    def send(self, record: SealRecord, path: Path, on_offset: Callable[[int], None]) -> None:
        url, offset = self._begin(record)
        on_offset(offset)
        try:
            with path.open("rb", buffering=0) as file:
                while offset < record.size:
                    end, digest = self._piece(record, offset)
                    file.seek(offset)
                    body = SegmentBody(file, end - offset, self._pace, _adder(offset, on_offset))
                    self._patch(url, record, body, offset, end, digest)
                    offset = end
        except OSError as err:
            raise StorageError(f"cannot read {path}: {err.strerror}", "the card may be failing") from err

    def _begin(self, record: SealRecord) -> tuple[str, int]:
        """Where these bytes go, and how many of them are there."""
        known = self._uploads.url(self._wire.base, record)
        if known and self._is_here(known):
            offset = self._offset(known, record)
            if offset is not None:
                return known, offset
        url = self._announce(record)
        self._uploads.remember(self._wire.base, record, url)
        offset = self._offset(url, record)
        if offset is None:
            raise TryAgainError(f"the station forgot the upload of {record.segment} at once")
        return url, offset

    def _announce(self, record: SealRecord) -> str:
        metadata = ",".join(
            f"{key} {base64.b64encode(value.encode()).decode()}"
            for key, value in (("name", record.segment), ("sha256", record.sha256))
        )
        headers = {**_TUS, "Upload-Length": str(record.size), "Upload-Metadata": metadata}
        answer = self._wire.ask("POST", "files", {201}, b"", headers)
        url = urljoin(self._wire.base + "files", answer.headers.get("location", ""))
        if not self._is_here(url):
            raise RefusedError(f"the station sends uploads elsewhere: {url[:100]}")
        return url

    def _is_here(self, url: str) -> bool:
        return urlsplit(url)[:2] == urlsplit(self._wire.base)[:2]

    def _offset(self, url: str, record: SealRecord) -> int | None:
        """Bytes that the station has; None where it knows of no such upload."""
        answer = self._wire.ask("HEAD", url, {200, 204, 404, 410}, None, _TUS)
        if answer.status in (404, 410):
            return None
        text, length = answer.headers.get("upload-offset", ""), answer.headers.get("upload-length")
        if not re.fullmatch(r"[0-9]{1,15}", text) or int(text) > record.size:
            raise RefusedError(f"the station's offset makes no sense: {text[:30]!r}")
        return int(text) if length in (None, str(record.size)) else None

    def _piece(self, record: SealRecord, offset: int) -> tuple[int, str | None]:
        """Up to where the next PATCH goes, and the digest of that piece as it was sealed.

        All that is left; or pieces, where there are several and the station checks them. What was cut off in the middle
        goes without: the station drops an incomplete piece that it was to check, and a bad link would never get one
        through. For a single piece it would check the same twice.
        """
        if len(record.pieces) < 2 or not self._checks():
            return record.size, None
        number, inside = divmod(offset, PIECE)
        end = min((number + 1) * PIECE, record.size)
        plain = inside or record.segment in self._cut_off
        return end, None if plain else note.b64(bytes.fromhex(record.pieces[number]))

    def _checks(self) -> bool:
        """Whether the station advertises tus's checksum extension, with SHA-256. Asked once a visit."""
        if self._checksums is None:
            told = self._wire.ask("OPTIONS", "files", {200, 204, 403, 404, 405, 501}, None, _TUS).headers
            words = [told.get(name, "").split(",") for name in ("tus-extension", "tus-checksum-algorithm")]
            self._checksums = "checksum" in words[0] and "sha256" in words[1]
        return self._checksums

    def _patch(
        self, url: str, record: SealRecord, body: SegmentBody, offset: int, end: int, digest: str | None
    ) -> None:
        headers = {**_TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        if digest:
            headers["Upload-Checksum"] = f"sha256 {digest}"
        try:
            answer = self._wire.ask("PATCH", url, {204}, body, headers, STORE_TIMEOUT_S, again={404, 409, 410})
        except (TryAgainError, HaltedError):
            self._cut_off.add(record.segment)
            raise
        self._cut_off.discard(record.segment)
        if answer.headers.get("upload-offset") != str(end):
            raise TryAgainError(f"the station has only part of {record.segment}")

    # -- receipt ---------------------------------------------------------------------------------------------------

    def attest(self, epoch: int, records: Sequence[SealRecord], kept: Sequence[SealRecord] = ()) -> Attested:
        named = ([[r.segment, r.sha256] for r in of] for of in (records, kept))
        body = json.dumps(dict(zip(("segments", "kept"), named, strict=True)) | {"epoch": epoch}).encode()
        value = _json(self._wire.ask("POST", "attest", {200}, body, {}, ATTEST_TIMEOUT_S))
        try:
            refused = {str(n): (str(r["reason"])[:300], r["permanent"] is True) for n, r in value["refused"].items()}
            return Attested(value["receipt"].encode(), refused)
        except (KeyError, TypeError, AttributeError):
            raise RefusedError("the station's answer holds no receipt") from None

    # -- services --------------------------------------------------------------------------------------------------

    def signed_time(self, nonce: str) -> bytes:
        return self._wire.ask("POST", "time", {200}, nonce.encode("ascii"), {}, QUICK_TIMEOUT_S).body

    def order(self, kind: Kind) -> bytes:
        return self._wire.ask("GET", f"orders/{kind.value}", {200}, None, {}, QUICK_TIMEOUT_S).body


def _adder(offset: int, on_offset: Callable[[int], None]) -> Callable[[int], None]:
    total = offset

    def add(count: int) -> None:
        nonlocal total
        total += count
        on_offset(total)

    return add


def _json(answer: Answer) -> dict[str, Any]:
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RefusedError("the station's answer is not JSON")
    return value
