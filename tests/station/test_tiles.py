"""Partial tiles of a log that is proven: each is held against the tile that the proof stands on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.formats import merkle
from agent.formats.merkle import TileId
from agent.station.conflicts import Conflicts
from agent.station.logs import Logs
from agent.station.state import Head, State
from agent.station.web import Refused
from tests.camera_kit import CAMERA, Desk
from tests.station.kit import Bench
from tests.station.test_lost import log_of, log_state

SIZE = 300
HASHES = [hashlib.sha256(i.to_bytes(2, "big")).digest() for i in range(900)]


def root_of(hashes: list[bytes]) -> bytes:
    frontier = merkle.Frontier()
    for value in hashes:
        frontier = frontier.append(value)
    return frontier.root()


class Proven:
    """What the station holds of a log of so many leaves, all of it proven."""

    def __init__(self, root: Path, size: int = SIZE) -> None:
        (root / "log").mkdir()
        self.root, self.size, self.state = root, size, State(root / "state.sqlite")
        self.logs = Logs(root / "log", self.state, Conflicts(root / "conflicts"))
        self.send()
        with self.state.transaction():
            self.state.set_head(CAMERA, 1, Head("o/c/1", size, root_of(HASHES[:size]), b"", 0))
        self.prove()

    def data(self, tile: TileId) -> bytes:
        """The right bytes of a tile."""
        hashes = HASHES if tile.level == 0 else [root_of(HASHES[n : n + 256]) for n in range(0, self.size, 256)]
        return b"".join(hashes[tile.index * 256 :][: tile.width])

    def send(self) -> None:
        for tile in merkle.tiles_of(self.size):
            self.put(tile, self.data(tile))

    def put(self, tile: TileId, data: bytes) -> int:
        try:
            self.logs.put_tile(CAMERA, 1, tile.path, data)
        except Refused as refused:
            return refused.status
        return 204

    @property
    def head(self) -> Head:
        head = self.state.head(CAMERA, 1)
        assert head
        return head

    def prove(self) -> None:
        self.logs.prove(CAMERA, 1, self.head)

    def conflicts(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_bytes()) for path in sorted((self.root / "conflicts").rglob("*.json"))]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Proven]:
    made = Proven(tmp_path)
    assert made.head.proven == SIZE
    yield made
    made.state.close()


SMALL = pytest.mark.parametrize("tile", [TileId(0, 0, 10), TileId(0, 0, 255), TileId(0, 1, 10)], ids=str)


@SMALL
def test_a_right_partial_tile_of_a_proven_log_changes_nothing(log: Proven, tile: TileId) -> None:
    assert log.put(tile, log.data(tile)) == 204
    assert (log.head.proven, log.conflicts()) == (SIZE, [])
    assert log.logs.root_at(CAMERA, 1, 290) == root_of(HASHES[:290])


@SMALL
def test_a_wrong_partial_tile_of_a_proven_log_is_a_conflict(log: Proven, tile: TileId) -> None:
    wrong = os.urandom(tile.width * merkle.HASH_SIZE)
    assert log.put(tile, wrong) == 409
    assert log.head.proven == SIZE
    (told,) = log.conflicts()
    assert (told["tile"], told["held"], told["came"]) == (tile.path, log.data(tile).hex(), wrong.hex())


def test_the_tile_that_the_proof_stands_on_is_not_overwritten_after_a_smaller_one_came(log: Proven) -> None:
    log.put(TileId(0, 1, 10), os.urandom(10 * merkle.HASH_SIZE))
    for tile in (TileId(0, 1, 44), TileId(0, 0), TileId(1, 0, 1)):
        assert log.put(tile, os.urandom(tile.width * merkle.HASH_SIZE)) == 409
    assert log.head.proven == SIZE
    assert log.logs.root_at(CAMERA, 1, 290) == root_of(HASHES[:290])


def test_what_was_stored_small_before_the_proof_is_held_against_the_proof_too(log: Proven) -> None:
    """A claim that was never proven says nothing against what was."""
    tile = TileId(0, 1, 10)
    claim = log.root / "log" / CAMERA / "1" / tile.path
    claim.parent.mkdir(exist_ok=True)
    claim.write_bytes(os.urandom(tile.width * merkle.HASH_SIZE))
    assert log.put(tile, log.data(tile)) == 204
    assert (log.head.proven, log.conflicts()) == (SIZE, [])


def test_a_small_one_of_a_proven_tile_that_is_gone_proves_nothing(log: Proven) -> None:
    (log.root / "log" / CAMERA / "1" / TileId(0, 1, 44).path).unlink()
    small = TileId(0, 1, 10)
    assert log.put(small, log.data(small)) == 204
    assert log.head.proven == 0
    assert log.put(TileId(0, 1, 44), log.data(TileId(0, 1, 44))) == 204
    log.prove()
    assert log.head.proven == SIZE


@pytest.mark.parametrize("lost", range(4))
def test_whichever_tile_is_lost_the_log_is_proven_again(tmp_path: Path, lost: int) -> None:
    """By the tiles that a camera has: none of a size that was in between."""
    made = Proven(tmp_path, 900)
    assert made.head.proven == 900
    (gone,) = (tile for tile in merkle.tiles_of(900) if (tile.level, tile.index) == (0, lost))
    (tmp_path / "log" / CAMERA / "1" / gone.path).unlink()
    made.send()
    assert made.head.proven == 0
    made.prove()
    assert (made.head.proven, made.conflicts()) == (900, [])
    made.state.close()


def test_the_station_answers_so(station: Bench, full: Desk) -> None:
    station.send_log(full)
    directory, size, _ = log_of(full)
    proven = next(merkle.tiles_of(size))
    assert 1 < proven.width < merkle.TILE_WIDTH
    small = TileId(0, 0, proven.width - 1)
    right = (directory / proven.path).read_bytes()[: small.width * merkle.HASH_SIZE]
    assert station.ask("PUT", f"/log/1/{small.path}", right).status == 204
    assert (log_state(station)["proven"], station.conflicts()) == (size, [])
    assert station.ask("PUT", f"/log/1/{small.path}", bytes(len(right))).status == 409
    assert log_state(station)["proven"] == size
    assert [one["kind"] for one in station.conflicts()] == ["tile"]
