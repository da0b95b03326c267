"""Where the samples of an MP4 lie in its `mdat` (ISO/IEC 14496-12, 8.7): one after the other, and nothing else. A byte
between or behind them is no part of the recording, and what no table leads to here another reader may find. And that
all tables of a track tell of as many samples: where they do not, each reader goes by another.
"""

from __future__ import annotations

import heapq
import itertools
import struct
from collections.abc import Iterable, Iterator

from agent.media.boxes import boxes, find

_NEVER = (1 << 32, 0, 1)


def filled(tables: Iterable[memoryview], begin: int, end: int) -> bool:
    """Whether the samples of all tracks, by their `stbl`, fill the file from `begin` to `end`: without gap or overlap,
    and each track's in its own order. Raises ValueError or struct.error where a table is in another form.
    """
    at = begin
    for offset, size in heapq.merge(*map(_chunks, tables)):
        if offset != at:
            return False
        at += size
    return at == end


def disagreeing(stbl: memoryview) -> bytes | None:
    """The first of its tables, if any, that tells of more samples than `stsz`, or of fewer (8.6.1 to 8.6.4, 8.9.2).
    Raises ValueError or struct.error where one is in another form.
    """
    (count,) = struct.unpack_from(">I", find(stbl, b"stsz")[0], 8)
    held = {box.kind: box.payload for box in boxes(stbl)}
    timed: tuple[bytes, ...] = (b"stts", b"ctts")
    told = {kind: sum(n for n, _ in rows(held[kind], ">II")) for kind in timed if kind in held}
    if b"sdtp" in held:
        told[b"sdtp"] = len(held[b"sdtp"]) - 4
    if b"sbgp" in held:
        # What no group has, at the end, is of the default.
        grouped = sum(n for n, _ in rows(held[b"sbgp"], ">II", 12 if held[b"sbgp"][0] else 8))
        told[b"sbgp"] = max(count, grouped)
    keys = [0, *(key for (key,) in rows(held[b"stss"], ">I")), count + 1] if b"stss" in held else [0]
    if any(later <= key for key, later in itertools.pairwise(keys)):
        return b"stss"
    return next((kind for kind, samples in told.items() if samples != count), None)


def rows(table: memoryview, form: str, at: int = 4) -> Iterator[tuple[int, ...]]:
    """Those of a box whose number stands at `at` and that end with it."""
    (count,) = struct.unpack_from(">I", table, at)
    if len(table) != at + 4 + count * struct.calcsize(form):
        raise ValueError("a table has another number of rows than it says")
    return struct.iter_unpack(form, table[at + 4 :])


def _chunks(stbl: memoryview) -> Iterator[tuple[int, int]]:
    """(offset, size) of each chunk, in the order of the table."""
    (stsz,), (stsc,), wide = find(stbl, b"stsz"), find(stbl, b"stsc"), find(stbl, b"co64")
    (places,) = wide or find(stbl, b"stco")
    size, left = struct.unpack_from(">II", stsz, 4)
    sizes = iter(()) if size else rows(stsz, ">I", 8)
    for (offset,), samples in zip(rows(places, ">Q" if wide else ">I"), _counts(stsc), strict=False):
        left -= samples
        yield offset, samples * size or sum(one for (one,) in itertools.islice(sizes, samples))
    if left:
        raise ValueError("the chunks hold another number of samples")


def _counts(stsc: memoryview) -> Iterator[int]:
    """How many samples each chunk has, as if there were always one more."""
    begin = 1
    for (first, samples, entry), (end, *_) in itertools.pairwise(itertools.chain(rows(stsc, ">III"), [_NEVER])):
        if first != begin or end <= first or entry != 1:
            raise ValueError("a run of chunks is out of order, or of another sample entry")
        begin = end
        yield from itertools.repeat(samples, end - first)
