"""What is purged: recordings whose days are over, that no hold keeps, whole, and never before the end that their
receipts name. Event segments stay: they are the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent import durable
from agent.errors import ConfigError
from agent.station import retention
from agent.station.access import AccessLog
from agent.station.index import Index
from agent.station.knowledge import Knowledge, Recording
from agent.station.layout import AgencyPaths

REASON = "its days are over"


@dataclass(frozen=True, slots=True)
class Due:
    """`kept` may not go yet, each with the reason."""

    go: tuple[Recording, ...]
    kept: tuple[tuple[Recording, str], ...]


def due(knowledge: Knowledge, recordings: Sequence[Recording], now_s: float) -> Due:
    """Pure but for what `knowledge` read. Raises ConfigError where the agency wrote no retention."""
    policy = knowledge.policy
    if policy is None:
        raise ConfigError(retention.ENDLESS.rstrip("."), retention.EXAMPLE)
    go, kept = [], []
    for one in recordings:
        if one.purged_s is not None:
            continue
        why = _kept(one, now_s)
        if why:
            kept.append((one, why))
        else:
            go.append(one)
    return Due(tuple(go), tuple(kept))


def _kept(one: Recording, now_s: float) -> str | None:
    if one.held_until_s is not None:
        return "it is held" + (f" until {one.held_until_s}" if one.held_until_s else " without end")
    if one.purge_s is None:
        return "a receipt says that it is kept without end"
    if not one.whole:
        return "it is not whole yet: more of it may come"
    if one.purge_s > now_s:
        return f"it is kept until {one.purge_s}"
    return None


def purge(
    paths: AgencyPaths, index: Index, log: AccessLog, recordings: Sequence[Recording], now_s: float
) -> list[Recording]:
    """The line in the access log is durable before a file goes. What is held by now stays. Raises StorageError."""
    gone = []
    for one in recordings:
        hold = retention.hold_of(paths, one.camera, one.recording)
        if hold is not None and hold.stands(now_s):
            continue
        segments = index.segments(one.camera, one.recording)
        named = [{"name": s.name, "sha256": s.sha256} for s in segments]
        log.append("purge", one.camera, one.recording, REASON, segments=named)
        for segment in segments:
            # A second content that was put aside is evidence of something else, and stays.
            durable.remove(paths.station / "segments" / segment.camera / f"{segment.name}.tar")
        index.purged(segments, int(now_s))
        gone.append(one)
    return gone
