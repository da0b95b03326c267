"""A second of which no media is there is not called a recorded one, whatever leaves there are."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from math import inf
from pathlib import Path

import pytest

from agent import events
from agent.events import Actor, State
from agent.evidence import report
from agent.evidence.accounts import Powered
from agent.evidence.findings import Sure, What
from agent.evidence.ledger import accounts_of
from agent.evidence.tiling import Account, Doing, Unclaimed, lay_over_all
from agent.formats.leaf import Kind
from agent.model import NS
from tests.builders import Camera, agency
from tests.evidence.kit import report_of
from tests.evidence.test_accounts import RECORDING, Log, tiles, told

KEYS = pytest.mark.parametrize("key", [True, False])


def recording(key: bool = True) -> Log:
    """It began at 20 s, and was recorded until 22 s."""
    return Log(key).session(5).state(6, State.READY).start(20).film(20, 22)


def during(powered: Powered) -> list[tuple[float, float, str]]:
    return [account for account in told(powered) if account[1] > 20]


@KEYS
@pytest.mark.parametrize("length", [2, 30, 59])
def test_a_hole_in_a_recording_is_not_accounted_for(key: bool, length: int) -> None:
    powered = recording(key).film(22 + length, 24 + length).stop(24 + length, ended=24 + length).only()
    (hole,) = powered.unaccounted
    assert (hole.begin_ns, hole.end_ns, hole.sure) == (22 * NS, (22 + length) * NS, Sure.PROVEN)
    assert (hole.recording, f"no media for {length}.0 s" in hole.reason) == (RECORDING, True)
    assert powered.totals()[Doing.RECORDING] == 4 * NS


@KEYS
def test_a_second_between_two_parts_is_within_the_bound(key: bool) -> None:
    assert recording(key).film(23, 24).stop(24, ended=24).only().unaccounted == []
    assert len(recording(key).part(23.501).stop(24, ended=24).only().unaccounted) == 1


@KEYS
def test_a_hole_that_begins_less_than_a_second_before_the_last_leaf_is_cut_off_there(key: bool) -> None:
    """Its last part was stamped five seconds ahead, and the power went: no stop says that parts were lost."""
    powered = recording(key).part(22.6, begin=27).only()
    assert during(powered)[:2] == [(20, 22, "recording"), (22, 22.6, "unaccounted")]


@KEYS
def test_leaves_of_events_do_not_fill_a_hole(key: bool) -> None:
    log = recording(key)
    for second in range(23, 50):
        log.add(second, Kind.EVENT, events.Mark("here", Actor.CTL, second * NS), RECORDING)
    assert during(log.film(50, 51).stop(51, ended=51).only())[:3] == [
        (20, 22, "recording"),
        (22, 50, "unaccounted"),
        (50, 51, "recording"),
    ]


def test_a_muted_recording_goes_on_and_has_holes_as_any_other() -> None:
    log = recording().add(22, Kind.EVENT, events.Mute("asked for", Actor.CTL, 22 * NS), RECORDING).film(22, 24)
    powered = log.film(30, 31).stop(31, ended=31).only()
    assert during(powered)[:4] == [
        (20, 22, "recording"),
        (22, 24, "muted"),
        (24, 30, "unaccounted"),
        (30, 31, "muted"),
    ]


def test_the_ring_of_a_press_begins_before_its_start() -> None:
    log = Log().session(5).state(6, State.READY).start(60)
    for number in range(60):
        log.part(60.01 + number / 1000, 30 + number / 2)
    assert log.film(60.5, 62).stop(62, ended=62).only().unaccounted == []


@KEYS
def test_a_recording_without_its_first_seconds(key: bool) -> None:
    log = Log(key).session(5).state(6, State.READY).start(20).film(25, 27).stop(27, ended=27)
    assert during(log.only())[:2] == [(20, 25, "unaccounted"), (25, 27, "recording")]


def test_time_asleep_is_no_hole() -> None:
    log = recording()
    log.slept_s = 100
    powered = log.part(122.5).film(122.5, 124).stop(124).only()
    assert during(powered)[:3] == [(20, 22.5, "recording"), (22.5, 122.5, "sleeping"), (122.5, 124, "recording")]


def test_leaves_that_are_missing_are_what_is_said_to_be_missing() -> None:
    log = recording()
    log.index += 2
    powered = log.film(50, 51).stop(51, ended=51).only()
    assert [a.reason for a in powered.unaccounted] == ["leaves 7 to 8 are not here, or not proven"]


# -- what explains a hole ----------------------------------------------------------------------------------------------


def fault(what: str, at: float) -> events.Fault:
    return events.Fault(what, "the disk stalls", 1, round(at * NS))


@pytest.mark.parametrize("at", [10, 21.5, 40, 52.9])
def test_a_fault_of_the_disk_explains_a_hole(at: float) -> None:
    """One that was there all along, that came in it, and that the disk took late."""
    log = Log().session(5).state(6, State.READY)
    if at == 10:
        log.add(10, Kind.EVENT, fault("storage", at))
    log.start(20).film(20, 22)
    if at != 10:
        log.add(max(at, 22), Kind.EVENT, fault("storage", at), RECORDING)
    powered = log.film(52, 55).stop(55, ended=55).only()
    assert during(powered)[1] == (22, 52, "fault")
    (found,) = (a for a in powered.accounts if a.doing is Doing.FAULT)
    assert (found.reason, found.sure) == ("nothing was recorded: storage: the disk stalls", Sure.PROVEN)


@pytest.mark.parametrize("what", ["gone by then", "another", "later"])
def test_another_trouble_explains_nothing(what: str) -> None:
    log = Log().session(5).state(6, State.READY)
    if what == "gone by then":
        log.add(10, Kind.EVENT, fault("storage", 10)).add(12, Kind.EVENT, events.Cleared("storage"))
    log.start(20).film(20, 22)
    if what == "another":
        log.add(30, Kind.EVENT, fault("microphone", 30), RECORDING)
    log.film(52, 54)
    if what == "later":
        log.add(54, Kind.EVENT, fault("storage", 54), RECORDING)
    assert [(a.begin_ns, a.end_ns) for a in log.stop(54, ended=54).only().unaccounted] == [(22 * NS, 52 * NS)]


def test_a_lens_that_was_lost_explains_a_hole_until_it_is_back() -> None:
    log = recording().add(24, Kind.EVENT, events.CameraLost("unplugged", 22 * NS), RECORDING)
    log.add(30, Kind.EVENT, events.CameraBack("there", 30 * NS), RECORDING).film(30, 32)
    powered = log.film(40, 42).stop(42, ended=42).only()
    assert [(a.begin_ns, a.doing) for a in powered.accounts if a.doing in (Doing.FAULT, Doing.UNKNOWN)] == [
        (22 * NS, Doing.FAULT),
        (32 * NS, Doing.UNKNOWN),
    ]


def test_what_a_recorder_said_before_it_died_explains_nothing_of_the_next_one() -> None:
    log = Log().session(5).add(6, Kind.EVENT, fault("storage", 6)).shutdown(7)
    log.session(10).state(11, State.READY).start(20).film(20, 22).film(52, 54)
    assert [a.begin_ns for a in log.stop(54, ended=54).only().unaccounted] == [22 * NS]


def test_media_of_a_time_that_cannot_be_breaks_no_account() -> None:
    """Before the kernel's start, and after the last leaf."""
    for begins in ([-40.0, -2.0, 21.0], [900.0, 950.0], [21.0, 900.0]):
        log = Log().session(5).state(6, State.READY).start(20)
        for number, begin in enumerate(begins):
            log.part(21 + number, begin)
        assert log.stop(30, ended=30).only().end_ns == 30 * NS


