"""Peers that are slow on purpose: nothing waits longer than it should, and undocking ends every wait."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from agent.dock import wire
from agent.dock.deadlines import Call, resolve
from agent.dock.station import HaltedError, RefusedError, TryAgainError
from agent.dock.transport import HttpStation
from agent.station.layout import AgencyPaths
from tests.dock.test_transport import credentials

SOON_S = 5.0
Talk = Callable[[ssl.SSLSocket, threading.Event], None]


@contextmanager
def talking(paths: AgencyPaths, talk: Talk) -> Iterator[str]:
    """A peer with the station's certificate that reads a request's head and then does what it likes."""
    over = threading.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paths.tls_chain, paths.tls_key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                with suppress(OSError), context.wrap_socket(sock, server_side=True) as peer:
                    peer.recv(1 << 16)
                    talk(peer, over)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def ask(paths: AgencyPaths, talk: Talk) -> None:
    """Any question, of a peer that talks so."""
    with (
        talking(paths, talk) as url,
        closing(HttpStation(url, credentials(paths), threading.Event())) as station,
    ):
        station.log_state(1)


def drip_head(peer: ssl.SSLSocket, over: threading.Event) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
        peer.sendall(bytes([byte]))
        if over.wait(0.1):
            return


def drip_body(peer: ssl.SSLSocket, over: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not over.wait(0.1):
        peer.sendall(b" ")


def endless(peer: ssl.SSLSocket, over: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not over.is_set():
        peer.sendall(b"10\r\n                \r\n")


def cut_short(peer: ssl.SSLSocket, over: threading.Event) -> None:
    """What came is an answer in itself: only the length that was told shows that it is not the whole."""
    body = b'{"cosigned": 0, "proven": 0}'
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (2 * len(body), body))


def cut_in_a_chunk(peer: ssl.SSLSocket, over: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")


def silent(peer: ssl.SSLSocket, over: threading.Event) -> None:
    over.wait()


@pytest.mark.parametrize("talk", [drip_head, drip_body, silent])
def test_a_peer_that_drips_or_says_nothing_is_left_in_time(
    agency: AgencyPaths, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "TIMEOUT_S", (0.2, 0.2))
    begun = time.monotonic()
    with pytest.raises(TryAgainError) as caught:
        ask(agency, talk)
    assert caught.value.away
    assert time.monotonic() - begun < SOON_S


def heads_without_end(peer: ssl.SSLSocket, over: threading.Event) -> None:
    while not over.is_set():
        peer.sendall(b"HTTP/1.1 100 Continue\r\nX-More: " + b"x" * 60_000 + b"\r\n\r\n")


def trailers_without_end(peer: ssl.SSLSocket, over: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
    while not over.is_set():
        peer.sendall(b"X-More: \r\n" * 1000)


@pytest.mark.parametrize("talk", [endless, heads_without_end, trailers_without_end])
def test_an_endless_answer_is_cut_at_its_bound(agency: AgencyPaths, talk: Talk) -> None:
    begun = time.monotonic()
    with pytest.raises(RefusedError, match="too long"):
        ask(agency, talk)
    assert time.monotonic() - begun < SOON_S


def test_an_answer_in_small_pieces_is_one(agency: AgencyPaths) -> None:
    """The lines that say how long each is are more than a head may have."""
    body = b'{"cosigned": 5, "proven": 5}'.ljust(wire.MAX_HEAD // 2)

    def pieces(peer: ssl.SSLSocket, over: threading.Event) -> None:
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")

    ask(agency, pieces)


@pytest.mark.parametrize("talk", [cut_short, cut_in_a_chunk])
def test_an_answer_that_ends_before_its_end_is_none(agency: AgencyPaths, talk: Talk) -> None:
    with pytest.raises(TryAgainError) as caught:
        ask(agency, talk)
    assert caught.value.away


def test_undocking_ends_the_wait_for_an_answer(agency: AgencyPaths) -> None:
    halt = threading.Event()

    def asked(peer: ssl.SSLSocket, over: threading.Event) -> None:
        halt.set()
        over.wait()

    begun = time.monotonic()
    with (
        talking(agency, asked) as url,
        closing(HttpStation(url, credentials(agency), halt)) as station,
        pytest.raises(HaltedError),
    ):
        station.attest(1, ())
    assert time.monotonic() - begun < SOON_S


def test_a_call_is_cut_when_it_is_overdue_and_not_while_it_waits_for_us() -> None:
    ours, theirs = socket.socketpair()
    call = Call(0.0)
    call.allow(float("inf"))
    call.over(ours)
    call.look(halted=False)
    assert not call.cut
    call.allow(-1.0)
    call.look(halted=False)
    assert call.cut
    assert theirs.recv(1) == b""
    ours.close()
    theirs.close()


def test_a_name_server_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr("agent.dock.deadlines.socket.getaddrinfo", lambda *_, **__: over.wait() and [])
    begun = time.monotonic()
    with pytest.raises(OSError, match="no name server answers"):
        resolve("station.example", 443, 0.2)
    over.set()
    assert time.monotonic() - begun < SOON_S


def test_undocking_ends_the_wait_for_a_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    halt, over = threading.Event(), threading.Event()
    monkeypatch.setattr("agent.dock.deadlines.socket.getaddrinfo", lambda *_, **__: halt.set() or (over.wait() and []))
    begun = time.monotonic()
    with pytest.raises(OSError):
        resolve("station.example", 443, 2 * SOON_S, halt.is_set)
    over.set()
    assert time.monotonic() - begun < SOON_S


@contextmanager
def deaf() -> Iterator[int]:
    """The port of somebody who takes no connection and refuses none: the queue of those who wait is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(listener.getsockname())
        yield listener.getsockname()[1]
        for one in waiting:
            one.close()


def test_undocking_ends_the_making_of_a_connection(agency: AgencyPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    halt = threading.Event()
    monkeypatch.setattr(wire, "resolve", lambda *_: halt.set() or ["127.0.0.1"] * 4)
    begun = time.monotonic()
    with (
        deaf() as port,
        closing(HttpStation(f"https://127.0.0.1:{port}", credentials(agency), halt)) as station,
        pytest.raises(HaltedError),
    ):
        station.log_state(1)
    assert time.monotonic() - begun < SOON_S


def test_an_address_that_takes_no_connection_is_not_the_last(
    agency: AgencyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is tried, and each has its time."""
    monkeypatch.setattr(wire, "resolve", lambda *_: ["127.0.0.2", "127.0.0.1"])
    monkeypatch.setattr(wire, "TIMEOUT_S", (0.2, 30.0))

    def answers(peer: ssl.SSLSocket, over: threading.Event) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\n" + b'{"cosigned": 0, "proven": 0}')

    ask(agency, answers)
    with (
        deaf() as port,
        closing(HttpStation(f"https://127.0.0.1:{port}", credentials(agency), threading.Event())) as station,
        pytest.raises(TryAgainError, match=r"no connection to 127.0.0.1: timed out"),
    ):
        station.log_state(1)


def test_an_address_needs_no_name_server_and_an_unknown_name_is_told() -> None:
    assert resolve("127.0.0.1", 443, 0.0) == ["127.0.0.1"]
    assert resolve("::1", 443, 0.0) == ["::1"]
    with pytest.raises(OSError):
        resolve("x" * 70 + ".invalid", 443, SOON_S)
