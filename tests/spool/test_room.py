"""Room on the card: what it means for people, and the edges that are worth a word."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import StorageError
from agent.formats.leaf import Kind
from agent.formats.seal import SealRecord
from agent.model import NS
from agent.sealing.sealer import Sealer
from agent.spool import evicting
from agent.spool.room import EDGES, MARGIN, room_of
from agent.spool.store import DiskSpace, Spool
from agent.station.layout import AgencyPaths
from tests.camera_kit import Desk, begin
from tests.recorder_desk import Camera

GB = 1_000_000_000


def test_minutes_are_those_of_the_bitrate_above_what_is_kept_back() -> None:
    room = room_of(DiskSpace(4 * GB, 10 * GB), 2 * GB, 1 * GB, 4_000)
    assert (room.percent, room.minutes) == (60, 5 * GB // 30_000_000)
    assert room_of(DiskSpace(4 * GB, 10 * GB), 2 * GB, 1 * GB, 1_000).minutes == 5 * GB // 7_500_000
    full = room_of(DiskSpace(GB // 2, 10 * GB), 0, 1 * GB, 4_000)
    assert (full.percent, full.minutes) == (5, 0)
    assert room_of(DiskSpace(0, 0), 0, 0, 0).percent == 0


def edges(*percents: int) -> list[int | None]:
    found: list[int | None] = []
    for percent in percents:
        room = room_of(DiskSpace(percent * GB, 100 * GB), 0, 0, 1_000)
        found.append(room.edge(found[-1] if found else None))
    return found


def test_an_edge_is_left_only_some_way_above_it() -> None:
    assert edges(50, 20, 19, 21, 22, 9, 11, 12, 4, 6, 7, 12, 22) == [
        *(None, None, 20, 20, None, 10, 10, 20, 5, 5, 10, 20, None)
    ]


@given(st.lists(st.integers(0, 100), max_size=50))
def test_below_an_edge_it_is_told_and_well_above_it_is_not(percents: list[int]) -> None:
    for percent, edge in zip(percents, edges(*percents), strict=True):
        assert min((e for e in EDGES if percent < e), default=101) >= (edge or 101)
        assert edge is None or percent < edge + MARGIN


@given(st.integers(6, 18), st.lists(st.integers(-1, 1), max_size=50))
def test_what_is_deleted_and_recorded_around_an_edge_is_told_once(percent: int, steps: list[int]) -> None:
    told = edges(*(percent + step for step in steps))
    assert sum(a != b for a, b in pairwise(told)) <= 1


def test_what_a_station_has_counts_as_free(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch)
    monkeypatch.setattr(Spool, "space", lambda spool: DiskSpace(40 << 20, 1000 << 20))
    camera.start()
    assert camera.recorder.status()["room_percent"] == 4
    stored = tmp_path / "spool" / "delivered" / "e0000000099-00000000.tar"
    with stored.open("wb") as file:
        file.truncate(500 << 20)
    record = SealRecord(stored.stem, 500 << 20, "0" * 64, 99, 1, None, 0)
    stored.with_suffix(".seal").write_bytes(record.to_bytes())
    camera.ticks(245)
    status = camera.recorder.status()
    assert status["room_percent"] == 54
    assert status["room_minutes"] == ((540 << 20) - camera.vault.sealer.settings.needs_bytes) // (60 * 596_000 // 8)
    stored.unlink()
    first, second = camera.said("storage")
    assert (first["level"], first["freeable_bytes"]) == ("critical", 0)
    assert (second["level"], second["freeable_bytes"], second["minutes"]) == (
        "normal",
        500 << 20,
        status["room_minutes"],
    )
    camera.recorder.close()


def test_the_panel_warns_by_the_edge_that_the_log_names(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recorded and deleted about an edge shakes nobody twice, and the log never says otherwise."""
    camera = Camera(agency, tmp_path, monkeypatch)
    percent = [19]
    monkeypatch.setattr(Spool, "space", lambda spool: DiskSpace(percent[0] * 10 << 20, 1000 << 20))
    camera.start()
    shown = []
    for percent[0] in (21, 19, 23, 10, 9, 11, 12, 4, 6, 7):
        camera.recorder._life.minute_ns -= 60 * NS
        camera.ticks(1)
        camera.turns(0.1)
        shown.append([w for w in camera.recorder.status()["officer"]["warnings"] if w.startswith("storage")])
    assert [w[0] if w else None for w in shown] == [
        *("storage 20 %", "storage 20 %", None, "storage 20 %", "storage 10 %", "storage 10 %", "storage 20 %"),
        *("storage 5 %", "storage 5 %", "storage 10 %"),
    ]
    assert [(b["level"], b["free_bytes"] // (10 << 20)) for b in camera.said("storage")] == [
        ("low", 19),
        ("normal", 23),
        ("low", 10),
        ("low", 9),
        ("low", 12),
        ("critical", 4),
        ("low", 7),
    ]
    assert (camera.recorder._config.control.socket.parent / evicting.REQUEST).exists()
    camera.recorder.close()


def test_full_is_no_room_for_one_more_segment_and_the_reserve_that_was_given_up(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = begin(Desk(agency, tmp_path).open())
    desk.sealer._s = replace(desk.sealer._s, free_floor_bytes=1_000, log_reserve_bytes=50_000)
    segment = desk.sealer._s.media_reserve_bytes
    desk.sealer._s.log_reserve.write_bytes(bytes(50_000))
    assert desk.sealer.settings.needs_bytes == segment + 1_000

    class Statvfs:
        f_frsize, f_bavail = 1, segment + 1_000

    monkeypatch.setattr("os.statvfs", lambda path: Statvfs)
    desk.sealer.check_room()
    desk.sealer._s.log_reserve.unlink()
    with pytest.raises(StorageError, match="no room for one more segment"):
        desk.sealer.check_room()
    Statvfs.f_bavail += 50_000
    desk.sealer.check_room()
    Statvfs.f_bavail -= 1
    with pytest.raises(StorageError):
        desk.record(1)
    assert isinstance(desk.sealer, Sealer)
    assert desk.sealer.event(Kind.EVENT, {"type": "test"}) > 0, "the log goes on"
