"""Where inputs lie as files: one directory in memory for each process, made empty before each run."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from agent.evidence.blobs import Window
from tests.fuzz.guard import watched


@cache
def _root() -> Path:
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="bodycam-fuzz-", dir=memory if memory.is_dir() else None)).resolve()
    atexit.register(shutil.rmtree, made, True)
    return made


@contextmanager
def fresh() -> Iterator[Path]:
    """An empty directory that may be written below; nothing else may."""
    root = _root()
    shutil.rmtree(root)
    root.mkdir()
    with watched(root):
        yield root


@contextmanager
def window(data: bytes) -> Iterator[tuple[Window, Path]]:
    """The input as an open file, and a path by which it can be opened again: no link, which nothing follows."""
    path = _beside()
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield Window(fd, 0, len(data), path), path
    finally:
        os.close(fd)


@cache
def _beside() -> Path:
    path = _root().with_suffix(".one")
    atexit.register(path.unlink, True)
    return path


LINK, PIPE = b"a link", b"a pipe"
"""Contents that stand for one, not for a file."""


def lay(root: Path, members: list[tuple[str, bytes]]) -> None:
    """Files of these names below `root`; a name that would leave it is bent back in, one that does not fit left out."""
    for name, content in members[:64]:
        parts = [part[:60] for part in name.replace("\0", "").split("/") if part not in ("", ".", "..")][:20]
        path = root.joinpath(*parts)
        if parts and not path.exists() and all(not p.is_file() for p in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            _put(path, content)


def _put(path: Path, content: bytes) -> None:
    if content == LINK:
        path.symlink_to(path.parent)
    elif content == PIPE:
        os.mkfifo(path)
    else:
        path.write_bytes(content)
