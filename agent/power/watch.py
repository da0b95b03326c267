"""Looks at battery and heat every few seconds: what to log, what to show, and when the battery is at its end."""

from __future__ import annotations

import logging
from typing import Any

from agent import events
from agent.configcare import PowerConfig
from agent.errors import DeviceError
from agent.eventbody import Event
from agent.events import Level
from agent.model import NS
from agent.power.base import BatteryGauge, BatteryReading, HeatReading, Thermometer
from agent.power.levels import Said, Scale, is_due
from agent.power.patient import Patient
from agent.power.sysfs import SysfsBattery, SysfsThermometer

LOG = logging.getLogger("bodycam.power")
POLL_NS = 5 * NS
LAST_NS = 10 * NS
"""So long the battery must be critical without a break: one wrong word of a gauge switches nothing off."""
KEPT_NS = 30 * NS
"""So long what was told last counts while reads fail: a bus that answers now and then hides no end."""
PERCENT_MARGIN, MILLICELSIUS_MARGIN = 3, 5_000


class _Told:
    """What a gauge or thermometer says, and over reads that fail what it said last; None where there is nothing."""

    def __init__(self, device: Any) -> None:
        self._device, self._at_ns = device, 0
        self.last: Any = None
        self.fails = False
        """The last read did, and what was told before it still counts."""

    def read(self, now_ns: int, troubles: list[str]) -> Any:
        self.fails = False
        try:
            self.last, self._at_ns = self._device.read() if self._device else None, now_ns
        except DeviceError as err:
            troubles.append(f"{err.message}; {err.hint}" if err.hint else err.message)
            if self.last is None or now_ns - self._at_ns > KEPT_NS:
                self.last = None
            else:
                self.fails = True
        return self.last


class PowerWatch:
    """`battery_level` and `heat_level` are those of the last look. Not thread-safe but for `shown`."""

    def __init__(
        self, config: PowerConfig, gauge: BatteryGauge | None = None, thermometer: Thermometer | None = None
    ) -> None:
        """Gauge and thermometer as the configuration names them, where none are given."""
        self._gauge, self._thermometer = _Told(gauge or _gauge(config)), _Told(thermometer or _thermometer(config))
        self._report_ns = config.report_s * NS
        self._charge = Scale(Level.LOW, config.low_percent, config.critical_percent or None, PERCENT_MARGIN, down=True)
        self._heat = Scale(Level.HIGH, config.hot_celsius * 1000, config.critical_celsius * 1000, MILLICELSIUS_MARGIN)
        self._next_ns: int | None = None
        self._said: dict[str, Said] = {}
        self._battery: BatteryReading | None = None
        self._hottest: HeatReading | None = None
        self._critical_ns: int | None = None
        self._looked = False
        self.trouble: str | None = None
        self.battery_level = self.heat_level = Level.NORMAL
        self.at_its_end = False

    def look(self, now_ns: int) -> list[Event]:
        """In each turn. Every five seconds both are read; returns what the log should hold of it."""
        if self._next_ns is not None and now_ns < self._next_ns:
            return []
        self._next_ns = now_ns + POLL_NS
        troubles: list[str] = []
        self._battery = self._gauge.read(now_ns, troubles)
        if self._battery is not None and not _tells(self._battery):
            troubles.append(
                f"nothing tells the charge of the battery {self._battery.name} (capacity, capacity_level): nobody is "
                "warned before it is empty; correct power.battery, or its gauge"
            )
        self._hottest = self._thermometer.read(now_ns, troubles)
        self.trouble = "; ".join(troubles) or None
        if not self._looked and self._battery is None and not troubles:
            LOG.info("there is no battery: the camera runs on external power")
        self._looked = True
        return [*self._of_battery(now_ns), *self._of_heat(now_ns)]

    def _of_battery(self, now_ns: int) -> list[Event]:
        there = self._battery
        if self._gauge.fails:
            # It neither ends what was critical, nor is it the second word that a switch-off needs.
            return []
        self.battery_level = self._level_of(there)
        falling = there is not None and not there.charging and self.battery_level is Level.CRITICAL
        self._critical_ns = (now_ns if self._critical_ns is None else self._critical_ns) if falling else None
        self.at_its_end = self._critical_ns is not None and now_ns - self._critical_ns >= LAST_NS
        if there is None or not self._is_due("battery", Said(now_ns, self.battery_level, there.charging)):
            return []
        return [events.Battery(there.percent, there.millivolts, there.charging, self.battery_level)]

    def _level_of(self, there: BatteryReading | None) -> Level:
        """By the percentage, as the agency wants it; else in the gauge's own word."""
        if there is None or there.percent is not None or there.told is None:
            return self._charge.level(there.percent if there else None, self.battery_level)
        never = there.told is Level.CRITICAL and self._charge.second is None
        return Level.LOW if never else there.told

    def _of_heat(self, now_ns: int) -> list[Event]:
        there = self._hottest
        if self._thermometer.fails:
            return []
        self.heat_level = self._heat.level(there.millicelsius if there else None, self.heat_level)
        if there is None or not self._is_due("heat", Said(now_ns, self.heat_level)):
            return []
        return [events.Temperature(there.sensor, there.millicelsius, self.heat_level)]

    def _is_due(self, what: str, now: Said) -> bool:
        due = is_due(self._said.get(what), now, self._report_ns)
        if due:
            self._said[what] = now
        return due

    @property
    def drains(self) -> Level:
        """How bad it is with a battery that nobody charges: whoever has put it on power need not be told to."""
        drains = self._battery is not None and not self._battery.charging
        return self.battery_level if drains else Level.NORMAL

    def warnings(self) -> dict[str, str | None]:
        """By the name of its fault, what is wrong, in words; None where nothing is."""
        battery, hottest = self._battery, self._hottest
        low = battery is not None and self.battery_level is not Level.NORMAL
        hot = hottest is not None and self.heat_level is not Level.NORMAL
        return {
            "battery": f"the battery is {self.battery_level.value}: {_charge(battery)}" if battery and low else None,
            "heat": f"{_degrees(hottest)} at {hottest.sensor}" if hottest and hot else None,
        }

    def shown(self) -> dict[str, Any]:
        """For `ctl status`, from any thread."""
        battery, hottest = self._battery, self._hottest
        return {
            "battery_percent": battery.percent if battery else None,
            "battery_millivolts": battery.millivolts if battery else None,
            "charging": battery.charging if battery else None,
            "battery_level": self.battery_level.value if battery and _tells(battery) else None,
            "celsius": hottest.millicelsius / 1000 if hottest else None,
            "heat_level": self.heat_level.value if hottest else None,
        }


def _tells(battery: BatteryReading) -> bool:
    """How full it is."""
    return battery.percent is not None or battery.told is not None


def _charge(battery: BatteryReading) -> str:
    told = "no percentage told" if battery.percent is None else f"{battery.percent} %"
    return told + (", charging" if battery.charging else "")


def _degrees(heat: HeatReading) -> str:
    return f"{heat.millicelsius / 1000:.1f} °C"


def _gauge(config: PowerConfig) -> BatteryGauge | None:
    if config.battery == "none":
        return None
    return Patient(SysfsBattery(config.sysfs_dir, config.battery).read, "the battery's gauge")


def _thermometer(config: PowerConfig) -> Thermometer | None:
    if config.thermometer == "none":
        return None
    return Patient(SysfsThermometer(config.sysfs_dir, config.thermometer).read, "the thermometer")
