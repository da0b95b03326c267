"""What a player makes of the packets of an exported MP4, by the boxes around them (docs/evidence-format.md, section 9):
a matrix that mirrors the picture, a track that is off, an edit that ends early change no packet. All of that is as in
the init, which the camera sealed, or follows from the packets.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from agent.errors import EvidenceError
from agent.evidence.chunks import disagreeing, filled, rows
from agent.media.boxes import boxes, find, head, header_bytes
from agent.media.h264 import colours

WITHIN_S = Fraction(1, 1000)
"""Two instants are the same where they are no further apart."""
END_S = Fraction(1, 10)
"""The longest track ends so near the end of its parts: libraries differ in how long the last packet of sound lasts."""
_HOLDS: dict[bytes, tuple[set[bytes], set[bytes]]] = {
    b"moov": ({b"mvhd", b"trak"}, {b"udta"}),
    b"trak": ({b"tkhd", b"edts", b"mdia"}, set()),
    b"edts": ({b"elst"}, set()),
    b"mdia": ({b"mdhd", b"hdlr", b"minf"}, set()),
    b"minf": ({b"dinf", b"stbl"}, {b"vmhd", b"smhd"}),
    b"dinf": ({b"dref"}, set()),
    b"stbl": (
        {b"stsd", b"stts", b"stsc", b"stsz"},
        {b"stco", b"co64", b"stss", b"ctts", b"sdtp", b"sgpd", b"sbgp"},
    ),
    b"udta": ({b"meta"}, set()),
    b"meta": ({b"hdlr", b"ilst"}, set()),
    b"ilst": ({b"\xa9too"}, set()),
}
"""Of each box those that stand in it, and those that may: once each, but for `trak`, and no others."""
_PLACES = {b"stco", b"co64"}
"""Where the chunks lie: of two tables one reader would take the first, another the last."""
_ENTRIES = {b"avc1": (78, slice(42, 74)), b"mp4a": (28, slice(16, 18))}
"""Of a sample entry the bytes before its boxes, and which of them tell nothing: the compressor's name; the channel
count, which the AudioSpecificConfig has.
"""
_OWN = {b"avcC", b"esds", b"btrt"}
"""Boxes of a sample entry that are compared with the packets, or tell nothing."""
_SQUARE = (b"pasp", struct.pack(">II", 1, 1))
"""Square pixels are square without it, too."""


def check_shown(init: bytes, film: Path, end_s: Fraction, alone: Sequence[bytes | bytearray]) -> None:
    """Raises EvidenceError with what a player would make of `film` that `init` (ftyp and moov) does not say. Its parts
    end at `end_s` of its presentation; `alone` has of each track a byte a packet: 1 where it can be decoded alone.
    """
    try:
        (own,), (shown, begin, end) = find(init, b"moov"), _outer(film)
        _check_movie(own, shown, end_s)
        tables = find(shown, b"trak", b"mdia", b"minf", b"stbl")
        for number, table in enumerate(tables):
            other = disagreeing(table)
            _need(other is None, f"{_names([other or b''])} of track {number} is not of as many samples as its stsz")
        for number, (track, packets) in enumerate(zip(find(shown, b"trak"), alone, strict=True)):
            _check_length(track, _Header.of(shown, b"mvhd").number, f"of track {number}")
            _check_alone(tables[number], packets, f"of track {number}")
        _need(filled(tables, begin, end), "its samples, one after the other, do not fill mdat")
    except (struct.error, IndexError, ValueError, ZeroDivisionError) as err:
        raise EvidenceError("a box in the index of the MP4, or of the init, is in another form") from err


def _need(truth: bool, text: str) -> None:
    if not truth:
        raise EvidenceError(f"the MP4 would show something else than the recording: {text}")


def _outer(film: Path) -> tuple[memoryview, int, int]:
    """Of a film whose boxes are `ftyp`, `moov`, perhaps `free`, and `mdat`: the payload of `moov`, and from where to
    where that of `mdat` reaches.
    """
    kinds: list[bytes] = []
    moov, at, begin = b"", 0, 0
    with film.open("rb") as file:
        while len(kinds) < 5 and (found := head(start := file.read(16))) is not None:
            kinds.append(found[0])
            if found[0] == b"moov":
                file.seek(at)
                moov = file.read(found[1])
            begin = at + header_bytes(start)
            at += found[1]
            file.seek(at)
        whole = at == film.stat().st_size
    right = (b"ftyp moov mdat", b"ftyp moov free mdat")
    _need(whole and b" ".join(kinds) in right, f"its boxes are {_names(kinds)}, not ftyp, moov and mdat")
    return next(boxes(moov)).payload, begin, at


def _names(kinds: Collection[bytes]) -> str:
    return " ".join(kind.decode("latin1") for kind in kinds)[:100]


# -- the boxes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Header:
    """Of mvhd, tkhd or mdhd: `number` is the timescale or the track's id, `rest` what follows the duration. `dates`
    also has what stands between id and duration of a track.
    """

    flags: bytes
    dates: tuple[int, ...]
    number: int
    duration: int
    rest: bytes

    @classmethod
    def of(cls, box: memoryview, within: bytes) -> _Header:
        (payload,) = find(box, within)
        wide, gap = ("Q" if payload[0] else "I"), "I" if within == b"tkhd" else ""
        form = f">{wide}{wide}I{gap}{wide}"
        created, modified, number, *between, duration = struct.unpack_from(form, payload, 4)
        rest = bytes(payload[4 + struct.calcsize(form) :])
        _need(payload[0] < 2, f"its {within.decode()} is of another version")
        return cls(bytes(payload[1:4]), (created, modified, *between), number, duration, rest)


def _whole(box: memoryview, kind: bytes, name: str) -> None:
    """Whether it holds what it must, and nothing else; and so on in those that it holds."""
    must, may = _HOLDS[kind]
    found = [inner.kind for inner in boxes(box)]
    once = [one for one in found if one != b"trak" or kind != b"moov"]
    right = len(once) == len(set(once)) and must <= set(found) <= must | may
    if kind == b"stbl":
        right = right and len(_PLACES & set(found)) == 1
    _need(right, f"its {name} holds {_names(found)}")
    for inner in boxes(box):
        if inner.kind in _HOLDS:
            _whole(inner.payload[4:] if inner.kind == b"meta" else inner.payload, inner.kind, _names([inner.kind]))


def _check_movie(own: memoryview, shown: memoryview, end_s: Fraction) -> None:
    _whole(shown, b"moov", "moov")
    said, told = _Header.of(own, b"mvhd"), _Header.of(shown, b"mvhd")
    _need((said.flags, said.dates) == (told.flags, told.dates), "mvhd has other flags or dates")
    # The last four bytes are the next track's id.
    _need(said.rest[:-4] == told.rest[:-4], "mvhd has another rate, volume or matrix")
    tracks = list(zip(find(own, b"trak"), find(shown, b"trak"), strict=True))
    for number, (one, other) in enumerate(tracks):
        _check_track(one, other, f"of track {number}")
        _check_edits(other, told.number, end_s, f"of track {number}")
        _check_played(other, told.number, f"of track {number}")
    longest = max(_Header.of(track, b"tkhd").duration for _, track in tracks)
    _need(_near(Fraction(told.duration - longest, told.number)), "mvhd has another duration")
    off_s = Fraction(longest, told.number) - end_s
    _need(_near(off_s, END_S), f"it ends {float(off_s):+.3f} s off the end of its parts")


def _check_track(own: memoryview, shown: memoryview, of: str) -> None:
    said, told = _Header.of(own, b"tkhd"), _Header.of(shown, b"tkhd")
    _need(said.flags == told.flags, f"the flags {of} are others: it is off, or not in the movie")
    _need(said.dates == told.dates, f"tkhd {of} has other dates")
    _need(said.number == told.number, f"tkhd {of} has another number")
    _need(said.rest == told.rest, f"tkhd {of} has another layer, group, volume, matrix or size")
    (mine,), (media,) = find(own, b"mdia"), find(shown, b"mdia")
    one, other = _Header.of(mine, b"mdhd"), _Header.of(media, b"mdhd")
    same = (one.flags, one.dates, one.rest) == (other.flags, other.dates, other.rest)
    _need(same, f"mdhd {of} has other flags or dates, or another language")
    for path in ((b"hdlr",), (b"minf", b"vmhd"), (b"minf", b"smhd"), (b"minf", b"dinf", b"dref")):
        # The name of a handler tells nothing.
        end = 24 if path == (b"hdlr",) else None
        said_so, told_so = ([bytes(payload[:end]) for payload in find(box, *path)] for box in (mine, media))
        _need(said_so == told_so, f"{_names(path[-1:])} {of} is another")
    (stsd,), (entry,) = (find(box, b"minf", b"stbl", b"stsd") for box in (mine, media))
    _need(bytes(stsd[:8]) == bytes(entry[:8]), f"stsd {of} is in another form")
    (fixed, inner), (told_fixed, told_inner) = _entry(stsd, of), _entry(entry, of)
    _need(fixed == told_fixed, f"the sample entry {of} is another")
    known = {_SQUARE, *_colours(inner.get(b"avcC", b""))}
    held, told_held = (_telling(boxes_in, known) for boxes_in in (inner, told_inner))
    _need(held == told_held, f"the sample entry {of} holds {_names(told_held)}, or in another form")


def _entry(stsd: memoryview, of: str) -> tuple[bytes, dict[bytes, bytes]]:
    """The one sample entry: its own bytes, as far as they tell anything, and the boxes in it."""
    (entry,) = boxes(stsd[8:])
    _need(entry.kind in _ENTRIES, f"the sample entry {of} is {_names([entry.kind])}")
    size, free = _ENTRIES[entry.kind]
    fixed, inner = bytearray(entry.payload[:size]), list(boxes(entry.payload[size:]))
    fixed[free] = bytes(free.stop - free.start)
    held = {box.kind: bytes(box.payload) for box in inner}
    _need(len(held) == len(inner), f"a box in the sample entry {of} stands twice")
    return entry.kind + fixed, held


def _telling(held: dict[bytes, bytes], known: Collection[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Those that say more than is known anyway."""
    return {kind: data for kind, data in held.items() if kind not in _OWN and (kind, data) not in known}


