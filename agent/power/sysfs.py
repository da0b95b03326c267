"""Battery and heat as the Linux kernel shows them: `power_supply` (Documentation/ABI/testing/sysfs-class-power) and
`thermal` (sysfs-class-thermal). Each read is a file of a few bytes.
"""

from __future__ import annotations

from pathlib import Path

from agent.errors import DeviceError, reason
from agent.events import Level
from agent.power.base import BatteryReading, HeatReading

LEVELS = {
    "Critical": Level.CRITICAL,
    "Low": Level.LOW,
    "Normal": Level.NORMAL,
    "High": Level.NORMAL,
    "Full": Level.NORMAL,
}
"""Words of `capacity_level`; "Unknown" is none."""
ON_EXTERNAL = ("Charging", "Full", "Not charging")
_MILLI = 1000


class SysfsBattery:
    """`name` in power_supply, or "auto": the first of type Battery that powers the camera, and not a device at it."""

    def __init__(self, root: Path, name: str = "auto") -> None:
        self._supplies, self._name = root / "power_supply", name

    def read(self) -> BatteryReading | None:
        """See BatteryGauge."""
        path = self._find()
        if path is None:
            return None
        percent, microvolts = _percent(path), _whole(path / "voltage_now")
        status, told = _word(path / "status"), LEVELS.get(_word(path / "capacity_level") or "")
        if percent is None and microvolts is None and status is None and told is None:
            raise DeviceError(f"the battery {path.name} tells nothing", "check its gauge, or set power.battery")
        charging = status in ON_EXTERNAL or (status != "Discharging" and self._has_mains())
        millivolts = None if microvolts is None else max(0, microvolts) // _MILLI
        return BatteryReading(path.name, percent, millivolts, charging, told)

    def _find(self) -> Path | None:
        if self._name != "auto":
            path = self._supplies / self._name
            if not path.is_dir():
                raise DeviceError(f"there is no battery {self._name} in {self._supplies}", "correct power.battery")
            return path
        return next((p for p in _entries(self._supplies) if _powers_the_camera(p)), None)

    def _has_mains(self) -> bool:
        others = (p for p in _entries(self._supplies) if _word(p / "type") not in ("Battery", None))
        return any(_whole(p / "online") in (1, 2) for p in others)


def _powers_the_camera(path: Path) -> bool:
    absent, at_it = _whole(path / "present") == 0, _word(path / "scope") == "Device"
    return _word(path / "type") in ("Battery", "UPS") and not absent and not at_it


def _percent(path: Path) -> int | None:
    """The gauge's own word, else what its counters give."""
    told = _whole(path / "capacity")
    if told is None:
        for what in ("energy", "charge"):
            now, full = _whole(path / f"{what}_now"), _whole(path / f"{what}_full")
            if now is not None and full:
                told = 100 * now // full
                break
    return None if told is None else min(100, max(0, told))


class SysfsThermometer:
    """The thermal zones of one type, or "auto": of all. The hottest counts."""

    def __init__(self, root: Path, name: str = "auto") -> None:
        self._zones, self._name = root / "thermal", name

    def read(self) -> HeatReading | None:
        """See Thermometer."""
        zones = [p for p in _entries(self._zones) if p.name.startswith("thermal_zone")]
        readings = [r for p in zones if (r := self._one(p)) is not None]
        if not readings and self._name != "auto":
            raise DeviceError(f"no thermal zone {self._name} in {self._zones}", "correct power.thermometer")
        return max(readings, key=lambda r: r.millicelsius, default=None)

    def _one(self, path: Path) -> HeatReading | None:
        kind, value = _word(path / "type"), _whole(path / "temp")
        if kind is None or value is None or self._name not in ("auto", kind):
            return None
        return HeatReading(kind[:100], value)


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except FileNotFoundError:
        return []
    except OSError as err:
        raise DeviceError(f"{directory}: {reason(err)}", "correct power.sysfs_dir") from err


def _word(path: Path) -> str | None:
    """An attribute's text; None where it is not there, or its driver does not answer now."""
    try:
        return path.read_text("ascii", "replace").strip() or None
    except OSError:
        return None


def _whole(path: Path) -> int | None:
    try:
        return int(_word(path) or "")
    except ValueError:
        return None
