"""A bandwidth limit: kept to, and no connection rests so long that a station ends it."""

from __future__ import annotations

import threading
from heapq import heappop, heappush
from io import BytesIO
from typing import BinaryIO, cast

import pytest

from agent.configdock import MIN_LIMIT_KBPS
from agent.dock import body
from agent.dock.body import PIECE_BYTES, Pace, SegmentBody, senders
from agent.errors import StorageError
from agent.formats.leaf import Kind
from agent.model import SegmentState
from agent.station.layout import AgencyPaths
from agent.station.serve import Station
from tests import uploader_child
from tests.camera_kit import CAMERA, Desk
from tests.station.kit import own_agency

MOST_WAIT_S = 2.0
LIMITS = (MIN_LIMIT_KBPS, 100, 999, 4_000, 100_000, 10_000_000)


class Clock(threading.Event):
    """Time that passes only while somebody waits for `wait`."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0
        self.waited_s = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.waited_s = timeout or 0.0
        return False

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(body, "time", made)
    return made


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("limit", LIMITS)
def test_at_any_limit_no_sender_waits_long_for_its_piece(clock: Clock, limit: int, count: int) -> None:
    pace, sent, longest, began_s = Pace(limit, clock), 0, 0.0, clock.now_s
    due = [(clock.now_s, number) for number in range(count)]
    while sent < max(100_000, 20 * pace.piece_bytes):
        clock.now_s, number = heappop(due)
        pace.take(pace.piece_bytes)
        longest, sent = max(longest, clock.waited_s), sent + pace.piece_bytes
        heappush(due, (clock.now_s + clock.waited_s, number))
    assert longest <= MOST_WAIT_S
    took_s = due[0][0] - began_s
    assert took_s == pytest.approx((sent - pace.piece_bytes) / (limit * 125), abs=MOST_WAIT_S)
    assert 0 < pace.piece_bytes <= PIECE_BYTES


def test_what_could_not_be_read_takes_no_time_of_others(clock: Clock) -> None:
    pace = Pace(MIN_LIMIT_KBPS, clock)
    for _ in range(50):
        with pytest.raises(StorageError):
            SegmentBody(cast(BinaryIO, Named(b"")), 10_000, pace, lambda _: None).read()
    pace.take(1)
    assert clock.waited_s == pytest.approx(0.0)


class Named(BytesIO):
    name = "a segment"


@pytest.mark.parametrize(
    ("limit", "at_a_time"), [(0, 4), (MIN_LIMIT_KBPS, 1), (1999, 1), (2000, 2), (4000, 4), (10_000_000, 4)]
)
def test_of_a_low_limit_few_get_all(limit: int, at_a_time: int) -> None:
    assert senders(4, limit) == at_a_time
    assert senders(1, limit) == 1


def test_at_the_least_limit_all_is_delivered(agency: AgencyPaths, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many at a time as ever, at a station that ends a connection on which nothing comes for a tenth as long as
    ours does.
    """
    monkeypatch.setattr("agent.station.serve.SOCKET_TIMEOUT_S", 2)
    desk.tiles.write_chain(desk.log.session.chain_pem)
    for _ in range(3):
        desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
        desk.sealer.seal_open()
    paths = own_agency(agency, desk.root.parent / "served" / "agency")
    station, stop = Station(paths.root), threading.Event()
    too_long = threading.Timer(15, stop.set)
    too_long.start()
    try:
        uploader_child.uploader(paths, desk.root, station.start(), MIN_LIMIT_KBPS).once(stop)
    finally:
        too_long.cancel()
        station.stop()
    sizes = {p.name: p.stat().st_size for p in desk.spool.segments(SegmentState.SEALED)}
    stored = paths.station / "segments" / CAMERA
    assert {p.name: p.stat().st_size for p in stored.glob("*.tar")} == sizes
    assert len(sizes) == 3 and not stop.is_set()
