"""What the sealer remembers of a recording while it goes on, and of one whose stop leaf is not written yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(slots=True)
class RecordingState:
    """`init` is sealed. `pieces`: those of half a second in its parts. `seq` is of its open segment, which began with
    `segment_part` at `segment_start_ns`.
    """

    recording: str
    init: bytes
    init_sha256: str
    zero_mono_ns: int
    parts: int = 0
    pieces: int = 0
    seq: int = 0
    segment_part: int = 0
    segment_start_ns: int = 0


class Ended(NamedTuple):
    """A recording's durable parts, and how many pieces of half a second are lost: 0 where nobody said how many came."""

    parts: int
    lost: int


@dataclass(frozen=True, slots=True)
class OwedStop:
    """The stop leaf's body, and how many parts became durable."""

    recording: str
    body: Mapping[str, Any]
    parts: int
