"""A link that costs by the byte: kept off before each request, and while one is on its way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.dock import wire
from agent.dock.links import Address, SyntheticLinks
from agent.dock.station import HeldError
from agent.dock.transport import HttpStation
from agent.dock.wire import LOCKED, Unmetered, Wire
from agent.formats.seal import SealRecord
from agent.station.layout import AgencyPaths
from agent.station.serve import Station
from agent.station.store import upload_id
from tests.camera_kit import CAMERA
from tests.dock.test_transport import DATA, credentials
from tests.station.kit import NAME, digest, own_agency
from tests.test_uploader import until

IN_SMALL_PIECES = 400_000
"""kbit/s: with a limit a body goes in pieces of 64 KiB."""


@dataclass(frozen=True)
class Served:
    """The real station, with TLS."""

    paths: AgencyPaths
    url: str

    def client(self, unmetered: Unmetered, limit_kbps: int = 0) -> HttpStation:
        return HttpStation(self.url, credentials(self.paths), threading.Event(), limit_kbps, unmetered)


@pytest.fixture(scope="module")
def served(agency: AgencyPaths, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    paths = own_agency(agency, tmp_path_factory.mktemp("served") / "agency")
    station = Station(paths.root)
    yield Served(paths, station.start())
    station.stop()


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    path = tmp_path / f"{NAME}.tar"
    path.write_bytes(DATA)
    return path


def kept(served: Served, record: SealRecord) -> int:
    """How much of an upload the station has, once the request that was cut off is over; 0 until then.

    Asked only where bytes of it have come: the station refuses a request while another one is at work, and the question
    itself would be that other one. Whoever sends before it is over may be told 409, since the offset still moves.
    """
    upload = upload_id(CAMERA, record.segment, record.sha256, record.size)
    part = served.paths.station / "uploads" / f"{upload}.part"
    if not part.exists() or not part.stat().st_size:
        return 0
    with closing(Wire(f"{served.url}/", credentials(served.paths).context(), threading.Event())) as asking:
        told = asking.ask("HEAD", f"files/{upload}", {200, LOCKED}, None, {"Tus-Resumable": "1.0.0"})
    return int(told.headers.get("upload-offset", "0"))


def held_links() -> tuple[SyntheticLinks, Unmetered]:
    """A way that costs nothing, as long as its address is not given to another interface."""
    links = SyntheticLinks()
    links.known = [Address("eth0", "127.0.0.1")]
    return links, Unmetered(links, ["wwan*"])


@pytest.mark.parametrize("now", [[Address("wwan0", "127.0.0.1")], []])
def test_a_way_that_begins_to_cost_in_mid_body_is_left_and_gone_on_with_where_it_costs_nothing(
    served: Served, segment: Path, monkeypatch: pytest.MonkeyPatch, now: list[Address]
) -> None:
    monkeypatch.setattr(wire, "LOOK_S", 0.0)
    links, unmetered = held_links()
    record = SealRecord(f"e000000001{len(now)}-91b3c4d7", len(DATA), digest(DATA), 0, 1, None, 0)
    offsets: list[int] = []

    def on_offset(offset: int) -> None:
        offsets.append(offset)
        if offset:
            links.known = now

    with closing(served.client(unmetered, IN_SMALL_PIECES)) as station:
        with pytest.raises(HeldError, match="metered"):
            station.send(record, segment, on_offset)
        assert 0 < offsets[-1] <= 128 << 10
        until("what was cut off is over", lambda: kept(served, record) > 0)
        here = kept(served, record)
        assert here <= offsets[-1]
        links.known = [Address("eth0", "127.0.0.1")]
        offsets.clear()
        station.send(record, segment, offsets.append)
        assert offsets[0] == here
    assert (served.paths.station / "segments" / CAMERA / f"{record.segment}.tar").read_bytes() == DATA


def test_the_way_is_looked_at_about_once_a_second_while_a_segment_goes(
    served: Served, segment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links, unmetered = held_links()
    looked: list[str] = []
    monkeypatch.setattr(links, "interface_of", lambda address: looked.append(address) or "eth0")
    now = [0.0]
    monkeypatch.setattr("agent.dock.wire.time.monotonic", lambda: now[0])
    record = SealRecord("e0000000013-91b3c4d7", len(DATA), digest(DATA), 0, 1, None, 0)

    def on_offset(offset: int) -> None:
        now[0] += 0.3

    with closing(served.client(unmetered, IN_SMALL_PIECES)) as station:
        station.log_state(1)
        looked.clear()
        station.send(record, segment, on_offset)
    requests, pieces = 3, len(DATA) / (64 << 10)
    assert requests + pieces * 0.3 - 2 <= len(looked) <= requests + pieces * 0.3 + 1


def test_a_connection_that_was_kept_is_looked_at_before_each_request(served: Served) -> None:
    links, unmetered = held_links()
    with closing(served.client(unmetered)) as station:
        station.log_state(1)
        links.known = [Address("wwan0", "127.0.0.1")]
        with pytest.raises(HeldError, match="wwan0"):
            station.log_state(1)
        links.known = [Address("eth0", "127.0.0.1")]
        station.log_state(1)
