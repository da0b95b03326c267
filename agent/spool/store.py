"""The spool: directories that are states. A segment moves by one rename; nothing else says where it is.

`open/ sealed/ delivered/ log/ receipts/ inbox/ outbox/` below one root, all on one file system.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent import durable
from agent.errors import EvidenceError, StorageError
from agent.formats import epoch, note, possession
from agent.formats.pack import is_segment
from agent.formats.seal import MAX_SEAL, SealRecord, is_seal
from agent.headway import gone_on
from agent.model import SegmentState

INBOX_MODE = 0o770
_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_receipt(name: str) -> bool:
    """Whether an accepted receipt's file may be called this."""
    return name.endswith(".receipt") and _DIGEST.fullmatch(name, 0, len(name) - 8) is not None


@contextmanager
def what_may_be_read() -> Iterator[None]:
    """What is read below this tells nothing where it is another user's and kept from this one: what the recorder wrote
    itself it may read. Raises StorageError for anything else.
    """
    try:
        yield
    except StorageError as err:
        if not (isinstance(err.__cause__, OSError) and err.__cause__.errno in (errno.EACCES, errno.EPERM)):
            raise


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Of the file system the spool is on."""

    free_bytes: int
    total_bytes: int


class Spool:
    """Paths, listings and moves. Raises StorageError."""

    def __init__(self, root: Path) -> None:
        # The uploader's group may read what it sends, and write in inbox/ alone (docs/architecture.md, "Processes").
        self.root = durable.make_dir(root, 0o750)
        for name in ("open", "sealed", "delivered", "log", "receipts", "outbox"):
            durable.make_dir(root / name, 0o750)
        inbox = durable.make_dir(root / "inbox")
        with durable.storage_errors(inbox, "cannot open to the uploader"):
            # At each start: the power may have gone between the two, or before the mode was on the disk.
            if inbox.stat().st_mode & INBOX_MODE != INBOX_MODE:
                inbox.chmod(INBOX_MODE)

    def dir(self, state: SegmentState) -> Path:
        return self.root / state.value

    @property
    def open_dir(self) -> Path:
        return self.dir(SegmentState.OPEN)

    @property
    def sealed_dir(self) -> Path:
        return self.dir(SegmentState.SEALED)

    @property
    def receipts_dir(self) -> Path:
        return self.root / "receipts"

    def receipts(self) -> list[Path]:
        """The receipts that were accepted, by digest."""
        return [self.receipts_dir / name for name in durable.files(self.receipts_dir) if is_receipt(name)]

    def keep_receipt(self, data: bytes) -> str:
        """Store an accepted receipt; returns its digest, under which it lies."""
        digest = hashlib.sha256(data).hexdigest()
        durable.write_file(self.receipts_dir / f"{digest}.receipt", data, 0o644)
        durable.write_file(self._newest, digest.encode() + b"\n", 0o640)
        return digest

    @property
    def _newest(self) -> Path:
        return self.root / "log" / "newest-receipt"

    def newest_receipt(self) -> Path | None:
        """The receipt accepted last; by the files' dates only where what was noted of it is lost. None that is not
        what its name says, by which the log names it, or that the disk does not read.
        """
        with durable.storage_errors(self.receipts_dir, "cannot look at"):
            noted = (durable.read_if_whole(self._newest) or b"")[:64]
            path = self.receipts_dir / f"{noted.decode('ascii', 'replace')}.receipt"
            if is_receipt(path.name) and _is_named_by_digest(path):
                return path
            return next(filter(_is_named_by_digest, sorted(self.receipts(), key=_written_ns, reverse=True)), None)

    @property
    def inbox_dir(self) -> Path:
        return self.root / "inbox"

    def log_dir(self, number: int) -> Path:
        """Where the log of an epoch lies."""
        return self.root / "log" / str(number)

    def epochs(self) -> list[int]:
        """The epochs that have a log on this card, oldest first; a directory in which nothing is whole yet is none. One
        that may not be looked into has its number.
        """
        log = self.root / "log"
        return sorted(int(n) for n in durable.dirs(log) if epoch.is_number(n) and _is_begun(log / n))

    def records(self, state: SegmentState) -> list[SealRecord]:
        """The seal records of all segments in this state whose digest is known, oldest first. StorageError where one is
        damaged.
        """
        found, damaged = self.readable(state)
        if damaged:
            raise damaged[0]
        return found

    def readable(self, state: SegmentState) -> tuple[list[SealRecord], list[StorageError]]:
        """As `records`, of those that can be read; and what is wrong with each of the others."""
        whole = {path.stem for path in self.segments(state)}
        found: list[SealRecord] = []
        damaged: list[StorageError] = []
        for path in self.seals(state):
            gone_on()
            if path.stem in whole:
                try:
                    found.append(readable_seal(path))
                except StorageError as err:
                    damaged.append(err)
        return sorted(found, key=lambda r: (r.epoch, r.first)), damaged

    def sealed_record(self, name: str) -> SealRecord | None:
        """Of one sealed segment; None where there is none. StorageError where it is damaged."""
        path = self.segment(SegmentState.SEALED, name)
        seal = path.with_suffix(".seal")
        return readable_seal(seal) if durable.is_file(seal) and durable.is_file(path) else None

    def segments(self, state: SegmentState) -> list[Path]:
        """The segments' files in this state, by name."""
        return self._files(state, is_segment)

    def seals(self, state: SegmentState) -> list[Path]:
        """The seal records' files in this state, by name; one may stand without its segment."""
        return self._files(state, is_seal)

    def _files(self, state: SegmentState, fits: Callable[[str], bool]) -> list[Path]:
        directory = self.dir(state)
        return [directory / name for name in durable.files(directory) if fits(name)]

    def segment(self, state: SegmentState, name: str) -> Path:
        return self.dir(state) / f"{name}.tar"

    def remeasure(self, record: SealRecord, sha256: str, size: int) -> None:
        """Where a sealed segment reads as this now, and not as it was sealed, its record says that from now on.
        The station was asked with the challenge that it has: it stays, and the answer is of what is here now.
        """
        answering = possession.Answering(record.challenge) if record.challenge else None
        path = self.segment(SegmentState.SEALED, record.segment)
        with durable.storage_errors(path, "cannot read"):
            found = path.stat().st_size, sha256_of(path, *([answering.update] if answering else []))
        if found == (size, sha256):
            answer = answering.with_end() if answering else ""
            changed = replace(record, sha256=sha256, size=size, kept=True, pieces=(), answer=answer)
            durable.write_file(path.with_suffix(".seal"), changed.to_bytes(), 0o640)

    def deliver(self, records: Sequence[SealRecord]) -> None:
        """sealed/ to delivered/, with four syncs however many they are. The segments move first: a record alone never
        stands for one. Called again after an error it goes on where it was.
        """
        for suffix in (".tar", ".seal"):
            sources = [self.sealed_dir / f"{record.segment}{suffix}" for record in records]
            durable.move_all(sources, self.dir(SegmentState.DELIVERED))

    def delete(self, record: SealRecord) -> None:
        """Unlink a delivered segment, durably before the next one: what is left of the log has no hole. The caller has
        made the deletion leaf durable; nothing outside delivered/ can go. Its blocks are free then, whoever reads it.
        """
        path = self.segment(SegmentState.DELIVERED, record.segment)
        with durable.giving_back(path):
            durable.remove(path)
        durable.remove(self.dir(SegmentState.DELIVERED) / f"{record.segment}.seal")
        gone_on()

    def space(self) -> DiskSpace:
        with durable.storage_errors(self.root, "cannot look at"):
            stat = os.statvfs(self.root)
        return DiskSpace(stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize)

    def tell(self, name: str, value: Mapping[str, Any]) -> None:
        """Leave a message for the uploader in outbox/."""
        durable.write_file(self.root / "outbox" / name, json.dumps(dict(value)).encode() + b"\n", 0o644)


