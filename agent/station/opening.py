"""What is opened with the agency's key: a stored recording, verified and exported, or the events of many for the index.
The access log has its line, with names and keys, before anything is decrypted, and another of what came of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import AgentError, UsageError
from agent.formats import age
from agent.station.access import AccessLog, check_reason
from agent.station.index import Index
from agent.station.layout import AgencyPaths
from agent.station.reindex import Done, Reindexer

if TYPE_CHECKING:
    from agent.evidence.sources import Sources

BATCH = 250
"""Segments that one line of the access log names."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """All of a recording, or the parts from `begin` to `end`, below `out`."""

    camera: str
    recording: str
    out: Path
    begin: datetime | None
    end: datetime | None


def identities(files: Sequence[Path]) -> list[age.Identity]:
    """Raises KeyTrustError."""
    from agent.evidence.opening import load_identities

    return load_identities(*files)


def fingerprints(held: Sequence[age.Identity]) -> list[str]:
    """Which keys: the first 64 bits of SHA-256 over each recipient, as text."""
    return sorted(hashlib.sha256(one.recipient.to_string().encode()).hexdigest()[:16] for one in held)


def read_events(indexer: Reindexer, log: AccessLog, keys: Sequence[Path], reason: str, done: Done) -> None:
    """The events of all that was not opened yet, into the index. Raises UsageError, KeyTrustError, StorageError."""
    check_reason(reason)
    held = identities(keys)
    closed = 0
    for camera, of in groupby(indexer.closed(), key=lambda segment: segment.camera):
        segments = list(of)
        for start in range(0, len(segments), BATCH):
            batch = segments[start : start + BATCH]
            named = {
                "recordings": sorted({s.recording for s in batch if s.recording}),
                "segments": [s.name for s in batch],
            }
            log.append("index", camera, "", reason, keys=fingerprints(held), **named)
            try:
                told = indexer.open(batch, held, done)
            except AgentError as err:
                log.append("index.failed", camera, "", reason, why=err.message[:500])
                raise
            log.append("index.done", camera, "", reason, opened=told.opened, other_keys=told.closed, failed=told.failed)
            closed += len(told.closed)
    if closed and not done.opened:
        raise UsageError(f"this key opens none of {closed} segments", "name the agency's evidence key with -i")
    if closed:
        done.problems.append(f"{closed} segments are sealed to other keys: give those with -i as well")


def moment(text: str | None, option: str) -> datetime | None:
    """Raises UsageError."""
    from agent.evidence.times import parse_time

    return parse_time(text, option)


def export(
    paths: AgencyPaths, index: Index, log: AccessLog, wanted: Wanted, keys: Sequence[Path], reason: str
) -> tuple[dict[str, Any], list[str], bool]:
    """(as JSON, as lines, whether all of it is sound). Raises UsageError, KeyTrustError, StorageError."""
    # Here: only this command of the station's needs the verifier and a codec.
    from agent.evidence.clip import ExportOptions
    from agent.evidence.export import export as export_evidence
    from agent.evidence.trust import load_root

    held = identities(keys)
    sources = _sources(paths, index, wanted)
    span = {"from": str(wanted.begin or ""), "to": str(wanted.end or "")}
    log.append("open", wanted.camera, wanted.recording, reason, keys=fingerprints(held), **span)
    options = ExportOptions(wanted.out, wanted.recording, wanted.begin, wanted.end, True, None)
    try:
        result = export_evidence(sources, load_root(paths.trust_root), held, options)
    except AgentError as err:
        log.append("open.failed", wanted.camera, wanted.recording, reason, why=err.message[:500])
        raise
    good = result.report.verified and result.whole
    log.append(
        "open.done", wanted.camera, wanted.recording, reason, verified=result.report.verified, whole=result.whole
    )
    return result.to_json(), list(result.lines()), good


def _sources(paths: AgencyPaths, index: Index, wanted: Wanted) -> Sources:
    """Its segments, those with its start and with what follows its end, the receipts of the camera, and what notes of a
    purge there are of this recording; each segment under its own name, wherever it lies.
    """
    from agent.evidence.sources import collect

    of_camera = [s for s in index.segments(wanted.camera) if s.purged_s is None]
    numbers = [n for n, s in enumerate(of_camera) if s.recording == wanted.recording]
    if not numbers:
        raise UsageError(f"nothing of {wanted.recording} is stored", "`bodycam-station find` lists what is")
    chosen = of_camera[max(0, numbers[0] - 1) : numbers[-1] + 2]
    receipts = paths.station / "receipts" / wanted.camera
    called = {paths.station / s.place: f"{s.name}.tar" for s in chosen}
    told = [*receipts.glob("*.receipt"), *paths.purges(wanted.camera).glob(f"{wanted.recording}-*.purge")]
    sources = collect([*called, *sorted(told)])
    sources.segments = [replace(blob, name=called[blob.path]) for blob in sources.segments]
    return sources
