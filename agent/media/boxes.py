"""Read ISO base media boxes (ISO/IEC 14496-12): as much of moov and moof as tells what a part holds and when."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from agent.errors import EvidenceError
from agent.model import NS


@dataclass(frozen=True, slots=True)
class Box:
    """A box's four-character type and payload, in place."""

    kind: bytes
    payload: memoryview


@dataclass(frozen=True, slots=True)
class TrackHeader:
    """What a fragment needs from moov to be placed: `shift` ticks are added to decode time to get presentation time
    (edit list: empty edits push later, a media_time skips the beginning).
    """

    track_id: int
    handler: bytes
    timescale: int
    shift: int


@dataclass(frozen=True, slots=True)
class Run:
    """The samples of one track in one fragment; start and duration in nanoseconds of the movie's presentation."""

    track_id: int
    samples: int
    ticks: int
    start_ns: int
    duration_ns: int
    starts_with_sync: bool


def head(data: bytes | bytearray | memoryview) -> tuple[bytes, int] | None:
    """Type and whole size of the box that begins `data`; None where its header is not there yet."""
    if len(data) < 8:
        return None
    size, kind = struct.unpack_from(">I4s", data)
    if size == 1:
        if len(data) < 16:
            return None
        (size,) = struct.unpack_from(">Q", data, 8)
    if size < 8:
        raise EvidenceError(f"box {kind!r} claims a size of {size} bytes", "the media is damaged")
    return kind, size


def header_bytes(data: bytes | bytearray | memoryview) -> int:
    """How long the header is of the box that begins `data`: longer where the size stands in 64 bits."""
    return 16 if struct.unpack_from(">I", data)[0] == 1 else 8


def boxes(data: bytes | bytearray | memoryview) -> Iterator[Box]:
    """The boxes that lie side by side in `data`. Raises EvidenceError where they do not fill it."""
    view = memoryview(data)
    while view:
        found = head(view)
        if found is None or found[1] > len(view):
            raise EvidenceError("a box reaches beyond its container", "the media is damaged or cut off")
        kind, size = found
        yield Box(kind, view[header_bytes(view) : size])
        view = view[size:]


def find(data: bytes | bytearray | memoryview, *path: bytes) -> list[memoryview]:
    """The payloads of all boxes at a path, such as moov, trak, mdia, mdhd."""
    here = [memoryview(data)]
    for kind in path:
        here = [box.payload for payload in here for box in boxes(payload) if box.kind == kind]
    return here


def read_tracks(init: bytes) -> dict[int, TrackHeader]:
    """The tracks of an init segment (ftyp and moov) by track id."""
    (movie,) = find(init, b"moov", b"mvhd")
    movie_scale = _u32(movie, 20 if movie[0] else 12)
    tracks = {}
    for trak in find(init, b"moov", b"trak"):
        (tkhd,), (mdhd,), (hdlr,) = find(trak, b"tkhd"), find(trak, b"mdia", b"mdhd"), find(trak, b"mdia", b"hdlr")
        track_id = _u32(tkhd, 20 if tkhd[0] else 12)
        scale = _u32(mdhd, 20 if mdhd[0] else 12)
        shift = sum(_shift(edits, movie_scale, scale) for edits in find(trak, b"edts", b"elst"))
        tracks[track_id] = TrackHeader(track_id, bytes(hdlr[8:12]), scale, shift)
    return tracks


def _shift(elst: memoryview, movie_scale: int, scale: int) -> int:
    """ISO/IEC 14496-12, 8.6.6: edits of media_time -1 are empty; the first other one begins at media_time."""
    shift, entry, wide = 0, 8, elst[0] == 1
    for _ in range(_u32(elst, 4)):
        duration, media_time = struct.unpack_from(">Qq" if wide else ">Ii", elst, entry)
        entry += 20 if wide else 12
        if media_time < 0:
            shift += duration * scale // movie_scale
        else:
            return shift - int(media_time)
    return shift


def read_runs(moof: bytes | memoryview, tracks: dict[int, TrackHeader]) -> list[Run]:
    """What one moof box (given whole) holds, a run for each track fragment that has samples."""
    runs = []
    for traf in find(moof, b"moof", b"traf"):
        (tfhd,), (tfdt,) = find(traf, b"tfhd"), find(traf, b"tfdt")
        run = _run(tfhd, tfdt, find(traf, b"trun"), tracks)
        if run.samples:
            runs.append(run)
    return runs


def _run(tfhd: memoryview, tfdt: memoryview, truns: list[memoryview], tracks: dict[int, TrackHeader]) -> Run:
    track = tracks[_u32(tfhd, 4)]
    default_duration, default_flags = _tfhd_defaults(tfhd)
    decode = struct.unpack_from(">Q", tfdt, 4)[0] if tfdt[0] else _u32(tfdt, 4)
    samples = ticks = 0
    first_flags, first_offset = default_flags, 0
    for trun in truns:
        for number, (duration, flags, offset) in enumerate(_trun(trun, default_duration, default_flags)):
            if samples == 0 and number == 0:
                first_flags, first_offset = flags, offset
            ticks += duration
            samples += 1
    start = decode + first_offset + track.shift
    # sample_is_non_sync_sample is bit 16 of the sample flags (8.8.3.1).
    sync = not first_flags >> 16 & 1
    start_ns = start * NS // track.timescale
    return Run(track.track_id, samples, ticks, start_ns, (start + ticks) * NS // track.timescale - start_ns, sync)


def _tfhd_defaults(tfhd: memoryview) -> tuple[int, int]:
    flags, at = _u32(tfhd, 0) & 0xFFFFFF, 8
    at += 8 * bool(flags & 0x01) + 4 * bool(flags & 0x02)
    duration = _u32(tfhd, at) if flags & 0x08 else 0
    at += 4 * bool(flags & 0x08) + 4 * bool(flags & 0x10)
    return duration, _u32(tfhd, at) if flags & 0x20 else 0


def _trun(trun: memoryview, default_duration: int, default_flags: int) -> Iterator[tuple[int, int, int]]:
    """(duration, flags, composition offset) of each sample (8.8.8)."""
    version, has, count = trun[0], _u32(trun, 0) & 0xFFFFFF, _u32(trun, 4)
    at = 8 + 4 * bool(has & 0x01)
    first_flags = _u32(trun, at) if has & 0x04 else None
    at += 4 * bool(has & 0x04)
    for number in range(count):
        duration, flags, offset = default_duration, default_flags, 0
        if has & 0x100:
            duration, at = _u32(trun, at), at + 4
        at += 4 * bool(has & 0x200)
        if has & 0x400:
            flags, at = _u32(trun, at), at + 4
        elif number == 0 and first_flags is not None:
            flags = first_flags
        if has & 0x800:
            offset = int(struct.unpack_from(">i" if version else ">I", trun, at)[0])
            at += 4
        yield duration, flags, offset


def _u32(data: memoryview, at: int) -> int:
    return int(struct.unpack_from(">I", data, at)[0])
