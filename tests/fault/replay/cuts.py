"""Where the power goes, and what it may leave there: states of the disk, class of write by class of write."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from agent.formats import pack
from tests.fault.replay.disk import DONE, HALF, NOT_DONE, Disk, Fate, Image, Pending, Piece
from tests.fault.replay.tape import SAYINGS, SYNCS, Do, Op

BLOCKS = (512, 4096)
START = "start"
"""The phase in which a camera that was cut starts again."""
START_AGAIN = "start again"
"""And after a second cut, in the midst of that."""
RENEW = "renew"
"""The phase in which a log ends and the next epoch begins."""


class Write(Enum):
    """Classes of write. All that a start after a cut writes is recovery's, and a change of epoch is one of its own."""

    PART = "part entry"
    EVENT = "event entry"
    HEAD = "segment head"
    SEAL = "trailer and truncate"
    RECORD = "seal record"
    RENAME = "rename into sealed"
    CHECKPOINT = "checkpoint"
    FULL_TILE = "full tile"
    PARTIAL_TILE = "partial tile"
    RECEIPT = "receipt"
    DELIVERED = "move to delivered"
    DELETION = "deletion"
    EPOCH = "next epoch"
    RECOVERY = "recovery"
    RECOVERY_AGAIN = "recovery of a recovery"
    OTHER = "other"


def write_of(op: Op) -> Write:
    if op.phase == START:
        return Write.RECOVERY
    if op.phase == START_AGAIN:
        return Write.RECOVERY_AGAIN
    if op.phase == RENEW:
        return Write.EPOCH
    if op.do is Do.MKDIR or op.do is Do.CHMOD:
        return Write.OTHER
    room, _, name = op.path.partition("/")
    match room:
        case "open" if op.do is Do.RENAME:
            return Write.RENAME
        case "open" if op.do is Do.TRUNCATE or op.data == pack.TRAILER:
            return Write.SEAL
        case "open" if op.do is Do.WRITE and op.offset:
            return Write.PART if b'"class":"media"' in op.data else Write.EVENT
        case "open":
            return Write.HEAD
        case "sealed":
            return Write.RECORD if name.startswith(".") else Write.DELIVERED
        case "delivered":
            return Write.DELETION
        case "receipts" | "inbox":
            return Write.RECEIPT
        case "log" if "checkpoint" in name:
            return Write.CHECKPOINT
        case "log" if "/tile" in name:
            return Write.PARTIAL_TILE if ".p" in name else Write.FULL_TILE
    return Write.OTHER


