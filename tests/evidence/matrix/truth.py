"""What a life really was, leaf by leaf: times and parts of findings are held against it."""

from __future__ import annotations

from dataclasses import dataclass

from agent.evidence.findings import Finding, when
from agent.formats import leaf as leaves
from tests.builders import Camera


@dataclass(frozen=True)
class Truth:
    """Every leaf that the camera wrote, by index, and the leaves of each of its segments."""

    leaves: dict[int, leaves.Leaf]
    spans: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, camera: Camera) -> Truth:
        """Of a life before the change."""
        segments = camera.segments
        written = {e.index: leaves.parse(e.leaf) for s in segments for e in s.entries}
        return cls(written, {s.name: (s.entries[0].index, s.entries[-1].index) for s in segments})

    def span(self, finding: Finding) -> tuple[int, int] | None:
        """Its leaves, or those of the segment that it names whole; None of a segment that is none of this life."""
        if finding.segment is not None and finding.segment not in self.spans:
            return None
        if finding.first is not None:
            return finding.first, finding.last if finding.last is not None else finding.first
        return self.spans.get(finding.segment or "")

    def time(self, index: int) -> str:
        said = when(self.leaves[index].common.stamp)
        assert said is not None
        return said

    def wrong_time(self, finding: Finding) -> str | None:
        """Where the finding's time is not that of its leaves, or does not hold them; None where it does."""
        span = self.span(finding)
        if span is None or not {*span} <= self.leaves.keys() or finding.when is None:
            return None
        begin, end = self.time(span[0]), self.time(span[1])
        if finding.bounds is None:
            return None if finding.when == begin == end else f"{finding.when}, not {begin} to {end}"
        after, before = finding.bounds
        if (after is None or after <= begin) and (before is None or end <= before):
            return None
        return f"{finding.when} does not hold {begin} to {end}"

    def wrong_part(self, finding: Finding) -> str | None:
        """Where a finding that names leaves does not name exactly the parts among them."""
        span = self.span(finding)
        if finding.first is None or span is None:
            return None
        first, last = span
        found = (self.leaves.get(index) for index in range(first, last + 1))
        real = [leaf.part for leaf in found if isinstance(leaf, leaves.MediaLeaf)]
        said = finding.part_first, finding.part_last if finding.part_last is not None else finding.part_first
        wanted = (real[0], real[-1]) if real else (None, None)
        return None if said == wanted else f"parts {said}, not {wanted}"
