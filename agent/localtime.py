"""Times for people: in the agency's zone, the offset always shown, as in 2026-03-01 14:05:06.123 +01:00.

Files, reports for scripts and everything between programs hold UTC; a line for people is converted as it is printed.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from datetime import UTC, datetime, tzinfo

from agent.clock import Clock
from agent.errors import UsageError
from agent.model import NS

# As reports hold it: UTC, with or without a fraction.
_UTC_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00")


def find(name: str | None) -> tzinfo | None:
    """The zone of an IANA name; None, the machine's own, for no name. Raises UsageError.

    UTC needs no database. Zone rules come from the system's tzdata, which follows what governments decide.
    """
    if not name:
        return None
    if name == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        known = zoneinfo.available_timezones()
    if not known:
        raise UsageError(
            f"no time zones are installed here, so {name[:60]!r} is not known", "apt install tzdata, or choose UTC"
        )
    near = difflib.get_close_matches(name[:60], known, 1)
    hint = f"did you mean {near[0]}?" if near else "use an IANA name like Africa/Casablanca; timedatectl list-timezones"
    raise UsageError(f"{name[:60]!r} is not a time zone", hint)


def why_unknown(name: str | None) -> str | None:
    """Why that is no zone here, with what to do; None where it is one."""
    try:
        find(name)
    except UsageError as err:
        return f"{err.message}; {err.hint}"
    return None


def find_or_utc(name: str | None) -> tuple[tzinfo | None, str]:
    """For what has to be shown in any case: (zone, ""), or (UTC, why it is UTC)."""
    try:
        return find(name), ""
    except UsageError as err:
        return UTC, f"times are in UTC: {err.message} ({err.hint})"


def shown(moment: datetime, zone: tzinfo | None, milliseconds: bool = True) -> str:
    """A moment (with its offset) in `zone`, cut, not rounded. Raises OverflowError at the ends of the calendar."""
    local = moment.astimezone(zone)
    text = local.isoformat(sep=" ", timespec="milliseconds" if milliseconds else "seconds")
    split = 23 if milliseconds else 19
    return f"{text[:split]} {text[split:]}"


def not_set(passed_ns: int) -> str:
    """What stands in place of a date where nobody vouches for the clock: hours, minutes, seconds since something. A
    board without a battery of its own starts at a date that looks right, and is not.
    """
    seconds = max(0, passed_ns) // NS
    return f"CLOCK NOT SET  +{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def now(clock: Clock, zone: tzinfo | None) -> str:
    """The time, for people: a date only by a clock that is synchronised, else the time since the kernel started."""
    utc = clock.utc()
    if utc.source != "synchronised":
        return not_set(clock.boottime_ns())
    return shown(datetime.fromtimestamp(utc.ns / NS, UTC), zone)


def localised(line: str, zone: tzinfo | None) -> str:
    """The line with each UTC time in it shown in `zone`; what is no date stays as it is."""

    def convert(found: re.Match[str]) -> str:
        try:
            return shown(datetime.fromisoformat(found[0]), zone, bool(found[1]))
        except (ValueError, OverflowError):
            return found[0]

    return _UTC_TIME.sub(convert, line)
