"""The log after a year: a start, an append and a proof cost what they did on the first day."""

from __future__ import annotations

import errno
import json
import multiprocessing
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from agent import durable
from agent.errors import StorageError
from agent.formats import merkle
from agent.sealing.tiles import TileStore
from agent.station.layout import AgencyPaths
from benchmarks.log_after_a_year import prepare
from benchmarks.log_probe import status_kib
from benchmarks.log_store import YEAR, hashes_of
from tests import campaigns
from tests.camera_kit import Desk, begin

SAMPLE = 100_000
HOUSE = Path(__file__).resolve().parents[2]


def levels(size: int) -> int:
    return (size.bit_length() + 7) // 8


def generated(agency: AgencyPaths, spool: Path, size: int) -> tuple[float, int]:
    """Seconds and KiB that the generator took, in the process that it is called in."""
    before_kib, began = status_kib("VmRSS"), time.monotonic()
    prepare(agency, spool, size)
    return time.monotonic() - began, status_kib("VmHWM") - before_kib


@pytest.mark.campaign
def test_a_start_and_every_proof_read_a_few_tiles_however_long_the_log_is(agency: AgencyPaths, tmp_path: Path) -> None:
    """In a process of its own, so that its memory is the log's: 15 million leaves, whose hashes alone are 480 MB."""
    campaign, size = campaigns.Campaign("log-after-a-year"), campaigns.size(SAMPLE, YEAR)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as another:
        made_s, made_kib = another.submit(generated, agency, tmp_path / "spool", size).result()
    command = [sys.executable, "-m", "benchmarks.log_probe", str(agency.root), str(tmp_path / "spool")]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    high = levels(size)
    assert told["leaves"] == size
    # The newest partial tile of each level, once to see that it is whole and once to go on; the full one beside it.
    assert told["tiles_read_to_open"] <= 3 * high + 1
    assert told["tile_directories_listed"] <= 4 * (high + 1)
    # Up one side of the tree, and down its right edge.
    assert told["inclusion_tiles_most"] <= 2 * high - 1
    assert told["consistency_tiles_most"] <= 2 * high - 1
    assert told["rss_delta_mib"] < 16
    campaign.finish(**told, generator_s=round(made_s, 1), generator_rss_delta_mib=round(made_kib / 1024, 1))


def test_appending_keeps_one_row_a_level_in_memory(agency: AgencyPaths, tmp_path: Path) -> None:
    """And the full tiles that are not on the disk yet; a flush, at each seal, lets them go."""
    prepare(agency, tmp_path / "spool", SAMPLE)
    desk = begin(Desk(agency, tmp_path / "spool").open())
    for number in range(3 * merkle.TILE_WIDTH):
        assert len(desk.log.frontier.hashes) == desk.log.frontier.size.bit_count()
        desk.tiles.append(hashes_of(number)[: merkle.HASH_SIZE])
    assert sum(map(len, desk.tiles._levels)) < levels(SAMPLE) * merkle.TILE_WIDTH
    assert len(desk.tiles._full) == 3
    desk.tiles.flush((tmp_path / "spool/log/1/checkpoint").read_bytes())
    assert desk.tiles._full == {}


@pytest.mark.wide
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_damaged_edge_is_mended_without_reading_the_log_through(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: int
) -> None:
    """What is above the leaves follows from the full tiles below it; leaves themselves are lost without a segment."""
    prepare(agency, tmp_path / "spool", SAMPLE)
    directory = tmp_path / "spool" / "log" / "1"
    count = SAMPLE >> 8 * level
    tile = merkle.TileId(level, count // merkle.TILE_WIDTH, count % merkle.TILE_WIDTH)
    path = directory / tile.path
    whole = path.read_bytes()
    path.write_bytes(bytes(32) + whole[32:])
    real, read = TileStore.read, []

    def counted(store: TileStore, wanted: merkle.TileId) -> bytes | None:
        read.append(wanted)
        return real(store, wanted)

    monkeypatch.setattr(TileStore, "read", counted)
    if level == 0:
        with pytest.raises(StorageError, match="do not lead to its signed checkpoint"):
            Desk(agency, tmp_path / "spool").open()
        return
    desk = begin(Desk(agency, tmp_path / "spool").open())
    assert len(read) <= (levels(SAMPLE) + 1) * 3 * merkle.TILE_WIDTH
    desk.sealer.seal_open()
    again = TileStore(directory)
    assert again.damage is None
    assert again.size == desk.log.next_index


def test_a_directory_of_tiles_whose_sync_failed_is_synced_before_the_next_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found then, which says nothing of the disk."""
    synced: list[Path] = []
    refused: list[Path] = []
    real = durable.fsync_dir

    def failing(path: Path) -> None:
        if path.name == "tile" and not refused:
            refused.append(path)
            raise OSError(errno.EIO, "made to fail")
        synced.append(path)
        real(path)

    monkeypatch.setattr(durable, "fsync_dir", failing)
    store = TileStore(tmp_path / "log")
    store.append(bytes(32))
    with pytest.raises(StorageError):
        store.flush(b"")
    assert refused and refused[0] not in synced
    store.flush(b"")
    assert refused[0] in synced
