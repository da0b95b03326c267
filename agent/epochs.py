"""Which log the camera writes, and when it begins another: never because of what is open to doubt, always where going
on would sign an index twice (docs/evidence-format.md, section 2, "Epochs"). The camera records whatever its card lost.

What the old epoch leaves on the card is closed or kept as it is, its digest is taken, and it is sent like everything
else. Nothing is signed for it any more.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agent import durable, openings
from agent.errors import AgentError, EvidenceError, StorageError
from agent.formats import certs, merkle, note, pack, possession
from agent.formats import epoch as epochs
from agent.formats.epoch import Link, Why
from agent.formats.seal import SealRecord
from agent.headway import gone_on
from agent.held import (
    DamagedError,
    LostError,
    Segments,
    lost_entry,
    readable,
    records_of,
    size_so_far,
)
from agent.model import SegmentState
from agent.openings import Opening
from agent.own import Own
from agent.prefix import Prefix, chain_in, largest_head, later_head, proven_place, read_prefix
from agent.recovery import Outcome, close, recover, replay, torn_bytes
from agent.sealing.session import Session
from agent.sealing.tiles import TileStore
from agent.spool import inbox
from agent.spool.store import Spool, read_seal, sha256_of, what_may_be_read

UNREADABLE = "0" * 64
"""The digest of a left-over that the disk does not read."""
COSIGNED = "cosigned"
HELD = (SegmentState.SEALED, SegmentState.DELIVERED)
_RECORDING = re.compile(r"(r[0-9]{10}-[0-9a-f]{8})-([0-9]{4})")


@dataclass(frozen=True, slots=True)
class Stand:
    """Where the camera's log stands at a start."""

    origin: str
    tiles: TileStore
    outcome: Outcome
    opening: Opening | None


