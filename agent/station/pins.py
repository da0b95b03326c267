"""Which of the station's keys each camera pins, as it says itself when it asks for orders
(`orders/<camera>/pinned.json`).

TLS shows that it is that camera's uploader which says so. One that lies has its own camera refuse receipts, later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path

from agent import durable
from agent.formats.order import MAX_PINNED

FORM = re.compile(rf"[0-9a-f]{{8}}( [0-9a-f]{{8}}){{0,{MAX_PINNED - 1}}}")


def note(orders: Path, camera: str, keys: Collection[str], now_s: int) -> None:
    """Remember them, where they are others than before. Raises StorageError."""
    if told(orders, camera) == frozenset(keys):
        return
    durable.make_dir(orders / camera)
    data = json.dumps({"v": 1, "keys": sorted(keys), "since": now_s}).encode() + b"\n"
    durable.write_file(_path(orders, camera), data)


def told(orders: Path, camera: str) -> frozenset[str] | None:
    """The hashes of the verifier keys that it pins; None where it never said, or what it said is lost: it says it again
    with each visit.
    """
    try:
        keys = json.loads(_path(orders, camera).read_bytes())["keys"]
        return frozenset(map(str, keys))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _path(orders: Path, camera: str) -> Path:
    return orders / camera / "pinned.json"
