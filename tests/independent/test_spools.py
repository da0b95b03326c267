"""Both verifiers take for held elsewhere what is gone from a camera's spool and a receipt has, and nothing more."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.evidence.findings import What
from tests.builders import Camera, agency, simple_camera
from tests.evidence.kit import report_of
from tests.evidence.test_spools import spool_of
from tests.independent.kit import names_in, verdicts


class Gone(NamedTuple):
    """Segments of these numbers are gone; `receipt` is what a station says of the camera, if it says anything. Whether
    any of them is `held` elsewhere, and any `missing`.
    """

    name: str
    deleted: list[int]
    receipt: Callable[[Camera], bytes] | None
    held: bool
    missing: bool
    plain: bool = False


def of_all(camera: Camera) -> bytes:
    return camera.receipt(camera.segments)


def of_other_bytes(camera: Camera) -> bytes:
    return camera.receipt(simple_camera(part_bytes=301).segments)


def before_they_ended(camera: Camera) -> bytes:
    return camera.receipt(camera.segments[:2], 1)


def of_the_third(camera: Camera) -> bytes:
    return camera.receipt(camera.segments[2:3])


def of_the_outer(camera: Camera) -> bytes:
    return camera.receipt([camera.segments[0], camera.segments[2]])


def of_those_that_are_here(camera: Camera) -> bytes:
    return camera.receipt(camera.segments[1:])


GONE = [
    Gone("one in the middle", [1], of_all, held=True, missing=False),
    Gone("the first", [0], of_all, held=True, missing=False),
    Gone("the first two", [0, 1], of_all, held=True, missing=False),
    Gone("one, without a receipt", [1], None, held=False, missing=True),
    Gone("the first, without a receipt", [0], None, held=False, missing=True),
    Gone("one, with a receipt for other bytes", [1], of_other_bytes, held=False, missing=True),
    Gone("the first, with a receipt for the others", [0], of_those_that_are_here, held=False, missing=True),
    Gone("the first two, by a receipt for a log that ended before they did", [0, 1], before_they_ended, True, True),
    Gone("two in the middle, of which no seal leaf names the first", [1, 2], of_all, held=True, missing=False),
    Gone("the first three, with a receipt for the last of them", [0, 1, 2], of_the_third, held=True, missing=True),
    Gone("the first three, with a receipt for the outer ones", [0, 1, 2], of_the_outer, held=True, missing=True),
    Gone("one, of no spool", [1], of_all, held=False, missing=True, plain=True),
]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], dict[Path, str]]:
    base, camera = tmp_path_factory.mktemp("spools"), simple_camera()
    places = [spool_of(camera, base / f"{number}", gone.deleted) for number, gone in enumerate(GONE)]
    for place, gone in zip(places, GONE, strict=True):
        if gone.receipt is not None:
            (place / "receipts" / "a.receipt").write_bytes(gone.receipt(camera))
        if gone.plain:
            shutil.rmtree(place / "sealed")
    return places, verdicts(agency().write_trust(base)[0], *places)


@pytest.mark.parametrize("number", range(len(GONE)), ids=lambda number: GONE[number].name)
def test_both_say_alike_what_is_missing(number: int, judged: tuple[list[Path], dict[Path, str]]) -> None:
    (places, said), gone = judged, GONE[number]
    found = report_of(places[number]).findings
    fails = {(f.what.value, f.segment) for f in found if f.fails}
    assert (What.HELD_ELSEWHERE in {f.what for f in found}, bool(fails)) == (gone.held, gone.missing)
    assert {what for what, _ in fails} <= {What.MISSING_SEGMENT.value}
    assert names_in(said[places[number]]) == fails


def test_both_take_an_unpacked_export_for_one_and_what_lies_beside_it_for_a_log(tmp_path: Path) -> None:
    """It lacks what was before it; with its own segment removed, or with one beside it, something is missing."""
    camera, root = simple_camera(), agency().write_trust(tmp_path)[0]
    places = [tmp_path / name for name in ("whole", "cut", "beside")]
    for place in places:
        for name in ("segments", "trust", "sealed"):
            (place / name).mkdir(parents=True)
        (place / "report.json").touch()
        for segment in camera.segments:
            segment.write(place / "segments")
    (places[1] / "segments" / f"{camera.segments[1].name}.tar").unlink()
    for place, number in ((places[2], 1), (places[2], 0)):
        name = f"{camera.segments[number].name}.tar"
        (place / "segments" / name).rename(place / "sealed" / name)
    (places[2] / "sealed" / f"{camera.segments[0].name}.tar").unlink()
    said = verdicts(root, *places)
    found = [{(f.what.value, f.segment) for f in report_of(place).findings if f.fails} for place in places]
    assert [bool(fails) for fails in found] == [False, True, True]
    assert [names_in(said[place]) for place in places] == found
