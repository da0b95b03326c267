"""The receipt: what the station read back from its disk and found to be evidence, in one signed note.

docs/evidence-format.md, "Receipt". Nothing is attested on the word of the uploader or of an earlier answer.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import durable
from agent.errors import EvidenceError, KeyTrustError, StorageError
from agent.formats import certs, note, possession, receipt
from agent.formats.epoch import MAX_EPOCH
from agent.formats.pack import SEGMENT_NAME
from agent.station import check
from agent.station.epochs import Epochs
from agent.station.logs import Logs, LostTileError
from agent.station.promised import alone
from agent.station.readback import Look, answer_back, look, read_back
from agent.station.state import Head, State
from agent.station.store import Store
from agent.station.web import JSON, Refused, Response

MAX_REQUEST = 64 << 10
TURN_S = 60.0
"""So long a request waits for those before it."""
LOG = logging.getLogger("bodycam.station")
_SHA256 = re.compile(r"[0-9a-f]{64}")
Learn = Callable[[str, str, check.Found | None, receipt.Stored], None]
"""(camera, origin, what the segment is, None where it is kept for its bytes alone, where it is kept)."""
File = Callable[[str, str, Mapping[str, str | int]], object]
"""(camera, kind, facts) of what a person is to look at."""


class Asked(NamedTuple):
    """A segment's name, the digest of its bytes where the camera said it, and its challenge, "" where there is none;
    `leaves`: the line is to say which it holds.
    """

    name: str
    sha256: str | None
    challenge: str
    leaves: bool = False


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


class _Held(NamedTuple):
    """What was read back: as which file, and what it is, None where it is kept for its bytes alone."""

    stored: receipt.Stored
    look: Look | None
    found: check.Found | None


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
        epochs: Epochs,
        keep_s: Callable[[], int] = lambda: 0,
        learn: Learn = lambda *_: None,
        look_through: Callable[[str, bool], None] = lambda *_: None,
        file: File = lambda *_: None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """`keep_s` says for how many seconds what is stored now will be kept at least, 0 for no end; `learn` hears of
        each segment that a receipt names; `look_through` then of the camera, and whether there is more that is kept
        for its bytes alone; `file` of what in it a person is to look at.
        """
        self._root, self._trust, self._signer = root, trust, signer
        self._store, self._logs, self._state, self._now_s = store, logs, state, now_s
        self._epochs, self._keep_s, self._learn, self._file = epochs, keep_s, learn, file
        self._look_through = look_through
        self._lock = store.promising

    def answer(self, camera: str, body: bytes) -> Response:
        """Raises Refused: 400 for a bad request, 409 where no cosigned log is here to check against, or not all of its
        tiles: the camera sends them again.
        """
        epoch, names, kept = parse_request(body)
        with self._turn():
            head = self._state.head(camera, epoch)
            if head is None or not head.size:
                raise Refused(409, "no checkpoint of this log is cosigned yet")
            try:
                self._prove(camera, epoch, head)
                signed, refused = self._receipt(camera, epoch, head, names, kept)
            except LostTileError as err:
                LOG.error("camera %s epoch %d: %s: its tiles are asked for again", camera, epoch, err.message)
                raise Refused(409, f"the station has lost a tile of this log: {err.message}") from None
        told = {name: {"reason": r.reason, "permanent": r.permanent} for name, r in refused.items()}
        return Response(200, json.dumps({"receipt": signed.decode(), "refused": told}).encode(), JSON)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Alone. Raises Refused (503) where others take too long: a worker that waits serves nobody."""
        if not self._lock.acquire(timeout=TURN_S):
            raise Refused(503, "receipts of other cameras are being made", {"Retry-After": "5"})
        try:
            yield
        finally:
            self._lock.release()

    def _prove(self, camera: str, epoch: int, head: Head) -> None:
        try:
            self._logs.prove(camera, epoch, head)
        except EvidenceError as err:
            raise Refused(409, err.message) from None

    def newest(self, camera: str) -> bytes:
        """The camera's newest receipt. Raises Refused (404)."""
        file = self._state.newest_receipt(camera)
        if file is None:
            raise Refused(404, "no receipt yet")
        return self._read(file)

    def _receipt(
        self, camera: str, epoch: int, head: Head, asked: Sequence[Asked], left_over: Sequence[Asked]
    ) -> tuple[bytes, dict[str, Refusal]]:
        held, refused = list[_Held](), dict[str, Refusal]()
        tree = self._logs.tree(camera, epoch, head.size)
        expected = check.Expected(camera, head.origin, self._trust, head.size, head.root, tree, head.note)
        for one, found in (
            *((one, self._check(camera, one, expected)) for one in asked),
            *((one, self._keep(camera, one)) for one in left_over),
        ):
            if isinstance(found, Refusal):
                refused[one.name] = found
            else:
                held.append(found)
        # Reading back took its time, in which another process may have purged; from here on it waits.
        with alone(self._root):
            there = [one for one in held if one.look and look(self._root / one.stored.place) == one.look]
            signed = self._signed(camera, epoch, head, there)
            self._learned(camera, head.origin, there)
        gone = [one.stored.segment for one in held if one not in there]
        refused |= {name: Refusal("it is not stored any longer", False) for name in gone}
        self._after_signing(camera, head.origin, there)
        return signed, refused

    def _signed(self, camera: str, epoch: int, head: Head, held: Sequence[_Held]) -> bytes:
        stored = tuple(one.stored for one in held if one.found)
        kept = tuple(one.stored for one in held if not one.found)
        key = _request_key(epoch, head, stored, kept)
        return self._given(self._state.receipt(camera, key)) or self._sign(camera, head, stored, kept, key)

    def _learned(self, camera: str, origin: str, held: Sequence[_Held]) -> None:
        """Before another process may purge any of it. It holds no receipt back: the index can be made anew."""
        try:
            for stored, _, found in held:
                self._learn(camera, origin, found, stored)
        except StorageError as err:
            LOG.error("%s\n  the receipt is given all the same; `bodycam-station index` adds what lacks", err.message)

    def _after_signing(self, camera: str, origin: str, held: Sequence[_Held]) -> None:
        """What is good to have done, and holds no receipt back: an upload's record that stays is found done when it is
        announced again.
        """
        try:
            self._look_through(camera, any(found is None for _, _, found in held))
        except StorageError as err:
            LOG.error("which leaves the left-overs of camera %s hold is not known: %s", camera, err)
        try:
            for stored, _, found in held:
                if found and found.silent is not None:
                    where = {"origin": origin, "segment": stored.segment, "sha256": stored.sha256}
                    self._file(camera, "identity-silent", {**where, "leaf": found.silent})
        except StorageError as err:
            LOG.error("%s\n  the receipt is given all the same", err.message)
        try:
            for stored, _, _ in held:
                self._store.forget(camera, stored.segment, stored.sha256, stored.size)
        except StorageError as err:
            LOG.error("%s", err)

    def _check(self, camera: str, asked: Asked, expected: check.Expected) -> _Held | Refusal:
        """The stored content of this name that is evidence, and the one with this digest where one is asked for. A
        second content was put aside, not thrown away, since which of them is genuine shows only here.
        """
        refusal, unread, name = Refusal("it is not stored", False), None, asked.name
        for path in self._store.candidates(camera, name, asked.sha256):
            before = look(path)
            try:
                found = self._check_one(path, asked, expected)
            except LostTileError:
                # Not this segment's trouble.
                raise
            except StorageError as err:
                unread = self._unread(camera, name, err)
                continue
            if isinstance(found, Refusal):
                refusal = found
            elif found:
                if found.link:
                    self._epochs.learn(camera, expected.origin, found.link)
                stored = self._stored(path, name, found.sha256, found.size, found.answer)
                leaves = (found.told.first, found.told.entries) if asked.leaves else (0, 0)
                return _Held(replace(stored, first=leaves[0], entries=leaves[1]), before, found)
        return unread or refusal

    def _check_one(self, path: Path, asked: Asked, expected: check.Expected) -> check.Found | Refusal | None:
        """None where it is not the content that is asked for. Raises StorageError."""
        try:
            found = check.check_segment(path, asked.name, expected, asked.challenge)
        except check.NotYetError as err:
            return Refusal(err.message, False)
        except (EvidenceError, KeyTrustError) as err:
            return Refusal(err.message, True) if asked.sha256 in (None, read_back(path)) else None
        return found if asked.sha256 in (None, found.sha256) else None

    def _keep(self, camera: str, asked: Asked) -> _Held | Refusal:
        """What an earlier epoch left over: these very bytes, read back, whatever they prove."""
        refusal = Refusal("it is not stored with these bytes", False)
        for path in self._store.candidates(camera, asked.name, asked.sha256):
            before = look(path)
            try:
                sha256, size, answer = answer_back(path, asked.challenge)
            except StorageError as err:
                refusal = self._unread(camera, asked.name, err)
                continue
            if sha256 == asked.sha256:
                return _Held(self._stored(path, asked.name, sha256, size, answer), before, None)
        return refusal

    def _unread(self, camera: str, name: str, err: StorageError) -> Refusal:
        """The disk does not give this one back: that is not for good, and the others have nothing to do with it. Where
        it says that the bytes are lost, they can come again.
        """
        LOG.error("camera %s, %s: %s", camera, name, err)
        if durable.says_lost(err):
            self._store.lost(camera, name)
        return Refusal(f"the station cannot read it back: {err.message}", False)

    def _stored(self, path: Path, name: str, sha256: str, size: int, answer: str) -> receipt.Stored:
        keep_s = self._keep_s()
        until_s = int(self._now_s()) + keep_s if keep_s else 0
        return receipt.Stored(sha256, size, name, path.relative_to(self._root).as_posix(), until_s, answer)

    def _sign(
        self,
        camera: str,
        head: Head,
        stored: tuple[receipt.Stored, ...],
        kept: tuple[receipt.Stored, ...],
        request: str,
    ) -> bytes:
        signer = self._signer
        # What it names is read back from the disk; so that the names outlast a power cut too, whoever made them.
        durable.sync_names([self._root / item.place for item in (*stored, *kept)], self._root)
        issued, chain = int(self._now_s()), tuple(certs.der(c) for c in signer.certificates)
        text = receipt.Receipt(signer.name, head.origin, camera, issued, head.note, stored, chain, kept).text()
        signed = note.Note(text, (note.sign_ed25519(text, signer.name, signer.key),)).to_bytes()
        file = f"{camera}/{issued}-{hashlib.sha256(signed).hexdigest()}.receipt"
        path = self._root / "receipts" / file
        durable.make_dir(path.parent)
        durable.write_file(path, signed, 0o644)
        durable.sync_names([path.parent], self._root)
        try:
            self._state.add_receipt(camera, request, file)
        except StorageError:
            # It is given to nobody: the next try signs another, and each would stay on a disk that may be full.
            durable.remove(path)
            raise
        return signed

    def _given(self, file: str | None) -> bytes | None:
        """A receipt that was given before; None where there is none, where the disk has lost it, or it was signed by an
        earlier key: then it is signed anew.
        """
        ours = note.key_id(self._signer.name, note.ED25519, note.raw_public(self._signer.key.public_key()))
        try:
            given = self._read(file) if file else None
            return given if given and any(s.key_id == ours for s in note.parse(given).signatures) else None
        except (StorageError, EvidenceError) as err:
            LOG.error("%s: it is signed anew", err)
            return None

    def _read(self, file: str) -> bytes:
        path = self._root / "receipts" / file
        with durable.storage_errors(path, "cannot read"):
            return path.read_bytes()


