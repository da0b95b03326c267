"""What an event's sealed body says: one frozen type for each (docs/evidence-format.md, "Bodies").

A field that was added after the first version is None where a body lacks it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from agent import careevents, sourceevents
from agent.careevents import Battery as Battery
from agent.careevents import Ladder as Ladder
from agent.careevents import PowerOff as PowerOff
from agent.careevents import Storage as Storage
from agent.careevents import Temperature as Temperature
from agent.errors import EvidenceError
from agent.eventbody import Actor as Actor
from agent.eventbody import ClockChange as ClockChange
from agent.eventbody import Docking as Docking
from agent.eventbody import Event, Noticed, Sha256, Signed, read_event, read_field
from agent.eventbody import Level as Level
from agent.eventbody import State as State
from agent.orderevents import Assignment as Assignment
from agent.orderevents import ClockStation as ClockStation
from agent.orderevents import ConfigurationTaken as ConfigurationTaken
from agent.orderevents import TagList as TagList

_TYPE = re.compile(r"[a-z][a-z.]{0,39}")


@dataclass(frozen=True, slots=True)
class _Asked(Event):
    """Somebody, or something, wanted it, at `mono_ns`."""

    reason: str
    actor: Actor
    mono_ns: int


# -- a recorder's life ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Session(Event):
    NAME: ClassVar[str] = "session"


@dataclass(frozen=True, slots=True)
class Boot(Event):
    """What runs: release and machine as the kernel names them (uname(2)), version of the agent."""

    NAME: ClassVar[str] = "boot"
    kernel: str
    machine: str
    agent: str


@dataclass(frozen=True, slots=True)
class Configuration(Event):
    """The configuration in force: SHA-256 of its text with every key and value spelled out, as the agent writes it.
    `version` is the number of the agency's order that it came by, None where it came by another way; `changed` names
    the keys whose value is not that of the last start, and is None where that is not known.
    """

    NAME: ClassVar[str] = "configuration"
    sha256: Sha256
    version: int | None = None
    changed: tuple[str, ...] | None = None
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Shutdown(Event):
    NAME: ClassVar[str] = "shutdown"


@dataclass(frozen=True, slots=True)
class Recovery(Event):
    NAME: ClassVar[str] = "recovery"


@dataclass(frozen=True, slots=True)
class Epoch(Event):
    """Why this log begins after another, in words. What it follows is in the public facts of its first leaf."""

    NAME: ClassVar[str] = "epoch"
    reason: str


@dataclass(frozen=True, slots=True)
class Kept(Event):
    NAME: ClassVar[str] = "kept"


@dataclass(frozen=True, slots=True)
class Heartbeat(Event):
    """Nothing else happened: the state, and the faults by name."""

    NAME: ClassVar[str] = "heartbeat"
    faults: tuple[str, ...]
    state: State | None = None


@dataclass(frozen=True, slots=True)
class StateChange(Event):
    """From this instant on the camera is in `state`. The leaves of a recording's start and stop say it themselves."""

    NAME: ClassVar[str] = "state"
    state: State
    reason: str
    actor: Actor


@dataclass(frozen=True, slots=True)
class ClockTold(Event):
    """The clocks, as they were found at start or after a change. `divergence_ns` is CLOCK_BOOTTIME less
    CLOCK_MONOTONIC, all time suspended since the kernel started; `suspended_ns` the share of it that is new. `step_ns`
    is how far the wall clock jumped, against CLOCK_BOOTTIME.
    """

    NAME: ClassVar[str] = "clock"
    why: ClockChange
    source: str
    bound_ms: int | None
    divergence_ns: Signed
    suspended_ns: int
    step_ns: Signed


# -- recordings ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecordStart(Event):
    """`mono_ns` is the instant of the press, `pre_event_ns` what the ring was asked for before it, no more than the
    lens was open, nor than the ring held. `continues` names a recording that broke off, where nobody pressed.
    """

    NAME: ClassVar[str] = "record.start"
    trigger: str
    pre_event_ns: int
    mono_ns: int
    actor: Actor | None = None
    continues: str | None = None


@dataclass(frozen=True, slots=True)
class RecordStop(Event):
    """`lost_parts`, in pieces of half a second, never became durable. `then` is the state that follows, from
    `boottime_ns` on: when the recording ended, on both clocks, however late the disk took this leaf.
    """

    NAME: ClassVar[str] = "record.stop"
    reason: str
    lost_parts: int | None = None
    actor: Actor | None = None
    then: State | None = None
    mono_ns: int | None = None
    boottime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class RecordForgone(_Asked):
    """What was to begin by itself does not: `trigger` had asked for it, or it would have gone on with what broke off,
    which it `continues`.
    """

    NAME: ClassVar[str] = "record.forgone"
    trigger: str
    continues: str | None = None


@dataclass(frozen=True, slots=True)
class Mark(Event):
    """A place in the recording that somebody wants to find again; `tag` is the id of one on the agency's list."""

    NAME: ClassVar[str] = "mark"
    text: str
    actor: Actor
    mono_ns: int
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Mute(_Asked):
    NAME: ClassVar[str] = "mute"


@dataclass(frozen=True, slots=True)
class Unmute(_Asked):
    NAME: ClassVar[str] = "unmute"


def turned(on: bool, actor: Actor, at_ns: int, why: str) -> Event:
    """The sound, on or off."""
    return Unmute(why, actor, at_ns) if on else Mute(why, actor, at_ns)


