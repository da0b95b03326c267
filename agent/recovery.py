"""After the battery fell out: close what was left open, and find where the log stands. Runs before anything is
signed.

For each segment in open/ the longest verifiable prefix is kept, the rest is cut off durably, and only then may a
new leaf take the index of one that was torn. Where more is gone than a cut tears, nothing is touched: LostError, and
the next epoch begins (agent/epochs.py). Whether a recording was cut is what the log's newest leaves say, so it comes
out the same when the power goes again before that is written down. Nothing here signs; the recorder writes the
recovery leaves from what this returns.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from agent import durable
from agent.errors import EvidenceError
from agent.formats import pack, possession
from agent.formats.epoch import is_number
from agent.formats.seal import PieceDigests, SealRecord
from agent.headway import gone_on
from agent.held import KEEP, DamagedError, LostError, Segments, lost_entry, readable, records_of, size_so_far
from agent.model import SegmentState
from agent.own import ForeignError, Own
from agent.prefix import Prefix, read_prefix
from agent.sealing.tiles import TileStore
from agent.spool.store import Spool, read_seal, sha256_of


@dataclass(frozen=True, slots=True)
class Recovered:
    """One segment that was open: how many whole entries it keeps, how many bytes after them were dropped.

    `cut_recording` names a recording that began and was not ended, with the number of its `parts` so far. It may
    stand beside a segment that an earlier recovery closed, if the power went before that was in the log. `record` is
    None where there was no whole entry, and the file was removed.
    """

    segment: str
    entries: int
    torn_bytes: int
    cut_recording: str | None
    parts: int
    record: SealRecord | None

    def facts(self) -> dict[str, Any]:
        """The public facts of its `recovery` leaf."""
        cut = {"parts": self.parts, "interrupted": True} if self.cut_recording else {}
        return {"segment": self.segment, "entries": self.entries, "torn_bytes": self.torn_bytes, **cut}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the recorder must still put into the log: recovery leaves for `recovered`, seal leaves for
    `unannounced`.
    """

    recovered: tuple[Recovered, ...]
    unannounced: tuple[SealRecord, ...]


def recover(spool: Spool, tiles: TileStore, own: Own, epoch: int) -> Outcome:
    """Bring the spool to a state in which every segment is sealed and the tiles hold every durable leaf of this
    epoch's log. Segments of earlier epochs are left as they are, or closed.

    Idempotent: a power cut in here is met by running it again. Raises StorageError where the disk fails, and its
    LostError where the log on it contradicts itself, or an entry is lost that was durable: nothing is cut off then.
    """
    with durable.storage_errors(spool.root, "cannot recover"):
        return _recover(spool, tiles, own, epoch)


def _recover(spool: Spool, tiles: TileStore, own: Own, epoch: int) -> Outcome:
    _drop_leftovers(spool, tiles)
    _finish_moves(spool)
    segments = Segments(spool, own)
    _drop_copies(spool, own)
    recovered = _close_open(spool, segments, own.origin(epoch), size_so_far(spool, tiles, epoch))
    for state in (SegmentState.SEALED, SegmentState.DELIVERED):
        _mend_records(spool, segments, state)
    records = records_of(spool, epoch)
    _mend_tiles(segments, tiles, records)
    _refuse_ended(segments, tiles, records)
    replay(segments, tiles, records)
    recovered = [r for r in recovered if r.record is None or r.record.epoch == epoch]
    owed = _unannounced(segments, records, {r.segment for r in recovered})
    return Outcome(tuple(_name_cut(segments, recovered, records)), tuple(owed))


def _drop_leftovers(spool: Spool, tiles: TileStore) -> None:
    """Files written aside whose rename never came. inbox/ is left alone: the uploader may be writing there now. Of the
    log only the end is looked at, where a cut may have left something: after a year there are tens of thousands of
    tiles.
    """
    log = spool.root / "log"
    places = [log, *(log / name for name in durable.dirs(log) if is_number(name)), *tiles.edges()]
    places += [spool.root / name for name in ("", "open", "sealed", "delivered", "receipts", "outbox")]
    for directory in dict.fromkeys(places):
        for name in durable.files(directory):
            if durable.is_aside(name):
                durable.remove(directory / name)


