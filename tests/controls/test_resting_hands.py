"""A look that finds nothing under way leaves out what would come to nothing: what a hand, the dock and the trigger did
is the same as if it had been looked through.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from agent.controls.base import Line
from agent.controls.gestures import Edge, Habits, Mode, Timing
from agent.controls.hands import Hands
from agent.model import NS

MS = NS // 1000
TIMING = Timing(30 * MS, 400 * MS, 1_500 * MS, 5_000 * MS, 20_000 * MS)
UNTIL_NS = 20 * NS
HISTORIES = 120


class Thorough(Hands):
    """Looks through everything each time."""

    def _rests(self, levels: Mapping[Line, bool | None]) -> bool:
        return False


def moved(chance: random.Random) -> list[tuple[int, Line, Edge]]:
    """Edges, each with the instant at which it is there to be taken; of some nobody hears."""
    found = []
    for line in Line:
        at_ns, down = chance.randrange(3 * NS), False
        for _ in range(chance.randrange(14)):
            down = not down
            found.append((at_ns + chance.choice([0, 0, 0, 1, 60, 200, 350, 10**6]) * MS, line, Edge(at_ns, down)))
            at_ns += chance.choice([3, 20, 40, 90, 200, 500, 1_600, 6_000]) * MS + chance.randrange(MS)
    return sorted(found, key=lambda one: one[2].mono_ns)


def rests_in(number: int) -> int:
    """How many looks of this history rested; both kinds find the same in it."""
    rested = 0
    chance = random.Random(number)
    waiting, levels = moved(chance), dict[Line, bool | None].fromkeys(Line, False)
    edges = [(line, edge) for _, line, edge in waiting]
    habits = Habits(Mode.IDLE, chance.random() < 0.5, chance.random() < 0.5)
    resting, thorough, now_ns = Hands(TIMING), Thorough(TIMING), 0
    while now_ns < UNTIL_NS:
        # Levels, and then edges, are read somewhat after the instant of the look.
        read_ns = now_ns + chance.choice([0, 1, 30]) * MS
        taken_ns = read_ns + chance.choice([0, 1, 30]) * MS
        levels |= {line: edge.down for line, edge in edges if edge.mono_ns <= read_ns}
        came = [(line, edge) for there_ns, line, edge in waiting if there_ns <= taken_ns]
        waiting = [one for one in waiting if one[0] > taken_ns]
        did = [list(hands.look(now_ns, came, levels, lambda: habits, read_ns)) for hands in (resting, thorough)]
        assert did[0] == did[1], f"history {number} at {now_ns}"
        assert (resting.hand_ns, resting.dock_moves) == (thorough.hand_ns, thorough.dock_moves)
        rested += resting.rests
        now_ns = taken_ns + chance.choice([1, 5, 20, 20, 20, 80, 80, 400]) * MS
    return rested


@pytest.mark.parametrize("part", range(4))
def test_looks_that_rest_leave_out_nothing(part: int) -> None:
    assert sum(rests_in(number) for number in range(part * HISTORIES, (part + 1) * HISTORIES)) > HISTORIES
