"""The tables of a film that is longer than 4 GiB: where its samples lie stands in 64 bits. By the tables alone: of the
samples none is there, or the file has holes in their place.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from agent.errors import EvidenceError
from agent.evidence import remux
from agent.evidence.chunks import disagreeing, filled
from agent.evidence.shown import check_shown
from agent.media.boxes import boxes, find
from tests.evidence.test_shown import end_of
from tests.film import film

GIB = 1 << 30
Chunks = Sequence[tuple[int, Sequence[int]]]
"""Where each begins, and the sizes of its samples."""


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def table(kind: bytes, rows: Sequence[bytes]) -> bytes:
    return box(kind, struct.pack(">II", 0, len(rows)) + b"".join(rows))


def track(chunks: Chunks, wide: bool = True) -> memoryview:
    """Its `stbl`, as far as it tells of samples."""
    sizes = [size for _, samples in chunks for size in samples]
    runs = [struct.pack(">III", n + 1, len(samples), 1) for n, (_, samples) in enumerate(chunks)]
    places = [struct.pack(">Q" if wide else ">I", at & (1 << 64 if wide else 1 << 32) - 1) for at, _ in chunks]
    lengths = box(b"stsz", struct.pack(">III", 0, 0, len(sizes)) + struct.pack(f">{len(sizes)}I", *sizes))
    times = table(b"stts", [struct.pack(">II", len(sizes), 3_000)])
    return memoryview(times + table(b"stsc", runs) + lengths + table(b"co64" if wide else b"stco", places))


def layout(begin: int) -> tuple[Chunks, Chunks, int]:
    """Picture and sound by turns, for 12 GiB: chunks of two samples of 1 GiB, and of three of a few bytes."""
    picture, sound, at = list[tuple[int, list[int]]](), list[tuple[int, list[int]]](), begin
    for number in range(6):
        picture.append((at, [GIB, GIB - number]))
        at += sum(picture[-1][1])
        sound.append((at, [100, 200, 300 + number]))
        at += sum(sound[-1][1])
    return picture, sound, at


@pytest.mark.parametrize("begin", [48, 4 * GIB - 1, 4 * GIB])
def test_samples_beyond_four_gibibytes_are_followed_to_the_end(begin: int) -> None:
    picture, sound, end = layout(begin)
    tracks = [track(picture), track(sound)]
    assert end - begin > 11 * GIB
    assert filled(tracks, begin, end)
    assert [disagreeing(one) for one in tracks] == [None, None]
    for wrong in (end - 1, end + 1, end - 4 * GIB, end + 4 * GIB):
        assert not filled(tracks, begin, wrong)


@pytest.mark.parametrize("off", [-1, 1, 4 * GIB, -4 * GIB])
def test_a_chunk_elsewhere_is_seen_also_where_its_lower_half_is_right(off: int) -> None:
    picture, sound, end = layout(48)
    moved = [(at + off if number == 4 else at, samples) for number, (at, samples) in enumerate(picture)]
    assert not filled([track(moved), track(sound)], 48, end)


def test_places_in_32_bits_do_not_reach_so_far() -> None:
    """As a writer would leave them that takes the lower half alone."""
    picture, sound, end = layout(48)
    assert not filled([track(picture, wide=False), track(sound)], 48, end)


def rebuilt(payload: memoryview, change: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> bytes:
    """Boxes one in another, with each of the innermost as `change` makes it."""
    made = b""
    for one in boxes(payload):
        if one.kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            made += box(one.kind, rebuilt(one.payload, change))
        else:
            made += box(*change(one.kind, bytes(one.payload)))
    return made


def grown(data: bytes, path: Path, by: int) -> int:
    """The film with its first picture longer by 3 GiB, and its second by `by`, as a file with holes; its length."""
    (begin,) = (len(data) - len(payload) for payload in find(data, b"mdat"))
    longer, wide = [3 * GIB, by], dict.fromkeys((b"stco", b"co64"), b"co64")
    (stsz,) = find(data, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsz")[:1]
    (first, *_) = find(data, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stco")
    places, sizes = (
        struct.unpack_from(f">{struct.unpack_from('>I', t, at)[0]}I", t, at + 4) for t, at in ((first, 4), (stsz, 8))
    )
    ends = [places[0] + sizes[0], places[1] + sizes[1]]

    def change(extra: int) -> Callable[[bytes, bytes], tuple[bytes, bytes]]:
        def one(kind: bytes, payload: bytes) -> tuple[bytes, bytes]:
            if kind == b"stsz" and payload == bytes(stsz):
                more = [size + add for size, add in zip(sizes, [*longer, *[0] * len(sizes)], strict=False)]
                return kind, payload[:12] + struct.pack(f">{len(more)}I", *more)
            if kind != b"stco":
                return kind, payload
            own = struct.unpack_from(f">{struct.unpack_from('>I', payload, 4)[0]}I", payload, 8)
            moved = [at + extra + sum(add for end, add in zip(ends, longer, strict=True) if at >= end) for at in own]
            return wide[kind], payload[:8] + struct.pack(f">{len(moved)}Q", *moved)

        return one

    ftyp = next(boxes(data))
    head = box(b"ftyp", bytes(ftyp.payload))
    (moov,) = (one for one in boxes(data) if one.kind == b"moov")
    whole = memoryview(box(b"moov", bytes(moov.payload)))
    size = len(head) + len(rebuilt(whole, change(0))) + 16
    length = size + len(data) - begin + sum(longer)
    index = rebuilt(whole, change(size - begin))
    with path.open("wb") as file:
        file.write(head + index + struct.pack(">I4sQ", 1, b"mdat", length - size + 16))
        file.truncate(length)
    return length


def test_a_film_of_more_than_four_gibibytes_is_taken_as_any(tmp_path: Path) -> None:
    (init, parts), plain, made = film(), tmp_path / "plain", tmp_path / "film.mp4"
    plain.write_bytes(init + b"".join(part.data for part in parts))
    remux.remux(plain, made, end_of(parts), Fraction(0))
    data, path = made.read_bytes(), tmp_path / "long.mp4"
    length = grown(data, path, 2 * GIB)
    assert path.stat().st_size == length > 5 * GIB and path.stat().st_blocks < 1_000
    alone = [bytes(one for *_, one in remux.packets(plain, track)) for track in range(2)]
    check_shown(init, path, end_of(parts), alone)
    with path.open("ab") as file:
        file.truncate(length + 1)
    with pytest.raises(EvidenceError, match="its boxes are"):
        check_shown(init, path, end_of(parts), alone)
