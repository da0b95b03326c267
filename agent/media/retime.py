"""Samples of a fragment at the times that they have (ISO/IEC 14496-12, 8.8).

Where libavformat cuts a fragment because of another track, it has to guess how long the last sample of this one lasts,
and begins the next fragment where that guess ends: after a gap, too early by all of the gap.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable

from agent.media.boxes import boxes, find

_OFFSET, _FIRST_FLAGS, _DURATION, _SIZE, _FLAGS, _COMPOSITION = 0x1, 0x4, 0x100, 0x200, 0x400, 0x800
Starts = Callable[[int, int], "list[int]"]
"""Given a fragment's count of samples and the decode time that it says, the ones that they have, in ticks."""


def retimed(moof: bytes, track_id: int, starts: Starts) -> bytes:
    """A moof box, given whole, with the samples of that track where `starts` has them; the same bytes where they are
    there. The last of them keeps its length, and what of the data lies where is as it was.
    """
    (content,) = find(moof, b"moof")
    parts = [(box.kind, bytes(box.payload)) for box in boxes(content)]
    grown = 0
    for number, (kind, payload) in enumerate(parts):
        if kind == b"traf" and _track_of(payload) == track_id:
            changed = _retimed_traf(payload, starts)
            grown += len(changed) - len(payload)
            parts[number] = kind, changed
    if grown:
        parts = [(kind, _moved(payload, grown) if kind == b"traf" else payload) for kind, payload in parts]
    return _box(b"moof", b"".join(_box(kind, payload) for kind, payload in parts))


def _retimed_traf(traf: bytes, starts: Starts) -> bytes:
    (tfhd,), (tfdt,), truns = find(traf, b"tfhd"), find(traf, b"tfdt"), find(traf, b"trun")
    counts = [_u32(trun, 4) for trun in truns]
    said = struct.unpack_from(">Q", tfdt, 4)[0] if tfdt[0] else _u32(tfdt, 4)
    wanted = starts(sum(counts), said) if truns else []
    if not wanted or wanted[0] == said:
        return traf
    lasts = _durations(truns[-1], _default_duration(tfhd))[-1]
    durations = [b - a for a, b in itertools.pairwise(wanted)] + [lasts]
    written, done = iter(range(len(truns))), 0
    changed = []
    for box in boxes(traf):
        payload = bytes(box.payload)
        if box.kind == b"tfdt":
            payload = b"\x01" + payload[1:4] + struct.pack(">Q", wanted[0])
        elif box.kind == b"trun":
            count = counts[next(written)]
            payload = _retimed_trun(payload, durations[done : done + count])
            done += count
        changed.append(_box(box.kind, payload))
    return b"".join(changed)


def _fields(has: int) -> list[int]:
    """Those that each sample of a run has, in their order."""
    return [field for field in (_DURATION, _SIZE, _FLAGS, _COMPOSITION) if has & field]


def _samples_at(has: int) -> int:
    """Where in a run's payload they begin."""
    return 8 + 4 * bool(has & _OFFSET) + 4 * bool(has & _FIRST_FLAGS)


def _retimed_trun(trun: bytes, durations: list[int]) -> bytes:
    has, at = _u32(trun, 0) & 0xFFFFFF, _samples_at(_u32(trun, 0))
    others = [field for field in _fields(has) if field != _DURATION]
    skipped = 4 * bool(has & _DURATION)
    samples = b""
    for duration in durations:
        rest = trun[at + skipped : at + skipped + 4 * len(others)]
        samples += struct.pack(">I", duration) + rest
        at += skipped + len(rest)
    return struct.pack(">I", _u32(trun, 0) | _DURATION) + trun[4 : _samples_at(has)] + samples


def _durations(trun: memoryview, default: int) -> list[int]:
    has, count = _u32(trun, 0) & 0xFFFFFF, _u32(trun, 4)
    if not has & _DURATION:
        return [default] * count
    step = 4 * len(_fields(has))
    return [_u32(trun, _samples_at(has) + number * step) for number in range(count)]


def _moved(traf: bytes, by: int) -> bytes:
    """With data that lies so many bytes further from the beginning of the moof."""
    changed = []
    for box in boxes(traf):
        payload = bytes(box.payload)
        if box.kind == b"trun" and _u32(payload, 0) & _OFFSET:
            (offset,) = struct.unpack_from(">i", payload, 8)
            payload = payload[:8] + struct.pack(">i", offset + by) + payload[12:]
        changed.append(_box(box.kind, payload))
    return b"".join(changed)


def _default_duration(tfhd: memoryview) -> int:
    has = _u32(tfhd, 0)
    return _u32(tfhd, 8 + 8 * bool(has & 0x1) + 4 * bool(has & 0x2)) if has & 0x8 else 0


def _track_of(traf: bytes) -> int:
    (tfhd,) = find(traf, b"tfhd")
    return _u32(tfhd, 4)


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def _u32(data: bytes | memoryview, at: int) -> int:
    return int(struct.unpack_from(">I", data, at)[0])
