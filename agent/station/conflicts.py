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
        if not durable.is_there(path) and len(durable.names(directory)) < MAX_FILED:
            durable.write_file(path, data)
        return path

    def aside(self, camera: str, name: str, sha256: str) -> Path:
        """Where a second content of a segment is kept."""
        return durable.make_dir(self._root / camera) / f"{name}.{sha256}.tar"

    def asides(self, camera: str, name: str) -> list[Path]:
        """All second contents of a segment."""
        return self._all(camera, name, ".tar")

    def _all(self, camera: str, name: str, suffix: str) -> list[Path]:
        directory = self._root / camera
        held = durable.names(directory, suffix) if durable.is_there(directory) else []
        return [directory / one for one in held if one.startswith(f"{name}.")]

    def unreadables(self, camera: str, name: str) -> list[Path]:
        """All contents of a segment that `unreadable` put aside."""
        return self._all(camera, name, ".unreadable")

    def unreadable(self, camera: str, name: str, path: Path) -> Path:
        """Put aside what the disk no longer gives back, so that its name is free; returns where. A person with other
        tools may still read some of it.
        """
        with durable.storage_errors(path, "cannot look at"):
            number = path.lstat().st_ino
        aside = durable.make_dir(self._root / camera) / f"{name}.{number}.unreadable"
        durable.move(path, aside)
        return aside
