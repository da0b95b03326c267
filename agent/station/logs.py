"""The station's copy of the cameras' logs: tiles as they come (c2sp.org/tlog-tiles), and proof that they lead to a
cosigned head.

A tile is only a claim until `prove` walked every leaf up to the cosigned root; from then on it never changes. One that
the disk has lost is a claim again when it came anew.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from agent import durable
from agent.errors import EvidenceError, StorageError
from agent.formats import merkle, note
from agent.station.conflicts import Conflicts
from agent.station.state import Head, State
from agent.station.web import Refused

MAX_TILE = merkle.TILE_WIDTH * merkle.HASH_SIZE
MAX_INDEX = 1 << 32
LOG = logging.getLogger("bodycam.station")


class LostTileError(StorageError):
    """The disk has lost this tile: where it comes again, it is taken."""


class Logs:
    """Files below `root`/<camera>/<epoch>/. Thread-safe. Raises StorageError."""

    def __init__(self, root: Path, state: State, conflicts: Conflicts) -> None:
        self._root, self._state, self._conflicts = root, state, conflicts
        self._lock = threading.Lock()

    def put_tile(self, camera: str, epoch: int, path: str, data: bytes) -> None:
        """Store one tile. Raises Refused: 400 for what is no tile, 409 where a proven one says otherwise."""
        try:
            tile = merkle.parse_tile_path(path)
        except EvidenceError as err:
            raise Refused(400, err.message) from None
        if len(data) != tile.width * merkle.HASH_SIZE or tile.level > 7 or tile.index > MAX_INDEX:
            raise Refused(400, f"{path} does not have {len(data)} bytes")
        with self._lock:
            held = self._held(camera, epoch, tile)
            if held == data:
                return
            head = self._state.head(camera, epoch)
            if held is not None and head is not None and _end(tile) <= head.proven:
                facts: dict[str, str | int] = {"epoch": epoch, "tile": path, "held": held.hex(), "came": data.hex()}
                self._conflicts.file(camera, "tile", facts)
                raise Refused(409, f"{path} is proven, and different")
            target = self._dir(camera, epoch) / tile.path
            durable.make_dir(target.parent)
            durable.write_file(target, data, 0o644)

    def _held(self, camera: str, epoch: int, tile: merkle.TileId) -> bytes | None:
        """What there is of a tile that came: where it is proven, what the tile says that the proof stands on. Where the
        disk lost that, or its file is gone, nothing, and the log is to be proven anew from its begin: to go on from a
        smaller size would take partial tiles of that size, which need never have been here.
        """
        head = self._state.head(camera, epoch)
        proven = head.proven if head else 0
        is_proven = _end(tile) <= proven
        try:
            found = self._read(camera, epoch, _grown(tile, proven) if is_proven else tile)
            lost = found is None and is_proven
        except LostTileError as err:
            LOG.error("%s: it came again, and is replaced", err.message)
            found, lost = None, True
        if lost:
            self._state.unprove(camera, epoch)
        return found and found[: tile.width * merkle.HASH_SIZE]

    def put_chain(self, camera: str, epoch: int, name: str, chain_pem: bytes) -> None:
        """Keep a chain that was checked, under its digest as leaves name it."""
        path = durable.make_dir(self._dir(camera, epoch) / "chain") / f"{name}.pem"
        if not durable.is_there(path):
            durable.write_file(path, chain_pem, 0o644)
        # Also where it was there: who made it, or its directory, may have been killed before the sync.
        durable.sync_names([path], self._root.parent)

    def put_checkpoint(self, camera: str, epoch: int, signed: bytes) -> None:
        """The newest cosigned head, as a file for people; the state is what counts."""
        durable.write_file(durable.make_dir(self._dir(camera, epoch)) / "checkpoint", signed, 0o644)

    def tree(self, camera: str, epoch: int, size: int) -> merkle.TileTree:
        """The tree of the first `size` leaves, which are proven: a tile that is not there is lost."""
        return merkle.TileTree(size, lambda tile: self._proven(camera, epoch, tile))

    def _proven(self, camera: str, epoch: int, tile: merkle.TileId) -> bytes:
        """Raises StorageError, LostTileError."""
        data = self._read(camera, epoch, tile)
        if data is None:
            raise LostTileError(f"{self._dir(camera, epoch) / tile.path} is gone", "look at the disk")
        return data

    def root_at(self, camera: str, epoch: int, size: int) -> bytes | None:
        """The root of the first `size` leaves, where that is proven; else None."""
        head = self._state.head(camera, epoch)
        if head is None or size > head.proven:
            return None
        # Read through the whole proven tree: a smaller one's partial tiles need not be here.
        try:
            return self.tree(camera, epoch, head.proven).subtree(0, size) if size else merkle.EMPTY_ROOT
        except LostTileError as err:
            LOG.error("%s: the tree of %d leaves is not compared", err.message, size)
            return None

    def goes_on(self, camera: str, epoch: int, head: Head, new: note.Checkpoint) -> bool | None:
        """Whether the tiles say that the larger tree `new` goes on from `head`; None where they do not lead to it.
        Raises StorageError.
        """
        start = head.proven - head.proven % merkle.TILE_WIDTH
        with self._lock:
            try:
                frontier = before = self.tree(camera, epoch, start).frontier()
                for tile in _row(0, start, new.size):
                    for value in self._hashes(camera, epoch, tile):
                        frontier = frontier.append(value)
                        before = frontier if frontier.size <= head.size else before
            except (EvidenceError, LostTileError):
                return None
        return before.root() == head.root if frontier.root() == new.root else None

    def prove(self, camera: str, epoch: int, head: Head) -> None:
        """Walk the leaves that are new since the last proof up to the cosigned root. Raises EvidenceError where the
        tiles lack or lead elsewhere, LostTileError where the disk has lost one.
        """
        if head.proven >= head.size:
            return
        # From a tile's boundary: a partial tile that grew says its old hashes anew, and they are checked with the rest.
        start = head.proven - head.proven % merkle.TILE_WIDTH
        with self._lock:
            frontier = self.tree(camera, epoch, start).frontier()
            for tile in _row(0, start, head.size):
                for value in self._hashes(camera, epoch, tile):
                    frontier = frontier.append(value)
            if frontier.root() != head.root:
                raise EvidenceError(f"the tiles do not lead to the cosigned tree of {head.size} leaves")
            self._check_upper(camera, epoch, head)
            # They are never asked for again.
            paths = [path for tile in _new(head) for path in self._places(camera, epoch, tile)]
            durable.sync_names(filter(durable.is_there, paths), self._root.parent)
        self._state.set_proven(camera, epoch, head.size)

    def _check_upper(self, camera: str, epoch: int, head: Head) -> None:
        """Each hash above level 0 is the root of the full tile below it."""
        level = 1
        while head.size >> 8 * level:
            for tile in _row(level, head.proven >> 8 * level, head.size >> 8 * level):
                for i, value in enumerate(self._hashes(camera, epoch, tile)):
                    below = merkle.TileId(level - 1, tile.index * merkle.TILE_WIDTH + i)
                    if merkle.tile_root(self._hashes(camera, epoch, below)) != value:
                        raise EvidenceError(f"{tile.path} does not follow from {below.path}")
            level += 1

    def _hashes(self, camera: str, epoch: int, tile: merkle.TileId) -> list[bytes]:
        data = self._read(camera, epoch, tile)
        if data is None:
            raise EvidenceError(f"{tile.path} is missing")
        return [data[i : i + merkle.HASH_SIZE] for i in range(0, tile.width * merkle.HASH_SIZE, merkle.HASH_SIZE)]

    def _read(self, camera: str, epoch: int, tile: merkle.TileId) -> bytes | None:
        """The tile's bytes, None where there are none. Raises StorageError, LostTileError where the disk lost them."""
        lost: StorageError | None = None
        for path in self._places(camera, epoch, tile):
            try:
                with durable.storage_errors(path, "cannot read"), path.open("rb") as file:
                    return file.read(tile.width * merkle.HASH_SIZE)
            except StorageError as err:
                if durable.says_lost(err):
                    lost = err
                elif not isinstance(err.__cause__, FileNotFoundError):
                    raise
        if lost:
            raise LostTileError(lost.message, lost.hint) from lost.__cause__
        return None

    def _places(self, camera: str, epoch: int, tile: merkle.TileId) -> list[Path]:
        """Where it may lie: a partial one also in the full tile it grew into."""
        names = {tile.path: None, merkle.TileId(tile.level, tile.index).path: None}
        return [self._dir(camera, epoch) / name for name in names]

    def _dir(self, camera: str, epoch: int) -> Path:
        return self._root / camera / str(epoch)


def _end(tile: merkle.TileId) -> int:
    """How many leaves it and all before it stand for."""
    return (tile.index * merkle.TILE_WIDTH + tile.width) << 8 * tile.level


def _grown(tile: merkle.TileId, size: int) -> merkle.TileId:
    """The tile in its place, as wide as it is in the tree of so many leaves."""
    width = (size >> 8 * tile.level) - tile.index * merkle.TILE_WIDTH
    return merkle.TileId(tile.level, tile.index, min(width, merkle.TILE_WIDTH))


def _row(level: int, old: int, new: int) -> list[merkle.TileId]:
    """The tiles of one level that hold the hashes old <= i < new."""
    return [
        merkle.TileId(level, index, min(new - index * merkle.TILE_WIDTH, merkle.TILE_WIDTH))
        for index in range(old // merkle.TILE_WIDTH, -(-new // merkle.TILE_WIDTH))
    ]


def _new(head: Head) -> list[merkle.TileId]:
    """The tiles of all levels that hold what is not proven yet."""
    levels = range((head.size.bit_length() + 7) // 8)
    return [tile for level in levels for tile in _row(level, head.proven >> 8 * level, head.size >> 8 * level)]
