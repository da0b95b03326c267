"""What lies in delivered/, remembered: by default all that a station has stays on the card while there is room, and
thousands of records are not read anew each minute.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace

from agent import durable
from agent.errors import StorageError
from agent.formats.pack import is_segment
from agent.formats.seal import SealRecord
from agent.model import NS, SegmentState
from agent.spool.store import Spool, readable_seal

LISTED_NS = 10 * NS
"""For so long who looks often need not list it again: of a large card that takes a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """A segment in delivered/: its record without pieces and challenge, None where it is not read yet or cannot be; its
    file's size in bytes; since when it lies there, by the wall clock (its ctime), in POSIX seconds.
    """

    size: int
    since_s: float
    record: SealRecord | None = None


class Shelf:
    """Files are looked at once, records read once; only the names are listed again. Not thread-safe. Raises
    StorageError.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool, self._dir = spool, spool.dir(SegmentState.DELIVERED)
        self._found: dict[str, Delivered] = {}
        self._unread: list[str] = []
        self._unreadable: set[str] = set()
        self.damaged: list[StorageError] = []
        """Of records, as they were read last."""

    def look(self) -> None:
        """What came is looked at, and what is gone forgotten. Damaged records are to be read once more."""
        names = set(durable.files(self._dir))
        here = {name[:-4] for name in names if is_segment(name)}
        self._found = {name: one for name, one in self._found.items() if name in here}
        with durable.storage_errors(self._dir, "cannot look at"):
            for name in sorted(here - self._found.keys()):
                with contextlib.suppress(FileNotFoundError):
                    status = os.lstat(self._dir / f"{name}.tar")
                    self._found[name] = Delivered(status.st_size, status.st_ctime)
        self._unread = [n for n, one in self._found.items() if one.record is None and f"{n}.seal" in names]
        self._unreadable = {n for n in self._found if n in self._unreadable or f"{n}.seal" not in names}
        self.damaged = []

    def read(self, most: int | None = None) -> bool:
        """Read records that are not read yet, up to so many. True where none is left."""
        batch, self._unread = self._unread[:most], [] if most is None else self._unread[most:]
        for name in batch:
            record = self.again(name)
            if record is not None:
                self._found[name] = replace(self._found[name], record=replace(record, pieces=()))
        return not self._unread

    def again(self, name: str) -> SealRecord | None:
        """The record as it is on the card now; None where it is damaged."""
        try:
            record = readable_seal(self._dir / f"{name}.seal")
            self._unreadable.discard(name)
            return record
        except StorageError as err:
            self.damaged.append(err)
            self._unreadable.add(name)
            self._found[name] = replace(self._found[name], record=None)
            return None

    def records(self) -> list[SealRecord]:
        """Those that were read."""
        return [one.record for one in self._found.values() if one.record is not None]

    def since_s(self, name: str) -> float:
        """Since when this segment lies here."""
        return self._found[name].since_s

    @property
    def bytes(self) -> int:
        """Of the segments that may go: all but those of which there is no record, or one that could not be read."""
        return sum(one.size for name, one in self._found.items() if name not in self._unreadable)
