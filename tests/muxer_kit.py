"""A muxer without codecs: its parts are bytes that the test asks for."""

from __future__ import annotations

from collections.abc import Callable

from agent.model import NS, EncodedPacket, MediaPart


def part(number: int) -> MediaPart:
    return MediaPart(number, b"x" * 900, number * NS // 2, NS // 2, number == 0, 15, 24_000)


class Muxer:
    """Gives its init with the first packet, and parts when it is told to, or when it is closed."""

    def __init__(
        self, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None], at_close: int, at_push: int = 0
    ) -> None:
        self._on_init, self._on_part = on_init, on_part
        self.at_close, self._at_push = at_close, at_push
        self._given = 0

    def push(self, packet: EncodedPacket) -> None:
        self._on_init(b"ftyp-and-moov")
        self.give(self._at_push)

    def give(self, parts: int) -> None:
        for _ in range(parts):
            self._on_part(part(self._given))
            self._given += 1

    def close(self) -> None:
        self.give(self.at_close)
