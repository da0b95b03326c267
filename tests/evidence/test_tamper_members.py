"""The tamper table, member by member: every member in its one place, in its one spelling.

The same changes to a media segment among its neighbours, alone, and at the end of the log, where no seal leaf after it
gives them away.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.evidence import entries, head
from agent.evidence.findings import What
from agent.formats import pack
from tests.builders import Segment, simple_camera
from tests.evidence.kit import failures, notes, with_field

Members = list[tuple[str, bytes]]
Change = Callable[[Members], None]

# init.age, segment.json, chain.pem, then three members for each of the entries 6 (seal), 7 to 9 (parts), 10 (stop).
INIT, HEADER, CHAIN, FIRST = range(4)
PLACES = ["among", "alone", "last"]


def members_of(segment: Segment) -> Members:
    """(name, header and data and padding) of each member."""
    data, at, out = segment.to_bytes(), 0, []
    while data[at : at + pack.BLOCK] != bytes(pack.BLOCK):
        size = int(data[at + 124 : at + 135], 8)
        end = at + pack.BLOCK + size + -size % pack.BLOCK
        out.append((data[at : at + 100].rstrip(b"\0").decode(), data[at:end]))
        at = end
    return out


def write(place: str, directory: Path, change: Callable[[Segment], bytes]) -> tuple[Path, str]:
    """(what to verify, name of the changed segment)"""
    camera = simple_camera()
    target = camera.segments[2]
    for segment in camera.segments[:3] if place == "last" else camera.segments:
        segment.write(directory)
    path = directory / f"{target.name}.tar"
    path.write_bytes(change(target))
    return (path if place == "alone" else directory), target.name


def packed(change: Change) -> Callable[[Segment], bytes]:
    def changed(segment: Segment) -> bytes:
        members = members_of(segment)
        change(members)
        return b"".join(data for _, data in members) + pack.TRAILER

    return changed


def again(which: int, at: int) -> Change:
    return lambda members: members.insert(at, members[which])


def moved(which: int, to: int) -> Change:
    return lambda members: members.insert(to, members.pop(which))


def other_again(name: str, at: int) -> Change:
    return lambda members: members.insert(at, (name, pack.member(name, b"something else")))


def ordered(first: int, *order: int) -> Change:
    """The members from `first` on, in this order."""

    def change(members: Members) -> None:
        members[first : first + len(order)] = [members[first + i] for i in order]

    return change


def every_entry(*order: int) -> Change:
    def change(members: Members) -> None:
        for first in range(FIRST, len(members), 3):
            members[first : first + 3] = [members[first + i] for i in order]

    return change


ORDER: list[tuple[str, Change, What, str]] = [
    ("init.age again after chain.pem", again(INIT, 3), What.INSERTED_BYTES, "init.age stands here again"),
    ("segment.json again after chain.pem", again(HEADER, 3), What.INSERTED_BYTES, "segment.json stands here again"),
    ("chain.pem again after chain.pem", again(CHAIN, 3), What.INSERTED_BYTES, "chain.pem stands here again"),
    ("init.age doubled", again(INIT, 1), What.INSERTED_BYTES, "init.age stands here again"),
    ("segment.json doubled", again(HEADER, 2), What.INSERTED_BYTES, "segment.json stands here again"),
    ("chain.pem first as well", again(CHAIN, 0), What.INSERTED_BYTES, "chain.pem stands here again"),
    ("segment.json first as well", again(HEADER, 0), What.INSERTED_BYTES, "segment.json stands here again"),
    ("another init.age after chain.pem", other_again(pack.INIT, 3), What.INSERTED_BYTES, "with other content"),
    ("another segment.json after it", other_again(pack.HEADER, 3), What.INSERTED_BYTES, "with other content"),
    ("another chain.pem after it", other_again(pack.CHAIN, 3), What.INSERTED_BYTES, "with other content"),
    ("init.age again between entries", again(INIT, 6), What.INSERTED_BYTES, "init.age stands here again"),
    ("segment.json again in an entry", again(HEADER, 8), What.INSERTED_BYTES, "segment.json stands here again"),
    ("chain.pem again in the last entry", again(CHAIN, 17), What.INSERTED_BYTES, "chain.pem stands here again"),
    ("segment.json again at the end", again(HEADER, 18), What.INSERTED_BYTES, "segment.json stands here again"),
    ("init.age and segment.json swapped", moved(0, 1), What.SWAPPED_ENTRIES, "init.age stands after"),
    ("segment.json and chain.pem swapped", moved(1, 2), What.SWAPPED_ENTRIES, "segment.json stands after"),
    ("the head backwards", ordered(0, 2, 1, 0), What.SWAPPED_ENTRIES, "init.age and segment.json stand after"),
    ("chain.pem after the first entry", moved(2, 5), What.SWAPPED_ENTRIES, "chain.pem stands after"),
    ("init.age at the end", moved(0, 17), What.SWAPPED_ENTRIES, "init.age stands after"),
    ("segment.json at the end", moved(1, 17), What.SWAPPED_ENTRIES, "segment.json stands after"),
    ("chain.pem at the end", moved(2, 17), What.SWAPPED_ENTRIES, "chain.pem stands after"),
    ("age, note, json", ordered(6, 0, 2, 1), What.SWAPPED_ENTRIES, "another order than they were written: .age, .note"),
    ("json, age, note", ordered(6, 1, 0, 2), What.SWAPPED_ENTRIES, "another order than they were written: .json, .age"),
    ("note, json, age in the last", ordered(15, 2, 1, 0), What.SWAPPED_ENTRIES, "written: .note, .json, .age"),
    ("age, note, json everywhere", every_entry(0, 2, 1), What.SWAPPED_ENTRIES, "written: .age, .note, .json"),
    ("two entries interleaved", ordered(6, 0, 3, 1, 4, 2, 5), What.SWAPPED_ENTRIES, "2 entries"),
    ("a member of an entry in the next", ordered(6, 0, 1, 3, 2, 4, 5), What.SWAPPED_ENTRIES, "2 entries"),
    ("three entries backwards", ordered(6, 6, 7, 8, 3, 4, 5, 0, 1, 2), What.SWAPPED_ENTRIES, "3 entries"),
    ("a member of another name", other_again("readme.txt", 9), What.INSERTED_BYTES, "does not belong"),
    ("a directory's name", other_again("segments/", 3), What.INSERTED_BYTES, "does not belong"),
]  # fmt: skip


@pytest.mark.wide
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("row", ORDER, ids=lambda row: row[0])
def test_each_member_has_one_place(row: tuple[str, Change, What, str], place: str, tmp_path: Path) -> None:
    _, change, what, text = row
    given, name = write(place, tmp_path, packed(change))
    found = failures(given)
    lines = [f.line() for f in found]
    assert [(f.what, f.segment) for f in found] == [(what, name)], lines
    assert text in found[0].text, lines


@pytest.mark.wide
@pytest.mark.parametrize("row", ORDER, ids=lambda row: row[0])
def test_disorder_that_nobody_names_is_damage_all_the_same(
    row: tuple[str, Change, What, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second net: a segment without any finding has each member after the one it belongs after."""
    monkeypatch.setattr(entries, "_tell_order", lambda *_: ())
    monkeypatch.setattr(head, "_tell_places", lambda *_: ())
    given, name = write("alone", tmp_path, packed(row[1]))
    assert [f.segment for f in failures(given)] == [name]


