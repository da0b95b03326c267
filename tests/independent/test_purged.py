"""Both verifiers take for purged what a station's signed note explains, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.evidence.findings import What
from agent.formats import note
from tests.builders import Camera, agency, make_agency, simple_camera
from tests.evidence.kit import report_of
from tests.evidence.test_purged import END, of, stored
from tests.evidence.test_spools import lived
from tests.independent.kit import names_in, verdicts


class Gone(NamedTuple):
    """Segments of these numbers are gone, with these notes and, if any, this receipt. Whether what is left verifies."""

    name: str
    gone: str
    notes: Callable[[Camera], list[bytes]]
    verifies: bool
    receipt: Callable[[Camera], bytes] | None = None
    behind: int | None = None


GONE = [
    Gone("one", "1", lambda c: [of(c, 1)], True),
    Gone("all recordings", "135", lambda c: [of(c, n) for n in (1, 3, 5)], True),
    Gone("none of it is gone", "", lambda c: [of(c, 1)], True),
    Gone("one, without a note", "1", lambda c: [], False),
    Gone("two, with a note of one", "13", lambda c: [of(c, 1)], False),
    Gone("and the event segment behind it, which has its seal leaf", "12", lambda c: [of(c, 1)], False),
    Gone("four in a row, with notes of those that are recordings", "1234", lambda c: [of(c, 1), of(c, 3)], False),
    Gone("the newest", "56", lambda c: [of(c, 5)], True, behind=6),
    Gone("a note of another segment", "1", lambda c: [of(c, 3)], False),
    Gone("a note of other bytes", "1", lambda c: [of(lived(part_bytes=301), 1)], False),
    Gone("a note of another log", "1", lambda c: [of(c, 1, origin="bodycam.local/cam-0001/2")], False),
    Gone("a note of another camera's log", "1", lambda c: [of(c, 1, origin="bodycam.local/cam-0002/1")], False),
    Gone("before its own end", "1", lambda c: [of(c, 1, purged_s=END - 1)], False),
    Gone("at its own end", "1", lambda c: [of(c, 1, purged_s=END)], True),
    Gone("kept to no end", "1", lambda c: [of(c, 1, until_s=0)], False),
    Gone("by a station of another name", "1", lambda c: [of(c, 1, station="other.test")], False),
    Gone("with a receipt that names no end", "1", lambda c: [of(c, 1)], False, lambda c: c.receipt(c.segments[1:2])),
    Gone(
        "the last, by two heads, one of which names it", "6", lambda c: [], False, lambda c: c.receipt(c.segments[6:])
    ),
    Gone("what stood before and behind it", "456", lambda c: [of(c, 5)], False, lambda c: c.receipt(c.segments[4:5])),
    Gone("with such a receipt of what is here", "1", lambda c: [of(c, 1)], True, lambda c: c.receipt(c.segments[2:])),
]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], dict[Path, str]]:
    base, camera = tmp_path_factory.mktemp("purged"), lived()
    places = []
    for number, gone in enumerate(GONE):
        place = stored(camera, base / f"{number}", gone.gone)
        places.append(place)
        for count, data in enumerate(gone.notes(camera)):
            (place / "purges" / f"{count}.purge").write_bytes(data)
        if gone.receipt is not None:
            (place / "a.receipt").write_bytes(gone.receipt(camera))
        if gone.behind is not None:
            size = camera.segments[gone.behind].header.first
            (place / "log" / "1" / "checkpoint").write_bytes(camera.checkpoint(size, by_identity=True))
    return places, verdicts(agency().write_trust(base)[0], *places)


@pytest.mark.wide
@pytest.mark.parametrize("number", range(len(GONE)), ids=lambda number: GONE[number].name)
def test_both_say_alike_what_a_note_explains(number: int, judged: tuple[list[Path], dict[Path, str]]) -> None:
    (places, said), gone = judged, GONE[number]
    fails = {(f.what.value, f.segment) for f in report_of(places[number]).findings if f.fails}
    assert (not fails) == gone.verifies
    assert {what for what, _ in fails} <= {What.MISSING_SEGMENT.value, What.BAD_PURGE.value}
    assert names_in(said[places[number]]) == fails


def test_both_refuse_one_of_another_agency_and_take_what_is_left_of_a_cut_purge(tmp_path: Path) -> None:
    camera, root = simple_camera(), agency().write_trust(tmp_path)[0]
    cut, forged = stored(camera, tmp_path / "cut", "1"), stored(camera, tmp_path / "forged", "1")
    (cut / "a.purge").write_bytes(camera.purge(camera.segments[1:3]))
    camera.agency = make_agency("another")
    (forged / "a.purge").write_bytes(camera.purge(camera.segments[1:3]))
    said = verdicts(root, cut, forged)
    found = [{(f.what.value, f.segment) for f in report_of(place).findings if f.fails} for place in (cut, forged)]
    assert [len(fails) for fails in found] == [0, 2]
    assert [names_in(said[place]) for place in (cut, forged)] == found


# -- spellings -----------------------------------------------------------------------------------------------------

Lines = list[str]


def at(number: int, *words: str) -> Callable[[Lines], object]:
    """In this line each even word by the odd one behind it."""

    def edit(lines: Lines) -> None:
        for old, new in zip(words[::2], words[1::2], strict=True):
            assert old in lines[number]
            lines[number] = lines[number].replace(old, new, 1)

    return edit


def swapped(one: int, other: int) -> Callable[[Lines], object]:
    def edit(lines: Lines) -> None:
        lines[one], lines[other] = lines[other], lines[one]

    return edit


def named_first(lines: Lines) -> None:
    """An event segment, in a line like the others'."""
    lines.insert(7, f"segment {'0' * 64} 9216 e0000000000-00000000 0 2")


