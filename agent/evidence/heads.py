"""Later heads of a log, against which its end can be proven: a checkpoint, a station's receipt, the checkpoint beside a
log's tiles.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from agent.errors import AgentError, EvidenceError, KeyTrustError, UnreadableError, UsageError
from agent.evidence.blobs import Blob, read_small
from agent.evidence.findings import Finding, What, refused
from agent.evidence.trust import Trust
from agent.formats import certs, merkle, note, receipt

MAX_BYTES = 1 << 20
MAX_CHAINS = 10_000


@dataclass(frozen=True, slots=True)
class Head:
    """A signed state of the log. `source` names where it comes from; `asked` if the user named it. `signer` is the
    certificate (DER) of the session in whose name the identity key signed it too, empty where it alone did; else None.
    """

    origin: str
    size: int
    root: bytes
    source: str
    asked: bool
    time_s: int | None = None
    signer: bytes | None = None

    @property
    def told(self) -> str:
        """In words, with the time where a station vouches for one."""
        at = f", cosigned {stamped(self.time_s)}" if self.time_s is not None else ""
        return f"{self.source} ({self.size} leaves{at})"


def stamped(time_s: int) -> str:
    """POSIX seconds as a person reads them; a number that is no date as it stands."""
    try:
        return datetime.fromtimestamp(time_s, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{time_s} s after 1970"


@dataclass(frozen=True, slots=True)
class CheckedReceipt:
    """A receipt whose signature, certificate and cosignature hold. Leaves name it by `sha256`. `at_home`: it lies where
    its station keeps its own of the camera, and what that station has of it is given. `proof` is the export that it
    came with, if with one.
    """

    receipt: receipt.Receipt
    head: Head
    sha256: str
    at_home: bool = False
    proof: Path | None = None


def load_head(path: Path, trust: Trust) -> tuple[Head, CheckedReceipt | None]:
    """The head a user names: a checkpoint of the camera, or a receipt. Raises EvidenceError, UsageError, and
    KeyTrustError where nobody trusted signed it.
    """
    data = read_small(path, MAX_BYTES)
    parsed = note.parse(data)
    if parsed.text.startswith(receipt.MAGIC):
        checked = check_receipt(data, trust, path.name, asked=True)
        return checked.head, checked
    return camera_head(parsed, trust, path.name, asked=True), None


def camera_head(parsed: note.Note, trust: Trust, source: str, asked: bool = False) -> Head:
    """A checkpoint that a session or the identity key of its camera signed, whose chains `trust` has learned by now.
    Raises EvidenceError.
    """
    head = note.parse_checkpoint(parsed.text)
    return Head(head.origin, head.size, head.root, source, asked, signer=_check_signed(parsed, head, trust))


def check_receipt(data: bytes, trust: Trust, source: str, asked: bool = False) -> CheckedReceipt:
    """Signature, certificate chain, cosignature; of the camera, whose chains `trust` has learned by now, what it signed
    of its head. Raises EvidenceError, KeyTrustError.
    """
    parsed = note.parse(data)
    if parsed.to_bytes() != data:
        raise EvidenceError("the receipt is not in its one spelling")
    found = receipt.parse(parsed.text)
    station, key = certs.check_receipt_key([certs.parse_der(c) for c in found.certificates], trust.root)
    if station != found.station:
        raise EvidenceError(f"the receipt is of station {found.station}, its certificate of {station}")
    note.verify_ed25519(parsed, station, key)
    checkpoint = note.parse(found.checkpoint)
    head = note.parse_checkpoint(checkpoint.text)
    if head.origin != found.origin:
        raise EvidenceError(f"the receipt is of {found.origin}, its checkpoint of {head.origin}")
    time_s = note.verify_cosignature(checkpoint, station, key)
    told = Head(head.origin, head.size, head.root, f"receipt {source}", asked, time_s, _signer(checkpoint, head, trust))
    return CheckedReceipt(found, told, hashlib.sha256(data).hexdigest())


def _signer(parsed: note.Note, head: note.Checkpoint, trust: Trust) -> bytes | None:
    """The head's `signer`, as far as the camera's chains are known. A receipt holds without the camera's word on it."""
    try:
        return _check_signed(parsed, head, trust)
    except EvidenceError:
        return None


