"""What lies in the spool to be sent. Read-only: the spool is the recorder's."""

from __future__ import annotations

from pathlib import Path

from agent.dock.logproof import epochs_in, load_log
from agent.dock.station import TryAgainError
from agent.dock.uploading import Seen
from agent.errors import EvidenceError
from agent.formats.seal import MAX_SEAL, SealRecord


class Outgoing:
    """Looks at `sealed/` and `log/`; remembers the seal records it has read, since they never change."""

    def __init__(self, spool: Path) -> None:
        self._sealed, self._log = spool / "sealed", spool / "log"
        self._records: dict[str, SealRecord] = {}

    def look(self) -> tuple[Seen, ...]:
        """One for each epoch that has something to send, oldest first; the last is the log that is being written. A log
        that cannot be read does not keep segments from being sent.
        """
        names = {p.stem for p in self._sealed.glob("*.seal")} if self._sealed.is_dir() else set()
        self._records = {n: r for n, r in self._records.items() if n in names}
        for name in names - self._records.keys():
            record = self._read(name)
            if record is not None:
                self._records[name] = record
        records = sorted(self._records.values(), key=lambda r: (r.first, r.segment))
        newest = max([*epochs_in(self._log), *(r.epoch for r in records)], default=1)
        epochs = sorted({newest, *(r.epoch for r in records)})
        return tuple(self._seen(e, e < newest, tuple(r for r in records if r.epoch == e)) for e in epochs)

    def _seen(self, epoch: int, closed: bool, records: tuple[SealRecord, ...]) -> Seen:
        try:
            return Seen(load_log(self._log, epoch, closed), records, epoch=epoch, closed=closed)
        except TryAgainError as err:
            return Seen(None, records, err.message, epoch, closed)

    def path(self, record: SealRecord) -> Path:
        """The segment's file."""
        return self._sealed / f"{record.segment}.tar"

    def _read(self, name: str) -> SealRecord | None:
        """None where it moved away meanwhile, or is damaged: recovery makes the record anew."""
        try:
            with (self._sealed / f"{name}.seal").open("rb") as file:
                record = SealRecord.parse(file.read(MAX_SEAL + 1))
        except (OSError, EvidenceError):
            return None
        return record if record.segment == name and (self._sealed / f"{name}.tar").exists() else None
