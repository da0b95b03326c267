"""When the panel's thread looks again: often while something moves, and else as soon as something stirs it, or has to
change. On a small board each look costs, and it looks all shift long.
"""

from __future__ import annotations

import threading

from agent.model import NS

STEP_S = 0.02
"""From one look to the next while a hand moves, or something is felt."""
REST_S = 0.08
"""And else, at the longest: what stands still (controls/vigil.py) is told within two seconds with it, too."""


def pause_s(moves: bool, rests_ns: int | None) -> float:
    """How long nobody has to look, if nothing stirs. `moves`: something is under way; `rests_ns`: how long what is
    shown stays as it is, None: for good.
    """
    if moves:
        return STEP_S
    return REST_S if rests_ns is None else min(max(rests_ns / NS, STEP_S), REST_S)


class Looks:
    """`stir` and `end` from any thread, the rest from the one that looks."""

    def __init__(self) -> None:
        self._stirred, self._ended = threading.Event(), threading.Event()

    def stir(self) -> None:
        """Something is there to be looked at: an edge, or an answer to a hand."""
        self._stirred.set()

    def end(self) -> None:
        self._ended.set()
        self._stirred.set()

    def over(self, moves: bool, rests_ns: int | None) -> bool:
        """Once the next look is due; or that there is none. A contact that flutters, which moves, stirs it no oftener
        than a hand does.
        """
        for_s = pause_s(moves, rests_ns)
        (self._stirred if for_s > STEP_S else self._ended).wait(for_s)
        # Before the look: what stirs from here on is looked at in the next one.
        self._stirred.clear()
        return self._ended.is_set()
