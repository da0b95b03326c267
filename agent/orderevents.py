"""Events of what comes from the agency by way of the dock: the time, who wears the camera, its tags, its configuration.
The others stand in events.py, which names them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from agent.eventbody import Actor, Event, Sha256, Signed


@dataclass(frozen=True, slots=True)
class ClockStation(Event):
    """A station signed the time: the wall clock was off by `step_ns`, and it is known within `bound_ms`, None where
    nobody vouches for the station's own clock. `interval_ns` lay between question and answer. Where the clock is set
    by it, a `clock` event follows.
    """

    NAME: ClassVar[str] = "clock.station"
    station: str
    step_ns: Signed
    bound_ms: int | None
    interval_ns: int
    mono_ns: int


@dataclass(frozen=True, slots=True)
class Assignment(Event):
    """Who wears the camera from now on; nobody, where `officer` is absent. `number` is that of the agency's order,
    `until_s` when the shift should end (POSIX seconds): the assignment holds until the next one all the same.
    """

    NAME: ClassVar[str] = "assignment"
    officer: str | None
    unit: str | None
    actor: Actor
    shift: str | None = None
    until_s: int | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class TagList(Event):
    """From now on marks may have these tags, by id: the agency's order of this number says so."""

    NAME: ClassVar[str] = "tags"
    number: int
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConfigurationTaken(Event):
    """The agency's order of this number is checked, and takes effect with the recorder's next start: SHA-256 as in
    `configuration`.
    """

    NAME: ClassVar[str] = "configuration.taken"
    sha256: Sha256
    version: int