def _check_signed(parsed: note.Note, head: note.Checkpoint, trust: Trust) -> bytes | None:
    """The head's `signer`. Raises EvidenceError unless a session or the identity key of the log's camera signed it, and
    nothing that is there by one of these keys is wrong.
    """
    by_identity = [note.verify_ecdsa(parsed, head.origin, key) for key in trust.identities(head.origin)]
    signers = trust.signers(head.origin, parsed)
    if not (any(by_identity) or signers):
        camera = (head.origin.split("/")[-2:-1] or [""])[0]
        raise EvidenceError(f"it is not signed by the camera {camera!r} under the root given")
    if not any(by_identity):
        return None
    return signers[0].certificate_der if signers else b""


class TileLog:
    """A spool's log/<epoch>: unproven frontiers for any size, and its own checkpoint as a head."""

    def __init__(self, directory: Path) -> None:
        self._dir = directory
        self.size = 0
        self.origin = ""
        self.unread = ""
        """Of a tile, or a chain beside them, that is there and cannot be read: why."""

    def load(self, trust: Trust) -> Head:
        """Raises EvidenceError, UsageError."""
        self.learn(trust)
        data = read_small(self._dir / "checkpoint", MAX_BYTES)
        head = camera_head(note.parse(data), trust, f"{self._dir.name}/checkpoint")
        self.size, self.origin = head.size, head.origin
        return head

    def leads_to(self, head: Head) -> bool:
        """True where the tiles give the head's root."""
        return any(frontier.root() == head.root for frontier in self.frontier(head.size))

    def learn(self, trust: Trust) -> None:
        """The chains beside the tiles, of whichever log they are."""
        for chain in self._chain_files():
            # One that is not trusted proves nothing; the checkpoint's own check will say so.
            try:
                trust.learn(read_small(chain, 64 << 10))
            except KeyTrustError:
                continue
            except UnreadableError as err:
                self.unread = self.unread or err.message

    def _chain_files(self) -> Iterator[Path]:
        """A camera keeps the newest session's chain beside its tiles, a station each under its digest."""
        for chain in [self._dir / "chain.pem", *sorted((self._dir / "chain").glob("*.pem"))[:MAX_CHAINS]]:
            if chain.is_file() and not chain.is_symlink():
                yield chain

    def frontier(self, size: int) -> Iterator[merkle.Frontier]:
        """A candidate, if the tiles reach that far; a signed root has to confirm it."""
        if not 0 < size <= self.size:
            return
        try:
            yield merkle.TileTree(size, self._read).frontier()
        except AgentError:
            return

    def subtree(self, start: int, end: int) -> bytes:
        """Unproven. Raises EvidenceError where the tiles do not reach that far."""
        return merkle.TileTree(self.size, self._read).subtree(start, end)

    def chains(self, trust: Trust) -> Iterator[tuple[certs.Session, bytes]]:
        """(session, chain.pem) of each chain beside the tiles that is trusted."""
        for chain in self._chain_files():
            with contextlib.suppress(KeyTrustError):
                data = read_small(chain, 64 << 10)
                yield trust.learn(data), data

    def note(self) -> bytes:
        """The checkpoint as it stands. Raises UsageError."""
        return read_small(self._dir / "checkpoint", MAX_BYTES)

    def _read(self, tile: merkle.TileId) -> bytes | None:
        """A tile, or the wider one that a larger tree has in its place."""
        for width in range(tile.width, merkle.TILE_WIDTH + 1):
            path = self._dir / merkle.TileId(tile.level, tile.index, width).path
            if path.is_file() and not path.is_symlink():
                try:
                    return read_small(path, merkle.TILE_WIDTH * merkle.HASH_SIZE)
                except UsageError:
                    return None
                except UnreadableError as err:
                    self.unread = self.unread or err.message
                    return None
        return None


def read_receipts(
    blobs: Sequence[Blob], trust: Trust, of_stations: Container[Path]
) -> tuple[list[CheckedReceipt], list[Finding]]:
    """Receipts that hold, and what is wrong with the others; `of_stations` are those that lie in the directory of a
    station.
    """
    good, bad = [], []
    for blob in blobs:
        try:
            found = check_receipt(blob.read(MAX_BYTES), trust, blob.name)
            good.append(replace(found, at_home=blob.path in of_stations))
        except AgentError as err:
            bad.append(refused(What.BAD_RECEIPT, f"receipt {blob.name}: {err.message}", err))
    return good, bad
