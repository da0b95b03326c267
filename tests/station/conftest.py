"""A station without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.formats.leaf import Kind
from agent.station.layout import AgencyPaths
from tests.camera_kit import Desk
from tests.station.kit import Bench, bench


@pytest.fixture
def station(agency: AgencyPaths, tmp_path: Path) -> Iterator[Bench]:
    """A station that holds nothing yet, of the shared agency."""
    with bench(agency, tmp_path / "agency") as made:
        yield made


@pytest.fixture
def full(desk: Desk) -> Desk:
    """A camera with an event segment and two segments of a recording, all sealed."""
    desk.sealer.event(Kind.SESSION, {"type": "session"}, None, {"resumes": None})
    desk.segment_ns = 5_000_000_000
    name = desk.record(6)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    desk.sealer.seal_open()
    return desk
