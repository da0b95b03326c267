"""What a gauge and a thermometer tell. Values, and the Protocols that sysfs and the twins keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agent.events import Level


@dataclass(frozen=True, slots=True)
class BatteryReading:
    """`percent` and `millivolts` are None where the gauge does not tell them. `charging`: it is on external power.
    `told`: how full it is in the gauge's own word, None where it has none.
    """

    name: str
    percent: int | None
    millivolts: int | None
    charging: bool
    told: Level | None = None


@dataclass(frozen=True, slots=True)
class HeatReading:
    """`sensor` is the type of the thermal zone, as the kernel names it."""

    sensor: str
    millicelsius: int


class BatteryGauge(Protocol):
    def read(self) -> BatteryReading | None:
        """None where there is no battery. Raises DeviceError where the one that is wanted tells nothing."""


class Thermometer(Protocol):
    def read(self) -> HeatReading | None:
        """None where there is none. Raises DeviceError where the one that is wanted tells nothing."""