@dataclass(frozen=True, slots=True)
class Stealth(_Asked):
    """Lights and tones off, or on again; vibration stays."""

    NAME: ClassVar[str] = "stealth"
    on: bool


@dataclass(frozen=True, slots=True)
class Sleep(_Asked):
    NAME: ClassVar[str] = "sleep"


@dataclass(frozen=True, slots=True)
class Wake(_Asked):
    NAME: ClassVar[str] = "wake"


# -- lens, microphone, faults --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MicrophoneLost(Noticed):
    NAME: ClassVar[str] = "microphone.lost"


@dataclass(frozen=True, slots=True)
class MicrophoneBack(Noticed):
    NAME: ClassVar[str] = "microphone.back"


@dataclass(frozen=True, slots=True)
class CameraLost(Noticed):
    NAME: ClassVar[str] = "camera.lost"


@dataclass(frozen=True, slots=True)
class CameraBack(Noticed):
    NAME: ClassVar[str] = "camera.back"


@dataclass(frozen=True, slots=True)
class SourceEnded(Noticed):
    NAME: ClassVar[str] = "source.ended"


@dataclass(frozen=True, slots=True)
class OverloadBegin(Noticed):
    NAME: ClassVar[str] = "overload.begin"


@dataclass(frozen=True, slots=True)
class OverloadEnd(Noticed):
    NAME: ClassVar[str] = "overload.end"


@dataclass(frozen=True, slots=True)
class SinkFailed(Noticed):
    NAME: ClassVar[str] = "sink.failed"


@dataclass(frozen=True, slots=True)
class LensCovered(Noticed):
    NAME: ClassVar[str] = "lens.covered"


@dataclass(frozen=True, slots=True)
class LensClear(Noticed):
    NAME: ClassVar[str] = "lens.clear"


@dataclass(frozen=True, slots=True)
class PictureFrozen(Noticed):
    NAME: ClassVar[str] = "picture.frozen"


@dataclass(frozen=True, slots=True)
class PictureMoves(Noticed):
    NAME: ClassVar[str] = "picture.moves"


@dataclass(frozen=True, slots=True)
class MicrophoneDeaf(Noticed):
    NAME: ClassVar[str] = "microphone.deaf"


@dataclass(frozen=True, slots=True)
class MicrophoneHears(Noticed):
    NAME: ClassVar[str] = "microphone.hears"


@dataclass(frozen=True, slots=True)
class Fault(Event):
    """`times`: how often it came since the last such leaf, at most one a minute for each `what`; the last time it was
    found at `mono_ns`.
    """

    NAME: ClassVar[str] = "fault"
    what: str
    detail: str
    times: int
    mono_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Cleared(Event):
    NAME: ClassVar[str] = "cleared"
    what: str


@dataclass(frozen=True, slots=True)
class EventsDropped(Event):
    """So many events the disk refused for too long."""

    NAME: ClassVar[str] = "events.dropped"
    count: int


# -- the body of the camera ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dock(Event):
    NAME: ClassVar[str] = "dock"
    state: Docking


# -- what becomes of segments --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seal(Event):
    NAME: ClassVar[str] = "seal"


@dataclass(frozen=True, slots=True)
class Delivery(Event):
    NAME: ClassVar[str] = "delivery"


@dataclass(frozen=True, slots=True)
class Deletion(Event):
    """`forced`: before age or space asked for it."""

    NAME: ClassVar[str] = "deletion"
    forced: bool


ALL: tuple[type[Event], ...] = (
    *(Session, Boot, Configuration, Shutdown, Recovery, Epoch, Kept, Heartbeat, StateChange, ClockTold),
    *(ClockStation, TagList, ConfigurationTaken),
    *(RecordStart, RecordStop, RecordForgone, Mark, Mute, Unmute, Stealth, Sleep, Wake),
    *(MicrophoneLost, MicrophoneBack, CameraLost, CameraBack, SourceEnded, OverloadBegin, OverloadEnd, SinkFailed),
    *(LensCovered, LensClear, PictureFrozen, PictureMoves, MicrophoneDeaf, MicrophoneHears),
    *sourceevents.ALL,
    *(Fault, Cleared, EventsDropped, *careevents.ALL, Dock, Assignment, Seal, Delivery, Deletion),
)
NOTICED: Mapping[str, type[Noticed]] = {e.NAME: e for e in ALL if issubclass(e, Noticed)}


@dataclass(frozen=True, slots=True)
class Told:
    """One body as read. `event` is None where its `type` is not known here. One that the disk refused at first is
    `late`, was to be written at `mono_ns` and `boottime_ns`, and may name its `recording`.
    """

    type: str
    event: Event | None
    late: bool = False
    mono_ns: int | None = None
    boottime_ns: int | None = None
    recording: str | None = None


def parse(body: Mapping[str, Any]) -> Told:
    """Read one body. Raises EvidenceError that names the key."""
    name = body.get("type")
    if not isinstance(name, str) or not _TYPE.fullmatch(name):
        raise EvidenceError("body.type is not valid")
    known = _BY_NAME.get(name)
    return Told(
        name,
        read_event(known, body) if known else None,
        bool(read_field(body, "late", bool | None, name)),
        read_field(body, "mono_ns", int | None, name),
        read_field(body, "boottime_ns", int | None, name),
        read_field(body, "recording", str | None, name),
    )


_BY_NAME = {event.NAME: event for event in ALL}