def lay_over(accounts: list[Account], over: Account) -> list[Account]:
    """The same stretch with `over` in place of what was there, as one would write it for one alone."""
    begin, end = over.begin_ns, over.end_ns
    left = [replace(a, end_ns=min(a.end_ns, begin)) for a in accounts if a.begin_ns < begin]
    right = [replace(a, begin_ns=max(a.begin_ns, end)) for a in accounts if a.end_ns > end]
    return [*left, *([over] if end > begin else []), *right]


def test_each_hole_is_explained_by_the_first_that_touches_it() -> None:
    chance = random.Random(5)
    for _ in range(300):
        spans = [tuple(sorted(chance.choices(range(40), k=2))) for _ in range(chance.randrange(9))]
        claims = [(chance.randrange(-5, 45), chance.choice([*range(45), inf])) for _ in range(chance.randrange(6))]
        free = Unclaimed(spans)
        claimed = {number: at for at, claim in enumerate(claims) for number in free.claim(*claim)}
        first = {
            number: min((at for at, (a, b) in enumerate(claims) if begin <= b and end >= a), default=None)
            for number, (begin, end) in enumerate(spans)
        }
        assert claimed == {number: at for number, at in first.items() if at is not None}


def test_many_holes_are_laid_over_in_one_pass() -> None:
    """As one after another where they do not overlap; where they do, whatever they are, they tile."""
    chance = random.Random(3)
    for _ in range(300):
        ends = sorted(chance.sample(range(1, 60), chance.randrange(1, 9)))
        under = [Account(a, b, Doing.READY, "") for a, b in pairwise([0, *ends])]
        at = sorted(chance.sample(range(ends[-1] + 1), min(ends[-1] + 1, 2 * chance.randrange(4))))
        apart = [Account(a, b, Doing.UNKNOWN, f"{a}") for a, b in zip(at[::2], at[1::2], strict=False)]
        one_by_one = under
        for over in apart:
            one_by_one = lay_over(one_by_one, over)
        assert lay_over_all(under, reversed(apart)) == one_by_one
        spans = [sorted(chance.sample(range(ends[-1] + 1), 2)) for _ in range(3)]
        any_of_them = [Account(a, b, Doing.UNKNOWN, "") for a, b in spans]
        tiles(lay_over_all(under, any_of_them), ends[-1])


