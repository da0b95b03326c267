"""What a log begins with, once it is open: a step that fails is the fault `start` and is tried again. It keeps neither
another step nor a recording from its turn.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.loop import Loop

Step = Callable[[], None]


class Beginning:
    """In the loop's thread. A step that raises must have done nothing, or be one that may be done twice."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._left: dict[str, Step] = {}

    def begin(self, **steps: Step) -> None:
        """These, in order. One of the same name that another log before it left is done in its place: that of the first
        log of a life says more.
        """
        self._left = {**steps, **self._left}
        self._loop.act("start", self._go)

    def step(self) -> None:
        """For each tick. Raises nothing."""
        if self._left:
            self._loop.step("start", self._go)

    def _go(self) -> None:
        failed: dict[str, Exception] = {}
        for name, step in self._left.items():
            try:
                step()
            except Exception as err:
                failed[name] = err
        self._left = {name: self._left[name] for name in failed}
        if failed:
            raise next(iter(failed.values()))
