"""When what a source gives is not as it should be: said as it begins, and what it came to once it is over. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from agent.model import NS

CALM_NS = 30 * NS
"""So long nothing must have happened: what comes and goes is one thing."""

Counts = Mapping[str, int]
"""How often so far, by what it is in words for people."""
Told = tuple[bool, int, str]
"""It begins (True) or is over, since which instant, and what it was."""


class Irregular:
    """Feed it the counts as often as they may have changed; they never fall."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._grew_ns: int | None = None

    def see(self, now_ns: int, counts: Counts) -> Told | None:
        """What is to be said now."""
        if any(count > self._seen.get(what, 0) for what, count in counts.items()):
            before, self._seen = self._seen, dict(counts)
            begins, self._grew_ns = self._grew_ns is None, now_ns
            if not begins:
                return None
            self._before = before
            return True, now_ns, self._words()
        return self.end() if self._grew_ns is not None and now_ns - self._grew_ns >= CALM_NS else None

    def end(self) -> Told | None:
        """Nothing more comes: what is to be said of what still lasts."""
        if self._grew_ns is None:
            return None
        told = (False, self._grew_ns, self._words())
        self._grew_ns = None
        return told

    def _words(self) -> str:
        grown = {what: count - self._before.get(what, 0) for what, count in self._seen.items()}
        return ", ".join(f"{what}: {count}" for what, count in grown.items() if count)
