"""What lies in sealed/ of what receipts name. An uploader that was taken over may leave genuine receipts again and
again, and thousands of segments may wait: one that comes again costs no more than what it names and is still here.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.errors import StorageError
from agent.formats import receipt
from agent.formats.seal import SealRecord
from agent.model import NS, SegmentState
from agent.spool.store import Spool

MEASURE_NS = 60 * NS
"""Between two readings of a whole segment for the same bytes: as often as a station is asked again."""


class Sealed:
    """Each record is read once in a turn, however many receipts name it. Not thread-safe. Raises StorageError."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._read: dict[str, SealRecord | None] = {}
        self._measured_ns: dict[tuple[str, str], int] = {}
        self.damaged: list[StorageError] = []
        """Of records, as they were read last."""

    def turn(self) -> None:
        """Another one: what was read may have changed."""
        self._read = {}

    def moved(self, names: Iterable[str]) -> None:
        """These segments did."""
        for name in names:
            self._read.pop(name, None)

    def named(self, told: receipt.Receipt) -> list[SealRecord]:
        """The records of the sealed segments that it names, but for damaged ones, oldest first."""
        names = {stored.segment for stored in (*told.stored, *told.kept)}
        self._read |= {name: self._record(name) for name in names - self._read.keys()}
        found = (self._read[name] for name in names)
        return sorted((record for record in found if record), key=lambda r: (r.epoch, r.first))

    def measure(self, told: receipt.Receipt, now_ns: int) -> None:
        """Segments that the station keeps with other bytes than were sealed: where the card has changed them, and they
        read now as the station has them, the seal record says so, and the receipt counts for that.
        """
        records = {r.segment: r for r in self.named(told)} if told.kept else {}
        last = {key: at for key, at in self._measured_ns.items() if now_ns - at < MEASURE_NS}
        for stored in told.kept:
            record, key = records.get(stored.segment), (stored.segment, stored.sha256)
            if record is not None and stored.sha256 != record.sha256 and key not in last:
                self._spool.remeasure(record, stored.sha256, stored.size)
                last[key] = now_ns
                self._read.pop(stored.segment, None)
        self._measured_ns = last

    def look_through(self) -> None:
        """Read all, for what is damaged: no receipt may name that."""
        self.damaged = self._spool.readable(SegmentState.SEALED)[1]

    def _record(self, name: str) -> SealRecord | None:
        try:
            return self._spool.sealed_record(name)
        except StorageError as err:
            self.damaged = self.damaged or [err]
            return None
