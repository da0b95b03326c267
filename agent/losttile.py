"""A tile of the log that the card lost while the log goes on: the uploader, which reads them all, says which. The
recorder looks for itself, since that word is hostile, and makes it anew from what the segments hold, with what is lost
above and below it.
"""

from __future__ import annotations

from itertools import islice

from agent.errors import EvidenceError
from agent.formats import merkle
from agent.held import KEEP, LostError, Segments, records_of
from agent.own import Own
from agent.sealing.tiles import TileStore
from agent.spool.store import Spool

MOST_TILES = 4
"""Of leaves: their segments are read as a whole, in one turn of the loop."""


def remake(spool: Spool, own: Own, tiles: TileStore, epoch: int, path: str) -> bool:
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
    try:
        tiles.remake(tile, _known(spool, own, tiles, epoch, tile))
    except EvidenceError as err:
        raise LostError(f"the log's tiles: {tile.path} is lost, and {err.message}", KEEP) from err
    return True


def _known(spool: Spool, own: Own, tiles: TileStore, epoch: int, tile: merkle.TileId) -> dict[int, bytes]:
    """The leaves that are needed, as far as segments hold them. Raises EvidenceError where too many are."""
    lost = list(islice(tiles.lost_leaves(tile), MOST_TILES + 1))
    if len(lost) > MOST_TILES:
        raise EvidenceError("so many tiles of leaves are lost with it that this log is not made anew")
    spans = [(one.index * merkle.TILE_WIDTH, (one.index + 1) * merkle.TILE_WIDTH) for one in lost]
    known: dict[int, bytes] = {}
    segments = Segments(spool, own)
    for record in records_of(spool, epoch) if spans else ():
        needed = any(record.first < end and record.end > first for first, end in spans)
        if needed and (prefix := segments.if_whole(record)):
            known.update(enumerate(prefix.hashes, record.first))
    return known
