"""Which log of a camera: the epoch in its origin, and what the first leaf of a new one says of the log before it
(docs/evidence-format.md, section 2, "Epochs").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from agent.errors import EvidenceError
from agent.formats import note

MAX_EPOCH = 999_999
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")


class Why(Enum):
    """What made the camera begin another log."""

    DAMAGED = "damaged"
    """Durable bytes of the card are lost or changed, so that going on would sign an index twice."""
    BEHIND = "behind"
    """A station signed that it saw more of this camera's log, or another one, than the card holds."""


def is_number(text: str) -> bool:
    """True for an epoch in its one spelling."""
    return _NUMBER.fullmatch(text) is not None


def origin_of(log_name: str, camera: str, epoch: int) -> str:
    """The name of one epoch's log."""
    return f"{log_name}/{camera}/{epoch}"


def split(origin: str) -> tuple[str, int]:
    """(what all epochs of a camera's log share, epoch). Raises EvidenceError for what is no origin."""
    stem, slash, number = origin.rpartition("/")
    if not slash or not is_number(number):
        raise EvidenceError(f"not the name of a log: {origin[:80]!r}")
    return stem, int(number)


def number_of(origin: str) -> int:
    """The epoch. Raises EvidenceError."""
    return split(origin)[1]


@dataclass(frozen=True, slots=True)
class Link:
    """What a new epoch follows: the largest head of an earlier one that the camera has proof of; and, where the log
    that was on the card is another or shorter one, what the card `left`.
    """

    why: Why
    follows: note.Checkpoint
    left: note.Checkpoint | None = None

    def facts(self) -> dict[str, Any]:
        """The value of `epoch` among the facts of its `session` leaf."""
        left = _facts(self.left) if self.left else None
        return {"reason": self.why.value, "follows": _facts(self.follows), "left": left}


def parse_link(value: object, origin: str) -> Link:
    """`epoch` of the facts in the first leaf of the log `origin`. Raises EvidenceError."""
    try:
        facts = dict(value) if isinstance(value, Mapping) else {}
        left = facts.get("left")
        link = Link(Why(facts["reason"]), _head(facts["follows"]), None if left is None else _head(left))
    except (KeyError, ValueError, TypeError):
        raise EvidenceError("it does not say which log it follows, and why") from None
    stem, epoch = split(origin)
    for head in (link.follows, link.left):
        if head is not None and (split(head.origin)[0] != stem or split(head.origin)[1] >= epoch):
            raise EvidenceError(f"it follows {head.origin[:80]}, which is no earlier epoch of {stem[:80]}")
    return link


def _facts(head: note.Checkpoint) -> dict[str, str | int]:
    return {"origin": head.origin, "size": head.size, "root": note.b64(head.root)}


def _head(value: Any) -> note.Checkpoint:
    origin, size, root = value["origin"], value["size"], value["root"]
    if not isinstance(origin, str) or type(size) is not int or not isinstance(root, str):
        raise ValueError
    return note.parse_checkpoint(f"{origin}\n{size}\n{root}\n")
