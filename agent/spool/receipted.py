"""What the receipts on the card say of delivered segments: which one proves a segment, and how old it is at the most.

By the card a segment is as old as its rename into delivered/ says against the wall clock, and somebody may set that in
between: a camera without a battery for its clock delivers in 1970, and is told the time a moment later. So nothing
counts as older than the station's own signed times say: from the receipt that first names it to the newest one, and
what passed since by the clock that nobody sets. Away from every station, time in which it is off does not count.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent import durable
from agent.clock import Clock
from agent.errors import EvidenceError
from agent.formats import note, receipt
from agent.formats.seal import SealRecord
from agent.model import NS, SegmentState
from agent.spool.store import Spool


@dataclass(slots=True)
class _Named:
    """What receipts say of one digest: since when it is stored, in which it was found, and in which with this answer
    to its challenge.
    """

    since_s: int
    receipt: str
    answers: dict[str, str] = field(default_factory=dict)


class Receipted:
    """Receipts are read once, and only when somebody asks; of segments that are not on the card nothing is remembered.
    Not thread-safe. Raises StorageError.
    """

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self._spool, self._clock = spool, clock
        self._began_s = self._now_s()
        self._read: set[str] = set()
        self._accepted_s: dict[str, float] = {}
        self._named: dict[str, _Named] = {}
        self._base_s = float("-inf")
        self._looked = False

    def accepted(self, data: bytes) -> None:
        """This receipt is accepted now, and about to be kept; any other was there when this began."""
        self._accepted_s[hashlib.sha256(data).hexdigest()] = self._now_s()

    def look_again(self) -> None:
        """What is there is looked at once more, when somebody asks next."""
        self._looked = False

    def deleted(self, record: SealRecord) -> None:
        """This segment is gone."""
        self._named.pop(record.sha256, None)

    def age_s(self, record: SealRecord) -> float:
        """For so long at the most it is known to be stored: by signed times. 0 where no receipt names it."""
        self._look()
        named = self._named.get(record.sha256)
        return 0.0 if named is None else max(0.0, self._base_s + self._now_s() - named.since_s)

    def proof(self, records: Sequence[SealRecord]) -> dict[str, str]:
        """Digest of a delivered segment -> digest of the receipt that proves it: the one that answers its challenge,
        where there is one; no receipt, no deletion.
        """
        self._look()
        # A record that was made anew since has another challenge, and what it allows was decided before.
        found = ((r, self._named.get(r.sha256)) for r in records)
        return {r.sha256: named.answers.get(r.answer) or named.receipt for r, named in found if named}

    def _look(self) -> None:
        if self._looked:
            return
        paths = self._spool.receipts()
        if not self._read <= {path.stem for path in paths}:
            # One that is gone proves nothing any longer.
            self._read, self._named = set(), {}
        new = [path for path in paths if path.stem not in self._read]
        states = (SegmentState.SEALED, SegmentState.DELIVERED) if new else ()
        segments = {path.stem for state in states for path in self._spool.segments(state)}
        for path in new:
            self._learn(path, segments)
            self._read.add(path.stem)
        self._looked = True

    def _learn(self, path: Path, segments: set[str]) -> None:
        with durable.storage_errors(path, "cannot read"):
            data = durable.read_file(path)
        with contextlib.suppress(EvidenceError):
            # One that went bad on the card proves nothing, and hides no other.
            told = receipt.parse(note.parse(data).text)
            self._base_s = max(self._base_s, told.issued_s - self._accepted_s.get(path.stem, self._began_s))
            for stored in (*told.stored, *told.kept):
                if stored.segment in segments:
                    named = self._named.setdefault(stored.sha256, _Named(told.issued_s, path.stem))
                    named.since_s = min(named.since_s, told.issued_s)
                    named.answers[stored.answer] = path.stem

    def _now_s(self) -> float:
        return self._clock.boottime_ns() / NS
