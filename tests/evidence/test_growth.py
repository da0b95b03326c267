"""Evidence is hostile, and may hold as many of anything as fit into it: what twice as many cost is twice as much, or
little more. Counted in lines that Python executes, so that no busy machine judges.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from agent import events
from agent.events import State
from agent.formats.leaf import Kind
from agent.model import NS
from tests.evidence.test_accounts import Log

EVIDENCE = str(Path(__file__).parents[2] / "agent" / "evidence")
MANY = 80
MOST = 2.3
"""Of n log n with twice as many. It is 4 for a square; `MANY` are enough that what does not grow is little."""


def steps(action: Callable[[], object]) -> int:
    """How many lines of the readers it executes, each turn of a comprehension counted."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(EVIDENCE):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def grows_as_it_should(make: Callable[[int], Callable[[], object]]) -> None:
    """`make` gives, for so many, what is to be measured."""
    few, many = steps(make(MANY)), steps(make(2 * MANY))
    assert many <= MOST * few, f"{few} lines for {MANY}, {many} for {2 * MANY}"


def gaps(log: Log, number: int) -> None:
    log.beat(62 * (number + 1))


def late(log: Log, number: int) -> None:
    at = 200 * (number + 1)
    log.beat(at, late=True, boottime_ns=(at - 70) * NS, mono_ns=(at - 70) * NS)


def suspends(log: Log, number: int) -> None:
    log.slept_s += 1
    log.beat(20 * (number + 1))


def holes(log: Log, number: int) -> None:
    """Each explained by a fault of its own, and each other one by none."""
    at = 100 + 20 * number
    log.part(at)
    if number % 2:
        log.add(at + 8, Kind.EVENT, events.CameraLost("unplugged", (at + 8) * NS))
        log.add(at + 9, Kind.EVENT, events.CameraBack("there", (at + 9) * NS))


@pytest.mark.parametrize("grow", [gaps, late, suspends, holes])
def test_the_accounts_of_a_boot(grow: Callable[[Log, int], None]) -> None:
    def make(count: int) -> Callable[[], object]:
        log = Log().session(5).state(6, State.READY)
        if grow is holes:
            log.start(50)
        for number in range(count):
            grow(log, number)
        return lambda: log.book.close()[0].accounts[count // 2]

    grows_as_it_should(make)
