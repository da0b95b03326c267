"""Other bytes came first under a segment's name: the receipt names the true place, and whoever reads the store goes by
it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from agent.model import SegmentState
from agent.station.conflicts import MAX_ASIDES
from agent.station.index import Index
from tests.camera_kit import CAMERA, Desk
from tests.station.kit import Bench, announcement, digest
from tests.station.test_knowledge import Held, keep, later, without_index

JUNK = b"not evidence" * 50


@pytest.fixture
def held(station: Bench, desk: Desk) -> Held:
    """All is stored, with junk where the first recording's segment should be."""
    made = Held(station, desk)
    keep(made, "days = 30\n")
    assert station.upload(JUNK, segment_of(made)).status == 204
    made.send()
    return made


def segment_of(held: Held) -> str:
    (one,) = [r for r in held.desk.spool.records(SegmentState.SEALED) if r.recording == held.first]
    return one.segment


def aside(held: Held) -> list[Path]:
    return list((held.station.paths.station / "conflicts" / CAMERA).glob("*.tar"))


def test_the_index_knows_where_the_receipted_bytes_lie(held: Held) -> None:
    (path,) = aside(held)
    assert held.station.index
    (segment,) = held.station.index.segments(CAMERA, held.first)
    (told,) = [s for s in held.receipt.stored if s.segment == segment.name]
    assert segment.place == told.place == path.relative_to(held.station.paths.station).as_posix()


def test_the_recording_is_opened(held: Held, capsys: Any, tmp_path: Path) -> None:
    out = str(tmp_path / "case")
    told = held.told(capsys, "open", held.first, "-i", held.key, "--reason", "case 17", "-o", out)
    assert told["verification"]["verified"]
    told = held.told(capsys, "index", "-i", held.key, "--reason", "weekly index")
    assert told["problems"] == []
    assert held.recording(held.first).tags == ["arrest"]


def test_it_is_purged_and_what_is_not_evidence_stays(held: Held, capsys: Any, monkeypatch: Any) -> None:
    later(monkeypatch, 31)
    assert [CAMERA, held.first] in held.told(capsys, "purge", "--yes")["purged"]
    assert aside(held) == []
    assert held.station.segment(segment_of(held)).read_bytes() == JUNK
    (before,) = held.told(capsys, "status")["cameras"]
    without_index(held)
    assert held.told(capsys, "index")["problems"] == []
    (again,) = held.told(capsys, "status")["cameras"]
    assert again == before
    assert (again["purged"], again["owed_segments"], again["owed_leaves"]) == (2, 0, 0)


def test_an_index_made_anew_finds_it(held: Held, capsys: Any) -> None:
    before = held.knows().recordings()
    without_index(held)
    assert held.told(capsys, "index") == {"added": len(held.receipt.stored), "opened": 0, "problems": []}
    index = Index(held.station.paths.index)
    again = index.segments(CAMERA, held.first)
    index.close()
    assert [s.place for s in again] == [p.relative_to(held.station.paths.station).as_posix() for p in aside(held)]
    assert len(held.told(capsys, "find")["recordings"]) == len(before)


def test_an_index_of_an_earlier_version_learns_from_the_receipts_where_it_lies(
    held: Held, capsys: Any, monkeypatch: Any
) -> None:
    assert held.station.index
    held.station.index._db.execute("DROP TABLE place")
    held.station.index.close()
    later(monkeypatch, 31)
    assert [CAMERA, held.first] in held.told(capsys, "purge", "--yes")["purged"]
    assert aside(held) == []
    without_index(held)


def test_what_came_alone_and_has_no_receipt_is_owed(station: Bench, desk: Desk, capsys: Any) -> None:
    made = Held(station, desk)
    made.send(without=made.first)
    (camera,) = made.told(capsys, "status")["cameras"]
    assert station.upload(JUNK, segment_of(made)).status == 204
    (again,) = made.told(capsys, "status")["cameras"]
    assert again["owed_segments"] == camera["owed_segments"] == 1
    assert again["owed_leaves"] == camera["owed_leaves"] > 0


def test_other_bytes_that_came_after_a_purge_are_a_new_segment(held: Held, capsys: Any, monkeypatch: Any) -> None:
    """As with a copy of the log that another session signed."""
    later(monkeypatch, 31)
    held.told(capsys, "purge", "--yes")
    assert held.station.index
    (gone,) = held.station.index.segments(CAMERA, held.first)
    held.station.index._db.execute("UPDATE segment SET sha256 = ? WHERE name = ?", ("0" * 64, gone.name))
    held.send()
    (again,) = held.station.index.segments(CAMERA, held.first)
    assert (again.sha256, again.purged_s, again.opened) == (gone.sha256, None, False)
    assert (held.station.paths.station / again.place).exists()
    assert json.loads(held.station.ask("GET", "/log/1").body)["cosigned"]


def test_what_lies_beside_without_a_receipt_is_told_until_somebody_removes_it(held: Held, capsys: Any) -> None:
    (genuine,) = aside(held)
    assert held.station.upload(JUNK[1:], segment_of(held)).status == 204
    told, came_first = held.told(capsys, "status", "--left-over")["left_over"]
    assert came_first["place"] == f"segments/{CAMERA}/{segment_of(held)}.tar"
    assert [(one["size"], one["kept"]) for one in (told, came_first)] == [(len(JUNK) - 1, False), (len(JUNK), False)]
    path = held.station.paths.station / told["place"]
    assert path != genuine and path.read_bytes() == JUNK[1:]
    path.unlink()
    (held.station.paths.station / came_first["place"]).unlink()
    told = held.told(capsys, "status", "--left-over")
    assert told["left_over"] == [] and told["cameras"][0]["left_over"] == 0


def test_evidence_is_not_left_over_where_other_bytes_of_it_lay_there_before(held: Held, capsys: Any) -> None:
    """They were purged, and their place is remembered."""
    (told,) = held.told(capsys, "status", "--left-over")["left_over"]
    assert told["place"].startswith("segments/")
    (one,) = held.knows()._index.segments(CAMERA, held.first)
    held.knows()._index.kept(CAMERA, one.name, "aa" * 32, one.place)
    assert held.told(capsys, "status", "--left-over")["left_over"] == [told]


def junk(number: int) -> bytes:
    return b"%d" % number * 300


def test_the_genuine_one_is_taken_after_however_many_others_and_stays_once_it_has_its_receipt(
    station: Bench, desk: Desk
) -> None:
    made = Held(station, desk)
    others = 2 * MAX_ASIDES
    for number in range(others):
        assert station.upload(junk(number), segment_of(made)).status == 204
    made.send()
    (told,) = [s for s in made.receipt.stored if s.segment == segment_of(made)]
    for number in range(others, 2 * others):
        assert station.upload(junk(number), segment_of(made)).status == 204
    genuine = station.paths.station / told.place
    assert hashlib.sha256(genuine.read_bytes()).hexdigest() == told.sha256
    assert len(aside(made)) == MAX_ASIDES + 1


def test_nothing_gives_way_while_a_receipt_may_be_about_to_name_it(station: Bench) -> None:
    name = "e0000000000-91b3c4d7"
    for number in range(MAX_ASIDES + 1):
        assert station.upload(junk(number), name).status == 204
    store: Any = station.app._attestor._store
    with store.promising:
        answer = station.ask("POST", "/files", b"", announcement(name, digest(b"x"), 1))
        assert (answer.status, answer.headers["Retry-After"]) == (423, "1")
    assert station.upload(b"x", name).status == 204
