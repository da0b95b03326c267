"""The twin of the panel: a test, or a desk, pulls its lines and looks at its lights."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from agent.controls.base import Line
from agent.controls.gestures import Edge
from agent.controls.patterns import Levels
from agent.errors import DeviceError


class SyntheticPanel:
    """Has all lines of `lines`. While `gone` says why, it is as if it had been pulled off. Thread-safe."""

    def __init__(self, lines: tuple[Line, ...] = tuple(Line)) -> None:
        self._lock = threading.Lock()
        self._down = dict.fromkeys(lines, False)
        self._edges: deque[tuple[Line, Edge]] = deque()
        self.stir: Callable[[], object] = lambda: None
        self.gone = ""
        self.levels = Levels()

    def pull(self, line: Line, down: bool, mono_ns: int | None = None) -> None:
        """From this instant on, or from now."""
        with self._lock:
            if self._down[line] is not down:
                self._down[line] = down
                at_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC) if mono_ns is None else mono_ns
                self._edges.append((line, Edge(at_ns, down)))
        self.stir()

    def take(self) -> list[tuple[Line, Edge]]:
        with self._lock:
            taken = list(self._edges)
            self._edges.clear()
            return taken

    def is_down(self, line: Line) -> bool | None:
        self._must_be_there()
        return self._down.get(line)

    def show(self, levels: Levels) -> None:
        self._must_be_there()
        self.levels = levels

    def close(self) -> None:
        self.levels = Levels()

    def _must_be_there(self) -> None:
        if self.gone:
            raise DeviceError(self.gone, "put it back")
