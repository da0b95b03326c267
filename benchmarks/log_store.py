"""A camera's log as it is after so many leaves, without the leaves: tiles of synthetic hashes and their checkpoint."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from agent.formats import merkle, note
from agent.sealing.session import Session

YEAR = 15_000_000
"""Leaves of a year of shifts: two parts a second, eight hours a day, 260 days, and events."""


def build(directory: Path, size: int, session: Session, origin: str) -> bytes:
    """Write the tiles of `size` leaves below `directory`, each once; returns the root. Memory: one tile a level.

    Nothing is synced: this is a stand-in for what a camera wrote in a year, not a test of how it writes.
    """
    rows: list[bytearray] = []
    for index in range(-(-size // merkle.TILE_WIDTH)):
        width = min(merkle.TILE_WIDTH, size - index * merkle.TILE_WIDTH)
        _put(directory, merkle.TileId(0, index, width), hashes_of(index)[: width * merkle.HASH_SIZE])
        if width == merkle.TILE_WIDTH:
            _carry(directory, rows, 0, index, _root(hashes_of(index)))
    for level, row in enumerate(rows, 1):
        if row:
            index = (size >> 8 * level) // merkle.TILE_WIDTH
            _put(directory, merkle.TileId(level, index, len(row) // merkle.HASH_SIZE), bytes(row))
    root = merkle.TileTree(size, lambda tile: _read(directory, tile)).frontier().root()
    checkpoint = session.sign_checkpoint(note.Checkpoint(origin, size, root), with_identity=True).note
    (directory / "checkpoint").write_bytes(checkpoint)
    (directory / "chain.pem").write_bytes(session.chain_pem)
    return root


def hashes_of(index: int) -> bytes:
    """The 256 leaf hashes of one tile at level 0, as 8 KiB that are always the same."""
    return random.Random(index).randbytes(merkle.TILE_WIDTH * merkle.HASH_SIZE)


def _carry(directory: Path, rows: list[bytearray], level: int, index: int, value: bytes) -> None:
    """The root of a full tile goes one level up; so does that of the tile which it fills."""
    if level == len(rows):
        rows.append(bytearray())
    rows[level] += value
    if len(rows[level]) == merkle.TILE_WIDTH * merkle.HASH_SIZE:
        above = index // merkle.TILE_WIDTH
        _put(directory, merkle.TileId(level + 1, above), bytes(rows[level]))
        full = _root(bytes(rows[level]))
        rows[level].clear()
        _carry(directory, rows, level + 1, above, full)


def _root(tile: bytes) -> bytes:
    """Of one full tile: a tree of 256 leaves is eight rounds of pairs."""
    while len(tile) > merkle.HASH_SIZE:
        pairs = range(0, len(tile), 2 * merkle.HASH_SIZE)
        tile = b"".join(hashlib.sha256(b"\x01" + tile[at : at + 2 * merkle.HASH_SIZE]).digest() for at in pairs)
    return tile


def _put(directory: Path, tile: merkle.TileId, data: bytes) -> None:
    path = directory / tile.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _read(directory: Path, tile: merkle.TileId) -> bytes | None:
    path = directory / tile.path
    return path.read_bytes() if path.is_file() else None
