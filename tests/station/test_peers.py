"""One camera's certificate, in whatever hands, has so many connections and workers and no more."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.dock.transport import HttpStation
from agent.dock.wire import Credentials
from agent.station import admin, patience, peers, serve
from agent.station.layout import AgencyPaths
from agent.station.peers import Peers
from agent.station.serve import Station
from tests.camera_kit import CAMERA
from tests.station.kit import own_agency
from tests.station.test_slow import Camera, until

OTHER = "cam-2"
LONG_S = 40.0
ASKED = b"GET /log/1 HTTP/1.1\r\nHost: station\r\n"


@pytest.fixture
def paths(agency: AgencyPaths, tmp_path: Path) -> AgencyPaths:
    made = own_agency(agency, tmp_path / "agency")
    admin.enrol(made.root, OTHER)
    return made


@pytest.fixture
def served(paths: AgencyPaths, monkeypatch: pytest.MonkeyPatch) -> Iterator[Station]:
    """With two workers, one for each certificate, that waits for long for whoever has it."""
    monkeypatch.setattr(serve, "THREADS", 2)
    monkeypatch.setattr(peers, "MAX_AT_WORK", 1)
    monkeypatch.setattr(peers, "MAX_CONNECTIONS", 4)
    monkeypatch.setattr(serve, "SOCKET_TIMEOUT_S", LONG_S)
    monkeypatch.setattr(patience, "HEAD_S", LONG_S)
    made = Station(paths.root)
    yield made
    made.stop()


def test_a_camera_that_drips_on_all_its_connections_keeps_no_other_waiting(paths: AgencyPaths, served: Station) -> None:
    url = served.start()
    dripping = [Camera(paths, url) for _ in range(4)]
    for camera in dripping:
        camera.socket.sendall(ASKED)
    until(lambda: len(served._server.peers.waiting()) == 3)
    keys = paths.camera(OTHER)
    station = HttpStation(url, Credentials(paths.trust_root, keys.tls_chain, keys.tls_key), threading.Event())
    assert station.log_state(1).cosigned == 0
    station.close()
    # Its own come in turn, each as the one before it is answered.
    for camera in dripping:
        camera.socket.sendall(b"\r\n")
    assert [camera.answer()["status"] for camera in dripping] == ["200"] * 4
    for camera in dripping:
        camera.cut()


def test_one_connection_too_many_of_a_certificate_is_closed_and_no_others(paths: AgencyPaths, served: Station) -> None:
    url = served.start()
    held = [Camera(paths, url) for _ in range(4)]
    for camera in held:
        camera.socket.sendall(ASKED)
    until(lambda: len(served._server.peers.waiting()) == 3)
    more = Camera(paths, url)
    with contextlib.suppress(OSError):
        assert more.socket.recv(100) == b""
    for camera in (*held, more):
        camera.cut()
    keys = paths.camera(CAMERA)

    def answered() -> bool:
        station = HttpStation(url, Credentials(paths.trust_root, keys.tls_chain, keys.tls_key), threading.Event())
        with contextlib.closing(station), contextlib.suppress(Exception):
            return station.log_state(1).cosigned == 0
        return False

    # What is cut makes room.
    until(answered)


def test_workers_go_to_as_many_of_a_peer_as_may_and_then_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "MAX_AT_WORK", 2)
    known = Peers[str]()
    for who in (b"a", b"b"):
        assert all(known.come(who, f"{who!r}{number}") for number in range(4))
    a = [f"{b'a'!r}{number}" for number in range(4)]
    assert [known.begin(b"a", one) for one in a] == [True, True, False, False]
    assert known.begin(b"b", f"{b'b'!r}0")
    assert known.waiting() == a[2:]
    assert known.done(b"a", a[1]) == a[2]
    known.gone(b"a", a[3])
    known.gone(b"a", a[3])
    assert known.done(b"a", a[0]) is None and known.done(b"a", a[2]) is None
    assert known.begin(b"a", a[0])


def test_so_many_connections_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(peers, "MAX_KNOWN", 5)
    known = Peers[int]()
    assert [known.come(b"a", number) for number in range(3)] == [True, True, False]
    assert known.come(b"b", 10) and known.come(b"b", 11) and known.come(b"c", 20)
    assert not known.come(b"d", 30)
    known.gone(b"a", 0)
    known.gone(b"a", 2)
    assert known.come(b"d", 30) and not known.come(b"a", 0)
    assert serve.THREADS > 3 * peers.MAX_AT_WORK
