"""What the station has promised to keep: whatever a receipt of the camera names. The receipts themselves are asked,
since only they are what it signed. Who signs one and who purges take turns, each other's process or not.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent import durable
from agent.station import turn

_LOCK = "promises.lock"


def prepare(station: Path) -> None:
    """Make what `alone` locks, as who serves: then that may write it, whoever purges first. Raises StorageError."""
    for path in turn.files(station / _LOCK):
        os.close(turn.opened(path))


@contextmanager
def alone(station: Path) -> Iterator[None]:
    """Nobody else signs a receipt or deletes what one names inside the block, which lies in this station's directory:
    from the last look that a file is there to the receipt that names it, from the last look at the receipts to the
    deletion. Raises StorageError, also where it is not free in time.
    """
    with turn.alone(station / _LOCK, "promises", "`bodycam-station serve` or `purge`"):
        yield


def promised(receipts: Path, segment: str, digests: Collection[str]) -> set[str]:
    """Which of these contents of a segment (SHA-256 in hex) some receipt in this directory speaks of. Rather one too
    many: whatever has both words in it counts. Raises StorageError where one cannot be read.
    """
    found = set[str]()
    for name in durable.names(receipts, ".receipt") if durable.is_there(receipts) else []:
        with durable.storage_errors(receipts / name, "cannot read"):
            data = (receipts / name).read_bytes()
        if segment.encode() in data:
            found |= {digest for digest in digests if digest.encode() in data}
    return found
