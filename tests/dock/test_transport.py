"""The client's half of the wire: whom it trusts, what it believes, and how it stops."""

from __future__ import annotations

import socket
import ssl
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.dock.body import Pace
from agent.dock.deadlines import Deadlines
from agent.dock.station import HaltedError, RefusedError, StaleSizeError, StationLog, TryAgainError, UntrustedError
from agent.dock.transport import HttpStation
from agent.dock.wire import Credentials, retry_after_s
from agent.errors import KeyTrustError, StorageError
from agent.formats import certs
from agent.formats.seal import SealRecord
from agent.identity import FileSigner
from agent.station import admin
from agent.station.layout import AgencyPaths
from agent.station.serve import Station
from tests.camera_kit import CAMERA
from tests.dock.rogue import Reply, Script, rogue
from tests.ports import free_port
from tests.station.kit import NAME, digest, own_agency

DATA = bytes(range(256)) * 5000
RECORD = SealRecord(NAME, len(DATA), digest(DATA), 0, 1, None, 0)


def credentials(paths: AgencyPaths) -> Credentials:
    keys = paths.camera(CAMERA)
    return Credentials(paths.trust_root, keys.tls_chain, keys.tls_key)


@contextmanager
def lying(
    paths: AgencyPaths, script: Script, chain: Path | None = None, key: Path | None = None
) -> Iterator[HttpStation]:
    """A client of a peer that answers as `script` says, under the station's own certificate where none is given."""
    with rogue(chain or paths.tls_chain, key or paths.tls_key, script) as url, closing(client(url, paths)) as station:
        yield station


def send_error(paths: AgencyPaths, script: Script, segment: Path) -> Exception:
    """What a send to such a peer ends in."""
    with lying(paths, script) as station, pytest.raises((TryAgainError, RefusedError)) as caught:
        station.send(RECORD, segment, lambda _: None)
    return caught.value


def client(url: str, paths: AgencyPaths, halt: threading.Event | None = None, limit_kbps: int = 0) -> HttpStation:
    return HttpStation(url, credentials(paths), halt or threading.Event(), limit_kbps)


@pytest.fixture(scope="module")
def paths(agency: AgencyPaths, tmp_path_factory: pytest.TempPathFactory) -> AgencyPaths:
    return own_agency(agency, tmp_path_factory.mktemp("served") / "agency")


@pytest.fixture(scope="module")
def url(paths: AgencyPaths) -> Iterator[str]:
    """The real station, with TLS."""
    station = Station(paths.root)
    yield station.start()
    station.stop()


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    path = tmp_path / f"{NAME}.tar"
    path.write_bytes(DATA)
    return path


def test_a_segment_arrives_over_mutual_tls(url: str, paths: AgencyPaths, segment: Path) -> None:
    offsets: list[int] = []
    with closing(client(url, paths)) as station:
        station.send(RECORD, segment, offsets.append)
        station.send(RECORD, segment, offsets.append)
        assert station.log_state(1) == StationLog(0, 0)
    assert (paths.station / "segments" / CAMERA / segment.name).read_bytes() == DATA
    assert offsets[0] == 0
    assert offsets[-2:] == [len(DATA), len(DATA)]


