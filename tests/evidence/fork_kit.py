"""A camera's life that goes on twice: a card that was copied, or put back, or a key that was stolen."""

from __future__ import annotations

import copy
from pathlib import Path
from random import Random

from tests.builders import Camera, agency


def begun(seed: int) -> Camera:
    """A session in a segment of its own: leaves 0 and 1."""
    camera = Camera(agency(), seed=seed).new_session()
    camera.event()
    camera.close_segment()
    return camera


def parted(camera: Camera, seed: int) -> Camera:
    """Another one with the same keys and the same past. Both may go on."""
    assert camera.open is None
    twin = copy.copy(camera)
    twin.segments, twin.owed = list(camera.segments), list(camera.owed)
    twin.hashes, twin.roots = list(camera.hashes), list(camera.roots)
    twin.random = Random(seed)
    return twin


def grow(camera: Camera, *sizes: int) -> Camera:
    """Segments of events with so many leaves, the seal leaf of the one before counted."""
    for size in sizes:
        begin = camera.frontier.size
        while camera.frontier.size < begin + size:
            camera.event()
        camera.close_segment()
    return camera


def both_in(place: Path, *histories: Camera) -> Path:
    """Each in a directory of its own below `place`, the first first."""
    for name, camera in zip("abcd", histories, strict=False):
        camera.write(place / name)
    return place


def beside_open(place: Path) -> tuple[Camera, Camera]:
    """The true history with its last segment still in open/ (leaves 6 to 12), and one that was sealed beside it."""
    past = grow(begun(seed=1), 4)
    true, false = parted(past, 2), grow(parted(past, 3), 4, 4)
    while true.frontier.size < 13:
        true.event()
    assert true.open is not None
    true.open.sealed = False
    true.open.write(place / "open")
    both_in(place, true, false)
    return true, false


def spoilt_at_its_first(place: Path) -> tuple[Camera, Camera]:
    """The true history (up to leaf 9), which a station cosigned, and another, with a byte turned over in the sealed
    bytes of the segment in which it parts (2 to 11), and one more behind it.
    """
    past = begun(seed=1)
    true, false = grow(parted(past, 2), 4, 4), grow(parted(past, 3), 10, 5)
    both_in(place, true, false)
    (place / "a.receipt").write_bytes(true.receipt(true.segments))
    spoilt = false.segments[1]
    path, sealed = place / "b" / f"{spoilt.name}.tar", spoilt.entries[3].sealed
    data = bytearray(path.read_bytes())
    data[data.index(sealed) + len(sealed) - 1] ^= 1
    path.write_bytes(data)
    return true, false


HOSTILE = (beside_open, spoilt_at_its_first)
"""What somebody lays beside the true log, which each returns first."""
