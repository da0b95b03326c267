"""What the receipts on the card say of delivered segments: which one proves a segment, and how old it is at the most.

By the card a segment is as old as its rename into delivered/ says against the wall clock, and somebody may set that in
between: a camera without a battery for its clock delivers in 1970, and is told the time a moment later. So nothing
counts as older than the station's own signed times say: from the receipt that first names it to the newest one, and
what passed since by the clock that nobody sets. Away from every station, time in which it is off does not count.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from agent import durable
from agent.clock import Clock
from agent.errors import EvidenceError
from agent.formats import note, receipt
from agent.formats.seal import SealRecord
from agent.model import NS
from agent.spool.store import Spool


class Receipted:
    """Receipts are read once, and only when somebody asks. Not thread-safe. Raises StorageError."""

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self._spool, self._clock = spool, clock
        self._began_s = self._now_s()
        self._read: set[str] = set()
        self._accepted_s: dict[str, float] = {}
        self._since_s: dict[str, int] = {}
        self._exact: dict[tuple[str, str], str] = {}
        self._named: dict[str, str] = {}
        self._base_s = float("-inf")

    def accepted(self, digest: str) -> None:
        """The receipt with this digest was accepted now; any other was there when this began."""
        self._accepted_s[digest] = self._now_s()

    def age_s(self, record: SealRecord) -> float:
        """For so long at the most it is known to be stored: by signed times. 0 where no receipt names it."""
        self._look()
        since_s = self._since_s.get(record.sha256)
        return 0.0 if since_s is None else max(0.0, self._base_s + self._now_s() - since_s)

    def proof(self, records: Sequence[SealRecord]) -> dict[str, str]:
        """Digest of a delivered segment -> digest of the receipt that proves it: the one that answers its challenge,
        where there is one; no receipt, no deletion.
        """
        self._look()
        # A record that was made anew since has another challenge, and what it allows was decided before.
        exact, named = self._exact, self._named
        return {r.sha256: exact.get((r.sha256, r.answer)) or named[r.sha256] for r in records if r.sha256 in named}

    def _look(self) -> None:
        paths = self._spool.receipts()
        here = {path.stem for path in paths}
        if not self._read <= here:
            # One that is gone proves nothing any longer.
            self._read, self._since_s, self._exact, self._named = set(), {}, {}, {}
        for path in paths:
            if path.stem not in self._read:
                self._learn(path)
                self._read.add(path.stem)

    def _learn(self, path: Path) -> None:
        with durable.storage_errors(path, "cannot read"):
            data = path.read_bytes()
        with contextlib.suppress(EvidenceError):
            # One that went bad on the card proves nothing, and hides no other.
            told = receipt.parse(note.parse(data).text)
            self._base_s = max(self._base_s, told.issued_s - self._accepted_s.get(path.stem, self._began_s))
            for stored in (*told.stored, *told.kept):
                known_s = self._since_s.get(stored.sha256, told.issued_s)
                self._since_s[stored.sha256] = min(known_s, told.issued_s)
                self._exact[stored.sha256, stored.answer] = path.stem
                self._named.setdefault(stored.sha256, path.stem)

    def _now_s(self) -> float:
        return self._clock.boottime_ns() / NS