class Epochs:
    """The logs on one card. `stem` is what their origins share; a station's word counts under the pinned keys alone,
    and what lies on the card where the camera of this session signed it. Raises StorageError.
    """

    def __init__(self, spool: Spool, stem: str, session: Session, keys: note.Keys) -> None:
        self._spool, self._stem, self._camera, self._keys = spool, stem, session.camera, keys
        self._session, self.own = session, Own(stem, session.chain_pem)

    def trust(self, origin: str, tiles: TileStore) -> inbox.Trust:
        """What a message must be about to count for the log `origin`."""
        return inbox.Trust(self._keys, origin, self._camera, tiles.root_at, lambda: tiles.size)

    def stand(self) -> Stand:
        """Recover the newest epoch; where its log cannot go on, begin the next. Nothing is signed."""
        epoch = self.newest()
        origin = self.own.origin(epoch)
        tiles = self._tiles(epoch)
        try:
            outcome = recover(self._spool, tiles, self.own, epoch)
        except LostError as err:
            self.begin(origin, Why.DAMAGED, err.message)
            return self.stand()
        trust = self.trust(origin, tiles)
        for head in self._told(epoch, trust):
            if _is_beyond(head, trust):
                self.begin(origin, Why.BEHIND, beyond(head, tiles.size), head, _head(origin, tiles))
                return self.stand()
        return Stand(origin, tiles, outcome, self._opening(origin))

    def newest(self) -> int:
        """The newest epoch that this camera began: only what it signed says that there was one."""
        held = [
            (r.epoch, self._spool.segment(state, r.segment)) for state in HELD for r in self._spool.readable(state)[0]
        ]
        held += [(n, path) for path in self._spool.segments(SegmentState.OPEN) for n in self._said_in(path)]
        for epoch in sorted({*self._spool.epochs(), *(n for n, _ in held)} - {1}, reverse=True):
            leaves = (path for n, path in held if n == epoch and epoch in self._said_in(path))
            if self._is_begun(epoch) or any(leaves):
                return epoch
        return 1

    def _is_begun(self, epoch: int) -> bool:
        """Whether this camera signed what lies beside the tiles of an epoch. Somebody else's may be kept from it."""
        with what_may_be_read():
            if self._opening(self.own.origin(epoch)):
                return True
        with what_may_be_read():
            return any(self._head_beside(epoch))
        return False

    def _said_in(self, path: Path) -> Iterator[int]:
        """The epoch of a segment in which this camera signed a leaf."""
        with contextlib.suppress(EvidenceError, DamagedError), durable.storage_errors(path, "cannot read"):
            with readable(path):
                prefix = read_prefix(path, self.own, most=1)
            if prefix.hashes:
                yield epochs.number_of(prefix.header.origin)

    def _tiles(self, epoch: int) -> TileStore:
        directory = self._spool.log_dir(epoch)
        return TileStore(directory, self.own.head_beside(directory / "chain.pem", epoch))

    def _head_beside(self, epoch: int) -> Iterator[note.Checkpoint]:
        """What this camera signed beside the tiles of an epoch."""
        directory = self._spool.log_dir(epoch)
        yield from _heads_in(directory / "checkpoint", self.own.head_beside(directory / "chain.pem", epoch))

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
        self._set_aside(old)
        number = max(old, self.newest(), *(epochs.number_of(h.origin) for h in heads)) + 1
        while number in self._spool.epochs():
            # What somebody put there, and this camera never signed, is left as it is.
            number += 1
        directory = durable.make_dir(self._spool.log_dir(number), 0o750)
        opening = Opening(Link(why, follows, left), detail)
        openings.write(directory / openings.FILE, opening, self.own.origin(number), self._session)

    def _opening(self, origin: str) -> Opening | None:
        return openings.read(self._spool.log_dir(epochs.number_of(origin)) / openings.FILE, origin, self.own)

    def said(self, origin: str) -> None:
        """The log tells by itself now why it began."""
        durable.remove(self._spool.log_dir(epochs.number_of(origin)) / openings.FILE)

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
        segments = Segments(self._spool, self.own)
        yield from self._head_beside(epoch)
        trust = inbox.Trust(self._keys, origin, self._camera, lambda size: b"")
        yield from self._told(epoch, trust)
        for path in self._spool.segments(SegmentState.OPEN):
            yield from _heads_of(segments, path, origin)
            if (prefix := _prefix(segments, path)) is None or not prefix.hashes:
                found = (_later_head(path, 0, origin, session) for session in self._sessions(path, origin))
                yield from (head for head in found if head)
        yield from self._heads_sealed(segments, origin)

    def _heads_sealed(self, segments: Segments, origin: str) -> Iterator[note.Checkpoint]:
        """Of the newest sealed segment of a log that tells any, and of each whose own first entry does not prove the
        place that it says: what it says was signed by nobody, and it may be the newest.

        Of each segment that is in order the head and the first entry's leaf and checkpoint are read, the newest alone
        as a whole; of any other, however many, what `largest_head` reads.
        """
        of_log = []
        for path in (path for state in HELD for path in self._spool.segments(state)):
            gone_on()
            if (header := self._proven_place(path)) is None:
                yield from self._heads_unplaced(path, origin)
            elif header.origin == origin:
                of_log.append((header.first, path))
        newest = 0
        for first, path in sorted(of_log, reverse=True):
            # A full card is not read as a whole while nothing can be recorded. But of one segment there may be copies.
            if first < newest:
                return
            for head in _heads_of(segments, path, origin):
                newest = first
                yield head

    def _proven_place(self, path: Path) -> pack.SegmentHeader | None:
        unproven = contextlib.suppress(EvidenceError, DamagedError)
        with unproven, durable.storage_errors(path, "cannot read"), readable(path):
            return proven_place(path, self.own)
        return None

    def _heads_unplaced(self, path: Path, origin: str) -> Iterator[note.Checkpoint]:
        sessions = self._sessions(path, origin)
        with contextlib.suppress(DamagedError), durable.storage_errors(path, "cannot read"), readable(path):
            if sessions and (head := largest_head(path, origin, sessions)):
                yield head

    def _sessions(self, path: Path, origin: str) -> list[certs.Session]:
        """Of a file whose first members prove nothing, as where a byte of them went bad: that of its own chain, and the
        one whose chain lies beside the tiles.
        """
        chains, found = [durable.read_if_whole(self._spool.log_dir(epochs.number_of(origin)) / "chain.pem")], []
        with contextlib.suppress(DamagedError), durable.storage_errors(path, "cannot read"), readable(path):
            chains.append(chain_in(path))
        for chain in chains:
            with contextlib.suppress(EvidenceError):
                found.append(self.own.session(chain or b""))
        return found

    def _set_aside(self, epoch: int) -> None:
        """Everything of the old epoch gets a digest by which a receipt can name it. What is whole in itself is closed;
        anything else keeps its bytes as they were found.
        """
        segments, tiles = Segments(self._spool, self.own), self._tiles(epoch)
        found = [(path, _prefix(segments, path)) for path in self._spool.segments(SegmentState.OPEN)]
        after = {p.header.first for _, p in found if p is not None and p.hashes}
        size = max([size_so_far(self._spool, tiles, epoch), *after])
        for path, prefix in found:
            unended = prefix is not None and not prefix.sealed
            cut_short = prefix is not None and prefix.next_index not in after and prefix.next_index < size
            if (unended and cut_short) or _goes_on(path, prefix):
                self._keep(path, prefix, epoch)
            elif prefix is None or not prefix.hashes:
                durable.remove(path)
            else:
                close(self._spool, path, prefix)
        segments, tiles = Segments(self._spool, self.own), self._tiles(epoch)
        for path in self._spool.segments(SegmentState.SEALED):
            record = _record(path)
            if record is None or (record.epoch == epoch and not record.kept and record.end > tiles.durable_size):
                prefix = _prefix(segments, path)
                if prefix is None or not prefix.sealed:
                    self._keep(path, prefix, epoch)
        if tiles.damage is None:
            _finish(self._spool, Segments(self._spool, self.own), tiles, epoch)

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