def test_a_connection_is_used_again(url: str, paths: AgencyPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    connect = Deadlines.connect
    monkeypatch.setattr(Deadlines, "connect", lambda *a: made.append(a) or connect(*a))
    with closing(client(url, paths)) as station:
        for _ in range(5):
            station.log_state(1)
    assert len(made) == 1


def test_memory_does_not_grow_with_the_segment(url: str, paths: AgencyPaths, tmp_path: Path) -> None:
    path = tmp_path / "large"
    data = bytes(24 << 20)
    path.write_bytes(data)
    record = SealRecord("e0000000001-91b3c4d7", len(data), digest(data), 0, 1, None, 0)
    with closing(client(url, paths)) as station:
        station.log_state(1)
        tracemalloc.start()
        station.send(record, path, lambda _: None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 12 << 20


def test_undocking_stops_in_the_middle(url: str, paths: AgencyPaths, segment: Path) -> None:
    halt = threading.Event()
    record = SealRecord("e0000000002-91b3c4d7", len(DATA), digest(DATA), 0, 1, None, 0)
    with closing(client(url, paths, halt, limit_kbps=8000)) as station, pytest.raises(HaltedError):
        station.send(record, segment, lambda offset: halt.set() if offset else None)


def test_the_pace_is_kept(url: str, paths: AgencyPaths, segment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the clock's own terms: the waits add up to what the bytes take."""
    waited: list[float] = []
    halt = threading.Event()
    monkeypatch.setattr(halt, "wait", lambda timeout=None: waited.append(timeout or 0.0))
    monkeypatch.setattr("agent.dock.body.time.monotonic", lambda: 0.0)
    record = SealRecord("e0000000003-91b3c4d7", len(DATA), digest(DATA), 0, 1, None, 0)
    with closing(client(url, paths, halt, limit_kbps=1000)) as station:
        station.send(record, segment, lambda _: None)
    piece = Pace(1000, halt).piece_bytes
    last_piece = len(DATA) % piece or piece
    assert max(waited) == pytest.approx((len(DATA) - last_piece) / 125_000)


def test_a_shorter_file_is_a_storage_error(url: str, paths: AgencyPaths, segment: Path) -> None:
    record = SealRecord("e0000000004-91b3c4d7", len(DATA) + 1, digest(DATA), 0, 1, None, 0)
    with closing(client(url, paths)) as station, pytest.raises(StorageError, match="shorter"):
        station.send(record, segment, lambda _: None)


def test_a_file_that_is_gone_is_a_storage_error(url: str, paths: AgencyPaths, tmp_path: Path) -> None:
    record = SealRecord("e0000000005-91b3c4d7", 10, digest(b"x"), 0, 1, None, 0)
    with closing(client(url, paths)) as station, pytest.raises(StorageError):
        station.send(record, tmp_path / "gone.tar", lambda _: None)


def test_wrong_digest_is_refused_for_good(url: str, paths: AgencyPaths, segment: Path) -> None:
    record = SealRecord("e0000000006-91b3c4d7", len(DATA), digest(b"other"), 0, 1, None, 0)
    with closing(client(url, paths)) as station, pytest.raises(RefusedError, match="460"):
        station.send(record, segment, lambda _: None)


def test_nobody_there_is_away(paths: AgencyPaths) -> None:
    with closing(client(f"https://127.0.0.1:{free_port()}", paths)) as station, pytest.raises(TryAgainError) as caught:
        station.log_state(1)
    assert caught.value.away
    # It is shown to people: names of the code are nothing to them.
    assert "127.0.0.1:" in str(caught.value) and "_Own" not in str(caught.value)
    assert "Connection refused" in caught.value.message


# -- who is on the other side --------------------------------------------------------------------------------------


def test_the_station_wants_a_certificate_of_this_agency(url: str, paths: AgencyPaths, tmp_path: Path) -> None:
    other = admin.init(tmp_path / "other")
    keys = admin.enrol(other.root, CAMERA)
    stranger = HttpStation(url, Credentials(paths.trust_root, keys.tls_chain, keys.tls_key), threading.Event())
    # The alert that says why may be overtaken by the end of the connection (TLS 1.3, RFC 8446 section 6): then it is an
    # absent station to the client. Either way it hears nothing.
    with closing(stranger), pytest.raises((UntrustedError, TryAgainError), match=r"does not (accept|answer)"):
        stranger.log_state(1)


def test_the_station_speaks_tls_1_3_only(url: str, paths: AgencyPaths) -> None:
    context = ssl.create_default_context(cafile=str(paths.trust_root))
    context.load_cert_chain(paths.camera(CAMERA).tls_chain, paths.camera(CAMERA).tls_key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    host, port = url.removeprefix("https://").split(":")
    with (
        socket.create_connection((host, int(port))) as plain,
        pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"),
    ):
        context.wrap_socket(plain, server_hostname=host)


def test_a_peer_that_stalls_in_the_handshake_holds_nobody_up(url: str, paths: AgencyPaths) -> None:
    host, port = url.removeprefix("https://").split(":")
    stalled = [socket.create_connection((host, int(port))) for _ in range(3)]
    with closing(client(url, paths)) as station:
        assert station.log_state(2) == StationLog(0, 0)
    for sock in stalled:
        sock.close()


def never(method: str, path: str) -> Reply:
    raise AssertionError("nothing should be asked of this peer")


def test_a_station_of_another_agency_is_not_trusted(paths: AgencyPaths, tmp_path: Path) -> None:
    other = admin.init(tmp_path / "other")
    peer = lying(paths, never, other.tls_chain, other.tls_key)
    with peer as station, pytest.raises(UntrustedError, match="not trusted"):
        station.log_state(1)


def test_a_cameras_own_ca_cannot_stand_for_the_station(paths: AgencyPaths, tmp_path: Path) -> None:
    """A stolen camera's identity key signs a server certificate; its chain leads to the root, its depth is wrong."""
    keys = paths.camera(CAMERA)
    identity, issuing = certs.parse_pem(keys.identity_chain.read_bytes())
    signer = FileSigner(keys.identity_key)
    forged = certs.issue(
        name="127.0.0.1", role=certs.STATION_TLS, public=signer.public, issuer=identity,
        issuer_key=signer.issuing_key, not_before=identity.not_valid_before_utc, tls=certs.SERVER_AUTH,
        hosts=["127.0.0.1"],
    )  # fmt: skip
    chain = tmp_path / "forged.pem"
    chain.write_bytes(certs.pem([forged, identity, issuing]))
    peer = lying(paths, never, chain, keys.identity_key)
    with peer as station, pytest.raises(UntrustedError, match="not a station"):
        station.log_state(1)


def test_a_camera_cannot_stand_for_the_station(paths: AgencyPaths) -> None:
    keys = paths.camera(CAMERA)
    peer = lying(paths, never, keys.tls_chain, keys.tls_key)
    with peer as station, pytest.raises(UntrustedError, match="not trusted"):
        station.log_state(1)


ABOUT_US = {42: "bad", 43: "unsupported", 44: "revoked", 45: "expired", 46: "unknown", 48: "unknown ca", 49: "denied"}
OF_A_BOX = {20: "bad record", 40: "handshake failure", 51: "decrypt", 70: "protocol version", 80: "internal error"}
"""Alerts of TLS (RFC 8446 section 6.2)."""


@pytest.mark.parametrize(
    ("alert", "error"),
    [(a, UntrustedError) for a in (*ABOUT_US, 116)] + [(a, TryAgainError) for a in OF_A_BOX],
)
def test_only_an_alert_about_the_certificate_says_that_the_station_does_not_know_us(
    paths: AgencyPaths, alert: int, error: type[Exception]
) -> None:
    def answer(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(bytes([21, 3, 3, 0, 2, 2, alert]))
            peer.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with closing(client(url, paths)) as station, pytest.raises(error) as caught:
            station.log_state(1)
        thread.join(10)
    assert not isinstance(caught.value, TryAgainError) or caught.value.away


def test_missing_or_unfit_keys_are_named(paths: AgencyPaths, tmp_path: Path) -> None:
    keys = paths.camera(CAMERA)
    for bad in (
        Credentials(tmp_path / "none.pem", keys.tls_chain, keys.tls_key),
        Credentials(paths.trust_root, keys.tls_chain, keys.identity_key),
    ):
        with pytest.raises(KeyTrustError, match="TLS files"):
            HttpStation("https://127.0.0.1:1", bad, threading.Event())


# -- what it says --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    ["https://127.0.0.2:1/files/x", "http://127.0.0.1/files/x", "//elsewhere/files/x", "https://127.0.0.1/x"],
)
def test_uploads_are_not_sent_elsewhere(paths: AgencyPaths, segment: Path, location: str) -> None:
    def script(method: str, path: str) -> Reply:
        return Reply(204, {}) if method == "OPTIONS" else Reply(201, {"Location": location})

    error = send_error(paths, script, segment)
    assert isinstance(error, RefusedError) and "elsewhere" in error.message


def test_redirects_are_not_followed(paths: AgencyPaths, segment: Path) -> None:
    asked: list[str] = []

    def script(method: str, path: str) -> Reply:
        asked.append(f"{method} {path}")
        return Reply(204, {}) if method == "OPTIONS" else Reply(307, {"Location": "/other"})

    assert isinstance(send_error(paths, script, segment), RefusedError)
    assert asked == ["OPTIONS /files", "POST /files"]


def test_answers_are_bounded(paths: AgencyPaths, segment: Path) -> None:
    def script(method: str, path: str) -> Reply:
        return Reply(200, {}) if method == "OPTIONS" else Reply(201, {}, b"x" * (1 << 20))

    error = send_error(paths, script, segment)
    assert isinstance(error, RefusedError) and "too long" in error.message


@pytest.mark.parametrize("offset", ["", "-1", "x", "99999999999"])
def test_offsets_that_make_no_sense(paths: AgencyPaths, segment: Path, offset: str) -> None:
    def script(method: str, path: str) -> Reply:
        return Reply(201, {"Location": "/files/1"}) if method == "POST" else Reply(200, {"Upload-Offset": offset})

    assert isinstance(send_error(paths, script, segment), RefusedError)


@pytest.mark.parametrize("status", [423, 429, 500, 503, 507])
def test_busy_is_not_refused(paths: AgencyPaths, segment: Path, status: int) -> None:
    error = send_error(paths, lambda method, path: Reply(status, {"Retry-After": "7"}), segment)
    assert isinstance(error, TryAgainError)
    assert (error.away, error.retry_after_s) == (False, 7.0)


@pytest.mark.parametrize("status", [400, 401, 403, 413])
def test_refused_is_not_done(paths: AgencyPaths, segment: Path, status: int) -> None:
    error = send_error(paths, lambda method, path: Reply(status, {}, b"because"), segment)
    assert isinstance(error, RefusedError)
    assert (error.status, "because" in error.message) == (status, True)


def test_a_patch_is_not_repeated_by_itself(paths: AgencyPaths, segment: Path) -> None:
    asked: list[str] = []

    def script(method: str, path: str) -> Reply:
        asked.append(method)
        if method == "POST":
            return Reply(201, {"Location": "/files/1"})
        if method == "OPTIONS":
            return Reply(204, {})
        return Reply(200, {"Upload-Offset": "5"}) if method == "HEAD" else Reply(409, {})

    assert isinstance(send_error(paths, script, segment), TryAgainError)
    assert asked == ["OPTIONS", "POST", "HEAD", "PATCH"]


def test_a_stale_size_is_told_apart_from_a_fork(paths: AgencyPaths) -> None:
    replies = [Reply(409, {"Content-Type": "text/x.tlog.size"}, b"20\n"), Reply(409, {}, b"another tree")]
    with lying(paths, lambda method, path: replies.pop(0)) as station:
        with pytest.raises(StaleSizeError) as caught:
            station.add_checkpoint(0, [], b"")
        with pytest.raises(RefusedError, match="another tree"):
            station.add_checkpoint(0, [], b"")
    assert caught.value.size == 20


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"receipt": 5, "refused": {}}', b'{"receipt": "r"}', b'{"receipt":"r","refused":{"a":1}}']
)
def test_receipts_that_are_none(paths: AgencyPaths, body: bytes) -> None:
    with lying(paths, lambda method, path: Reply(200, {}, body)) as station, pytest.raises(RefusedError):
        station.attest(1, [])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0.0), ("5", 5.0), ("99999", 300.0), ("-3", 0.0), ("soon", 0.0), ("Thu, 01 Jan 1970 00:01:00 GMT", 20.0)],
)
def test_retry_after(text: str, seconds: float) -> None:
    assert retry_after_s(text, lambda: 40.0) == seconds
