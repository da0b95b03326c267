"""What takes long tells that it gets on, to whoever listens: with each piece that was really read or written, and never
by a timer. Nobody need hand a callback through every function that reads a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LOOKS = 30
"""So often `waited` looks in the time for which something may stand still."""
_HEARD: ContextVar[Callable[[], None] | None] = ContextVar("headway", default=None)


def gone_on() -> None:
    """One more piece is done."""
    hear = _HEARD.get()
    if hear:
        hear()


@contextmanager
def heard(hear: Callable[[], None]) -> Iterator[None]:
    """Meanwhile, on this thread, `hear` is called with each piece, before whoever hears of it already."""
    outer = _HEARD.get()

    def both() -> None:
        hear()
        if outer:
            outer()

    before = _HEARD.set(both)
    try:
        yield
    finally:
        _HEARD.reset(before)


def waited(wait: Callable[[float], bool], moved: Callable[[], object], still_s: float) -> bool:
    """`wait` (so many seconds at most; True: it is over), again and again as long as it gets on: `moved` then tells
    something else than before, and each time that is a piece that is done. False where it stood still for `still_s`,
    counted in looks: what stopped this process as well has cost it nothing.
    """
    last, looks = moved(), 0
    while looks < LOOKS:
        if wait(still_s / LOOKS):
            return True
        looks += 1
        if (now := moved()) != last:
            last, looks = now, 0
            gone_on()
    return False
