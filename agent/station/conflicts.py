"""What does not fit together, kept for people to look at: two contents under one name, two histories of one log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from agent import durable

MAX_FILED = 10_000
"""Files a camera at the most: a camera gone mad must not fill the disk with reports of it."""


class Conflicts:
    """Files below `root`, one directory a camera. The same conflict is filed once, however often it comes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def file(self, camera: str, kind: str, facts: Mapping[str, str | int]) -> Path:
        """Write down one conflict, durably; returns where. `facts` hold the evidence, e.g. both checkpoints, whole."""
        data = json.dumps({"v": 1, "camera": camera, "kind": kind, **facts}, indent=1, sort_keys=True).encode() + b"\n"
        directory = durable.make_dir(self._root / camera)
        path = directory / f"{kind}-{hashlib.sha256(data).hexdigest()[:16]}.json"
        if not path.exists() and sum(1 for _ in directory.iterdir()) < MAX_FILED:
            durable.write_file(path, data)
        return path

    def aside(self, camera: str, name: str, sha256: str) -> Path:
        """Where a second content of a segment is kept."""
        return durable.make_dir(self._root / camera) / f"{name}.{sha256}.tar"

    def asides(self, camera: str, name: str) -> list[Path]:
        """All second contents of a segment."""
        directory = self._root / camera
        return sorted(directory.glob(f"{name}.*.tar")) if directory.is_dir() else []
