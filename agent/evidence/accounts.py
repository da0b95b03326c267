"""What a camera did with each powered second, computed from its log: per boot, accounts that tile the time from the
kernel's start to the last durable leaf (docs/evidence-format.md, section 10).

Pure: leaves in the log's order come in, with their bodies where a key opened them. Without a key only sessions,
recordings, shutdowns and suspends show; the rest is said to be sealed.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from agent import events
from agent.eventbody import Event
from agent.evidence.holes import Holes
from agent.evidence.sequence import Deletions, Sequence, Step
from agent.evidence.tiling import Account, Change, Doing, lay_over_all, tile, without_signs
from agent.evidence.times import utc_of
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from agent.model import NS

IDLE_BOUND_NS = 60 * NS
"""A leaf comes at least so often outside recordings: the heartbeat."""
RECORDING_BOUND_NS = 1 * NS
SUSPEND_NS = NS // 4
"""CLOCK_BOOTTIME and CLOCK_MONOTONIC are not read at the same instant: less than this apart is no suspend."""
ON_RECORD = (Doing.RECORDING, Doing.MUTED)
SEALED = "what it did is sealed"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNSAID = "its recorder did not say in which state it was"
PURGED = "in which state it was stood in what was purged"


@dataclass(frozen=True, slots=True)
class Off:
    """Before a boot. `length_ns` is by the camera's clock, None where that cannot tell; `vouched` where it was
    synchronised on both sides. `at_most_ns` is by what a station signed, None where it signed nothing that helps.
    """

    length_ns: int | None
    vouched: bool
    at_most_ns: int | None = None


@dataclass
class Powered:
    """One boot. `accounts` tile [0, `last.boottime_ns`] of CLOCK_BOOTTIME. Where its last leaf is no shutdown, the
    power went at most `tail_ns` after it; None where it said goodbye, or `lost`: where leaves after it are not here.
    `first_leaf` is of the first of the logs `origins`, `last_leaf` of the last. `anchors` lay the accounts on the
    calendar. `receipts` are the digests of those that its leaves name. Of `sealed_events` nobody opened the body.
    `lost_pieces`: recordings whose stop counts pieces of half a second that are not kept, how many, and its leaf.
    """

    boot: str
    first: leaves.Stamp
    last: leaves.Stamp
    first_leaf: int
    last_leaf: int = 0
    origins: list[str] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)
    off: Off | None = None
    accounts: list[Account] = field(default_factory=list)
    anchors: list[leaves.Stamp] = field(default_factory=list)
    tail_ns: int | None = None
    lost: bool = False
    sealed_events: int = 0
    lost_pieces: list[tuple[str | None, int, int]] = field(default_factory=list)

    @property
    def end_ns(self) -> int:
        """Where the accounts end."""
        return self.accounts[-1].end_ns if self.accounts else self.last.boottime_ns

    def when(self, at_ns: int) -> str:
        """As `date`, with the doubt where only the camera's own clock vouches for it."""
        return self.date(at_ns) + (" (clock unverified)" if self.doubtful(at_ns) else "")

    def doubtful(self, at_ns: int) -> bool:
        """Whether there is a date for this instant, and only the camera's own clock vouches for it."""
        return self._anchor(at_ns).utc is not None and not self.vouched(at_ns)

    def vouched(self, at_ns: int) -> bool:
        """Whether the date of this instant is by a clock that was synchronised."""
        return self._anchor(at_ns).utc_source == "synchronised"

    def _anchor(self, at_ns: int) -> leaves.Stamp:
        at = bisect_left(self.anchors, at_ns, key=lambda a: a.boottime_ns)
        return self.anchors[at] if at < len(self.anchors) else self.last

    def date(self, at_ns: int) -> str:
        """This instant of CLOCK_BOOTTIME on the calendar, by the leaf at or after it."""
        anchor = self._anchor(at_ns)
        found = utc_of(anchor)
        try:
            shifted = found + timedelta(microseconds=(at_ns - anchor.boottime_ns) // 1000) if found else None
        except OverflowError:
            shifted = None
        if shifted is None:
            return f"{at_ns / NS:.3f} s after the kernel's start"
        return shifted.isoformat(timespec="milliseconds")

    @property
    def unaccounted(self) -> list[Account]:
        return [a for a in self.accounts if a.doing is Doing.UNKNOWN]

    def totals(self) -> dict[Doing, int]:
        """Nanoseconds in each state, in the order in which they first came."""
        sums: dict[Doing, int] = {}
        for account in self.accounts:
            sums[account.doing] = sums.get(account.doing, 0) + account.length_ns
        return sums


@dataclass
class _Open:
    """The boot that is being read."""

    powered: Powered
    current: Change
    changes: list[Change] = field(default_factory=list)
    divergence_ns: int = 0
    suspends: list[Account] = field(default_factory=list)
    gaps: list[Account] = field(default_factory=list)
    signs: list[int] = field(default_factory=list)
    holes: Holes = field(default_factory=Holes)
    shut: bool = False

    @property
    def doing(self) -> Doing:
        return self.current.doing

    def add(self, change: Change) -> None:
        self.changes.append(change)
        # What the disk refused at first is told after what came later.
        if change.at_ns >= self.current.at_ns:
            self.current = change


class Book:
    """Feed it each proven leaf of one camera, in order of epoch and index; `close` gives the boots. `told` is the body
    of the leaf, None where nobody opened it; `deletions` says which of those that are missing a station deleted.
    """

    def __init__(self, deletions: Deletions = lambda origin, first, end: None) -> None:
        self._boots: list[Powered] = []
        self._open: _Open | None = None
        self._sequence = Sequence(deletions)

    def leaf(self, origin: str, leaf: leaves.Leaf, told: events.Told | None = None) -> None:
        step, now = self._sequence.step(origin, leaf), self._open
        if now is None or now.powered.boot != leaf.common.stamp.boot:
            now = self._begin(leaf, step)
        else:
            self._between(now, leaf, step, told)
        powered = now.powered
        if origin not in powered.origins[-1:]:
            # A log that is over is not gone on with.
            powered.origins.append(origin)
        if isinstance(leaf, leaves.MediaLeaf):
            self._media(now, leaf)
        elif not step.goes_on:
            self._event(now, leaf, told)
        powered.last, powered.last_leaf = leaf.common.stamp, leaf.common.index

    def close(self) -> list[Powered]:
        """All boots, in order."""
        self._end()
        return self._boots

    # -- boots -----------------------------------------------------------------------------------------------------

    def _begin(self, leaf: leaves.Leaf, step: Step) -> _Open:
        before = self._open.powered if self._open else None
        # What the boot before went on to do may be among those that are missing, and what this one did first.
        self._end(lost=bool(step.missing))
        stamp, index = leaf.common.stamp, leaf.common.index
        powered = Powered(stamp.boot, stamp, stamp, index)
        powered.off = off_between(before.last, stamp) if before else None
        change = Change(0, Doing.STARTING, "the kernel started, no recorder ran yet", events.Actor.KERNEL.value)
        # Whoever deletes a recording leaves what opens a session: of this boot nothing was deleted.
        if not step.opens or (step.missing and not step.deleted):
            change = Change(0, Doing.UNKNOWN, step.missing or "its log has no leaf that opens a session")
        self._open = now = _Open(powered, change, [change])
        self._suspended(now, stamp, 0)
        return now

    def _end(self, lost: bool = False) -> None:
        if self._open is None:
            return
        now, powered = self._open, self._open.powered
        powered.lost = lost
        powered.tail_ns = None if lost or now.shut else _bound(now.doing)
        if not lost:
            now.holes.cut(powered.last.boottime_ns)
        # Never before its last change, even where a clock went back, which is a finding of its own.
        end_ns = max(powered.last.boottime_ns, now.current.at_ns)
        accounts, signs = tile(now.changes, end_ns), sorted(now.signs)
        pieces = (without_signs(gap.begin_ns, gap.end_ns, signs, IDLE_BOUND_NS) for gap in now.gaps)
        # Each in one pass: a log may hold as many of them as leaves.
        accounts = lay_over_all(accounts, (_gap(begin, end) for found in pieces for begin, end in found))
        accounts = lay_over_all(accounts, now.holes.accounts(end_ns))
        powered.accounts = lay_over_all(accounts, now.suspends)
        powered.anchors = sorted([*powered.anchors, powered.last], key=lambda a: a.boottime_ns)
        self._boots.append(powered)
        self._open = None

    # -- between two leaves of one boot ----------------------------------------------------------------------------

    def _between(self, now: _Open, leaf: leaves.Leaf, step: Step, told: events.Told | None) -> None:
        before, stamp = now.powered.last, leaf.common.stamp
        slept_ns = self._suspended(now, stamp, before.boottime_ns)
        if step.missing:
            self._missing(now, before, stamp, step)
            return
        another = step.opens and not step.goes_on
        if another:
            now.holes.session(before.boottime_ns)
        if another and not now.shut:
            self._restarted(now, before, stamp)
        elif not now.shut and now.doing is not Doing.UNKNOWN:
            awake_ns, since_ns = stamp.boottime_ns - slept_ns, _idle_since(now.doing, told, before)
            if since_ns is not None and awake_ns - since_ns > IDLE_BOUND_NS:
                now.gaps.append(_gap(since_ns, awake_ns))

    def _missing(self, now: _Open, before: leaves.Stamp, stamp: leaves.Stamp, step: Step) -> None:
        """Until a state is said again; of what was deleted no more than the leaves that are gone spoke of."""
        now.holes.missing()
        at_ns, deleted = before.boottime_ns, step.deleted
        if deleted is None:
            self._change(now, before, Doing.UNKNOWN, step.missing, at_ns=at_ns)
            return
        self._change(now, before, Doing.PURGED, deleted.told, None, deleted.recording, at_ns=at_ns)
        self._change(now, stamp, Doing.ON, PURGED)

    def _suspended(self, now: _Open, stamp: leaves.Stamp, since_ns: int) -> int:
        """How long the processor was suspended since the leaf before; it woke just before this one."""
        divergence_ns = stamp.boottime_ns - stamp.mono_ns
        slept_ns = min(divergence_ns - now.divergence_ns, stamp.boottime_ns - since_ns)
        if abs(divergence_ns - now.divergence_ns) < SUSPEND_NS:
            return 0
        now.divergence_ns = divergence_ns
        if slept_ns <= 0:
            return 0
        reason = "the processor was suspended" if since_ns else "the processor was suspended, at times not known"
        begin_ns = stamp.boottime_ns - slept_ns
        kernel = events.Actor.KERNEL.value
        now.suspends.append(Account(begin_ns, stamp.boottime_ns, Doing.SLEEPING, reason, kernel))
        return slept_ns

    def _restarted(self, now: _Open, before: leaves.Stamp, stamp: leaves.Stamp) -> None:
        """A recorder died and another began, and the power stayed on."""
        bound_ns, at_ns = _bound(now.doing), before.boottime_ns
        reason = f"the recorder ended within {bound_ns // NS} s and did not say so"
        self._change(now, before, Doing.ENDED, reason, at_ns=at_ns)
        if stamp.boottime_ns - at_ns > bound_ns:
            self._change(now, stamp, Doing.FAULT, "no recorder ran", at_ns=at_ns + bound_ns)

    # -- leaves ----------------------------------------------------------------------------------------------------

    def _change(
        self,
        now: _Open,
        stamp: leaves.Stamp,
        doing: Doing,
        reason: str,
        actor: events.Actor | None = None,
        recording: str | None = None,
        leaf: int | None = None,
        at_ns: int | None = None,
    ) -> None:
        at_ns = stamp.boottime_ns if at_ns is None else min(at_ns, stamp.boottime_ns)
        now.add(Change(at_ns, doing, reason, actor.value if actor else None, recording, leaf))
        now.powered.anchors.append(stamp)

    def _media(self, now: _Open, leaf: leaves.MediaLeaf) -> None:
        if now.doing not in ON_RECORD:
            common = leaf.common
            text = "its start was not given"
            self._change(now, common.stamp, Doing.RECORDING, text, None, leaf.recording, common.index)
        now.holes.part(leaf)

    def _event(self, now: _Open, leaf: leaves.EventLeaf, told: events.Told | None) -> None:
        stamp, index = leaf.common.stamp, leaf.common.index
        now.powered.sealed_events += told is None
        event = told.event if told else None
        if leaf.kind in (Kind.SESSION, Kind.DELIVERY) and isinstance(leaf.facts.get("receipt"), str):
            now.powered.receipts.append(leaf.facts["receipt"])
        match leaf.kind:
            case Kind.SESSION:
                doing, reason = (Doing.ON, SEALED) if told is None else (Doing.STARTING, "the recorder started")
                now.shut = False
                self._change(now, stamp, doing, reason, events.Actor.RECORDER, None, index)
            case Kind.START:
                start = event if isinstance(event, events.RecordStart) else None
                reason, actor = (start.trigger, start.actor) if start else ("the reason is sealed", None)
                self._change(now, stamp, Doing.RECORDING, reason, actor, leaf.recording, index)
                now.holes.start(leaf)
            case Kind.STOP:
                self._stop(now, leaf, event)
                now.holes.stop(leaf, event)
                if isinstance(event, events.RecordStop) and event.lost_parts:
                    now.powered.lost_pieces.append((leaf.recording, event.lost_parts, index))
            case Kind.SHUTDOWN:
                now.shut = True
                self._change(now, stamp, Doing.STOPPED, "the recorder was asked to end", None, None, index)
            case Kind.EVENT if told:
                self._told(now, leaf, told)

    def _stop(self, now: _Open, leaf: leaves.EventLeaf, event: Event | None) -> None:
        stamp, index = leaf.common.stamp, leaf.common.index
        stop = event if isinstance(event, events.RecordStop) else None
        if stop is None or stop.then is None:
            self._change(now, stamp, Doing.ON, UNSAID if stop else SEALED, None, None, index)
            return
        reason = f"the recording ended: {stop.reason}"
        self._change(now, stamp, Doing(stop.then.value), reason, stop.actor, None, index, stop.boottime_ns)

    def _told(self, now: _Open, leaf: leaves.EventLeaf, told: events.Told) -> None:
        stamp, index, event = leaf.common.stamp, leaf.common.index, told.event
        at_ns = told.boottime_ns if told.late else None
        if at_ns is not None:
            now.signs.append(at_ns)
        now.holes.trouble(event, stamp, stamp.boottime_ns if at_ns is None else at_ns, index)
        if isinstance(event, events.StateChange):
            recording = leaf.recording or told.recording
            doing = Doing(event.state.value)
            self._change(now, stamp, doing, event.reason, event.actor, recording, index, at_ns)
        elif isinstance(event, events.Mute | events.Unmute) and (told.late or now.doing in ON_RECORD):
            doing = Doing.MUTED if isinstance(event, events.Mute) else Doing.RECORDING
            self._change(now, stamp, doing, event.reason, event.actor, leaf.recording or told.recording, index, at_ns)
        elif isinstance(event, events.Heartbeat) and not told.late and now.doing not in ON_RECORD:
            doing = Doing(event.state.value) if event.state else Doing.ON
            if doing is not now.doing:
                reason = "a heartbeat says so" if event.state else UNSAID
                self._change(now, stamp, doing, reason, events.Actor.RECORDER, None, index, at_ns)


def _bound(doing: Doing) -> int:
    return RECORDING_BOUND_NS if doing in ON_RECORD else IDLE_BOUND_NS


def _idle_since(doing: Doing, told: events.Told | None, before: leaves.Stamp) -> int | None:
    """From when a leaf was due each minute until this one, which came after that at `before`; None while recording,
    where the media tell.
    """
    if doing not in ON_RECORD:
        return before.boottime_ns
    stop = told.event if told else None
    ended_ns = stop.boottime_ns if isinstance(stop, events.RecordStop) else None
    return None if ended_ns is None else max(before.boottime_ns, ended_ns)


def _gap(begin_ns: int, end_ns: int) -> Account:
    text = f"no leaf for {(end_ns - begin_ns) / NS:.1f} s, where one is due every {IDLE_BOUND_NS // NS} s or sooner"
    return Account(begin_ns, end_ns, Doing.UNKNOWN, text)


def utc_ns(stamp: leaves.Stamp) -> int | None:
    """The stamp's date in nanoseconds since 1970, where it has one that exists."""
    found = utc_of(stamp)
    return None if found is None else (found - EPOCH) // timedelta(microseconds=1) * 1000


def off_between(last: leaves.Stamp, first: leaves.Stamp) -> Off:
    """The time between the last leaf of a boot and the start of the next kernel, as far as the camera's clock tells."""
    before, after = utc_ns(last), utc_ns(first)
    if before is None or after is None:
        return Off(None, False)
    length_ns = after - first.boottime_ns - before
    vouched = last.utc_source == first.utc_source == "synchronised"
    return Off(length_ns if length_ns >= 0 else None, vouched and length_ns >= 0)
