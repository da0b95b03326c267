"""What the station's commands say of what it knows, in lines. Times are UTC, for `localtime.localised`."""

from __future__ import annotations

from collections.abc import Iterator

from agent.errors import AgentError
from agent.station import moments, room
from agent.station.accessline import Line
from agent.station.knowledge import Knowledge, Recording, parse_utc
from agent.station.leftover import LeftOver
from agent.station.overview import Overview

MAX_NAMED = 3
"""Recordings that a line of `status --access` names."""
LOST = "WERE GONE BEFORE THEIR PURGE, and no note names them"
UNEXPLAINED = "ARE IN NO PURGE NOTE, and the access log does not say that they were gone before"

_FOR_EVER = "what is stored now is kept for ever, and nothing is purged"


def recording(one: Recording) -> str:
    who = " ".join(filter(None, (one.officer, one.unit, one.shift))) or "nobody known"
    said = {"log": "", "order": " (by order)"}.get(one.who_by or "", "")
    states = [
        *(["not whole"] if not one.whole else []),
        *(["held"] if one.held_until_s is not None else []),
        *([f"purged {moments.utc(one.purged_s)}"] if one.purged_s else []),
        *([f"{one.lost_segments} of its segments WERE GONE BEFORE A PURGE"] if one.lost_segments else []),
        *([f"{one.unexplained_segments} of its segments {UNEXPLAINED}"] if one.unexplained_segments else []),
        *([f"may go {moments.utc(one.purge_s)}"] if one.purge_s and not one.purged_s else []),
        *([f"{len(one.marks)} marks" + (f" ({', '.join(one.tags)})" if one.tags else "")] if one.marks else []),
        *(["events not opened"] if not one.opened else []),
        *(["perhaps not all marks are known yet"] if one.opened and not (one.tags_known or one.purged_s) else []),
    ]
    began_s = parse_utc(one.begins)
    doubt = "" if one.vouched else " (clock unverified)"
    begins = "no date" if began_s is None else moments.utc(int(began_s)) + doubt
    return f"{one.camera}  {one.recording}  {begins}  {one.media_s:.1f} s  {who}{said}  {'; '.join(states)}".rstrip()


def not_purged(one: Recording, err: AgentError) -> str:
    return f"failed, perhaps with some of it gone: {one.camera} {one.recording}: {err.message}"


def unread(knowledge: Knowledge) -> list[str]:
    return [f"not read: {problem}" for problem in knowledge.problems]


def unknown(count: int) -> list[str]:
    """Of recordings that fit but for officer and unit."""
    said = f"not listed: {count} that nobody is known to have worn; without --officer and --unit they are"
    return [said] if count else []


def status(found: Overview) -> Iterator[str]:
    for c in found.cameras:
        owes = f"owes {c.owed_segments} segments, {c.owed_bytes / 1e6:.1f} MB, {c.owed_leaves} leaves"
        parts = [
            f"{c.recordings} recordings, {c.segments} segments, {c.bytes / 1e6:.1f} MB",
            owes if c.owed_segments or c.owed_leaves else "owes nothing",
            f"{c.cosigned_leaves} leaves in {c.epoch} epochs",
            f"last receipt {moments.utc(c.newest_receipt_s)}" if c.newest_receipt_s else "no receipt yet",
            *([f"{c.held} held"] if c.held else []),
            *([f"{c.purged} purged" + _unsigned(c.purged_unsigned)] if c.purged else []),
            *([f"{c.lost_segments} segments {LOST}"] if c.lost_segments else []),
            *([f"{c.unexplained_segments} segments {UNEXPLAINED}"] if c.unexplained_segments else []),
            *([f"{c.left_over} left over, {c.left_over_bytes / 1e6:.1f} MB (--left-over)"] if c.left_over else []),
            *([f"{c.conflicts} CONFLICTS, see station/conflicts/{c.camera}"] if c.conflicts else []),
            *([f"HAS NOT {', NOR '.join(c.lacks_keys)}"] if c.lacks_keys and not c.revoked else []),
            *(["REVOKED"] if c.revoked else []),
        ]
        yield f"{c.camera}: {'; '.join(parts)}"
    yield f"{found.uploads} uploads unfinished; {found.free_bytes / 1e9:.1f} of {found.total_bytes / 1e9:.1f} GB free"
    if found.disk_full:
        yield room.FULL
    if found.access_problem is None:
        yield f"access log: {found.access_lines} lines, chain holds, head {found.access_head}"
    else:
        yield f"access log: DOES NOT HOLD: {found.access_problem}"
    if found.retention_problem is not None:
        yield f"retention: CANNOT BE READ, so {_FOR_EVER}: {found.retention_problem}"
    for problem in found.damaged_orders:
        yield f"orders: CANNOT BE READ, so cameras do not get it: {problem}"


def _unsigned(count: int) -> str:
    return f" ({count} of them WITHOUT A SIGNED NOTE: `purge --yes` writes it where enough is known)" if count else ""


def left_over(one: LeftOver) -> str:
    why = "a receipt keeps it for its bytes alone" if one.kept else "no receipt names it"
    return f"left over: station/{one.place}: {one.size} bytes, {why}"


def access(line: Line) -> str:
    named = line.recording or _several(line.more.get("recordings") or line.more.get("segments") or [])
    lost = f"; gone before: {_several(line.more['lost'])}" if line.more.get("lost") else ""
    return f"{moments.utc(line.time_s)} {line.who}: {line.what} {line.camera} {named}: {line.reason}{lost}"


def _several(names: list[str]) -> str:
    """The first of them; all are in the log, and in --json."""
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
