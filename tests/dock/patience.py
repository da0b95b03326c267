"""The clock of the deadlines on requests, moved by hand: how busy the machine is cannot make a request overdue."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from agent.dock import deadlines

AT_ONCE_S = 0.01
"""In true time: how often the watch looks."""
MOST_S = 20.0
"""In true time: the watch looks within this, or there is none."""


class Patience:
    """It stands still until `passes`, and each look of the watch at a request is seen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self._looked_s = -1.0
        self._cut = False
        self._looked = threading.Condition()
        self._look = deadlines.Call.look
        monkeypatch.setattr(deadlines, "LOOK_EVERY_S", AT_ONCE_S)
        monkeypatch.setattr(deadlines, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        monkeypatch.setattr(deadlines.Call, "look", lambda call, halted: self._seen(call, halted))

    def _seen(self, call: deadlines.Call, halted: bool) -> None:
        at_s = self.now_s
        self._look(call, halted)
        with self._looked:
            self._looked_s, self._cut = at_s, call.cut
            self._looked.notify_all()

    def passes(self, seconds: float) -> None:
        """For the one request under way: returns once the watch has looked at it since. Raises ConnectionAbortedError
        where it then cut it.
        """
        self.now_s += seconds
        with self._looked:
            assert self._looked.wait_for(lambda: self._looked_s >= self.now_s, MOST_S), "nobody looks after the request"
            if self._cut:
                raise ConnectionAbortedError("the request was cut")
