"""A muxer without codecs: its parts are bytes that the test asks for."""

from __future__ import annotations

from collections.abc import Callable

from agent.model import NS, EncodedPacket, MediaPart


def part(number: int, start_ns: int | None = None, end_ns: int = 0) -> MediaPart:
    """Half a second, or what reaches until `end_ns`."""
    start_ns = number * NS // 2 if start_ns is None else start_ns
    return MediaPart(number, b"x" * 900, start_ns, max(NS // 2, end_ns - start_ns), number == 0, 15, 24_000)


class Muxer:
    """Gives its init with the first packet, and parts when it is told to, or when it is closed. By the clock `now_ns`
    of the recording's timeline, where it has one, no time is left out between them.
    """

    def __init__(
        self,
        on_init: Callable[[bytes], None],
        on_part: Callable[[MediaPart], None],
        at_close: int,
        at_push: int = 0,
        now_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        self._on_init, self._on_part, self._now_ns = on_init, on_part, now_ns
        self.at_close, self._at_push = at_close, at_push
        self._given = self._end_ns = 0

    def push(self, packet: EncodedPacket) -> None:
        self._on_init(b"ftyp-and-moov")
        self.give(self._at_push)

    def give(self, parts: int) -> None:
        for _ in range(parts):
            given = part(self._given, self._end_ns, self._now_ns())
            self._end_ns = given.start_ns + given.duration_ns
            self._on_part(given)
            self._given += 1

    @property
    def behind_ns(self) -> int:
        """So much of what came by now is in no part yet."""
        return self._now_ns() - self._end_ns

    def freeze(self) -> None:
        """Nothing came until now, and nothing will say so."""
        self._end_ns = max(self._end_ns, self._now_ns())

    def close(self) -> None:
        self.give(self.at_close)
