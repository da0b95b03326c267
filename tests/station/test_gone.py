"""How what is gone went, as an index made anew tells it: by access log and notes, and no more than these say."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, cast

import pytest

from agent.errors import EvidenceError
from agent.station import keeping, purgenotes
from agent.station.access import AccessLog
from agent.station.accessline import Line
from agent.station.index import Index
from agent.station.indexed import Owed, Segment
from tests.camera_kit import CAMERA
from tests.station.test_knowledge import Held, in_several, later, without_index
from tests.station.test_knowledge import held_a_day as held
from tests.station.test_purge import notes_of

__all__ = ["held", "in_several"]


def test_what_an_earlier_version_purged_is_not_called_lost_by_a_later_line(
    in_several: Held, capsys: Any, monkeypatch: Any
) -> None:
    """Some of the recording came again and was purged again: that line names all of it, its note what came."""
    held = in_several
    mine = sorted((held.station.paths.station / "segments" / CAMERA).glob(f"{held.first}-*.tar"))
    data = mine[0].read_bytes()
    later(monkeypatch, 2)
    with monkeypatch.context() as patch:
        append = AccessLog.append
        patch.setattr(AccessLog, "append", lambda *words, lost, **more: append(*words, **more))
        patch.setattr(purgenotes.PurgeNotes, "write", lambda *_: None)
        assert held.run("purge", "--yes") == 0
    mine[0].write_bytes(data)
    assert held.run("index") == 0
    assert held.run("purge", "--yes") == 0
    (told,) = notes_of(held, held.first)
    assert (len(mine) > 1, [gone.segment for gone in told.gone]) == (True, [mine[0].stem])
    without_index(held)
    assert held.run("index") == 0
    one = held.told(capsys, "find")["recordings"][0]
    assert one["recording"] == held.first
    assert (one["segments"], one["lost"], one["unexplained_segments"]) == (len(mine), 0, 0)


class Told:
    """An index that only listens."""

    def __init__(self) -> None:
        self.went: dict[str, str] = {}
        self.segments: list[Segment] = []

    def announced(self, camera: str, name: str) -> Owed | None:
        return None

    def gone(self, segments: list[Segment]) -> None:
        self.segments = segments
        self.went = {s.name: "lost" if s.lost else "unexplained" if s.unexplained else "purged" for s in segments}


def purge_line(digest: str, more: dict[str, Any]) -> Line:
    segments = [{"name": "r0000000002-e2dffef8-0000", "sha256": digest}]
    return Line(1, 0, "who", "purge", CAMERA, "r0000000002-e2dffef8", "why", {"segments": segments, **more}, "")


EARLIER, NOTED, NAMED = {}, {"lost": []}, {"lost": ["r0000000002-e2dffef8-0000"]}


@pytest.mark.parametrize(
    ("lines", "noted", "went"),
    [
        ([("a", EARLIER)], "", "purged"),
        ([("a", NOTED)], "a", "purged"),
        ([("a", NOTED)], "", "unexplained"),
        ([("a", NAMED)], "", "lost"),
        ([("a", EARLIER), ("a", NOTED)], "", "purged"),
        ([("a", EARLIER), ("a", NOTED), ("a", NOTED)], "", "purged"),
        ([("a", EARLIER), ("a", NAMED)], "", "lost"),
        ([("a", EARLIER), ("b", NOTED)], "", "unexplained"),
        ([("a", NAMED), ("a", NOTED)], "", "unexplained"),
        ([("a", NOTED), ("a", NOTED)], "", "unexplained"),
        ([("a", NAMED), ("a", NOTED)], "a", "purged"),
    ],
)
def test_how_it_went_by_the_lines_of_the_log_and_the_digests_in_notes(
    lines: list[tuple[str, dict[str, Any]]], noted: str, went: str
) -> None:
    told = Told()
    found = [purge_line(*line) for line in lines]
    keeping.purged(cast(Index, told), found, lambda *_: False, lambda *_: noted)
    assert [*told.went.values()] == [went]


TOLD = {"name": "r0000000002-e2dffef8-0000", "sha256": "ab" * 32, "epoch": 1, "first": 2, "begins": None, "ended": True}


def test_what_a_later_version_tells_besides_of_what_went_is_passed_over() -> None:
    index, line = Told(), purge_line("", {"segments": [TOLD | {"of_a_later_version": 7, "place": "elsewhere"}]})
    keeping.purged(cast(Index, index), [line], lambda *_: False, lambda *_: "")
    assert [(s.first, s.ended, s.place) for s in index.segments] == [(2, True, "")]


@pytest.mark.parametrize(
    "more",
    [
        *({"segments": [TOLD | wrong]} for wrong in ({"name": 7}, {"name": "../x"}, {"name": "e0000000002-e2dffeab"})),
        *({"segments": [TOLD | wrong]} for wrong in ({"sha256": None}, {"epoch": "1"}, {"first": True}, {"ended": 1})),
        *({"segments": [TOLD | wrong]} for wrong in ({"size": 1 << 63}, {"begins": 7}, {"start_ns": "0"})),
        {"segments": [{"name": TOLD["name"]}]},
        {"segments": [{"sha256": TOLD["sha256"]}]},
        {"segments": ["r0000000002-e2dffef8-0000"]},
        {"segments": None},
        {"lost": None},
    ],
    ids=str,
)
def test_a_line_that_does_not_say_what_was_purged_is_named(more: dict[str, Any]) -> None:
    lines = [purge_line("a", EARLIER), replace(purge_line("b", more), number=2)]
    index = Told()
    with pytest.raises(EvidenceError, match="line 2 of the access log"):
        keeping.purged(cast(Index, index), lines, lambda *_: False, lambda *_: "")
    assert index.segments == []


def test_the_line_with_a_field_that_is_wrong_is_a_problem_and_the_rest_is_indexed(held: Held, capsys: Any) -> None:
    AccessLog(held.station.paths.access).append(
        "purge", CAMERA, held.first, "why", segments=[TOLD | {"epoch": "1"}], lost=[]
    )
    without_index(held)
    told = held.told(capsys, "index", status=1)
    assert (told["added"], told["problems"]) == (
        len(held.stored()),
        [
            "line 1 of the access log says what was purged, and `epoch` of it is none: "
            "what it says was purged counts as owed"
        ],
    )


def test_a_lost_note_does_not_make_lost_what_it_named(held: Held, capsys: Any, monkeypatch: Any) -> None:
    """An index made anew says what it does not know, until the note is back; none is signed on that."""
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    (note,) = held.station.paths.purges(CAMERA).glob(f"{held.first}-*.purge")
    data = note.read_bytes()
    note.unlink()
    without_index(held)
    assert held.run("index") == 0
    (camera,) = held.told(capsys, "status")["cameras"]
    assert (camera["lost"], camera["unexplained_segments"], camera["purged_unsigned"]) == (0, 1, 0)
    assert held.run("status") == 0
    said = "ARE IN NO PURGE NOTE, and the access log does not say that they were gone before"
    assert f"1 segments {said}" in capsys.readouterr().out
    assert held.run("find") == 0
    told = capsys.readouterr().out
    assert (told.count(f"1 of its segments {said}"), "WERE GONE BEFORE" in told) == (1, False)
    assert held.told(capsys, "purge", "--yes")["noted"] == []
    assert held.run("hold", held.first, "--until", "never", "--reason", "case 17") == 2
    assert f"{held.first} is gone, and no note says how" in capsys.readouterr().err
    note.write_bytes(data)
    assert held.run("index") == 0
    (camera,) = held.told(capsys, "status")["cameras"]
    assert (camera["lost"], camera["unexplained_segments"], camera["purged_unsigned"]) == (0, 0, 0)


def test_an_index_made_anew_says_that_the_access_log_is_gone(held: Held, capsys: Any, monkeypatch: Any) -> None:
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    held.station.paths.access.unlink()
    without_index(held)
    (problem,) = held.told(capsys, "index", status=1)["problems"]
    assert problem.startswith(f"{held.station.paths.access} is gone, ")


def test_an_index_that_saw_the_purge_needs_no_note_to_know_of_it(held: Held, capsys: Any, monkeypatch: Any) -> None:
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    for path in held.station.paths.purges(CAMERA).iterdir():
        path.unlink()
    assert held.run("index") == 0
    assert held.told(capsys, "purge", "--yes")["noted"] == [[CAMERA, held.first], [CAMERA, held.second]]


def test_an_index_that_called_it_lost_on_no_word_is_put_right(held: Held, capsys: Any, monkeypatch: Any) -> None:
    """As versions did that made it anew where a note was gone."""
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    for path in held.station.paths.purges(CAMERA).iterdir():
        path.unlink()
    index = held.knows()._index
    index.purged(index.segments(CAMERA, held.first), int(time.time()), lost=[s.name for s in index.segments(CAMERA)])
    assert held.recording(held.first).lost_segments == 1
    assert held.run("index") == 0
    one = held.recording(held.first)
    assert (one.lost_segments, one.unexplained_segments) == (0, 1)
    assert held.told(capsys, "purge", "--yes")["noted"] == [[CAMERA, held.second]]