def _finish_moves(spool: Spool) -> None:
    """A file under its old and its new name: the move was announced, and is made whole before anything is read."""
    states = (SegmentState.OPEN, SegmentState.SEALED, SegmentState.DELIVERED)
    for before, after in pairwise(states):
        for path in spool.segments(before) + spool.seals(before):
            gone_on()
            if durable.same_file(path, spool.dir(after) / path.name):
                durable.move(path, spool.dir(after) / path.name)
    _finish_deliveries(spool)


def _finish_deliveries(spool: Spool) -> None:
    """The seal records of segments that moved before them: many move at once (`Spool.deliver`), and a record says what
    reading the segment again may not.
    """
    waiting = {path.stem for path in spool.segments(SegmentState.SEALED)}
    moved = {path.stem for path in spool.segments(SegmentState.DELIVERED)} - waiting
    target = spool.dir(SegmentState.DELIVERED)
    left = [path for path in spool.seals(SegmentState.SEALED) if path.stem in moved]
    durable.move_all([path for path in left if not _holds(target / path.name)], target)


def _drop_copies(spool: Spool, own: Own) -> None:
    """What lies in open/ and was sealed already: this camera never leaves it there, and none may take the place of the
    sealed one, but where that is the worse of both.
    """
    for path in spool.segments(SegmentState.OPEN):
        for state in (SegmentState.SEALED, SegmentState.DELIVERED):
            held = spool.segment(state, path.name.removesuffix(".tar"))
            if durable.is_file(held) and _reach(held, own) >= _reach(path, own):
                durable.remove(path)
                break


def _reach(path: Path, own: Own) -> tuple[bool, int]:
    """Whether it is whole to its end, and how far it proves itself."""
    with contextlib.suppress(EvidenceError, LostError), durable.storage_errors(path, "cannot read"), readable(path):
        prefix = read_prefix(path, own)
        return prefix.sealed, prefix.next_index
    return False, -1


def _holds(record: Path) -> bool:
    """Whether there is a seal record, and it can be read."""
    try:
        read_seal(record)
    except (OSError, EvidenceError):
        return False
    return True


def _close_open(spool: Spool, segments: Segments, origin: str, size: int) -> list[Recovered]:
    """In the log's order, so that sealed/ stays a prefix of it: full ones whose sealing failed, then the newest. `size`
    is how many leaves the log `origin` has without them.
    """
    whole, empty, ours = [], [], []
    for path in spool.segments(SegmentState.OPEN):
        try:
            prefix = segments.at(path)
        except ForeignError as err:
            raise LostError(f"{path} is not this camera's: {err.message}", KEEP) from err
        except EvidenceError:
            empty.append((path, 0))
            continue
        _refuse_lost(path, prefix.end, prefix.next_index)
        if prefix.header.origin == origin:
            ours.append((prefix.next_index, prefix.sealed, path))
        if prefix.hashes:
            whole.append((path, prefix))
        else:
            empty.append((path, prefix.end))
    whole.sort(key=lambda found: found[1].header.first)
    for (path, prefix), (_, after) in pairwise(whole):
        # Only the newest may be torn by a cut. Another one has lost what was durable: it must not be cut to fit.
        goes_on = prefix.header.origin == after.header.origin and prefix.next_index != after.header.first
        if goes_on and not prefix.sealed:
            raise LostError(f"{path} is damaged after leaf {prefix.next_index - 1}, and the log goes on", KEEP)
    index, to_its_end, path = max(ours, default=(size, True, spool.open_dir))
    if index < size and not to_its_end:
        raise LostError(f"{path} is damaged after leaf {index - 1}, and the log had {size} leaves", KEEP)
    size = max(size, index)
    for path, end in empty:
        if not end:
            # What an earlier use of its blocks left in a head that was being written is of leaves the log has.
            _refuse_lost(path, 0, size - 1)
    found = [close(spool, path, prefix) for path, prefix in whole]
    for path, end in empty:
        torn = torn_bytes(path, end)
        durable.remove(path)
        if end or torn:
            # Else it was made ahead, and nothing was ever in it.
            found.append(Recovered(path.stem, 0, torn, None, 0, None))
    return found


