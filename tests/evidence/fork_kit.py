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
