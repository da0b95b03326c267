"""Files that the uploader removes from inbox/ itself, and holds open or mapped, keep their blocks, and no directory
tells of them: one that was taken over could fill the card so. Where room gets scarce its end is asked for, with which
the kernel gives them back; an honest one is started anew, and goes on where it was.
"""

from __future__ import annotations

import logging
from pathlib import Path

from agent import durable
from agent.model import NS
from agent.spool.room import EDGES

LOG = logging.getLogger("bodycam.room")
REQUEST = "evict"
"""The file beside the control socket that systemd/bodycam-evict.path waits for."""
AGAIN_NS = 3600 * NS
"""So long, below the lowest edge, an uploader is let work that may be what empties the card."""


class Eviction:
    """`request` is where that is asked for."""

    def __init__(self, request: Path) -> None:
        self._request = request
        self._edge: int | None = min(EDGES)
        self._asked_ns: int | None = None

    def look(self, edge: int | None, now_ns: int) -> None:
        """`edge` is the lowest that the card's room is below, None for none. Raises StorageError."""
        fell = edge is not None and (self._edge is None or edge < self._edge)
        again = edge == min(EDGES) and (self._asked_ns is None or now_ns - self._asked_ns >= AGAIN_NS)
        if fell or again:
            LOG.warning("less than %d %% of the card: the uploader, which may keep blocks of it, is started anew", edge)
            durable.write_file(self._request, b"", 0o600)
            self._asked_ns = now_ns
        # What could not be asked for is asked for again.
        self._edge = edge
