"""What each power cut took, counted from what the station holds and from what the recorder said before: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from agent.formats import leaf as leaves
from agent.model import NS
from tests.vm.lag import Lag
from tests.waits import Stored, Wait, waits

LAST = 5
"""Leaves whose waits are printed of each cut."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One of them: in which boot, when by that boot's clock, and what the recorder had said by then."""

    phase: str
    boot: str
    guest_s: float
    told: Mapping[str, Any]
    pressed_s: float | None = None
    released_s: float | None = None
    """The button, where something was being recorded."""
    load: float = 0.0
    """Of this machine."""
    lag: Lag = field(default_factory=Lag)
    delivered: int | None = None
    """How many delivered files there were when all of them were asked to go."""
    turned: str | None = None
    """The segment in front of the one that was begun just before it."""

    @property
    def begins_the_next(self) -> bool:
        """The recording's next segment was there, and the cut came within that."""
        recording, _, number = PurePath(self.turned or "").stem.rpartition("-")
        begun = PurePath(self.told.get("open") or "").stem
        return bool(recording) and begun == f"{recording}-{int(number) + 1:04d}"

    @property
    def recovers(self) -> bool:
        """It had begun to put in order what the cut before left, and was not ready."""
        return self.phase == "recovering" and self.told.get("state") in (None, "starting")

    @property
    def some_deleted(self) -> bool:
        """The first was gone."""
        return self.delivered is not None and int(self.told.get("delivered", self.delivered)) < self.delivered

    @property
    def recordings(self) -> list[str]:
        """Of the recorder's process, as far as it had said so."""
        return list(self.told.get("recordings") or ())

    @property
    def durable_parts(self) -> int:
        """Over all these recordings, by the recorder's own word."""
        return int(self.told.get("parts") or 0)


@dataclass(frozen=True, slots=True)
class Turn:
    """A start or stop leaf: which instant it accounts for."""

    index: int
    boot: str
    kind: leaves.Kind
    at_ns: int


@dataclass(frozen=True, slots=True)
class Last:
    """The last leaf of a boot: what it is, an event by its type, and when it was written."""

    what: str
    at_ns: int


@dataclass
class Held:
    """What the station has of the camera, as the agency reads it."""

    media: list[leaves.MediaLeaf] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    deletions: list[Mapping[str, str]] = field(default_factory=list)
    announced: set[str] = field(default_factory=set)
    """Boots in which a deletion leaf was written."""
    waits: list[Wait] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)
    """By boot: how far its media reach on CLOCK_MONOTONIC."""
    last: dict[str, Last] = field(default_factory=dict)
    """By boot."""

    @classmethod
    def of(cls, stored: Sequence[Stored], bodies: Mapping[int, Mapping[str, Any]]) -> Held:
        """`bodies` of events by index, opened."""
        held = cls(waits=waits(stored))
        for _, leaf in stored:
            boot = leaf.common.stamp.boot
            body = bodies.get(leaf.common.index, {})
            held.last[boot] = Last(_what(leaf, body), leaf.common.stamp.mono_ns)
            if isinstance(leaf, leaves.MediaLeaf):
                held.media.append(leaf)
                end = leaf.zero_mono_ns + leaf.start_ns + leaf.duration_ns
                held.ends[boot] = max(held.ends.get(boot, end), end)
            elif leaf.kind in (leaves.Kind.START, leaves.Kind.STOP):
                own = body.get("mono_ns")
                held.turns.append(
                    Turn(leaf.common.index, boot, leaf.kind, int(leaf.common.stamp.mono_ns if own is None else own))
                )
            elif leaf.kind is leaves.Kind.DELETION:
                held.deletions += leaf.facts["segments"]
                held.announced.add(boot)
        return held

    def parts(self, recordings: Iterable[str]) -> int:
        names = set(recordings)
        return sum(leaf.recording in names for leaf in self.media)


def _what(leaf: leaves.Leaf, body: Mapping[str, Any]) -> str:
    if isinstance(leaf, leaves.MediaLeaf):
        return f"part {leaf.part}"
    named = " ".join(str(body[key]) for key in ("type", "what") if key in body)
    return f"{leaf.kind.value} {named}" if named and named != leaf.kind.value else leaf.kind.value


def started_ns(held: Held, cut: Cut) -> int | None:
    """The instant that the first start leaf of the cut's boot, from the press on, gives for it."""
    assert cut.pressed_s is not None
    # Read to hundredths of a second.
    since = int((cut.pressed_s - 0.01) * NS)
    return next((t.at_ns for t in held.turns if t.boot == cut.boot and t.at_ns >= since), None)


def missing_s(held: Held, cut: Cut) -> float:
    """From the end of what is durable to the cut. At the earliest from the start leaf's own instant; without one,
    from the button's release, on which the gesture acts. A recording that was ended and went on in a linked one counts
    from where the log says so.
    """
    return cut.guest_s - decides(held, cut)[1]


