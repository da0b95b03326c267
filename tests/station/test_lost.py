"""What the station's own disk does not give back, or its index does not take, stops nothing else."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from agent.formats import merkle, note, receipt
from agent.model import SegmentState
from agent.station import overview, readback, store
from agent.station.commands import main
from tests.camera_kit import CAMERA, Desk
from tests.station.kit import PATCH, Bench, digest


class BadDisk:
    """One that answers EIO for the files it has lost, whatever they are called by now."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.lost: set[int] = set()
        self._held: list[BinaryIO] = []
        real = readback.forget_cache

        def forget(fd: int) -> None:
            if os.fstat(fd).st_ino in self.lost:
                raise OSError(errno.EIO, "Input/output error")
            real(fd)

        patch.setattr(readback, "forget_cache", forget)

    def lose(self, path: Path) -> None:
        # Held open: no other file gets the number.
        self._held.append(path.open("rb"))
        self.lost.add(path.stat().st_ino)

    def close(self) -> None:
        for file in self._held:
            file.close()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[BadDisk]:
    made = BadDisk(monkeypatch)
    yield made
    made.close()


def attest(station: Bench, names: list[str], desk: Desk | None = None) -> tuple[receipt.Receipt, dict[str, object]]:
    """With their digests, where the camera's `desk` is given."""
    asked = [[r.segment, r.sha256] for r in desk.spool.records(SegmentState.SEALED)] if desk else names
    answer = station.ask("POST", "/attest", json.dumps({"epoch": 1, "segments": asked}).encode())
    assert answer.status == 200, answer
    told = json.loads(answer.body)
    return receipt.parse(note.parse(told["receipt"].encode()).text), told["refused"]


def test_the_others_get_their_receipt(
    station: Bench, full: Desk, disk: BadDisk, caplog: pytest.LogCaptureFixture
) -> None:
    station.send_log(full)
    names = station.send_segments(full)
    disk.lose(station.segment(names[1]))
    said, refused = attest(station, names)
    assert [s.segment for s in said.stored] == [names[0], names[2]]
    assert refused == {names[1]: {"reason": refused[names[1]]["reason"], "permanent": False}}  # type: ignore[index]
    assert names[1] in caplog.text
    assert "Input/output error" in caplog.text


def test_what_an_earlier_epoch_left_over_is_no_different(station: Bench, full: Desk, disk: BadDisk) -> None:
    station.send_log(full)
    names = station.send_segments(full)
    disk.lose(station.segment(names[0]))
    kept = [[n, digest(station.segment(n).read_bytes())] for n in names]
    body = json.dumps({"epoch": 1, "segments": [], "kept": kept, "challenges": {names[1]: "ab" * 16}}).encode()
    told = json.loads(station.ask("POST", "/attest", body).body)
    assert list(told["refused"]) == [names[0]]
    assert told["refused"][names[0]]["permanent"] is False


@pytest.mark.parametrize("digests", [True, False])
def test_bytes_that_are_lost_come_again_and_take_the_name(
    station: Bench, full: Desk, disk: BadDisk, digests: bool
) -> None:
    """The camera sends anew what was refused and not for good, as it does after any failure."""
    station.send_log(full)
    names = station.send_segments(full)
    disk.lose(station.segment(names[1]))
    attest(station, names)
    station.send_segments(full)
    said, refused = attest(station, names, full if digests else None)
    assert refused == {}
    assert [s.segment for s in said.stored] == names
    assert [s.place for s in said.stored] == [f"segments/{CAMERA}/{n}.tar" for n in names]
    # What the disk may still give to a person with other tools is kept aside, and told of.
    (aside,) = station.paths.station.glob(f"conflicts/{CAMERA}/{names[1]}.*.unreadable")
    assert aside.stat().st_ino in disk.lost
    (told,) = station.conflicts()
    assert (told["kind"], told["segment"], told["aside"]) == ("unreadable", names[1], aside.name)


def test_what_was_receipted_before_and_is_lost_since_comes_again_too(station: Bench, full: Desk, disk: BadDisk) -> None:
    station.send_log(full)
    names = station.send_segments(full)
    attest(station, names)
    disk.lose(station.segment(names[1]))
    station.send_segments(full)
    said, refused = attest(station, names)
    assert refused == {}
    assert [s.segment for s in said.stored] == names


def test_a_disk_that_loses_one_segment_again_and_again_is_not_filled_with_it(
    station: Bench, full: Desk, disk: BadDisk
) -> None:
    station.send_log(full)
    names = station.send_segments(full)
    data = full.spool.segment(SegmentState.SEALED, names[1]).read_bytes()
    for again in range(store.MAX_UNREADABLE + 1):
        disk.lose(station.segment(names[1]))
        attest(station, names)
        path = station.announce(data, names[1])
        answer = station.ask("PATCH", path, data, {**PATCH, "Upload-Offset": "0"})
        assert answer.status == (204 if again < store.MAX_UNREADABLE else 507)
    assert len(list(station.paths.station.glob("conflicts/*/*.unreadable"))) == store.MAX_UNREADABLE


