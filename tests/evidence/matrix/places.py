"""Rows: what is not there, stands elsewhere, or comes from elsewhere: segments, entries, heads, archives."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.evidence.findings import Sure, What
from agent.formats import leaf as leaves
from agent.formats import pack
from tests.builders import Camera, Segment, agency
from tests.evidence.kit import with_field
from tests.evidence.matrix.case import ANY, CARD, FELLOW, LEAVES, SESSION, Case, Expect, Row, flipped, life
from tests.evidence.test_tamper_members import ENDS, FIELDS, ORDER, packed

BYTES, GONE = What.ALTERED_BYTES, What.MISSING_SEGMENT
SPANS = {"E0": (0, 1), "A0": (2, 5), "A1": (6, 10), "E1": (11, 13), "B0": (14, 17), "E2": (18, 19)}


def gone(*keys: str) -> Callable[[Case], None]:
    return lambda case: case.gone.update(keys)


def gone_with_head(*keys: str) -> Callable[[Case], None]:
    """The end is gone, and somebody has a later checkpoint of the camera."""

    def change(case: Case) -> None:
        case.gone.update(keys)
        case.head = case.camera.checkpoint(LEAVES)

    return change


def missing(key: str, text: str = "names it", named: bool = True) -> Expect:
    first, last = SPANS[key]
    return Expect(GONE, key if named else None, first, last, text=text)


def three() -> Case:
    """A recording of three segments, two parts in each."""
    camera = Camera(agency()).new_session()
    camera.start()
    for number in range(6):
        if number in (2, 4):
            camera.rotate()
        camera.part()
    camera.stop()
    return Case(camera.shutdown(), keys=("E0", "A0", "A1", "A2", "E1"))


SEGMENTS = [
    *(Row("segment", f"{words} removed", CARD, gone(key), (missing(key),))
      for key, words in (("E0", "the first one, of events,"), ("A0", "the first of a recording"),
                         ("A1", "the last of a recording"), ("E1", "one of events between recordings"),
                         ("B0", "a whole recording of one"))),
    Row("segment", "a whole recording removed", CARD, gone("A0", "A1"),
        (missing("A0", "by its number"), missing("A1"))),
    Row("segment", "the middle one of a recording of three removed", CARD, gone("A1"),
        (Expect(GONE, "A1", 5, 7, part=2, text="names it"),), three),
    Row("segment", "a recording and the events after it removed", CARD, gone("A0", "A1", "E1"),
        (Expect(GONE, None, 2, 10, text="9 leaves are in no segment"), missing("E1"))),
    Row("segment", "the newest removed, with a later head at hand", CARD, gone_with_head("E2"),
        (Expect(GONE, None, 18, 19, text="the last 2 leaves"),)),
    Row("segment", "the newest recording and what follows it removed, with a later head", CARD,
        gone_with_head("B0", "E2"), (Expect(GONE, None, 14, 19, text="the last 6 leaves"),)),
    Row("segment", "the newest removed, and nobody has a later head", CARD, gone("E2"),
        (Expect(What.TAIL_UNPROVEN, None, 0, 17, sure=Sure.OPEN, text="without a shutdown"),)),
]  # fmt: skip


def exchanged(one: str, other: str) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        case.raw[one], case.raw[other] = case.segment(other).to_bytes(), case.segment(one).to_bytes()

    return change


def copied(source: str, target: str) -> Callable[[Case], None]:
    return lambda case: case.raw.update({target: case.segment(source).to_bytes()})


def renamed(key: str, name: Callable[[str], str]) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        case.gone.add(key)
        new = name(case.names[key])
        case.files[f"{new}.tar"] = case.segment(key).to_bytes()
        case.names[key] = new

    return change


def of_another_camera(key: str) -> Callable[[Case], None]:
    return lambda case: case.raw.update({key: life(name="cam-0002", seed=2).segment(key).to_bytes()})


def other_history(case: Case) -> Segment:
    """A1 again by the same keys, with other parts: what a copied card, or a stolen key, can sign."""
    camera, before = copy.copy(case.camera), case.camera.segments[:2]
    camera.segments, camera.owed, camera.open = list(before), [before[1].record()], None
    camera.hashes, camera.roots = camera.hashes[:6], camera.roots[:7]
    camera.frontier = case.segment("A1").header.frontier
    first = leaves.parse(case.entry(3).leaf)
    assert isinstance(first, leaves.MediaLeaf)
    camera.recording, camera.parts, camera.seq, camera.init = first.recording, 3, 0, before[1].init or b""
    camera.zero_ns, camera.start_ns = first.zero_mono_ns, 3 * camera.part_ns
    camera.mono_ns = leaves.parse(case.entry(5).leaf).common.stamp.mono_ns
    camera.rotate()
    for _ in range(3):
        camera.part(size=333)
    camera.stop()
    return camera.segments[2]


def forked_in_place(case: Case) -> None:
    case.raw["A1"] = other_history(case).to_bytes()


def forked_beside(case: Case) -> None:
    case.files[f"beside/{case.names['A1']}.tar"] = other_history(case).to_bytes()


def cut(key: str, keep: Callable[[bytes], bytes]) -> Callable[[Case], None]:
    return lambda case: case.raw.update({key: keep(case.segment(key).to_bytes())})


def half(data: bytes) -> bytes:
    return data[: len(data) // 2 // 512 * 512]


PLACES = [
    Row("segment", "swapped with the next", CARD, exchanged("A0", "A1"),
        (Expect(What.SWAPPED_SEGMENTS, "A1", 2), Expect(What.SWAPPED_SEGMENTS, "A0", 6))),
    Row("segment", "a copy of it in the place of the next", CARD, copied("A0", "A1"),
        (Expect(What.REPEATED_SEGMENT, "A1", of_recording=False, text="under another name"), missing("A1"))),
    Row("segment", "renamed", CARD, renamed("A1", lambda name: f"{name[:-4]}0007"),
        (Expect(What.SWAPPED_SEGMENTS, "A1", 6, sure=Sure.LIKELY, text="renamed"),)),
    Row("segment", "one of events renamed", CARD, renamed("E1", lambda name: f"{name[:-8]}00c0ffee"),
        (Expect(What.SEAL_MISMATCH, "E1", 11, 13, text="names these bytes"),)),
    Row("segment", "that of another camera in its place", FELLOW, of_another_camera("A0"),
        (missing("A0"), Expect(What.SWAPPED_SEGMENTS, "A0", 2, 5, sure=Sure.LIKELY, of_recording=False, text="holds"),
         Expect(GONE, ANY, 0, 1, text="seal leaf 2 names it"))),
    Row("segment", "that of another history of the camera in its place", SESSION, forked_in_place,
        (Expect(What.FORK, "E1", 11, text="continues another history"),
         Expect(What.SEAL_MISMATCH, "A1", 6, 10, text="not the bytes that were sealed"))),
    Row("segment", "that of another history of the camera beside it", SESSION, forked_beside,
        (Expect(What.FORK, "A1", 6, 10, text="two signed histories"),)),
    Row("segment", "cut in the middle", CARD, cut("A0", half),
        (Expect(What.TRUNCATED_SEGMENT, "A0", 3, 5, text="inside entry 3"),)),
    Row("segment", "the trailer cut off", CARD, cut("A0", lambda data: data[:-1024]),
        (Expect(What.TRUNCATED_SEGMENT, "A0", 6, text="without its trailer"),)),
    Row("segment", "nothing left of it", CARD, cut("A0", lambda data: b""),
        (Expect(What.TRUNCATED_SEGMENT, "A0", 2, 5, part=0, text="0 whole entries are left"),
         Expect(What.NOT_A_SEGMENT, "A0", 2, 5, part=0, text="no whole entry"))),
    Row("segment", "something else under its name", CARD, cut("A0", lambda data: bytes(range(256)) * 40),
        (Expect(What.TRUNCATED_SEGMENT, "A0", 2, 5, part=0), Expect(What.NOT_A_SEGMENT, "A0", 2, 5, part=0))),
    Row("segment", "the newest cut in the middle", CARD, cut("E2", half),
        (Expect(What.TRUNCATED_SEGMENT, "E2", 18, text="inside entry 18"), Expect(What.NOT_A_SEGMENT, "E2", 18))),
]  # fmt: skip


# -- entries -------------------------------------------------------------------------------------------------------


def entries(edit: Callable[[list[Any]], None], key: str = "A0") -> Callable[[Case], None]:
    return lambda case: edit(case.segment(key).entries)


def swap_entries(found: list[Any]) -> None:
    found[1], found[2] = found[2], found[1]


def swap_members(kind: str) -> Callable[[list[Any]], None]:
    def edit(found: list[Any]) -> None:
        one, other = found[1], found[2]
        kept = getattr(one, kind)
        setattr(one, kind, getattr(other, kind))
        setattr(other, kind, kept)

    return edit


SWAPPED, PARTS = What.SWAPPED_ENTRIES, What.MISSING_PARTS
ENTRY = [
    Row("entry", "a part removed", CARD, entries(lambda e: e.pop(2)),
        (Expect(PARTS, "A0", 4, 4, part=1, text="1 entry is not"),)),
    Row("entry", "two parts removed", CARD, entries(lambda e: e.__delitem__(slice(1, 3))),
        (Expect(PARTS, "A0", 3, 4, part=0, text="2 entries are not"),)),
    Row("entry", "the first removed", CARD, entries(lambda e: e.pop(0)), (Expect(PARTS, "A0", 2, 2),)),
    Row("entry", "the last removed", CARD, entries(lambda e: e.pop()), (Expect(PARTS, "A0", 5, 5, text="seal leaf"),)),
    Row("entry", "the stop of a recording removed", CARD, entries(lambda e: e.pop(), "A1"),
        (Expect(PARTS, "A1", 10, 10, text="seal leaf"),)),
    Row("entry", "an event removed", CARD, entries(lambda e: e.pop(1), "E1"), (Expect(PARTS, "E1", 12, 12),)),
    Row("entry", "a start removed", CARD, entries(lambda e: e.pop(1), "E0"), (Expect(PARTS, "E0", 1, 1),)),
    Row("entry", "a part repeated", CARD, entries(lambda e: e.insert(3, e[2])),
        (Expect(What.REPEATED_ENTRY, "A0", 4, text="byte for byte"),)),
    Row("entry", "a part repeated at the end", CARD, entries(lambda e: e.append(e[1])),
        (Expect(What.REPEATED_ENTRY, "A0", 3, text="byte for byte"),)),
    Row("entry", "two parts swapped", CARD, entries(swap_entries), (Expect(SWAPPED, "A0", 3, text="another order"),)),
    Row("entry", "two leaves swapped", CARD, entries(swap_members("leaf")), (Expect(SWAPPED, "A0", 3, text="holds"),)),
    Row("entry", "two checkpoints swapped", CARD, entries(swap_members("note")),
        (Expect(SWAPPED, "A0", 3, text="holds"),)),
]  # fmt: skip


# -- heads of segments ---------------------------------------------------------------------------------------------


def header(**changes: Any) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        case.segment("A0").header = replace(case.segment("A0").header, **changes)

    return change


def other_frontier(case: Case) -> None:
    old = case.segment("A0").header
    wrong = replace(old.frontier, hashes=(flipped(old.frontier.hashes[0], 3), *old.frontier.hashes[1:]))
    case.segment("A0").header = replace(old, frontier=wrong)


def no_init(case: Case) -> None:
    case.segment("A0").init = None


def _head(change: str, apply: Callable[[Case], None], text: str, first: int | None = None) -> Row:
    return Row("segment.json", change, CARD, apply, (Expect(BYTES, "A0", first, text=text),))


HEADS = [
    _head("another camera", header(camera="cam-0002"), "names the camera"),
    _head("another log", header(origin="bodycam.local/cam-0001/2"), "the log"),
    _head("another recording", header(recording="r0000000001-00000000"), "names the recording"),
    _head("another number", header(seq=7), "numbers the segment 7", 2),
    _head("another frontier", other_frontier, "segment.json"),
    Row("sealed init", "removed", CARD, no_init, (Expect(BYTES, "A0", text="init.age is missing"),)),
]

# -- the archive ---------------------------------------------------------------------------------------------------


def archive(edit: Callable[[Segment], bytes]) -> Callable[[Case], None]:
    return lambda case: case.raw.update({"A1": edit(case.segment("A1"))})


def _field(member: int, name: str) -> Callable[[Case], None]:
    def edit(members: list[tuple[str, bytes]]) -> None:
        members[member] = (members[member][0], with_field(members[member][1], *FIELDS[name]))

    return archive(packed(edit))


# Leaves that findings about the archive name, where they name one.
NAMED = {
    "age, note, json": 7, "json, age, note": 7, "note, json, age in the last": 10, "age, note, json everywhere": 6,
    "two entries interleaved": 7, "a member of an entry in the next": 7, "three entries backwards": 7,
    "end: padding": 6, "end: padding of the last": 10, "end: half a trailer": 11, "end: no trailer": 11,
}  # fmt: skip
TWICE = (
    *(Expect(What.REPEATED_ENTRY, "A1", index, text="byte for byte") for index in range(6, 11)),
    *(Expect(What.INSERTED_BYTES, "A1", text=name) for name in (pack.CHAIN, pack.HEADER, pack.INIT)),
    Expect(BYTES, "A1", text="1024 bytes are no member"),
)


def _archive(change: str, apply: Callable[[Case], None], what: What, text: str = "") -> Row:
    first = 7 if change.startswith("header of a part") else NAMED.get(change)
    finds = TWICE if change == "end: another archive after it" else (Expect(what, "A1", first, text=text),)
    return Row("archive", change, CARD, apply, finds)


ARCHIVE = [
    *(_archive(name, archive(packed(change)), what, text) for name, change, what, text in ORDER),
    *(_archive(f"header of a part: {name}", _field(7, name), BYTES, "the header of") for name in FIELDS),
    *(_archive(f"end: {name}", archive(edit), what) for name, edit, what in ENDS),
]

ROWS = [*SEGMENTS, *PLACES, *ENTRY, *HEADS, *ARCHIVE]
