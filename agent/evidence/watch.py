"""One log, leaf after leaf over all its segments: clocks, sessions, recordings and their parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.evidence import cutoff
from agent.evidence.belief import Around
from agent.evidence.epochwatch import EpochWatch
from agent.evidence.findings import Finding, Sure, What, when
from agent.evidence.held import Deleted
from agent.evidence.times import Moment, moment
from agent.formats import facts as leaf_facts
from agent.formats import leaf as leaf_format
from agent.formats import merkle, note
from agent.formats.leaf import Kind
from agent.model import NS

GAP_NS = 100_000_000
"""Parts overlap or abut; where the next begins later than this after the end of the last, media is missing."""
SURE = {What.INTERRUPTED: Sure.LIKELY, What.COUNTER_JUMP: Sure.LIKELY, What.COUNTER_BACK: Sure.LIKELY}
"""What has another reading: who can use the TPM can also count without a start."""
ALIKE = "whole parts taken off the card before this start would look the same"
OWED_FIRST = (Kind.SESSION, Kind.SEAL, Kind.RECOVERY)
"""A session's first leaves: its own, and what the one before it owed. The power may go between any two of them."""


@dataclass
class RecordingState:
    """What the leaves say of one recording. Counts are of parts that were seen and believed."""

    recording: str
    started: int | None = None
    started_ns: int | None = None
    ended: str | None = None
    said_parts: int | None = None
    first_part: int | None = None
    next_part: int = 0
    parts: int = 0
    start_ns: int = 0
    end_ns: int = 0
    gaps: int = 0
    begin: Moment | None = None
    end: Moment | None = None
    last_stamp: leaf_format.Stamp | None = None
    last_index: int = -1
    breaks: int = 0
    zero_mono_ns: int | None = None
    init: str | None = None
    session: str | None = None
    boot: str | None = None
    went_on: bool = False
    """It was cut, and the next session is of the same boot: the recorder ended, and not the power."""

    @property
    def duration_s(self) -> float:
        return (self.end_ns - self.start_ns) / NS

    @property
    def loss(self) -> cutoff.Loss | None:
        """What its cut cost; None where it was not cut."""
        if self.ended != "interrupted":
            return None
        if self.said_parts == 0 and not self.parts:
            return cutoff.NO_PART
        if self.said_parts != self.next_part or self.last_stamp is None or self.zero_mono_ns is None:
            return cutoff.UNSEEN
        return cutoff.loss(self.zero_mono_ns + self.end_ns, self.last_stamp.mono_ns, self.started_ns, self.went_on)


@dataclass(frozen=True, slots=True)
class Announced:
    """A segment that a seal leaf names."""

    segment: str
    size: int
    sha256: str
    first: int
    end: int
    leaf: int


