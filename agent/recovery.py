"""After the battery fell out: close what was left open, and find where the log stands. Runs before anything is
signed.

For each segment in open/ the longest verifiable prefix is kept, the rest is cut off durably, and only then may a
new leaf take the index of one that was torn. Nothing here signs; the recorder writes the recovery leaves from
what this returns.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent import durable
from agent.errors import AgentError, EvidenceError, StorageError
from agent.formats import certs, merkle, note, pack
from agent.formats import leaf as leaves
from agent.formats.seal import SealRecord
from agent.model import SegmentState
from agent.sealing.tiles import TileStore
from agent.spool.store import Spool, read_seal


@dataclass(frozen=True, slots=True)
class Recovered:
    """One segment that was open: how many whole entries it keeps, how many bytes after them were dropped.

    `cut_recording` names a recording whose stop leaf is not among them, with the number of its `parts` so far.
    `record` is None where not even the head was whole, and the file was removed.
    """

    segment: str
    entries: int
    torn_bytes: int
    cut_recording: str | None
    parts: int
    record: SealRecord | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the recorder must still put into the log: recovery leaves for `recovered`, seal leaves for
    `unannounced`.
    """

    recovered: tuple[Recovered, ...]
    unannounced: tuple[SealRecord, ...]


@dataclass(slots=True)
class _Scan:
    header: pack.SegmentHeader
    hashes: list[bytes]
    end: int
    parts: int
    stopped: bool
    sealed_names: set[str]


def recover(spool: Spool, tiles: TileStore, origin: str) -> Outcome:
    """Bring the spool to a state in which every segment is sealed and the tiles hold every durable leaf.

    Idempotent: a power cut in here is met by running it again. Raises StorageError where the disk fails, or the
    log on it contradicts itself.
    """
    _drop_leftovers(spool)
    recovered = [_close(spool, path) for path in sorted(spool.open_dir.glob("*.tar"))]
    for state in (SegmentState.SEALED, SegmentState.DELIVERED):
        _mend_records(spool, state)
    records = sorted(spool.records(SegmentState.SEALED) + spool.records(SegmentState.DELIVERED), key=lambda r: r.first)
    _mend_tiles(spool, tiles, records)
    _replay(spool, tiles, records, origin)
    return Outcome(tuple(recovered), tuple(_unannounced(spool, records)))


def _drop_leftovers(spool: Spool) -> None:
    """Files written aside whose rename never came. inbox/ is left alone: the uploader may be writing there now."""
    for path in spool.root.glob("**/.*.tmp"):
        if spool.inbox_dir not in path.parents:
            durable.remove(path)


def _close(spool: Spool, path: Path) -> Recovered:
    try:
        scan = _scan(path)
    except EvidenceError:
        scan = None
    if scan is None or not scan.hashes:
        durable.remove(path)
        return Recovered(path.stem, 0, 0, None, 0, None)
    torn = _torn_bytes(path, scan.end)
    with durable.storage_errors(path, "cannot recover segment"):
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.ftruncate(fd, scan.end)
            os.fsync(fd)
            durable.pwrite_all(fd, pack.TRAILER, scan.end)
            os.fsync(fd)
        finally:
            os.close(fd)
    durable.move(path, spool.sealed_dir / path.name)
    record = _write_record(spool.sealed_dir / path.name)
    cut = scan.header.recording if not scan.stopped else None
    return Recovered(path.stem, len(scan.hashes), torn, cut, scan.parts if cut else 0, record)


def _torn_bytes(path: Path, end: int) -> int:
    """Bytes after the last whole entry up to the last one that is not zero: preallocated space is no loss."""
    last = end
    with path.open("rb") as file:
        file.seek(end)
        position = end
        while block := file.read(1 << 20):
            kept = block.rstrip(b"\0")
            if kept:
                last = position + len(kept)
            position += len(block)
    return last - end


def _scan(path: Path) -> _Scan:
    """Read a segment up to the first byte that is not proven; entries after it are not looked at."""
    with path.open("rb") as file:
        reader = pack.PackReader(file.read)
        header = reader.head()
        session = _session_of(reader.chain)
        chain = hashlib.sha256(reader.chain).hexdigest()
        init = hashlib.sha256(reader.init).hexdigest() if reader.init is not None else None
        scan = _Scan(header, [], reader.offset, 0, False, set())
        frontier = header.frontier
        try:
            for entry in reader.entries():
                leaf = leaves.parse(entry.leaf)
                frontier = frontier.append(merkle.leaf_hash(entry.leaf))
                _check(entry, leaf, header, session, frontier, chain, init)
                scan.hashes.append(merkle.leaf_hash(entry.leaf))
                scan.end = entry.end
                _note_leaf(scan, leaf)
        except EvidenceError:
            return scan
    return scan


def _session_of(chain_pem: bytes) -> certs.Session:
    try:
        return certs.read_session(certs.parse_pem(chain_pem))
    except AgentError as err:
        raise EvidenceError(err.message) from err


