"""When pictures are lost because something does not keep up: from when on it is to be said, and when it is over."""

from __future__ import annotations

import threading

from agent.model import NS

CALM_NS = 5 * NS
"""So long no picture must have been lost before an overload is over: one that comes and goes is one."""
LASTING_NS = 4 * NS
"""So long a camera must go on losing pictures: what a hiccup costs is counted, and asks for nothing."""
APART_NS = NS // 2
"""No further apart than that, else it is now one and then another: a cable, a busy moment."""


class Overload:
    """Told of each loss, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count: int | None = None
        self.latest_ns = 0
        """When the last picture was captured that one cost; of a camera that loses them, the next that came."""
        self._run: tuple[int, int, int] | None = None
        self.dropped = 0
        """Pictures that came, and for which there was no room."""

    def drop(self, mono_ns: int, is_cause: bool = True) -> bool:
        """There was no room for one. True where an overload begins with it; None does where it `is_cause` of none."""
        with self._lock:
            self.dropped += 1
            return self._grow(mono_ns, 1, is_cause)

    def lose(self, mono_ns: int, count: int) -> bool:
        """So many that the camera captured never came. True where that lasts, and begins to be an overload."""
        with self._lock:
            since_ns, last_ns, lost = self._run or (mono_ns, mono_ns, 0)
            if mono_ns - last_ns > APART_NS:
                since_ns, lost = mono_ns, 0
            self._run = since_ns, max(last_ns, mono_ns), lost + count
            if mono_ns - since_ns < LASTING_NS:
                return False
            return self._grow(mono_ns, count if self._count else lost + count, True)

    def _grow(self, mono_ns: int, count: int, is_cause: bool) -> bool:
        self.latest_ns = max(self.latest_ns, mono_ns)
        begins = self._count is None
        if begins and not is_cause:
            return False
        self._count = (self._count or 0) + count
        return begins

    def over(self, mono_ns: int) -> int | None:
        """How many it cost, where it is over by then; None where there is none, or no calm yet."""
        with self._lock:
            if self._count is None or mono_ns - self.latest_ns < CALM_NS:
                return None
            return self._take()

    def end(self) -> int | None:
        """No more comes: how many it cost, where it is not over; None where there is none."""
        with self._lock:
            return self._take()

    def _take(self) -> int | None:
        count, self._count = self._count, None
        return count
