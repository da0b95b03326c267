"""Which file system a directory lies on, and whether one that should be mounted there is not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

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


def read_mounts(fstab: Path = _FSTAB, mountinfo: Path = _MOUNTINFO) -> Mounts:
    """A file that is not there names nothing. Forms: fstab(5), and mountinfo of proc_pid_mountinfo(5)."""
    lines = [line.split() for line in _lines(fstab) if not line.lstrip().startswith("#")]
    wanted = {_path(fields[1]): fields[0] for fields in lines if len(fields) >= 3 and fields[1].startswith("/")}
    there = [fields[4] for fields in map(str.split, _lines(mountinfo)) if len(fields) > 4]
    return Mounts(wanted, frozenset(map(_path, there)))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []


def _path(text: str) -> Path:
    """Spaces, tabs and such are written as three octal digits."""
    return Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text))
