"""tus 1.0.0 over the store: core, creation, creation-with-upload and checksum (tus.io/protocols/resumable-upload).

A 204 to the PATCH that completes an upload, or a 201 with the whole Upload-Offset to the POST that brings all of it,
means: every byte was fsynced, read back from the disk, and has the digest announced in Upload-Metadata.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from agent.errors import EvidenceError
from agent.formats.note import unb64
from agent.formats.pack import SEGMENT_NAME
from agent.station.store import MAX_SEGMENT, BusyError, MismatchError, Store, TooManyError, Upload
from agent.station.web import Refused, Request, Response

_VERSION = {"Tus-Resumable": "1.0.0"}
_OPTIONS = {
    **_VERSION,
    "Tus-Version": "1.0.0",
    "Tus-Extension": "creation,creation-with-upload,checksum",
    "Tus-Max-Size": str(MAX_SEGMENT),
    "Tus-Checksum-Algorithm": "sha256",
}
_HEX = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}")
_RETRY = {"Retry-After": "1"}


class Tus:
    """Serves /files and /files/<upload> for one camera at a time; a camera sees only its own uploads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def answer(self, request: Request, upload_path: str) -> Response:
        """`upload_path` is what follows /files/, "" for /files itself. Raises Refused."""
        # tus: the override replaces the method, for peers whose HTTP library knows no PATCH.
        method = request.headers.get("x-http-method-override", request.method)
        if method == "OPTIONS":
            return Response(204, b"", _OPTIONS)
        if request.headers.get("tus-resumable") != "1.0.0":
            raise Refused(412, "send Tus-Resumable: 1.0.0", {"Tus-Version": "1.0.0"})
        try:
            answer = self._answer(method, request, upload_path)
        except Refused as refused:
            refused.headers.update(_VERSION)
            raise
        return Response(answer.status, answer.body, {**_VERSION, **answer.headers})

    def _answer(self, method: str, request: Request, upload_path: str) -> Response:
        if not upload_path:
            if method != "POST":
                raise Refused(405, "POST announces an upload", {"Allow": "OPTIONS, POST"})
            return self._create(request)
        if method not in ("HEAD", "PATCH"):
            raise Refused(405, "HEAD and PATCH only", {"Allow": "OPTIONS, HEAD, PATCH"})
        try:
            with self._store.claim(upload_path):
                upload = self._store.find(request.camera, upload_path) if _ID.fullmatch(upload_path) else None
                if upload is None:
                    raise Refused(404, "no such upload")
                return self._head(upload) if method == "HEAD" else self._patch(request, upload)
        except BusyError:
            raise Refused(423, "another request is at work on this upload", _RETRY) from None

    def _create(self, request: Request) -> Response:
        if request.length:
            _check_type(request)
        checksum = parse_checksum(request.headers.get("upload-checksum"))
        length = _number(request.headers.get("upload-length", ""), "Upload-Length")
        if length > MAX_SEGMENT:
            raise Refused(413, f"a segment holds at most {MAX_SEGMENT} bytes")
        metadata = parse_metadata(request.headers.get("upload-metadata", ""))
        name, sha256 = metadata.get("name", b"").decode("latin-1"), metadata.get("sha256", b"").decode("latin-1")
        if not SEGMENT_NAME.fullmatch(name) or not _HEX.fullmatch(sha256):
            raise Refused(400, "Upload-Metadata needs name (of a segment) and sha256 (64 hex digits)")
        try:
            upload = self._store.create(request.camera, name, sha256, length)
        except BusyError:
            raise Refused(423, "a receipt is being made: other contents of this segment wait for it", _RETRY) from None
        except TooManyError:
            raise Refused(429, "finish the uploads that are open first", {"Retry-After": "5"}) from None
        headers = {"Location": f"/files/{upload.upload}"}
        if request.length:
            headers["Upload-Offset"] = str(self._with_upload(request, upload, checksum))
        return Response(201, b"", headers)

    def _with_upload(self, request: Request, upload: Upload, checksum: bytes | None) -> int:
        """The first bytes came with the announcement; returns how many of the upload are here now. Where there are some
        from before, these are passed over: the peer goes on from the offset that it is told.
        """
        try:
            with self._store.claim(upload.upload):
                # Again: a request before this one may have finished it, or another upload may have taken its place.
                now = self._store.find(request.camera, upload.upload)
                if now is None:
                    raise BusyError
                here = self._store.offset(now)
                return here if here else self._take(request, now, 0, checksum)
        except BusyError:
            raise Refused(423, "another request is at work on this upload", _RETRY) from None

    def _head(self, upload: Upload) -> Response:
        offset = self._store.offset(upload)
        # Said before the bytes come, which a peer would send for nothing each time it asks; of one that is all here
        # none come.
        if offset < upload.length:
            self._store.room.check(upload.length - offset)
        return Response(
            200, b"", {"Upload-Offset": str(offset), "Upload-Length": str(upload.length), "Cache-Control": "no-store"}
        )

    def _patch(self, request: Request, upload: Upload) -> Response:
        _check_type(request)
        if request.length is None:
            raise Refused(411, "send a Content-Length")
        checksum = parse_checksum(request.headers.get("upload-checksum"))
        offset = _number(request.headers.get("upload-offset", ""), "Upload-Offset")
        here = self._store.offset(upload)
        if offset != here:
            raise Refused(409, f"the offset is {here}", {"Upload-Offset": str(here)})
        return Response(204, b"", {"Upload-Offset": str(self._take(request, upload, offset, checksum))})

    def _take(self, request: Request, upload: Upload, offset: int, checksum: bytes | None) -> int:
        """Within `claim`: the body, from this offset on, which is where the upload ends; returns where it ends then.
        Raises Refused.
        """
        length = request.length or 0
        if offset + length > upload.length:
            raise Refused(413, "more bytes than announced")
        try:
            here = self._store.append(upload, offset, request.body.read, checksum) if length else offset
            if here == upload.length and not upload.done:
                self._store.finish(upload)
        except MismatchError:
            raise Refused(460, "the bytes do not have the digest that was announced") from None
        return here


def _check_type(request: Request) -> None:
    """Raises Refused."""
    if request.headers.get("content-type") != "application/offset+octet-stream":
        raise Refused(415, "send Content-Type: application/offset+octet-stream")


def parse_metadata(text: str) -> Mapping[str, bytes]:
    """Upload-Metadata: `key base64` pairs with commas between. Raises Refused."""
    found: dict[str, bytes] = {}
    for pair in text.split(",") if text else []:
        key, _, value = pair.strip().partition(" ")
        try:
            data = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise Refused(400, "Upload-Metadata is not base64") from None
        if not key or key in found:
            raise Refused(400, "Upload-Metadata has an empty key, or one twice")
        found[key] = data
    return found


def parse_checksum(text: str | None) -> bytes | None:
    """Upload-Checksum: `sha256 base64`. Raises Refused."""
    if text is None:
        return None
    algorithm, _, value = text.partition(" ")
    try:
        digest = unb64(value)
    except EvidenceError:
        digest = b""
    if algorithm != "sha256" or len(digest) != 32:
        raise Refused(400, "Upload-Checksum: sha256 only")
    return digest


def _number(text: str, what: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise Refused(400, f"{what} is missing or not a number")
    return int(text)
