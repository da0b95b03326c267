"""What the disk damaged, or somebody mistyped, costs what it says, and nothing beside that."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import durable
from agent.errors import StorageError
from agent.formats import note
from agent.formats.order import ALL_CAMERAS, Assignment, Configuration, Kind, Tag, Tags
from agent.model import NS
from agent.station import orders, overview
from agent.station.commands import main
from agent.station.counting import Counting
from tests.camera_kit import CAMERA
from tests.station.kit import Bench
from tests.station.test_knowledge import Held, held, keep, samples

__all__ = ["held"]
TAGS = Tags((Tag("arrest", "توقيف", "arrestation", "arrest"),))


def given(held: Held, officer: str, at_s: int) -> Path:
    """An assignment that the camera was given right then; the note that is kept of it."""
    paths = held.station.paths
    made = orders.give(paths.root, CAMERA, Assignment(officer, "Stadium", None), now_s=at_s)
    orders.served(paths.orders, CAMERA, made.order, at_s)
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
    knows = held.knows()
    assert knows.one(held.first).officer == "no. 9"
    (problem,) = knows.problems
    assert problem.startswith(f"{damaged}: ")
    assert "not known" not in problem


def with_a_time_of(held: Held, data: bytes | None) -> Path:
    """The note of the second of two assignments, which was served at `data`, no time; None where it cannot be read."""
    held.send()
    given(held, "no. 9", 1_780_000_000)
    path = given(held, "no. 10", 1_780_000_100)
    marker = path.with_suffix(".served")
    if data is None:
        directory(marker)
    else:
        marker.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "note_too"),
    [(b"", False), (b"\0" * 11, False), (b"17800001oo\n", False), (b"1" * 5000, False), (None, False), (b"", True)],
    ids=["empty", "zeros", "no number", "too long", "not read", "as its note"],
)
def test_of_a_time_that_is_damaged_nobody_says_that_the_one_before_went_on(
    held: Held, data: bytes | None, note_too: bool
) -> None:
    path = with_a_time_of(held, data)
    if note_too:
        path.write_bytes(b"\0" * 200)
    knows = held.knows()
    one = knows.one(held.first)
    assert (one.officer, one.unit, one.who_by) == (None, None, None)
    *of_note, of_marker = knows.problems
    assert (len(of_note), str(path.with_suffix(".served")) in of_marker) == (note_too, True)
    given(held, "no. 11", 1_780_000_200)
    assert held.recording(held.first).officer == "no. 11"


@pytest.mark.parametrize("data", [b"\0" * 11, None], ids=["zeros", "not read"])
def test_who_wears_it_is_known_again_from_when_it_asks_for_that_order_again(held: Held, data: bytes | None) -> None:
    """As it does at each dock: until then it may have been anybody."""
    path = with_a_time_of(held, data)
    found = orders.to_serve(held.station.paths.orders, CAMERA, Kind.ASSIGNMENT)
    assert found
    for at_s in (1_780_000_150, 2_000_000_000):
        orders.served(held.station.paths.orders, CAMERA, found[0], at_s)
    knows = held.knows()
    assert knows.one(held.first).officer == "no. 10"
    (problem,) = knows.problems
    assert str(path.with_suffix(".served")) in problem and "until 2026-05-28T20:29:10Z" in problem
    # Recorded before that.
    path.with_suffix(".again").write_bytes(b"2000000000\n")
    assert held.recording(held.first).officer is None
    path.with_suffix(".again").write_bytes(b"9" * 20)
    assert held.recording(held.first).officer is None


def test_a_time_that_was_put_back_counts_and_what_was_noted_meanwhile_does_not(held: Held) -> None:
    held.send()
    path = given(held, "no. 10", 1_780_000_100)
    path.with_suffix(".again").write_bytes(b"2000000000\n")
    knows = held.knows()
    assert (knows.one(held.first).officer, knows.problems) == ("no. 10", [])


def test_a_time_that_is_damaged_says_nothing_of_who_wore_it_before_the_order(held: Held) -> None:
    held.send()
    given(held, "no. 9", 1_780_000_000)
    given(held, "no. 10", 2_000_000_000).with_suffix(".served").write_bytes(b"\0" * 11)
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


# -- orders at the dock --------------------------------------------------------------------------------------------


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


HARM: dict[str, Callable[[Path], object]] = {
    "zeros": lambda path: path.write_bytes(b"\0" * 300),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "not read": directory,
}


def three_orders(station: Bench) -> dict[Kind, Path]:
    root = station.paths.root
    bodies = (Assignment("no. 9", "Stadium", None), Configuration("x = 1\n"))
    given = [*(orders.give(root, CAMERA, body) for body in bodies), orders.give(root, ALL_CAMERAS, TAGS)]
    return {one.order.kind: one.file for one in given}


def answers(station: Bench) -> dict[Kind, int]:
    return {kind: station.ask("GET", f"/orders/{kind.value}").status for kind in Kind}


@pytest.mark.wide
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_order_is_none_for_the_camera_and_told_at_the_station(
    station: Bench, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, kind: Kind, harm: str
) -> None:
    """No state of the station's, that would have a camera wait with the others."""
    files = three_orders(station)
    where = ["--dir", str(station.paths.root)]
    assert answers(station) == dict.fromkeys(Kind, 200)
    HARM[harm](files[kind])
    assert answers(station) == dict.fromkeys(Kind, 200) | {kind: 404}
    assert str(files[kind]) in caplog.text
    capsys.readouterr()
    assert main(["status", *where, "--json"]) == 0
    (problem,) = json.loads(capsys.readouterr().out)["damaged_orders"]
    assert str(files[kind]) in problem
    assert main(["status", *where]) == 0
    assert f"orders: CANNOT BE READ, so cameras do not get it: {problem}" in capsys.readouterr().out
    assert station.index
    found = overview.look(station.paths, station.index, station.state)
    assert samples(overview.metrics(found))["bodycam_station_damaged_orders"] == 1


