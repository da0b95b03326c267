"""What the leaves of one log say of the epochs before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agent.errors import EvidenceError
from agent.evidence.findings import What
from agent.formats import epoch, pack
from agent.formats.epoch import Link


@dataclass(frozen=True, slots=True)
class Kept:
    """A segment that a `kept` leaf names: what the card held of an earlier epoch when the leaf's own began."""

    segment: str
    epoch: int
    size: int
    sha256: str
    whole: bool
    leaf: int


@dataclass
class EpochWatch:
    """What the leaves of one log say of earlier epochs."""

    origin: str
    link: Link | None = None
    kept: list[Kept] = field(default_factory=list)

    @property
    def number(self) -> int:
        """1 where the log has no name at all."""
        try:
            return epoch.number_of(self.origin)
        except EvidenceError:
            return 1

    def opening(self, index: int, fact: object) -> Iterator[tuple[What, str]]:
        """A session leaf, with what it says under `epoch`."""
        if index or self.number == 1:
            if fact is not None:
                yield What.BAD_EPOCH, "a leaf says that it begins a later epoch, and is not the first of one"
            return
        try:
            self.link = epoch.parse_link(fact, self.origin)
        except EvidenceError as err:
            yield What.BAD_EPOCH, f"the first leaf of epoch {self.number}: {err.message}"
            return
        follows = self.link.follows
        text = (
            f"epoch {self.number} begins ({self.link.why.value}); it follows {follows.origin} at {follows.size} leaves"
        )
        yield What.EPOCH, text

    def hear_kept(self, index: int, named: object) -> Iterator[tuple[What, str]]:
        """A `kept` leaf's segments."""
        for item in named if isinstance(named, list) else [None]:
            kept = _kept(item, index)
            if kept is None or not 0 < kept.epoch < self.number:
                yield What.BAD_LEAF, "a kept leaf without the facts it must have"
                return
            if all((k.segment, k.sha256) != (kept.segment, kept.sha256) for k in self.kept):
                self.kept.append(kept)


def _kept(item: object, leaf: int) -> Kept | None:
    if not isinstance(item, Mapping):
        return None
    texts, numbers = [item.get(k) for k in ("segment", "sha256")], [item.get(k) for k in ("epoch", "size")]
    if not all(isinstance(t, str) for t in texts) or not pack.SEGMENT_NAME.fullmatch(str(texts[0])):
        return None
    if any(type(n) is not int for n in numbers) or type(item.get("whole")) is not bool:
        return None
    return Kept(str(texts[0]), int(str(numbers[0])), int(str(numbers[1])), str(texts[1]), bool(item["whole"]), leaf)
