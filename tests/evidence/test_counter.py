"""Session leaves count by one where the camera has a hardware counter; what does not is named, by both verifiers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.evidence.findings import Finding, Sure, What
from tests.builders import Camera, agency
from tests.evidence.kit import report_of
from tests.independent.test_agreement import verdicts

W = What


def lives(*counters: object) -> Camera:
    """One session after another, each with what its leaf says of the counter; each records something."""
    camera = Camera(agency())
    for counter in counters:
        camera.new_session(counter=counter)
        camera.start()
        camera.part()
        camera.stop()
        camera.shutdown()
    return camera


def told(directory: Path) -> list[Finding]:
    names = (W.COUNTER_JUMP, W.COUNTER_BACK, W.COUNTER_SILENT, W.BAD_LEAF)
    return [f for f in report_of(directory).findings if f.what in names]


@pytest.mark.parametrize(
    ("counters", "found"),
    [
        ((7, 8, 9), []),
        ((None, None), []),
        ((None, 5, 6), []),
        ((1,), []),
        (((1 << 63) - 2, (1 << 63) - 1), []),
        ((7, 9), [W.COUNTER_JUMP]),
        ((7, 8, 80, 81), [W.COUNTER_JUMP]),
        ((7, 7), [W.COUNTER_BACK]),
        ((7, 6, 7), [W.COUNTER_BACK]),
        ((7, None, 8), [W.COUNTER_SILENT]),
        ((7, None, None, 8), [W.COUNTER_SILENT, W.COUNTER_SILENT]),
        ((7, None, 9), [W.COUNTER_SILENT, W.COUNTER_JUMP]),
        ((7, "8"), [W.BAD_LEAF]),
        ((7, True), [W.BAD_LEAF]),
        ((0, 1), [W.BAD_LEAF]),
        ((1 << 63,), [W.BAD_LEAF]),
        (([],), [W.BAD_LEAF]),
    ],
    ids=str,
)
def test_each_step_has_its_name(tmp_path: Path, counters: tuple[object, ...], found: list[What]) -> None:
    camera = lives(*counters)
    camera.write(tmp_path / "seg")
    findings = told(tmp_path / "seg")
    assert [f.what for f in findings] == found
    fails = any(f.fails for f in findings)
    assert fails == (set(found) - {W.COUNTER_SILENT} != set())
    assert report_of(tmp_path / "seg").verified is not fails
    if shutil.which("node"):
        said = verdicts(agency().write_trust(tmp_path)[0], tmp_path / "seg")
        assert said[tmp_path / "seg"].startswith("FAIL" if fails else "verified")


def test_a_jump_says_where_how_many_and_how_sure(tmp_path: Path) -> None:
    lives(7, 11).write(tmp_path)
    (jump,) = told(tmp_path)
    assert jump.sure is Sure.LIKELY
    assert jump.first == 7
    assert "from 7 in leaf 0 to 11: 3 starts" in jump.text
    assert jump.when is not None


def test_where_leaves_are_missing_in_between_nothing_is_said(tmp_path: Path) -> None:
    """The missing segments have their own finding, and may hold the sessions that were counted."""
    camera = lives(7, 8, 9)
    camera.segments = [s for s in camera.segments if not 7 <= s.entries[0].index < 14]
    camera.write(tmp_path)
    assert told(tmp_path) == []
    assert {f.what for f in report_of(tmp_path).findings if f.fails} == {W.MISSING_SEGMENT}
