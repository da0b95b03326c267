"""The station over HTTPS: its log, its uploads (tus 1.0.0) and its receipts, in requests of `wire`.

A PATCH is repeated only after a HEAD told where to go on: `send` is one attempt.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

from agent import durable
from agent.dock.body import Pace, SegmentBody
from agent.dock.services import Question
from agent.dock.station import Attested, HaltedError, HeldError, RefusedError, StaleSizeError, StationLog, TryAgainError
from agent.dock.uploads import Uploads
from agent.dock.wire import Answer, Credentials, Unmetered, Wire
from agent.errors import StorageError, reason
from agent.formats import note
from agent.formats.epoch import MAX_EPOCH
from agent.formats.merkle import TileId
from agent.formats.order import PINNED, RECIPIENT, Kind
from agent.formats.seal import PIECE, SealRecord

QUICK_TIMEOUT_S = (5.0, 5.0)
"""What needs no disk."""
STORE_TIMEOUT_S = (10.0, 120.0)
"""The answer to a whole segment comes after the station has read it back."""
ATTEST_TIMEOUT_S = (10.0, 600.0)
WHOLE_BYTES = 4 << 20
"""Segments up to this go with their announcement where the station takes that (tus: creation-with-upload): one request
instead of three. Cut off, the address of what arrived is not known, so the next try announces first.
"""
MAX_LOCATION = 2 << 10
"""Of the address of an upload, in characters: each is remembered on the card."""
_TUS = {"Tus-Resumable": "1.0.0"}
_BYTES = {"Content-Type": "application/offset+octet-stream"}


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
        self._extensions: frozenset[str] | None = None
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
        try:
            with durable.opened(path, buffering=0) as file:
                url, offset = self._begin(record, file, on_offset)
                on_offset(offset)
                while offset < record.size:
                    end, digest = self._piece(record, offset)
                    file.seek(offset)
                    body = SegmentBody(file, end - offset, self._pace, _adder(offset, on_offset))
                    self._patch(url, record, body, offset, end, digest)
                    offset = end
        except OSError as err:
            raise StorageError(f"cannot read {path}: {reason(err)}", "the card may be failing") from err

    def _begin(self, record: SealRecord, file: BinaryIO, on_offset: Callable[[int], None]) -> tuple[str, int]:
        """Where these bytes go, and how many of them are there; all, where they went with the announcement."""
        known = self._uploads.url(self._wire.base, record)
        if known and self._here(known):
            offset = self._offset(known, record)
            if offset is not None:
                return known, offset
        small = record.size <= WHOLE_BYTES and record.segment not in self._cut_off
        whole = None
        if small and self._offers("creation-with-upload"):
            on_offset(0)
            whole = SegmentBody(file, record.size, self._pace, _adder(0, on_offset))
        url, offset = self._announce(record, whole)
        self._uploads.remember(self._wire.base, record, url)
        offset = self._offset(url, record) if offset is None else offset
        if offset is None:
            raise TryAgainError(f"the station forgot the upload of {record.segment} at once")
        return url, offset

    def _announce(self, record: SealRecord, whole: SegmentBody | None) -> tuple[str, int | None]:
        """Where it goes, and how much of `whole` the station took; None where it does not say."""
        metadata = ",".join(
            f"{key} {base64.b64encode(value.encode()).decode()}"
            for key, value in (("name", record.segment), ("sha256", record.sha256))
        )
        headers = {**_TUS, "Upload-Length": str(record.size), "Upload-Metadata": metadata}
        if whole is None:
            answer = self._wire.ask("POST", "files", {201}, b"", headers)
        else:
            answer = self._carry("POST", "files", {201}, record, whole, {**headers, **_BYTES})
        location = answer.headers.get("location", "")
        if len(location) > MAX_LOCATION:
            raise RefusedError(f"the station's address for an upload is too long: {len(location)} characters")
        url = self._here(location)
        if url is None:
            raise RefusedError(f"the station sends uploads elsewhere: {location[:100]!r}")
        told = answer.headers.get("upload-offset") if whole else None
        return url, None if told is None else _offset_in(told, record)

    def _here(self, location: str) -> str | None:
        """The whole address, where it is one of this station."""
        with contextlib.suppress(ValueError):
            url = urljoin(self._wire.base + "files", location)
            if url.isascii() and urlsplit(url)[:2] == urlsplit(self._wire.base)[:2]:
                return url
        return None

    def _offset(self, url: str, record: SealRecord) -> int | None:
        """Bytes that the station has; None where it knows of no such upload."""
        answer = self._wire.ask("HEAD", url, {200, 204, 404, 410}, None, _TUS)
        if answer.status in (404, 410):
            return None
        offset = _offset_in(answer.headers.get("upload-offset", ""), record)
        length = answer.headers.get("upload-length")
        return offset if length in (None, str(record.size)) else None

    def _piece(self, record: SealRecord, offset: int) -> tuple[int, str | None]:
        """Up to where the next PATCH goes, and the digest of that piece as it was sealed.

        All that is left; or pieces, where there are several and the station checks them. What was cut off in the middle
        goes without: the station drops an incomplete piece that it was to check, and a bad link would never get one
        through. For a single piece it would check the same twice.
        """
        if len(record.pieces) < 2 or not self._offers("checksum"):
            return record.size, None
        number, inside = divmod(offset, PIECE)
        end = min((number + 1) * PIECE, record.size)
        plain = inside or record.segment in self._cut_off
        return end, None if plain else note.b64(bytes.fromhex(record.pieces[number]))

    def _offers(self, extension: str) -> bool:
        """Whether the station advertises this extension of tus, `checksum` with SHA-256. Asked once a visit."""
        if self._extensions is None:
            told = self._wire.ask("OPTIONS", "files", {200, 204, 403, 404, 405, 501}, None, _TUS).headers
            words = [told.get(name, "").split(",") for name in ("tus-extension", "tus-checksum-algorithm")]
            self._extensions = frozenset(words[0]) - (frozenset() if "sha256" in words[1] else {"checksum"})
        return extension in self._extensions

    def _patch(
        self, url: str, record: SealRecord, body: SegmentBody, offset: int, end: int, digest: str | None
    ) -> None:
        headers = {**_TUS, **_BYTES, "Upload-Offset": str(offset)}
        if digest:
            headers["Upload-Checksum"] = f"sha256 {digest}"
        answer = self._carry("PATCH", url, {204}, record, body, headers, again={404, 409, 410})
        if answer.headers.get("upload-offset") != str(end):
            raise TryAgainError(f"the station has only part of {record.segment}")

    def _carry(
        self,
        method: str,
        url: str,
        expected: set[int],
        record: SealRecord,
        body: SegmentBody,
        headers: Mapping[str, str],
        again: set[int] | None = None,
    ) -> Answer:
        """A request with bytes of a segment; remembers where it was cut off."""
        try:
            answer = self._wire.ask(method, url, expected, body, headers, STORE_TIMEOUT_S, again)
        except (TryAgainError, HaltedError, HeldError):
            self._cut_off.add(record.segment)
            raise
        self._cut_off.discard(record.segment)
        return answer

    # -- receipt ---------------------------------------------------------------------------------------------------

    def attest(self, epoch: int, records: Sequence[SealRecord], kept: Sequence[SealRecord] = ()) -> Attested:
        named = ([[r.segment, r.sha256] for r in of] for of in (records, kept))
        # Told now, and not before: all of their bytes are there, or no answer is right.
        challenges = {r.segment: r.challenge for r in (*records, *kept) if r.challenge}
        asked = dict(zip(("segments", "kept"), named, strict=True)) | {"epoch": epoch, "challenges": challenges}
        body = json.dumps(asked | {"leaves": True}).encode()
        value = _json(self._wire.ask("POST", "attest", {200}, body, {}, ATTEST_TIMEOUT_S))
        try:
            refused = {n: (_text(r["reason"])[:300], r["permanent"] is True) for n, r in value["refused"].items()}
            return Attested(_text(value["receipt"]).encode(), refused)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise RefusedError("the station's answer holds no receipt") from None

    # -- services --------------------------------------------------------------------------------------------------

    def signed_time(self, nonce: str) -> bytes:
        return self._wire.ask("POST", "time", {200}, nonce.encode("ascii"), {}, QUICK_TIMEOUT_S).body

    def order(self, kind: Kind, asked: Question) -> bytes:
        headers = {RECIPIENT: asked.to} | ({PINNED: " ".join(asked.pinned)} if asked.pinned else {})
        return self._wire.ask("GET", f"orders/{kind.value}", {200}, None, headers, QUICK_TIMEOUT_S).body


def _offset_in(text: str, record: SealRecord) -> int:
    """Of an Upload-Offset header. Raises RefusedError."""
    if not re.fullmatch(r"[0-9]{1,15}", text) or int(text) > record.size:
        raise RefusedError(f"the station's offset makes no sense: {text[:30]!r}")
    return int(text)


def _text(value: object) -> str:
    """Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


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
