"""What goes on where the recorder ended without a stop: killed by its watchdog, or for memory. Nobody had stopped what
was being recorded, so it goes on by itself in a recording that names it, and the officer is told that seconds are
missing, until a hand or the dock answers.

What is being recorded is kept beside the control socket and counts within one boot, as agent/controls/stealth.py does
it: on a camera it lies in memory, so nothing here waits for the card, and the card tells nothing of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from agent import durable
from agent.clock import Clock
from agent.journal import Faults
from agent.lens import Lens
from agent.model import NS
from agent.status import Life, Wanted

FILE = "goes-on"
FAULT = "restart"
MAX_BYTES = 4096
WITHIN_NS = 600 * NS
"""Starts that came so close on each other may have one cause."""
MAX_WAIT_S = 30
"""No longer than the ring reaches back, so that the wait itself costs nothing."""


@dataclass(frozen=True, slots=True)
class Kept:
    """`starts`: when the recorder took something up before, on this boot's monotonic clock."""

    recording: str
    muted: bool = False
    starts: tuple[int, ...] = ()


class Resume:
    """In the loop's turn. `begin` once, before the lens is opened."""

    def __init__(self, directory: Path, clock: Clock, faults: Faults, life: Life, lens: Lens) -> None:
        self._path, self._clock, self._faults, self._life, self._lens = directory / FILE, clock, faults, life, lens
        self._starts: tuple[int, ...] = ()
        self._kept: Kept | None = None

    def begin(self) -> None:
        """Where the life before this one was cut: record again, as muted as it was, and say so."""
        kept = self._read()
        if kept is None:
            return
        self._kept, now = kept, self._clock.monotonic_ns()
        recent = tuple(at for at in kept.starts if now - WITHIN_NS < at <= now)
        self._starts = (*recent, now)[-MAX_WAIT_S:]
        self._life.wanted = Wanted("continued", kept.recording, at_ns=now + wait_ns(len(recent)))
        if kept.muted:
            self._life.muted_ns = now
            self._lens.mute(now)
        else:
            self._lens.unmute(now)
        again = f", for the {len(recent) + 1}th time in ten minutes" if recent else ""
        self._faults.raised(
            FAULT, f"the recorder ended without a stop while it recorded {kept.recording}, and started anew{again}"
        )

    @property
    def due(self) -> bool:
        """What is kept is not what is so."""
        return self._wish() != self._kept

    def keep(self) -> None:
        """What is to go on, should this process end now. Raises StorageError."""
        wish = self._wish()
        if wish is None:
            durable.remove(self._path)
        else:
            told = {"recording": wish.recording, "muted": wish.muted, "starts": list(wish.starts)}
            durable.write_file(self._path, json.dumps({"boot": self._clock.boot_id, **told}).encode(), 0o600)
        self._kept = wish

    def answered(self) -> None:
        """Somebody has a hand on the camera, or put it into the dock: told is told."""
        self._faults.cleared(FAULT)

    def _wish(self) -> Kept | None:
        life = self._life
        name = life.recording.name if life.recording else life.wanted.continues if life.wanted else None
        return None if name is None or life.ends else Kept(name, life.muted_ns is not None, self._starts)

    def _read(self) -> Kept | None:
        """What cannot be read says nothing."""
        try:
            with self._path.open("rb") as file:
                told = json.loads(file.read(MAX_BYTES))
            if told["boot"] != self._clock.boot_id:
                return None
            return Kept(str(told["recording"]), told["muted"] is True, tuple(map(int, told["starts"])))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def wait_ns(before: int) -> int:
    """Before it records again: nothing the first time; more each time, so that what ends the recorder by its very
    recording leaves it time for whatever else a camera does.
    """
    return min(MAX_WAIT_S, 2**before) * NS if before else 0
