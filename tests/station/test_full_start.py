"""A station that is started on a disk which is full to the last byte: it serves what it has, and says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.errors import StorageError
from agent.station import database, serve
from agent.station.app import FULL, Renewal, open_app
from agent.station.commands import main
from agent.station.index import Index
from agent.station.layout import AgencyPaths
from agent.station.state import State
from tests.camera_kit import CAMERA, Desk
from tests.station import smalldisk
from tests.station.kit import Bench, announcement, digest, own_agency
from tests.station.smalldisk import SmallDisk

pytestmark = pytest.mark.skipif(bool(smalldisk.missing()), reason=smalldisk.missing() or "-")
NEW = "e0000000001-91b3c4d7"


@pytest.fixture
def disk(agency: AgencyPaths, tmp_path: Path) -> Iterator[SmallDisk]:
    paths = own_agency(agency, tmp_path / "agency")
    with smalldisk.mounted(paths.station, 9) as made:
        yield made


@pytest.fixture
def paths(disk: SmallDisk) -> AgencyPaths:
    return AgencyPaths(disk.path.parent)


@contextmanager
def started(paths: AgencyPaths) -> Iterator[Bench]:
    state, index = State(paths.state), Index(paths.index)
    try:
        yield Bench(paths, open_app(paths, state, index), state, index=index)
    finally:
        index.close()
        state.close()


def ends_in_order(paths: AgencyPaths, end: Callable[[], None]) -> None:
    end()


def is_killed(paths: AgencyPaths, end: Callable[[], None]) -> None:
    """What it committed last is in the write-ahead logs alone; who looked since took away what they are shared by."""
    files = [file for file in paths.station.iterdir() if file.name.endswith((".db", ".sqlite", "-wal"))]
    kept = {file: file.read_bytes() for file in files}
    assert sum(file.name.endswith("-wal") for file in files) == 2
    end()
    for file, data in kept.items():
        file.write_bytes(data)


Ending = Callable[[AgencyPaths, Callable[[], None]], None]


@pytest.fixture(params=[ends_in_order, is_killed])
def names(request: pytest.FixtureRequest, paths: AgencyPaths, full: Desk) -> list[str]:
    """Segments that a station receipted, before it ended."""
    ending: Ending = request.param
    running = started(paths)
    station = running.__enter__()
    station.send_log(full)
    names = station.send_segments(full)
    assert station.attest(names).status == 200
    ending(paths, lambda: running.__exit__(None, None, None))
    return names


def test_it_serves_what_it_has_and_refuses_what_needs_room(
    paths: AgencyPaths, disk: SmallDisk, names: list[str], full: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with disk.full(), started(paths) as station:
        assert disk.free() == 0
        assert caplog.text.count("the disk is full: it is read") == 2
        answer = station.attest(names)
        assert answer.status == 200 and json.loads(answer.body)["refused"] == {}
        assert station.ask("GET", "/receipts/newest").body.decode() == json.loads(answer.body)["receipt"]
        log = json.loads(station.ask("GET", "/log/1").body)
        assert log["cosigned"] == log["proven"] > 0
        refused = station.ask("POST", "/files", b"", announcement(NEW, digest(b"new"), 3))
        assert (refused.status, refused.headers["Retry-After"]) == (507, "30") and FULL.encode() in refused.body
        chain = station.ask("PUT", "/log/1/chain", full.log.session.chain_pem)
        assert chain.status == 507 and FULL.encode() in chain.body
    # Nothing was lost, and no half of anything was left.
    with started(paths) as station:
        assert json.loads(station.attest(names).body)["receipt"] == json.loads(answer.body)["receipt"]
        assert station.upload(b"new", NEW).status == 204


def test_when_there_is_room_the_same_station_goes_on(
    paths: AgencyPaths, disk: SmallDisk, names: list[str], full: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with disk.full():
        running = started(paths)
        station = running.__enter__()
    try:
        assert station.index and station.index.totals(CAMERA).segments == len(names)
        assert station.upload(b"new", NEW).status == 204
        station.send_chain(full.log.session.chain_pem)
        with station.state.transaction():
            station.state.add_session(CAMERA, b"k" * 32, b"chain")
        assert "there is room again" in caplog.text
    finally:
        running.__exit__(None, None, None)
    with started(paths) as station:
        assert station.state.sessions(CAMERA)[0] == (b"k" * 32, b"chain")


def test_what_another_process_writes_meanwhile_is_seen(
    paths: AgencyPaths, disk: SmallDisk, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with disk.full():
        running = started(paths)
        station = running.__enter__()
    try:
        with started(paths) as other, other.state.transaction():
            other.state.add_session(CAMERA, b"k" * 32, b"chain")
        monkeypatch.setattr(database, "LOOK_EVERY_S", 0)
        assert station.state.sessions(CAMERA)[0] == (b"k" * 32, b"chain")
    finally:
        running.__exit__(None, None, None)


def test_status_and_metrics_say_so(
    paths: AgencyPaths, disk: SmallDisk, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with disk.full():
        assert main(["status", "--dir", str(paths.root)]) == 0
        told = capsys.readouterr().out
        assert f"{CAMERA}: 1 recordings, {len(names)} segments" in told and "THE DISK IS FULL" in told
        assert main(["status", "--dir", str(paths.root), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["disk_full"] is True
    assert main(["status", "--dir", str(paths.root)]) == 0
    assert "FULL" not in capsys.readouterr().out


def test_serve_says_so_as_it_starts(
    paths: AgencyPaths, disk: SmallDisk, names: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    asked = list[Callable[..., None]]()
    monkeypatch.setattr("agent.station.serve.signal.signal", lambda _, handler: asked.append(handler))
    listens = threading.Event()
    start = serve.Station.start

    def starting(station: serve.Station) -> str:
        url = start(station)
        listens.set()
        return url

    monkeypatch.setattr(serve.Station, "start", starting)
    with disk.full():
        running = threading.Thread(target=serve.serve, args=(paths.root, "127.0.0.1", 0, False))
        running.start()
        try:
            assert listens.wait(30)
        finally:
            asked[0]()
            running.join(30)
    told = capsys.readouterr()
    assert "listens on https://" in told.out
    assert "station: THE DISK IS FULL" in told.err and "free space" in told.err


def test_a_station_that_never_wrote_does_not_start_on_one(paths: AgencyPaths, disk: SmallDisk) -> None:
    """It knows nothing that it could serve."""
    with disk.full(), pytest.raises(StorageError) as refused:
        State(paths.state)
    assert refused.value.hint == "free space on this file system"


def test_a_state_whose_directory_is_gone_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as refused:
        State(tmp_path / "gone" / "state.sqlite")
    assert "unable to open" in refused.value.message and "check the disk" in refused.value.hint


def test_cosignatures_under_an_exchanged_key_are_made_when_there_is_room(caplog: pytest.LogCaptureFixture) -> None:
    tries = list[str]()

    def renew() -> None:
        tries.append("once")
        if len(tries) < 3:
            raise StorageError("database or disk is full", "free space on this file system")

    renewal = Renewal(renew)
    for _ in range(5):
        renewal.go_on()
    assert len(tries) == 3 and caplog.text.count("not cosigned anew yet") == 2