def _colours(avcc: bytes) -> set[tuple[bytes, bytes]]:
    """`colr` (ISO/IEC 14496-12, 12.1.5), where it repeats what the pictures say of their colours: every sequence
    parameter set in `avcC` (ISO/IEC 14496-15, 5.3.3.1).
    """
    sets, at = set(), 6
    for _ in range(avcc[5] & 31 if avcc else 0):
        (size,) = struct.unpack_from(">H", avcc, at)
        sets.add(colours(avcc[at + 2 : at + 2 + size]))
        at += 2 + size
    said = sets.pop() if len(sets) == 1 else None
    return {(b"colr", struct.pack(">4s3HB", b"nclx", *said[:3], said[3] << 7))} if said else set()


def _check_length(track: memoryview, movie_scale: int, of: str) -> None:
    """Whether its media last to where the last edit ends."""
    (elst,), (mdia,) = find(track, b"edts", b"elst"), find(track, b"mdia")
    *_, (lasts, start, _) = rows(elst, ">QqI" if elst[0] else ">IiI")
    media = _Header.of(mdia, b"mdhd")
    off_s = Fraction(media.duration - start, media.number) - Fraction(lasts, movie_scale)
    _need(_near(off_s), f"mdhd {of} has another duration")


def _check_alone(stbl: memoryview, alone: bytes | bytearray, of: str) -> None:
    """Whether a player begins at those samples, and no others (`stss`; without it at any)."""
    tables = find(stbl, b"stss")
    told = (number for table in tables for (number,) in rows(table, ">I")) if tables else range(1, len(alone) + 1)
    own = (number for number, truth in enumerate(alone, 1) if truth)
    same = all(one == other for one, other in itertools.zip_longest(told, own))
    _need(same, f"other packets {of} can be decoded alone")


