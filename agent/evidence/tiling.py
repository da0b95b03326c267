"""Intervals that tile a stretch of time: no hole, no overlap, whatever is laid over them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

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


def lay_over(accounts: Sequence[Account], over: Account) -> list[Account]:
    """The same stretch with `over` in place of what was there."""
    begin, end = over.begin_ns, over.end_ns
    left = [replace(a, end_ns=min(a.end_ns, begin)) for a in accounts if a.begin_ns < begin]
    right = [replace(a, begin_ns=max(a.begin_ns, end)) for a in accounts if a.end_ns > end]
    return [*left, *([over] if end > begin else []), *right]


def lay_over_all(accounts: Sequence[Account], overs: Iterable[Account]) -> list[Account]:
    """The same with any number of them, in one pass; where two of them overlap, the one that begins first holds."""
    laid, under, at = list[Account](), list(accounts), 0
    for over in sorted(overs, key=lambda a: a.begin_ns):
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


def without_signs(begin_ns: int, end_ns: int, signs: Iterable[int], bound_ns: int) -> list[tuple[int, int]]:
    """The pieces of a stretch that are longer than `bound_ns` though there were these signs of life in it."""
    at = [begin_ns, *sorted(s for s in signs if begin_ns < s < end_ns), end_ns]
    return [(a, b) for a, b in pairwise(at) if b - a > bound_ns]
