"""What the station's index takes of a segment's events, in their order, as the agency's key opens them."""

from __future__ import annotations

from agent import events
from agent.formats import leaf as leaves
from agent.station.indexed import Events, Mark, Moment, Segment, Worn


class Told:
    """One segment, leaf by leaf; `read` is what they said so far."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._late_ns: int | None = None
        self.read = Events()

    def begins(self, leaf: leaves.Leaf) -> None:
        """The first leaf."""
        if self._segment.recording:
            self.read.begun.append(self._moment(leaf, leaf.common.stamp.mono_ns))

    def add(self, leaf: leaves.EventLeaf, told: events.Told) -> None:
        """The next event."""
        camera, epoch, index = self._segment.camera, self._segment.epoch, leaf.common.index
        match told.event:
            case events.Mark(text=text, tag=tag):
                recording = leaf.recording or told.recording or ""
                self.read.marks.append(Mark(camera, recording, epoch, index, leaf.common.stamp.utc, text, tag))
            case events.Assignment(officer=officer, unit=unit, shift=shift):
                self.read.worn.append(Worn(camera, epoch, index, officer, unit, shift))
                self._late(leaf, told.mono_ns if told.late else None)
            case events.EventsDropped():
                self.read.dropped.append(self._moment(leaf, leaf.common.stamp.mono_ns))
                # Of more than are owed, the newest are dropped, and the number comes right behind those: so none of
                # them was said before the last of those.
                self._late(leaf, self._late_ns)
        self._late_ns = told.mono_ns if told.late else None

    def _late(self, leaf: leaves.Leaf, mono_ns: int | None) -> None:
        if mono_ns is not None and 0 <= mono_ns < 1 << 63:
            self.read.late.append(self._moment(leaf, mono_ns))

    def _moment(self, leaf: leaves.Leaf, mono_ns: int) -> Moment:
        return Moment(self._segment.camera, self._segment.epoch, leaf.common.index, leaf.common.stamp.boot, mono_ns)