def _check_edits(track: memoryview, movie_scale: int, end_s: Fraction, of: str) -> None:
    """Perhaps an empty one (of several libavformat takes none), and one that plays all that follows where it begins
    (ISO/IEC 14496-12, 8.6.6). It may go on until the parts end: of one that another track cut, the last sample may
    count as longer than the samples after it.
    """
    (elst,), (mdia,) = find(track, b"edts", b"elst"), find(track, b"mdia")
    form = ">QqI" if elst[0] else ">IiI"
    *empty, last = struct.iter_unpack(form, elst[8:])
    _need(bytes(elst[1:8]) == struct.pack(">3xI", len(empty) + 1), f"elst {of} is in another form")
    waits = len(empty) < 2 and all(start == -1 and duration for duration, start, _ in empty)
    _need(waits and last[1] >= 0, f"the edits {of} are others")
    _need(all(rate == 1 << 16 for _, _, rate in (*empty, last)), f"an edit {of} plays at another rate")
    (times,) = find(mdia, b"minf", b"stbl", b"stts")
    media = sum(count * ticks for count, ticks in rows(times, ">II"))
    off_s = Fraction(last[0], movie_scale) - Fraction(media - last[1], _Header.of(mdia, b"mdhd").number)
    lasts = sum(duration for duration, _, _ in (*empty, last))
    goes_on = off_s > 0 and Fraction(lasts, movie_scale) <= end_s + WITHIN_S
    _need(_near(off_s) or goes_on, f"the edits {of} end {float(off_s):+.3f} s off its end")
    off_s = Fraction(_Header.of(track, b"tkhd").duration - lasts, movie_scale)
    _need(_near(off_s), f"tkhd {of} has another duration")


