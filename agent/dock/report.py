"""What the uploader leaves in inbox/: receipts as they came, and how far it is. It writes nowhere else."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from agent import durable
from agent.errors import StorageError
from agent.formats.seal import SealRecord
from agent.model import NS

MAX_MESSAGE = 64 << 10
PROGRESS = "progress.json"
EVERY_NS = NS
WINDOW_NS = 20 * NS
"""The time that is left is reckoned from how fast it went this long."""
LOG = logging.getLogger("bodycam.uploader")


class State(Enum):
    """What the officer may be shown. Nothing here means both done and given up."""

    IDLE = "idle"
    WAITING = "waiting"
    UPLOADING = "uploading"
    ATTESTING = "attesting"
    DELIVERED = "delivered"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    HELD = "held"


@dataclass(slots=True)
class _Visit:
    """Sizes of all segments seen since docking, bytes of each that the station has, and which have a receipt."""

    sizes: dict[str, int] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    lately: deque[tuple[int, int]] = field(default_factory=deque)

    def eta_s(self, now_ns: int) -> int | None:
        """Seconds until all bytes are there, if it goes on as lately; None where nothing moved."""
        total, there = sum(self.sizes.values()), sum(self.offsets.values())
        while self.lately and now_ns - self.lately[0][0] > WINDOW_NS:
            self.lately.popleft()
        self.lately.append((now_ns, there))
        since_ns, before = self.lately[0]
        if there >= total:
            return 0
        return round((total - there) * (now_ns - since_ns) / (there - before) / NS) if there > before else None


class Inbox:
    """Thread-safe. A full disk here stops nothing: progress is only told, and receipts are asked for again."""

    def __init__(self, directory: Path, mono_ns: Callable[[], int], turn: Callable[[], None] = lambda: None) -> None:
        """`turn` hears of each turn of the work, all of which comes by here."""
        self._dir, self._mono_ns, self.turn = directory, mono_ns, turn
        self._lock = threading.Lock()
        self._visit = _Visit()
        self._state, self._error, self._written_ns = State.IDLE, "", -EVERY_NS
        self._refused, self._lacks = _refused_before(directory / PROGRESS), ""
        self._last: tuple[State, str] | None = None

    def new_visit(self) -> None:
        with self._lock:
            self._visit = _Visit()

    def seen(self, records: tuple[SealRecord, ...]) -> None:
        self.turn()
        with self._lock:
            self._visit.sizes.update({r.segment: r.size for r in records})

    def offset(self, name: str, offset: int) -> None:
        """The station has this many bytes of the segment."""
        self.turn()
        with self._lock:
            self._visit.offsets[name] = offset
            self._write(now=False)

    def receipted(self, names: list[str]) -> None:
        with self._lock:
            self._visit.done.update(names)
            self._write(now=True)

    def tell(self, state: State, error: str = "") -> None:
        """A change of state: written at once, and named in the journal. The same again writes nothing."""
        self.turn()
        with self._lock:
            self._state, self._error = state, _one_line(error)
            if state in (State.REFUSED, State.DELIVERED):
                # Shown beyond undocking and restarts, until all is delivered: somebody has to look.
                self._refused = self._error
            changed = (state, self._error) != self._last
            self._last = (state, self._error)
            if changed:
                LOG.info("%s%s", state.value, f": {self._error}" if self._error else "")
                self._write(now=True)

    @property
    def refused(self) -> str:
        """What is refused for good, as it is told: also what an earlier visit, or process, was."""
        return self._refused

    def refuse(self, what: str) -> None:
        """Tell that beside the state, whatever that is; "" where it is over."""
        with self._lock:
            what = _one_line(what)
            if what != self._refused:
                LOG.info("refused: %s", what or "nothing any more")
                self._refused = what
                self._write(now=True)

    def lacks(self, tile: str) -> None:
        """Tell the recorder the path of a tile that the card lacks; "" where there is none any more."""
        with self._lock:
            if tile != self._lacks:
                self._lacks = tile
                self._write(now=True)

    def receipt(self, data: bytes) -> None:
        """Leave a receipt for the recorder. Raises StorageError."""
        if len(data) > MAX_MESSAGE:
            raise StorageError(f"a receipt of {len(data)} bytes is larger than the recorder reads", "ask the station")
        path = self._dir / f"{hashlib.sha256(data).hexdigest()}.receipt"
        durable.write_file(path, data, 0o644)

    def head(self, data: bytes) -> None:
        """Leave a head that the station cosigned. Raises StorageError."""
        if len(data) > MAX_MESSAGE:
            raise StorageError(f"a head of {len(data)} bytes is larger than the recorder reads", "ask the station")
        durable.write_file(self._dir / f"{hashlib.sha256(data).hexdigest()}.checkpoint", data, 0o644)

    def _write(self, now: bool) -> None:
        moment = self._mono_ns()
        if not now and moment - self._written_ns < EVERY_NS:
            return
        self._written_ns = moment
        visit = self._visit
        value = {
            "v": 1,
            "state": self._state.value,
            "segments_done": len(visit.done),
            "segments_total": len(visit.sizes),
            "bytes_done": sum(visit.offsets.values()),
            "bytes_total": sum(visit.sizes.values()),
            "eta_s": visit.eta_s(moment) if self._state is State.UPLOADING else None,
            "error": self._error,
            "refused": self._refused,
            "lacks": self._lacks,
            "mono_ns": moment,
        }
        try:
            durable.write_file(self._dir / PROGRESS, json.dumps(value).encode() + b"\n", 0o644)
        except StorageError as err:
            LOG.warning("%s", err.message)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]


def _refused_before(path: Path) -> str:
    """What an earlier process of ours was refused."""
    try:
        with durable.opened(path) as file:
            told = json.loads(file.read(MAX_MESSAGE))
    except (OSError, ValueError):
        return ""
    return str(told.get("refused", ""))[:500] if isinstance(told, dict) else ""
