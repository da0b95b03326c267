"""The log's tiles on disk (c2sp.org/tlog-tiles): full ones, partial ones and a checkpoint, written whenever a
segment is sealed.

Between two flushes the leaves in segments are the durable truth; after a power cut recovery replays them into the
tiles. So a leaf is taken in memory alone, which cannot fail, and what could not be written stays owed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from agent import durable
from agent.errors import EvidenceError
from agent.formats import merkle, note

NONE: Mapping[merkle.TileId, bytes] = {}
HeadOf = Callable[[bytes], note.Checkpoint]


def unchecked(data: bytes) -> note.Checkpoint:
    """What a checkpoint says, whoever signed it: for who only looks. Raises EvidenceError."""
    return note.parse_checkpoint(note.parse(data).text)


class TileStore:
    """One epoch's tiles below `directory`. Memory: at most 256 hashes a level, and the full tiles not yet written
    (8 KiB for 256 leaves). `head_of` reads the checkpoint beside them; EvidenceError for one that is not to be
    believed: whoever can write the tiles can write another, and whoever signs what follows signs them too.

    `damage` says why what lies on disk cannot be gone on from; `mend` it, or give up. Raises StorageError.
    """

    def __init__(self, directory: Path, head_of: HeadOf = unchecked) -> None:
        self._dir = durable.make_dir(directory, 0o750)
        self._levels: list[list[bytes]] = []
        self._full: dict[merkle.TileId, bytes] = {}
        self._written: set[Path] = set()
        self.size = 0
        self.durable_size = 0
        self._in_doubt = False
        self.head: note.Checkpoint | None = None
        self.damage: str | None = None
        checkpoint = self._dir / "checkpoint"
        if checkpoint.exists():
            data = _bytes_of(checkpoint)
            try:
                self.head = head_of(data)
                self._load(self.head)
            except EvidenceError as err:
                self.damage = err.message
        elif durable.is_there(self._dir / "tile"):
            # The first flush of a log was cut, and its segments say all; or somebody took it away.
            self.damage = "the checkpoint is missing"

    def _load(self, head: note.Checkpoint) -> None:
        tree = merkle.TileTree(head.size, self.read)
        if tree.frontier().root() != head.root:
            raise EvidenceError("the tiles do not lead to the checkpoint")
        levels, written = [], set()
        for level in range((head.size.bit_length() + 7) // 8):
            count = head.size >> 8 * level
            width = count % merkle.TILE_WIDTH
            tile = merkle.TileId(level, count // merkle.TILE_WIDTH, width) if width else None
            data = self.read(tile) if tile else b""
            if data is None or len(data) != width * merkle.HASH_SIZE:
                raise EvidenceError(f"tile {tile} is missing")
            levels.append(_split(data))
            if tile:
                written.add(self._dir / tile.path)
        for level, above in enumerate(levels[1:]):
            # Older full tiles are not read again at each start: there may be thousands.
            newest = merkle.TileId(level, (head.size >> 8 * (level + 1)) - 1)
            data = self.read(newest) or b""
            if len(data) != merkle.TILE_WIDTH * merkle.HASH_SIZE or (
                above and merkle.tile_root(_split(data)) != above[-1]
            ):
                raise EvidenceError(f"{newest.path} is missing or not what the level above says")
        self._levels, self._written = levels, written
        self.size = self.durable_size = head.size

    def mend(self, size: int, root: bytes, known: Mapping[int, bytes]) -> None:
        """Make the edge of the tiles of `size` leaves anew, from `known` (index -> leaf hash, from segments) and, where
        it knows nothing, from what lies on disk: the partial ones, and the newest full one of each level. The caller
        has `root` from a signed checkpoint. Older full tiles are only read, at most 256 of them a level.

        Raises EvidenceError where this does not lead to `root`.
        """
        self._levels, self._full, self.size = [], {}, size
        while count := size >> 8 * len(self._levels):
            level, start = len(self._levels), count - count % merkle.TILE_WIDTH
            if start:
                self._remake(merkle.TileId(level, start // merkle.TILE_WIDTH - 1), known)
            self._levels.append([self._hash(level, index, known) for index in range(start, count)])
        if self.frontier().root() != root:
            raise EvidenceError("the tiles and segments on this card do not lead to its signed checkpoint")
        self.damage = None

    def mends_from(self, size: int) -> int:
        """Leaves from here on are those that `mend` would have from segments."""
        return max(0, size - size % merkle.TILE_WIDTH - merkle.TILE_WIDTH)

    def is_whole(self, tile: merkle.TileId) -> bool:
        """Whether a full tile of this log is what the level above it says, on disk or still owed to it."""
        data = self._stored(tile)
        return bool(data) and merkle.tile_root(_split(data)) == self._above(tile)

    def remake(self, tile: merkle.TileId, known: Mapping[int, bytes]) -> None:
        """A full tile that the disk lost, from `known` or the tiles below it, as `mend` does; the next flush writes it.
        So are those above it that are not whole, and those below them that are not there. Raises EvidenceError where
        that does not lead to what the lowest level above says that is whole.
        """
        made: dict[merkle.TileId, bytes] = {}
        for one in dict.fromkeys((tile, self._under_whole(tile))):
            made[one] = self._row(one, known, made)
        if merkle.tile_root(_split(made[one])) != self._above(one):
            raise EvidenceError(f"what is below {one.path} does not lead to the level above")
        self._full |= made

    def lost_leaves(self, tile: merkle.TileId) -> Iterator[merkle.TileId]:
        """The full tiles of leaves for which `remake` of this one needs leaves: where it is one, itself, and those that
        the disk does not give below the ones to be made.
        """
        return iter(dict.fromkeys(((tile,) if not tile.level else ()) + tuple(self._lacking(self._under_whole(tile)))))

    def _lacking(self, tile: merkle.TileId) -> Iterator[merkle.TileId]:
        if not tile.level:
            yield tile
            return
        for index in range(tile.index * merkle.TILE_WIDTH, (tile.index + 1) * merkle.TILE_WIDTH):
            if not self._stored(below := merkle.TileId(tile.level - 1, index)):
                yield from self._lacking(below)

    def _under_whole(self, tile: merkle.TileId) -> merkle.TileId:
        """It, or the first above it, of which the level above is there and says what it is."""
        while not self._above(tile):
            tile = merkle.TileId(tile.level + 1, tile.index // merkle.TILE_WIDTH)
        return tile

    def _above(self, tile: merkle.TileId) -> bytes:
        """The hash that the next level has of a full tile; nothing where that is lost too, or not what the one above it
        says. What is not full yet is in memory.
        """
        at = tile.index % merkle.TILE_WIDTH * merkle.HASH_SIZE
        parent = merkle.TileId(tile.level + 1, tile.index // merkle.TILE_WIDTH)
        full = (parent.index + 1) * merkle.TILE_WIDTH << 8 * parent.level <= self.size
        row = (self._read_or_memory(parent) or b"") if not full or self.is_whole(parent) else b""
        return row[at : at + merkle.HASH_SIZE]

    def _row(self, tile: merkle.TileId, known: Mapping[int, bytes], made: dict[merkle.TileId, bytes]) -> bytes:
        """All of a full tile; what is below it and not there is put into `made`."""
        first = tile.index * merkle.TILE_WIDTH
        for index in range(first, first + merkle.TILE_WIDTH) if tile.level else ():
            below = merkle.TileId(tile.level - 1, index)
            if below not in made and not self._stored(below):
                made[below] = self._row(below, known, made)
        return b"".join(self._hash(tile.level, first + n, known, made) for n in range(merkle.TILE_WIDTH))

    def _stored(self, tile: merkle.TileId) -> bytes:
        """A full tile, as long as one is; nothing where it is not there."""
        data = self._full.get(tile) or self.read(tile) or b""
        return data if len(data) == merkle.TILE_WIDTH * merkle.HASH_SIZE else b""

    def _remake(self, tile: merkle.TileId, known: Mapping[int, bytes]) -> None:
        """A full tile from what is below it; owed to the disk where that has another."""
        first = tile.index * merkle.TILE_WIDTH
        data = b"".join(self._hash(tile.level, first + n, known) for n in range(merkle.TILE_WIDTH))
        if data != self.read(tile):
            self._full[tile] = data

    def _hash(
        self, level: int, index: int, known: Mapping[int, bytes], made: Mapping[merkle.TileId, bytes] = NONE
    ) -> bytes:
        """One hash of a level: of a leaf, or the root of the full tile below it."""
        if level:
            below = merkle.TileId(level - 1, index)
            if not (data := made.get(below) or self._stored(below)):
                raise EvidenceError(f"{below.path} is missing, and no segment has its leaves")
            return merkle.tile_root(_split(data))
        if index in known:
            return known[index]
        at = index % merkle.TILE_WIDTH * merkle.HASH_SIZE
        value = self._newest(merkle.TileId(0, index // merkle.TILE_WIDTH))[at : at + merkle.HASH_SIZE]
        if len(value) != merkle.HASH_SIZE:
            raise EvidenceError(f"leaf {index} is in no tile and in no segment")
        return value

    def edges(self) -> list[Path]:
        """The directories that the tiles at the end of the log lie in: what a cut may leave half written is there."""
        found = {self._dir}
        for level in range((self.size.bit_length() + 7) // 8 + 1):
            newest = self.size >> 8 * (level + 1)
            for index in range(max(0, newest - 1), newest + 2):
                path = self._dir / merkle.TileId(level, index).path
                found |= {path.parent, path.with_name(f"{path.name}.p")}
        return sorted(path for path in found if path.is_dir())

    def _newest(self, tile: merkle.TileId) -> bytes:
        """The full tile on disk, else the widest partial one of it, else nothing."""
        widths = [int(p.name) for p in (self._dir / f"{tile.path}.p").glob("*") if p.name.isdigit()]
        partial = merkle.TileId(tile.level, tile.index, max(widths)) if widths else tile
        return self.read(tile) or self.read(partial) or b""

    def read(self, tile: merkle.TileId) -> bytes | None:
        """A tile's bytes on disk; None where they are not there, or the disk has lost them."""
        path = self._dir / tile.path
        return _bytes_of(path) or None if path.is_file() else None

    def frontier(self) -> merkle.Frontier:
        """The tree's compact form at `size`, from tiles on disk and hashes in memory."""
        return merkle.TileTree(self.size, self._read_or_memory).frontier()

    def root_at(self, size: int) -> bytes:
        """The root this log had at an earlier size. Raises EvidenceError where it never was that long, or the tiles do
        not tell: one that is not what the level above says would make this log another than a station saw.
        """
        if size > self.size:
            raise EvidenceError(f"this log has {self.size} leaves, not {size}")
        return merkle.TileTree(size, self._proven).frontier().root()

    def _proven(self, tile: merkle.TileId) -> bytes | None:
        full = merkle.TileId(tile.level, tile.index)
        ended = (full.index + 1) * merkle.TILE_WIDTH << 8 * full.level <= self.size
        if ended and not self.is_whole(full):
            raise EvidenceError(f"{full.path} is lost, or not what the level above says")
        return self._read_or_memory(tile)

    def _read_or_memory(self, tile: merkle.TileId) -> bytes | None:
        count = self.size >> 8 * tile.level
        if tile.index == count // merkle.TILE_WIDTH and tile.level < len(self._levels):
            return b"".join(self._levels[tile.level])
        full = merkle.TileId(tile.level, tile.index)
        return self._full.get(full) or self.read(full)

    def append(self, leaf_hash: bytes) -> None:
        """One more leaf, in memory alone."""
        self.size += 1
        level, value = 0, leaf_hash
        while True:
            if level == len(self._levels):
                self._levels.append([])
            row = self._levels[level]
            row.append(value)
            if len(row) < merkle.TILE_WIDTH:
                return
            self._full[merkle.TileId(level, (self.size >> 8 * (level + 1)) - 1)] = b"".join(row)
            value = merkle.tile_root(row)
            row.clear()
            level += 1

    def flush(self, checkpoint_note: bytes) -> None:
        """All of `flushing` at once."""
        for _ in self.flushing(checkpoint_note):
            pass

    def flushing(self, checkpoint_note: bytes) -> Iterator[None]:
        """Write the full tiles still owed and the partial ones, then the checkpoint (of exactly the size at the first
        step); then drop the partial tiles it replaces: in steps of one sync, between which leaves may be appended.
        After an error, and where it is not gone on with, what was not written is still owed to the next.
        """
        size, full = self.size, list(self._full.items())
        partial = {
            merkle.TileId(level, size >> 8 * (level + 1), len(row)): b"".join(row)
            for level, row in enumerate(self._levels)
            if row
        }
        in_doubt, self._in_doubt = self._in_doubt, True
        for tile, data in (*full, *partial.items()):
            path = self._dir / tile.path
            yield from durable.making_dir(path.parent, 0o750)
            if in_doubt:
                # One that was made, and whose sync failed, is found now: that says nothing of the disk.
                durable.sync_names([path], self._dir)
                yield
            if tile.width < merkle.TILE_WIDTH:
                self._written.add(path)
            yield from durable.writing(path, data, 0o644)
            self._full.pop(tile, None)
            yield
        yield from durable.writing(self._dir / "checkpoint", checkpoint_note, 0o644)
        self.durable_size, self._in_doubt = size, False
        for old in self._written - {self._dir / tile.path for tile in partial}:
            yield
            durable.remove(old)
            self._written.discard(old)

    def write_chain(self, chain_pem: bytes) -> None:
        """The chain of the session whose checkpoints follow, for whoever checks them."""
        durable.write_file(self._dir / "chain.pem", chain_pem, 0o644)


def _bytes_of(path: Path) -> bytes:
    """Nothing where the disk has lost it. Raises StorageError for any other trouble."""
    with durable.storage_errors(path, "cannot read"):
        try:
            return durable.read_file(path)
        except OSError as err:
            if not durable.is_lost(err):
                raise
            return b""


def _split(data: bytes) -> list[bytes]:
    return [data[i : i + merkle.HASH_SIZE] for i in range(0, len(data), merkle.HASH_SIZE)]
