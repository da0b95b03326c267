"""Whether the camera is docked: a cable with a network on it, power from outside, or what the recorder says in outbox/
of its contact. Each is asked a few times a second; any of those that are configured will do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

from agent import durable
from agent.dock.links import Links

MAX_BYTES = 16 << 10
SYS_POWER = Path("/sys/class/power_supply")


class Presence(Protocol):
    """Asked a few times a second."""

    def docked(self) -> bool: ...


class OutboxPresence:
    """`outbox/dock.json` as the recorder writes it. What an earlier boot said does not count."""

    def __init__(self, outbox: Path, boot_id: str) -> None:
        self._path, self._boot_id = outbox / "dock.json", boot_id

    def docked(self) -> bool:
        told = dock_told(self._path)
        return told.get("docked") is True and told.get("boot") == self._boot_id


def dock_told(path: Path) -> Mapping[str, Any]:
    """What `outbox/dock.json` says: `docked`, the boot, and while docked the segments that have a `marked` place."""
    try:
        with durable.opened(path) as file:
            told = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


class LinkPresence:
    """A carrier on an interface whose name fits one of `patterns`, and an address there that reaches beyond it."""

    def __init__(self, links: Links, patterns: Sequence[str]) -> None:
        self._links, self._patterns = links, patterns

    def docked(self) -> bool:
        named = {a.interface for a in self._links.addresses()}
        return any(fits(name, self._patterns) and self._links.carrier(name) for name in named)


class PowerPresence:
    """Power from outside: a supply that is not the battery, and online: 1, or 2 where the charger's voltage is
    programmable (Linux, Documentation/ABI/testing/sysfs-class-power).
    """

    def __init__(self, sys_power: Path = SYS_POWER) -> None:
        self._dir = sys_power

    def docked(self) -> bool:
        return any(_word(p / "online") in ("1", "2") for p in _entries(self._dir) if _word(p / "type") != "Battery")


class AlwaysPresence:
    """For a camera on a cable."""

    def docked(self) -> bool:
        return True


class SyntheticPresence:
    """The twin: docked as it is told."""

    def __init__(self, docked: bool = False) -> None:
        self.is_docked = docked

    def docked(self) -> bool:
        return self.is_docked


class AnyPresence:
    """Docked where one of them says so."""

    def __init__(self, of: Iterable[Presence]) -> None:
        self._of = tuple(of)

    def docked(self) -> bool:
        return any(one.docked() for one in self._of)


def presence(kinds: Sequence[str], outbox: Path, boot_id: str, links: Links, interfaces: Sequence[str]) -> Presence:
    """Those that `[dock] presence` names."""
    made: dict[str, Presence] = {
        "outbox": OutboxPresence(outbox, boot_id),
        "link": LinkPresence(links, interfaces),
        "power": PowerPresence(),
        "always": AlwaysPresence(),
    }
    return AnyPresence(made[kind] for kind in kinds)


def fits(interface: str, patterns: Sequence[str]) -> bool:
    """Whether its name fits one of the patterns (fnmatch)."""
    return any(fnmatchcase(interface, pattern) for pattern in patterns)


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _word(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(64).decode("ascii", "replace").strip()
    except OSError:
        return ""
