"""A disk that refuses blocks and files of those who read evidence, and what is said beside that."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path

import pytest

from agent.evidence.findings import Finding, What
from tests.builders import Camera, Segment, agency
from tests.evidence.kit import failures

BLOCK = 4_096


class Disk:
    """What this process reads of it; `spoil` has it refuse a block of a file, `lock` a whole file."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.bad: set[tuple[Path, int]] = set()
        self.locked: set[Path] = set()
        self.most: int | None = None
        """Bytes that it gives at once; what asks for more gets nothing."""
        self.asked = 0
        self.opens = Counter[Path]()
        """How often it was asked for each file, of which it refuses each `below` just the `refused`th time."""
        self.refused, self.below = 0, Path("/")
        self._pread, self._open = os.pread, os.open
        self.patch = patch
        patch.setattr(os, "pread", self._read)
        patch.setattr(os, "open", self._opened)

    def spoil(self, path: Path, *blocks: int) -> None:
        self.bad |= {(path.resolve(), block) for block in blocks}

    def lock(self, path: Path) -> None:
        self.locked.add(path.resolve())

    def _read(self, fd: int, count: int, offset: int) -> bytes:
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        if self.most is not None and count > self.most:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if any((path, block) in self.bad for block in range(offset // BLOCK, -(-(offset + count) // BLOCK))):
            self.asked += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._pread(fd, count, offset)

    def _opened(self, path: str | Path, *args: int, **more: int) -> int:
        if Path(path).resolve() in self.locked:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        self.opens[Path(path)] += 1
        if self.opens[Path(path)] == self.refused and Path(path).is_relative_to(self.below):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return self._open(path, *args, **more)


def blocks_of(path: Path) -> range:
    return range(-(-path.stat().st_size // BLOCK))


def leaves_of(segment: Segment) -> tuple[int, int]:
    """The first leaf that it has, and how many, as a receipt says it."""
    return segment.header.first, len(segment.entries)


def recorded(segments: int, parts: int) -> Camera:
    """An event segment, one recording of so many segments with so many parts each, the session's last event segment."""
    camera = Camera(agency(), seed=4).new_session()
    camera.start()
    for number in range(segments):
        if number:
            camera.rotate()
        for _ in range(parts):
            camera.part(size=3_000)
    camera.stop()
    return camera.shutdown()


def lacks(*places: Path, head: Path | None = None) -> list[Finding]:
    """What fails there, but for what cannot be read."""
    return [f for f in failures(*places, head=head) if f.what is not What.UNREADABLE]
