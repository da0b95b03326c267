"""Decided purely: how bad a reading is, with hysteresis, and whether it is worth telling."""

from __future__ import annotations

from dataclasses import dataclass

from agent.events import Level
from agent.model import NS

REST_NS = 60 * NS
"""What got better, or changed otherwise, is told so long after the last time: a loose contact must not fill the log."""


@dataclass(frozen=True, slots=True)
class Scale:
    """`mild` from the value `first` on, critical from `second` on; `down` where less is worse. Back only when it is
    `margin` better than where it began. `second` None: never critical.
    """

    mild: Level
    first: int
    second: int | None
    margin: int
    down: bool = False

    def level(self, value: int | None, before: Level) -> Level:
        """What a value is after it was `before`; one that nobody tells is normal."""
        if value is None:
            return Level.NORMAL
        if self.second is not None and self._is_past(value, self.second, before is Level.CRITICAL):
            return Level.CRITICAL
        return self.mild if self._is_past(value, self.first, before is not Level.NORMAL) else Level.NORMAL

    def _is_past(self, value: int, edge: int, was: bool) -> bool:
        margin = self.margin if was else 0
        return value <= edge + margin if self.down else value >= edge - margin


@dataclass(frozen=True, slots=True)
class Said:
    """What was told last, and when."""

    at_ns: int
    level: Level
    charging: bool = False


def is_due(said: Said | None, now: Said, report_ns: int) -> bool:
    """At once where it is new or worse; other changes a minute after the last time; and every `report_ns`."""
    if said is None or _rank(now.level) > _rank(said.level):
        return True
    changed = (now.level, now.charging) != (said.level, said.charging)
    return now.at_ns - said.at_ns >= (min(REST_NS, report_ns) if changed else report_ns)


def _rank(level: Level) -> int:
    return {Level.NORMAL: 0, Level.CRITICAL: 2}.get(level, 1)
