"""Whether a range holds what it says: its parts from first to last, every leaf between them, start and end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from agent.evidence.findings import Finding, What
from agent.evidence.heads import Head
from agent.evidence.rangeview import RangeView
from agent.evidence.told import REPORT, Told
from agent.formats.leaf import Kind

_Row = tuple[What, str, str | None, int | None, int | None, int | None]


def whole_range(view: RangeView, told: Told) -> Iterator[_Row]:
    """(what, text, recording, leaf, first part, last part) of everything that the range says it holds and does not."""
    parts = {x.part: i for i, x in view.proven.items() if x.part is not None}
    others = {x.recording or "" for x in view.proven.values() if x.part is not None} - {told.recording}
    if others:
        text = f"{REPORT} names the recording {told.recording[:40]}, its parts are of {', '.join(sorted(others)[:3])}"
        yield What.ALTERED_EXPORT, text, told.recording, None, None, None
        return
    yield from _start_and_end(view, told)
    yield from _runs(told, parts)
    yield from _left_out(view, parts)
    if parts and (told.first, told.last) == (min(parts), max(parts)):
        text = f"only parts {told.first} to {told.last} are here; what was before, after or beside them is not proven"
        yield What.OUTSIDE, text, told.recording, None, told.first, told.last


def _start_and_end(view: RangeView, told: Told) -> Iterator[_Row]:
    start = int(told.recording[1:11])
    first = view.proven.get(start)
    if first is None or (first.kind, first.recording) != (Kind.START, told.recording):
        text = "the recording's start leaf is not here, or not proven"
        yield What.MISSING_PARTS, text, told.recording, start, None, None
    state = view.watch.recordings.get(told.recording)
    if state is not None and state.ended and state.said_parts != told.last + 1:
        text = f"its {state.ended} leaf says {state.said_parts} parts, {REPORT} ends with part {told.last}"
        yield What.MISSING_PARTS, text, told.recording, state.last_index, None, None


def _runs(told: Told, parts: dict[int, int]) -> Iterator[_Row]:
    """Parts that the report names and that are not proven; and the reverse."""
    for number in sorted(n for n in parts if not told.first <= n <= told.last):
        text = f"{REPORT} names parts {told.first} to {told.last}, and not this one"
        yield What.ALTERED_EXPORT, text, told.recording, parts[number], number, number
    at = told.first
    for number in [*sorted(n for n in parts if told.first <= n <= told.last), told.last + 1]:
        if number > at:
            where = "the range is shortened at its beginning" if at == told.first else "the range has a hole"
            where = "the range is shortened at its end" if number > told.last and at > told.first else where
            text = f"{where}: {REPORT} names parts {told.first} to {told.last}, these are not here or not proven"
            yield What.MISSING_PARTS, text, told.recording, None, at, number - 1
        at = number + 1


def _left_out(view: RangeView, parts: dict[int, int]) -> Iterator[_Row]:
    """Indexes without a leaf between two parts that follow each other: an event was left out."""
    numbers = sorted(parts)
    for one, other in pairwise(numbers):
        if other != one + 1:
            continue
        for index in range(parts[one] + 1, min(parts[other], parts[one] + 100_000)):
            if index not in view.proven:
                text = f"leaf {index}, between parts {one} and {other}, is not here or not proven"
                yield What.MISSING_PARTS, text, view.told.recording if view.told else None, index, None, None


def tell_head(view: RangeView, asked: Head) -> Finding | None:
    """A later head that the user named: a range holds no path from its own to that one."""
    head = view.head.head
    if head is None or head.point.origin != asked.origin:
        return None
    if head.point.size != asked.size:
        text = (
            f"{view.name} stands on {head.told}; {asked.told} was not compared, for no path leads from one to the other"
        )
        return Finding(What.UNCHECKED, text)
    if head.point.root == asked.root:
        return None
    return Finding(What.FORK, f"{asked.told} signs another history than {head.told}, on which {view.name} stands")
