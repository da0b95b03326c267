"""What may go, decided purely from values. Only delivered segments are ever offered; the caller writes the leaf,
then unlinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.formats.seal import SealRecord
from agent.spool.store import DiskSpace

DAY_S = 86_400
AT_ONCE = 8
"""Each takes two syncs of the card."""


@dataclass(frozen=True, slots=True)
class Held:
    """A delivered segment, and how long ago its receipt was accepted, as far as that is sure."""

    record: SealRecord
    age_s: float


@dataclass(frozen=True, slots=True)
class Policy:
    """Delete what is older than `keep_days`, and the oldest beyond `max_used_percent` of the file system or where less
    than `least_free_bytes` are free; `force` deletes all delivered.
    """

    keep_days: int
    max_used_percent: int
    force: bool = False
    least_free_bytes: int = 0


def to_delete(held: Sequence[Held], space: DiskSpace, policy: Policy) -> list[SealRecord]:
    """The delivered segments to delete now, oldest first."""
    ordered = sorted(held, key=lambda h: (h.record.epoch, h.record.first))
    if policy.force:
        return [h.record for h in ordered]
    wanted_free = max(policy.least_free_bytes, space.total_bytes * (100 - policy.max_used_percent) // 100)
    free, chosen = space.free_bytes, []
    for item in ordered:
        if item.age_s > policy.keep_days * DAY_S or free < wanted_free:
            chosen.append(item.record)
            free += item.record.size
    return chosen


def portion(chosen: Sequence[SealRecord], least_bytes: int) -> list[SealRecord]:
    """What of it goes in one turn of the recorder's loop: so many, or more where these bytes are needed now."""
    taken, size = list[SealRecord](), 0
    for record in chosen:
        if len(taken) >= AT_ONCE and size >= least_bytes:
            break
        taken.append(record)
        size += record.size
    return taken
