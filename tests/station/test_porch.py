"""Who has shown no certificate holds nobody up: connections that say nothing, or stop in the middle of a handshake."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agent.dock.station import UntrustedError
from agent.dock.transport import HttpStation
from agent.dock.wire import Credentials
from agent.station import admin, patience, porch, serve
from agent.station.layout import AgencyPaths
from agent.station.porch import Porch
from agent.station.serve import Station
from tests.camera_kit import CAMERA
from tests.station.kit import own_agency

LONG_S = 10_000.0


@pytest.fixture
def url(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A station with one worker, that waits for ever for whoever has it."""
    monkeypatch.setattr(serve, "THREADS", 1)
    monkeypatch.setattr(serve, "SOCKET_TIMEOUT_S", LONG_S)
    monkeypatch.setattr(patience, "HEAD_S", LONG_S)
    monkeypatch.setattr(porch, "HANDSHAKE_S", LONG_S)
    served = Station(own_agency(agency, tmp_path / "agency").root)
    yield served.start()
    served.stop()


def silent(url: str, data: bytes) -> socket.socket:
    where = urlsplit(url)
    made = socket.create_connection((where.hostname, where.port), 20)
    made.sendall(data)
    return made


# The head of a TLS record that announces 500 bytes of a ClientHello, and its first bytes.
BEGINNING = bytes.fromhex("16030101f4010001f00303")


def test_connections_without_a_certificate_hold_no_worker(url: str, agency: AgencyPaths) -> None:
    with contextlib.ExitStack() as held:
        for data in (b"", BEGINNING, b"", BEGINNING):
            held.enter_context(silent(url, data))
        keys = agency.camera(CAMERA)
        station = HttpStation(url, Credentials(agency.trust_root, keys.tls_chain, keys.tls_key), threading.Event())
        assert station.log_state(1).cosigned == 0
        station.close()


def test_who_shows_no_certificate_of_the_agency_is_sent_away(url: str, agency: AgencyPaths) -> None:
    context = ssl.create_default_context(cafile=agency.trust_root)
    context.check_hostname = False
    with contextlib.suppress(OSError), silent(url, b"") as plain, context.wrap_socket(plain) as made:
        # TLS 1.3: the client learns of it when it reads (RFC 8446, appendix C.2 of what it may send before).
        made.sendall(b"GET /log/1 HTTP/1.1\r\n\r\n")
        assert made.recv(100) == b""


def test_a_camera_that_the_station_does_not_know_learns_that_each_time(
    url: str, agency: AgencyPaths, tmp_path: Path
) -> None:
    """It has begun its request when the alert comes: one that is cut off with the connection is no word of it."""
    other = admin.init(tmp_path / "other", "other agency", ["127.0.0.1"])
    admin.enrol(other.root, CAMERA)
    keys = other.camera(CAMERA)
    for _ in range(12):
        station = HttpStation(url, Credentials(agency.trust_root, keys.tls_chain, keys.tls_key), threading.Event())
        with contextlib.closing(station), pytest.raises(UntrustedError, match="does not accept"):
            station.log_state(1)


class Caller:
    """One connection of this address, and whether the station closed it."""

    def __init__(self, address: str) -> None:
        self.remote_addr: str | None = address
        ours, self.theirs = socket.socketpair()
        self.socket = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_socket(
            ours, server_side=True, do_handshake_on_connect=False
        )
        self.closed = False

    def close(self) -> None:
        self.closed = True
        self.socket.close()
        self.theirs.close()


class Waiting:
    """A porch without its thread, at a time of ours."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.porch = Porch(lambda guest: None, lambda: self.now_s)
        self.callers: list[Caller] = []

    def call(self, address: str) -> Caller:
        caller = Caller(address)
        self.callers.append(caller)
        self.porch.take(caller)
        self.porch.turn(0)
        return caller


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    made = Waiting()
    yield made
    for caller in made.callers:
        caller.close()


def test_who_takes_too_long_is_sent_away(waiting: Waiting) -> None:
    first = waiting.call("10.0.0.1")
    waiting.now_s = porch.HANDSHAKE_S - 1
    second = waiting.call("10.0.0.1")
    waiting.now_s = porch.HANDSHAKE_S + 1
    first.theirs.sendall(BEGINNING)
    waiting.porch.turn(0)
    assert (first.closed, second.closed) == (True, False)


def test_who_was_told_to_go_is_heard_out_for_a_moment_and_no_longer(waiting: Waiting) -> None:
    first, second = waiting.call("10.0.0.1"), waiting.call("10.0.0.2")
    for caller in (first, second):
        caller.theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
        waiting.porch.turn(0)
        assert caller.theirs.recv(100) == b""
        caller.theirs.sendall(b"and more" * 1000)
        waiting.porch.turn(0)
        assert not caller.closed
    first.theirs.shutdown(socket.SHUT_WR)
    waiting.porch.turn(0)
    assert (first.closed, second.closed) == (True, False)
    waiting.now_s = porch.FAREWELL_S + 0.1
    waiting.porch.turn(0)
    assert second.closed


def test_a_flood_from_one_address_displaces_itself(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(porch, "MAX_GUESTS", 4)
    honest = waiting.call("10.0.0.1")
    flood = [waiting.call("10.0.0.2") for _ in range(6)]
    assert not honest.closed
    assert [one.closed for one in flood] == [True, True, True, False, False, False]


def test_who_says_what_is_no_tls_is_sent_away(waiting: Waiting) -> None:
    caller = waiting.call("10.0.0.1")
    caller.theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
    caller.theirs.shutdown(socket.SHUT_WR)
    for _ in range(3):
        waiting.porch.turn(0)
    assert caller.closed
