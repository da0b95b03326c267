"""Recordings as people ask for them: by camera, officer, unit, time and tag; and what each camera still owes. Put
together from the index, the agency's own orders, holds and the retention that it wrote.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import groupby
from typing import Any

from agent import durable
from agent.errors import ConfigError, EvidenceError, StorageError, UsageError
from agent.formats.epoch import Why
from agent.formats.order import Assignment, Kind
from agent.station import orders, retention, tagged
from agent.station.index import Index
from agent.station.indexed import Held, Mark, Owed, Segment
from agent.station.layout import AgencyPaths
from agent.station.orders import Damaged, Given
from agent.station.retention import Policy
from agent.station.state import State
from agent.station.wearing import Wearing

BY_LOG, BY_ORDER = "log", "order"
"""Where the station has an officer's name from: an event that was opened, with all of the log from there to the
recording and to well behind it (`tagged.py`), or the agency's newest order that the camera had been given before."""


@dataclass(frozen=True, slots=True)
class Recording:
    """`vouched` says how sure dates are, `who_by` officer and unit. `purge_s` is when it may go (POSIX seconds; None:
    never, as things are), `purged_s` when all of it went, of which `lost_segments` were gone before, and of
    `unexplained_segments` no note and no log says how; `whole` where its first and its last segment are stored and none
    lacks in between; `tags_known` where no mark of it can be in what was not opened.
    """

    camera: str
    recording: str
    epoch: int
    begins: str | None
    ends: str | None
    vouched: bool
    media_s: float
    size: int
    segments: int
    whole: bool
    opened: bool
    tags_known: bool
    officer: str | None
    unit: str | None
    shift: str | None
    who_by: str | None
    marks: tuple[Mark, ...]
    held_until_s: int | None
    purge_s: int | None
    purged_s: int | None
    lost_segments: int
    unexplained_segments: int

    @property
    def tags(self) -> list[str]:
        return sorted({mark.tag for mark in self.marks if mark.tag})

    def to_json(self) -> dict[str, Any]:
        marks = [{"at": m.at, "text": m.text, "tag": m.tag} for m in self.marks]
        told = {**asdict(self), "marks": marks, "tags": self.tags}
        told["lost"] = told.pop("lost_segments")
        return told


@dataclass(frozen=True, slots=True)
class Debt:
    """What a camera has announced and the station never held: segments that it named as sealed, and how many leaves of
    its cosigned logs no stored segment has.
    """

    segments: tuple[Owed, ...]
    leaves: int

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self.segments)


