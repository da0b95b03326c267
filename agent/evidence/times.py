"""When something was in front of the lens: the recording's timeline laid on UTC by its leaves.

A leaf is made when its part is sealed; the media in it are older, with a pre-event ring by up to two minutes. Both
stand on CLOCK_MONOTONIC, so the leaf's UTC less the difference is the time of the media.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent.errors import UsageError
from agent.formats import leaf as leaf_format
from agent.model import NS


@dataclass(frozen=True, slots=True)
class Moment:
    """UTC where a date is known, and the monotonic clock of a boot in any case."""

    utc: datetime | None
    verified: bool
    mono_ns: int
    boot: str

    def __str__(self) -> str:
        if self.utc is None:
            return f"{self.mono_ns / NS:.3f} s after boot {self.boot[:8]}"
        return self.utc.isoformat(timespec="milliseconds") + ("" if self.verified else " (clock unverified)")


def moment(leaf: leaf_format.MediaLeaf, timeline_ns: int) -> Moment:
    """The moment of a presentation time on the leaf's recording."""
    stamp = leaf.common.stamp
    mono_ns = leaf.zero_mono_ns + timeline_ns
    utc = utc_of(stamp)
    if utc is not None:
        try:
            utc -= timedelta(microseconds=(stamp.mono_ns - mono_ns) // 1000)
        except OverflowError:
            utc = None
    return Moment(utc, stamp.utc_source == "synchronised", mono_ns, stamp.boot)


def utc_of(stamp: leaf_format.Stamp) -> datetime | None:
    """The stamp's UTC; None where it has none, or names a date that does not exist."""
    if stamp.utc is None:
        return None
    try:
        return datetime.strptime(stamp.utc, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def parse_time(text: str | None, option: str) -> datetime | None:
    """A time a user gives, with its offset from UTC. Raises UsageError."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is not a time", "write it like 2026-03-01T08:00:10+01:00, or with Z for UTC"
        ) from None
    if found.tzinfo is None:
        raise UsageError(f"{option} {text!r} has no offset from UTC", f"write {text}Z or {text}+01:00")
    return found.astimezone(UTC)
