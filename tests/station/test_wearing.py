"""Who wore a camera in a recording, and when that was, as `find` tells it: by what is certain alone."""

from __future__ import annotations

import pytest

from agent import events
from agent.eventbody import Event
from agent.events import Actor
from agent.formats.leaf import Kind
from agent.formats.order import Assignment
from agent.model import NS, SegmentState
from agent.station import orders, tagged
from tests.camera_kit import CAMERA, Desk
from tests.station.kit import Bench
from tests.station.test_knowledge import Held, held
from tests.station.test_tagged import behind, go_on

__all__ = ["held"]
DAY_S = 86_400


def served(held: Held, officer: str, at_s: int) -> None:
    paths = held.station.paths
    given = orders.give(paths.root, CAMERA, Assignment(officer, "Stadium", None), now_s=at_s)
    orders.served(paths.orders, CAMERA, given.order, at_s)


def visited(held: Held) -> None:
    """The dock took what was recorded, and so much behind it that no event of it is owed."""
    held.desk.sealer.seal_open()
    for _ in range(tagged.BEHIND):
        go_on(held)


def assigned(held: Held, officer: str) -> tuple[str, str]:
    """The camera is in other hands now, and records: the segment that says so, and the recording."""
    held.desk.sealer.event(Kind.EVENT, events.Assignment(officer, "Stadium", Actor.STATION, "late").body())
    name = held._record()
    visited(held)
    records = list(held.desk.spool.records(SegmentState.SEALED))
    first = min(record.first for record in records if record.recording == name)
    (before,) = (record.segment for record in records if record.first + record.entries == first)
    return before, name


def test_where_the_log_was_not_opened_as_a_whole_it_names_nobody(
    held: Held, capsys: pytest.CaptureFixture[str]
) -> None:
    go_on(held)
    between, third = assigned(held, "no. 0815")
    held.send(without=between)
    assert held.told(capsys, "index", "-i", held.key, "--reason", "weekly index")["problems"] == []
    assert [held.recording(name).officer for name in (held.first, held.second, third)] == ["no. 4711"] * 2 + [None]
    served(held, "no. 0815", 1_780_000_000)
    who = [(one.officer, one.who_by) for one in held.knows().recordings()]
    assert who == [("no. 4711", "log"), ("no. 4711", "log"), ("no. 0815", "order")]
    # It comes after all; until it is opened too, the log says no more than before.
    held.send()
    assert held.recording(third).who_by == "order"
    held.told(capsys, "index", "-i", held.key, "--reason", "weekly index")
    assert (held.recording(third).officer, held.recording(third).who_by) == ("no. 0815", "log")
    assert held.recording(third).shift == "late"


def opened(held: Held) -> tuple[str | None, str | None]:
    """Of its last recording, where the agency's order says another than the log."""
    served(held, "by order", 1_780_000_000)
    visited(held)
    held.send()
    assert held.run("index", "-i", held.key, "--reason", "weekly index") == 0
    one = held.knows().recordings()[-1]
    return one.officer, one.who_by


def say(held: Held, event: Event, late_ns: int | None = None) -> None:
    """As the camera's journal writes it, where the disk refused it at that moment."""
    late = {} if late_ns is None else {"late": True, "mono_ns": late_ns, "boottime_ns": late_ns}
    held.desk.sealer.event(Kind.EVENT, {**late, **event.body()})


OTHER = events.Assignment("no. 0815", "Stadium", Actor.STATION, "late")


@pytest.mark.parametrize(
    ("when", "then"),
    [("before it", "no. 0815"), ("in it", "no. 4711"), ("in another boot", "no. 4711")],
)
def test_an_assignment_that_the_disk_refused_counts_from_when_it_was_made(held: Held, when: str, then: str) -> None:
    clock = held.desk.clock
    at = clock.monotonic_ns()
    held._record()
    say(held, OTHER, clock.monotonic_ns() if when == "in it" else at)
    if when == "in another boot":
        # It says of no recording of this one what it says.
        index = held.station.index
        assert index
        assert opened(held) == ("no. 0815", "log")
        index._db.execute("UPDATE late SET boot = '22222222-2222-3333-4444-555555555555'")
        assert held.knows().recordings()[-1].officer == then
    else:
        assert opened(held) == (then, "log")
    assert held.recording(held.second).officer == "no. 4711"


def test_of_several_that_the_disk_refused_the_last_before_it_counts(held: Held) -> None:
    times = [held.desk.clock.monotonic_ns() for _ in range(3)]
    held._record()
    for officer, at in zip(("no. 1", "no. 2"), times, strict=False):
        say(held, events.Assignment(officer, None, Actor.STATION), at)
    say(held, events.Heartbeat(()), times[2])
    say(held, OTHER, held.desk.clock.monotonic_ns())
    assert opened(held) == ("no. 2", "log")