def _finish(spool: Spool, segments: Segments, tiles: TileStore, epoch: int) -> None:
    """Bring the old log's tiles up to the last segment that is whole, under the checkpoint that it was signed with
    then: so far a station can cosign it, and prove the segments.
    """
    records = [r for r in records_of(spool, epoch) if not r.kept]
    with contextlib.suppress(LostError):
        # What follows the first gap cannot be proven by this log.
        replay(segments, tiles, records)
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


def _heads_of(segments: Segments, path: Path, origin: str) -> Iterator[note.Checkpoint]:
    """The largest that the segment's session signed in it for this log, in what is whole and in what follows that."""
    prefix = _prefix(segments, path)
    if prefix is not None and prefix.header.origin == origin:
        later = None if prefix.sealed else _later_head(path, prefix.end, origin, prefix.session)
        yield from (h for h in (prefix.head(), later) if h)


def _later_head(path: Path, offset: int, origin: str, session: certs.Session) -> note.Checkpoint | None:
    """Raises StorageError where a read fails that loses no block: to follow an older head for that would be a fork."""
    with contextlib.suppress(DamagedError), durable.storage_errors(path, "cannot read"), readable(path):
        return later_head(path, offset, origin, session)
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
    """None where it is damaged or lost. Raises StorageError where the read may pass."""
    seal = path.with_suffix(".seal")
    with contextlib.suppress(EvidenceError), durable.if_there(seal):
        return read_seal(seal)
    return None


def _heads_in(path: Path, read: inbox.ReadHead) -> Iterator[note.Checkpoint]:
    """What is not there, or proves nothing, tells nothing. Raises StorageError as `durable.read_if_whole`."""
    if (data := durable.read_if_whole(path)) is None:
        return
    try:
        yield read(data)
    except StorageError:
        raise
    except AgentError:
        return
