"""Stand-ins for gauge and thermometer: they tell what they are set to."""

from __future__ import annotations

from dataclasses import dataclass

from agent.errors import DeviceError
from agent.events import Level
from agent.power.base import BatteryReading, HeatReading


@dataclass
class TwinBattery:
    """`reading` None: there is no battery. `trouble`: why it tells nothing."""

    reading: BatteryReading | None = None
    trouble: str | None = None

    def read(self) -> BatteryReading | None:
        """See BatteryGauge."""
        if self.trouble:
            raise DeviceError(self.trouble)
        return self.reading

    def holds(
        self,
        percent: int | None,
        charging: bool = False,
        millivolts: int | None = 3_700,
        told: Level | None = None,
    ) -> None:
        """From now on."""
        self.reading = BatteryReading("twin", percent, millivolts, charging, told)


@dataclass
class TwinThermometer:
    """`reading` None: there is no thermometer. `trouble`: why it tells nothing."""

    reading: HeatReading | None = None
    trouble: str | None = None

    def read(self) -> HeatReading | None:
        """See Thermometer."""
        if self.trouble:
            raise DeviceError(self.trouble)
        return self.reading

    def shows(self, celsius: float) -> None:
        """From now on."""
        self.reading = HeatReading("twin", round(celsius * 1000))