@pytest.mark.parametrize("refused", ["one", "two"])
def test_until_what_is_behind_it_was_opened_one_that_the_disk_refused_may_be_there(
    held: Held, capsys: pytest.CaptureFixture[str], refused: str
) -> None:
    at = held.desk.clock.monotonic_ns()
    third = held._record()
    if refused == "two":
        say(held, events.Assignment("no. 1", None, Actor.STATION), at - 2_000)
        held.desk.sealer.seal_open()
    say(held, OTHER, at - 1_000)
    held.desk.sealer.seal_open()
    go_on(held)
    place = behind(held, third)
    held.send(without=behind(held, place) if refused == "two" else place)
    weekly = ["index", "-i", held.key, "--reason", "weekly index"]
    assert held.told(capsys, *weekly)["problems"] == []
    assert (held.recording(third).officer, held.recording(third).who_by) == (None, None)
    served(held, "no. 0815", 1_780_000_000)
    assert (held.recording(third).officer, held.recording(third).who_by) == ("no. 0815", "order")
    held.send()
    # As until now: nothing of it is opened.
    assert held.recording(third).who_by == "order"
    assert held.told(capsys, *weekly)["problems"] == []
    assert (held.recording(third).officer, held.recording(third).who_by) == ("no. 0815", "log")
    assert held.recording(held.first).who_by == held.recording(held.second).who_by == "log"


def test_docked_each_evening_all_but_the_last_of_the_day_are_known_by_the_log(
    held: Held, capsys: pytest.CaptureFixture[str]
) -> None:
    """And that one from the next evening on."""
    served(held, "no. 4711", 1_780_000_000)
    days = [[held.first, held.second], [held._record(), held._record()]]
    held.desk.sealer.seal_open()
    held.send()
    assert held.told(capsys, "index", "-i", held.key, "--reason", "weekly index")["problems"] == []
    said = [(one.recording, one.officer, one.who_by) for one in held.knows().recordings()]
    by_log = [(name, "no. 4711", "log") for name in [*days[0], days[1][0]]]
    assert said == [*by_log, (days[1][1], "no. 4711", "order")]


@pytest.mark.parametrize("late", [False, True])
def test_where_events_were_dropped_one_of_them_may_say_another(held: Held, late: bool) -> None:
    """Late, that they were is in the log behind it, right behind the last that the disk refused before they were."""
    at = held.desk.clock.monotonic_ns()
    if late:
        held._record()
        say(held, OTHER, at - 1_000)
        say(held, events.Heartbeat(()), at)
    say(held, events.EventsDropped(3))
    if not late:
        held._record()
    assert opened(held) == ("by order", "order")
    assert (held.recording(held.second).officer, held.recording(held.second).who_by) == ("no. 4711", "log")


def test_after_them_the_next_assignment_counts(held: Held) -> None:
    say(held, events.EventsDropped(3))
    say(held, OTHER)
    held._record()
    assert opened(held) == ("no. 0815", "log")


@pytest.fixture
def doubtful(station: Bench, desk: Desk) -> Held:
    """Its first recording by a clock that comes up a day late, and its second behind one that the dock set."""
    clock = desk.clock
    clock.utc_source, clock.utc_bound_ms, clock.stepped_ns = "unverified", None, -DAY_S * NS
    held = Held(station, desk)
    clock.utc_source, clock.utc_bound_ms, clock.stepped_ns = "synchronised", 12, 0
    held.second = held._record()
    desk.sealer.seal_open()
    served(held, "no. 9", 1_780_000_000 - 2 * DAY_S)
    served(held, "no. 10", 1_780_000_000)
    held.send()
    return held


def test_a_date_that_nobody_vouches_for_names_nobody(doubtful: Held, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = doubtful.recording(doubtful.first), doubtful.recording(doubtful.second)
    assert (first.officer, first.unit, first.who_by, first.vouched) == (None, None, None, False)
    assert (second.officer, second.who_by, second.vouched) == ("no. 10", "order", True)
    capsys.readouterr()
    assert doubtful.run("find", "--tz", "UTC") == 0
    line, *_, sure = capsys.readouterr().out.splitlines()
    assert "  2026-05-27 20:43:25 +00:00 (clock unverified)  2.0 s  nobody known  " in line
    assert "unverified" not in sure
    # The log says it with any clock.
    doubtful.told(capsys, "index", "-i", doubtful.key, "--reason", "weekly index")
    first = doubtful.recording(doubtful.first)
    assert (first.officer, first.who_by) == ("no. 4711", "log")


@pytest.mark.parametrize("when", [["--from", "2026-05-28T12:00Z"], ["--to", "2026-05-20T00:00Z"]], ids=["from", "to"])
def test_by_a_date_that_nobody_vouches_for_nothing_is_left_out(
    doubtful: Held, capsys: pytest.CaptureFixture[str], when: list[str]
) -> None:
    found = {one["recording"]: one["vouched"] for one in doubtful.told(capsys, "find", *when)["recordings"]}
    assert found.get(doubtful.first) is False
    assert (doubtful.second in found) == (when[0] == "--from")


def test_what_nobody_is_known_to_have_worn_is_counted_where_an_officer_is_asked_for(
    doubtful: Held, capsys: pytest.CaptureFixture[str]
) -> None:
    told = doubtful.told(capsys, "find", "--officer", "no. 10")
    assert [one["recording"] for one in told["recordings"]] == [doubtful.second]
    doubt = len(doubtful.told(capsys, "find")["recordings"]) - 1
    assert (told["unknown"], doubtful.told(capsys, "find", "--unit", "Traffic 9")["unknown"]) == (doubt, doubt)
    assert doubtful.told(capsys, "find")["unknown"] == 0
    assert doubtful.told(capsys, "find", "--officer", "no. 10", "--tag", "arrest")["unknown"] == 0
    assert doubtful.run("find", "--officer", "no. 10") == 0
    assert f"not listed: {doubt} that nobody is known to have worn" in capsys.readouterr().out
