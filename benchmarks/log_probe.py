"""`python -m benchmarks.log_probe AGENCY SPOOL`: start on a log as a camera does, append, prove; print what it took.

A process of its own, so that its memory is that of the log and of nothing that was there before.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from agent.formats import merkle
from agent.sealing.tiles import TileStore
from agent.station.layout import AgencyPaths
from benchmarks.log_store import hashes_of
from tests.camera_kit import Desk, begin

APPENDS, PROOFS = 2_000, 200


class Counted:
    """A reader of tiles that counts; each tile is 8 KiB at the most."""

    def __init__(self, read: Callable[[merkle.TileId], bytes | None]) -> None:
        self._read, self.tiles = read, 0

    def __call__(self, tile: merkle.TileId) -> bytes | None:
        self.tiles += 1
        return self._read(tile)


def probe(agency: AgencyPaths, spool: Path, appends: int = APPENDS, proofs: int = PROOFS) -> dict[str, Any]:
    """Figures of one start, `appends` leaves, and so many proofs of each kind over the whole log."""
    desk, before = Desk(agency, spool), status_kib("VmRSS")
    opened, read, listed = _open(desk)
    size = desk.log.next_index
    begin(desk)
    at = time.perf_counter()
    for _ in range(appends):
        desk.tiles.append(hashes_of(desk.tiles.size)[: merkle.HASH_SIZE])
    append_us = (time.perf_counter() - at) * 1e6 / appends
    return {
        "leaves": size,
        "open_ms": round(opened * 1e3, 1),
        "tiles_read_to_open": read,
        "tile_directories_listed": listed,
        "append_us": round(append_us, 1),
        "rss_delta_mib": round((status_kib("VmHWM") - before) / 1024, 1),
        **_prove("inclusion", size, spool, proofs, _inclusion),
        **_prove("consistency", size, spool, proofs, _consistency),
    }


def _open(desk: Desk) -> tuple[float, int, int]:
    """Seconds until the log could be written on, tiles read, and directories of tiles listed."""
    read_tile, scandir, listed = TileStore.read, os.scandir, 0
    count = Counted(lambda tile: None)

    def read(store: TileStore, tile: merkle.TileId) -> bytes | None:
        count(tile)
        return read_tile(store, tile)

    def listing(path: Any = ".") -> Any:
        nonlocal listed
        listed += "/tile" in str(path)
        return scandir(path)

    at = time.perf_counter()
    with patch.object(TileStore, "read", read), patch.object(os, "scandir", listing):
        desk.open()
    return time.perf_counter() - at, count.tiles, listed


def _prove(
    name: str, size: int, spool: Path, proofs: int, prove: Callable[[random.Random, int, TileStore], int]
) -> dict[str, Any]:
    """Each proof is made and checked with nothing kept from the one before."""
    store, draw, read = TileStore(spool / "log" / "1"), random.Random(size), []
    at = time.perf_counter()
    for _ in range(proofs):
        read.append(prove(draw, size, store))
    spent = time.perf_counter() - at
    return {
        f"{name}_ms": round(spent * 1e3 / proofs, 2),
        f"{name}_tiles_most": max(read),
        f"{name}_tiles_mean": round(sum(read) / proofs, 2),
    }


def _inclusion(draw: random.Random, size: int, store: TileStore) -> int:
    index, read = draw.randrange(size), Counted(store.read)
    tile, at = index // merkle.TILE_WIDTH, index % merkle.TILE_WIDTH * merkle.HASH_SIZE
    tree = merkle.TileTree(size, read)
    proof = merkle.inclusion_proof(index, size, tree.subtree)
    leaf = hashes_of(tile)[at : at + merkle.HASH_SIZE]
    merkle.verify_inclusion(leaf, index, size, proof, store.root_at(size))
    return read.tiles


def _consistency(draw: random.Random, size: int, store: TileStore) -> int:
    old, read = draw.randrange(1, size), Counted(store.read)
    proof = merkle.consistency_proof(old, size, merkle.TileTree(size, read).subtree)
    merkle.verify_consistency(old, store.root_at(old), size, store.root_at(size), proof)
    return read.tiles


def status_kib(key: str) -> int:
    """Of proc(5), in KiB: VmRSS is what this process holds, VmHWM the most it ever did."""
    lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    agency, spool = map(Path, sys.argv[1:3])
    print(json.dumps(probe(AgencyPaths(agency), spool)))
