"""What a stored segment tells the station, which has no key: what its leaves say in public."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.formats import leaf as leaves
from agent.formats.facts import wrong
from agent.formats.pack import SEGMENT_NAME

_HEX = re.compile(r"[0-9a-f]{64}")
_MOST = (1 << 63) - 1
"""What SQLite's integers hold: a camera may sign more."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A segment that a `seal` leaf names: the camera has sealed it, so it is to come."""

    segment: str
    size: int
    sha256: str
    first: int
    entries: int


@dataclass(frozen=True, slots=True)
class Left:
    """A segment that a `kept` leaf names: the card has it of an earlier `epoch`, so it is to come. Nobody says which
    leaves it holds.
    """

    segment: str
    epoch: int
    size: int


@dataclass(slots=True)
class Summary:
    """Of one segment, leaf by leaf. Times are UTC as the leaves say them, None where they say none; `vouched` where
    somebody vouched for all of them. `media_ns` is the sum of its parts, which overlap where pictures are few;
    `start_ns` and `end_ns` are the first one's start and the last end on the recording's timeline, None without parts.
    """

    recording: str | None = None
    seq: int = 0
    first: int = 0
    entries: int = 0
    parts: int = 0
    media_ns: int = 0
    begins: str | None = None
    ends: str | None = None
    vouched: bool = True
    started: bool = False
    ended: bool = False
    announced: list[Announced] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    start_ns: int | None = None
    end_ns: int | None = None

    def add(self, leaf: leaves.Leaf) -> None:
        """The next leaf."""
        stamp = leaf.common.stamp
        self.entries += 1
        self.begins = self.begins or stamp.utc
        self.ends = stamp.utc or self.ends
        self.vouched = self.vouched and stamp.utc_source == "synchronised"
        if isinstance(leaf, leaves.MediaLeaf):
            self.parts += 1
            self.media_ns = min(self.media_ns + leaf.duration_ns, _MOST)
            self.start_ns = leaf.start_ns if self.start_ns is None else self.start_ns
            self.end_ns = min(max(self.end_ns or 0, leaf.start_ns + leaf.duration_ns), _MOST)
        elif leaf.kind is leaves.Kind.SEAL:
            self.announced += [found] if (found := _announced(leaf.facts)) else []
        elif leaf.kind is leaves.Kind.KEPT:
            self.left += _left(leaf.facts)
        elif leaf.recording is not None and leaf.recording == self.recording:
            self.started = self.started or leaf.kind is leaves.Kind.START
            self.ended = self.ended or leaf.kind in (leaves.Kind.STOP, leaves.Kind.RECOVERY)


def _announced(facts: Mapping[str, Any]) -> Announced | None:
    name, sha256 = facts.get("segment"), facts.get("sha256")
    numbers = [facts.get(key) for key in ("size", "first", "entries")]
    if not isinstance(name, str) or not SEGMENT_NAME.fullmatch(name):
        return None
    if not isinstance(sha256, str) or not _HEX.fullmatch(sha256):
        return None
    if not all(type(n) is int and 0 <= n < 1 << 62 for n in numbers):
        return None
    size, first, entries = (int(str(n)) for n in numbers)
    return Announced(name, size, sha256, first, entries)


def _left(facts: Mapping[str, Any]) -> list[Left]:
    if wrong(leaves.Kind.KEPT, facts):
        return []
    return [Left(one["segment"], one["epoch"], one["size"]) for one in facts["segments"]]
