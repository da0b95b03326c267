"""What the recorder says of itself unasked: what it starts with, what its clocks do, in which state the camera is, and
that it still lives. From this every powered second is accounted for (docs/evidence-format.md, section 10).
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Sequence

from agent import __version__, events
from agent.clock import Clock, ClockWatch, Drift, Reading
from agent.config import Config, dump
from agent.configchanges import Changes
from agent.eventbody import Event
from agent.events import Actor, ClockChange, Level, State
from agent.model import NS
from agent.spool.room import Room

BEAT_NS = 55 * NS
"""A heartbeat is due after this, so that with a slow turn it is there after 60 s."""
WINDOW_NS = 60 * NS
MAX_CHANGES = 10
"""A fault that comes and goes more often than this in a minute is taken for one that stays."""
BLOCKING = ("camera", "pictures", "storage", "log", "encryption", "recording", "button", "panel")
"""Faults in which a press would not record, or nobody would see whether it does."""
CRITICAL_EDGE = 5
Standing = tuple[State, str, Actor]


def standing(
    docked: bool,
    faults: dict[str, str],
    source_ended: bool,
    resting: Standing | None = None,
    broke_off: str | None = None,
) -> Standing:
    """The state of a camera that does not record, why, and by whom. `faults` as shown; `resting` while it sleeps, and
    while it wakes; `broke_off`: the recording that did, and is to go on by itself.
    """
    if docked:
        return State.DOCKED, "in the dock", Actor.DOCK
    if resting:
        return resting
    for what in BLOCKING:
        if what in faults:
            return State.FAULT, f"{what}: {faults[what]}", Actor.RECORDER
    if source_ended:
        return State.FAULT, "the source of pictures is at its end", Actor.RECORDER
    if broke_off is not None:
        return State.FAULT, f"{broke_off} broke off, and is to go on by itself", Actor.RECORDER
    return State.READY, "a press would record", Actor.RECORDER


class Diary:
    """Not thread-safe. `say` writes an event, now or later, and raises nothing; `standing` tells the state of a camera
    that does not record.
    """

    def __init__(self, say: Callable[[Event], None], clock: Clock, standing: Callable[[], Standing]) -> None:
        self._say, self._clock, self._standing = say, clock, standing
        self._watch = ClockWatch(clock)
        self._state = State.STARTING
        self._stated = False
        self._changed_ns: deque[int] = deque(maxlen=MAX_CHANGES)
        self._beat_ns = clock.monotonic_ns()
        self._room_told = False
        self._edge: int | None = None

    def opens(self) -> None:
        """Another log is written from now on, and has said no state yet."""
        self._stated = False

    def begin(self, config: Config, version: int | None = None, changes: Changes | None = None) -> None:
        """After the first leaves of a log, or of a session in it. `version` is the configuration's, where it came by
        an order; `changes` since the last start, at a start. Where it raises, nothing was said.
        """
        since = changes or Changes()
        system, now = os.uname(), Reading.of(self._clock)
        digest = hashlib.sha256(dump(config).encode()).hexdigest()
        self._say(events.Boot(system.release, system.machine, __version__))
        self._say(events.Configuration(digest, version, since.keys, since.profile))
        self._say(_told(ClockChange.START, now, 0, 0))
        if not self._stated and self._state is not State.STARTING:
            # Another log before it holds what was said of it, or it was said of a time before this one. What this log
            # has said of itself stands: `recording`, said anew, would end what is muted.
            self._stated = True
            self._say(events.StateChange(self._state, "so it was when this log began", Actor.RECORDER))

    def clocks(self) -> None:
        """In each turn."""
        drift = self._watch.look()
        if drift:
            self._say(_told(_why(drift), drift.now, drift.suspended_ns, drift.step_ns))

    def stand(self) -> None:
        """In each turn, and whenever the state may have changed; said once. The leaves of a recording say its."""
        now, (state, reason, actor) = self._clock.monotonic_ns(), self._standing()
        if self._state in (state, State.RECORDING) or (state is State.READY and self._flaps(now)):
            return
        self._changed_ns.append(now)
        self._state, self._stated = state, True
        self._say(events.StateChange(state, reason, actor))

    def stopping(self, reason: str, actor: Actor = Actor.RECORDER) -> events.RecordStop:
        """What the stop leaf of a recording that ends now will say."""
        then, mono_ns, boottime_ns = self._standing()[0], self._clock.monotonic_ns(), self._clock.boottime_ns()
        return events.RecordStop(reason, None, actor, then, mono_ns, boottime_ns)

    def _flaps(self, now: int) -> bool:
        often = len(self._changed_ns) == MAX_CHANGES and now - self._changed_ns[0] < WINDOW_NS
        return self._state is State.FAULT and often

    def told(self, state: State) -> None:
        """The leaf of a recording's start or stop has said it."""
        self._state, self._stated = state, True
        self._beat_ns = self._clock.monotonic_ns()

    def room(self, room: Room, edge: int | None) -> None:
        """How much room the card has: said at the start, and whenever it falls below an edge, or is above it again."""
        if self._room_told and edge == self._edge:
            return
        self._room_told, self._edge = True, edge
        level = Level.NORMAL if edge is None else Level.CRITICAL if edge <= CRITICAL_EDGE else Level.LOW
        space = room.space
        self._say(events.Storage(space.free_bytes, space.total_bytes, level, room.freeable_bytes, room.minutes))

    def beat(self, faults: Sequence[str], ahead_ns: int = 0) -> None:
        """The heartbeat, where it is due, or will be before a turn that may take `ahead_ns` is over."""
        now = self._clock.monotonic_ns()
        if self._state is not State.RECORDING and now - self._beat_ns >= BEAT_NS - ahead_ns:
            self._beat_ns = now
            self._say(events.Heartbeat(tuple(faults), self._state))


def _why(drift: Drift) -> ClockChange:
    if drift.suspended_ns:
        return ClockChange.SUSPEND
    return ClockChange.STEP if drift.step_ns else ClockChange.SOURCE


def _told(why: ClockChange, now: Reading, suspended_ns: int, step_ns: int) -> events.ClockTold:
    utc = now.utc
    return events.ClockTold(why, utc.source, utc.bound_ms, now.divergence_ns, suspended_ns, step_ns)
