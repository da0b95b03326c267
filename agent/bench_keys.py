"""The keyboard as the bench's panel: a key is what a hand does with the button."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Any, TextIO

GESTURES = {" ": "press", "d": "double", "h": "hold", "l": "long"}
WORDS = "keys:    space press, d double press, h hold, l long hold"


class Keys:
    """What was typed since the last time. None of it, where the input is no terminal of ours."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    @property
    def there(self) -> bool:
        return self._fd is not None

    def gestures(self) -> list[str]:
        """By the names that `ctl` knows; other keys are none."""
        typed = ""
        while self._fd is not None and select.select([self._fd], [], [], 0)[0]:
            try:
                data = os.read(self._fd, 64)
            except OSError:
                # It hung up.
                data = b""
            if not data:
                self._fd = None
            typed += data.decode("ascii", "replace")
        return [GESTURES[key] for key in typed if key in GESTURES]


@contextlib.contextmanager
def keys(stream: TextIO | Any = None) -> Iterator[Keys]:
    """Single keys, unseen, until the end of the `with`; the terminal is then as it was. Ctrl-C stays what it is."""
    fd = _ours(stream or sys.stdin)
    if fd is None:
        yield Keys(None)
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd, termios.TCSANOW)
        yield Keys(fd)
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _ours(stream: Any) -> int | None:
    """A job in the background that touched the terminal would be stopped (SIGTTIN, termios(3))."""
    try:
        fd = int(stream.fileno())
        return fd if os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp() else None
    except (OSError, ValueError, AttributeError):
        return None
