"""What the disk refuses is said later, in order; what flaps does not fill the log, and is not forgotten either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from agent.errors import StorageError
from agent.events import Cleared, EventsDropped, Fault, SourceEnded, parse
from agent.journal import MAX_OWED, Faults, Journal, Owed
from agent.model import NS
from tests.camera_kit import FakeClock


class Disk:
    """Takes bodies, or refuses them: from now on, or once so many are taken."""

    def __init__(self) -> None:
        self.bad, self.takes = False, 1_000_000
        self.taken: list[tuple[Mapping[str, Any], str | None]] = []

    def write(self, body: Mapping[str, Any], recording: str | None) -> None:
        if self.bad or len(self.taken) >= self.takes:
            raise StorageError("refused")
        self.taken.append((body, recording))


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def journal(disk: Disk, clock: FakeClock) -> Journal:
    journal = Journal(clock)
    journal.open(disk.write)
    return journal


def test_an_event_goes_out_as_it_is(journal: Journal, disk: Disk) -> None:
    journal.say(Cleared("x"), "r1")
    journal.settle()
    assert disk.taken == [({"type": "cleared", "what": "x"}, "r1")]


def test_what_was_refused_is_said_late_in_order_and_with_its_instant(
    journal: Journal, disk: Disk, clock: FakeClock
) -> None:
    disk.bad = True
    journal.say(SourceEnded("one", 7), "r1")
    with pytest.raises(StorageError):
        journal.settle()
    disk.bad = False
    clock.now_ns = 5_000 * NS
    journal.say(Cleared("two"))
    assert disk.taken == []
    journal.settle()
    (one, of_one), (two, of_two) = disk.taken
    told = parse(one)
    assert (told.event, told.late, told.mono_ns, told.recording) == (SourceEnded("one", 7), True, 7, "r1")
    assert told.boottime_ns is not None
    assert 1_005 * NS <= told.boottime_ns < 1_006 * NS
    told = parse(two)
    assert (told.event, told.late, told.recording) == (Cleared("two"), True, None)
    assert told.mono_ns is not None
    assert told.boottime_ns is not None
    assert 5_000 * NS <= told.mono_ns < 5_001 * NS
    assert 5_005 * NS <= told.boottime_ns < 5_006 * NS
    assert (of_one, of_two) == (None, None)


def test_before_it_is_open_and_after_it_is_closed_nothing_is_written(disk: Disk, clock: FakeClock) -> None:
    journal = Journal(clock)
    journal.say(Cleared("early"))
    journal.settle()
    journal.open(disk.write)
    journal.settle()
    journal.close()
    journal.say(Cleared("after the last leaf"))
    journal.settle()
    assert [body["what"] for body, _ in disk.taken] == ["early"]


def test_memory_is_bounded_and_what_it_costs_is_counted(journal: Journal, disk: Disk) -> None:
    disk.bad = True
    for number in range(MAX_OWED + 9):
        journal.say(EventsDropped(number))
    disk.bad = False
    journal.settle()
    assert [body["count"] for body, _ in disk.taken[:-1]] == list(range(MAX_OWED))
    assert disk.taken[-1] == ({"type": "events.dropped", "count": 9}, None)


@pytest.mark.parametrize("taken", [0, 9, MAX_OWED - 1, MAX_OWED])
def test_no_event_overtakes_the_number_of_those_dropped_before_it(journal: Journal, disk: Disk, taken: int) -> None:
    """Wherever the disk refuses again, though it be the number's own line."""
    disk.takes = 0
    for number in range(MAX_OWED + 3):
        journal.say(SourceEnded("one", number))
    disk.takes = taken
    with pytest.raises(StorageError):
        journal.settle()
    disk.takes = 1_000_000
    for number in (1_001, 1_002):
        journal.say(SourceEnded("then", number))
    assert journal.owes
    assert journal.owed().others == MAX_OWED - taken + 5
    journal.settle()
    then = [(body["type"], body.get("late", False)) for body, _ in disk.taken[MAX_OWED:]]
    dropped, late = ("events.dropped", False), ("source.ended", True)
    assert then == ([dropped, late, late] if taken else [dropped])
    assert sum(body.get("count", 1) for body, _ in disk.taken) == MAX_OWED + 5
    assert not journal.owes and journal.owed() == Owed()


