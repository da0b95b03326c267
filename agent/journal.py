"""What the recorder says of itself in the log: events, and the faults that it shows.

What the disk refuses is said as soon as it takes it, in order, marked as late. A fault that comes and goes all the
time is shown each time, but may not fill the log: it is told at most once a minute, with how often it came.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent.clock import Clock
from agent.errors import StorageError
from agent.eventbody import Event
from agent.events import Cleared, EventsDropped, Fault, Mark
from agent.model import NS

LOG = logging.getLogger("bodycam.journal")
MAX_OWED = 256
MAX_MARKS = 32
"""Of what another life is left to tell: somebody's words, by which a recording may be kept for years."""
AGAIN_NS = 60 * NS
DEFECT = "not in the log: %s"
Write = Callable[[Mapping[str, Any], str | None], object]


@dataclass(frozen=True, slots=True)
class _Owed:
    event: Event
    recording: str | None
    mono_ns: int
    boottime_ns: int
    dropped: int
    """So many behind the one before it."""


@dataclass(frozen=True, slots=True)
class Owed:
    """One fault of each kind, the last, since the first was found; the first marks, each with its recording; and how
    many events of other kinds, among which is not that one of these faults is over: whoever tells of it later tells
    that too.
    """

    faults: tuple[Fault, ...] = ()
    marks: tuple[tuple[Mark, str | None], ...] = ()
    others: int = 0