def hole_s(held: Held, cut: Cut) -> float:
    """What lacks inside the recordings of the cut's boot from the press on, up to where each of them ends: the longest
    run that no part has.
    """
    assert cut.pressed_s is not None
    longest, since = 0, int(cut.pressed_s * NS)
    reach = dict[str, int]()
    for leaf in sorted(held.media, key=lambda leaf: leaf.zero_mono_ns + leaf.start_ns):
        begin = leaf.zero_mono_ns + leaf.start_ns
        if leaf.common.stamp.boot == cut.boot:
            before = reach.get(leaf.recording)
            if before is not None:
                longest = max(longest, begin - max(before, since))
            reach[leaf.recording] = max(before or 0, begin + leaf.duration_ns)
    return max(0, longest) / NS


def missing_before_s(held: Held, cut: Cut) -> float:
    """Of what the ring held when the button went down, which is of before the press: what is not durable. A cut while
    it is being written takes as much of it as was not there yet; no bound is measured by it.
    """
    assert cut.pressed_s is not None
    end = int(cut.pressed_s * NS)
    begin = end - int(float(cut.told.get("ring_s") or 0) * NS)
    spans = [
        (leaf.zero_mono_ns + leaf.start_ns, leaf.zero_mono_ns + leaf.start_ns + leaf.duration_ns)
        for leaf in held.media
        if leaf.common.stamp.boot == cut.boot
    ]
    kept = sum(max(0, min(until, end) - max(since, begin)) for since, until in spans)
    return max(0, end - begin - kept) / NS


def decides(held: Held, cut: Cut) -> tuple[str, float]:
    """What the missing is counted from, and its second on the guest's clock."""
    assert cut.released_s is not None
    first = started_ns(held, cut)
    if first is None:
        return "the button's release", cut.released_s
    counted = [(f"the {t.kind.value} leaf", t.at_ns) for t in held.turns if t.boot == cut.boot and t.at_ns >= first]
    what, at_ns = max([("the media's end", held.ends.get(cut.boot, 0)), *counted], key=lambda one: one[1])
    return what, at_ns / NS


def starved_s(held: Held, cut: Cut) -> float:
    """How long of what is missing the camera was ready to run, and this machine let it not."""
    return cut.lag.starved_s(missing_s(held, cut))


def though_it_ran_s(held: Held, cut: Cut) -> float:
    """The missing that this machine does not account for: the camera's own. No bound is measured by it."""
    return missing_s(held, cut) - starved_s(held, cut)


def lost_parts(held: Held, cut: Cut) -> int:
    """Parts that the recorder had called durable and that are nowhere."""
    return max(0, cut.durable_parts - held.parts(cut.recordings))


def deleted_without_receipt(held: Held, receipts: Mapping[str, Iterable[str]], stored: Iterable[str]) -> list[str]:
    """Segments that a deletion leaf names though the receipt it names does not, or though the station lacks their
    bytes. `receipts` are digests of segments by the receipt's digest; `stored` digests of the segments at the station.
    """
    there = set(stored)
    return [
        item["segment"]
        for item in held.deletions
        if item["sha256"] not in set(receipts.get(item["receipt"], ())) or item["sha256"] not in there
    ]


def explained(held: Held, cut: Cut) -> str:
    """One cut in a line, with the waits of its boot's last parts."""
    boot = {leaf.recording for leaf in held.media if leaf.common.stamp.boot == cut.boot}
    last = [w for w in held.waits if w.recording in boot | set(cut.recordings)][-LAST:]
    told = {key: cut.told.get(key) for key in ("state", "parts", "parts_waiting", "frames_dropped", "faults")}
    line = f"{cut.phase}: cut at {cut.guest_s:.3f} s, load {cut.load:.1f}"
    if cut.pressed_s is not None:
        missing, (what, _) = missing_s(held, cut), decides(held, cut)
        line += f", pressed at {cut.pressed_s:.2f}, missing {missing:.3f} s, counted from {what}"
        line += f", of them {starved_s(held, cut):.3f} not let run, the guest's witness late by"
        line += f" {cut.lag.late_s(cut.guest_s, missing):.3f} at most"
        end = held.last.get(cut.boot)
        line += (
            f", the last leaf ({end.what}) {cut.guest_s - end.at_ns / NS:.3f} s before"
            if end
            else ", no leaf of this boot"
        )
    shown = "; ".join(
        f"part {w.part} {w.phase.value} waited {w.wait_ns / 1e6:.0f} ms"
        + ("" if w.gap_ns is None else f", {w.gap_ns / 1e6:.0f} after the one before")
        for w in last
    )
    return f"{line}; said {told}; {shown}"