def test_an_upload_that_is_lost_before_it_has_its_name_starts_over(station: Bench, full: Desk, disk: BadDisk) -> None:
    station.send_log(full)
    record = full.spool.records(SegmentState.SEALED)[1]
    data = full.spool.segment(SegmentState.SEALED, record.segment).read_bytes()
    path = station.announce(data, record.segment)
    half = len(data) // 2
    assert station.ask("PATCH", path, data[:half], {**PATCH, "Upload-Offset": "0"}).status == 204
    disk.lose(station.paths.station / "uploads" / f"{path.rsplit('/', 1)[1]}.part")
    answer = station.ask("PATCH", path, data[half:], {**PATCH, "Upload-Offset": str(half)})
    assert answer.status == 507
    assert station.offset(path) == 0
    assert station.ask("PATCH", path, data, {**PATCH, "Upload-Offset": "0"}).status == 204
    assert station.segment(record.segment).read_bytes() == data


def test_a_disk_that_only_refuses_to_open_loses_no_name(
    station: Bench, full: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EACCES, or no more descriptors: nothing says that the bytes are gone."""
    station.send_log(full)
    names = station.send_segments(full)
    inode = station.segment(names[1]).stat().st_ino

    def refuse(fd: int) -> None:
        if os.fstat(fd).st_ino == inode:
            raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(readback, "forget_cache", refuse)
    _, refused = attest(station, names)
    assert list(refused) == [names[1]]
    assert station.segment(names[1]).stat().st_ino == inode
    answer = station.upload(full.spool.segment(SegmentState.SEALED, names[1]).read_bytes(), names[1])
    assert answer.status == 204
    assert station.segment(names[1]).stat().st_ino == inode
    assert not station.conflicts()


def test_a_receipt_that_cannot_be_read_is_signed_again(
    station: Bench, full: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    station.send_log(full)
    names = station.send_segments(full)
    attest(station, names)
    (file,) = station.paths.station.glob("receipts/*/*.receipt")
    file.unlink()
    said, refused = attest(station, names)
    assert (refused, [s.segment for s in said.stored]) == ({}, names)
    assert str(file) in caplog.text
    assert station.ask("GET", "/receipts/newest").status == 200


def test_an_upload_record_that_cannot_be_removed_keeps_no_receipt_back(
    station: Bench, full: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    station.send_log(full)
    names = station.send_segments(full)
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.parent.name == "uploads":
            raise OSError(errno.EIO, "Input/output error")
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    said, _ = attest(station, names)
    assert [s.segment for s in said.stored] == names


# -- the log -------------------------------------------------------------------------------------------------------


class LostTiles:
    """Each tile that is there now does not open, with this error, until its name is given to another file."""

    def __init__(self, station: Bench, patch: pytest.MonkeyPatch, error: int = errno.EIO) -> None:
        tiles = [path for path in station.paths.station.glob("log/*/*/tile/**/*") if path.is_file()]
        self._held = [path.open("rb") for path in tiles]
        lost = {path.stat().st_ino for path in tiles}
        real = Path.open

        def opened(path: Path, *words: object, **named: object) -> object:
            if "/tile/" in str(path) and path.exists() and path.stat().st_ino in lost:
                raise OSError(error, os.strerror(error), str(path))
            return real(path, *words, **named)  # type: ignore[call-overload]

        patch.setattr(Path, "open", opened)

    def close(self) -> None:
        for file in self._held:
            file.close()


@pytest.fixture
def lose_tiles(station: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    made: list[LostTiles] = []
    yield lambda error=errno.EIO: made.append(LostTiles(station, monkeypatch, error))
    for one in made:
        one.close()


def log_of(desk: Desk) -> tuple[Path, int, bytes]:
    """Where it lies, its size, and its checkpoint."""
    log = desk.spool.log_dir(1)
    signed = (log / "checkpoint").read_bytes()
    return log, note.parse_checkpoint(note.parse(signed).text).size, signed


def log_state(station: Bench) -> dict[str, int]:
    told = json.loads(station.ask("GET", "/log/1").body)
    assert isinstance(told, dict)
    return told


def test_a_tile_that_the_disk_has_lost_before_it_is_proven_keeps_no_cosignature_back(
    station: Bench, full: Desk, lose_tiles: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    log, size, signed = log_of(full)
    station.send_tiles(log, size)
    station.send_chain(full.log.session.chain_pem)
    lose_tiles()
    assert station.add_checkpoint(0, [], signed).status == 200
    assert (log_state(station)["cosigned"], log_state(station)["proven"]) == (size, 0)
    assert "Input/output error" in caplog.text
    names = station.send_segments(full)
    assert station.attest(names).status == 409
    station.send_tiles(log, size)
    assert attest(station, names)[1] == {}
    assert log_state(station)["proven"] == size


def test_a_proven_tile_that_the_disk_has_lost_is_taken_again_and_proven_again(
    station: Bench, full: Desk, lose_tiles: Callable[..., None]
) -> None:
    station.send_log(full)
    names = station.send_segments(full)
    log, size, signed = log_of(full)
    lose_tiles()
    assert station.attest(names).status == 409
    # What is sent in its place is a claim, as any tile is.
    tile = next(merkle.tiles_of(size))
    assert station.ask("PUT", f"/log/1/{tile.path}", bytes(tile.width * merkle.HASH_SIZE)).status == 204
    assert log_state(station)["proven"] == 0
    assert station.add_checkpoint(size, [], signed).status == 200
    assert station.attest(names).status == 409
    station.send_tiles(log, size)
    assert station.add_checkpoint(size, [], signed).status == 200
    assert log_state(station)["proven"] == size
    assert attest(station, names)[1] == {}
    assert not station.conflicts()


def test_a_proven_tile_whose_file_is_gone_is_asked_for_and_proven_again(station: Bench, full: Desk) -> None:
    station.send_log(full)
    names = station.send_segments(full)
    log, size, signed = log_of(full)
    tile = next(merkle.tiles_of(size))
    (station.paths.station / "log" / CAMERA / "1" / tile.path).unlink()
    assert station.attest(names).status == 409
    # Nothing that takes its place is believed before it is proven.
    wrong = bytes(tile.width * merkle.HASH_SIZE)
    assert station.ask("PUT", f"/log/1/{tile.path}", wrong).status == 204
    assert log_state(station)["proven"] == 0
    assert station.add_checkpoint(size, [], signed).status == 200
    assert station.attest(names).status == 409
    station.send_tiles(log, size)
    assert attest(station, names)[1] == {}
    assert log_state(station)["proven"] == size
    assert not station.conflicts()


def test_a_tile_that_the_disk_only_refuses_to_open_is_not_replaced(
    station: Bench, full: Desk, lose_tiles: Callable[..., None]
) -> None:
    """507, as for any trouble with storage: not a defect of ours, with a traceback."""
    station.send_log(full)
    names = station.send_segments(full)
    log, size, signed = log_of(full)
    lose_tiles(errno.EACCES)
    tile = next(merkle.tiles_of(size))
    answer = station.ask("PUT", f"/log/1/{tile.path}", (log / tile.path).read_bytes())
    assert answer.status == 507 and answer.headers["Retry-After"]
    assert log_state(station)["proven"] == size
    assert station.add_checkpoint(size, [], signed).status == 200
    refused = attest(station, names)[1]
    assert set(refused) == {r.segment for r in full.spool.records(SegmentState.SEALED) if r.end < size}
    assert log_state(station)["proven"] == size


# -- the index -----------------------------------------------------------------------------------------------------


def index_again(station: Bench, capsys: pytest.CaptureFixture[str]) -> overview.Overview:
    assert main(["index", "--dir", str(station.paths.root)]) == 0
    capsys.readouterr()
    assert station.index
    return overview.look(station.paths, station.index, station.state)


def test_an_index_that_is_locked_keeps_no_receipt_back(
    station: Bench,
    full: Desk,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    station.send_log(full)
    names = station.send_segments(full)
    assert station.index
    station.index._db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(station.paths.index, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    said, refused = attest(station, names)
    assert (refused, [s.segment for s in said.stored]) == ({}, names)
    assert caplog.text.count("bodycam-station index") == 1, "one line for the batch, not one wait for each segment"
    other.execute("ROLLBACK")
    other.close()
    (camera,) = index_again(station, capsys).cameras
    assert (camera.segments, camera.owed_segments) == (3, 0)


def test_an_index_that_was_damaged_under_the_station_keeps_no_receipt_back(
    station: Bench, full: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    station.send_log(full)
    names = station.send_segments(full)
    other = sqlite3.connect(station.paths.index, isolation_level=None)
    other.execute("DROP TABLE announced")
    other.close()
    said, refused = attest(station, names)
    assert (refused, [s.segment for s in said.stored]) == ({}, names)
    (camera,) = index_again(station, capsys).cameras
    assert (camera.segments, camera.owed_segments) == (3, 0)