def _is_begun(log: Path) -> bool:
    with what_may_be_read():
        return any(not name.startswith(".") for name in durable.names(log))
    return True


def _written_ns(path: Path) -> int:
    """Of what the disk has lost, before all others. Raises OSError for what may pass."""
    gone_on()
    try:
        return path.stat().st_mtime_ns
    except OSError as err:
        if durable.is_lost(err):
            return -1
        raise


def _is_named_by_digest(path: Path) -> bool:
    """Not where the disk has lost it, or what it is. Raises StorageError, or OSError, for what may pass: an older one
    would stand for it.
    """
    try:
        return durable.is_file(path) and path.stat().st_size <= note.MAX_NOTE_BYTES and sha256_of(path) == path.stem
    except (OSError, StorageError) as err:
        if durable.says_lost(err) if isinstance(err, StorageError) else durable.is_lost(err):
            return False
        raise


def read_seal(path: Path) -> SealRecord:
    """Raises EvidenceError where the record is damaged: recovery makes it anew from the segment."""
    with durable.opened(path) as file:
        record = SealRecord.parse(file.read(MAX_SEAL + 1))
    if record.segment != path.stem:
        raise EvidenceError(f"{path} is the seal record of {record.segment}")
    return record


def readable_seal(path: Path) -> SealRecord:
    """As `read_seal`; StorageError, which says what to do, where it is damaged."""
    with durable.storage_errors(path, "cannot read"):
        try:
            return read_seal(path)
        except EvidenceError as err:
            raise StorageError(f"{path} is damaged", "restart the recorder: it is made anew from the segment") from err


def sha256_of(path: Path, *also: Callable[[bytes], None]) -> str:
    """Digest of a file, streamed; each of `also` hears its bytes."""
    digest = hashlib.sha256()
    with durable.opened(path) as file:
        while data := file.read(1 << 20):
            digest.update(data)
            for hear in also:
                hear(data)
            gone_on()
    return digest.hexdigest()
