"""Which log the camera writes, and when it begins another: never because of what is open to doubt, always where going
on would sign an index twice (docs/evidence-format.md, section 2, "Epochs"). The camera records whatever its card lost.

What the old epoch leaves on the card is closed or kept as it is, its digest is taken, and it is sent like everything
else. Nothing is signed for it any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agent import durable
from agent.errors import AgentError, EvidenceError, StorageError
from agent.formats import certs, merkle, note, pack, possession
from agent.formats import epoch as epochs
from agent.formats.epoch import Link, Why
from agent.formats.seal import SealRecord
from agent.headway import gone_on
from agent.held import KEEP, DamagedError, LostError, Segments, lost_entry, readable, records_of, size_so_far
from agent.model import SegmentState
from agent.prefix import Prefix, later_head
from agent.recovery import Outcome, close, recover, replay, torn_bytes
from agent.sealing.tiles import TileStore
from agent.spool import inbox
from agent.spool.store import Spool, read_seal, sha256_of

OPENING = "epoch.json"
UNREADABLE = "0" * 64
"""The digest of a left-over that the disk does not read."""
COSIGNED = "cosigned"
_RECORDING = re.compile(r"(r[0-9]{10}-[0-9a-f]{8})-([0-9]{4})")


@dataclass(frozen=True, slots=True)
class Opening:
    """Why an epoch began, from its first durable byte until its log has said all of it. `detail` is for people."""

    link: Link
    detail: str


@dataclass(frozen=True, slots=True)
class Stand:
    """Where the camera's log stands at a start."""

    origin: str
    tiles: TileStore
    outcome: Outcome
    opening: Opening | None


