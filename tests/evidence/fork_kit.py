"""A camera's life that goes on twice: a card that was copied, or put back, or a key that was stolen."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from random import Random

from agent.formats import pack
from tests.builders import Camera, Segment, agency


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


def longer_in_open(place: Path) -> tuple[Camera]:
    """A segment that was sealed (leaves 2 to 5), and beside it the same in open/, which went on with other leaves."""
    true = begun(seed=1)
    for _ in range(3):
        true.event()
    segment = true.open
    assert segment is not None
    true.close_segment()
    other = parted(true, 2)
    other.open, other.owed = replace(segment, entries=list(segment.entries), sealed=False), []
    for _ in range(2):
        other.event()
    other.open.write(place / "open")
    grow(true, 4).write(place / "sealed")
    return (true,)


def torn_copy(place: Path) -> tuple[Camera]:
    """A backup of open/ beside a later one of it; blocks of its last entry had not reached the disk."""
    true = begun(seed=1)
    for _ in range(3):
        true.event()
    assert true.open is not None
    true.open.sealed = False
    whole, sealed = true.open.write(place / "later" / "open").read_bytes(), true.open.entries[-1].sealed
    torn = (whole.replace(sealed, n.to_bytes(len(sealed), "big")) for n in count())
    earlier = next(data for data in torn if sha256(data).digest() < sha256(whole).digest())
    (place / "earlier" / "open").mkdir(parents=True)
    (place / "earlier" / "open" / f"{true.open.name}.tar").write_bytes(earlier)
    true.write(place / "later")
    return (true,)


def with_a_tail(segment: Segment, indexes: Iterable[int]) -> bytes:
    """The segment with more entries before its trailer, copies of its last that nobody signed."""
    last, data, more = segment.entries[-1], segment.to_bytes(), []
    for index in indexes:
        leaf = last.leaf.replace(b'"index":%d,' % last.index, b'"index":%d,' % index)
        head = last.note.replace(b"\n%d\n" % (last.index + 1), b"\n%d\n" % (index + 1), 1)
        assert leaf != last.leaf and head != last.note
        more.append(pack.entry(index, last.sealed, leaf, head))
    return data[: -len(pack.TRAILER)] + b"".join(more) + pack.TRAILER


def longer(segment: Segment, far: bool) -> bytes:
    """By some entries that follow its last; or by one beyond a gap, tried until the SHA-256 is a lower one."""
    end, true = segment.entries[-1].index + 1, sha256(segment.to_bytes()).digest()
    if not far:
        return with_a_tail(segment, range(end, end + 10))
    tried = (with_a_tail(segment, [index]) for index in count(900_000_000))
    return next(data for data in tried if sha256(data).digest() < true)


def longer_copy(place: Path, far: bool = True) -> tuple[Camera]:
    """The true log, and beside it one of its segments, longer by what nobody signed."""
    true = grow(begun(seed=1), 4, 4, 4)
    true.write(place / "true")
    segment = true.segments[1]
    (place / "false").mkdir()
    (place / "false" / f"{segment.name}.tar").write_bytes(longer(segment, far))
    return (true,)


def following_copy(place: Path) -> tuple[Camera]:
    """The same, with entries that follow the true ones."""
    return longer_copy(place, far=False)


def copy_and_fork(place: Path) -> tuple[Camera, Camera]:
    """A longer copy that nobody signed, and a history that parts in the same segment."""
    past = begun(seed=1)
    true, other = grow(parted(past, 2), 4, 4, 4), grow(parted(past, 3), 3)
    both_in(place, true, other)
    segment = true.segments[1]
    (place / "false").mkdir()
    (place / "false" / f"{segment.name}.tar").write_bytes(longer(segment, far=False))
    return true, other


def longer_instead(place: Path, far: bool = True) -> tuple[Camera]:
    """The true log, one of its segments made longer by what nobody signed."""
    true = grow(begun(seed=1), 4, 4, 4)
    true.write(place)
    segment = true.segments[1]
    (place / f"{segment.name}.tar").write_bytes(longer(segment, far))
    return (true,)


def following_instead(place: Path) -> tuple[Camera]:
    """The same, with entries that follow the true ones."""
    return longer_instead(place, far=False)


def bent(path: Path) -> Path:
    """With one bit of its first sealed bytes turned over."""
    data = bytearray(path.read_bytes())
    data[data.index(b"age-encryption") + 200] ^= 1
    path.write_bytes(data)
    return path


WITH_THE_KEY = (beside_open, longer_in_open, spoilt_at_its_first, torn_copy)
WITHOUT_A_KEY = (longer_copy, following_copy, longer_instead, following_instead)
"""What lies beside the true log, or in it; each returns the true one first."""
