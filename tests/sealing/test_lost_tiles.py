"""Full tiles that the card lost together, made anew from what is left of them and from leaves that segments hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent import losttile
from agent.errors import EvidenceError
from agent.formats import merkle
from agent.held import LostError
from agent.sealing.tiles import TileStore

SIZE = 65_536 + 300
LEAF, ABOVE = merkle.TileId(0, 7), merkle.TileId(1, 0)
AT = 7 * merkle.TILE_WIDTH


def leaf(index: int) -> bytes:
    return hashlib.sha256(index.to_bytes(4)).digest()


ROOTS: dict[bytes, bytes] = {}
"""Of tiles: nearly all are the same in each test."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    real = merkle.tile_root

    def tile_root(hashes: Sequence[bytes]) -> bytes:
        data = b"".join(hashes)
        return ROOTS.get(data) or ROOTS.setdefault(data, real(hashes))

    monkeypatch.setattr(merkle, "tile_root", tile_root)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> TileStore:
    """Long enough that a tile of the second level is full; on the disk, without its syncs."""
    tiles = TileStore(tmp_path_factory.mktemp("log"))
    for index in range(SIZE):
        tiles.append(leaf(index))
    for tile, data in tiles._full.items():
        path = tiles._dir / tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    tiles._full.clear()
    return tiles


@pytest.fixture
def tiles(grown: TileStore) -> Iterator[TileStore]:
    kept = {tile: (grown._dir / tile.path).read_bytes() for tile in (LEAF, merkle.TileId(0, 9), ABOVE)}
    yield grown
    grown._full.clear()
    for tile, data in kept.items():
        (grown._dir / tile.path).write_bytes(data)


def harm(tiles: TileStore, tile: merkle.TileId, how: str) -> bytes:
    """What it was."""
    path = tiles._dir / tile.path
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if how == "short" else data[:-1] + b"?")
    return data


def known(*firsts: int) -> dict[int, bytes]:
    return {index: leaf(index) for first in firsts for index in range(first, first + merkle.TILE_WIDTH)}


@pytest.mark.parametrize("asked", [LEAF, ABOVE])
@pytest.mark.parametrize("how", ["gone", "short"])
def test_a_tile_and_the_one_above_it_are_made_anew(tiles: TileStore, asked: merkle.TileId, how: str) -> None:
    before = {tile: harm(tiles, tile, how) for tile in (LEAF, ABOVE)}
    assert list(tiles.lost_leaves(asked)) == [LEAF]
    tiles.remake(asked, known(AT))
    assert tiles._full == before


def test_one_that_was_altered_under_one_that_is_gone(tiles: TileStore) -> None:
    """Where it is the one that is asked for: what the uploader met."""
    before = {LEAF: harm(tiles, LEAF, "altered"), ABOVE: harm(tiles, ABOVE, "gone")}
    tiles.remake(LEAF, known(AT))
    assert tiles._full == before


def test_one_that_is_gone_under_one_that_was_altered(tiles: TileStore) -> None:
    before = {LEAF: harm(tiles, LEAF, "gone"), ABOVE: harm(tiles, ABOVE, "altered")}
    tiles.remake(LEAF, known(AT))
    assert tiles._full == before


@pytest.mark.parametrize("given", [{}, {AT: bytes(32)}])
def test_without_its_leaves_or_with_others_nothing_is_made(tiles: TileStore, given: dict[int, bytes]) -> None:
    for tile in (LEAF, ABOVE):
        harm(tiles, tile, "gone")
    leaves = {**known(AT), **given} if given else {}
    with pytest.raises(EvidenceError):
        tiles.remake(LEAF, leaves)
    assert not tiles._full


def test_the_segments_of_what_is_lost_are_read_and_no_others(
    tiles: TileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def prefix(record: SimpleNamespace) -> SimpleNamespace:
        read.append(record.first)
        return SimpleNamespace(hashes=[leaf(n) for n in range(record.first, record.end)])

    records = [SimpleNamespace(first=n, end=n + 128) for n in range(0, SIZE - 128, 128)]
    monkeypatch.setattr(losttile, "records_of", lambda spool, epoch: records)
    monkeypatch.setattr(losttile, "Segments", lambda spool, own: SimpleNamespace(if_whole=prefix))
    before = {tile: harm(tiles, tile, "gone") for tile in (LEAF, merkle.TileId(0, 9), ABOVE)}
    assert losttile.remake(SimpleNamespace(), SimpleNamespace(), tiles, 1, ABOVE.path)
    assert tiles._full == before
    assert read == [AT, AT + 128, AT + 512, AT + 640]


def test_where_very_many_are_lost_no_turn_of_the_loop_reads_a_whole_card(tiles: TileStore) -> None:
    paths = [tiles._dir / merkle.TileId(0, n).path for n in range(20, 21 + losttile.MOST_TILES)]
    kept = {path: path.read_bytes() for path in paths}
    harm(tiles, ABOVE, "gone")
    for path in paths:
        path.unlink()
    try:
        with pytest.raises(LostError, match="so many tiles of leaves are lost"):
            losttile.remake(SimpleNamespace(), SimpleNamespace(), tiles, 1, ABOVE.path)
    finally:
        for path, data in kept.items():
            path.write_bytes(data)