class Epochs:
    """The logs on one card. `stem` is what their origins share; a station's word counts under the pinned keys alone.
    Raises StorageError.
    """

    def __init__(self, spool: Spool, stem: str, camera: str, keys: note.Keys) -> None:
        self._spool, self._stem, self._camera, self._keys = spool, stem, camera, keys

    def trust(self, origin: str, tiles: TileStore) -> inbox.Trust:
        """What a message must be about to count for the log `origin`."""
        return inbox.Trust(self._keys, origin, self._camera, tiles.root_at, lambda: tiles.size)

    def stand(self) -> Stand:
        """Recover the newest epoch; where its log cannot go on, begin the next. Nothing is signed."""
        epoch = max(self._spool.epochs(), default=1)
        origin = f"{self._stem}/{epoch}"
        tiles = TileStore(self._spool.log_dir(epoch))
        try:
            outcome = recover(self._spool, tiles, origin)
        except LostError as err:
            self.begin(origin, Why.DAMAGED, err.message)
            return self.stand()
        trust = self.trust(origin, tiles)
        for head in self._told(epoch, trust):
            if _is_beyond(head, trust):
                self.begin(origin, Why.BEHIND, beyond(head, tiles.size), head, _head(origin, tiles))
                return self.stand()
        return Stand(origin, tiles, outcome, self._opening(origin))

    # -- the next epoch --------------------------------------------------------------------------------------------

    def begin(
        self,
        origin: str,
        why: Why,
        detail: str,
        told: note.Checkpoint | None = None,
        left: note.Checkpoint | None = None,
    ) -> None:
        """Begin the epoch after `origin`, on the word of a station's head that was `told`, or for the damage. Called
        again after a cut or an error it goes on where it was.
        """
        old = epochs.number_of(origin)
        heads = [*self._found(old, origin), *([told] if told else [])]
        newest = max(heads, key=lambda h: (epochs.number_of(h.origin), h.size), default=None)
        follows = told or newest or note.Checkpoint(origin, 0, merkle.EMPTY_ROOT)
        if left == follows or (left and not left.size):
            left = None
        self._set_aside(old, origin)
        held = self._spool.records(SegmentState.SEALED) + self._spool.records(SegmentState.DELIVERED)
        used = [old, *self._spool.epochs(), *(r.epoch for r in held), *(epochs.number_of(h.origin) for h in heads)]
        directory = durable.make_dir(self._spool.log_dir(max(used) + 1), 0o750)
        value = {"v": 1, "epoch": Link(why, follows, left).facts(), "detail": detail[:500]}
        durable.write_file(directory / OPENING, json.dumps(value).encode() + b"\n", 0o640)

    def _opening(self, origin: str) -> Opening | None:
        path = self._spool.log_dir(epochs.number_of(origin)) / OPENING
        if not path.exists():
            return None
        with durable.storage_errors(path, "cannot read"):
            data = durable.read_file(path)
        try:
            value = json.loads(data)
            return Opening(epochs.parse_link(value["epoch"], origin), str(value["detail"]))
        except (ValueError, KeyError, TypeError, EvidenceError) as err:
            raise StorageError(f"{path} is damaged", KEEP) from err

    def said(self, origin: str) -> None:
        """The log tells by itself now why it began."""
        durable.remove(self._spool.log_dir(epochs.number_of(origin)) / OPENING)

    # -- what a station told ---------------------------------------------------------------------------------------

    def remember(self, cosigned: bytes, head: note.Checkpoint) -> None:
        """Keep the largest head of each epoch that a station cosigned, beside its tiles."""
        directory = self._spool.log_dir(epochs.number_of(head.origin))
        if directory.is_dir() and head.size > max((h.size for h in self._cosigned(directory, head.origin)), default=0):
            durable.write_file(directory / COSIGNED, cosigned, 0o640)

    def _cosigned(self, directory: Path, origin: str) -> Iterator[note.Checkpoint]:
        trust = inbox.Trust(self._keys, origin, self._camera, lambda size: b"")
        yield from _heads_in(directory / COSIGNED, lambda data: inbox.read_head(data, trust))

    def _told(self, epoch: int, trust: inbox.Trust) -> Iterator[note.Checkpoint]:
        """Of one epoch, or a later one, and what the newest receipt says: either may be older than the card's log."""
        yield from self._cosigned(self._spool.log_dir(epoch), trust.origin)
        newest = self._spool.newest_receipt()
        if newest is not None:
            yield from _heads_in(newest, lambda data: inbox.read_receipt(data, trust)[1])

    # -- what is left of the old one -------------------------------------------------------------------------------

    def _found(self, epoch: int, origin: str) -> Iterator[note.Checkpoint]:
        """Every head of the old log that is on the card under a signature: the largest is the one to follow."""
        directory, segments = self._spool.log_dir(epoch), Segments(self._spool)
        yield from _heads_in(directory / "checkpoint", lambda data: _by_camera(data, directory / "chain.pem"))
        trust = inbox.Trust(self._keys, origin, self._camera, lambda size: b"")
        yield from self._told(epoch, trust)
        for path in self._spool.segments(SegmentState.OPEN) + self._spool.segments(SegmentState.SEALED):
            prefix = _prefix(segments, path)
            if prefix is None or prefix.header.origin != origin:
                continue
            yield from (h for h in (prefix.head(), None if prefix.sealed else _later_head(path, prefix)) if h)

    def _set_aside(self, epoch: int, origin: str) -> None:
        """Everything of the old epoch gets a digest by which a receipt can name it. What is whole in itself is closed;
        anything else keeps its bytes as they were found.
        """
        segments, tiles = Segments(self._spool), TileStore(self._spool.log_dir(epoch))
        found = [(path, _prefix(segments, path)) for path in self._spool.segments(SegmentState.OPEN)]
        after = {p.header.first for _, p in found if p is not None and p.hashes}
        size = max([size_so_far(self._spool, tiles, epoch), *after])
        for path, prefix in found:
            cut_short = prefix is not None and prefix.next_index not in after and prefix.next_index < size
            if cut_short or _goes_on(path, prefix):
                self._keep(path, prefix, epoch)
            elif prefix is None or not prefix.hashes:
                durable.remove(path)
            else:
                close(self._spool, path, prefix)
        segments, tiles = Segments(self._spool), TileStore(self._spool.log_dir(epoch))
        for path in self._spool.segments(SegmentState.SEALED):
            record = _record(path)
            if record is None or (record.epoch == epoch and not record.kept and record.end > tiles.durable_size):
                prefix = _prefix(segments, path)
                if prefix is None or not prefix.sealed:
                    self._keep(path, prefix, epoch)
        if tiles.damage is None:
            _finish(self._spool, Segments(self._spool), tiles, origin)

    def _keep(self, path: Path, prefix: Prefix | None, epoch: int) -> None:
        """Into sealed/ as it is; of one that was still open, preallocated zeros behind its last byte go."""
        target = self._spool.sealed_dir / path.name
        if path != target:
            with contextlib.suppress(DamagedError):
                _cut_zeros(path)
            durable.move(path, target)
        named, header = _RECORDING.fullmatch(path.stem), prefix.header if prefix else None
        recording, seq = (named[1], int(named[2])) if named else (None, 0)
        if header is not None and epochs.split(header.origin)[0] == self._stem:
            epoch = epochs.number_of(header.origin)
        with durable.storage_errors(target, "cannot read"):
            size, digest, answering = target.stat().st_size, UNREADABLE, possession.Answering(possession.challenge())
            answer = ""
            with contextlib.suppress(DamagedError), readable(target):
                digest = sha256_of(target, answering.update)
                answer = answering.with_end()
        first, entries = (header.first, len(prefix.hashes)) if header and prefix else (int(path.stem[1:11]), 0)
        record = SealRecord(path.stem, size, digest, first, entries, recording, seq, epoch, True)
        record = replace(record, challenge=answering.challenge, answer=answer)
        durable.write_file(target.with_suffix(".seal"), record.to_bytes(), 0o640)


