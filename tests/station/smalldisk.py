"""A file system of a few MiB that is really full: a tmpfs (tmpfs(5)) of its own. Needs root."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


def missing() -> str:
    """Why there can be none here, in words; "" where there can."""
    if os.getuid() != 0:
        return "only root mounts a tmpfs"
    done = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True, check=False
    )
    return f"no tmpfs can be mounted here: {done.stderr.strip()}" if done.returncode else ""


class SmallDisk:
    """What is mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def free(self) -> int:
        told = os.statvfs(self.path)
        return told.f_bavail * told.f_frsize

    def grow(self, mib: int) -> None:
        """Room is made."""
        _mount("-o", f"remount,size={mib}m", self.path)

    @contextlib.contextmanager
    def full(self, leaving: int = 0) -> Iterator[None]:
        """Somebody else has written it full, but for so many bytes; gone at the end."""
        other = self.path / "somebody-else"
        with other.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.free() - leaving)
        try:
            yield
        finally:
            other.unlink()


@contextlib.contextmanager
def mounted(path: Path, mib: int) -> Iterator[SmallDisk]:
    """It is there, empty, with nothing but what is written to it."""
    path.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={mib}m", "none", path)
    try:
        yield SmallDisk(path)
    finally:
        # Lazily: whoever still holds a file of it, holds only that.
        subprocess.run(["umount", "--lazy", str(path)], check=True, timeout=30)


def _mount(*words: str | Path) -> None:
    subprocess.run(["mount", *map(str, words)], check=True, capture_output=True, timeout=30)
