"""Progress for people."""

from __future__ import annotations

import sys
import time

from agent.errors import printable


class Meter:
    """Progress on a terminal's standard error; nothing elsewhere, and nothing for work of under half a second."""

    def __init__(self, doing: str, total: int) -> None:
        self._doing, self._total, self._done = doing, max(total, 1), 0
        self._shown_s = time.monotonic()
        self._live = sys.stderr.isatty()
        self._dirty = False

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._dirty:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def add(self, name: str, count: int) -> None:
        """`count` more bytes, of the file `name`."""
        self._done += count
        now = time.monotonic()
        if self._live and now - self._shown_s > 0.5:
            percent = min(100, 100 * self._done // self._total)
            print(f"\r\x1b[K{self._doing} {printable(name[:40])} {percent} %", end="", file=sys.stderr, flush=True)
            self._shown_s, self._dirty = now, True
