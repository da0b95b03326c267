"""What the camera's hardware counts goes up by one from leaf to leaf; what does not is named, by both verifiers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.evidence.findings import Finding, Sure, What
from tests.builders import Camera, agency
from tests.evidence.kit import report_of
from tests.evidence.test_verify_sh import run
from tests.independent.kit import names_in, verdicts

W = What
Life = tuple[object, ...]
"""What the session leaf says, then what the start leaf of each recording says; None where it says nothing."""


def lives(*all_of_them: Life) -> Camera:
    """One session after another; each records something, whatever is said of that."""
    camera = Camera(agency())
    for session, *recordings in all_of_them:
        camera.new_session(counter=session)
        for counter in recordings or [None]:
            camera.start(counter=counter)
            camera.part()
            camera.stop()
        camera.shutdown()
    return camera


def told(directory: Path) -> list[Finding]:
    names = (W.COUNTER_JUMP, W.COUNTER_BACK, W.COUNTER_SILENT, W.BAD_LEAF)
    return [f for f in report_of(directory).findings if f.what in names]


CASES: list[tuple[tuple[Life, ...], list[What]]] = [
    (((7,), (8,), (9,)), []),
    (((None,), (None,)), []),
    (((None,), (5,), (6,)), []),
    ((((1 << 63) - 2,), ((1 << 63) - 1,)), []),
    (((7,), (9,)), [W.COUNTER_JUMP]),
    (((7,), (8,), (80,), (81,)), [W.COUNTER_JUMP]),
    (((7,), (7,)), [W.COUNTER_BACK]),
    (((7,), (6,), (7,)), [W.COUNTER_BACK]),
    (((7,), (None,), (8,)), [W.COUNTER_SILENT]),
    (((7,), (None,), (None,), (8,)), [W.COUNTER_SILENT, W.COUNTER_SILENT]),
    (((7,), (None,), (9,)), [W.COUNTER_SILENT, W.COUNTER_JUMP]),
    (((7,), ("8",)), [W.BAD_LEAF]),
    (((7,), (True,)), [W.BAD_LEAF]),
    (((0,), (1,)), [W.BAD_LEAF]),
    (((1 << 63,),), [W.BAD_LEAF]),
    ((([],),), [W.BAD_LEAF]),
    # With each recording counted, too.
    (((7, 8),), []),
    (((7, 9),), [W.COUNTER_JUMP]),
    (((7, 8, 9), (10, 11)), []),
    (((7, 8, None), (9, None)), []),
    (((7, 8, 10),), [W.COUNTER_JUMP]),
    (((7, 8), (10, 11)), [W.COUNTER_JUMP]),
    (((7, 8, 8),), [W.COUNTER_BACK]),
    (((7, 0),), [W.BAD_LEAF]),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Path], dict[Path, str]]]:
    """Every case, written once; one run of the other verifier over all of them, where its tools are."""
    root = tmp_path_factory.mktemp("counter")
    found = []
    for number, (case, _) in enumerate(CASES):
        lives(*case).write(root / f"{number}")
        found.append(root / f"{number}")
    yield found, verdicts(agency().write_trust(root)[0], *found) if shutil.which("node") else {}


@pytest.mark.wide
@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: str(CASES[number][0]))
def test_each_step_has_its_name(number: int, places: tuple[list[Path], dict[Path, str]]) -> None:
    directories, said = places
    expected = CASES[number][1]
    assert [f.what for f in told(directories[number])] == expected
    verified = not set(expected) - {W.COUNTER_SILENT}
    assert report_of(directories[number]).verified is verified
    assert said.get(directories[number], "verified" if verified else "FAIL").startswith(
        "verified" if verified else "FAIL"
    )


def test_a_jump_says_where_how_many_and_how_sure(tmp_path: Path) -> None:
    lives((7,), (11,)).write(tmp_path)
    (jump,) = told(tmp_path)
    assert jump.sure is Sure.LIKELY
    assert jump.first == 7
    assert "from 7 in leaf 0 to 11: what it counted 3 times" in jump.text
    assert jump.when is not None


def test_where_leaves_are_missing_in_between_nothing_is_said(tmp_path: Path) -> None:
    """The missing segments have their own finding, and may hold what was counted."""
    camera = lives((7,), (8,), (9,))
    camera.segments = [s for s in camera.segments if not 7 <= s.entries[0].index < 14]
    camera.write(tmp_path)
    assert told(tmp_path) == []
    assert {f.what for f in report_of(tmp_path).findings if f.fails} == {W.MISSING_SEGMENT}


Step = tuple[int | None, int | None]
"""What the last counted leaf of one log says, and the first of the next."""
ACROSS: list[tuple[Step, bool, list[What]]] = [
    ((7, 8), False, []),
    ((None, 8), False, []),
    ((7, None), False, []),
    ((7, 11), False, [W.COUNTER_JUMP]),
    ((7, 7), False, [W.COUNTER_BACK]),
    # The card held another history, as a station told: what was counted there is not in what is given.
    ((7, 11), True, []),
]


@pytest.mark.skipif(not shutil.which("node"), reason="the other verifier needs node")
def test_both_verifiers_count_on_from_one_log_to_the_next(tmp_path: Path) -> None:
    places = []
    for number, ((before, after), left, _) in enumerate(ACROSS):
        first = lives((before,))
        second = first.next_epoch(left=first.head(3) if left else None, counter=after).shutdown()
        places.append(tmp_path / str(number))
        for camera in (first, second):
            camera.write(places[-1])
    said = verdicts(agency().write_trust(tmp_path)[0], *places)
    for place, (_, _, expected) in zip(places, ACROSS, strict=True):
        assert [(f.what, f.sure) for f in told(place)] == [(what, Sure.LIKELY) for what in expected]
        assert {name for name, _ in names_in(said[place])} == {what.value for what in expected}, said[place]


def test_where_the_first_log_lacks_leaves_up_to_where_the_next_follows_it_nothing_is_said_of_the_count(
    tmp_path: Path,
) -> None:
    first = lives((7,), (8,))
    second = first.next_epoch(counter=11).shutdown()
    first.segments = [s for s in first.segments if s.entries[0].index < 7]
    for camera in (first, second):
        camera.write(tmp_path)
    assert told(tmp_path) == []


@pytest.mark.parametrize(("case", "status"), [(((7, 8),), 0), (((7, 9),), 1)])
def test_the_stock_tools_count_too(
    case: tuple[Life, ...], status: int, places: tuple[list[Path], dict[Path, str]], tmp_path: Path
) -> None:
    root, _ = agency().write_trust(tmp_path)
    number = [counters for counters, _ in CASES].index(case)
    done = run(*places[0][number].glob("*.tar"), "--trust", root)
    assert done.returncode == status, done.stdout + done.stderr
    assert ("does not go up by one" in done.stdout) is bool(status)