# -- ends --------------------------------------------------------------------------------------------------------------


def stopped(log: Log, lost: int | None, at: float) -> Powered:
    ns = round(at * NS)
    stop = events.RecordStop("press", lost, Actor.OFFICER, State.READY, ns, ns)
    return log.add(at, Kind.STOP, stop, RECORDING).beat(at + 1).only()


def test_a_stop_long_after_the_last_part_ends_no_recorded_seconds() -> None:
    assert during(stopped(recording(), None, 42))[:3] == [
        (20, 22, "recording"),
        (22, 42, "unaccounted"),
        (42, 43, "ready"),
    ]


@pytest.mark.parametrize(("lost", "told_of"), [(40, "fault"), (39, "fault"), (10, "unaccounted")])
def test_parts_that_a_stop_says_were_lost_explain_so_many_seconds(lost: int, told_of: str) -> None:
    """20 s; between two parts there may be one that nobody misses."""
    powered = stopped(recording(), lost, 42)
    assert during(powered)[1] == (22, 42, told_of)
    (found,) = (a for a in powered.accounts if a.begin_ns == 22 * NS)
    assert (f"{lost} parts" in found.reason) == (told_of == "fault")


def test_a_stop_whose_body_is_sealed_does_not_say_when_it_was() -> None:
    """A slow disk takes the leaf late."""
    log = recording(key=False)
    powered = log.stop(32, ended=22.2).beat(33).only()
    assert during(powered) == [(20, 22, "recording"), (22, 32, "on"), (32, 33, "on")]
    assert [a.begin_ns for a in recording(key=False).stop(83).beat(84).only().unaccounted] == [22 * NS]


def test_what_a_cut_took_is_not_called_recorded() -> None:
    """Media that came live waited behind the disk for three seconds."""
    log = recording().part(25, 21.5).part(26, 22)
    powered = log.only()
    assert during(powered) == [(20, 22.5, "recording"), (22.5, 26, "ended without stop")]
    assert (powered.unaccounted, powered.tail_ns) == ([], NS)


def test_what_a_cut_took_of_the_ring_was_before_the_start() -> None:
    log = Log().session(5).state(6, State.READY).start(60).part(60.1, 30).part(60.2, 30.5)
    assert told(log.only())[2:] == [(6, 60, "ready"), (60, 60.2, "recording")]


def test_silence_before_a_cut_is_not_accounted_for() -> None:
    log = recording().add(50, Kind.EVENT, events.Mark("here", Actor.CTL, 50 * NS), RECORDING)
    assert during(log.only()) == [(20, 22, "recording"), (22, 50, "unaccounted")]


def test_a_recorder_that_died_leaves_its_holes() -> None:
    log = recording().add(50, Kind.EVENT, events.Mark("here", Actor.CTL, 50 * NS), RECORDING).session(60)
    assert during(log.shutdown(61).only())[:4] == [
        (20, 22, "recording"),
        (22, 50, "unaccounted"),
        (50, 51, "ended without stop"),
        (51, 60, "fault"),
    ]


@pytest.mark.parametrize("length", [2, 30, 59])
def test_verify_does_not_say_that_every_second_is_accounted_for(length: int, tmp_path: Path) -> None:
    camera = Camera(agency(), seed=5).new_session()
    camera.start()
    for _ in range(4):
        camera.part()
    camera.mono_ns += length * NS
    camera.start_ns += length * NS
    for _ in range(4):
        camera.part()
    camera.stop()
    camera.shutdown()
    camera.write(tmp_path)
    found = report_of(tmp_path)
    accounts = accounts_of(found, [agency().identity])
    lines = list(report.lines(found, (), accounts))
    assert not any("every second is accounted for" in line for line in lines)
    (told_of,) = (f for f in found.findings if f.what is What.UNACCOUNTED)
    assert f"{length}.000 s are not accounted for" in told_of.text
