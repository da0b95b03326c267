"""The camera's log as it lies in the spool, and what of it the station needs: tiles, chain, checkpoint, proof.

The recorder writes while we read: a partial tile may be replaced by a longer one between two reads. That is no
damage, so it raises LackingError, and the next look finds the new state. What still lacks at the same checkpoint is
gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent import durable
from agent.dock.station import RefusedError, TryAgainError
from agent.errors import EvidenceError, reason
from agent.formats import merkle, note
from agent.formats.epoch import is_number
from agent.formats.pack import MAX_HEADER

MAX_CHECKPOINT = 64 << 10


class LackingError(TryAgainError):
    """A tile of this checkpoint, at `path` in the log, is not there, too short, or cannot be read."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class LocalLog:
    """One epoch's log at one checkpoint. `chain` is the PEM of the session that signed it. One that is `closed` is of
    an earlier epoch: nobody writes it, so what lacks of it is lost.
    """

    directory: Path
    epoch: int
    size: int
    checkpoint: bytes
    chain: bytes
    closed: bool = False

    @property
    def chain_sha256(self) -> str:
        return hashlib.sha256(self.chain).hexdigest()

    def tiles(self, have: int) -> Iterator[tuple[merkle.TileId, bytes]]:
        """What a holder of the first `have` leaves' tiles lacks. Raises LackingError; RefusedError where closed."""
        for tile in merkle.new_tiles(min(have, self.size), self.size):
            yield tile, self._read(tile)

    def proof(self, old: int) -> list[bytes]:
        """Consistency proof from `old` leaves to this checkpoint. Raises as `tiles` does."""
        return merkle.consistency_proof(old, self.size, merkle.TileTree(self.size, self._read).subtree)

    def altered(self, each: Callable[[], None]) -> str:
        """The path of a full tile that is not what the level above says, the highest first; "" where there is none. It
        reads all of them, and calls `each` before each. Raises as `tiles` does.
        """
        tree = merkle.TileTree(self.size, self._read)
        full = [t for t in merkle.tiles_of(self.size) if t.width == merkle.TILE_WIDTH]
        for tile in sorted(full, key=lambda t: t.level, reverse=True):
            each()
            data, leaves = self._read(tile), merkle.TILE_WIDTH ** (tile.level + 1)
            root = merkle.tile_root([data[at : at + merkle.HASH_SIZE] for at in range(0, len(data), merkle.HASH_SIZE)])
            if root != tree.subtree(tile.index * leaves, (tile.index + 1) * leaves):
                return tile.path
        return ""

    def _read(self, tile: merkle.TileId) -> bytes:
        """Raises as `tiles` does."""
        trouble: OSError | None = None
        for name in (tile, merkle.TileId(tile.level, tile.index)):
            try:
                with durable.opened(self.directory / name.path) as file:
                    data = file.read(tile.width * merkle.HASH_SIZE)
            except FileNotFoundError:
                continue
            except OSError as err:
                trouble = err
                continue
            if len(data) == tile.width * merkle.HASH_SIZE:
                return data
        why = f"cannot be read: {reason(trouble)}" if trouble else "is missing or too short"
        if self.closed:
            raise RefusedError(f"the log of epoch {self.epoch} is damaged: {tile.path} {why}") from trouble
        raise LackingError(f"{tile.path} {why}", tile.path) from trouble


def epochs_in(root: Path) -> list[int]:
    """The epochs that have a log below `root`, oldest first. A directory without a checkpoint is none: the recorder
    leaves one that it did not make where it is.
    """
    names = durable.dirs(root) if root.is_dir() else []
    return sorted(int(name) for name in names if is_number(name) and durable.is_file(root / name / "checkpoint"))


def load_log(root: Path, epoch: int, closed: bool) -> LocalLog | None:
    """The log of one epoch below `root`; None where it has no checkpoint. Raises TryAgainError."""
    directory = root / str(epoch)
    try:
        checkpoint = _bounded(directory / "checkpoint", MAX_CHECKPOINT)
        chain = _bounded(directory / "chain.pem", MAX_HEADER)
        size = note.parse_checkpoint(note.parse(checkpoint).text).size
    except FileNotFoundError:
        return None
    except (OSError, EvidenceError) as err:
        raise TryAgainError(f"cannot read the log in {directory}: {reason(err)}") from err
    return LocalLog(directory, epoch, size, checkpoint, chain, closed)


def _bounded(path: Path, limit: int) -> bytes:
    with durable.opened(path) as file:
        return file.read(limit)