def beyond(head: note.Checkpoint, size: int) -> str:
    """In words, for the officer and the log."""
    return (
        f"a station saw {head.size} leaves of the log {head.origin}, which this card, with {size}, does not continue: "
        "an older card or image, or one that lost what it had written"
    )


def _is_beyond(head: note.Checkpoint, trust: inbox.Trust) -> bool:
    """Where the tiles cannot tell, the log goes on: the station will."""
    with contextlib.suppress(EvidenceError):
        return inbox.is_beyond(head, trust)
    return False


def _head(origin: str, tiles: TileStore) -> note.Checkpoint:
    return note.Checkpoint(origin, tiles.size, tiles.frontier().root())


def _finish(spool: Spool, segments: Segments, tiles: TileStore, origin: str) -> None:
    """Bring the old log's tiles up to the last segment that is whole, under the checkpoint that it was signed with
    then: so far a station can cosign it, and prove the segments.
    """
    records = [r for r in records_of(spool, epochs.number_of(origin)) if not r.kept]
    with contextlib.suppress(LostError):
        # What follows the first gap cannot be proven by this log.
        replay(segments, tiles, records, origin)
    last = next((r for r in records if r.end == tiles.size and r.end > tiles.durable_size), None)
    if last is not None:
        prefix = segments.of(last)
        tiles.flush(prefix.signed)
        tiles.write_chain(prefix.chain)


def _cut_zeros(path: Path) -> None:
    """Preallocated space behind the last byte goes. Raises DamagedError where the disk does not read it."""
    used = torn_bytes(path, 0)
    with durable.storage_errors(path, "cannot cut"), durable.opened(path, "r+b") as file:
        file.truncate(used + -used % pack.BLOCK)
        os.fsync(file.fileno())
        gone_on()


def _later_head(path: Path, prefix: Prefix) -> note.Checkpoint | None:
    with contextlib.suppress(DamagedError), readable(path):
        return later_head(path, prefix)
    return None


def _goes_on(path: Path, prefix: Prefix | None) -> bool:
    """True where an entry was stored after the first that is not whole, or nobody can tell."""
    end, index = (prefix.end, prefix.next_index) if prefix else (0, -1)
    try:
        return lost_entry(path, end, index) is not None
    except DamagedError:
        return True


def _prefix(segments: Segments, path: Path) -> Prefix | None:
    try:
        return segments.at(path)
    except (EvidenceError, DamagedError):
        return None


def _record(path: Path) -> SealRecord | None:
    try:
        return read_seal(path.with_suffix(".seal"))
    except (OSError, EvidenceError):
        return None


def _by_camera(data: bytes, chain: Path) -> note.Checkpoint:
    signed = note.parse(data)
    head = note.parse_checkpoint(signed.text)
    note.verify_ed25519(signed, head.origin, certs.read_session(certs.parse_pem(durable.read_file(chain))).key)
    return head


def _heads_in(path: Path, read: inbox.ReadHead) -> Iterator[note.Checkpoint]:
    """What is not there, or proves nothing, tells nothing."""
    try:
        yield read(durable.read_file(path))
    except (OSError, AgentError):
        return
