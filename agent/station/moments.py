"""Times of people at the station: given with their offset from UTC, shown in their zone with it. Between the two, and
in --json, is UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime


def parse(text: str | None, option: str) -> float | None:
    """POSIX seconds. Raises UsageError, also for a time that does not say its offset."""
    # Here: few commands need anything of the verifier.
    from agent.evidence.times import parse_time

    moment = parse_time(text, option)
    return None if moment is None else moment.timestamp()


def utc(posix_s: int | None) -> str:
    """As `localtime.localised` finds it in a line when that is printed."""
    return datetime.fromtimestamp(posix_s or 0, UTC).isoformat(timespec="seconds")
