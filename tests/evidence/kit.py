"""What the evidence tests share: verify files on disk, and say what fails."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.evidence.findings import Finding, What
from agent.evidence.sources import collect
from agent.evidence.verify import Report, verify
from agent.formats import pack
from tests.builders import Camera, agency


def report_of(*paths: Path, head: Path | None = None) -> Report:
    return verify(collect(paths), agency().root, head)


def failures(*paths: Path, head: Path | None = None) -> list[Finding]:
    return [f for f in report_of(*paths, head=head).findings if f.fails]


def notes(*paths: Path, head: Path | None = None) -> list[What]:
    return [f.what for f in report_of(*paths, head=head).findings if not f.fails]


def with_field(member: bytes, offset: int, value: bytes) -> bytes:
    """The member with this in its header, and with the checksum that goes with it."""
    block = member[:offset] + value + member[offset + len(value) : pack.BLOCK]
    checksum = sum(block[:148]) + sum(block[156:]) + 8 * 0x20
    return block[:148] + b"%06o\0 " % checksum + block[156:] + member[pack.BLOCK :]


def only(found: list[Finding]) -> Finding:
    (one,) = found
    return one


def write_head(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@contextmanager
def memory_within(size: int) -> Iterator[None]:
    """What Python holds at most within, above what it held before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield
        most = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert most < size, f"{most:,} bytes"


def of_six_parts(camera: Camera) -> Camera:
    """In a new session it records: two segments of three parts, and no stop yet."""
    camera.new_session()
    camera.start()
    for number in range(6):
        if number == 3:
            camera.rotate()
        camera.part()
    return camera


def empty_spool(root: Path, *more: str) -> Path:
    """A card with its directories for segments, and these, and nothing in them."""
    for name in ("open", "sealed", "delivered", *more):
        (root / name).mkdir(parents=True)
    return root