@dataclass(frozen=True, slots=True)
class Cut:
    """The power goes while the operation at `step` is under way: before it, in it, or before anything after it."""

    write: Write
    step: int
    image: Image
    how: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Just after the operation at `step`, which is the last that is pending."""

    step: int
    disk: Disk
    stale: bytes


class Cutter:
    """States that a tape may leave, played from `start`. One seed gives one series."""

    def __init__(self, ops: Sequence[Op], start: Disk, chance: random.Random) -> None:
        self._chance = chance
        self._places: dict[Write, list[_Place]] = {write: [] for write in Write}
        disk, stale = start.copy(), b""
        for step, op in enumerate(ops):
            disk.play(op)
            if op.do not in SYNCS + SAYINGS and op.do is not Do.REFUSED:
                self._places[write_of(op)].append(_Place(step, disk.copy(), stale))
            if op.to.endswith("/epoch.json"):
                # Blocks of an older log, with higher indexes than the new one has, look like durable entries that were
                # lost: another epoch begins then, and nothing is lost by it.
                stale = b""
            if op.do is Do.WRITE and op.path.startswith("open/"):
                stale = (stale + op.data)[-(64 << 10) :]
        self.end = disk

    def writes(self) -> list[Write]:
        """The classes there are."""
        return [write for write, places in self._places.items() if places]

    def cuts(self, write: Write, rounds: int = 1_000) -> Iterator[Cut]:
        """States of this class, each of its places in turn, again and again with other damage."""
        for number in range(rounds):
            for place in self._places[write]:
                yield self._cut(write, place, number)

    def _cut(self, write: Write, place: _Place, number: int) -> Cut:
        *before, last = place.disk.pending
        how, fate = self._fate_of_last(last, number, place.stale)
        fates = [self._fate(change, place.stale) for change in before]
        return Cut(write, place.step, place.disk.image([*fates, fate]), f"{last.op.do.value} {last.op.path}: {how}")

    def _fate_of_last(self, last: Pending, number: int, stale: bytes) -> tuple[str, Fate]:
        """The plain ones first: done, not done, by half; then anything."""
        if number < 2:
            return ("done", DONE) if number == 0 else ("not done", NOT_DONE)
        if last.op.do is Do.WRITE:
            how = self._chance.choice(_DAMAGE)
            return how.__name__, how(self._chance, last.op, stale)
        if last.op.do is Do.RENAME:
            return "half done", HALF
        return "anything", self._chance.choice((DONE, NOT_DONE))

    def _fate(self, change: Pending, stale: bytes) -> Fate:
        """Of one that came before the last: it is as little durable."""
        if change.op.do is Do.WRITE and self._chance.random() < 0.5:
            return self._chance.choice(_DAMAGE)(self._chance, change.op, stale)
        return DONE if self._chance.random() < 0.7 else NOT_DONE


# -- damage to one write: which of its pieces are there ----------------------------------------------------------------


def _blocks(chance: random.Random, op: Op) -> Iterator[Piece]:
    """The write in blocks of the disk, clipped to what was written."""
    size, end = chance.choice(BLOCKS), op.offset + len(op.data)
    at = op.offset
    while at < end:
        until = min(end, (at // size + 1) * size)
        yield at, op.data[at - op.offset : until - op.offset]
        at = until


def torn(chance: random.Random, op: Op, stale: bytes) -> Fate:
    """As far as any byte."""
    length = chance.randrange(len(op.data) + 1)
    return Fate(pieces=((op.offset, op.data[:length]),), longer=chance.random() < 0.5)


def dropped(chance: random.Random, op: Op, stale: bytes) -> Fate:
    """Any of its blocks, in any order: some are there and some are not."""
    share = chance.random()
    kept = tuple(block for block in _blocks(chance, op) if chance.random() < share)
    return Fate(pieces=kept, longer=chance.random() < 0.5)


def zeroed(chance: random.Random, op: Op, stale: bytes) -> Fate:
    """Blocks of zeros where others were written."""
    share = chance.random()
    return Fate(
        pieces=tuple((at, data if chance.random() < share else bytes(len(data))) for at, data in _blocks(chance, op))
    )


def garbage(chance: random.Random, op: Op, stale: bytes) -> Fate:
    """Noise in some blocks."""
    share = chance.random()
    return Fate(
        pieces=tuple(
            (at, data if chance.random() < share else chance.randbytes(len(data))) for at, data in _blocks(chance, op)
        )
    )


def garbage_tail(chance: random.Random, op: Op, stale: bytes) -> Fate:
    """Whole up to any byte, noise from there."""
    length = chance.randrange(len(op.data) + 1)
    return Fate(pieces=((op.offset, op.data[:length] + chance.randbytes(len(op.data) - length)),))


def old_blocks(chance: random.Random, op: Op, stale: bytes) -> Fate:
    """What was written elsewhere before, in some blocks."""
    share, pieces = chance.random(), []
    for at, data in _blocks(chance, op):
        if chance.random() >= share and len(stale) >= len(data):
            start = chance.randrange((len(stale) - len(data)) // 512 + 1) * 512
            data = stale[start : start + len(data)]
        pieces.append((at, data))
    return Fate(pieces=tuple(pieces))


_DAMAGE = (torn, dropped, zeroed, garbage, garbage_tail, old_blocks)
