"""A segment that comes in slowly over a real connection: what came is stored as it comes, and told after a cut."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agent.dock.wire import Credentials
from agent.station import patience
from agent.station.layout import AgencyPaths
from agent.station.serve import Station
from tests.camera_kit import CAMERA
from tests.station.kit import NAME, PATCH, TUS, announcement, digest, own_agency

DATA = os.urandom(300_000)
PIECE_BYTES = 2_000
"""A quarter of a second at 64 kbit/s."""


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


class Camera:
    """Its TLS connection, byte by byte."""

    def __init__(self, paths: AgencyPaths, url: str) -> None:
        keys = paths.camera(CAMERA)
        context = Credentials(paths.trust_root, keys.tls_chain, keys.tls_key).context()
        where = urlsplit(url)
        plain = socket.create_connection((where.hostname, where.port), 20)
        self.socket = context.wrap_socket(plain, server_hostname=where.hostname)

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes = b"", length: int = 0) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: station", f"Content-Length: {length}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def answer(self) -> dict[str, str]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.socket.recv(4096)
        lines = data.decode().split("\r\n\r\n")[0].split("\r\n")
        return {"status": lines[0].split()[1], **dict(line.lower().split(": ", 1) for line in lines[1:])}

    def cut(self) -> None:
        """The connection is reset, without a word of TLS."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError, ssl.SSLError):
            os.close(self.socket.detach())


@pytest.fixture
def station(agency: AgencyPaths, tmp_path: Path) -> Iterator[tuple[AgencyPaths, str]]:
    paths = own_agency(agency, tmp_path / "agency")
    served = Station(paths.root)
    yield paths, served.start()
    served.stop()


def test_what_came_over_a_slow_link_is_stored_as_it_comes_and_told_after_a_cut(
    station: tuple[AgencyPaths, str],
) -> None:
    paths, url = station
    camera = Camera(paths, url)
    camera.send("POST", "/files", announcement(NAME, digest(DATA), len(DATA)))
    place = camera.answer()["location"]
    part = paths.station / "uploads" / f"{place.rsplit('/', 1)[1]}.part"
    camera.send("PATCH", place, {**PATCH, "Upload-Offset": "0"}, DATA[:PIECE_BYTES], len(DATA))
    for end in range(2 * PIECE_BYTES, 6 * PIECE_BYTES, PIECE_BYTES):
        camera.socket.sendall(DATA[end - PIECE_BYTES : end])
        until(lambda end=end: part.stat().st_size == end)
    camera.cut()
    again = Camera(paths, url)

    def told() -> str:
        again.send("HEAD", place, TUS)
        return again.answer().get("upload-offset", "")

    # 423 until the station has heard of the cut.
    until(lambda: told() != "")
    assert told() == str(end)
    assert part.read_bytes() == DATA[:end]
    again.send("PATCH", place, {**PATCH, "Upload-Offset": str(end)}, DATA[end:], len(DATA) - end)
    assert again.answer()["status"] == "204"
    assert (paths.station / "segments" / CAMERA / f"{NAME}.tar").read_bytes() == DATA
    again.cut()


DRIP_S = 0.05


def drips(camera: Camera, data: bytes) -> float:
    """Byte after byte until the station has had enough: after how many seconds."""
    begun = time.monotonic()
    for at in range(len(data)):
        try:
            camera.socket.sendall(data[at : at + 1])
            camera.socket.settimeout(DRIP_S)
            if not camera.socket.recv(4096):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - begun


def test_a_request_whose_head_drips_holds_no_worker(
    station: tuple[AgencyPaths, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = station
    monkeypatch.setattr(patience, "HEAD_S", 0.5)
    camera = Camera(station[0], url)
    head = b"GET /log/1 HTTP/1.1\r\nHost: station\r\n" + b"X-More: and more\r\n" * 50
    assert 0.4 < drips(camera, head) < 15
    camera.cut()


def test_a_body_that_drips_is_given_up_and_what_came_of_it_is_kept(
    station: tuple[AgencyPaths, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, url = station
    camera = Camera(paths, url)
    camera.send("POST", "/files", announcement(NAME, digest(DATA), len(DATA)))
    place = camera.answer()["location"]
    monkeypatch.setattr(patience, "WINDOW_S", 1.0)
    camera.send("PATCH", place, {**PATCH, "Upload-Offset": "0"}, b"", len(DATA))
    assert 0.9 < drips(camera, DATA[:1000]) < 15
    camera.cut()
    again = Camera(paths, url)
    offsets: list[str] = []

    def told() -> bool:
        again.send("HEAD", place, TUS)
        offsets.append(again.answer().get("upload-offset", ""))
        return offsets[-1] != ""

    until(told)
    assert 0 < int(offsets[-1]) < 1000
    again.cut()


def test_a_body_that_comes_slowly_and_fast_enough_is_taken(
    station: tuple[AgencyPaths, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For longer than a window, on the whole."""
    paths, url = station
    monkeypatch.setattr(patience, "WINDOW_S", 1.0)
    monkeypatch.setattr(patience, "WINDOW_BYTES", PIECE_BYTES)
    camera = Camera(paths, url)
    data = DATA[: 12 * PIECE_BYTES]
    camera.send("POST", "/files", announcement(NAME, digest(data), len(data)))
    place = camera.answer()["location"]
    camera.send("PATCH", place, {**PATCH, "Upload-Offset": "0"}, b"", len(data))
    part = paths.station / "uploads" / f"{place.rsplit('/', 1)[1]}.part"
    for at in range(0, len(data), PIECE_BYTES):
        camera.socket.sendall(data[at : at + PIECE_BYTES])
        until(lambda at=at: not part.exists() or part.stat().st_size >= at + PIECE_BYTES)
        time.sleep(0.1)
    assert camera.answer()["status"] == "204"
    camera.cut()