def parse_request(body: bytes) -> tuple[int, list[Asked], list[Asked]]:
    """(epoch, segments of its log, what earlier epochs left over) of a request. Raises Refused (400)."""
    try:
        value = json.loads(body)
        epoch, names, kept = value["epoch"], value["segments"], value.get("kept", [])
        challenges, leaves = value.get("challenges", {}), value.get("leaves", False)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refused(400, 'send {"epoch": number, "segments": [[name, SHA-256], ...]}') from None
    if type(epoch) is not int or not 1 <= epoch <= MAX_EPOCH or not isinstance(names, list):
        raise Refused(400, "epoch is a number from 1, segments a list of names, or of names and digests")
    if not isinstance(kept, list) or not all(isinstance(item, list) for item in kept):
        raise Refused(400, "kept is a list of names and digests")
    if not isinstance(challenges, dict) or not all(map(possession.is_hex, challenges.values())):
        raise Refused(400, "challenges are names of segments, each with 16 bytes in hex")
    if type(leaves) is not bool:
        raise Refused(400, "leaves is true where the receipt is to say which each segment holds")
    asked = [[_asked(item, challenges, leaves) for item in items] for items in (names, kept)]
    if sum(map(len, asked)) > receipt.MAX_SEGMENTS:
        raise Refused(400, f"at most {receipt.MAX_SEGMENTS} segments")
    segments, left_over = (list({one.name: one for one in items}.values()) for items in asked)
    return epoch, segments, left_over


def _asked(item: object, challenges: dict[str, str], leaves: bool) -> Asked:
    """From a segment's name, or its name and digest."""
    name, sha256 = item if isinstance(item, list) and len(item) == 2 else (item, None)
    if not isinstance(name, str) or not SEGMENT_NAME.fullmatch(name):
        raise Refused(400, "a segment is named as segments are")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise Refused(400, f"{name}: its digest is a SHA-256 in hex")
    return Asked(name, sha256, challenges.get(name, ""), leaves)


def _request_key(epoch: int, head: Head, stored: Sequence[receipt.Stored], kept: Sequence[receipt.Stored]) -> str:
    """What makes two requests the same: the log, the head, the bytes found, and what is said of them."""
    lines = [" ".join(filter(None, (s.segment, s.sha256, s.answer, "leaves" if s.entries else ""))) for s in stored]
    parts = [str(epoch), str(head.size), head.root.hex(), *sorted(lines)]
    parts += sorted(" ".join(filter(None, ("kept", s.segment, s.sha256, s.answer))) for s in kept)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
