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
        self._left: tuple[Step, ...] = ()

    def begin(self, *steps: Step) -> None:
        """These, in order; of another log before it nothing is left to do."""
        self._left = steps
        self._loop.act("start", self._go)

    def step(self) -> None:
        """For each tick. Raises nothing."""
        if self._left:
            self._loop.step("start", self._go)

    def _go(self) -> None:
        failed: list[tuple[Step, Exception]] = []
        for step in self._left:
            try:
                step()
            except Exception as err:
                failed.append((step, err))
        self._left = tuple(step for step, _ in failed)
        if failed:
            raise failed[0][1]
