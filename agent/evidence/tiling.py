"""Intervals that tile a stretch of time: no hole, no overlap, whatever is laid over them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from math import inf

from agent.evidence.findings import Sure


class Doing(Enum):
    """What a powered camera did. Those of `events.State`, and what a reader has to add."""

    STARTING = "starting"
    READY = "ready"
    RECORDING = "recording"
    MUTED = "muted"
    SLEEPING = "sleeping"
    DOCKED = "docked"
    FAULT = "fault"
    STOPPED = "stopped"
    ON = "on"
    """The recorder ran; in which state is sealed, or was not said."""
    ENDED = "ended without stop"
    PURGED = "purged"
    """What would tell was deleted by a station, which signed that."""
    UNKNOWN = "unaccounted"


@dataclass(frozen=True, slots=True)
class Account:
    """From `begin_ns` to `end_ns` on CLOCK_BOOTTIME the camera did this, for this reason. `leaf` is the log index of
    the leaf that says so, None where it follows from what is between leaves.
    """

    begin_ns: int
    end_ns: int
    doing: Doing
    reason: str
    actor: str | None = None
    recording: str | None = None
    leaf: int | None = None

    @property
    def length_ns(self) -> int:
        return self.end_ns - self.begin_ns

    @property
    def sure(self) -> Sure:
        """What no leaf says was so, but is only likely to have been just then. That none speaks for it is proven."""
        return Sure.LIKELY if self.leaf is None and self.doing is not Doing.UNKNOWN else Sure.PROVEN


@dataclass(frozen=True, slots=True)
class Change:
    """From `at_ns` on something else. Of two at one instant the later told holds."""

    at_ns: int
    doing: Doing
    reason: str
    actor: str | None = None
    recording: str | None = None
    leaf: int | None = None


def tile(changes: Iterable[Change], end_ns: int) -> list[Account]:
    """The accounts from the first change to `end_ns`."""
    ordered = sorted(changes, key=lambda c: c.at_ns)
    ends = [*(c.at_ns for c in ordered[1:]), end_ns]
    return [
        Account(c.at_ns, end, c.doing, c.reason, c.actor, c.recording, c.leaf)
        for c, end in zip(ordered, ends, strict=True)
        if end > c.at_ns
    ]


def lay_over_all(accounts: Sequence[Account], overs: Iterable[Account]) -> list[Account]:
    """The same stretch with any number of `overs` in place of what was there, in one pass; where two of them overlap,
    the one that begins first holds.
    """
    laid, under, at = list[Account](), list(accounts), 0
    for over in sorted((one for one in overs if one.length_ns > 0), key=lambda a: a.begin_ns):
        while at < len(under) and under[at].end_ns <= over.begin_ns:
            laid.append(under[at])
            at += 1
        if at < len(under) and under[at].begin_ns < over.begin_ns:
            laid.append(replace(under[at], end_ns=over.begin_ns))
        begin_ns = max(over.begin_ns, laid[-1].end_ns) if laid else over.begin_ns
        if over.end_ns > begin_ns:
            laid.append(replace(over, begin_ns=begin_ns))
        while at < len(under) and under[at].end_ns <= over.end_ns:
            at += 1
        if at < len(under) and under[at].begin_ns < over.end_ns:
            under[at] = replace(under[at], begin_ns=over.end_ns)
    return [*laid, *under[at:]]


def without_signs(begin_ns: int, end_ns: int, signs: Sequence[int], bound_ns: int) -> list[tuple[int, int]]:
    """The pieces of a stretch that are longer than `bound_ns` though there were these signs of life in it; `signs` are
    in order, and those outside of it are not looked at.
    """
    at = [begin_ns, *signs[bisect_right(signs, begin_ns) : bisect_left(signs, end_ns)], end_ns]
    return [(a, b) for a, b in pairwise(at) if b - a > bound_ns]


class Unclaimed:
    """Stretches (begin, end) of which each is claimed once, by the first that touches it: n log n for n of both."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self._order = sorted(range(len(spans)), key=lambda n: spans[n][0])
        self._begins = [spans[n][0] for n in self._order]
        self._size = 1 << max(0, len(spans) - 1).bit_length()
        # The latest end below each node of a binary tree over them, of those that are not claimed.
        self._latest = [-inf] * self._size + [spans[n][1] for n in self._order]
        self._latest += [-inf] * (2 * self._size - len(self._latest))
        for node in reversed(range(1, self._size)):
            self._latest[node] = max(self._latest[2 * node : 2 * node + 2])

    def claim(self, begin: int, end: float) -> Iterator[int]:
        """The numbers of those that this stretch touches, and nothing did before."""
        reach = bisect_right(self._begins, end)
        while self._latest[1] >= begin:
            node = 1
            while node < self._size:
                node = 2 * node if self._latest[2 * node] >= begin else 2 * node + 1
            if node - self._size >= reach:
                return
            yield self._order[node - self._size]
            self._latest[node] = -inf
            while node := node // 2:
                self._latest[node] = max(self._latest[2 * node : 2 * node + 2])
