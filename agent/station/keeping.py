"""What is purged: recordings whose days are over, that no hold keeps, whole, and never before the end that their
receipts name. Event segments stay: they are the log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, get_type_hints

from agent import durable
from agent.errors import AgentError, ConfigError, EvidenceError, StorageError
from agent.formats import pack
from agent.station import moments, promised, retention, turn
from agent.station.access import AccessLog
from agent.station.accessline import Line
from agent.station.index import Index
from agent.station.indexed import Owed, Segment
from agent.station.keptheads import KeptHeads
from agent.station.knowledge import Knowledge, Recording
from agent.station.layout import AgencyPaths
from agent.station.purgenotes import PurgeNotes

REASON = "its days are over"
NOT_TRIED = "the purge ended before it"
MAX_NAMED = 100
"""Segments in one line of the access log."""

_UNTOLD = ("camera", "recording", "purged_s", "opened", "place", "lost", "unexplained")
_OF_A_RECORDING = re.compile(rf"{pack.RECORDING_ID.pattern}-[0-9]{{4}}")
_TOLD = {key: kind for key, kind in get_type_hints(Segment).items() if key not in _UNTOLD}


@dataclass(frozen=True, slots=True)
class Due:
    """`kept` may not go yet, each with the reason. Of what `failed` some may be gone: the next purge goes on."""

    go: tuple[Recording, ...]
    kept: tuple[tuple[Recording, str], ...]
    failed: tuple[tuple[Recording, AgentError], ...] = ()


def due(
    knowledge: Knowledge, recordings: Sequence[Recording], now_s: float, unknown: Mapping[str, str] | None = None
) -> Due:
    """Pure but for what `knowledge` read. Nothing goes of a camera whose receipts' ends are `unknown`, for the reason
    that stands there. Raises ConfigError where the agency wrote no retention.
    """
    policy = knowledge.policy
    if policy is None:
        raise ConfigError(retention.ENDLESS.rstrip("."), retention.EXAMPLE)
    go, kept = [], []
    for one in recordings:
        if one.purged_s is not None:
            continue
        why = (unknown or {}).get(one.camera) or _kept(one, now_s)
        if why:
            kept.append((one, why))
        else:
            go.append(one)
    return Due(tuple(go), tuple(kept))


def _kept(one: Recording, now_s: float) -> str | None:
    if one.held_until_s is not None:
        return "it is held" + (f" until {moments.utc(one.held_until_s)}" if one.held_until_s else " without end")
    if one.purge_s is None:
        return "a receipt says that it is kept without end"
    if not one.whole:
        return "it is not whole yet: more of it may come"
    if one.purge_s > now_s:
        return f"it is kept until {moments.utc(one.purge_s)}"
    return None


def facts(segment: Segment) -> dict[str, Any]:
    """What a line says of a segment that goes: all that the index holds, which cannot be read from it any longer."""
    held = asdict(segment)
    return {key: held[key] for key in _TOLD}


def purged(
    index: Index,
    lines: Iterable[Line],
    stored: Callable[[str, str], bool],
    named: Callable[[str, str], Container[str]],
) -> None:
    """Tell a new index what went, by the access log, where it is not `stored` (camera, segment) again. Lines of earlier
    versions name segments and digests alone: the rest is what the camera announced. Notes name what went by its digest
    (`named`: camera, recording). Raises EvidenceError that names the first line which tells no such thing; the index
    learns nothing then.
    """
    gone: dict[tuple[str, str], Segment] = {}
    for line in lines:
        if line.what == "purge":
            noted = named(line.camera, line.recording)
            for told in _segments(line):
                key = (line.camera, told["name"])
                segment = _gone(line, told, index.announced(*key))
                gone[key] = _judged(line, segment, gone.get(key), segment.sha256 in noted)
    index.gone([segment for key, segment in gone.items() if not stored(*key)])


def _judged(line: Line, segment: Segment, before: Segment | None, noted: bool) -> Segment:
    """Lost is what the line itself says was. What it alone names is unexplained, since a note follows such a line
    before the first file goes; but where there were no notes yet, or an earlier line explained the same bytes, the
    station's own purge took it.
    """
    if segment.name in line.more.get("lost", ()):
        return replace(segment, lost=True)
    known = before is not None and before.sha256 == segment.sha256 and not before.lost and not before.unexplained
    return replace(segment, unexplained=not noted and not known and "lost" in line.more)


def _segments(line: Line) -> list[dict[str, Any]]:
    """What a line of a purge tells of each, without what a later version may tell besides. Raises EvidenceError."""
    more = line.more if isinstance(line.more, dict) else {}
    if not isinstance(found := more.get("segments"), list) or not isinstance(more.get("lost", []), list):
        raise EvidenceError(f"line {line.number} of the access log does not say what was purged")
    for told in found:
        if wrong := _wrong(told):
            raise EvidenceError(f"line {line.number} of the access log says what was purged, and {wrong} of it is none")
    return [{key: told[key] for key in told if key in _TOLD} for told in found]


def _wrong(told: Any) -> str | None:
    """The first field that is missing or of another type, or too large for the index."""
    if not isinstance(told, dict):
        return "a segment"
    fields: dict[str, Any] = {"name": None, "sha256": None} | told
    for key, kind in _TOLD.items():
        if key in fields and not _is_a(fields[key], kind):
            return f"`{key}`"
    # The end of a recording's segment is its number.
    return None if _OF_A_RECORDING.fullmatch(fields["name"]) else "`name`"


def _is_a(value: Any, kind: Any) -> bool:
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return False
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)


def _gone(line: Line, told: Mapping[str, Any], announced: Owed | None) -> Segment:
    name = told["name"]
    known = announced or Owed(line.camera, name, 1, 0, 0, 0)
    bare = Segment(
        line.camera, name, known.epoch, told["sha256"], known.size, line.recording, int(name[-4:]), known.first,
        known.entries, 0, 0, None, None, False, False, False, line.time_s, 0, line.time_s, False,
    )  # fmt: skip
    return replace(bare, **told)


@dataclass(frozen=True, slots=True)
class Told:
    """What a purge writes before it deletes: signed notes, and heads that have to outlast it."""

    notes: PurgeNotes
    heads: KeptHeads


@dataclass(frozen=True, slots=True)
class Look:
    """At what is kept, once more: what receipts say that were signed since the list was made, why that is not known of
    a camera (None where it is), and the time.
    """

    knowledge: Knowledge
    hear: Callable[[str], str | None]
    now_s: Callable[[], float]

    def again(self, one: Recording) -> tuple[Recording, str | None]:
        """As it is now, and why it may not go, None where it may."""
        unknown = self.hear(one.camera)
        found = self.knowledge.recordings(one.camera, one.recording)
        if len(found) != 1:
            return one, unknown or "it is not one recording any longer"
        return found[0], unknown or _kept(found[0], self.now_s())


def purge(paths: AgencyPaths, index: Index, told: Told, log: AccessLog, listed: Due, look: Look) -> Due:
    """Of what is listed to go: what went, what is kept all the same, and what failed. Nothing goes that is held, or
    that a receipt keeps, by the moment of its own purge. The line in the access log is durable before a file goes, and
    so is the signed note. What the disk refuses of one recording keeps no other; a lock that is not free in time, or a
    note that cannot be signed, ends it: what is behind that is kept. Raises no AgentError.
    """
    gone, kept, failed = list[Recording](), [*listed.kept], list[tuple[Recording, AgentError]]()
    for at, one in enumerate(listed.go):
        try:
            with retention.alone(paths), promised.alone(paths.station), _refused(failed, one):
                now, why = look.again(one)
                if why is not None:
                    kept.append((now, why))
                elif now.purged_s is None:
                    lost = _delete(paths, index, told, log, now, look.now_s())
                    gone.append(replace(now, lost_segments=lost))
        except AgentError as err:
            failed.append((one, err))
            kept += [(later, NOT_TRIED) for later in listed.go[at + 1 :]]
            break
    return Due(tuple(gone), tuple(kept), tuple(failed))


@contextmanager
def _refused(failed: list[tuple[Recording, AgentError]], one: Recording) -> Iterator[None]:
    """One lock is waited for, not one for each recording: meanwhile who holds or receipts anything waits too."""
    try:
        yield
    except turn.NotFreeError:
        raise
    except StorageError as err:
        failed.append((one, err))


def _delete(paths: AgencyPaths, index: Index, told: Told, log: AccessLog, one: Recording, now_s: float) -> int:
    """How many of its segments were gone before."""
    segments = index.segments(one.camera, one.recording)
    lost = told.notes.lost(segments)
    for start in range(0, len(segments), MAX_NAMED):
        batch = segments[start : start + MAX_NAMED]
        said, gone = [facts(segment) for segment in batch], [s.name for s in batch if s.name in lost]
        log.append("purge", one.camera, one.recording, REASON, segments=said, lost=gone)
    told.heads.keep(segments)
    told.notes.write(segments, one.purge_s or 0, int(now_s))
    for segment in segments:
        # A second content that was put aside is evidence of something else, and stays.
        durable.remove(paths.station / segment.place)
    index.purged(segments, int(now_s), lost)
    return len(lost)


def note_earlier(index: Index, notes: PurgeNotes, recordings: Sequence[Recording]) -> list[Recording]:
    """Those that were purged before there were notes, and have one from now on. Raises StorageError."""
    gone = (one for one in recordings if one.purged_s is not None)
    there = notes.listed()
    return [one for one in gone if notes.write_late(index.segments(one.camera, one.recording), there)]
