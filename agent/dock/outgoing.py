"""What lies in the spool to be sent, and what of it first. Read-only: the spool is the recorder's."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from agent import durable
from agent.dock.logproof import epochs_in, load_log
from agent.dock.presence import dock_told
from agent.dock.station import TryAgainError
from agent.dock.uploading import Seen
from agent.errors import EvidenceError
from agent.formats.seal import MAX_SEAL, SealRecord, is_seal


class Outgoing:
    """Looks at `sealed/` and `log/`; remembers the seal records it has read, until one is written anew. What reads
    otherwise than its record says goes on under what it is now (`altered`).
    """

    def __init__(self, spool: Path) -> None:
        self._sealed, self._log, self._outbox = spool / "sealed", spool / "log", spool / "outbox"
        self._records: dict[str, tuple[int, SealRecord]] = {}
        self._altered: dict[str, SealRecord] = {}

    def look(self) -> tuple[Seen, ...]:
        """One for each epoch that has something to send, oldest first; the last is the log that is being written. A log
        that cannot be read does not keep segments from being sent.
        """
        names = [name for name in durable.files(self._sealed) if is_seal(name)] if self._sealed.is_dir() else []
        stamps = {name[:-5]: _stamp(self._sealed / name) for name in names}
        self._records = {n: known for n, known in self._records.items() if known[0] == stamps.get(n)}
        for name in stamps.keys() - self._records.keys():
            record = self._read(name)
            if record is not None:
                self._records[name] = stamps[name], record
                self._altered.pop(name, None)
        known = [self._altered.get(n, record) for n, (_, record) in self._records.items()]
        records = sorted(known, key=lambda r: (r.first, r.segment))
        newest = max([*epochs_in(self._log), *(r.epoch for r in records)], default=1)
        epochs = sorted({newest, *(r.epoch for r in records)})
        marked = marked_in(self._outbox)
        return tuple(self._seen(e, e < newest, tuple(r for r in records if r.epoch == e), marked) for e in epochs)

    def _seen(self, epoch: int, closed: bool, records: tuple[SealRecord, ...], marked: frozenset[str]) -> Seen:
        try:
            return Seen(load_log(self._log, epoch, closed), records, epoch=epoch, closed=closed, marked=marked)
        except TryAgainError as err:
            return Seen(None, records, err.message, epoch, closed, marked)

    def path(self, record: SealRecord) -> Path:
        """The segment's file."""
        return self._sealed / f"{record.segment}.tar"

    def as_it_is(self, record: SealRecord) -> SealRecord:
        """The record, where the file has the size that it says; else what the segment is now. Raises StorageError."""
        path = self.path(record)
        with durable.storage_errors(path, "cannot read"):
            as_sealed = path.stat().st_size == record.size
        return record if as_sealed else self.altered(record) or record

    def altered(self, record: SealRecord) -> SealRecord | None:
        """What the segment is now, where its bytes are no longer those that were sealed: to be kept as that. None
        where they are. Raises StorageError.
        """
        path = self.path(record)
        with durable.storage_errors(path, "cannot read"), durable.opened(path) as file:
            sha256, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
        if (sha256, size) == (record.sha256, record.size):
            return None
        self._altered[record.segment] = replace(record, sha256=sha256, size=size, kept=True, pieces=())
        return self._altered[record.segment]

    def _read(self, name: str) -> SealRecord | None:
        """None where it moved away meanwhile, or is damaged: recovery makes the record anew."""
        try:
            with durable.opened(self._sealed / f"{name}.seal") as file:
                record = SealRecord.parse(file.read(MAX_SEAL + 1))
        except (OSError, EvidenceError):
            return None
        return record if record.segment == name and durable.is_file(self._sealed / f"{name}.tar") else None


def marked_in(outbox: Path) -> frozenset[str]:
    """The segments that the recorder says hold a mark."""
    told = dock_told(outbox / "dock.json").get("marked", ())
    return frozenset(name for name in told if isinstance(name, str)) if isinstance(told, list) else frozenset()


def _stamp(path: Path) -> int:
    """Changes when the file is replaced; 0 where it moved away meanwhile."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
