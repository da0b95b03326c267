"""What else a player could be made to show of the same packets: changes to the boxes around them, each in its place."""

from __future__ import annotations

import struct
from collections.abc import Callable

Change = Callable[[bytearray], None]
HEAD = {b"meta": 4, b"stsd": 8, b"avc1": 78, b"mp4a": 28}
"""Bytes of a box before those in it."""
TURNED = struct.pack(">6i", 0, 1 << 16, 0, -1 << 16, 0, 0)


def place(data: bytearray, path: str) -> int:
    """Where the payload of a box begins: `trak` is that of the picture, `trak1` that of the sound."""
    begin, end = 0, len(data)
    for name in path.split("/"):
        kind, number = name[:4].encode("latin1"), int(name[4:] or 0)
        begin, end = [(at, upto) for at, upto in inner(data, begin, end) if data[at - 4 : at] == kind][number]
        found, begin = begin, begin + HEAD.get(kind, 0)
    return found


def inner(data: bytearray, begin: int, end: int) -> list[tuple[int, int]]:
    """From where to where the payload of each box reaches."""
    found = []
    while begin < end:
        (size,) = struct.unpack_from(">I", data, begin)
        found.append((begin + 8, begin + size))
        begin += size
    return found


def put(path: str, offset: int, value: bytes) -> Change:
    def change(data: bytearray) -> None:
        at = place(data, path) + offset
        data[at : at + len(value)] = value

    return change


def named(path: str, kind: bytes) -> Change:
    """The box has another type."""
    return put(path, -4, kind)


def flipped(path: str, offset: int, bits: int) -> Change:
    def change(data: bytearray) -> None:
        data[place(data, path) + offset] ^= bits

    return change


def moved(path: str, offset: int, ticks: int) -> Change:
    """A number of 32 bits, more or less of it."""

    def change(data: bytearray) -> None:
        at = place(data, path) + offset
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + ticks)

    return change


def ended(path: str, ticks: int) -> Change:
    """The last edit of a track ends so much later."""

    def change(data: bytearray) -> None:
        at = place(data, path)
        (count,) = struct.unpack_from(">I", data, at + 4)
        moved(path, 8 + 12 * (count - 1), ticks)(data)

    return change


def standing(data: bytearray) -> None:
    """The last picture has an entry of its own in the table of times, in the room of two in the table behind it."""
    times, keys = (place(data, f"moov/trak/mdia/minf/stbl/{name}") for name in ("stts", "stss"))
    count, ticks = struct.unpack_from(">II", data, times + 8)
    end = keys + 8 + 4 * struct.unpack_from(">I", data, keys + 4)[0]
    runs = struct.pack(">I4sIIIIII", 32, b"stts", 0, 2, count - 1, ticks, 1, ticks + 60 * 90_000)
    left = (end - times + 8 - len(runs) - 16) // 4
    data[times - 8 : end] = runs + struct.pack(f">I4sII{left}I", 16 + 4 * left, b"stss", 0, left, *range(1, left + 1))
    ended(EDIT, 60 * 720_000)(data)
    moved("moov/trak/mdia/mdhd", 16, 60 * 90_000)(data)
    moved(TKHD, 20, 60 * 720_000)(data)
    put(MVHD, 16, data[(at := place(data, TKHD) + 20) : at + 4])(data)


STBL = "moov/trak/mdia/minf/stbl"


def longer(data: bytearray) -> None:
    """The table of times has one for a sample more than there are, and the picture ends with that."""
    times = place(data, f"{STBL}/stts")
    count, ticks = struct.unpack_from(">II", data, times + 8)
    struct.pack_into(">I", data, times + 8, count + 1)
    ended(EDIT, 8 * ticks)(data)
    moved(TKHD, 20, 8 * ticks)(data)
    put(MVHD, 16, data[(at := place(data, TKHD) + 20) : at + 4])(data)


def composed(data: bytearray) -> None:
    """Composition offsets of zero, for a sample more than there are."""
    (count,) = struct.unpack_from(">I", data, place(data, f"{STBL}/stsz") + 8)
    table = struct.pack(">I4sIIII", 24, b"ctts", 0, 1, count + 1, 0)
    opened(data, place(data, TABLES[0]) - 8, table, *(STBL.rsplit("/", up)[0] for up in range(5)))


SOUND_STBL = "moov/trak1/mdia/minf/stbl"
TABLES = [f"{STBL}/stco", f"{SOUND_STBL}/stco"]


def opened(data: bytearray, at: int, added: bytes, *around: str) -> None:
    """More bytes before the media, or in it before all samples, and in these boxes around them."""
    widened(data, len(added), *around)
    data[at:at] = added


