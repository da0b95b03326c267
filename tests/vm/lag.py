"""How late a virtual machine ran before its power went: by its own clock, and by this machine's scheduler. It says of a
loss whether the camera was slow, or was not let run.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from agent.model import NS

KEPT_S = 10
EVERY_S = 0.1
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Lag:
    """Of the seconds before a cut."""

    ticks_ns: tuple[int, ...] = ()
    """When the witness in the guest woke, on the guest's CLOCK_MONOTONIC; it wants to, fifty times a second."""
    starved: tuple[tuple[float, float], ...] = ()
    """Seconds before the cut, and how long by then its processes had been ready to run here and had not run."""

    def late_s(self, cut_s: float, span_s: float) -> float:
        """The longest that the guest let its witness sleep in the last `span_s`."""
        begin_ns, end_ns = int((cut_s - span_s) * NS), int(cut_s * NS)
        woke = [*self.ticks_ns, end_ns]
        return max((b - max(a, begin_ns) for a, b in pairwise(woke) if b > begin_ns), default=0) / NS

    def starved_s(self, span_s: float) -> float:
        """Of the last `span_s`."""
        if not self.starved:
            return 0.0
        # From the last reading before them.
        before = [waited for ago, waited in self.starved if ago >= span_s]
        first = before[-1] if before else self.starved[0][1]
        return min(span_s, self.starved[-1][1] - first)


class Starved:
    """Follows a process and all below it: how long they waited for a processor (sched-stats.rst). With `one_at_a_time`
    at most one of them ever wants to run, so what all waited is what the machine waited. Else it is what that one
    waited which waited most in each tenth of a second: others may have run meanwhile, and none is counted twice.
    """

    def __init__(self, pid: int, one_at_a_time: bool) -> None:
        self._pid, self._one_at_a_time = pid, one_at_a_time
        self._read: deque[tuple[int, float]] = deque(maxlen=round(KEPT_S / EVERY_S))
        self._tasks: dict[str, int] = {}
        self._waited_ns = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="starved", daemon=True)
        self._thread.start()

    def end(self, at_ns: int) -> tuple[tuple[float, float], ...]:
        """What was read until then, on time.monotonic_ns()."""
        self._over.set()
        self._thread.join(10)
        return self.so_far(at_ns)

    def so_far(self, at_ns: int) -> tuple[tuple[float, float], ...]:
        """What was read by now, as `end` gives it."""
        return tuple(((at_ns - when) / NS, waited) for when, waited in self._read.copy())

    def _follow(self) -> None:
        while not self._over.wait(EVERY_S):
            # One that was not there at the last reading began since.
            now = dict(delays(self._pid))
            waits = [max(0, waited - self._tasks.get(task, 0)) for task, waited in now.items()]
            self._waited_ns += sum(waits) if self._one_at_a_time else max(waits, default=0)
            self._tasks.update(now)
            self._read.append((time.monotonic_ns(), self._waited_ns / NS))


def delays(pid: int) -> Iterator[tuple[str, int]]:
    """Each task of a process and of those below it, and the nanoseconds that it waited on a run queue."""
    below = [str(pid)]
    while below:
        for task in _list(PROC / below.pop() / "task"):
            with contextlib.suppress(OSError, IndexError, ValueError):
                yield task.name, int((task / "schedstat").read_text().split()[1])
                below += (task / "children").read_text().split()


def _list(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []
