"""How long recordings are kept, as the agency writes it in retention.toml; what is held is kept in any case.

    days = 90            every recording, at least
    [tags]
    arrest = 730         a recording with a mark of this tag

A receipt says until when its segments are kept: `days` from then. Whoever has a receipt relies on that, so nothing goes
before the end that every receipt of it names.
"""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent import configfile, durable
from agent.errors import ConfigError, StorageError, UsageError
from agent.formats.pack import RECORDING_ID
from agent.station import turn
from agent.station.layout import AgencyPaths

DAY_S = 86_400
MAX_DAYS = 36_500
ENDLESS = (
    "There is no retention.toml yet: receipts that are signed before there is one name no end, and what they cover is "
    "kept for ever, and never purged."
)
EXAMPLE = "write it like: days = 90, then [tags], then arrest = 730"


@dataclass(frozen=True, slots=True)
class Policy:
    """Days from the recording's storage; those of a tag where they are more (`agent/station/tagged.py`)."""

    days: int
    tags: Mapping[str, int]

    def keep_s(self, tags: Collection[str], known: bool) -> int:
        """Of a recording with marks of these tags. Where they are not known to be all, it is kept as if it had the one
        that keeps longest.
        """
        named = self.tags if not known else {tag: days for tag, days in self.tags.items() if tag in tags}
        return DAY_S * max([self.days, *named.values()])


def load(paths: AgencyPaths) -> Policy | None:
    """None where the agency has written none: everything is kept. Raises ConfigError."""
    if not paths.retention.exists():
        return None
    try:
        found = tomllib.loads(configfile.text_of(paths.retention))
    except ValueError as err:
        raise ConfigError(f"{paths.retention} is not TOML: {err}", EXAMPLE) from err
    days, tags = found.pop("days", None), found.pop("tags", {})
    if found or not isinstance(tags, dict) or not all(_is_days(n) for n in (days, *tags.values())):
        raise ConfigError(f"{paths.retention} is not: days, and days by tag, 1 to {MAX_DAYS}", EXAMPLE)
    return Policy(days, tags)


def refuse_existing(paths: AgencyPaths) -> None:
    """Before a first policy is asked for. Raises UsageError where there is one."""
    if paths.retention.exists():
        raise UsageError(f"{paths.retention} is there already", "leave --keep-days out, and change that file")


def begin(paths: AgencyPaths, days: int) -> None:
    """Write the first policy: every recording at least so many days. Raises StorageError."""
    durable.write_file(paths.retention, f"days = {days}\n".encode())


def check_days(days: int) -> None:
    """Raises UsageError."""
    if not _is_days(days):
        raise UsageError(f"--keep-days {days} is not 1 to {MAX_DAYS}", "name whole days")


def _is_days(value: object) -> bool:
    return type(value) is int and 1 <= value <= MAX_DAYS


@dataclass(frozen=True, slots=True)
class Hold:
    """Until `until_s` (POSIX seconds, 0 = no end), and why."""

    until_s: int
    reason: str

    def stands(self, now_s: float) -> bool:
        return not self.until_s or now_s < self.until_s


@contextmanager
def alone(paths: AgencyPaths) -> Iterator[None]:
    """Nobody else holds, releases or purges a recording inside the block. Raises StorageError, also where it is not
    free in time.
    """
    with turn.alone(paths.holds_lock, "holds", "`bodycam-station hold` or `purge`"):
        yield


def hold_of(paths: AgencyPaths, camera: str, recording: str) -> Hold | None:
    """Raises StorageError where it cannot be read: what may be held must not go."""
    path = paths.hold(camera, recording)
    with durable.storage_errors(path, "cannot read"):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
    try:
        value = json.loads(data)
        found = Hold(value["until"], value["reason"])
        if type(found.until_s) is not int or not isinstance(found.reason, str):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StorageError(f"{path} is damaged, so it holds without end", "hold it again, or release it") from None
    return found


def put_hold(paths: AgencyPaths, camera: str, recording: str, hold: Hold) -> Path:
    """Durable when this returns; in place of one that was there."""
    if not RECORDING_ID.fullmatch(recording):
        raise UsageError(f"{recording[:60]!r} is not a recording's name", "`bodycam-station find` lists them")
    path = paths.hold(camera, recording)
    durable.make_dir(path.parent)
    made = {"v": 1, "until": hold.until_s, "reason": hold.reason, "made": int(time.time())}
    durable.write_file(path, json.dumps(made).encode() + b"\n")
    return path


def release(paths: AgencyPaths, camera: str, recording: str) -> bool:
    """False where nothing held it."""
    path = paths.hold(camera, recording)
    if not path.exists():
        return False
    durable.remove(path)
    return True
