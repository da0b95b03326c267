"""A receiver that breaks, as any source may meet one."""

from __future__ import annotations

import threading
from typing import Any

from agent.capture.base import SignalKind, SourceSignal

PATIENCE_S = 30


def check_that_it_tells_of_a_broken_receiver(source: Any) -> None:
    """Of any kind. It tells once, that it is a fault and which, and lets go of its device."""
    signals: list[SourceSignal] = []
    heard = threading.Event()

    def fail(item: object) -> None:
        raise ValueError("the receiver broke")

    def hear(signal: SourceSignal) -> None:
        signals.append(signal)
        heard.set()

    source.start(fail, hear)
    assert heard.wait(PATIENCE_S)
    assert source.stop()
    assert [signal.kind for signal in signals] == [SignalKind.FAULT] and "the receiver broke" in signals[0].detail
