"""Configuration and certificates: files that are everybody's to read, whatever the umask of who writes them. Recorder
and uploader are other users than who provisions.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from agent import durable

_PUBLIC, _ENTERED = 0o644, 0o755


def make_dir(root: Path) -> None:
    """Make this directory, and those it is in, so that everybody may enter them; what is there stays as it is. Raises
    StorageError.
    """
    lacking = [path for path in (root, *root.parents) if not path.exists()]
    durable.make_dir(root, _ENTERED)
    for path in lacking:
        open_dir(path)


def open_dir(path: Path) -> None:
    """Let everybody enter it, as where an earlier umask kept others from it. Raises StorageError."""
    with durable.storage_errors(path, "cannot let everybody enter"):
        mode = path.stat().st_mode & 0o7777
        if mode | _ENTERED != mode:
            path.chmod(mode | _ENTERED)


def put(path: Path, data: bytes) -> bool:
    """Write it durably, unless just that is there: then False. One that an earlier umask kept others from is opened.
    Raises StorageError.
    """
    there = False
    with contextlib.suppress(OSError):
        there = path.read_bytes() == data
    if not there:
        durable.write_file(path, data, _PUBLIC)
    with durable.storage_errors(path, "cannot let everybody read"):
        path.chmod(_PUBLIC)
    return not there
