"""What the station knows of what it stores: found by what can be known, kept and purged by rule, opened on record."""

from __future__ import annotations

import hashlib
import json
import re
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from agent import durable, events
from agent.errors import StorageError
from agent.events import Actor
from agent.formats import age, note, receipt
from agent.formats.leaf import Kind
from agent.formats.order import Assignment
from agent.model import NS, SegmentState
from agent.station import keeping, opening, orders, overview, retention, turn
from agent.station.access import AccessLog
from agent.station.accessline import Head
from agent.station.commands import main
from agent.station.knowledge import Knowledge, Recording
from agent.station.metrics import Metrics
from agent.station.serve import Station
from tests.camera_kit import CAMERA, Desk, begin
from tests.film import film
from tests.station.kit import Bench


class Held:
    """A camera that recorded twice, with a mark and an assignment, and a station that has all of it or some."""

    def __init__(self, station: Bench, desk: Desk) -> None:
        self.station, self.desk = station, desk
        begin(desk)
        desk.sealer.event(Kind.EVENT, events.Assignment("no. 4711", "Traffic 2", Actor.STATION, "early").body())
        self.first = self._record(mark="arrest")
        self.second = self._record()
        desk.sealer.event(Kind.EVENT, events.Heartbeat(()).body())
        desk.sealer.seal_open()

    def _record(self, mark: str | None = None) -> str:
        desk = self.desk
        name = desk.sealer.start_recording(events.RecordStart("test", 0, 0).body())
        init, parts = film(2)
        desk.sealer.begin_media(name, init, desk.clock.monotonic_ns())
        for part in parts:
            desk.clock.now_ns += NS // 2
            desk.sealer.media(name, part)
        if mark:
            desk.sealer.event(Kind.EVENT, events.Mark("he drops it", Actor.CTL, 5, mark).body(), name)
        desk.sealer.stop_recording(name, events.RecordStop("test").body())
        return name

    def send(self, *, without: str = "") -> None:
        """The whole log, and all segments but those of this recording, or this one."""
        if not self.station.state.newest_epoch(CAMERA):
            self.station.send_log(self.desk)
        names = []
        for record in self.desk.spool.records(SegmentState.SEALED):
            if without and without in (record.recording, record.segment):
                continue
            data = self.desk.spool.segment(SegmentState.SEALED, record.segment).read_bytes()
            assert self.station.upload(data, record.segment).status == 204
            names.append(record.segment)
        answer = self.station.attest(names)
        assert json.loads(answer.body)["refused"] == {}
        self.receipt = receipt.parse(note.parse(json.loads(answer.body)["receipt"].encode()).text)

    def run(self, *words: str) -> int:
        command, *rest = words
        return main([command, *rest, "--dir", str(self.station.paths.root)])

    def told(self, capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> Any:
        capsys.readouterr()
        assert self.run(*words, "--json") == status
        return json.loads(capsys.readouterr().out)

    def knows(self) -> Knowledge:
        assert self.station.index
        return Knowledge(self.station.paths, self.station.index, self.station.state)

    def recording(self, name: str) -> Recording:
        return self.knows().one(name)

    @property
    def key(self) -> str:
        return str(self.station.paths.agency_identity)

    def stored(self) -> list[str]:
        return sorted(p.stem for p in (self.station.paths.station / "segments" / CAMERA).glob("*.tar"))


@pytest.fixture
def held(station: Bench, desk: Desk) -> Held:
    return Held(station, desk)


def keep(held: Held, text: str) -> None:
    held.station.paths.retention.write_text(text)


def kept_a_day(held: Held) -> Held:
    """The station has all of it, and keeps it for a day."""
    keep(held, "days = 1\n")
    held.send()
    return held


@pytest.fixture
def held_a_day(station: Bench, desk: Desk) -> Held:
    return kept_a_day(Held(station, desk))


@pytest.fixture
def in_several(station: Bench, desk: Desk) -> Held:
    """Each recording in several segments, kept for a day."""
    desk.segment_ns = 2 * NS
    return kept_a_day(Held(station, desk.open()))


# -- finding -------------------------------------------------------------------------------------------------------


def test_without_a_key_it_knows_what_leaves_say_in_public(held: Held) -> None:
    held.send()
    one = held.recording(held.first)
    assert (one.camera, one.whole, one.segments) == (CAMERA, True, 1)
    _, parts = film(2)
    assert one.media_s == (parts[-1].start_ns + parts[-1].duration_ns) / NS
    assert one.begins is not None
    assert one.begins < str(one.ends)
    assert (one.officer, one.marks, one.opened, one.who_by) == (None, (), False, None)
    assert b"4711" not in held.station.paths.index.read_bytes()


def test_an_order_that_was_served_before_says_who_probably_wore_it(held: Held) -> None:
    root, paths = held.station.paths.root, held.station.paths
    given = orders.give(root, CAMERA, Assignment("no. 9", "Stadium", None), now_s=1_780_000_000)
    held.send()
    assert held.recording(held.first).officer is None
    orders.served(paths.orders, CAMERA, given.order, 1_780_000_100)
    later = orders.give(root, CAMERA, Assignment("no. 10", "Stadium", None), now_s=1_780_000_200)
    orders.served(paths.orders, CAMERA, later.order, 1_790_000_000)
    one = held.recording(held.first)
    assert (one.officer, one.unit, one.who_by) == ("no. 9", "Stadium", "order")


def test_with_the_key_it_knows_marks_tags_and_who_wore_it(held: Held, capsys: pytest.CaptureFixture[str]) -> None:
    # One more event segment: of its second recording nothing is owed then.
    held.desk.sealer.event(Kind.EVENT, events.Heartbeat(()).body())
    held.desk.sealer.seal_open()
    held.send()
    assert held.run("index", "-i", held.key) == 2
    assert not held.recording(held.first).opened
    told = held.told(capsys, "index", "-i", held.key, "--reason", "weekly index")
    assert told == {"added": 0, "opened": len(held.stored()), "problems": []}
    first, second = held.recording(held.first), held.recording(held.second)
    assert (first.officer, first.unit, first.shift, first.who_by) == ("no. 4711", "Traffic 2", "early", "log")
    assert [(m.text, m.tag) for m in first.marks] == [("he drops it", "arrest")]
    assert (second.officer, second.marks, second.opened) == ("no. 4711", (), True)

    def found(*words: str) -> list[str]:
        return [one["recording"] for one in held.told(capsys, "find", *words)["recordings"]]

    assert found() == [held.first, held.second]
    assert found("--tag", "arrest") == [held.first]
    assert found("--officer", "no. 4711", "--unit", "Traffic 2") == [held.first, held.second]
    assert found("--officer", "no. 1") == found("--camera", "cam-other") == found("--from", "2030-01-01T00:00Z") == []
    assert found("--to", f"{str(second.begins)[:19]}Z") == [held.first]
    assert found("--mark", "DROPS") == found("--mark", "he drops it") == [held.first]
    assert found("--mark", "picks") == found("--mark", "DROPS", "--tag", "other") == []


def test_what_an_index_opens_is_named_in_the_access_log_with_the_keys(
    held: Held, capsys: pytest.CaptureFixture[str]
) -> None:
    held.send()
    assert held.run("index", "-i", held.key, "--reason", "weekly index") == 0
    before, after = held.told(capsys, "status", "--access")["access"]
    assert (before["what"], before["camera"], before["reason"]) == ("index", CAMERA, "weekly index")
    assert before["more"]["recordings"] == [held.first, held.second]
    assert sorted(before["more"]["segments"]) == held.stored()
    (identity,) = opening.identities([held.station.paths.agency_identity])
    assert before["more"]["keys"] == [hashlib.sha256(identity.recipient.to_string().encode()).hexdigest()[:16]]
    assert (after["what"], after["more"]) == (
        "index.done",
        {"opened": len(held.stored()), "other_keys": [], "failed": []},
    )
    capsys.readouterr()
    assert held.run("status", "--access") == 0
    assert f"index {CAMERA} {held.first}, {held.second}: weekly index" in capsys.readouterr().out
    # Nothing is left to open, so nothing is opened.
    assert held.run("index", "-i", held.key, "--reason", "weekly index") == 0
    assert len(held.told(capsys, "status", "--access")["access"]) == 2


def test_an_index_of_many_segments_has_a_line_for_each_batch(
    held: Held, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held.send()
    monkeypatch.setattr(opening, "BATCH", 2)
    assert held.run("index", "-i", held.key, "--reason", "weekly index") == 0
    lines = held.told(capsys, "status", "--access")["access"]
    assert [line["what"] for line in lines] == ["index", "index.done"] * ((len(held.stored()) + 1) // 2)
    assert sorted(name for line in lines for name in line["more"].get("segments", ())) == held.stored()


def test_an_index_with_another_key_or_one_that_fails_is_on_record_too(
    held: Held, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held.send()
    other = tmp_path / "other.agekey"
    other.write_text(age.X25519Identity(bytes([9]) * 32).to_string() + "\n")
    assert held.run("index", "-i", str(other), "--reason", "a try") == 2
    _, done = held.told(capsys, "status", "--access")["access"]
    assert (done["what"], done["more"]["opened"], sorted(done["more"]["other_keys"])) == (
        "index.done",
        0,
        held.stored(),
    )

    def full(*_: object) -> None:
        raise StorageError("no room")

    monkeypatch.setattr("agent.station.index.Index.opened", full)
    assert held.run("index", "-i", held.key, "--reason", "weekly index") == 4
    last = held.told(capsys, "status", "--access")["access"][-1]
    assert (last["what"], last["more"]) == ("index.failed", {"why": "no room"})


def test_no_event_is_opened_that_the_access_log_could_not_take(held: Held) -> None:
    held.send()
    held.station.paths.access.mkdir()
    assert held.run("index", "-i", held.key, "--reason", "weekly index") == 4
    assert not held.recording(held.first).opened


def test_a_key_of_somebody_else_opens_nothing(held: Held, tmp_path: Path) -> None:
    held.send()
    from agent.formats import age

    other = tmp_path / "other.agekey"
    other.write_text(age.identity_file(age.X25519Identity.generate(), "x"))
    assert held.run("index", "-i", str(other), "--reason", "try") == 2
    assert not held.recording(held.first).opened


def without_index(held: Held) -> None:
    for path in held.station.paths.station.glob("index.sqlite*"):
        path.unlink()


def test_the_index_is_made_anew_from_what_is_stored(held: Held, capsys: pytest.CaptureFixture[str]) -> None:
    keep(held, "days = 30\n")
    held.send()
    before = held.knows().recordings()
    without_index(held)
    assert held.told(capsys, "index")["added"] == len(held.stored())
    after = [one["recording"] for one in held.told(capsys, "find")["recordings"]]
    assert after == [one.recording for one in before]
    told = {one["recording"]: one for one in held.told(capsys, "find")["recordings"]}
    for one in before:
        again = told[one.recording]
        assert (again["media_s"], again["whole"], again["begins"]) == (one.media_s, True, one.begins)
        assert again["purge_s"] is not None
        assert abs(again["purge_s"] - int(one.purge_s or 0)) <= 2


def purged(held: Held, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """All that was stored, after 31 of 30 days."""
    keep(held, "days = 30\n")
    held.send()
    later(monkeypatch, 31)
    held.told(capsys, "purge", "--yes")


def test_the_index_is_made_anew_with_what_was_purged(
    held: Held, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """What is gone is not owed: the access log says that it was purged, and what it was."""
    purged(held, capsys, monkeypatch)
    found = held.told(capsys, "find")["recordings"]
    (camera,) = held.told(capsys, "status")["cameras"]
    assert (camera["purged"], camera["owed_segments"], camera["owed_leaves"]) == (2, 0, 0)
    without_index(held)
    held.told(capsys, "index")
    (again,) = held.told(capsys, "status")["cameras"]
    assert again == camera
    when = ("purge_s", "purged_s")
    assert [{k: one[k] for k in one if k not in when} for one in held.told(capsys, "find")["recordings"]] == [
        {k: one[k] for k in one if k not in when} for one in found
    ]
    assert all(one["purged_s"] for one in held.told(capsys, "find")["recordings"])


def test_what_was_purged_by_an_earlier_version_is_known_from_its_announcement(
    held: Held, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """Its lines say no more than names and digests."""
    monkeypatch.setattr(keeping, "facts", lambda segment: {"name": segment.name, "sha256": segment.sha256})
    purged(held, capsys, monkeypatch)
    (camera,) = held.told(capsys, "status")["cameras"]
    without_index(held)
    held.told(capsys, "index")
    (again,) = held.told(capsys, "status")["cameras"]
    wanted = ("purged", "owed_segments", "owed_bytes", "owed_leaves")
    assert [again[key] for key in wanted] == [camera[key] for key in wanted] == [2, 0, 0, 0]


def test_what_came_again_after_it_was_purged_is_stored(
    held: Held, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    purged(held, capsys, monkeypatch)
    held.send()
    without_index(held)
    held.told(capsys, "index")
    (camera,) = held.told(capsys, "status")["cameras"]
    assert (camera["purged"], camera["segments"]) == (0, len(held.stored()))


def test_nothing_goes_before_the_end_that_a_receipt_names_which_the_index_never_heard_of(
    held: Held, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """The index was locked when the second receipt was signed."""
    assert held.station.index
    keep(held, "days = 30\n")
    held.send()
    keep(held, "days = 60\n")
    monkeypatch.setattr(held.station.index, "add", _refuse)
    names = held.stored()
    assert held.station.attest(names[1:]).status == 200
    keep(held, "days = 30\n")
    later(monkeypatch, 31)
    told = held.told(capsys, "purge", "--yes")
    assert told["purged"] == []
    assert held.stored() == names


def bad_receipt(held: Held, camera: str) -> str:
    """One that says nothing, of a camera that has stored something; its path."""
    for kind in ("segments", "receipts"):
        (held.station.paths.station / kind / camera).mkdir(exist_ok=True)
    path = held.station.paths.station / "receipts" / camera / "1-bad.receipt"
    path.write_bytes(b"\0" * 100)
    return str(path)


def test_a_receipt_that_went_bad_keeps_that_cameras_recordings_and_is_named(
    held: Held, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    keep(held, "days = 30\n")
    held.send()
    names, path = held.stored(), bad_receipt(held, CAMERA)
    later(monkeypatch, 31)
    for command in (("purge", "--yes"), ("index",)):
        (problem,) = held.told(capsys, *command, status=1)["problems"]
        assert path in problem and "restore it from the backup, or move it away" in problem
    assert held.stored() == names
    without_index(held)
    told = held.told(capsys, "index", status=1)
    assert told["added"] == 0 and path in told["problems"][0]
    Path(path).unlink()
    held.told(capsys, "index")
    assert len(held.told(capsys, "purge", "--yes")["purged"]) == 2


def test_a_receipt_that_went_bad_keeps_nothing_of_another_camera(
    held: Held, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    keep(held, "days = 30\n")
    held.send()
    path = bad_receipt(held, "cam-other")
    without_index(held)
    assert held.told(capsys, "index", status=1)["added"] == len(held.stored())
    later(monkeypatch, 31)
    told = held.told(capsys, "purge", "--yes", status=1)
    assert len(told["purged"]) == 2
    assert path in told["problems"][0]
    held.run("purge")
    assert "nothing goes of cam-other: " in capsys.readouterr().out


def _refuse(*_: Any) -> None:
    raise StorageError("database is locked")


def test_an_access_log_that_does_not_hold_is_a_problem_of_the_index_too(
    held: Held, capsys: pytest.CaptureFixture[str]
) -> None:
    held.send()
    held.run("hold", held.first, "--until", "never", "--reason", "case 17")
    held.station.paths.access.write_bytes(held.station.paths.access.read_bytes().replace(b"case 17", b"case 18"))
    without_index(held)
    told = held.told(capsys, "index", status=1)
    assert told["added"] == len(held.stored())
    assert "access.jsonl" in told["problems"][0]


def test_a_stored_segment_that_is_no_evidence_is_not_indexed(held: Held, capsys: pytest.CaptureFixture[str]) -> None:
    held.send()
    path = next((held.station.paths.station / "segments" / CAMERA).glob("r*.tar"))
    for index in held.station.paths.station.glob("index.sqlite*"):
        index.unlink()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    (problem,) = held.told(capsys, "index", status=1)["problems"]
    assert path.name in problem


# -- what is owed --------------------------------------------------------------------------------------------------


def test_a_camera_owes_what_it_announced_and_did_not_send(held: Held, capsys: pytest.CaptureFixture[str]) -> None:
    held.send(without=held.first)
    (camera,) = held.told(capsys, "status")["cameras"]
    lacking = [r for r in held.desk.spool.records(SegmentState.SEALED) if r.recording == held.first]
    assert camera["owed_segments"] == len(lacking) == 1
    assert camera["owed_bytes"] == lacking[0].size
    assert camera["owed_leaves"] == lacking[0].entries
    held.send()
    (camera,) = held.told(capsys, "status")["cameras"]
    assert (camera["owed_segments"], camera["owed_leaves"], camera["recordings"]) == (0, 0, 2)


def test_what_is_stored_for_its_bytes_alone_is_not_owed(held: Held, capsys: pytest.CaptureFixture[str]) -> None:
    held.send(without=held.first)
    (lacking,) = [r for r in held.desk.spool.records(SegmentState.SEALED) if r.recording == held.first]
    data = bytearray(held.desk.spool.segment(SegmentState.SEALED, lacking.segment).read_bytes())
    data[len(data) // 2] ^= 1
    assert held.station.upload(bytes(data), lacking.segment).status == 204
    kept = [[lacking.segment, hashlib.sha256(data).hexdigest()]]
    body = json.dumps({"epoch": 1, "segments": [], "kept": kept}).encode()
    assert json.loads(held.station.ask("POST", "/attest", body).body)["refused"] == {}
    (camera,) = held.told(capsys, "status")["cameras"]
    assert (camera["owed_segments"], camera["owed_leaves"], camera["recordings"]) == (0, 0, 1)
    assert (camera["left_over"], camera["left_over_bytes"]) == (1, len(data))
    place = f"segments/{CAMERA}/{lacking.segment}.tar"
    assert held.told(capsys, "status", "--left-over")["left_over"] == [
        {"camera": CAMERA, "place": place, "size": len(data), "kept": True}
    ]
    assert held.run("status", "--left-over") == 0
    said = capsys.readouterr().out
    assert "1 left over" in said and f"left over: station/{place}: {len(data)} bytes, a receipt keeps it" in said
    without_index(held)
    held.told(capsys, "index", status=1)
    (again,) = held.told(capsys, "status")["cameras"]
    assert again == camera


def test_the_tail_of_a_cosigned_log_is_owed_before_any_leaf_announces_it(
    held: Held, capsys: pytest.CaptureFixture[str]
) -> None:
    held.station.send_log(held.desk)
    (camera,) = held.told(capsys, "status")["cameras"]
    assert (camera["owed_segments"], camera["owed_leaves"]) == (0, held.desk.log.next_index)
    assert camera["cosigned_leaves"] == held.desk.log.next_index


# -- hold and purge ------------------------------------------------------------------------------------------------


def later(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    now = time.time() + days * 86_400
    monkeypatch.setattr(time, "time", lambda: now)


def test_nothing_is_purged_without_a_word_of_the_agency(held: Held) -> None:
    held.send()
    assert held.run("purge", "--yes") == 2
    assert held.receipt.stored[0].until_s == 0
    keep(held, "days = 1\n")
    assert held.run("purge", "--yes") == 0
    assert len(held.stored()) == len(held.receipt.stored)


def test_what_was_receipted_without_end_is_kept_without_end(held: Held, capsys: Any, monkeypatch: Any) -> None:
    held.send()
    keep(held, "days = 1\n")
    later(monkeypatch, 10_000)
    told = held.told(capsys, "purge", "--yes")
    assert told["purged"] == []
    assert {why for _, _, why in told["kept"]} == {"a receipt says that it is kept without end"}


def test_a_recording_goes_when_its_days_are_over_and_not_before(held: Held, capsys: Any, monkeypatch: Any) -> None:
    keep(held, "days = 30\n")
    held.send()
    until = held.receipt.stored[0].until_s
    assert abs(until - time.time() - 30 * 86_400) < 60
    before = held.stored()
    assert held.told(capsys, "purge", "--yes")["due"] == []
    later(monkeypatch, 31)
    told = held.told(capsys, "purge")
    assert told["due"] == [[CAMERA, held.first], [CAMERA, held.second]]
    assert (told["purged"], held.stored()) == ([], before)
    assert held.told(capsys, "purge", "--yes")["purged"] == told["due"]
    # Event segments are the log, and stay.
    assert held.stored() == [name for name in before if name.startswith("e")]
    (camera,) = held.told(capsys, "status")["cameras"]
    assert (camera["purged"], camera["owed_segments"], camera["owed_leaves"]) == (2, 0, 0)
    lines = held.told(capsys, "status", "--access")["access"]
    assert [(line["what"], line["recording"]) for line in lines] == [("purge", held.first), ("purge", held.second)]
    assert all(s["sha256"] for line in lines for s in line["more"]["segments"])
    assert held.run("open", held.first, "-i", held.key, "--reason", "case", "-o", "/nonexistent") == 2
    assert held.told(capsys, "purge", "--yes")["due"] == []


def test_what_is_held_stays_until_the_hold_is_over(held: Held, capsys: Any, monkeypatch: Any) -> None:
    keep(held, "days = 1\n")
    held.send()
    assert held.run("hold", held.first, "--until", "never", "--reason", "case 17") == 0
    assert held.run("hold", held.second, "--until", "2020-01-01T00:00+01:00", "--reason", "case 17") == 2
    later(monkeypatch, 400)
    told = held.told(capsys, "purge", "--yes")
    assert told["purged"] == [[CAMERA, held.second]]
    assert told["kept"] == [[CAMERA, held.first, "it is held without end"]]
    assert held.run("hold", held.first, "--release", "--reason", "case 17 is closed") == 0
    assert held.told(capsys, "purge", "--yes")["purged"] == [[CAMERA, held.first]]
    lines = held.told(capsys, "status", "--access")["access"]
    assert [line["what"] for line in lines] == ["hold", "purge", "release", "purge"]


def test_a_hold_that_came_after_the_list_was_made_still_counts(held: Held, monkeypatch: Any) -> None:
    keep(held, "days = 1\n")
    held.send()
    later(monkeypatch, 400)
    from agent.station import keeping

    due = keeping.due

    def slow(*given: Any) -> Any:
        found = due(*given)
        retention.put_hold(held.station.paths, CAMERA, held.first, retention.Hold(0, "just now"))
        return found

    monkeypatch.setattr(keeping, "due", slow)
    assert held.run("purge", "--yes") == 0
    assert any(name.startswith(held.first) for name in held.stored())
    assert not any(name.startswith(held.second) for name in held.stored())


def test_what_was_purged_is_not_held_and_nobody_is_told_so(held: Held, capsys: Any, monkeypatch: Any) -> None:
    purged(held, capsys, monkeypatch)
    assert held.run("hold", held.first, "--until", "never", "--reason", "case 17") == 2
    assert f"{held.first} was purged on 20" in capsys.readouterr().err
    assert not held.station.paths.hold(CAMERA, held.first).exists()
    assert [line["what"] for line in held.told(capsys, "status", "--access")["access"]] == ["purge", "purge"]


def test_a_hold_waits_for_a_purge_that_has_begun(held: Held, capsys: Any, monkeypatch: Any) -> None:
    """Between the line in the log and the deletion: told of a hold, a person would rely on it."""
    keep(held, "days = 1\n")
    held.send()
    later(monkeypatch, 400)
    monkeypatch.setattr(turn, "WAIT_S", 0.0)
    statuses = []

    def remove(path: Path) -> None:
        if path.suffix == ".tar":
            statuses.append(held.run("hold", path.stem[:-5], "--until", "never", "--reason", "case 17"))
        durable_remove(path)

    durable_remove = durable.remove
    monkeypatch.setattr(durable, "remove", remove)
    assert held.run("purge", "--yes") == 0
    assert statuses == [4, 4]
    assert "holds.lock: the lock of holds is not free" in capsys.readouterr().err
    assert held.run("hold", held.first, "--until", "never", "--reason", "case 17") == 2


def test_a_hold_that_cannot_be_read_holds(held: Held, capsys: Any, monkeypatch: Any) -> None:
    keep(held, "days = 1\n")
    held.send()
    retention.put_hold(held.station.paths, CAMERA, held.first, retention.Hold(0, "case")).write_text("{")
    later(monkeypatch, 400)
    assert held.told(capsys, "purge", "--yes")["purged"] == [[CAMERA, held.second]]


def test_a_tag_keeps_longer_and_unknown_tags_keep_the_longest(held: Held, capsys: Any, monkeypatch: Any) -> None:
    keep(held, "days = 1\n[tags]\narrest = 100\nstadium = 200\n")
    held.desk.sealer.event(Kind.EVENT, events.Heartbeat(()).body())
    held.desk.sealer.seal_open()
    held.send()
    later(monkeypatch, 50)
    assert held.told(capsys, "purge", "--yes")["purged"] == []
    assert held.run("index", "-i", held.key, "--reason", "before the purge") == 0
    assert held.told(capsys, "purge", "--yes")["purged"] == [[CAMERA, held.second]]
    later(monkeypatch, 60)
    assert held.told(capsys, "purge", "--yes")["purged"] == [[CAMERA, held.first]]


def test_times_are_asked_for_and_shown_with_their_offset(held: Held, capsys: Any) -> None:
    keep(held, "days = 1\n")
    held.send()
    for option in (("find", "--from"), ("find", "--to"), ("hold", held.first, "--reason", "x", "--until")):
        assert held.run(*option, "2026-05-28T20:00") == 2
        assert "has no offset from UTC" in capsys.readouterr().err
    assert held.run("assign", CAMERA, "--officer", "x", "--until", "2036-05-28T20:00") == 2
    assert (
        held.run("hold", held.second, "--until", "2036-05-28T20:00Z", "--reason", "x", "--tz", "Africa/Casablanca") == 0
    )
    for words in (("find",), ("purge",), ("status",), ("status", "--access")):
        capsys.readouterr()
        assert held.run(*words, "--tz", "Asia/Kolkata") == 0
        told = capsys.readouterr().out
        times = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(.{0,7})", told)
        assert set(times) == {" +05:30"}
        assert "UTC" not in told
    capsys.readouterr()
    assert held.run("purge", "--tz", "Nowhere") == 2


def test_what_is_not_whole_stays(held: Held, capsys: Any, monkeypatch: Any) -> None:
    keep(held, "days = 1\n")
    held.send()
    assert held.station.index
    with held.station.index._lock:
        held.station.index._db.execute("UPDATE segment SET ended = 0 WHERE recording = ?", (held.first,))
    later(monkeypatch, 400)
    told = held.told(capsys, "purge", "--yes")
    assert told["purged"] == [[CAMERA, held.second]]


@pytest.mark.parametrize("text", ["days = 0", "days = 'x'", "day = 3", "days = 1\n[tags]\nx = 0", "x", "[tags]\nx = 3"])
def test_a_wrong_retention_purges_nothing_and_keeps_receipts_coming(held: Held, text: str) -> None:
    keep(held, text)
    held.send()
    assert held.receipt.stored[0].until_s == 0
    assert held.run("purge", "--yes") == 2


# -- opening -------------------------------------------------------------------------------------------------------


def test_a_recording_is_opened_on_record(held: Held, capsys: Any, tmp_path: Path) -> None:
    held.send()
    out = tmp_path / "case"
    told = held.told(capsys, "open", held.first, "-i", held.key, "--reason", "case 17", "-o", str(out))
    assert told["verification"]["verified"]
    assert (out / f"{held.first}.mp4").stat().st_size > 1000
    assert (out / f"{held.first}.proof.tar").exists()
    lines = held.told(capsys, "status", "--access")["access"]
    assert [(line["what"], line["recording"], line["reason"]) for line in lines] == [
        ("open", held.first, "case 17"),
        ("open.done", held.first, "case 17"),
    ]
    assert lines[0]["who"]
    assert lines[1]["more"] == {"verified": True, "whole": True}


def test_nothing_is_opened_that_the_log_could_not_take(held: Held, monkeypatch: Any, tmp_path: Path) -> None:
    held.send()
    held.station.paths.access.mkdir()
    arguments = ("open", held.first, "-i", held.key, "--reason", "case 17", "-o", str(tmp_path / "case"))
    assert held.run(*arguments) == 4
    assert not (tmp_path / "case").exists()
    held.station.paths.access.rmdir()
    for reason in ("", " x", "x\n", "x" * 201):
        assert held.run("open", held.first, "-i", held.key, "--reason", reason, "-o", str(tmp_path / "case")) == 2
    assert not (tmp_path / "case").exists()


def test_an_opening_that_fails_is_on_record_too(held: Held, capsys: Any, tmp_path: Path) -> None:
    held.send()
    (tmp_path / "file").write_bytes(b"")
    assert held.run("open", held.first, "-i", held.key, "--reason", "case", "-o", str(tmp_path / "file" / "x")) != 0
    lines = held.told(capsys, "status", "--access")["access"]
    assert [line["what"] for line in lines] == ["open", "open.failed"]


def test_a_recording_that_is_not_there(held: Held, tmp_path: Path) -> None:
    held.send()
    for command in (
        ("open", "r0000000099-00000000", "-i", held.key, "--reason", "x", "-o", str(tmp_path / "case")),
        ("hold", "r0000000099-00000000", "--until", "never", "--reason", "x"),
        ("hold", "../../x", "--until", "never", "--reason", "x"),
    ):
        assert held.run(*command) == 2


# -- status and metrics --------------------------------------------------------------------------------------------


def test_status_says_in_words_and_fails_where_the_access_log_does_not_hold(held: Held, capsys: Any) -> None:
    held.send()
    assert held.run("hold", held.first, "--until", "never", "--reason", "case 17") == 0
    assert held.run("status", "--access") == 0
    told = capsys.readouterr().out
    assert f"{CAMERA}: 2 recordings" in told
    assert "owes nothing" in told
    assert "1 lines, chain holds" in told
    assert "1 held" in told
    assert "case 17" in told
    held.station.paths.access.write_bytes(held.station.paths.access.read_bytes().replace(b"case 17", b"case 18"))
    assert held.run("status") == 1
    assert "DOES NOT HOLD" in capsys.readouterr().out
    assert held.run("hold", held.first, "--release", "--reason", "x") == 1


def samples(text: str) -> dict[str, float]:
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[0] != "#"}


def test_metrics_are_what_status_says(held: Held) -> None:
    held.send(without=held.first)
    assert held.station.index
    found = overview.look(held.station.paths, held.station.index, held.station.state)
    text = overview.metrics(found)
    value = samples(text)
    assert value[f'bodycam_station_camera_owed_segments{{camera="{CAMERA}"}}'] == 1
    assert value[f'bodycam_station_camera_stored_segments{{camera="{CAMERA}"}}'] == len(held.stored())
    assert value["bodycam_station_access_log_intact"] == 1
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    assert {key.split("{")[0] for key in value} <= set(names)
    assert text.endswith("\n")


def test_prometheus_asks_a_listener_of_its_own(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    walked, verify = [], AccessLog.verify

    def seen(log: AccessLog, whole: bool = True) -> Head:
        walked.append((log, whole))
        return verify(log, whole)

    monkeypatch.setattr(AccessLog, "verify", seen)
    held.station.state.close()
    station = Station(held.station.paths.root)
    station.start()
    try:
        port = station.measure("127.0.0.1", 0)
        for _ in range(2):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                assert b"bodycam_station_free_bytes" in answer.read()
        assert walked == [(walked[0][0], False)] * 2, "not all of it each few seconds"
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)
        assert refused.value.code == 404
        refused.value.close()
    finally:
        station.stop()


def test_a_metrics_address_that_is_taken_is_said() -> None:
    from agent.errors import StationError

    first = Metrics("127.0.0.1", 0, lambda: "")
    try:
        with pytest.raises(StationError, match="cannot listen on"):
            Metrics("127.0.0.1", first.port, lambda: "")
    finally:
        first.close()
