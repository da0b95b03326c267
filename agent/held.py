"""What the segments in the spool prove, and what it means where they do not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent import durable
from agent.errors import EvidenceError, StorageError, reason
from agent.formats import leaf as leaves
from agent.formats import pack
from agent.formats.seal import SealRecord
from agent.headway import gone_on
from agent.model import SegmentState
from agent.own import Own
from agent.prefix import Prefix, later_entry, read_prefix
from agent.sealing.tiles import TileStore
from agent.spool.store import Spool, read_seal, what_may_be_read

KEEP = "keep this card as it is and call the agency"


class LostError(StorageError):
    """What was durable is gone or changed: to go on with this log would sign an index of it twice, prove its leaves no
    more, or cut off what is left.
    """


class DamagedError(LostError):
    """A sealed segment reads otherwise than it was sealed."""


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Blocks that the disk gives back no more are damage to this file, and no reason to wait for a better disk."""
    try:
        yield
    except OSError as err:
        if not durable.is_lost(err):
            raise
        raise DamagedError(f"{path} cannot be read: {reason(err)}", KEEP) from err


class Segments:
    """What the spool's segments prove, each read once, where this camera wrote them."""

    def __init__(self, spool: Spool, own: Own) -> None:
        self._spool, self._own = spool, own
        self._read: dict[Path, Prefix] = {}

    def at(self, path: Path) -> Prefix:
        """Raises EvidenceError where not even the head is whole, DamagedError where the disk does not read it."""
        if path not in self._read:
            with durable.storage_errors(path, "cannot read"), readable(path):
                self._read[path] = read_prefix(path, self._own)
        return self._read[path]

    def of(self, record: SealRecord) -> Prefix:
        """Of a segment that was sealed. Raises StorageError."""
        return self._whole(self.where(record), record)

    def where(self, record: SealRecord) -> Path:
        """Its file. Raises LostError where there is none."""
        for state in (SegmentState.SEALED, SegmentState.DELIVERED):
            path = self._spool.segment(state, record.segment)
            if path.exists():
                return path
        raise LostError(f"segment {record.segment} is gone", "check the disk")

    def _whole(self, path: Path, record: SealRecord) -> Prefix:
        if record.kept:
            raise DamagedError(f"{path} is damaged, and kept as it was found", KEEP)
        try:
            prefix = self.at(path)
        except EvidenceError as err:
            raise DamagedError(f"{path} is damaged: {err.message}", KEEP) from err
        if prefix.header.origin != self._own.origin(record.epoch) or not prefix.hashes:
            # The head of a segment is signed by its first entry alone.
            raise DamagedError(f"{path} is damaged: it holds no leaf of epoch {record.epoch}", KEEP)
        if (prefix.header.first, len(prefix.hashes)) != (record.first, record.entries):
            raise DamagedError(f"{path} is damaged after leaf {prefix.next_index - 1} of {record.end}", KEEP)
        return prefix

    def if_whole(self, record: SealRecord) -> Prefix | None:
        """As `of`; None where it is damaged, and so does not tell everything."""
        try:
            return self.of(record)
        except DamagedError:
            return None


def lost_entry(path: Path, offset: int, index: int) -> int | None:
    """As `later_entry`. Raises DamagedError where the disk does not read it."""
    with readable(path):
        return later_entry(path, offset, index)


def records_of(spool: Spool, epoch: int) -> list[SealRecord]:
    """All segments of one epoch whose digest is known, in the log's order."""
    held = spool.records(SegmentState.SEALED) + spool.records(SegmentState.DELIVERED)
    return sorted((r for r in held if r.epoch == epoch), key=lambda r: r.first)


def size_so_far(spool: Spool, tiles: TileStore, epoch: int) -> int:
    """How many leaves the log has at least, without those in open/. StorageError where a read fails that may pass."""
    size = tiles.size
    for state in (SegmentState.SEALED, SegmentState.DELIVERED):
        for path in spool.seals(state):
            with contextlib.suppress(EvidenceError), what_may_be_read(), durable.if_there(path):
                record = read_seal(path)
                size = max(size, record.end if record.epoch == epoch else 0)
    return size


def newest_count(spool: Spool, own: Own, epoch: int) -> int | None:
    """What the newest counted leaf of an epoch's log says, by the segments on the card; None where none there is
    counted, or one that may have held it is not there, or damaged. What is counted stands in event segments.
    """
    segments, first = Segments(spool, own), None
    for record in reversed(records_of(spool, epoch)):
        if first is not None and record.end != first:
            return None
        first, prefix = record.first, None if record.recording else segments.if_whole(record)
        if prefix is None and record.recording is None:
            return None
        if prefix is not None and prefix.count is not None:
            return prefix.count
    return None


def facts_at(spool: Spool, epoch: int, index: int) -> Mapping[str, Any] | None:
    """The public facts of the leaf at an index of an epoch's log; None where no segment here has it any more, or can be
    read so far.
    """
    for state in (SegmentState.SEALED, SegmentState.DELIVERED):
        for record in spool.readable(state)[0]:
            if record.epoch == epoch and record.first <= index < record.end:
                with contextlib.suppress(OSError, EvidenceError):
                    return _facts_in(spool.segment(state, record.segment), index)
    return None


def _facts_in(path: Path, index: int) -> Mapping[str, Any] | None:
    with durable.opened(path) as file:
        reader = pack.PackReader(file.read)
        reader.head()
        for entry in reader.entries():
            gone_on()
            if entry.index == index:
                leaf = leaves.parse(entry.leaf)
                return leaf.facts if isinstance(leaf, leaves.EventLeaf) else {}
    return None
