"""Who wore a camera as its own log says: where all of that log was opened from the assignment to the recording, so that
no other can stand in between. One that the camera's disk refused, and that comes later, counts from when it was made:
whoever asks has seen that all which such a one can lie in was opened (`tagged.are_known`). Where events were dropped in
between, one of them may have been another.
"""

from __future__ import annotations

from agent.station.index import Index
from agent.station.indexed import Segment, Worn


class Wearing:
    """Reads only. Where it is asked in a log's order it looks at no leaf twice, however many recordings follow one
    assignment.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._read: dict[Worn, tuple[int, bool]] = {}

    def by_log(self, first: Segment) -> Worn | None:
        """By the first segment of a recording. What an earlier log says is not taken: how that ended, nobody saw."""
        told = self._index.worn(first.camera, first.epoch, first.first)
        if told is None:
            return None
        late = (told.epoch, told.leaf) > (first.epoch, first.first)
        return told if late or self._is_read(told, first.first) else None

    def _is_read(self, told: Worn, until: int) -> bool:
        """Whether each leaf from this one until that one is in a segment that was opened."""
        reached, broken = self._read.get(told, (told.leaf, False))
        if not broken and reached < until:
            for first, end in self._index.opened_leaves(told.camera, told.epoch, reached, until):
                if first > reached:
                    break
                reached = max(reached, end)
            self._read[told] = reached, reached < until
        return reached >= until
