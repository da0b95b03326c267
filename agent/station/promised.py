"""What the station has promised to keep: whatever a receipt of the camera names. The receipts themselves are asked,
since only they are what it signed.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from agent import durable


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