def widened(data: bytearray, by: int, *around: str) -> None:
    """So many bytes more in these boxes, and before all samples."""
    for path in TABLES:
        table = place(data, path) + 8
        (count,) = struct.unpack_from(">I", data, table - 4)
        places = struct.unpack_from(f">{count}I", data, table)
        struct.pack_into(f">{count}I", data, table, *(one + by for one in places))
    for path in around:
        moved(path, -8, by)(data)


def anywhere(data: bytearray) -> None:
    """No table says at which pictures to begin."""
    table = place(data, f"{STBL}/stss") - 8
    (size,) = struct.unpack_from(">I", data, table)
    widened(data, -size, *(STBL.rsplit("/", up)[0] for up in range(5)))
    del data[table : table + size]


def edited(track: str, *empty_s: int, skipped_s: int = 0) -> Change:
    """These empty edits, and one of what plays then, or would have so long after; it ends where it did."""

    def change(data: bytearray) -> None:
        path = f"moov/{track}/edts/elst"
        at, movie, media = (place(data, name) for name in (path, MVHD, f"moov/{track}/mdia/mdhd"))
        scale, ticks = (struct.unpack_from(">I", data, box + 12)[0] for box in (movie, media))
        (count,) = struct.unpack_from(">I", data, at + 4)
        *empty, (lasts, start, _) = struct.iter_unpack(">IiI", data[at + 8 : at + 8 + 12 * count])
        later = (sum(empty_s) + skipped_s) * scale - sum(duration for duration, _, _ in empty)
        edits = [*((one * scale, -1) for one in empty_s), (lasts - later, start + later * ticks // scale)]
        put(f"moov/{track}/tkhd", 20, struct.pack(">I", sum(duration for duration, _ in edits)))(data)
        rows = b"".join(struct.pack(">IiI", *edit, 1 << 16) for edit in edits)
        more = rows[: len(rows) - 12 * count]
        put(path, 4, struct.pack(">I", len(edits)) + rows[len(more) :])(data)
        opened(data, at + 8, more, path, f"moov/{track}/edts", f"moov/{track}", "moov")

    return change


def both(change: Callable[[str], Change]) -> Change:
    def changed(data: bytearray) -> None:
        for track in ("trak", "trak1"):
            change(track)(data)

    return changed


def twice(data: bytearray) -> None:
    """Behind the table of chunks another, which has all of them begin where the first does, for who takes the last."""
    table = place(data, TABLES[0])
    (size,), (count, first) = struct.unpack_from(">I", data, table - 8), struct.unpack_from(">II", data, table + 4)
    second = struct.pack(f">I4sII{count}Q", 16 + 8 * count, b"co64", 0, count, *[first + 16 + 8 * count] * count)
    opened(data, table - 8 + size, second, *(STBL.rsplit("/", up)[0] for up in range(5)))


def within(data: bytearray) -> None:
    opened(data, place(data, "mdat"), bytes(8), "mdat")


def behind(data: bytearray) -> None:
    moved("mdat", -8, 8)(data)
    data += bytes(8)


def more(data: bytearray) -> None:
    data += struct.pack(">I4s", 8, b"moof")


def bend(box: bytes, behind: int) -> Change:
    def change(data: bytearray) -> None:
        data[data.index(box) + behind] ^= 1

    return change


OTHER_PACKETS: list[tuple[str, Change, str]] = [
    ("media", bend(b"mdat", 2000), "is not that of the recording"),
    ("times", bend(b"stts", 18), "plays at another time"),
    ("settings", bend(b"avcC", 5), "other decoder settings"),
]
MVHD, TKHD, SOUND, EDIT = "moov/mvhd", "moov/trak/tkhd", "moov/trak1/tkhd", "moov/trak/edts/elst"
ENTRY = "moov/trak/mdia/minf/stbl/stsd/avc1"
SHOWN: list[tuple[str, Change, str]] = [
    ("picture mirrored", put(TKHD, 40, struct.pack(">i", -1 << 16)), "matrix"),
    ("picture turned", put(TKHD, 40, TURNED), "matrix"),
    ("picture turned by the movie's matrix", put(MVHD, 36, TURNED), "matrix"),
    ("picture squeezed", put(TKHD, 76, struct.pack(">I", 160 << 16)), "size"),
    ("pixels that are not square", put(f"{ENTRY}/pasp", 0, struct.pack(">II", 1, 2)), "pasp"),
    ("picture cropped", named(f"{ENTRY}/pasp", b"clap"), "clap"),
    ("other colours", named(f"{ENTRY}/btrt", b"colr"), "colr"),
    ("fewer colours", put(ENTRY, 74, struct.pack(">H", 40)), "the sample entry"),
    ("picture off", put(TKHD, 1, bytes([0, 0, 2])), "flags"),
    ("sound off", put(SOUND, 1, bytes([0, 0, 2])), "flags"),
    ("sound not loud", put(SOUND, 36, bytes(2)), "volume"),
    ("the whole movie not loud", put(MVHD, 24, bytes(2)), "volume"),
    ("sound on one side", put("moov/trak1/mdia/minf/smhd", 4, b"\xff\x00"), "smhd"),
    ("sound in another language", put("moov/trak1/mdia/mdhd", 20, b"\x15\xc7"), "language"),
    ("either picture or sound", put(SOUND, 34, bytes(2)), "group"),
    ("another layer", put(TKHD, 32, b"\0\1"), "layer"),
    ("twice as fast", put(MVHD, 20, struct.pack(">I", 2 << 16)), "rate"),
    ("an edit at half the rate", put(EDIT, 16, struct.pack(">I", 1 << 15)), "rate"),
    ("an edit that ends a second early", ended(EDIT, -720_000), "-1.000 s off its end"),
    ("an edit that ends a second late", ended(EDIT, 720_000), "+1.000 s off its end"),
    ("sound that ends a second early", ended("moov/trak1/edts/elst", -720_000), "-1.000 s off its end"),
    ("a last picture that stands for a minute", standing, "off the end of its parts"),
    ("a first second left out", both(lambda track: edited(track, 1)), "leave out"),
    ("a first second of sound left out", edited("trak1", 1), "leave out"),
    ("picture moved against sound by two empty edits", edited("trak", 0, 0, skipped_s=1), "are others"),
    ("an empty edit of no length", edited("trak", 0), "are others"),
    ("a picture to begin at that is none", moved(f"{STBL}/stss", 12, 1), "decoded alone"),
    ("every picture one to begin at", anywhere, "decoded alone"),
    (
        "a tenth of the sound",
        put("moov/trak1/mdia/mdhd", 16, struct.pack(">I", 4800)),
        "mdhd of track 1 has another duration",
    ),
    ("two tracks of one number", put(SOUND, 12, struct.pack(">I", 1)), "tkhd of track 1 has another number"),
    ("no edit", named("moov/trak/edts", b"free"), "its trak holds"),
    ("other ticks of the movie", moved(MVHD, 12, 720_000), "off its end"),
    ("a shorter movie", moved(MVHD, 16, -720_000), "duration"),
    ("a shorter track", moved(TKHD, 20, -720_000), "duration"),
    ("another day", put(MVHD, 4, struct.pack(">I", 3_800_000_000)), "dates"),
    ("a title", named("moov/udta/meta/ilst/\xa9too", b"\xa9nam"), "its ilst holds"),
    ("media of another file", put("moov/trak/mdia/minf/dinf/dref", 11 + 8, b"\0"), "dref"),
    ("another box in the index", named("moov/udta", b"mvex"), "its moov holds"),
    ("fragments behind it", more, "its boxes are"),
    ("a second table of chunks", twice, "its stbl holds"),
    ("a time for a sample that is not there", longer, "stts of track 0"),
    ("an offset for a sample that is not there", composed, "ctts of track 0"),
    ("a key picture that is not there", put(f"{STBL}/stss", 8, struct.pack(">I", 121)), "stss of track 0"),
    ("a key picture before the first", put(f"{STBL}/stss", 8, bytes(4)), "stss of track 0"),
    ("a group of more samples than there are", moved(f"{SOUND_STBL}/sbgp", 12, 1), "sbgp of track 1"),
    ("bytes before the samples", within, "fill mdat"),
    ("bytes behind the samples", behind, "fill mdat"),
]
"""What a player makes of it, how, and the words that tell it: no packet is another, nor its time."""
COLOURED: list[tuple[str, Change, str]] = [
    ("colours of another kind of numbers", flipped(f"{ENTRY}/colr", 0, 1), "colr"),
    ("other primaries than the pictures say", flipped(f"{ENTRY}/colr", 5, 4), "colr"),
    ("another transfer than the pictures say", flipped(f"{ENTRY}/colr", 7, 4), "colr"),
    ("another matrix than the pictures say", flipped(f"{ENTRY}/colr", 9, 1), "colr"),
    ("another range than the pictures say", flipped(f"{ENTRY}/colr", 10, 0x80), "colr"),
]
"""Likewise of pictures that say their colours."""
