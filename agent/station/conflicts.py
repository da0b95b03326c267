"""What does not fit together, kept for people to look at: two contents under one name, two histories of one log."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from agent import durable

LOG = logging.getLogger("bodycam.station")
MAX_FILED = 1_000
"""Of one kind and camera at the most: a camera gone mad must not fill the disk with reports of it. Each kind has a
share of its own, so that whoever floods one keeps no other out.
"""
MAX_ASIDES = 16
"""Second contents of one segment that no receipt names."""
_FILE = re.compile(r"(.+)-[0-9a-f]{16}\.json")


class Conflicts:
    """Files below `root`, one directory a camera. The same conflict is filed once, however often it comes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._filed: dict[str, Counter[str]] = {}
        """How many of each kind, by camera: counted once, a directory may hold thousands."""
        self._told: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def file(self, camera: str, kind: str, facts: Mapping[str, str | int]) -> Path:
        """Write down one conflict, durably; returns where. `facts` hold the evidence, e.g. both checkpoints, whole.
        Where there are too many of its kind, only the station's log says so, once.
        """
        data = json.dumps({"v": 1, "camera": camera, "kind": kind, **facts}, indent=1, sort_keys=True).encode() + b"\n"
        directory = durable.make_dir(self._root / camera)
        path = directory / f"{kind}-{hashlib.sha256(data).hexdigest()[:16]}.json"
        with self._lock:
            if durable.is_there(path):
                return path
            filed = self._counted(camera, directory)
            if filed[kind] < MAX_FILED:
                durable.write_file(path, data)
                filed[kind] += 1
            elif (camera, kind) not in self._told:
                self._told.add((camera, kind))
                LOG.error("%s has %d conflicts of kind %s: no more of it are filed", directory, filed[kind], kind)
        return path

    def _counted(self, camera: str, directory: Path) -> Counter[str]:
        if camera not in self._filed:
            found = map(_FILE.fullmatch, durable.names(directory, ".json"))
            self._filed[camera] = Counter(match[1] for match in found if match)
        return self._filed[camera]

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