@dataclass
class LogWatch:
    """State of one log. Feed it proven leaves in order of index; those it does not hear of are missing to it.

    `wanted` are tree sizes whose roots somebody will ask for; `roots` keeps them. `settled` has, of the leaf
    that opens a session, the first leaf that is written only when a session has said what was cut before it.
    """

    epochs: EpochWatch
    recordings: dict[str, RecordingState] = field(default_factory=dict)
    announced: list[Announced] = field(default_factory=list)
    deleted: dict[str, Deleted] = field(default_factory=dict)
    sessions: list[tuple[str, str]] = field(default_factory=list)
    leaf_count: int = 0
    last: leaf_format.Stamp | None = None
    unverified_clock: int = 0
    undated: int = 0
    session_leaves: list[int] = field(default_factory=list)
    settled: dict[int, int] = field(default_factory=dict)
    wanted: set[int] = field(default_factory=set)
    roots: dict[int, bytes] = field(default_factory=dict)
    _clocks: dict[str, tuple[int, int]] = field(default_factory=dict)
    _session: str | None = None
    _after: dict[str, str] = field(default_factory=dict)
    """By session the boot of the one after it."""
    _shut: bool = False
    _next: int | None = None
    _whole_from: int = 0
    _breaks: int = 0
    first_count: tuple[int, int] | None = None
    """What its first counted leaf says, and that leaf's index; None where one before it lacks."""
    _counter: tuple[int, int] | None = None
    _counter_breaks: int = 0
    _recovered: set[str] = field(default_factory=set)

    @property
    def shut(self) -> bool:
        """Whether the newest leaf is a shutdown, after which its session writes nothing."""
        return self._shut

    def tree(self, frontier: merkle.Frontier) -> None:
        """The log was this at that size."""
        if frontier.size in self.wanted:
            self.roots[frontier.size] = frontier.root()

    def next_part(self, recording: str) -> int | None:
        """The number of the part that comes next, where the recording is known."""
        state = self.recordings.get(recording)
        return state.next_part if state and state.first_part is not None else (0 if state else None)

    def leaf(self, leaf: leaf_format.Leaf, around: Around) -> Iterator[Finding]:
        """One proven leaf; yields what does not fit with those before it."""
        common = leaf.common
        self.leaf_count += 1
        if around.before is not None:
            self.tree(around.before)
        whole = self._next == common.index
        if not whole:
            self._breaks, self._whole_from = self._breaks + 1, common.index
        for what, text in self._problems(leaf, around, whole):
            part = leaf.part if isinstance(leaf, leaf_format.MediaLeaf) else None
            sure, moment = SURE.get(what, Sure.PROVEN), when(common.stamp)
            yield Finding(what, text, around.segment, leaf.recording, common.index, None, part, when=moment, sure=sure)
        if not (isinstance(leaf, leaf_format.EventLeaf) and leaf.kind in OWED_FIRST) and self.session_leaves:
            self.settled.setdefault(self.session_leaves[-1], common.index)
        self._next, self.last = common.index + 1, common.stamp
        self.unverified_clock += common.stamp.utc is not None and common.stamp.utc_source != "synchronised"
        self.undated += common.stamp.utc is None

    def _problems(self, leaf: leaf_format.Leaf, around: Around, whole: bool) -> Iterator[tuple[What, str]]:
        yield from self._check_clocks(leaf.common.stamp)
        yield from self._check_session(leaf, around, whole)
        if isinstance(leaf, leaf_format.MediaLeaf):
            yield from self._media(leaf)
        else:
            yield from self._event(leaf)

    def _check_clocks(self, stamp: leaf_format.Stamp) -> Iterator[tuple[What, str]]:
        mono, boottime = self._clocks.get(stamp.boot, (0, 0))
        if stamp.mono_ns < mono or stamp.boottime_ns < boottime:
            back = max(mono - stamp.mono_ns, boottime - stamp.boottime_ns) / NS
            yield What.CLOCK_WENT_BACK, f"within one boot the clock goes back by {back:.3f} s"
        # From the newest leaf on, so that one step back is one finding and not one for each leaf after it.
        self._clocks[stamp.boot] = (stamp.mono_ns, stamp.boottime_ns)

    # -- sessions --------------------------------------------------------------------------------------------------

    def _check_session(self, leaf: leaf_format.Leaf, around: Around, whole: bool) -> Iterator[tuple[What, str]]:
        if around.session is None:
            return
        digest = hashlib.sha256(around.session.certificate_der).hexdigest()
        opens = isinstance(leaf, leaf_format.EventLeaf) and leaf.kind is Kind.SESSION
        if leaf.common.stamp.boot != around.session.boot:
            yield What.BAD_SESSION, "the leaf is of another boot than its session's certificate"
        if opens:
            assert isinstance(leaf, leaf_format.EventLeaf)
            self.sessions.append((around.session.boot, digest))
            if self._session is not None:
                self._after.setdefault(self._session, around.session.boot)
            self.session_leaves.append(leaf.common.index)
            yield from _check_opening(leaf, digest, around)
            yield from self._check_counter(leaf)
            yield from self.epochs.opening(leaf.common.index, leaf.facts)
        elif isinstance(leaf, leaf_format.EventLeaf) and "epoch" in leaf.facts:
            yield What.BAD_EPOCH, "a leaf says that it begins a later epoch, and opens no session"
        elif leaf.common.index == 0:
            yield What.BAD_SESSION, "the log begins without the leaf that opens a session"
        elif whole and (self._shut or digest != self._session) and self._session is not None:
            after = "follows the shutdown of its session" if digest == self._session else "has no leaf that opens it"
            yield What.BAD_SESSION, f"a leaf of session {digest[:16]} {after}"
        self._session = digest
        self._shut = isinstance(leaf, leaf_format.EventLeaf) and leaf.kind is Kind.SHUTDOWN

    def _check_counter(self, leaf: leaf_format.EventLeaf) -> Iterator[tuple[What, str]]:
        """Leaves that are counted, and follow one another, count by one."""
        value = leaf.facts.get("counter")
        before, breaks = self._counter, self._counter_breaks
        if "counter" in leaf.facts and (type(value) is not int or not 0 < value < 1 << 63):
            yield What.BAD_LEAF, "the leaf's counter is no number in range"
        elif type(value) is int:
            self._counter, self._counter_breaks = (value, leaf.common.index), self._breaks
            if self.first_count is None and self._breaks == 1 and not self._whole_from:
                self.first_count = self._counter
            if before is not None and breaks == self._breaks:
                yield from compare(f"leaf {before[1]}", before[0], "this log", value)
        elif leaf.kind is Kind.SESSION and before is not None and breaks == self._breaks:
            text = f"this session is not counted by the camera's hardware, as that of leaf {before[1]} was"
            yield What.COUNTER_SILENT, text

    def count_at(self, size: int) -> tuple[int, int] | None:
        """What its newest counted leaf says, and that leaf's index, where no leaf from there to this size lacks, and
        none follows.
        """
        return self._counter if (self._counter_breaks, self._next) == (self._breaks, size) else None

    # -- recordings ------------------------------------------------------------------------------------------------

    def _media(self, leaf: leaf_format.MediaLeaf) -> Iterator[tuple[What, str]]:
        state = self.recordings.setdefault(leaf.recording, RecordingState(leaf.recording))
        first = state.first_part is None
        # Where leaves are missing since the last part, so may parts be; the gap has its own finding.
        whole, state.breaks = state.breaks == self._breaks, self._breaks
        if first:
            state.first_part, state.start_ns = leaf.part, leaf.start_ns
            state.zero_mono_ns, state.init = leaf.zero_mono_ns, leaf.init
            state.begin = moment(leaf, leaf.start_ns)
        yield from self._check_part(leaf, state, first, whole)
        state.parts += 1
        state.next_part = max(state.next_part, leaf.part + 1)
        state.end_ns = max(state.end_ns, leaf.start_ns + leaf.duration_ns)
        state.end = moment(leaf, state.end_ns)
        state.last_stamp, state.last_index = leaf.common.stamp, leaf.common.index
        state.boot = state.boot or leaf.common.stamp.boot

    def _check_part(
        self, leaf: leaf_format.MediaLeaf, state: RecordingState, first: bool, whole: bool
    ) -> Iterator[tuple[What, str]]:
        if (leaf.zero_mono_ns, leaf.init) != (state.zero_mono_ns, state.init):
            yield What.BAD_LEAF, "the part has another timeline or init than its recording"
        if state.ended:
            yield What.BAD_LEAF, f"a part of the recording after its end ({state.ended})"
        yield from self._check_writer(state)
        if leaf.part < state.next_part:
            yield What.BAD_LEAF, f"part {leaf.part} where part {state.next_part} belongs"
        expected = state.next_part if not first or (whole and state.started is not None) else leaf.part
        missing = leaf.part - expected
        if missing > 0 and whole:
            yield What.MISSING_PARTS, f"the camera's own numbers skip {missing} parts before this one"
        gap_ns = leaf.start_ns - state.end_ns
        if not first and whole and gap_ns > GAP_NS:
            state.gaps += 1
            yield What.MEDIA_GAP, f"{gap_ns / NS:.3f} s without media before this part, as the camera recorded it"

    def _event(self, leaf: leaf_format.EventLeaf) -> Iterator[tuple[What, str]]:
        name, facts = leaf.recording, leaf.facts
        if (key := leaf_facts.wrong(leaf.kind, facts)) is not None:
            yield What.BAD_LEAF, f"a {leaf.kind.value} leaf without the facts it must have: {key}"
            if leaf.kind in (Kind.SEAL, Kind.KEPT, Kind.DELETION):
                return
        match leaf.kind:
            case Kind.START if name:
                yield from self._check_counter(leaf)
                state = self.recordings.setdefault(name, RecordingState(name))
                state.started, state.last_index, state.breaks = leaf.common.index, leaf.common.index, self._breaks
                state.session, state.boot = self._session, leaf.common.stamp.boot
                state.started_ns = leaf.common.stamp.mono_ns
                if int(name[1:11]) != leaf.common.index:
                    yield What.BAD_LEAF, f"the recording {name} is not named after its start leaf"
            case Kind.STOP if name:
                yield from self._end(leaf, name, "stop")
            case Kind.RECOVERY:
                yield from self._recovery(leaf)
            case Kind.SEAL:
                self.announced.append(_announced(leaf))
            case Kind.KEPT:
                yield from self.epochs.hear_kept(leaf.common.index, facts["segments"])
            case Kind.DELETION:
                where = f"leaf {leaf.common.index}"
                for item in facts["segments"]:
                    self.deleted[item["segment"]] = Deleted(item["sha256"], item["receipt"], where)
            case Kind.START | Kind.STOP:
                yield What.BAD_LEAF, f"a {leaf.kind.value} leaf that names no recording"

    def _end(self, leaf: leaf_format.EventLeaf, name: str, how: str) -> Iterator[tuple[What, str]]:
        state = self.recordings.setdefault(name, RecordingState(name))
        parts = leaf.facts.get("parts")
        if self._never_started(state):
            yield What.BAD_LEAF, f"the end of a recording that never started: leaf {int(name[1:11])} is not its start"
        if state.ended:
            yield What.BAD_LEAF, "the recording ends a second time"
        elif how == "stop":
            yield from self._check_writer(state)
        state.ended, state.last_index = how, leaf.common.index
        state.said_parts = parts if type(parts) is int else None
        state.last_stamp = state.last_stamp or leaf.common.stamp

    def _check_writer(self, state: RecordingState) -> Iterator[tuple[What, str]]:
        """One session writes a recording, from start to stop."""
        state.session = state.session or self._session
        if state.session != self._session:
            yield What.BAD_LEAF, "the recording goes on in another session than the one that began it"

    def _never_started(self, state: RecordingState) -> bool:
        """Whether the leaf that its name gives is none of its start, though none is missing from there on."""
        return state.started is None and int(state.recording[1:11]) >= self._whole_from

    def _recovery(self, leaf: leaf_format.EventLeaf) -> Iterator[tuple[What, str]]:
        facts = leaf.facts
        torn, segment = facts.get("torn_bytes"), str(facts.get("segment"))[:60]
        self._recovered.add(segment)
        text = (
            f"after a restart {segment} was closed with {facts.get('entries')} whole entries, {torn} torn bytes dropped"
        )
        yield What.RECOVERED, text
        if facts.get("interrupted") is True and not leaf.recording:
            yield What.BAD_LEAF, "a recovery leaf that cuts a recording and names none"
        elif facts.get("interrupted") is True and leaf.recording:
            yield from self._end(leaf, leaf.recording, "interrupted")
            state, boot = self.recordings[leaf.recording], leaf.common.stamp.boot
            state.went_on = state.boot is not None and self._after.get(state.session or "", boot) == state.boot
            loss = state.loss or cutoff.UNSEEN
            text = f"the recording was cut off, with {facts.get('parts')} parts: no stop was asked for"
            if state.went_on:
                text += ", and it was not the power, since the boot went on: the recorder ended"
            yield What.INTERRUPTED, f"{text}, and {loss.why}; {ALIKE}"


