"""Parts of an MP4 edited in place, as somebody would who could open them: same length, same boxes, other content."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from agent.media.boxes import boxes, find, read_tracks

SOUND, PICTURE = b"soun", b"vide"


def samples(init: bytes, part: bytes | bytearray, handler: bytes) -> Iterator[tuple[int, int]]:
    """(offset, size) of each run of this kind of samples (ISO/IEC 14496-12, 8.8.8: default-base-is-moof)."""
    tracks, at = read_tracks(init), 0
    for box in boxes(part):
        if box.kind == b"moof":
            for traf in find(box.payload, b"traf"):
                (tfhd,) = find(traf, b"tfhd")
                if tracks[struct.unpack_from(">I", tfhd, 4)[0]].handler == handler:
                    yield from ((at + start, size) for start, size in map(_run, find(traf, b"trun")))
        at += len(box.payload) + 8


def _run(trun: memoryview) -> tuple[int, int]:
    """(offset from moof, bytes) of a run whose sizes stand in it."""
    flags, count, offset = struct.unpack_from(">IIi", trun)
    assert flags & 0x201 == 0x201, "an offset, and a size for each sample"
    width = 4 * ((flags & 0xF00).bit_count())
    first = 12 + (4 if flags & 0x4 else 0)
    size_at = 4 if flags & 0x100 else 0
    return offset, sum(struct.unpack_from(">I", trun, first + n * width + size_at)[0] for n in range(count))


def muted(init: bytes, part: bytes) -> bytes:
    """Zeros where the sound was."""
    edited = bytearray(part)
    for offset, size in samples(init, part, SOUND):
        edited[offset : offset + size] = bytes(size)
    return bytes(edited)


def other_picture(init: bytes, part: bytes, other: bytes) -> bytes:
    """The picture of another part, as much of it as has room, and the sound that was there."""
    taken = b"".join(other[offset : offset + size] for offset, size in samples(init, other, PICTURE))
    edited = bytearray(part)
    for offset, size in samples(init, part, PICTURE):
        piece, taken = taken[:size], taken[size:]
        edited[offset : offset + len(piece)] = piece
    return bytes(edited)


def moved(init: bytes, part: bytes) -> bytes:
    """Every track's decode time later by a second (tfdt, 8.8.12)."""
    edited = bytearray(part)
    tracks = read_tracks(init)
    for traf in find(edited, b"moof", b"traf"):
        (tfhd,), (tfdt,) = find(traf, b"tfhd"), find(traf, b"tfdt")
        scale = tracks[struct.unpack_from(">I", tfhd, 4)[0]].timescale
        form = ">Q" if tfdt[0] else ">I"
        struct.pack_into(form, tfdt, 4, struct.unpack_from(form, tfdt, 4)[0] + scale)
    return bytes(edited)
