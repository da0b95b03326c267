"""The receipt: what the station read back from its disk and found to be evidence, in one signed note.

docs/evidence-format.md, "Receipt". Nothing is attested on the word of the uploader or of an earlier answer.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import durable
from agent.errors import EvidenceError, KeyTrustError
from agent.formats import certs, note, receipt
from agent.formats.pack import SEGMENT_NAME
from agent.station import check
from agent.station.logs import Logs
from agent.station.state import Head, State
from agent.station.store import Store
from agent.station.web import JSON, Refused, Response

MAX_REQUEST = 64 << 10
KEEP_UNTIL_S = 0
"""No end: this station deletes nothing."""


@dataclass(frozen=True, slots=True)
class Signer:
    """The station's receipt key, the name it signs under, and its certificates (its own, its issuer's)."""

    name: str
    key: Ed25519PrivateKey
    certificates: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one segment is not in the receipt. Not `permanent`: ask again after sending what lacks."""

    reason: str
    permanent: bool


class Attestor:
    """Answers POST /attest. One at a time: reading back is the disk's work."""

    def __init__(
        self,
        root: Path,
        trust: x509.Certificate,
        signer: Signer,
        store: Store,
        logs: Logs,
        state: State,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._root, self._trust, self._signer = root, trust, signer
        self._store, self._logs, self._state, self._now_s = store, logs, state, now_s
        self._lock = threading.Lock()

    def answer(self, camera: str, body: bytes) -> Response:
        """Raises Refused: 400 for a bad request, 409 where no cosigned log is here to check against."""
        epoch, names = parse_request(body)
        with self._lock:
            head = self._state.head(camera, epoch)
            if head is None or not head.size:
                raise Refused(409, "no checkpoint of this log is cosigned yet")
            try:
                self._logs.prove(camera, epoch, head)
            except EvidenceError as err:
                raise Refused(409, err.message) from None
            signed, refused = self._receipt(camera, epoch, head, names)
        told = {name: {"reason": r.reason, "permanent": r.permanent} for name, r in refused.items()}
        return Response(200, json.dumps({"receipt": signed.decode(), "refused": told}).encode(), JSON)

    def newest(self, camera: str) -> bytes:
        """The camera's newest receipt. Raises Refused (404)."""
        file = self._state.newest_receipt(camera)
        if file is None:
            raise Refused(404, "no receipt yet")
        return self._read(file)

    def _receipt(self, camera: str, epoch: int, head: Head, names: Sequence[str]) -> tuple[bytes, dict[str, Refusal]]:
        stored, refused = [], {}
        tree = self._logs.tree(camera, epoch, head.size)
        expected = check.Expected(camera, head.origin, self._trust, head.size, head.root, tree)
        for name in names:
            found = self._check(camera, name, expected)
            if isinstance(found, Refusal):
                refused[name] = found
            else:
                stored.append(found)
        key = _request_key(epoch, head, stored)
        before = self._state.receipt(camera, key)
        signed = self._read(before) if before else self._sign(camera, head, tuple(stored), key)
        for item in stored:
            self._store.forget(camera, item.segment, item.sha256, item.size)
        return signed, refused

    def _check(self, camera: str, name: str, expected: check.Expected) -> receipt.Stored | Refusal:
        """The first stored content of this name that is evidence. A second content was put aside, not thrown away,
        since which of them is genuine shows only here.
        """
        refusal = Refusal("it is not stored", False)
        for path in self._store.candidates(camera, name):
            try:
                found = check.check_segment(path, name, expected)
            except check.NotYetError as err:
                refusal = Refusal(err.message, False)
            except (EvidenceError, KeyTrustError) as err:
                refusal = Refusal(err.message, True)
            else:
                place = path.relative_to(self._root).as_posix()
                return receipt.Stored(found.sha256, found.size, name, place, KEEP_UNTIL_S)
        return refusal

    def _sign(self, camera: str, head: Head, stored: tuple[receipt.Stored, ...], request: str) -> bytes:
        signer = self._signer
        issued, chain = int(self._now_s()), tuple(certs.der(c) for c in signer.certificates)
        text = receipt.Receipt(signer.name, head.origin, camera, issued, head.note, stored, chain).text()
        signed = note.Note(text, (note.sign_ed25519(text, signer.name, signer.key),)).to_bytes()
        file = f"{camera}/{issued}-{hashlib.sha256(signed).hexdigest()}.receipt"
        path = self._root / "receipts" / file
        durable.make_dir(path.parent)
        durable.write_file(path, signed, 0o644)
        self._state.add_receipt(camera, request, file)
        return signed

    def _read(self, file: str) -> bytes:
        path = self._root / "receipts" / file
        with durable.storage_errors(path, "cannot read"):
            return path.read_bytes()


def parse_request(body: bytes) -> tuple[int, list[str]]:
    """(epoch, segment names) of a request. Raises Refused (400)."""
    try:
        value = json.loads(body)
        epoch, names = value["epoch"], value["segments"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Refused(400, 'send {"epoch": number, "segments": [names]}') from None
    if type(epoch) is not int or not 1 <= epoch < 1_000_000 or not isinstance(names, list):
        raise Refused(400, "epoch is a number from 1, segments a list of names")
    if len(names) > receipt.MAX_SEGMENTS or not all(isinstance(n, str) and SEGMENT_NAME.fullmatch(n) for n in names):
        raise Refused(400, f"at most {receipt.MAX_SEGMENTS} segments, named as segments are")
    return epoch, list(dict.fromkeys(names))


def _request_key(epoch: int, head: Head, stored: Sequence[receipt.Stored]) -> str:
    """What makes two requests the same: the log, the head, and the bytes found."""
    parts = [str(epoch), str(head.size), head.root.hex(), *sorted(f"{s.segment} {s.sha256}" for s in stored)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
