"""A tile of the log that the card lost while the log goes on: the uploader, which reads them all, says which. The
recorder looks for itself, since that word is hostile, and makes it anew from what the segments hold.
"""

from __future__ import annotations

from agent.errors import EvidenceError
from agent.formats import merkle
from agent.held import KEEP, LostError, Segments, records_of
from agent.sealing.tiles import TileStore
from agent.spool.store import Spool


def remake(spool: Spool, tiles: TileStore, epoch: int, path: str) -> bool:
    """Whether there is anything to be written anew. A partial tile is written with each flush. Raises LostError where
    nothing on the card holds the leaves of a full one.
    """
    try:
        named = merkle.parse_tile_path(path)
    except EvidenceError:
        return False
    tile = merkle.TileId(named.level, named.index)
    per_hash = 1 << 8 * tile.level
    first, end = (n * merkle.TILE_WIDTH * per_hash for n in (tile.index, tile.index + 1))
    if end > tiles.size or tiles.is_whole(tile):
        return named.width < merkle.TILE_WIDTH and first < tiles.size
    known: dict[int, bytes] = {}
    segments = Segments(spool)
    for record in records_of(spool, epoch) if not tile.level else ():
        if record.first < end and record.end > first and (prefix := segments.if_whole(record)):
            known.update(enumerate(prefix.hashes, record.first))
    try:
        tiles.remake(tile, known)
    except EvidenceError as err:
        raise LostError(f"the log's tiles: {tile.path} is lost, and {err.message}", KEEP) from err
    return True
