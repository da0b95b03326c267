"""What takes long tells that it gets on, to whoever listens: with each piece that was really read or written, and never
by a timer. Nobody need hand a callback through every function that reads a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_HEARD: ContextVar[Callable[[], None] | None] = ContextVar("headway", default=None)


def gone_on() -> None:
    """One more piece is done."""
    hear = _HEARD.get()
    if hear:
        hear()


@contextmanager
def heard(hear: Callable[[], None]) -> Iterator[None]:
    """Meanwhile, on this thread, `hear` is called with each piece."""
    before = _HEARD.set(hear)
    try:
        yield
    finally:
        _HEARD.reset(before)
