"""A thread that hands out things at their due time, and can be stopped in the middle of a wait."""

from __future__ import annotations

import threading
from collections.abc import Callable

from agent.capture.base import Signal, SignalKind, SourceSignal, monotonic_ns
from agent.errors import AgentError, reason
from agent.model import NS


class Epoch:
    """The instant (CLOCK_MONOTONIC) at which a timeline shared by picture and sound begins: set by whichever starts
    first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mono_ns: int | None = None

    def mono_ns(self) -> int:
        with self._lock:
            if self._mono_ns is None:
                self._mono_ns = monotonic_ns()
            return self._mono_ns


class PacedThread:
    """Runs `body(self)` on a daemon thread; what it raises becomes a FAULT signal instead of a silent death."""

    def __init__(self, name: str, body: Callable[[PacedThread], None], signal: Signal) -> None:
        self._stop = threading.Event()
        self._body, self._signal = body, signal
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def wait_until(self, mono_ns: int) -> bool:
        """Sleep until that instant; False where the thread is asked to stop."""
        while not self._stop.is_set():
            left_ns = mono_ns - monotonic_ns()
            if left_ns <= 0:
                return True
            self._stop.wait(left_ns / NS)
        return False

    def stop(self, deadline_s: float) -> bool:
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(deadline_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._body(self)
        except AgentError as err:
            self._signal(SourceSignal(SignalKind.FAULT, monotonic_ns(), err.message))
        except Exception as err:
            self._signal(SourceSignal(SignalKind.FAULT, monotonic_ns(), f"{type(err).__name__}: {reason(err)}"))
