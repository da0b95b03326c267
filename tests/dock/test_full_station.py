"""A station whose disk is really full: cameras are told so and lose nothing, what it stored gets its receipt, all else
is answered, and when there is room again the same uploader goes on.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from agent.dock.transport import HttpStation
from agent.dock.wire import Credentials
from agent.formats.leaf import Kind
from agent.formats.note import parse
from agent.formats.receipt import parse as parse_receipt
from agent.model import SegmentState
from agent.spool import inbox
from agent.station.app import FULL
from agent.station.index import Index
from agent.station.layout import AgencyPaths
from agent.station.serve import Station
from tests.camera_kit import CAMERA, Desk
from tests.dock.test_storms import Docked, Hourglass
from tests.station import smalldisk
from tests.station.kit import own_agency
from tests.station.smalldisk import SmallDisk
from tests.test_uploader import check_delivered, everything, progress, until

pytestmark = pytest.mark.skipif(bool(smalldisk.missing()), reason=smalldisk.missing() or "-")
MIB = 24
RECORDINGS, PART_BYTES, PARTS = 5, 350_000, 20
"""35 MB: more than there is room for."""


@pytest.fixture
def paths(agency: AgencyPaths, tmp_path: Path) -> AgencyPaths:
    return own_agency(agency, tmp_path / "agency")


@pytest.fixture
def disk(paths: AgencyPaths) -> Iterator[SmallDisk]:
    with smalldisk.mounted(paths.station, MIB) as made:
        yield made


@pytest.fixture
def loaded(desk: Desk) -> Desk:
    desk.tiles.write_chain(desk.log.session.chain_pem)
    desk.sealer.event(Kind.SESSION, {"type": "session"}, None, {"resumes": None})
    for _ in range(RECORDINGS):
        desk.sealer.stop_recording(desk.record(PARTS, PART_BYTES), {"type": "record.stop"})
        desk.sealer.seal_open()
    desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    desk.sealer.seal_open()
    return desk


def stored(paths: AgencyPaths) -> set[str]:
    return {path.stem for path in paths.station.glob(f"segments/{CAMERA}/*.tar")}


def receipted(desk: Desk) -> set[str]:
    told = [parse_receipt(parse(data).text) for _, data in inbox.messages(desk.spool.inbox_dir, ".receipt")]
    return {item.segment for receipt in told for item in receipt.stored}


def check_station(paths: AgencyPaths) -> None:
    """State and index are whole, the index holds what is stored, and nothing half-made lies about."""
    for file in (paths.state, paths.index):
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.close()
    index = Index(paths.index)
    assert {segment.name for segment in index.segments(CAMERA)} == stored(paths)
    index.close()
    assert not list(paths.station.glob("**/.*.tmp")) and not list(paths.station.glob("**/.*.new"))
    assert not list(paths.station.glob("conflicts/*/*"))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the uploader told, in the order of its states."""
    return [record.getMessage() for record in caplog.records if record.name == "bodycam.uploader"]


def is_full(caplog: pytest.LogCaptureFixture) -> bool:
    return any(t.startswith("waiting: ") and "507" in t and FULL in t for t in said(caplog))


def check_answers(paths: AgencyPaths, url: str) -> None:
    """What needs no room is answered."""
    keys, nonce = paths.camera(CAMERA), "5" * 64
    station = HttpStation(url, Credentials(paths.trust_root, keys.tls_chain, keys.tls_key), threading.Event())
    try:
        assert nonce.encode() in station.signed_time(nonce)
        assert station.log_state(1).cosigned >= 0
    finally:
        station.close()


@contextmanager
def one_visit(
    paths: AgencyPaths, loaded: Desk, caplog: pytest.LogCaptureFixture, meanwhile: AbstractContextManager[None]
) -> Iterator[str]:
    """To a station at this address. All is delivered in it, nothing refused, however full the disk was `meanwhile`."""
    caplog.set_level("INFO", "bodycam.uploader")
    station = Station(paths.root)
    url = station.start()
    try:
        with meanwhile, Docked(paths, loaded, url, Hourglass()) as docked:
            until("it is said", lambda: is_full(caplog), 30)
            yield url
            until("delivered", lambda: progress(loaded).get("state") == "delivered")
        assert docked.visits == 1
    finally:
        station.stop()
    check_delivered(loaded, paths)
    check_station(paths)
    assert not any(t.startswith("refused") for t in said(caplog))


def test_a_full_station_keeps_what_it_has_says_so_and_goes_on_when_there_is_room(
    paths: AgencyPaths, disk: SmallDisk, loaded: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    before = everything(loaded.root)
    with one_visit(paths, loaded, caplog, nullcontext()) as url:
        until("what is stored is receipted", lambda: receipted(loaded) == stored(paths) != set(), 30)
        assert len(stored(paths)) < len(loaded.spool.records(SegmentState.SEALED))
        check_answers(paths, url)
        disk.grow(2 * MIB)
    assert everything(loaded.root) == before


def test_a_disk_that_somebody_else_fills_to_the_last_byte_costs_the_station_nothing_either(
    paths: AgencyPaths, disk: SmallDisk, loaded: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even its own state can be written then."""
    disk.grow(2 * MIB)
    with one_visit(paths, loaded, caplog, disk.full()) as url:
        check_answers(paths, url)
        disk.grow(4 * MIB)
