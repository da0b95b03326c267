"""Which pictures to leave out where fewer are wanted than the lens gives."""

from __future__ import annotations

from agent.model import NS


class Thinning:
    """Of pictures in the order of their stamps it keeps so many a second, as evenly as they come. Not thread-safe."""

    def __init__(self, fps: int = 0) -> None:
        """0 for all."""
        self._every_ns = NS // fps if fps else 0
        self._due_ns: int | None = None

    def leaves_out(self, mono_ns: int) -> bool:
        """Whether this one is not wanted. It is where it comes no earlier than a tenth before its turn: no lens is that
        even.
        """
        every = self._every_ns
        if not every:
            return False
        if self._due_ns is not None and self._due_ns - 2 * every < mono_ns < self._due_ns - every // 10:
            return True
        # In step with what was due, not with what came: else each jitter would cost a little of the rate.
        late = self._due_ns is None or abs(mono_ns - self._due_ns) >= every
        self._due_ns = mono_ns + every if late else (self._due_ns or 0) + every
        return False