# -- headers -------------------------------------------------------------------------------------------------------

# field: (offset, a value of its length that tar reads without complaint)
FIELDS: dict[str, tuple[int, bytes]] = {
    "mode": (100, b"0000755\0"),
    "mode without zeros": (100, b"644\0\0\0\0\0"),
    "uid": (108, b"0001750\0"),
    "gid": (116, b"0001750\0"),
    "size ended by a space": (135, b" "),
    "mtime": (136, b"14765432101\0"),
    "link": (156, b"1"),
    "symbolic link": (156, b"2"),
    "directory": (156, b"5"),
    "old regular file": (156, b"\0"),
    "link name": (157, b"/etc/passwd"),
    "gnu": (257, b"ustar  \0"),
    "user": (265, b"root"),
    "group": (297, b"root"),
    "device": (329, b"0000007\0"),
    "prefix": (345, b"elsewhere"),
    "unused": (500, b"x"),
}


@pytest.mark.wide
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("member", [INIT, HEADER, CHAIN, 7, 17])
@pytest.mark.parametrize("name", FIELDS)
def test_each_header_has_one_spelling(name: str, member: int, place: str, tmp_path: Path) -> None:
    def change(members: Members) -> None:
        members[member] = (members[member][0], with_field(members[member][1], *FIELDS[name]))

    given, segment = write(place, tmp_path, packed(change))
    found = failures(given)
    assert {(f.what, f.segment) for f in found} == {(What.ALTERED_BYTES, segment)}, [f.line() for f in found]