def _check_played(track: memoryview, movie_scale: int, of: str) -> None:
    """Whether its edits play every sample from 0 on: what is before that, as the priming of an encoder of sound, plays
    in the recording as little.
    """
    (elst,), (mdia,) = find(track, b"edts", b"elst"), find(track, b"mdia")
    *empty, (lasts, start, _) = rows(elst, ">QqI" if elst[0] else ">IiI")
    (stbl,), scale = find(mdia, b"minf", b"stbl"), _Header.of(mdia, b"mdhd").number
    waits_s, within = Fraction(sum(duration for duration, _, _ in empty), movie_scale), WITHIN_S * scale
    before = (start - waits_s * scale, start - within)
    behind = (start + Fraction(lasts, movie_scale) * scale + within, math.inf)
    lost = any(_meets(run, *span) for run in _times(stbl) for span in (before, behind))
    _need(not lost, f"the edits {of} leave out what plays in the recording")


def _times(stbl: memoryview) -> Iterator[tuple[int, int, int]]:
    """When the samples of a track play, in ticks of its media: (of the first, how many, ticks between two), run by run
    of the same in `stts` and `ctts`.
    """
    (stts,), offsets = find(stbl, b"stts"), find(stbl, b"ctts")
    later = itertools.chain.from_iterable(rows(table, ">Ii") for table in offsets) if offsets else iter([(1 << 64, 0)])
    at = left = offset = 0
    for count, ticks in rows(stts, ">II"):
        while count:
            while not left:
                left, offset = next(later, (1 << 64, 0))
            run = min(count, left)
            yield at + offset, run, ticks
            at, count, left = at + run * ticks, count - run, left - run


def _meets(run: tuple[int, int, int], begin: Fraction, end: Fraction | float) -> bool:
    """Whether a sample of it plays from `begin` on, and before `end`."""
    first, count, ticks = run
    number = max(0, math.ceil((begin - first) / ticks)) if ticks else 0
    return number < count and begin <= first + number * ticks < end


def _near(off_s: Fraction, within_s: Fraction = WITHIN_S) -> bool:
    return abs(off_s) <= within_s
