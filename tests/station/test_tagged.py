"""A recording goes by the rule of its tags, which are known only where no mark of it can be in what nobody opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from agent import events
from agent.events import Actor
from agent.formats.leaf import Kind
from agent.formats.seal import SealRecord
from agent.model import SegmentState
from agent.station.state import Link
from tests.camera_kit import CAMERA, Desk
from tests.station.kit import Bench
from tests.station.test_knowledge import Held, keep, later

LATE = {"late": True, "mono_ns": 1, "boottime_ns": 1}


def late(held: Held, recording: str) -> None:
    """A mark of it that the disk refused before, as the camera's journal writes it then."""
    body = events.Mark("he hits him", Actor.CTL, 5, "arrest").body()
    held.desk.sealer.event(Kind.EVENT, {**LATE, **body, "recording": recording})


def go_on(held: Held) -> None:
    """One more event segment."""
    held.desk.sealer.event(Kind.EVENT, events.Heartbeat(()).body())
    held.desk.sealer.seal_open()


@pytest.fixture
def held(station: Bench, desk: Desk) -> Held:
    made = Held(station, desk)
    go_on(made)
    keep(made, "days = 1\n[tags]\narrest = 730\n")
    return made


def send(held: Held, wanted: Callable[[SealRecord], bool] = lambda record: True) -> None:
    """Those of its segments, and the log as it is."""
    if not held.station.state.newest_epoch(CAMERA):
        held.station.send_log(held.desk)
    names = []
    for record in filter(wanted, held.desk.spool.records(SegmentState.SEALED)):
        data = held.desk.spool.segment(SegmentState.SEALED, record.segment).read_bytes()
        assert held.station.upload(data, record.segment).status == 204
        names.append(record.segment)
    assert json.loads(held.station.attest(names).body)["refused"] == {}


def opened(held: Held) -> None:
    assert held.run("index", "-i", held.key, "--reason", "weekly index") == 0


def purged(held: Held, capsys: Any) -> list[str]:
    return [recording for _, recording in held.told(capsys, "purge", "--yes")["purged"]]


def behind(held: Held, name: str) -> str:
    """The segment behind this recording, or segment."""
    records = list(held.desk.spool.records(SegmentState.SEALED))
    end = max(r.first + r.entries for r in records if r.segment.startswith(name))
    return next(r.segment for r in records if r.first == end)


def test_a_late_mark_behind_it_counts(held: Held, capsys: Any, monkeypatch: Any) -> None:
    late(held, held.second)
    held.desk.sealer.seal_open()
    send(held)
    opened(held)
    assert (held.recording(held.second).tags, held.recording(held.second).tags_known) == (["arrest"], True)
    later(monkeypatch, 2)
    assert purged(held, capsys) == []


@pytest.mark.parametrize("place", ["the first", "the second"])
@pytest.mark.parametrize("then", ["not stored", "not opened"])
def test_until_what_is_behind_it_was_opened_it_is_kept_for_the_longest_tag(
    place: str, then: str, held: Held, capsys: Any, monkeypatch: Any
) -> None:
    last = behind(held, held.second)
    if place == "the second":
        last = behind(held, last)
    send(held, lambda record: record.segment != last)
    opened(held)
    if then == "not opened":
        send(held, lambda record: record.segment == last)
    one = held.recording(held.second)
    assert (one.opened, one.tags_known) == (True, False)
    later(monkeypatch, 2)
    assert purged(held, capsys) == []
    assert held.run("find") == 0
    assert "perhaps not all marks are known yet" in capsys.readouterr().out
    send(held, lambda record: record.segment == last)
    opened(held)
    later(monkeypatch, 2)
    assert purged(held, capsys) == [held.second]


def test_a_mark_before_its_first_picture_is_behind_its_start_leaf(held: Held) -> None:
    """Which lies in the event segment before it."""
    before = behind(held, held.first)
    send(held, lambda record: record.segment != before)
    opened(held)
    assert (held.recording(held.second).opened, held.recording(held.second).tags_known) == (True, False)


def test_the_next_recording_is_behind_it_too_and_counts_when_it_is_gone(
    held: Held, capsys: Any, monkeypatch: Any
) -> None:
    send(held, lambda record: record.recording != held.second)
    opened(held)
    assert (held.recording(held.first).tags, held.recording(held.first).tags_known) == (["arrest"], False)
    send(held)
    assert not held.recording(held.first).tags_known
    opened(held)
    assert held.recording(held.first).tags_known
    later(monkeypatch, 2)
    assert purged(held, capsys) == [held.second]
    assert held.recording(held.first).tags_known


def follows(held: Held, size: int) -> None:
    """A later log does, after so many leaves of this one."""
    state = held.station.state
    with state.transaction():
        state._db.execute("DELETE FROM link")
    state.add_link(CAMERA, Link(2, 1, size, b"", "damaged"))


def test_where_its_log_ended_with_it_nothing_is_behind_it(held: Held) -> None:
    records = list(held.desk.spool.records(SegmentState.SEALED))
    end = max(r.first + r.entries for r in records if r.recording == held.second)
    send(held, lambda record: record.first < end)
    opened(held)
    state = held.station.state
    for size, link, known in ((end, None, False), (end, end, True), (end, end + 1, False), (end + 1, end, False)):
        with state.transaction():
            state._db.execute("UPDATE head SET size = ?", (size,))
        if link is not None:
            follows(held, link)
        assert held.recording(held.second).tags_known == known, (size, link)


def test_where_its_log_ended_soon_behind_it_what_is_stored_of_that_is_enough(held: Held) -> None:
    """A card that was lost after the dock takes what was not sealed with it."""
    last = behind(held, behind(held, held.second))
    send(held, lambda record: record.segment != last)
    opened(held)
    assert not held.recording(held.second).tags_known
    follows(held, held.desk.log.next_index)
    assert held.recording(held.second).tags_known
    announced(held, last, 23, 2)
    assert not held.recording(held.second).tags_known


def announced(held: Held, name: str, first: int, entries: int) -> None:
    """By its seal leaf, or, as of no entries, by what the next log says that the card keeps of this one."""
    index = held.station.index
    assert index
    with index._lock:
        index._db.execute("INSERT INTO announced VALUES (?, ?, 1, 5000, ?, ?)", (CAMERA, name, first, entries))


@pytest.mark.parametrize(("first", "entries", "known"), [(0, 0, False), (23, 2, False), (1, 2, True)])
def test_what_is_kept_of_it_for_its_bytes_alone_is_never_opened(
    first: int, entries: int, known: bool, held: Held, capsys: Any, monkeypatch: Any
) -> None:
    last = behind(held, behind(held, held.second))
    send(held, lambda record: record.segment != last)
    opened(held)
    follows(held, held.desk.log.next_index)
    announced(held, last, first, entries)
    assert held.station.index
    held.station.index.kept(CAMERA, last, "ab" * 32, f"segments/{CAMERA}/{last}.tar")
    assert held.recording(held.second).tags_known == known
    later(monkeypatch, 2)
    assert (held.second in purged(held, capsys)) == known
