"""What the disk damaged, or somebody mistyped, costs what it says, and nothing beside that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.formats.order import Assignment
from agent.station import orders, overview
from tests.camera_kit import CAMERA
from tests.station.test_knowledge import Held, held, keep, samples

__all__ = ["held"]


def given(held: Held, officer: str, at_s: int) -> Path:
    """An assignment that the camera was given right then; the note that is kept of it."""
    paths = held.station.paths
    made = orders.give(paths.root, CAMERA, Assignment(officer, "Stadium", None), now_s=at_s)
    orders.served(paths.orders, CAMERA, made.file.read_bytes(), at_s)
    return paths.orders / CAMERA / "given" / f"assignment-{made.order.number}.note"


@pytest.fixture
def damaged(held: Held) -> Path:
    """The newer of two assignments, both before the recordings."""
    held.send()
    keep(held, "days = 1\n")
    given(held, "no. 9", 1_780_000_000)
    path = given(held, "no. 10", 1_780_000_100)
    assert held.recording(held.first).officer == "no. 10"
    path.write_bytes(b"\0" * 200)
    return path


@pytest.mark.parametrize("words", [["find"], ["hold", "FIRST", "--until", "never", "--reason", "case"], ["purge"]])
def test_a_damaged_note_of_an_assignment_is_passed_over_and_named(
    held: Held, capsys: pytest.CaptureFixture[str], damaged: Path, words: list[str]
) -> None:
    words = [held.first if word == "FIRST" else word for word in words]
    told = held.told(capsys, *words)
    (problem,) = told["problems"]
    assert problem.startswith(f"{damaged}: ")
    assert held.run(*words) == 0
    assert f"not read: {damaged}: " in capsys.readouterr().out


def test_of_an_assignment_that_is_damaged_nobody_says_that_the_one_before_went_on(held: Held, damaged: Path) -> None:
    one = held.recording(held.first)
    assert (one.officer, one.unit, one.who_by) == (None, None, None)
    given(held, "no. 11", 1_780_000_200)
    assert held.recording(held.first).officer == "no. 11"


def test_a_damaged_note_that_no_camera_was_given_says_nothing_of_who_wore_it(held: Held, damaged: Path) -> None:
    damaged.with_suffix(".served").unlink()
    assert held.recording(held.first).officer == "no. 9"


def test_a_note_that_the_disk_does_not_give_is_passed_over_too(
    held: Held, capsys: pytest.CaptureFixture[str], damaged: Path
) -> None:
    damaged.unlink()
    damaged.mkdir()
    (problem,) = held.told(capsys, "find")["problems"]
    assert f"cannot read {damaged}" in problem


def test_nothing_is_said_where_nothing_is_damaged(held: Held, capsys: Any) -> None:
    held.send()
    given(held, "no. 9", 1_780_000_000)
    assert held.told(capsys, "find")["problems"] == []


# -- retention.toml ------------------------------------------------------------------------------------------------


@pytest.fixture
def mistyped(held: Held) -> Path:
    held.send()
    keep(held, "days = ninety\n")
    return held.station.paths.retention


def test_a_mistyped_retention_stops_what_asks_for_days_and_nothing_else(
    held: Held, capsys: pytest.CaptureFixture[str], mistyped: Path
) -> None:
    told = held.told(capsys, "find")
    assert [one["purge_s"] for one in told["recordings"]] == [None, None]
    (problem,) = told["problems"]
    assert problem.startswith(str(mistyped))
    told = held.told(capsys, "hold", held.first, "--until", "never", "--reason", "case")
    assert told["until"] == 0
    assert len(told["problems"]) == 1
    assert held.run("purge") == 2
    assert str(mistyped) in capsys.readouterr().err
    assert held.recording(held.first).held_until_s == 0


def test_status_and_metrics_say_that_retention_is_mistyped(
    held: Held, capsys: pytest.CaptureFixture[str], mistyped: Path
) -> None:
    told = held.told(capsys, "status", status=2)
    assert (told["retention_problem"].startswith(str(mistyped)), told["cameras"][0]["recordings"]) == (True, 2)
    assert held.run("status") == 2
    assert f"retention: CANNOT BE READ, so what is stored now is kept for ever, and nothing is purged: {mistyped}" in (
        capsys.readouterr().out
    )
    assert valid(held) == 0
    keep(held, "days = 90\n")
    assert (held.told(capsys, "status")["retention_problem"], valid(held)) == (None, 1)
    mistyped.unlink()
    assert (held.told(capsys, "status")["retention_problem"], valid(held)) == (None, 1)


def valid(held: Held) -> float:
    """As Prometheus reads it."""
    assert held.station.index
    found = overview.look(held.station.paths, held.station.index, held.station.state)
    return samples(overview.metrics(found))["bodycam_station_retention_valid"]
