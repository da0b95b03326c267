"""What the uploader is told of the dock, in `outbox/dock.json`."""

from __future__ import annotations

from collections.abc import Iterable

from agent.clock import Clock
from agent.spool.store import Spool


class DockTold:
    """`marked`: the segments that hold a mark, as they are at each turn."""

    def __init__(self, spool: Spool, clock: Clock, marked: Iterable[str]) -> None:
        self._spool, self._clock, self._marked = spool, clock, marked
        self._told: tuple[bool, list[str]] | None = None

    def tell(self, docked: bool, sends: bool) -> None:
        """In each turn; written where something of it is new. In the dock, and while the uploader `sends`, it says
        which segments hold a mark, and are to be sent before others. A stolen card shows no marks. Raises StorageError.
        """
        marked = list(self._marked) if docked or sends else []
        if (docked, marked) == self._told:
            return
        now = {"boot": self._clock.boot_id, "mono_ns": self._clock.monotonic_ns()}
        marks = {"marked": marked} if marked else {}
        # Where it is not known to be durable, it is told again.
        self._told = None
        self._spool.tell("dock.json", {"v": 1, "docked": docked, **now, **marks})
        self._told = docked, marked
