"""The leaves of one camera in order, over all its epochs: what is missing before each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.errors import EvidenceError
from agent.formats import leaf as leaves
from agent.formats.epoch import Link, parse_link
from agent.formats.leaf import Kind


@dataclass(frozen=True, slots=True)
class Deleted:
    """Who deleted leaves that are not here, and may, in words; of which recording they were, where of one."""

    told: str
    recording: str | None


Deletions = Callable[[str, int, int], Deleted | None]
"""By log, first leaf and end: who deleted these leaves, None where that explains not all of them."""


@dataclass(frozen=True, slots=True)
class Step:
    """From the leaf before to this one: what is `missing` in words, nothing where nothing is, and who `deleted` all of
    that. `opens`: it is the first of a session in its log; `goes_on`: the same session wrote another log before, and
    has not ended.
    """

    missing: str
    opens: bool
    goes_on: bool
    deleted: Deleted | None = None


class Sequence:
    """Tell it each leaf, in order of epoch and index."""

    def __init__(self, deletions: Deletions) -> None:
        self._deletions = deletions
        self._origin: str | None = None
        self._next = 0
        self._session = ""

    def step(self, origin: str, leaf: leaves.Leaf) -> Step:
        """The next leaf, of the log `origin`."""
        index = leaf.common.index
        opens = isinstance(leaf, leaves.EventLeaf) and leaf.kind is Kind.SESSION
        session = str(leaf.facts.get("session_cert")) if isinstance(leaf, leaves.EventLeaf) and opens else self._session
        same = session == self._session
        missing, end = self._missing(origin, leaf, index, same)
        deleted = self._deletions(self._origin, self._next, end) if self._origin is not None and end else None
        goes_on = opens and (not missing or deleted is not None) and self._origin not in (None, origin) and same
        self._origin, self._next, self._session = origin, index + 1, session
        return Step(missing, opens, goes_on, deleted)

    def _missing(self, origin: str, leaf: leaves.Leaf, index: int, same: bool) -> tuple[str, int]:
        """In words, and where that ends in the log of the leaf before; 0 where it is not of that log alone."""
        if origin == self._origin:
            return _not_here(self._next, index)
        link = _link(origin, leaf)
        if self._origin is None:
            if index:
                return f"what the log says before leaf {index} was not given", 0
            return (f"what the log {link.follows.origin} says was not given" if link else ""), 0
        if link is None:
            return f"the beginning of the log {origin} is not here, or not proven", 0
        # The same session goes on from what the card held; for another, whatever was signed may stand before it.
        head = (link.left or link.follows) if same else link.follows
        if head.origin != self._origin:
            return f"the log {head.origin} is not here, or not proven", 0
        return _not_here(self._next, head.size)


def _link(origin: str, leaf: leaves.Leaf) -> Link | None:
    facts = leaf.facts if isinstance(leaf, leaves.EventLeaf) and leaf.common.index == 0 else {}
    try:
        return parse_link(facts["epoch"], origin) if "epoch" in facts else None
    except EvidenceError:
        return None


def _not_here(first: int, end: int) -> tuple[str, int]:
    if end <= first:
        return "", 0
    named = f"leaf {first} is" if end - first == 1 else f"leaves {first} to {end - 1} are"
    return f"{named} not here, or not proven", end
