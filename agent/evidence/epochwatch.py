"""What the leaves of one log say of the epochs before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.errors import EvidenceError
from agent.evidence.findings import What
from agent.formats import epoch
from agent.formats.epoch import Link


@dataclass(frozen=True, slots=True)
class Kept:
    """A segment that a `kept` leaf names: of an earlier epoch, as the card's record, which nobody signed, said
    when the leaf's own began.
    """

    segment: str
    epoch: int
    size: int
    sha256: str
    whole: bool
    leaf: int = field(compare=False)


@dataclass
class EpochWatch:
    """What the leaves of one log say of earlier epochs."""

    origin: str
    link: Link | None = None
    kept: list[Kept] = field(default_factory=list)
    _named: set[Kept] = field(default_factory=set)

    @property
    def number(self) -> int:
        """1 where the log has no name at all."""
        try:
            return epoch.number_of(self.origin)
        except EvidenceError:
            return 1

    def opening(self, index: int, facts: Mapping[str, object]) -> Iterator[tuple[What, str]]:
        """A session leaf's facts, for what they say under `epoch`."""
        if index or self.number == 1:
            if "epoch" in facts:
                yield What.BAD_EPOCH, "a leaf says that it begins a later epoch, and is not the first of one"
            return
        try:
            self.link = epoch.parse_link(facts.get("epoch"), self.origin)
        except EvidenceError as err:
            yield What.BAD_EPOCH, f"the first leaf of epoch {self.number}: {err.message}"
            return
        follows = self.link.follows
        text = (
            f"epoch {self.number} begins ({self.link.why.value}); it follows {follows.origin} at {follows.size} leaves"
        )
        yield What.EPOCH, text

    def hear_kept(self, index: int, named: Iterable[Mapping[str, Any]]) -> Iterator[tuple[What, str]]:
        """A `kept` leaf's segments, each of the form that they must have. All that is said of one counts, but of an
        epoch that is no earlier one.
        """
        strange: Kept | None = None
        for item in named:
            told = item["segment"], item["epoch"], item["size"], item["sha256"], item["whole"]
            kept = Kept(*told, index)
            if kept.epoch >= self.number:
                strange = strange or kept
            elif kept not in self._named:
                self._named.add(kept)
                self.kept.append(kept)
        if strange:
            text = f"a kept leaf names {strange.segment} of epoch {strange.epoch}, which is no earlier one"
            yield What.BAD_LEAF, text
