"""What is known of one segment once it was checked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.evidence.blobs import Blob
from agent.evidence.findings import Finding, What
from agent.evidence.marks import Mark
from agent.evidence.silence import Silence
from agent.evidence.unread import Hidden
from agent.formats import certs, merkle, pack, span


@dataclass
class SegmentResult:
    """What is known of one segment. Its leaves are `first` <= index < `end`; `frontier` is the log's after them,
    None where damage hides it. `own_name` is the name its content gives it; `sound` are the indexes of the proven
    entries without a finding of their own. `proven` tells that a trusted signature proves any of them,
    `lost` counts leaves that are not there or not proven, `marks` are proven leaves to lay findings between. `before`
    is the log before it, by its head; `led` is the log after the last leaf that a trusted signature proves. What waits
    in its `silence` is among the findings once the whole log is known. `unread` where the disk did not give all of it:
    then `sha256` is no digest; and it has how many leaves may be hidden at its ends.
    """

    blob: Blob
    sha256: str
    origin: str
    recording: str | None
    seq: int
    first: int
    end: int
    own_name: str | None
    session: certs.Session | None
    frontier: merkle.Frontier | None
    sealed: bool
    cut: bool
    proven: bool = False
    sound: frozenset[int] = frozenset()
    lost: int = 0
    findings: list[Finding] = field(default_factory=list)
    marks: tuple[Mark, ...] = ()
    before: merkle.Frontier | None = None
    led: merkle.Frontier | None = None
    silence: Silence = field(default_factory=lambda: Silence(""))
    unread: Hidden | None = None

    @property
    def name(self) -> str:
        return self.blob.stem

    @property
    def place_name(self) -> str | None:
        """Of its place in the log: the name that its content gives it; else its file's, where that is a segment's."""
        own = self.own_name
        return own if own is not None else self.name if pack.SEGMENT_NAME.fullmatch(self.name) else None

    @property
    def fails(self) -> bool:
        return any(f.fails for f in self.findings)

    def is_early(self, name: str, first: int) -> bool:
        """Whether it is a copy, made while that grew, of the segment of this name that begins at this leaf."""
        return self.blob.is_open and (self.name, self.first) == (name, first)

    def hides_from(self, first: int, size: int) -> bool:
        """Whether all leaves from this one on may stand in front of its first, where the disk gave nothing; of so many
        bytes it was sealed.
        """
        lost = self.unread
        return lost is not None and lost.before >= self.first - first and span.may_be(size, self.blob.size)

    def hides_up_to(self, end: int, size: int) -> bool:
        """The same of those behind its last."""
        lost = self.unread
        return lost is not None and lost.behind >= end - self.end and span.may_be(size, self.blob.size)

    def proves(self, size: int) -> merkle.Frontier | None:
        """The log of so many leaves, where this ends there, or the last leaf that it proves is the one before."""
        return next((tree for tree in (self.frontier, self.led) if tree is not None and tree.size == size), None)

    def give_way(self) -> None:
        """Nothing proves what follows its last proven leaf, and others that are proven stand in that place."""
        if self.led is not None:
            self.end, self.frontier = self.led.size, self.led

    @property
    def spoiled(self) -> bool:
        """Whether anything fails in it, beside that it continues another history."""
        return any(f.fails and f.what is not What.FORK for f in self.findings)


def holding(results: Sequence[SegmentResult], index: int) -> SegmentResult | None:
    """Of segments in order the one that reaches over this leaf."""
    at = bisect_right(results, index, key=lambda result: result.end)
    return results[at] if at < len(results) and results[at].first <= index else None
