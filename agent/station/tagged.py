"""Whether all marks of a recording are known, and so its tags: a mark that the camera's disk refused is written later,
into what is open by then (`agent/journal.py`), and names its recording in its body.

So its log is to be opened without a gap, from its start leaf, which lies in the event segment before it, to the end of
the second segment behind it: what is owed comes with the first leaves that the disk takes again. Where a later log
follows, nothing more comes: then one is enough, where no other is stored, also damaged, or owed, or none where that log
ended there.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.station.index import Index
from agent.station.indexed import Segment
from agent.station.state import State

BEHIND = 2
"""Segments. After one that was begun again at once, or ended by the dock, the disk may still refuse."""


def are_known(index: Index, state: State, segments: Sequence[Segment]) -> bool:
    """Of a recording, by its segments."""
    one, end = segments[0], max(s.end for s in segments)
    # It is named after the index of its start leaf.
    begin = min(int(str(one.recording)[1:11]), *(s.first for s in segments))
    if not _is_opened(index, one, begin, end):
        return False
    behind = index.behind(one.camera, one.epoch, end, BEHIND)
    for more in behind:
        if not more.opened or more.first > end:
            return False
        end = max(end, more.end)
    return len(behind) >= BEHIND or _is_over(index, state, one, end, bool(behind))


def _is_opened(index: Index, of: Segment, begin: int, until: int) -> bool:
    """Each leaf from `begin` until that one."""
    reached = begin
    for first, end in index.opened_leaves(of.camera, of.epoch, begin, until):
        if first > reached:
            return False
        reached = max(reached, end)
    return reached >= until


def _is_over(index: Index, state: State, of: Segment, end: int, went_on: bool) -> bool:
    """Whether nothing comes behind this leaf, or is stored where it cannot be opened: a later log follows this one, of
    which no more is owed or kept for its bytes alone; and no head of it is longer, unless it `went_on` behind the
    recording.
    """
    told = [link.size for link in state.links(of.camera) if link.follows == of.epoch]
    head = state.head(of.camera, of.epoch)
    if not told or (not went_on and end < max(*told, head.size if head else 0)):
        return False
    closed = (*index.owed(of.camera), *index.left_over(of.camera))
    return not any(one.first >= end or not one.entries for one in closed if one.epoch == of.epoch)
