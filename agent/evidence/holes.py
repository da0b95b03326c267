"""Times within a recording of which no media is there, in one boot (docs/evidence-format.md, section 10). Pure.

A recording is what its parts hold. The leaves tell where on CLOCK_MONOTONIC the media of each begins and ends; where
the next begins more than a second after the last ended, nothing was recorded, whatever else was written meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf

from agent import events
from agent.eventbody import Event
from agent.evidence.tiling import Account, Doing, Unclaimed
from agent.formats import leaf as leaves
from agent.model import NS

BOUND_NS = NS
SEALED_NS = 60 * NS
"""Without a key it is not known when a recording ended that has a stop leaf: so long may the disk have kept that."""
PIECE_NS = NS // 2
"""What `lost_parts` counts."""
OF_DISK = ("storage", "media", "encryption", "sealing")
"""Faults for which parts are not kept."""
UNWRITTEN = "what was in front of the lens was not yet written when it ended"
ENDED_SEALED = "no media of it is here, and its end is sealed"


@dataclass(frozen=True, slots=True)
class _Why:
    """What explains a hole that it touches, by a leaf. `until_ns` is None where no leaf says that it is over."""

    since_ns: int
    until_ns: int | None
    text: str
    leaf: int


@dataclass(frozen=True, slots=True)
class _Run:
    """A recording that runs: where its media ends so far, and the leaf that said so, all on CLOCK_BOOTTIME but
    `end_mono_ns`.
    """

    recording: str | None
    since_ns: int
    end_ns: int
    end_mono_ns: int
    leaf_ns: int


class Holes:
    """Tell it the leaves of recordings, and what is known of troubles; `accounts` are laid over what else is said."""

    def __init__(self) -> None:
        self._run: _Run | None = None
        self._found: list[Account] = []
        self._why: list[_Why] = []
        self._lasting: dict[str, _Why] = {}
        self._lost: dict[str | None, tuple[int, int]] = {}

    def start(self, leaf: leaves.EventLeaf) -> None:
        stamp = leaf.common.stamp
        at_ns = stamp.boottime_ns
        self._run = _Run(leaf.recording, at_ns, at_ns, stamp.mono_ns, at_ns)

    def part(self, leaf: leaves.MediaLeaf) -> None:
        stamp, run = leaf.common.stamp, self._run
        begin_ns = leaf.zero_mono_ns + leaf.start_ns
        end_ns = begin_ns + leaf.duration_ns
        if run is None or run.recording != leaf.recording:
            # What came before it is not here.
            at_ns = _boottime(begin_ns, stamp)
            run = _Run(leaf.recording, at_ns, at_ns, begin_ns, at_ns)
        if begin_ns - run.end_mono_ns > BOUND_NS:
            self._hole(run.end_ns, _boottime(begin_ns, stamp), run)
        if end_ns > run.end_mono_ns:
            run = replace(run, end_ns=max(run.since_ns, _boottime(end_ns, stamp)), end_mono_ns=end_ns)
        self._run = replace(run, leaf_ns=stamp.boottime_ns)

    def stop(self, leaf: leaves.EventLeaf, event: Event | None) -> None:
        stamp, run = leaf.common.stamp, self._run
        self._run = None
        if run is None:
            return
        told = event if isinstance(event, events.RecordStop) else None
        at_ns = stamp.mono_ns if told is None or told.mono_ns is None else told.mono_ns
        if told and told.lost_parts:
            self._lost[run.recording] = told.lost_parts, leaf.common.index
        if at_ns - run.end_mono_ns <= BOUND_NS:
            return
        end_ns = _boottime(at_ns, stamp)
        if event is None and end_ns - run.end_ns <= SEALED_NS:
            self._found.append(Account(run.end_ns, end_ns, Doing.ON, ENDED_SEALED, None, run.recording))
        else:
            self._hole(run.end_ns, end_ns, run)

    def cut(self, last_ns: int) -> None:
        """No leaf of what runs follows the one at `last_ns`, and none is missing."""
        run, self._run = self._run, None
        if run is None:
            return
        silent_ns = run.end_ns
        if run.leaf_ns - run.end_ns > BOUND_NS:
            self._found.append(Account(run.end_ns, run.leaf_ns, Doing.ENDED, UNWRITTEN, None, run.recording))
            silent_ns = run.leaf_ns
        if last_ns - silent_ns > BOUND_NS:
            self._hole(silent_ns, last_ns, run)

    def session(self, last_ns: int) -> None:
        """Another recorder begins; the one before it wrote its last leaf at `last_ns`."""
        self.cut(last_ns)
        for what in list(self._lasting):
            self._ends(what, last_ns)

    def missing(self) -> None:
        """Leaves are missing from here on, and parts may be among them."""
        self._run = None

    def trouble(self, event: Event | None, stamp: leaves.Stamp, at_ns: int, index: int) -> None:
        """An event at this instant of CLOCK_BOOTTIME: one that explains why nothing is recorded, or the end of it."""
        match event:
            case events.Fault(what=what, detail=detail, mono_ns=mono_ns) if what in OF_DISK:
                since_ns = at_ns if mono_ns is None else min(at_ns, _boottime(mono_ns, stamp))
                self._begins(what, since_ns, f"{what}: {detail}", index)
            case events.Cleared(what=what):
                self._ends(what, at_ns)
            case events.CameraLost(detail=detail) | events.OverloadBegin(detail=detail):
                since_ns = min(at_ns, _boottime(event.mono_ns, stamp))
                self._begins(event.NAME.partition(".")[0], since_ns, detail, index)
            case events.CameraBack() | events.OverloadEnd():
                self._ends(event.NAME.partition(".")[0], at_ns)
            case events.SinkFailed(detail=detail) | events.SourceEnded(detail=detail):
                since_ns = min(at_ns, _boottime(event.mono_ns, stamp))
                self._why.append(_Why(since_ns, at_ns, detail, index))

    def accounts(self, until_ns: int) -> Iterator[Account]:
        """Those within [0, `until_ns`], wherever a leaf says that its media is."""
        left = {recording: parts * PIECE_NS for recording, (parts, _) in self._lost.items()}
        within = (replace(a, begin_ns=max(0, a.begin_ns), end_ns=min(until_ns, a.end_ns)) for a in self._found)
        holes = [hole for hole in within if hole.length_ns > 0]
        why = self._explained(holes)
        for number, hole in enumerate(holes):
            if number in why:
                text = f"nothing was recorded: {why[number].text}"
                yield replace(hole, doing=Doing.FAULT, reason=text, leaf=why[number].leaf)
            else:
                yield hole if hole.doing is not Doing.UNKNOWN else self._counted(hole, left)

    def _explained(self, holes: Sequence[Account]) -> dict[int, _Why]:
        """By the holes' numbers, what explains it: of several the one that was over first, as it was told."""
        asked = [number for number, hole in enumerate(holes) if hole.doing is Doing.UNKNOWN]
        free = Unclaimed([(holes[number].begin_ns - BOUND_NS, holes[number].end_ns + BOUND_NS) for number in asked])
        return {
            asked[at]: why
            for why in (*self._why, *self._lasting.values())
            for at in free.claim(why.since_ns, inf if why.until_ns is None else why.until_ns)
        }

    def _counted(self, hole: Account, left: dict[str | None, int]) -> Account:
        """Explained by the number of parts that a stop says were lost, or by nothing."""
        # One that goes on behind the last leaf may be shorter than the second that is allowed.
        lost_ns = max(0, hole.length_ns - BOUND_NS)
        if hole.recording in left and lost_ns <= left[hole.recording]:
            left[hole.recording] -= lost_ns
            parts, leaf = self._lost[hole.recording]
            reason = f"{parts} parts of the recording, each of half a second, could not be stored"
            return replace(hole, doing=Doing.FAULT, reason=reason, leaf=leaf)
        return hole

    def _hole(self, begin_ns: int, end_ns: int, run: _Run) -> None:
        text = f"no media for {(end_ns - begin_ns) / NS:.1f} s of the recording, and no leaf that was opened says why"
        self._found.append(Account(begin_ns, end_ns, Doing.UNKNOWN, text, None, run.recording))

    def _begins(self, what: str, at_ns: int, text: str, index: int) -> None:
        self._lasting.setdefault(what, _Why(at_ns, None, text, index))

    def _ends(self, what: str, at_ns: int) -> None:
        if what in self._lasting:
            self._why.append(replace(self._lasting.pop(what), until_ns=at_ns))


def _boottime(mono_ns: int, stamp: leaves.Stamp) -> int:
    return mono_ns + stamp.boottime_ns - stamp.mono_ns