class Journal:
    """Event leaves that wait for nobody. Not thread-safe.

    At most 256 events are owed; of more, only the number is kept, and said where they would have been.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._write: Write | None = None
        self._owed: deque[_Owed] = deque()
        self._dropped = 0
        self.refused: StorageError | None = None
        """What the disk said to the last event, where it did not take it. What is owed is tried every two seconds."""

    @property
    def owes(self) -> bool:
        """True while the disk has not taken all that was said."""
        return bool(self._owed) or self._dropped > 0

    def owed(self) -> Owed:
        """What the disk has not taken: for whoever keeps it where another life finds it."""
        faults: dict[str, Fault] = {}
        for late in self._owed:
            if isinstance(late.event, Fault):
                found, before = late.event, faults.get(late.event.what)
                since = before.mono_ns if before else late.mono_ns if found.mono_ns is None else found.mono_ns
                times = found.times + (before.times if before else 0)
                faults[found.what] = replace(found, times=times, mono_ns=since)
        marks = tuple((late.event, late.recording) for late in self._owed if isinstance(late.event, Mark))[:MAX_MARKS]
        others = sum(not _is_of(late.event, faults) for late in self._owed) - len(marks)
        return Owed(tuple(faults.values()), marks, others + sum(late.dropped for late in self._owed) + self._dropped)

    def missed(self, count: int) -> None:
        """So many events another life was told, and could write nowhere."""
        self._dropped += count

    def open(self, write: Write) -> None:
        """From now on events go to `write(body, recording)`, which raises StorageError; those said before are owed."""
        self._write = write

    def close(self) -> None:
        """Nothing more is written: what follows the last leaf of a session would not be its."""
        self._write = None

    def say(self, event: Event, recording: str | None = None) -> None:
        """One event, now if the disk takes it. Raises nothing: what it refuses is owed."""
        if self._write is not None and not self.owes:
            try:
                self._put(event.body(), recording)
                return
            except StorageError as err:
                # What it says is for the agency alone: the system's journal may lie on the card in the clear.
                LOG.warning("not in the log yet: %s: %s", event.NAME, err.message)
            except Exception:
                # A defect of ours costs this event, which is counted, and not the recorder.
                LOG.exception(DEFECT, event.NAME)
                self._dropped += 1
                return
        if len(self._owed) < MAX_OWED:
            now_ns, boottime_ns = self._clock.monotonic_ns(), self._clock.boottime_ns()
            self._owed.append(_Owed(event, recording, now_ns, boottime_ns, self._dropped))
            self._dropped = 0
        else:
            self._dropped += 1

    def settle(self) -> None:
        """Say what is owed. Raises StorageError at the first that the disk refuses; it stays owed."""
        if self._write is None:
            return
        while self._owed:
            late = self._owed[0]
            if late.dropped:
                self._put(EventsDropped(late.dropped).body(), None)
                self._owed[0] = late = replace(late, dropped=0)
            try:
                self._put(_late(late), None)
            except StorageError:
                raise
            except Exception:
                LOG.exception(DEFECT, late.event.NAME)
                self._drop_first()
            else:
                self._owed.popleft()
        if self._dropped:
            self._put(EventsDropped(self._dropped).body(), None)
            self._dropped = 0

    def _put(self, body: Mapping[str, Any], recording: str | None) -> None:
        assert self._write is not None
        try:
            self._write(body, recording)
        except StorageError as err:
            self.refused = err
            raise
        self.refused = None

    def _drop_first(self) -> None:
        self._owed.popleft()
        if self._owed:
            self._owed[0] = replace(self._owed[0], dropped=self._owed[0].dropped + 1)
        else:
            self._dropped += 1


def _late(late: _Owed) -> Mapping[str, Any]:
    """Its recording may have ended since: it is named in the body, not on the leaf."""
    when = {"mono_ns": late.mono_ns, "boottime_ns": late.boottime_ns, "late": True}
    of = {"recording": late.recording} if late.recording else {}
    return {**when, **late.event.body(), **of}


def _is_of(event: Event, faults: Mapping[str, Fault]) -> bool:
    """One of these faults, or that it is over."""
    return isinstance(event, Fault) or (isinstance(event, Cleared) and event.what in faults)


@dataclass(slots=True)
class _Fault:
    detail: str | None = None
    last: str = ""
    logged: str | None = None
    logged_ns: int | None = None
    since_ns: int | None = None
    times: int = 0


class Faults:
    """What is wrong now, one key a source: only what raised a fault may clear it. `say` writes an event."""

    def __init__(self, say: Callable[[Event], None], clock: Clock) -> None:
        self._say, self._clock = say, clock
        self._faults: dict[str, _Fault] = {}

    def __contains__(self, what: str) -> bool:
        return what in self._faults and self._faults[what].detail is not None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.shown()))

    def shown(self) -> dict[str, str]:
        """What to show, in words. From any thread."""
        return {what: fault.detail for what, fault in self._faults.copy().items() if fault.detail is not None}

    def raised(self, what: str, detail: str, mono_ns: int | None = None) -> None:
        """Shown at once; logged at once, or within a minute where it was logged less than one ago. `mono_ns` where it
        was found earlier than now.
        """
        fault = self._faults.setdefault(what, _Fault())
        if fault.detail is None:
            fault.since_ns = self._clock.monotonic_ns() if mono_ns is None else mono_ns
        fault.times += fault.detail is None
        fault.detail = fault.last = detail
        self._tell(what, fault)

    def cleared(self, what: str) -> None:
        """The cause is gone: shown no longer, and logged."""
        fault = self._faults.get(what)
        if fault and fault.detail is not None:
            fault.detail = None
            self._tell(what, fault)

    def show(self, what: str, detail: str | None) -> None:
        """Show it, or no longer, without a leaf: another leaf tells of it."""
        fault = self._faults.setdefault(what, _Fault())
        fault.detail = fault.logged = detail

    def settle(self) -> None:
        """Tell what waited for its minute. For each tick."""
        for what, fault in self._faults.items():
            self._tell(what, fault)

    def _tell(self, what: str, fault: _Fault) -> None:
        now = self._clock.monotonic_ns()
        changed = fault.detail is not None and fault.detail != fault.logged
        rested = fault.logged_ns is None or now - fault.logged_ns >= AGAIN_NS
        if rested and (changed or fault.times):
            # Its words are for the agency alone, as those above; `ctl status` tells them.
            LOG.warning("fault: %s (%d times)", what, fault.times)
            self._say(Fault(what, fault.last, fault.times, fault.since_ns))
            fault.logged, fault.logged_ns, fault.times = fault.last, now, 0
        if fault.detail is None and fault.logged is not None:
            self._say(Cleared(what))
            fault.logged = None
