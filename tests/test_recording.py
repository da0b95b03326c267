"""One recording's queue and its sealing thread: what fails is said and counted, and what follows is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.errors import StorageError
from agent.formats import leaf as leaves
from agent.model import NS, EncodedPacket, MediaPart, StreamInfo, Track
from agent.recording import Recording
from tests.camera_kit import Desk, all_leaves


class PartsAtOnce:
    """A muxer that has its parts before the first packet; `close` gives them."""

    def __init__(self, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None]) -> None:
        self._on_init, self._on_part = on_init, on_part

    def push(self, packet: EncodedPacket) -> None:
        self._on_init(b"ftyp-and-moov")

    def close(self) -> None:
        for number in range(4):
            self._on_part(MediaPart(number, b"x" * 900, number * NS // 2, NS // 2, number == 0, 15, 24_000))


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("a defect"), AssertionError()])
def test_a_defect_costs_the_part_it_met_and_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    faults: list[StorageError] = []
    name = desk.sealer.start_recording({"type": "record.start"})
    real = desk.sealer.media

    def media(part: MediaPart) -> int:
        if part.number == 1:
            raise error
        return real(part)

    monkeypatch.setattr(desk.sealer, "media", media)
    info = StreamInfo(320, 180, b"", None, desk.clock.monotonic_ns())

    def make(_: StreamInfo, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None]) -> Any:
        return PartsAtOnce(on_init, on_part)

    recording = Recording(name, desk.sealer, info, make, faults.append)
    recording.sink(EncodedPacket(Track.VIDEO, 0, 3_000, True, b""))
    assert not recording.finish(10)
    assert (recording.progress().parts, recording.progress().lost_parts) == (3, 1)
    assert [f.message.startswith("sealing failed") for f in faults] == [True]
    assert desk.sealer.stop_recording(name, {"type": "record.stop"}) == 3
    assert sum(isinstance(x, leaves.MediaLeaf) for x in all_leaves(desk)) == 3
