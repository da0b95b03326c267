"""What is looked for in the index costs by what is found, however much a camera has stored beside it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.station import keeping
from agent.station.accessline import FIRST, Line
from agent.station.index import Index
from agent.station.indexed import Events, Held, Mark, Moment, Owed, Segment, Worn
from agent.station.summary import Announced, Summary
from agent.station.wearing import Wearing

CAMERA, MANY = "cam", "dam"
"""A camera with one log, and one with a log for each ten segments."""
ALL = 300
"""Segments of a camera: each recording has two, behind an event segment."""


def segment(number: int, camera: str = CAMERA) -> Segment:
    recording = f"r{number // 3 * 6 + 1:010d}-00000000" if number % 3 else None
    name = f"{recording}-{number % 3 - 1:04d}" if recording else f"e{2 * number:010d}-00000000"
    return Segment(
        camera, name, 1 if camera == CAMERA else 1 + number // 10, "ab" * 32, 512, recording, number % 3, 2 * number,
        2, 0, 0, None, None, True, False, False, 5, 6, None, False,
    )  # fmt: skip


def made(path: Path, count: int) -> Index:
    index = Index(path)
    for camera in (CAMERA, MANY):
        held = [segment(number, camera) for number in range(count)]
        index.gone(held)
        marks = [Mark(camera, str(s.recording), s.epoch, s.first, None, "", None) for s in held if s.recording]
        worn = [Worn(camera, s.epoch, s.first, None, None, None) for s in held]
        at = [Moment(camera, s.epoch, s.first, "boot", s.first) for s in held]
        index.opened(held[0], Events(marks, worn, late=at, begun=at))
        told = [Announced(f"e{2 * number:010d}-11111111", 512, "ef" * 32, 2 * number, 2) for number in range(count)]
        of = Summary(None, 0, 0, 1, 0, 0, None, None, True, False, False, told, [])
        index.add(camera, held[0].name, 1, "ab" * 32, 512, of, "", 5, 6)
    for number in range(count):
        index.holds(MANY, f"kept{number}", "cd" * 32, Held(1 + number // 10, 2 * number, 2 * number + 2, False), None)
    return index


def of_before(path: Path) -> None:
    """As a version made it that had fewer ways to look things up."""
    with closing(sqlite3.connect(path)) as db:
        for name in ("segment_end", "kept_held_epoch", "mark_recording"):
            db.execute(f"DROP INDEX IF EXISTS {name}")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small index, one of ten times as much, and that as an earlier version made it."""
    folder = tmp_path_factory.mktemp("index")
    made(folder / "small", ALL // 10).close()
    made(folder / "made now", ALL).close()
    shutil.copy(folder / "made now", folder / "made before")
    of_before(folder / "made before")
    return folder


@pytest.fixture
def small(stores: Path, tmp_path: Path) -> Iterator[Index]:
    with closing(Index(Path(shutil.copy(stores / "small", tmp_path)))) as opened:
        yield opened


@pytest.fixture(params=["made now", "made before"])
def index(request: pytest.FixtureRequest, stores: Path, tmp_path: Path) -> Iterator[Index]:
    with closing(Index(Path(shutil.copy(stores / request.param, tmp_path)))) as opened:
        yield opened


def steps(index: Index, action: Callable[[Index], object]) -> int:
    """How many instructions of SQLite's machine it takes."""
    count, db = 0, index._db._db

    def turn() -> None:
        nonlocal count
        count += 1

    db.set_progress_handler(turn, 1)
    try:
        action(index)
    finally:
        db.set_progress_handler(None, 1)
    return count


def purge_lines(index: Index) -> None:
    """What an index made anew reads in the access log of a purge."""
    one = segment(10)
    told = {"segments": [{"name": one.name, "sha256": one.sha256}], "lost": []}
    line = Line(1, 7, "", "purge", one.camera, str(one.recording), "", told, FIRST)
    keeping.purged(index, [line], lambda *_: False, lambda *_: ())


ASKED: dict[str, Callable[[Index], object]] = {
    "what ends at a leaf": lambda index: index.ending(CAMERA, 1, 20),
    "a recording": lambda index: index.segments(CAMERA, segment(10).recording),
    "its marks": lambda index: index.marks(CAMERA, str(segment(10).recording)),
    "who wore it": lambda index: index.worn(CAMERA, 1, 20),
    "what was opened between two leaves": lambda index: index.opened_leaves(CAMERA, 1, 18, 24),
    "what is behind a leaf": lambda index: index.behind(CAMERA, 1, 20, 2),
    "leaves of a log": lambda index: index.covered(MANY, 2),
    "leaves of a log in what is kept for its bytes": lambda index: index.kept_leaves(MANY, 2),
    "what a purge deleted": lambda index: index.purged([segment(11)], 7),
    "a purge in the access log": purge_lines,
}


@pytest.mark.parametrize("what", ASKED)
def test_beside_ten_times_as_much_it_costs_the_same(index: Index, small: Index, what: str) -> None:
    assert steps(index, ASKED[what]) <= 1.2 * steps(small, ASKED[what])


def test_what_ends_at_a_leaf_is_of_that_log_and_here(index: Index) -> None:
    assert index.ending(CAMERA, 1, 28) == [segment for segment in index.segments(CAMERA) if segment.end == 28]
    assert index.ending(CAMERA, 2, 28) == index.ending(CAMERA, 1, 29) == index.ending("nobody", 1, 28) == []
    index.purged([segment(13)], 7)
    assert index.ending(CAMERA, 1, 28) == []
    assert [one.camera for one in index.ending(MANY, 2, 28)] == [MANY]


def test_what_a_camera_said_of_a_segment_is_found_by_its_name(index: Index) -> None:
    name = "e0000000020-11111111"
    assert index.announced(MANY, name) == Owed(MANY, name, 1, 512, 20, 2)
    assert index.announced(MANY, segment(10).name) is index.announced("nobody", name) is None


def test_who_wore_it_in_each_recording_costs_by_the_segments_once(index: Index) -> None:
    """Also where all of them follow one assignment, and where something between was never opened."""
    with index._lock:
        index._db.execute("DELETE FROM worn WHERE camera = ? AND leaf > 0", (CAMERA,))
        index._db.execute("UPDATE segment SET opened = 1 WHERE camera = ?", (CAMERA,))
    firsts = [s for s in index.segments(CAMERA) if s.seq == 1]

    def told() -> list[bool]:
        wearing = Wearing(index)
        return [wearing.by_log(one) is not None for one in firsts]

    def asked(some: list[Segment]) -> Callable[[Index], object]:
        return lambda index: list(map(Wearing(index).by_log, some))

    whole, tenth = steps(index, asked(firsts)), steps(index, asked(firsts[: len(firsts) // 10]))
    assert whole <= 12 * tenth
    assert told() == [True] * len(firsts)
    gap = len(firsts) // 10
    with index._lock:
        index._db.execute("UPDATE segment SET opened = 0 WHERE camera = ? AND first = ?", (CAMERA, firsts[gap].first))
    assert told() == [n <= gap for n in range(len(firsts))]
    assert steps(index, asked(firsts)) <= whole


def test_who_wore_it_is_not_taken_from_an_earlier_log(index: Index) -> None:
    """That may have gone on, with somebody else, where nobody saw it."""
    with index._lock:
        index._db.execute("DELETE FROM worn WHERE camera = ? AND epoch = 2", (MANY,))
        index._db.execute("UPDATE segment SET first = first - 20 WHERE camera = ? AND epoch = 2", (MANY,))
        index._db.execute("UPDATE segment SET opened = 1 WHERE camera = ?", (MANY,))
    told = {s.epoch: Wearing(index).by_log(s) is not None for s in index.segments(MANY) if s.seq == 1}
    assert (told[1], told[2], told[3]) == (True, False, True)