def _check(
    entry: pack.Entry,
    leaf: leaves.Leaf,
    header: pack.SegmentHeader,
    session: certs.Session,
    frontier: merkle.Frontier,
    chain: str,
    init: str | None,
) -> None:
    common = leaf.common
    signed = note.parse(entry.note)
    head = note.parse_checkpoint(signed.text)
    note.verify_ed25519(signed, header.origin, session.key)
    same = (
        entry.index == common.index == frontier.size - 1
        and head == note.Checkpoint(header.origin, frontier.size, frontier.root())
        and leaves.Sealed.of(entry.sealed, common.sealed.header_size) == common.sealed
        and common.chain == chain
        and (isinstance(leaf, leaves.EventLeaf) or leaf.init == init)
    )
    if not same:
        raise EvidenceError(f"entry {entry.index} is torn")


def _note_leaf(scan: _Scan, leaf: leaves.Leaf) -> None:
    if isinstance(leaf, leaves.MediaLeaf):
        scan.parts = leaf.part + 1
    elif leaf.kind is leaves.Kind.STOP and leaf.recording == scan.header.recording:
        scan.stopped = True
    elif leaf.kind is leaves.Kind.SEAL:
        scan.sealed_names.add(str(leaf.facts.get("segment")))


def _mend_records(spool: Spool, state: SegmentState) -> None:
    """Each whole segment has its seal record beside it, wherever a cut came between the two."""
    directory = spool.dir(state)
    for path in directory.glob("*.tar"):
        record = path.with_suffix(".seal")
        try:
            read_seal(record)
        except (OSError, EvidenceError):
            stray = spool.sealed_dir / record.name
            if state is SegmentState.DELIVERED and stray.exists():
                durable.move(stray, record)
            else:
                _write_record(path)
    for record in directory.glob("*.seal"):
        if not record.with_suffix(".tar").exists():
            durable.remove(record)


def _write_record(path: Path) -> SealRecord:
    scan = _scan(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    header = scan.header
    size = path.stat().st_size
    record = SealRecord(path.stem, size, digest, header.first, len(scan.hashes), header.recording, header.seq)
    durable.write_file(path.with_suffix(".seal"), record.to_bytes(), 0o640)
    return record


def _mend_tiles(spool: Spool, tiles: TileStore, records: list[SealRecord]) -> None:
    """Tiles that do not lead to their checkpoint are a copy that went bad: the leaves in segments make them anew."""
    if tiles.damage is None:
        return
    if tiles.head is None and not records:
        raise StorageError(
            f"the log's checkpoint: {tiles.damage}", "restore log/ from the station, or retire this card"
        )
    known: dict[int, bytes] = {}
    for record in records:
        known.update(enumerate(_scan(_path(spool, record)).hashes, record.first))
    if tiles.head is not None:
        size, root = tiles.head.size, tiles.head.root
    else:
        frontier = _scan(_path(spool, records[0])).header.frontier
        size, root = frontier.size, frontier.root()
    tiles.mend(size, root, known)


def _replay(spool: Spool, tiles: TileStore, records: list[SealRecord], origin: str) -> None:
    """Feed the tiles the leaves that are newer than they are."""
    for record in records:
        if record.end <= tiles.size:
            continue
        scan = _scan(_path(spool, record))
        if scan.header.origin != origin:
            raise StorageError(
                f"segment {record.segment} belongs to the log {scan.header.origin}", "this card is of another camera"
            )
        if record.first > tiles.size:
            raise StorageError(
                f"the log on this card stops at leaf {tiles.size}, but {record.segment} begins at leaf {record.first}",
                "a segment is missing that was not delivered: keep this card as it is and call the agency",
            )
        frontier = scan.header.frontier
        for value in scan.hashes[: tiles.size - record.first]:
            frontier = frontier.append(value)
        _same(frontier.root(), tiles.frontier().root(), record.segment)
        for value in scan.hashes[tiles.size - record.first :]:
            tiles.append(value)


def _same(one: bytes, other: bytes, segment: str) -> None:
    if one != other:
        raise StorageError(
            f"segment {segment} does not continue the log on this card", "keep this card as it is and call the agency"
        )


def _path(spool: Spool, record: SealRecord) -> Path:
    for state in (SegmentState.SEALED, SegmentState.DELIVERED):
        path = spool.segment(state, record.segment)
        if path.exists():
            return path
    raise StorageError(f"segment {record.segment} is gone", "check the disk")


def _unannounced(spool: Spool, records: list[SealRecord]) -> Iterator[SealRecord]:
    """Whole segments whose seal leaf is still owed: the newest, and the one before it unless the newest says so."""
    if not records:
        return
    newest = records[-1]
    if len(records) > 1:
        said = _scan(_path(spool, newest)).sealed_names
        if records[-2].segment not in said and records[-2].end == newest.first:
            yield records[-2]
    yield newest
