"""The station on a disk that is really full: no segment is begun that does not fit, and what fails for want of room
leaves nothing behind, no descriptor, no file and no open transaction.
"""

from __future__ import annotations

import io
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import StorageError
from agent.model import SegmentState
from agent.station.app import open_app
from agent.station.index import Index
from agent.station.layout import AgencyPaths
from agent.station.state import State
from tests.camera_kit import Desk
from tests.station import smalldisk
from tests.station.kit import NAME, PATCH, TUS, Bench, announcement, digest, own_agency
from tests.station.smalldisk import SmallDisk

pytestmark = pytest.mark.skipif(bool(smalldisk.missing()), reason=smalldisk.missing() or "-")
MIB = 1 << 20
DATA = os.urandom(5 * MIB)
OTHER, OTHER_NAME = os.urandom(5 * MIB), "e0000000001-91b3c4d7"
DISK_MIB = 9
"""Room for one of them."""


@pytest.fixture
def disk(agency: AgencyPaths, tmp_path: Path) -> Iterator[SmallDisk]:
    paths = own_agency(agency, tmp_path / "agency")
    with smalldisk.mounted(paths.station, DISK_MIB) as made:
        yield made


@pytest.fixture
def station(disk: SmallDisk) -> Iterator[Bench]:
    paths = AgencyPaths(disk.path.parent)
    state, index = State(paths.state), Index(paths.index)
    yield Bench(paths, open_app(paths, state, index), state, index=index)
    index.close()
    state.close()


class Slow(io.BytesIO):
    """A body that waits after its first piece."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            self.begun.set()
            assert self.go_on.wait(20)
        return super().read(size)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_of_two_segments_of_which_one_fits_one_is_stored_whole_and_the_other_not_begun(station: Bench) -> None:
    path, other = station.announce(DATA), station.announce(OTHER, OTHER_NAME)
    body, answers = Slow(DATA), list[int]()
    sending = threading.Thread(
        target=lambda: answers.append(station.ask("PATCH", path, body, {**PATCH, "Upload-Offset": "0"}).status)
    )
    sending.start()
    try:
        assert body.begun.wait(20)
        refused = station.ask("PATCH", other, OTHER, {**PATCH, "Upload-Offset": "0"})
        assert (refused.status, refused.headers["Retry-After"]) == (507, "30") and b"full" in refused.body
        # Before any bytes come, where it is asked; without a body, which HEAD has none of.
        told = station.ask("HEAD", other, b"", TUS)
        assert (told.status, told.body) == (507, b"")
        third = announcement("e0000000002-91b3c4d7", digest(OTHER), len(OTHER))
        assert station.ask("POST", "/files", b"", third).status == 507
    finally:
        body.go_on.set()
        sending.join(20)
    assert answers == [204]
    assert station.segment(NAME).read_bytes() == DATA
    assert [p.stat().st_size for p in station.paths.station.glob("uploads/*.part")] == [0]


def test_what_is_stored_whole_is_told_whole_however_full_the_disk_has_become(station: Bench, disk: SmallDisk) -> None:
    """Its camera was undocked before it asked for the receipt, and asks how far it has come."""
    path = station.announce(DATA)
    assert station.ask("PATCH", path, DATA, {**PATCH, "Upload-Offset": "0"}).status == 204
    with disk.full(leaving=100_000):
        told = station.ask("HEAD", path, b"", TUS)
    assert (told.status, told.headers["Upload-Offset"]) == (200, str(len(DATA)))


def test_what_is_not_begun_any_more_leaves_room_for_what_is_small(station: Bench, disk: SmallDisk) -> None:
    assert station.upload(DATA).status == 204
    assert station.ask("POST", "/files", b"", announcement(OTHER_NAME, digest(OTHER), len(OTHER))).status == 507
    assert disk.free() > 3 * MIB
    assert station.upload(b"small", OTHER_NAME).status == 204


def test_a_disk_that_fills_while_bytes_come_keeps_those_that_came_and_leaks_nothing(
    station: Bench, disk: SmallDisk
) -> None:
    path, body = station.announce(DATA), Slow(DATA)
    answers = list[int]()
    sending = threading.Thread(
        target=lambda: answers.append(station.ask("PATCH", path, body, {**PATCH, "Upload-Offset": "0"}).status)
    )
    before = descriptors()
    sending.start()
    assert body.begun.wait(20)
    with disk.full(leaving=MIB):
        body.go_on.set()
        sending.join(20)
    assert answers == [507]
    assert descriptors() == before
    here = station.offset(path)
    assert 0 < here < len(DATA)
    assert station.ask("PATCH", path, DATA[here:], {**PATCH, "Upload-Offset": str(here)}).status == 204
    assert station.segment(NAME).read_bytes() == DATA


def test_a_sync_that_finds_no_room_leaks_no_descriptor(station: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where room is promised before it is there (quota, network)."""
    path = station.announce(DATA)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = descriptors()
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        assert station.ask("PATCH", path, DATA, {**PATCH, "Upload-Offset": "0"}).status == 507
    assert descriptors() == before


def test_a_state_that_found_no_room_takes_the_next_transaction(station: Bench, disk: SmallDisk) -> None:
    """And says what to do, which is not to restore a backup."""
    state = station.state
    with disk.full(), pytest.raises(StorageError) as failed:
        for number in range(100):
            with state.transaction():
                state.add_session("cam-test", number.to_bytes(32, "big"), b"x" * 3000)
    assert failed.value.hint == "free space on this file system"
    before = len(state.sessions("cam-test"))
    with state.transaction():
        state.add_session("cam-test", b"y" * 32, b"z")
    assert len(state.sessions("cam-test")) == before + 1


def test_a_transaction_whose_last_step_fails_is_over(station: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    state = station.state

    class Failing:
        def __init__(self, db: sqlite3.Connection) -> None:
            self._db = db

        def __getattr__(self, name: str) -> object:
            return getattr(self._db, name)

        def execute(self, text: str, *values: object) -> object:
            if text == "COMMIT":
                raise sqlite3.OperationalError("database or disk is full")
            return self._db.execute(text, *values)

    with monkeypatch.context() as patched:
        patched.setattr(state, "_db", Failing(state._db))
        with pytest.raises(StorageError), state.transaction():
            state.add_session("cam-test", b"n" * 32, b"x")
    with state.transaction():
        state.add_session("cam-test", b"y" * 32, b"z")
    assert [key for key, _ in state.sessions("cam-test")] == [b"y" * 32]


def test_a_receipt_that_the_state_has_no_room_for_is_not_left_behind(
    station: Bench, desk: Desk, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.sealer.stop_recording(desk.record(4), {"type": "record.stop"})
    desk.sealer.seal_open()
    station.send_chain(desk.log.session.chain_pem)
    station.send_log(desk)
    names = station.send_segments(desk)

    def full(*_: object) -> None:
        raise StorageError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(station.state, "add_receipt", full)
        for _ in range(3):
            assert station.attest(names).status == 507
    assert not list(station.paths.station.glob("receipts/*/*"))
    with disk.full():
        assert station.attest(names).status == 507
    answer = station.attest(names)
    assert answer.status == 200 and json.loads(answer.body)["refused"] == {}
    assert len(list(station.paths.station.glob("receipts/*/*"))) == 1
    assert {r.segment for r in desk.spool.records(SegmentState.SEALED)} == set(names)
