"""Which file system a directory lies on, and whether one that should be mounted there is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agent.errors import StorageError

_FSTAB, _MOUNTINFO = Path("/etc/fstab"), Path("/proc/self/mountinfo")
_ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Mounts:
    """Mount points: `wanted` by fstab(5), by what is mounted there; `there` now."""

    wanted: dict[Path, str]
    there: frozenset[Path]

    def lacking(self, path: Path) -> tuple[Path, str] | None:
        """The mount point at or above `path` where something should be mounted and is not, and what; None: none."""
        above = {path, *path.parents, path.resolve(), *path.resolve().parents}
        lacking = (point for point in self.wanted if point in above and point.resolve() not in self.there)
        return next(((point, self.wanted[point]) for point in lacking), None)

    def of(self, path: Path) -> Path:
        """Where the file system is mounted that `path` lies on."""
        above = (path.resolve(), *path.resolve().parents)
        return next((point for point in above if point in self.there), _ROOT)


class _Mount(NamedTuple):
    """One line of mountinfo: `device` is major:minor, `root` what of its file system is at `point`."""

    number: str
    parent: str
    device: str
    root: Path
    point: Path


def read_mounts(fstab: Path = _FSTAB, mountinfo: Path = _MOUNTINFO) -> Mounts:
    """A file that is not there names nothing. Forms: fstab(5), and mountinfo of proc_pid_mountinfo(5). A directory that
    is mounted on itself, as a unit's ReadWritePaths= and ReadOnlyPaths= do it, is no file system of its own.
    """
    lines = [line.split() for line in _lines(fstab) if not line.lstrip().startswith("#")]
    wanted = {_path(fields[1]): fields[0] for fields in lines if len(fields) >= 3 and fields[1].startswith("/")}
    found = [fields for fields in map(str.split, _lines(mountinfo)) if len(fields) > 4]
    mounts = [_Mount(a, b, c, _path(root), _path(point)) for a, b, c, root, point, *_ in found]
    by_number = {mount.number: mount for mount in mounts}
    there = (mount.point for mount in mounts if not _on_itself(mount, by_number.get(mount.parent)))
    return Mounts(wanted, frozenset(there))


def must_be_there(path: Path, mounts: Callable[[], Mounts] = read_mounts) -> None:
    """Raises StorageError where `path` lies below a mount point at which another file system should be: what would be
    written there was hidden, and lost to the log, as soon as that comes.
    """
    if lacking := mounts().lacking(path):
        point, what = lacking
        raise StorageError(f"{what} is not mounted at {point}, where {path} lies", f"put the card in; mount {point}")


def _on_itself(mount: _Mount, parent: _Mount | None) -> bool:
    if parent is None or mount.device != parent.device or not mount.point.is_relative_to(parent.point):
        return False
    return mount.root == parent.root / mount.point.relative_to(parent.point)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []


def _path(text: str) -> Path:
    """Spaces, tabs and such are written as three octal digits."""
    return Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text))
