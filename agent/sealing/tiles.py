"""The log's tiles on disk (c2sp.org/tlog-tiles): full ones as they fill, partial ones and a checkpoint whenever a
segment is sealed.

Between two flushes the leaves in segments are the durable truth; after a power cut recovery replays them into the
tiles.
"""

from __future__ import annotations

from pathlib import Path

from agent import durable
from agent.errors import EvidenceError, StorageError
from agent.formats import merkle, note


class TileStore:
    """One epoch's tiles below `directory`. Memory: at most 256 hashes a level."""

    def __init__(self, directory: Path) -> None:
        self._dir = durable.make_dir(directory, 0o750)
        self._levels: list[list[bytes]] = []
        self._written: set[Path] = set()
        self.size = 0
        checkpoint = self._dir / "checkpoint"
        if checkpoint.exists():
            self._load(note.parse_checkpoint(note.parse(checkpoint.read_bytes()).text))

    def _load(self, head: note.Checkpoint) -> None:
        tree = merkle.TileTree(head.size, self.read)
        try:
            if tree.frontier().root() != head.root:
                raise EvidenceError("the tiles do not lead to the checkpoint")
            for level in range((head.size.bit_length() + 7) // 8):
                count = head.size >> 8 * level
                width = count % merkle.TILE_WIDTH
                tile = merkle.TileId(level, count // merkle.TILE_WIDTH, width) if width else None
                data = self.read(tile) if tile else b""
                if data is None or len(data) != width * merkle.HASH_SIZE:
                    raise EvidenceError(f"tile {tile} is missing")
                self._levels.append([data[i : i + 32] for i in range(0, len(data), 32)])
                if tile:
                    self._written.add(self._dir / tile.path)
        except EvidenceError as err:
            raise StorageError(
                f"log {self._dir}: {err.message}", "restore log/ from the station, or retire this card"
            ) from err
        self.size = head.size

    def read(self, tile: merkle.TileId) -> bytes | None:
        """A tile's bytes, or None."""
        path = self._dir / tile.path
        return path.read_bytes() if path.is_file() else None

    def frontier(self) -> merkle.Frontier:
        """The tree's compact form at `size`, from tiles on disk and hashes in memory."""
        return merkle.TileTree(self.size, self._read_or_memory).frontier()

    def root_at(self, size: int) -> bytes:
        """The root this log had at an earlier size. Raises EvidenceError where it never was that long."""
        if size > self.size:
            raise EvidenceError(f"this log has {self.size} leaves, not {size}")
        return merkle.TileTree(size, self._read_or_memory).frontier().root()

    def _read_or_memory(self, tile: merkle.TileId) -> bytes | None:
        count = self.size >> 8 * tile.level
        if tile.index == count // merkle.TILE_WIDTH and tile.level < len(self._levels):
            return b"".join(self._levels[tile.level])
        return self.read(merkle.TileId(tile.level, tile.index))

    def append(self, leaf_hash: bytes) -> None:
        """One more leaf; writes each tile that it fills."""
        self.size += 1
        level, value = 0, leaf_hash
        while True:
            if level == len(self._levels):
                self._levels.append([])
            row = self._levels[level]
            row.append(value)
            if len(row) < merkle.TILE_WIDTH:
                return
            index = (self.size >> 8 * (level + 1)) - 1
            self._write(merkle.TileId(level, index), b"".join(row))
            value = _root(row)
            row.clear()
            level += 1

    def flush(self, checkpoint_note: bytes) -> None:
        """Write the partial tiles, then the checkpoint (of exactly this size); then drop the partial tiles it
        replaces.
        """
        partial = set()
        for level, row in enumerate(self._levels):
            if row:
                partial.add(self._write(merkle.TileId(level, self.size >> 8 * (level + 1), len(row)), b"".join(row)))
        durable.write_file(self._dir / "checkpoint", checkpoint_note, 0o644)
        for old in self._written - partial:
            durable.remove(old)
        self._written = partial

    def write_chain(self, chain_pem: bytes) -> None:
        """The chain of the session whose checkpoints follow, for whoever checks them."""
        durable.write_file(self._dir / "chain.pem", chain_pem, 0o644)

    def _write(self, tile: merkle.TileId, data: bytes) -> Path:
        path = self._dir / tile.path
        durable.make_dir(path.parent, 0o750)
        durable.write_file(path, data, 0o644)
        return path


def _root(row: list[bytes]) -> bytes:
    frontier = merkle.Frontier()
    for value in row:
        frontier = frontier.append(value)
    return frontier.root()