SPELLINGS: dict[str, Callable[[Lines], object]] = {
    "lines swapped": swapped(5, 6),
    "segments swapped": swapped(7, 8),
    "a segment twice": lambda lines: lines.insert(7, lines[7]),
    "no segment": lambda lines: lines.__delitem__(slice(7, 9)),
    "an event segment": named_first,
    "a line more": lambda lines: lines.insert(7, "more 1"),
    "another version": at(0, "/v1", "/v2"),
    "no log's name": at(2, "/1", "/01"),
    "no camera's name": at(3, "cam", "CAM"),
    "no recording's name": at(4, "r0", "e0"),
    "until with a leading zero": at(5, "until ", "until 0"),
    "until of 19 digits": at(5, "until ", "until 111111111"),
    "a digest in capitals": at(7, "segment ", "segment A"),
    "a segment of another recording": at(7, " r0000000001", " r0000000002"),
    "a first leaf before there can be one": at(7, "-0000 2 ", "-0000 1 "),
    "no leaf": at(7, "-0000 2 4", "-0000 2 0"),
    "more leaves than its bytes can hold": at(7, "-0000 2 4", "-0000 2 9"),
    "leaves of the next one": at(7, "-0000 2 4", "-0000 2 5"),
    "a word more": at(7, "-0000 2 4", "-0000 2 4 1"),
    "a certificate more": lambda lines: lines.insert(-1, lines[-2]),
    "a segment behind the certificates": lambda lines: lines.insert(-1, lines.pop(8)),
}


def test_both_refuse_each_other_spelling(tmp_path: Path) -> None:
    camera, a = simple_camera(part_bytes=2_000), agency()
    lines, places = note.parse(camera.purge(camera.segments[1:3])).text.split("\n"), list[Path]()
    for number, edit in enumerate(SPELLINGS.values()):
        made = list(lines)
        edit(made)
        text, place = "\n".join(made), tmp_path / f"{number}"
        camera.segments[0].write(place)
        camera.segments[3].write(place)
        signature = note.sign_ed25519(text, a.station, a.receipt_key)
        (place / "a.purge").write_bytes(note.Note(text, (signature,)).to_bytes())
        places.append(place)
    said = verdicts(a.write_trust(tmp_path)[0], *places)
    for name, place in zip(SPELLINGS, places, strict=True):
        fails = {(f.what.value, f.segment) for f in report_of(place).findings if f.fails}
        assert ("bad-purge", None) in fails, name
        assert names_in(said[place]) == fails, name