def test_a_scrape_reads_an_order_again_only_where_it_changed(station: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    files = three_orders(station)
    assert station.index
    index, counting, looked, parse = station.index, Counting(station.paths, station.index), [], note.parse

    def seen(data: bytes) -> note.Note:
        looked.append(counting._lock.locked())
        return parse(data)

    def look() -> tuple[int, int]:
        looked.clear()
        found = overview.look(station.paths, index, station.state, counting)
        assert all(looked), "another scrape of the same moment waits"
        return len(looked), len(found.damaged_orders)

    monkeypatch.setattr(note, "parse", seen)
    assert [look() for _ in range(2)] == [(3, 0), (0, 0)]
    files[Kind.TAGS].write_bytes(b"\0" * 300)
    assert [look() for _ in range(2)] == [(1, 1), (1, 1)]
    files[Kind.TAGS].unlink()
    assert look() == (0, 0)


@pytest.mark.parametrize("kind", [Kind.ASSIGNMENT, Kind.TAGS])
def test_what_is_damaged_can_be_given_again_with_a_higher_number(station: Bench, kind: Kind) -> None:
    body, camera = (Assignment("no. 10", None, None), CAMERA) if kind is Kind.ASSIGNMENT else (TAGS, ALL_CAMERAS)
    root = station.paths.root
    first = orders.give(root, camera, body, now_s=2_000_000_000)
    first.file.write_bytes(b"\0" * 300)
    second = orders.give(root, camera, body, now_s=1_900_000_000)
    assert second.order.number == first.order.number + 1
    assert station.ask("GET", f"/orders/{kind.value}").status == 200


def test_an_order_is_given_that_the_disk_has_no_room_to_note_and_noted_as_of_then(
    station: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = orders.give(station.paths.root, CAMERA, Assignment("no. 9", "Stadium", None))
    before_s = int(time.time())

    def refuse(path: Path, *_: object) -> bool:
        raise StorageError(f"cannot write {path}: no space left")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "create_file", refuse)
        assert [station.ask("GET", "/orders/assignment").status for _ in range(2)] == [200, 200]
    after_s = int(time.time())
    assert "no space left" in caplog.text
    note_file = station.paths.orders / CAMERA / "given" / f"assignment-{made.order.number}.note"
    assert orders.since_s(note_file) is None
    monkeypatch.setattr(time, "time_ns", lambda: (after_s + 900) * NS)
    assert station.ask("GET", "/orders/assignment").status == 200
    at_s = orders.since_s(note_file)
    assert at_s
    assert before_s <= at_s <= after_s