def _refuse_lost(path: Path, end: int, index: int) -> None:
    """A cut tears the one entry that was being written. Where another follows, more is missing than that."""
    later = lost_entry(path, end, index)
    if later is not None:
        raise LostError(f"{path} is damaged at byte {end}, and leaf {later} was stored after that", KEEP)


def close(spool: Spool, path: Path, prefix: Prefix) -> Recovered:
    """Cut off what a power cut tore, and seal the rest. Raises StorageError."""
    torn = torn_bytes(path, prefix.end)
    with durable.storage_errors(path, "cannot recover segment"), durable.opened(path, "r+b") as file:
        # Whichever of the two a power cut keeps, the next start finds the same prefix: one sync is enough for both.
        os.ftruncate(file.fileno(), prefix.end)
        durable.pwrite_all(file.fileno(), pack.TRAILER, prefix.end)
        os.fsync(file.fileno())
    gone_on()
    durable.move(path, spool.sealed_dir / path.name)
    record = _write_record(spool.sealed_dir / path.name, prefix)
    return Recovered(path.stem, len(prefix.hashes), torn, None, 0, record)


def torn_bytes(path: Path, end: int) -> int:
    """Bytes after the last whole entry up to the last one that is not zero: preallocated space is no loss."""
    last = end
    with durable.storage_errors(path, "cannot read"), readable(path), durable.opened(path) as file:
        file.seek(end)
        position = end
        while block := file.read(1 << 20):
            gone_on()
            kept = block.rstrip(b"\0")
            if kept:
                last = position + len(kept)
            position += len(block)
    return last - end


def _mend_records(spool: Spool, segments: Segments, state: SegmentState) -> None:
    """Each whole segment has its seal record beside it, wherever a cut came between the two."""
    for path in spool.segments(state):
        record = path.with_suffix(".seal")
        gone_on()
        if not _holds(record):
            _mend_record(segments, path, state)
    for record in spool.seals(state):
        gone_on()
        if not os.path.lexists(record.with_suffix(".tar")):
            durable.remove(record)


def _mend_record(segments: Segments, path: Path, state: SegmentState) -> None:
    """From a segment that is whole to its trailer: of any other, a record would say that what is left is all."""
    why = "its trailer is not where its last whole entry ends"
    try:
        prefix = segments.at(path)
        if prefix.sealed:
            _write_record(path, prefix)
            return
    except EvidenceError as err:
        why = err.message
    if state is SegmentState.SEALED:
        raise LostError(f"{path} is damaged, and its seal record is gone: {why}", KEEP)
    # A receipt covers it: the camera can do without it. Without a record it is never deleted.


def _write_record(path: Path, prefix: Prefix) -> SealRecord:
    with durable.storage_errors(path, "cannot read"):
        size, pieces = path.stat().st_size, PieceDigests()
        answering = possession.Answering(possession.challenge())
        digest = sha256_of(path, pieces.update, answering.update)
    asked = answering.challenge, answering.with_end()
    record = SealRecord.of(prefix.header, path.stem, size, digest, len(prefix.hashes), pieces.with_end(b""), *asked)
    durable.write_file(path.with_suffix(".seal"), record.to_bytes(), 0o640)
    return record


def _mend_tiles(segments: Segments, tiles: TileStore, records: list[SealRecord]) -> None:
    """Tiles that do not lead to their checkpoint are a copy that went bad: the leaves in segments make them anew."""
    if tiles.damage is None:
        return
    if tiles.head is None and not records:
        raise LostError(f"the log's checkpoint: {tiles.damage}", KEEP)
    known: dict[int, bytes] = {}
    bases = [(tiles.head.size, tiles.head.root)] if tiles.head else list(_bases(segments, records))
    why = ""
    for size, root in bases:
        for record in records:
            if record.end > tiles.mends_from(size) and record.first < size and (prefix := segments.if_whole(record)):
                known.update(enumerate(prefix.hashes, record.first))
        try:
            tiles.mend(size, root, known)
            return
        except EvidenceError as err:
            why = err.message
    raise LostError(f"the log's tiles: {tiles.damage}; and {why}", KEEP)


