"""How well the wall clock is known once the kernel says no more of it.

Nothing tunes the clock of a camera that only the dock sets. The kernel then adds 500 us to the greatest error each
second, and past 16 s, nine hours later, gives the clock up (`second_overflow`, kernel/time/ntp.c). It is as right then
as it was a second before: what was vouched for holds for the rest of the boot, less well each second, as long as
nobody sets the clock. CLOCK_MONOTONIC shows whether somebody did: the distance to it stays the same, but for a step or
a suspend.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from agent import durable
from agent.clock import STEP_NS, SYNCHRONISED, Clock, Utc
from agent.errors import StorageError

FILE = "clock"
GROWS_PPM = 500
"""The kernel's own word for it (MAXFREQ)."""
WORSE_MS = 1_000
"""What is kept is written anew where a restart would know the time so much less well than this life does."""
MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Vouch:
    """At `mono_ns` somebody vouched for the wall clock within `bound_ms`; UTC less CLOCK_MONOTONIC was between `low_ns`
    and `high_ns`, which are as far apart as the reading took.
    """

    mono_ns: int
    low_ns: int
    high_ns: int
    bound_ms: int

    def bound_at(self, mono_ns: int, low_ns: int, high_ns: int) -> int | None:
        """How wrong the clock may be by now, in ms; None where it was set otherwise since."""
        if max(low_ns - self.high_ns, self.low_ns - high_ns) >= STEP_NS:
            return None
        # What two readings do not tell apart counts as error, and so do steps too small to be told.
        off_ns = max(high_ns - self.low_ns, self.high_ns - low_ns)
        grown_ns = max(0, mono_ns - self.mono_ns) * GROWS_PPM // 1_000_000
        return self.bound_ms - -(off_ns + grown_ns) // MS


class VouchedClock:
    """A clock whose `utc` remembers, within one boot, what was vouched for last. It is kept in `directory`, beside the
    control socket and in memory on a camera, for the recorder's next life and for `ctl`. `keep` in the loop's turn, the
    rest from any thread.
    """

    def __init__(self, clock: Clock, directory: Path) -> None:
        self._clock, self._path = clock, directory / FILE
        self.boot_id = clock.boot_id
        self._vouch = self._kept = self._read()

    def monotonic_ns(self) -> int:
        return self._clock.monotonic_ns()

    def boottime_ns(self) -> int:
        return self._clock.boottime_ns()

    def utc(self) -> Utc:
        begin_ns = self._clock.monotonic_ns()
        utc = self._clock.utc()
        low_ns, high_ns = utc.ns - self._clock.monotonic_ns(), utc.ns - begin_ns
        if utc.bound_ms is not None:
            self._vouch = Vouch(begin_ns, low_ns, high_ns, utc.bound_ms)
            return utc
        vouch = self._vouch
        bound_ms = vouch.bound_at(begin_ns, low_ns, high_ns) if vouch else None
        return utc if bound_ms is None else Utc(utc.ns, SYNCHRONISED, bound_ms)

    def keep(self) -> None:
        """Where that cannot be written, a restart knows less, and says so."""
        now, kept = self._vouch, self._kept
        if now is None or now is kept:
            return
        known = kept.bound_at(now.mono_ns, now.low_ns, now.high_ns) if kept else None
        if known is not None and known - now.bound_ms < WORSE_MS:
            return
        with suppress(StorageError):
            told = {"boot": self.boot_id, **asdict(now)}
            # `ctl` shows the time to whoever may reach the socket.
            durable.write_file(self._path, json.dumps(told).encode(), 0o644)
            self._kept = now

    def _read(self) -> Vouch | None:
        """What cannot be read vouches for nothing."""
        told = durable.read_of_boot(self._path, self.boot_id)
        values = [told.get(field.name) for field in fields(Vouch)] if told else [None]
        if not all(type(value) is int for value in values):
            return None
        found = Vouch(*values)
        sound = found.mono_ns <= self._clock.monotonic_ns() and found.low_ns <= found.high_ns and found.bound_ms >= 0
        return found if sound else None