def _announced(leaf: leaf_format.EventLeaf) -> Announced:
    segment, size, sha256, first, entries = (
        leaf.facts[key] for key in ("segment", "size", "sha256", "first", "entries")
    )
    return Announced(segment, size, sha256, first, first + entries, leaf.common.index)


def compare(at: str, before: int, where: str, value: int) -> Iterator[tuple[What, str]]:
    """Two counts, one after the other; what lies between them would be in `where`."""
    if value > before + 1:
        yield (
            What.COUNTER_JUMP,
            (
                f"the camera's hardware counter goes from {before} in {at} to {value}: what it counted "
                f"{value - before - 1} times in between is not in {where}, as if an older card was put in"
            ),
        )
    elif value <= before:
        yield (
            What.COUNTER_BACK,
            (
                f"the camera's hardware counter goes from {before} in {at} to {value}, and it cannot go back: "
                "the TPM was exchanged, or this log was written without it"
            ),
        )


def _check_opening(leaf: leaf_format.EventLeaf, digest: str, around: Around) -> Iterator[tuple[What, str]]:
    if leaf.facts.get("session_cert") != digest:
        yield What.BAD_SESSION, "the session leaf names another certificate than its segment's chain"
    resumes, index = leaf.facts.get("resumes"), leaf.common.index
    if (resumes is None) != (index == 0):
        yield What.BAD_SESSION, "the session leaf does not say which log it continues"
    elif isinstance(resumes, dict):
        root = note.b64(around.before.root()) if around.before else None
        if resumes.get("size") != index or (root is not None and resumes.get("root") != root):
            yield What.BAD_SESSION, "the session leaf continues another log than the one before it"
