"""How old a delivered segment is: nobody who sets the clock makes it older than the station's signed times say."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import durable
from agent.config import RetentionConfig
from agent.errors import StorageError
from agent.formats.leaf import Kind
from agent.model import NS, SegmentState
from agent.spool import retention
from agent.spool.store import Spool
from agent.station.layout import AgencyPaths
from agent.vault import Vault
from tests.camera_kit import FakeClock
from tests.recorder_kit import make_config
from tests.test_vault import put_receipt

DAY_S = 86_400
ISSUED_S = 1_780_000_000
Wall = Callable[[float], None]


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """Sets the wall clock so many days ahead of what it was when the test began."""
    real = time.time

    def put(days: float) -> None:
        monkeypatch.setattr("agent.vault.time.time", lambda: real() + days * DAY_S)

    return put


class Dock:
    """A camera that keeps delivered segments for 30 days, and its starts."""

    def __init__(self, agency: AgencyPaths, root: Path) -> None:
        self.agency, self.clock = agency, FakeClock()
        self.config = make_config(agency, root, retention=RetentionConfig(keep_days=30))
        self.start()

    def start(self) -> None:
        self.vault = Vault(self.config, self.clock)

    def again(self) -> None:
        """Another boot."""
        self.vault.close()
        self.clock = FakeClock(boot_id="22222222-2222-3333-4444-555555555555")
        self.start()

    def deliver(self, issued_s: int = ISSUED_S) -> int:
        self.vault.sealer.seal_open()
        put_receipt(self.agency, self.vault, issued_s=issued_s)
        moved, refusals = self.vault.accept_receipts()
        assert moved
        assert not refusals
        return moved

    @property
    def delivered(self) -> list[str]:
        return [p.stem for p in self.vault.spool.segments(SegmentState.DELIVERED)]


@pytest.fixture
def dock(agency: AgencyPaths, tmp_path: Path) -> Iterator[Dock]:
    made = Dock(agency, tmp_path)
    yield made
    made.vault.close()


@pytest.mark.parametrize("restarted", [False, True])
def test_a_clock_that_is_put_forward_deletes_nothing_that_was_just_delivered(
    dock: Dock, wall: Wall, restarted: bool
) -> None:
    dock.deliver()
    before = dock.delivered
    wall(56 * 365)
    if restarted:
        dock.again()
    assert dock.vault.retain() == 0
    assert dock.delivered == before


def test_what_the_station_signed_so_many_days_ago_goes(dock: Dock, wall: Wall) -> None:
    first = dock.deliver()
    wall(31)
    dock.deliver(ISSUED_S + 31 * DAY_S)
    assert dock.vault.retain() == first


def test_the_time_that_passes_without_a_station_counts_while_it_runs(dock: Dock, wall: Wall) -> None:
    moved = dock.deliver()
    wall(31)
    dock.clock.now_ns += 29 * DAY_S * NS
    assert dock.vault.retain() == 0
    dock.clock.now_ns += 2 * DAY_S * NS
    assert dock.vault.retain() == moved


def test_after_a_start_it_counts_from_there(dock: Dock, wall: Wall) -> None:
    moved = dock.deliver()
    dock.again()
    wall(100)
    dock.clock.now_ns += 31 * DAY_S * NS
    assert dock.vault.retain() == moved


def test_a_clock_that_is_put_back_keeps_it_for_longer_and_no_more(dock: Dock, wall: Wall) -> None:
    moved = dock.deliver()
    dock.clock.now_ns += 31 * DAY_S * NS
    wall(-31)
    assert dock.vault.retain() == 0
    wall(31)
    assert dock.vault.retain() == moved


def test_however_many_segments_it_holds_the_receipts_are_listed_once_a_turn_and_only_where_a_card_age_asks(
    dock: Dock, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        dock.deliver()
    assert len(dock.delivered) >= 3
    listed: list[Path] = []
    real = durable.files

    def files(directory: Path) -> list[str]:
        if directory == dock.vault.spool.receipts_dir:
            listed.append(directory)
        return real(directory)

    monkeypatch.setattr(durable, "files", files)
    assert dock.vault.retain() == 0
    assert not listed
    wall(31)
    assert dock.vault.retain() == 0
    assert len(listed) == 1
    dock.clock.now_ns += 31 * DAY_S * NS
    assert dock.vault.retain() >= 3
    assert len(listed) == 2


def test_nothing_is_remembered_of_a_segment_that_is_gone(dock: Dock, wall: Wall) -> None:
    moved = dock.deliver()
    assert dock.vault.retain(force=True) == moved
    assert dock.vault._receipted._named == {}
    dock.again()
    dock.deliver()
    wall(31)
    assert dock.vault.retain() == 0
    here = {r.sha256 for r in dock.vault.spool.records(SegmentState.DELIVERED)}
    assert set(dock.vault._receipted._named) == here


def test_a_receipt_that_was_kept_while_the_disk_failed_after_it_is_no_older_for_that(
    dock: Dock, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is there, and the camera had been running for a month before."""
    dock.deliver()
    dock.clock.now_ns += 20 * DAY_S * NS
    real = Spool.keep_receipt

    def fail(spool: Spool, data: bytes) -> str:
        real(spool, data)
        raise StorageError("cannot write newest")

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "keep_receipt", fail)
        dock.vault.sealer.seal_open()
        put_receipt(dock.agency, dock.vault, issued_s=ISSUED_S + 20 * DAY_S)
        with pytest.raises(StorageError):
            dock.vault.accept_receipts()
    wall(100)
    dock.clock.now_ns += 5 * DAY_S * NS
    assert dock.vault.retain() == 0


def test_what_is_due_at_once_goes_in_turns_none_of_which_waits_long_for_the_card(
    dock: Dock, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 4)
    for _ in range(9):
        dock.vault.sealer.event(Kind.EVENT, {"type": "x"})
        dock.vault.sealer.seal_open()
    moved = dock.deliver()
    assert moved == 9
    wall(31)
    dock.clock.now_ns += 31 * DAY_S * NS
    real, synced = os.fsync, list[int]()
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(fd), real(fd)))
    gone = []
    while not gone or dock.vault.more_to_delete:
        synced.clear()
        gone.append(dock.vault.retain(at_leisure=True))
        assert len(synced) <= 2 * 4 + 2
    assert gone[:2] == [4, 4] and sum(gone) == moved
    assert dock.delivered == []