def test_that_a_fault_is_over_which_the_next_life_tells_itself_is_no_event_that_is_lost(
    journal: Journal, disk: Disk
) -> None:
    journal.say(Fault("taken", "before the disk refused", 1))
    disk.bad = True
    for event in (Fault("storage", "refused", 1, 7), Cleared("storage"), Cleared("taken"), SourceEnded("one", 7)):
        journal.say(event)
    owed = journal.owed()
    assert ([fault.what for fault in owed.faults], owed.others) == (["storage"], 2)


@pytest.fixture
def said() -> list[Mapping[str, Any]]:
    return []


@pytest.fixture
def faults(said: list[Mapping[str, Any]], clock: FakeClock) -> Faults:
    return Faults(lambda event: said.append(event.body()), clock)


def test_a_fault_is_shown_logged_and_cleared(faults: Faults, said: list[Mapping[str, Any]]) -> None:
    for _ in range(3):
        faults.raised("storage", "full")
    assert ("storage" in faults, list(faults), faults.shown()) == (True, ["storage"], {"storage": "full"})
    for _ in range(3):
        faults.cleared("storage")
        faults.cleared("never raised")
    assert ("storage" in faults, list(faults), faults.shown()) == (False, [], {})
    assert said == [
        {"type": "fault", "what": "storage", "detail": "full", "times": 1, "mono_ns": said[0]["mono_ns"]},
        {"type": "cleared", "what": "storage"},
    ]


def test_a_fault_that_is_told_late_says_when_it_was_found(
    faults: Faults, said: list[Mapping[str, Any]], clock: FakeClock
) -> None:
    """By another thread, before the loop's turn came; or within its minute."""
    found_ns = clock.now_ns
    faults.raised("durable", "stalls", found_ns - 5 * NS)
    faults.cleared("durable")
    faults.raised("durable", "stalls")
    clock.now_ns += 61 * NS
    faults.settle()
    first, _, second = said
    assert first["mono_ns"] == found_ns - 5 * NS
    assert 0 <= second["mono_ns"] - found_ns < NS
    assert (first["times"], second["times"]) == (1, 1)


@pytest.mark.parametrize("ends", ["cleared", "raised"])
def test_one_that_flaps_is_shown_each_time_and_logged_once_a_minute_with_how_often_it_came(
    faults: Faults, said: list[Mapping[str, Any]], clock: FakeClock, ends: str
) -> None:
    for number in range(240):
        faults.raised("delivery", f"detail {number % 7}")
        assert "delivery" in faults.shown()
        faults.cleared("delivery")
        assert "delivery" not in faults.shown()
        faults.settle()
        clock.now_ns += NS // 4
    if ends == "raised":
        faults.raised("delivery", "at last")
    clock.now_ns += 60 * NS
    faults.settle()
    assert sum(body.get("times", 0) for body in said) == 240 + (ends == "raised")
    assert [body["type"] for body in said[:2]] == ["fault", "cleared"]
    assert said[-1]["type"] == ("cleared" if ends == "cleared" else "fault")
    assert len(said) <= 6


def test_what_another_leaf_tells_of_is_not_told_twice(faults: Faults, said: list[Mapping[str, Any]]) -> None:
    faults.show("microphone", "gone")
    assert faults.shown() == {"microphone": "gone"}
    faults.settle()
    faults.show("microphone", None)
    assert (faults.shown(), said) == ({}, [])
    faults.show("camera", "gone")
    faults.cleared("camera")
    assert said == [{"type": "cleared", "what": "camera"}]


@pytest.mark.parametrize("bad", [False, True])
def test_a_defect_in_an_event_costs_that_event_and_is_counted(journal: Journal, disk: Disk, bad: bool) -> None:
    """Also one that is owed, as behind another of which the number is not in the log yet."""
    disk.bad = bad
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cleared, "body", lambda self: {"type": self.missing})
        for event in (Cleared("x"), Cleared("y"), SourceEnded("one", 7)):
            journal.say(event)
        disk.bad = False
        journal.settle()
    assert sum(body.get("count", 0) for body, _ in disk.taken) == 2
    assert [body["type"] for body, _ in disk.taken if "count" not in body] == ["source.ended"]
    assert not journal.owes


def test_what_an_event_says_is_not_in_the_systems_journal(
    journal: Journal, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.bad = True
    journal.say(SourceEnded("where officer nine stood", 7))
    assert "source.ended" in caplog.text
    assert "officer nine" not in caplog.text


def test_what_a_fault_says_is_not_in_the_systems_journal(faults: Faults, caplog: pytest.LogCaptureFixture) -> None:
    faults.raised("orders", "number 7 names officer nine")
    assert "orders" in caplog.text
    assert "officer nine" not in caplog.text