def _refuse_ended(segments: Segments, tiles: TileStore, records: list[SealRecord]) -> None:
    """A log of which something was set aside, since the next was to begin, ends there, though the power went before
    that did: what was set aside has leaves that the tiles lack.
    """
    for record in records:
        path = segments.where(record)
        with contextlib.suppress(DamagedError):
            later = lost_entry(path, 0, tiles.size - 1) if record.kept else None
            if later is not None:
                raise LostError(f"leaf {later} is in {path} alone, which is damaged, and kept as it was found", KEEP)


def _bases(segments: Segments, records: list[SealRecord]) -> Iterator[tuple[int, bytes]]:
    """(size, root) of the log before segments that prove it, where no checkpoint lies beside the tiles: before the
    newest, so that little is read again; before the oldest, where the tiles do not reach that far.
    """
    for record in [*records[:-4:-1], *records[:1]]:
        if prefix := segments.if_whole(record):
            yield prefix.header.frontier.size, prefix.header.frontier.root()


def replay(segments: Segments, tiles: TileStore, records: list[SealRecord]) -> None:
    """Feed the tiles the leaves that are newer than they are."""
    for record in records:
        if record.end <= tiles.size:
            continue
        prefix = segments.of(record)
        if record.first > tiles.size:
            raise LostError(
                f"the log on this card stops at leaf {tiles.size}, but {record.segment} begins at leaf {record.first}",
                f"a segment is missing that was not delivered: {KEEP}",
            )
        frontier = prefix.header.frontier
        for value in prefix.hashes[: tiles.size - record.first]:
            frontier = frontier.append(value)
        _same(frontier.root(), tiles.frontier().root(), record.segment)
        for value in prefix.hashes[tiles.size - record.first :]:
            tiles.append(value)


def _same(one: bytes, other: bytes, segment: str) -> None:
    if one != other:
        raise LostError(f"segment {segment} does not continue the log on this card", KEEP)


def _name_cut(segments: Segments, recovered: list[Recovered], records: list[SealRecord]) -> list[Recovered]:
    """The recording that the log leaves open, named beside the segment that has its last leaf, else beside the newest
    that was open.
    """
    for record in reversed(records):
        prefix = segments.if_whole(record)
        if prefix is None:
            # Its leaves are in the tiles, so the log goes on; what it told of recordings, nobody knows.
            break
        if prefix.deciding is None and not prefix.idle:
            continue
        cut = prefix.cut_recording()
        if cut is None:
            break
        beside = next((r for r in recovered if r.segment == record.segment), recovered[-1] if recovered else None)
        if beside is None:
            return [Recovered(record.segment, record.entries, 0, *cut, record)]
        return [replace(r, cut_recording=cut[0], parts=cut[1]) if r is beside else r for r in recovered]
    return recovered


def _unannounced(segments: Segments, records: list[SealRecord], closed: set[str]) -> list[SealRecord]:
    """Whole segments whose seal leaves are still owed, oldest first: the newest ones, down to one that a later one
    announces. They are announced in order, so all before that are. Of those that were not `closed` just now the digest
    is taken again: their records are signed by nobody, and the leaf is.
    """
    said: set[str] = set()
    owed: list[SealRecord] = []
    for record in reversed(records):
        if record.segment in said or (owed and record.end != owed[-1].first):
            break
        prefix, fresh = segments.if_whole(record), record.segment in closed
        if prefix is None or not (prefix.sealed or fresh):
            # It does not say any more what it was, and nobody else does.
            break
        owed.append(record if fresh else _measured(segments.where(record), record, prefix))
        said |= prefix.announced
    return owed[::-1]


def _measured(path: Path, record: SealRecord, prefix: Prefix) -> SealRecord:
    with durable.storage_errors(path, "cannot read"):
        found = path.stat().st_size, sha256_of(path)
    return record if found == (record.size, record.sha256) else _write_record(path, prefix)
