"""Bad networks: packets lost and late, a link that is cut, connections that only one end still knows of, a portal in
the way, no name server, a station that is full or overrun. All is waited out, nothing is lost, and nobody is flooded.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agent.dock import transport, wire
from agent.model import SegmentState
from agent.station import admin
from agent.station.layout import AgencyPaths
from agent.station.serve import Station
from tests import campaigns
from tests.camera_kit import CAMERA, Desk
from tests.dock import lossy, spaces
from tests.dock.cable import Cable
from tests.dock.lossy import Lossy
from tests.dock.rogue import Reply, rogue
from tests.dock.spaces import filled, sealed_bytes
from tests.dock.test_visit import many
from tests.ports import free_port
from tests.station.kit import own_agency
from tests.test_uploader import SLOW_KBPS, arrived, check_delivered, progress, until
from tests.uploader_child import PARALLEL, uploader

LINKS = [(0.01, 0.02, 1), (0.03, 0.0, 0), (0.1, 0.0, 0), (0.0, 0.1, 0), (0.0, 0.5, 0), (0.02, 0.05, 4)]
"""Packets lost of 1, seconds one way, how often the link is cut."""
CUT_S = 0.5
"""How long a link is dead, from the first packet that it swallows."""
ROWS = campaigns.size(sample=1, full=len(LINKS))


@pytest.fixture
def paths(agency: AgencyPaths, tmp_path: Path) -> AgencyPaths:
    return own_agency(agency, tmp_path / "agency")


class Sending:
    """The uploader at the dock, in a thread of this process."""

    def __init__(self, paths: AgencyPaths, desk: Desk, url: str, limit_kbps: int = 0) -> None:
        self._desk, self._stop = desk, threading.Event()
        made = uploader(paths, desk.root, url, limit_kbps)
        self._thread = threading.Thread(target=made.run, args=(self._stop,))

    def __enter__(self) -> Sending:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def until(self, state: str, deadline_s: float = 60.0) -> dict[str, Any]:
        until(state, lambda: progress(self._desk).get("state") == state, deadline_s)
        return progress(self._desk)


# -- the link ----------------------------------------------------------------------------------------------------------


def test_a_connection_that_only_one_end_knows_of_is_given_up_in_time(
    paths: AgencyPaths, desk: Desk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("agent.dock.visit.Visit._jitter_s", lambda self, attempt: 0.05)
    monkeypatch.setattr(wire, "TIMEOUT_S", (1.0, 1.0))
    monkeypatch.setattr(wire, "PIECE_S", 1.0)
    monkeypatch.setattr(transport, "STORE_TIMEOUT_S", (1.0, 1.0))
    filled(desk, 60)
    station = Station(paths.root, port=(port := free_port()))
    station.start()
    try:
        with Cable(port) as cable, Sending(paths, desk, cable.url, SLOW_KBPS) as sending:
            until("some bytes", lambda: arrived(paths) > 500_000)
            cable.freeze()
            assert sending.until("unreachable", 30)["error"] != ""
            cable.mend()
            sending.until("delivered")
    finally:
        station.stop()
    check_delivered(desk, paths)
    assert "Traceback" not in capfd.readouterr().err


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> AgencyPaths:
    """An agency whose station has the address of the far end."""
    paths = admin.init(tmp_path_factory.mktemp("far") / "agency", "test agency", [spaces.STATION])
    admin.enrol(paths.root, CAMERA)
    return paths


@pytest.mark.skipif(bool(lossy.missing()), reason=lossy.missing() or "-")
@pytest.mark.campaign
@pytest.mark.parametrize("row", range(ROWS))
def test_lost_and_late_packets_and_a_cut_link_are_waited_out(far: AgencyPaths, tmp_path: Path, row: int) -> None:
    campaign = campaigns.Campaign("networks-links", row, ROWS)
    loss, delay_s, cuts = LINKS[row]
    paths = own_agency(far, tmp_path / "agency")
    desk = filled(Desk(paths, tmp_path / "spool").open())
    size = sealed_bytes(desk)
    with Lossy(7, loss, delay_s) as link, spaces.serving(link, paths), spaces.sending(link, paths, desk):
        for cut in range(cuts):
            until("bytes", lambda cut=cut: arrived(paths) > size * (cut + 1) // (cuts + 2))
            before, link.cut = link.lost, True
            until("the cut is felt", lambda before=before: link.lost > before)
            time.sleep(CUT_S)
            link.cut = False
        until("delivered", lambda: progress(desk).get("state") == "delivered", 120)
        assert link.lost or not loss
    check_delivered(desk, paths)
    delivered = {"segments": len(desk.spool.records(SegmentState.SEALED)), "bytes": size}
    campaign.finish(links=1, cuts=cuts, packets_carried=link.carried, packets_lost=link.lost, **delivered)


# -- who answers -------------------------------------------------------------------------------------------------------


def test_a_portal_with_a_certificate_of_its_own_is_not_the_station_and_a_person_is_told(
    paths: AgencyPaths, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In mid-visit, with a segment under way; once it is gone all is delivered, in the same visit."""
    monkeypatch.setattr("agent.dock.visit.REFUSED_WAIT_S", 0.05)
    monkeypatch.setattr("agent.dock.visit.Visit._jitter_s", lambda self, attempt: 0.05)
    portal = admin.init(tmp_path / "portal", "a hotel")
    asked: list[str] = []
    filled(desk, 20)
    station = Station(paths.root, port=(port := free_port()))
    station.start()
    try:
        with (
            rogue(portal.tls_chain, portal.tls_key, lambda method, path: asked.append(path) or Reply(302, {})) as url,
            Cable(port) as cable,
            Sending(paths, desk, cable.url, SLOW_KBPS) as sending,
        ):
            until("some bytes", lambda: arrived(paths) > 0)
            cable.leads_to(int(url.rsplit(":", 1)[1]))
            assert "not trusted" in sending.until("refused")["refused"]
            cable.leads_to(port)
            assert sending.until("delivered")["refused"] == ""
    finally:
        station.stop()
    assert asked == []
    check_delivered(desk, paths)


