"""What the log says of the camera's own body: its card, its battery, its heat, and what it gives up for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from agent.eventbody import Actor, Event, Level, Signed


@dataclass(frozen=True, slots=True)
class Storage(Event):
    """Room on the card. `freeable_bytes` a station has; `minutes` of what is coded now fit before it is full."""

    NAME: ClassVar[str] = "storage"
    free_bytes: int
    total_bytes: int
    level: Level
    freeable_bytes: int | None = None
    minutes: int | None = None


@dataclass(frozen=True, slots=True)
class Battery(Event):
    NAME: ClassVar[str] = "battery"
    percent: int | None
    millivolts: int | None
    charging: bool
    level: Level


@dataclass(frozen=True, slots=True)
class Temperature(Event):
    NAME: ClassVar[str] = "temperature"
    sensor: str
    millicelsius: Signed
    level: Level


@dataclass(frozen=True, slots=True)
class PowerOff(Event):
    """The recorder asked the system to switch the camera off."""

    NAME: ClassVar[str] = "power.off"
    reason: str
    actor: Actor
    mono_ns: int


@dataclass(frozen=True, slots=True)
class Ladder(Event):
    """From `mono_ns` on the picture is coded like this. Step 0 of `steps` is as configured; each one more gives up
    something for the `reason`.
    """

    NAME: ClassVar[str] = "ladder"
    step: int
    steps: int
    reason: str
    bitrate_kbps: int
    fps: int
    width: int
    height: int
    mono_ns: int


ALL: tuple[type[Event], ...] = (Storage, Battery, Temperature, PowerOff, Ladder)