class Knowledge:
    """Reads only."""

    def __init__(self, paths: AgencyPaths, index: Index, state: State, now_s: float | None = None) -> None:
        self._paths, self._index, self._state = paths, index, state
        self._now_s = time.time() if now_s is None else now_s
        self._orders: dict[str, list[tuple[int, Assignment | None]]] = {}
        self._problems: list[str] = []
        self._wearing = Wearing(index)

    @cached_property
    def policy(self) -> Policy | None:
        """Raises ConfigError."""
        return retention.load(self._paths)

    @cached_property
    def retention_problem(self) -> str | None:
        """Why it is not known until when anything is kept."""
        try:
            _ = self.policy
        except ConfigError as err:
            return f"{err.message}: {err.hint}"
        return None

    @property
    def problems(self) -> list[str]:
        """What could not be read for the answers so far, by path."""
        return [*([self.retention_problem] if self.retention_problem else []), *self._problems]

    def recordings(self, camera: str | None = None, recording: str | None = None) -> list[Recording]:
        """Oldest first, camera by camera."""
        found = [s for s in self._index.segments(camera, recording) if s.recording]
        ordered = sorted(found, key=lambda s: (s.camera, s.epoch, str(s.recording), s.seq))
        return [self._recording(list(of)) for _, of in groupby(ordered, key=lambda s: (s.camera, s.recording))]

    def one(self, recording: str, camera: str | None = None) -> Recording:
        """Raises UsageError where there is none of this name, or one of several cameras."""
        found = self.recordings(camera, recording)
        if len(found) != 1:
            cameras = ", ".join(one.camera for one in found)
            hint = f"say which with --camera: {cameras}" if found else "`bodycam-station find` lists them"
            raise UsageError(f"{len(found) or 'no'} recordings are called {recording[:60]!r}", hint)
        return found[0]

    def debt(self, camera: str) -> Debt:
        """By the camera's own signed word: its seal and kept leaves, and the size of each log that was cosigned."""
        owed, left = self._index.owed(camera), self._index.left_over(camera)
        behind = {link.follows for link in self._state.links(camera) if link.reason == Why.BEHIND.value}
        leaves = 0
        for epoch in range(1, self._state.newest_epoch(camera) + 1):
            head = self._state.head(camera, epoch)
            here = self._index.covered(camera, epoch) + [_leaves(one) for one in left if one.epoch == epoch]
            to_come = [_leaves(one) for one in owed if one.epoch == epoch and one.entries]
            kept = self._index.kept_leaves(camera, epoch)
            # What the card holds of a log that it is behind of may go on otherwise where it cannot be read.
            certain = [replace(one, broken=False) for one in kept] if epoch in behind else kept
            leaves += lacking(head.size if head else 0, here, to_come, certain)
        return Debt(tuple(owed), leaves)

    def held(self, camera: str) -> list[str]:
        """Recordings of it that a hold keeps now."""
        folder = self._paths.station / "holds" / camera
        names = [name.removesuffix(".json") for name in durable.names(folder, ".json")] if folder.is_dir() else []
        return [name for name in names if self._held_until(camera, name) is not None]

    def _recording(self, segments: Sequence[Segment]) -> Recording:
        first, last = segments[0], segments[-1]
        marks = tuple(self._index.marks(first.camera, str(first.recording)))
        opened = all(s.opened for s in segments)
        tags_known = opened and tagged.are_known(self._index, self._state, segments)
        numbered = [s.seq for s in segments] == list(range(len(segments)))
        purged = [s.purged_s for s in segments if s.purged_s]
        officer, unit, shift, who_by = self._worn(first, tags_known)
        return Recording(
            first.camera, str(first.recording), first.epoch, first.begins, last.ends, all(s.vouched for s in segments),
            _length_ns(segments) / 1e9, sum(s.size for s in segments), len(segments),
            numbered and last.ended, opened, tags_known, officer, unit, shift, who_by, marks,
            self._held_until(first.camera, str(first.recording)),
            self._purge_s(segments, marks, tags_known), max(purged) if len(purged) == len(segments) else None,
            sum(s.lost for s in segments), sum(s.unexplained for s in segments),
        )  # fmt: skip

    def _worn(self, first: Segment, tags_known: bool) -> tuple[str | None, str | None, str | None, str | None]:
        # An assignment that the disk refused may stand where a mark of this recording may.
        told = self._wearing.by_log(first) if tags_known else None
        if told:
            return told.officer, told.unit, told.shift, BY_LOG
        given = self._given(first.camera)
        # By a date that nobody vouches for it would be whoever had the camera at some other time.
        moment = parse_utc(first.begins) if first.vouched else None
        newest = next((body for at_s, body in reversed(given) if moment is not None and at_s <= moment), None)
        if newest is None:
            return None, None, None, None
        return newest.officer, newest.unit, newest.shift, BY_ORDER

    def _given(self, camera: str) -> list[tuple[int, Assignment | None]]:
        """Assignments and when the camera was first given each, oldest first; None for one that is damaged, so that
        nobody is said to have gone on.
        """
        if camera not in self._orders:
            given = orders.given(self._paths.orders, camera, Kind.ASSIGNMENT)
            self._orders[camera] = [told for one in given for told in self._told(one, camera)]
        return self._orders[camera]

    def _told(self, one: Given | Damaged, camera: str) -> list[tuple[int, Assignment | None]]:
        """Nothing of one that was never given. Where it was, and when is damaged, nobody is named from when it was
        issued, since no camera had it before, until the camera was given it again.
        """
        why = [one.why] if isinstance(one, Damaged) else []
        body = one.order.body if isinstance(one, Given) and isinstance(one.order.body, Assignment) else None
        again_s, until = None, ""
        try:
            at_s = orders.since_s(one.file)
            known = [] if at_s is None else [(at_s, body)]
        except (EvidenceError, StorageError) as err:
            why.append(err.message)
            at_s = one.order.issued_s if isinstance(one, Given) else orders.number_of(one.file)
            known, again_s = [(at_s, None)], orders.again_s(one.file)
        if again_s is not None:
            known.append((again_s, body))
            until = f" until {datetime.fromtimestamp(again_s, UTC):%Y-%m-%dT%H:%M:%SZ}" if body else ""
        unknown = f": who wore {camera} from then on{until} is not known" if known else ""
        self._problems += [f"{problem}{unknown}" for problem in why]
        return known

    def _held_until(self, camera: str, recording: str) -> int | None:
        try:
            hold = retention.hold_of(self._paths, camera, recording)
        except StorageError:
            return 0
        return hold.until_s if hold and hold.stands(self._now_s) else None

    def _purge_s(self, segments: Sequence[Segment], marks: Sequence[Mark], tags_known: bool) -> int | None:
        """The latest of: the end that receipts name, the policy's days since each segment was stored."""
        if self.retention_problem or self.policy is None or any(not s.until_s for s in segments):
            return None
        keep_s = self.policy.keep_s({m.tag for m in marks if m.tag}, tags_known)
        return max(max(s.until_s, s.stored_s + keep_s) for s in segments)


def _length_ns(segments: Sequence[Segment]) -> int:
    """The last end less the first start, as `verify` has it. Where an index of an earlier version does not say these,
    the sum of the parts, which is too much where they overlap.
    """
    media = [s for s in segments if s.parts]
    spans = [(s.start_ns, s.end_ns) for s in media if s.start_ns is not None and s.end_ns is not None]
    if len(spans) < len(media):
        return sum(s.media_ns for s in media)
    return max(end for _, end in spans) - spans[0][0] if spans else 0


_Span = tuple[int, int]
"""Leaves: the first, and the one behind the last."""


def _leaves(one: Owed) -> _Span:
    return one.first, one.first + one.entries


def lacking(size: int, here: Sequence[_Span], to_come: Sequence[_Span], kept: Sequence[Held]) -> int:
    """How many of a log's first `size` leaves are nowhere: not `here`, and not in what is kept for its bytes. What
    cannot be read of that reaches to the next leaf of which it is known where it is, or is `to_come`.
    """
    begins = sorted({first for first, _ in (*here, *to_come)} | {one.first for one in kept})
    reached = [(one.first, one.end) for one in kept if not one.broken]
    for one in kept:
        if one.broken:
            reached.append((one.first, next((at for at in begins if at >= one.end and at > one.first), size)))
    count = at = 0
    for first, end in sorted((*here, *reached)):
        count += max(0, min(first, size) - at)
        at = max(at, min(end, size))
    return count + size - at


def parse_utc(text: str | None) -> float | None:
    """POSIX seconds of a leaf's time."""
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def cameras(paths: AgencyPaths) -> list[str]:
    """Those that are enrolled, revoked ones too."""
    directory = paths.root / "camera"
    return durable.names(directory) if directory.is_dir() else []