def test_a_portal_without_tls_is_a_station_out_of_reach(paths: AgencyPaths, desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as portal:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    sock, _ = portal.accept()
                    with sock:
                        sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with Sending(paths, filled(desk), f"https://127.0.0.1:{portal.getsockname()[1]}") as sending:
            sending.until("unreachable")
        portal.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("error", [socket.gaierror(-3, "Temporary failure in name resolution"), TimeoutError("late")])
def test_without_a_name_server_it_is_unreachable(
    paths: AgencyPaths, desk: Desk, error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> Any:
        raise error

    monkeypatch.setattr("agent.dock.deadlines.socket.getaddrinfo", fails)
    with Sending(paths, filled(desk), "https://station.example") as sending:
        assert "station.example" in sending.until("unreachable")["error"]


# -- a station that is full or overrun ---------------------------------------------------------------------------------


def test_a_storm_that_begins_with_the_segments_ends_their_sending(paths: AgencyPaths, desk: Desk) -> None:
    """The log goes well; then everything is answered 503: two go at a time, and no other is begun."""
    many(desk, 32)
    asked: list[str] = []
    calm = {"GET": Reply(200, {}, b'{"cosigned": 0, "proven": 0, "newest": 0}'), "POST": Reply(200, {})}

    def storm(method: str, path: str) -> Reply:
        if path == "/files" and method == "POST":
            asked.append(path)
            return Reply(503, {"Retry-After": "60"})
        return calm.get(method, Reply(204, {}))

    with rogue(paths.tls_chain, paths.tls_key, storm) as url, Sending(paths, desk, url) as sending:
        told = sending.until("waiting")
    assert "503" in told["error"]
    assert 1 <= len(asked) <= PARALLEL
