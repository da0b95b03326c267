"""Whether a docked camera may send now: not where it is too hot. Asked while sending as often as before it.

That nothing goes over a link that costs by the byte is seen to where connections are made and used (`wire.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

SYS_THERMAL = Path("/sys/class/thermal")
COOLER_C = 5


class Policy(Protocol):
    """Asked a few times a second."""

    def hold(self) -> str:
        """Why nothing may be sent now, in words; "" where it may."""


class HeatPolicy:
    """Nothing is sent above `limit_c` degrees in the hottest zone, and again only when that is 5 degrees cooler."""

    def __init__(self, limit_c: int, sys_thermal: Path = SYS_THERMAL) -> None:
        self._limit_c, self._dir = limit_c, sys_thermal
        self._held = False

    def hold(self) -> str:
        hottest = max((c for c in map(_celsius, self._dir.glob("thermal_zone*/temp")) if c is not None), default=None)
        bar = self._limit_c - (COOLER_C if self._held else 0)
        self._held = hottest is not None and hottest > bar
        return f"too hot to send: {hottest:.0f} degrees Celsius, above {bar}" if self._held else ""


class SyntheticPolicy:
    """The twin: holds while `why` says something."""

    why = ""

    def hold(self) -> str:
        return self.why


def _celsius(path: Path) -> float | None:
    try:
        return int(path.read_text("ascii")) / 1000
    except (OSError, ValueError):
        return None
