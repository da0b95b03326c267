"""Both verifiers take for purged what a station's signed note explains, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.evidence.findings import What
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