def test_a_checksum_in_another_spelling(tmp_path: Path) -> None:
    def change(members: Members) -> None:
        name, data = members[4]
        members[4] = (name, data[:154] + b" \0" + data[156:])

    given, segment = write("alone", tmp_path, packed(change))
    assert [(f.what, f.segment) for f in failures(given)] == [(What.ALTERED_BYTES, segment)]


@pytest.mark.parametrize("name", ["mtime", "user", "gnu"])
def test_an_archive_packed_anew_is_not_the_segment(name: str, tmp_path: Path) -> None:
    def change(members: Members) -> None:
        members[:] = [(n, with_field(data, *FIELDS[name])) for n, data in members]

    given, segment = write("alone", tmp_path, packed(change))
    assert {f.segment for f in failures(given)} == {segment}


# -- padding and trailer -------------------------------------------------------------------------------------------

ENDS: list[tuple[str, Callable[[Segment], bytes], What]] = [
    ("padding", packed(lambda m: m.__setitem__(4, (m[4][0], m[4][1][:-1] + b"x"))), What.ALTERED_BYTES),
    ("padding of init.age", packed(lambda m: m.__setitem__(0, (m[0][0], m[0][1][:-1] + b"x"))), What.ALTERED_BYTES),
    ("padding of the last", packed(lambda m: m.__setitem__(17, (m[17][0], m[17][1][:-1] + b"x"))), What.ALTERED_BYTES),
    ("a byte in the trailer", lambda s: s.to_bytes()[:-7] + b"x" + bytes(6), What.ALTERED_BYTES),
    ("first byte of the trailer", lambda s: s.to_bytes()[:-1024] + b"x" + bytes(1023), What.ALTERED_BYTES),
    ("a longer trailer", lambda s: s.to_bytes() + bytes(512), What.INSERTED_BYTES),
    ("blocked as tar does", lambda s: s.to_bytes().ljust(10240 * 4, b"\0"), What.INSERTED_BYTES),
    ("bytes after the trailer", lambda s: s.to_bytes() + b"x", What.INSERTED_BYTES),
    ("another archive after it", lambda s: s.to_bytes() * 2, What.INSERTED_BYTES),
    ("half a trailer", lambda s: s.to_bytes()[:-512], What.TRUNCATED_SEGMENT),
    ("no trailer", lambda s: s.to_bytes()[:-1024], What.TRUNCATED_SEGMENT),
]  # fmt: skip


@pytest.mark.wide
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("row", ENDS, ids=lambda row: row[0])
def test_what_is_no_member_is_zero_and_of_one_length(
    row: tuple[str, Callable[[Segment], bytes], What], place: str, tmp_path: Path
) -> None:
    given, segment = write(place, tmp_path, row[1])
    found = failures(given)
    assert row[2] in {f.what for f in found}, [f.line() for f in found]
    assert {f.segment for f in found} == {segment}, [f.line() for f in found]


# -- what the head must and must not hold --------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1, 2, 5, 8])
def test_an_event_segment_has_no_init(at: int, tmp_path: Path) -> None:
    segment = simple_camera().segments[3]
    path = segment.write(tmp_path)
    path.write_bytes(packed(other_again(pack.INIT, at))(segment))
    assert [f.what for f in failures(path)] == [What.INSERTED_BYTES]


def test_an_event_segment_has_no_number(tmp_path: Path) -> None:
    segment = simple_camera().segments[3]
    path = segment.write(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"seq":0', b'"seq":3'))
    assert [f.what for f in failures(path)] == [What.ALTERED_BYTES]


def test_a_media_segment_has_its_init_even_before_its_first_part(tmp_path: Path) -> None:
    segment = simple_camera().segments[2]
    del segment.entries[1:]
    path = segment.write(tmp_path)
    assert failures(path) == []
    assert What.UNCHECKED in notes(path), "no leaf names it, so that nothing proves its bytes"
    segment.init = None
    assert [f.what for f in failures(segment.write(tmp_path))] == [What.ALTERED_BYTES]
