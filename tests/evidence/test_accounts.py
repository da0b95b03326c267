"""The accounts of a boot: what each kind of leaf makes of them, with a key and without, and what no leaf speaks for."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agent import events
from agent.eventbody import Event
from agent.events import Actor, State
from agent.evidence import accountlines
from agent.evidence.accounts import SEALED, UNSAID, Book, Off, Powered
from agent.evidence.findings import Sure
from agent.evidence.ledger import CameraAccounts, accounts_of
from agent.evidence.sequence import Deleted, Deletions
from agent.evidence.tiling import Account, Change, Doing, lay_over_all, tile, without_signs
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from agent.model import NS
from tests.builders import T0, Camera, agency
from tests.evidence.kit import report_of

FIRST, SECOND = "11111111-2222-3333-4444-555555555555", "66666666-2222-3333-4444-555555555555"
BOOT_AFTER = "77777777-2222-3333-4444-555555555555"
HEX = hashlib.sha256(b"").hexdigest()
RECORDING = "r0000000001-5f2c09ab"
T0_S = int(T0.timestamp())
DATE_S = 8 * 3600
"""Of CLOCK_BOOTTIME's zero, on the first of March."""


@dataclass
class Log:
    """Leaves as a test writes them: `at` a second of CLOCK_BOOTTIME. `key` tells whether bodies are opened."""

    key: bool = True
    boot: str = FIRST
    utc_s: float | None = DATE_S
    source: str = "synchronised"
    slept_s: float = 0.0
    index: int = 0
    origin: str = "log/cam/1"
    facts: dict[str, Any] = field(default_factory=dict)
    book: Book = field(default_factory=Book)

    def stamp(self, at: float) -> leaves.Stamp:
        utc = None
        if self.utc_s is not None:
            second = self.utc_s + at
            utc = f"2026-03-01T{int(second) // 3600:02d}:{int(second) // 60 % 60:02d}:{second % 60:09.6f}Z"
        ns = round(at * NS)
        return leaves.Stamp(self.boot, ns - round(self.slept_s * NS), ns, utc, self.source, 1)

    def common(self, at: float) -> leaves.Common:
        self.index += 1
        sealed = leaves.Sealed(HEX, 1, HEX, 1, HEX)
        return leaves.Common("cam", self.index - 1, self.stamp(at), HEX, HEX, sealed)

    def add(self, at: float, kind: Kind, event: Event | None = None, recording: str | None = None, **late: Any) -> Log:
        told = events.parse({**event.body(), **late}) if event and self.key else None
        self.book.leaf(self.origin, leaves.EventLeaf(self.common(at), kind, recording, self.facts, HEX), told)
        return self

    def session(self, at: float) -> Log:
        return self.add(at, Kind.SESSION, events.Session())

    def state(self, at: float, state: State, reason: str = "", actor: Actor = Actor.RECORDER, **late: Any) -> Log:
        return self.add(at, Kind.EVENT, events.StateChange(state, reason, actor), **late)

    def beat(self, at: float, state: State | None = State.READY, **late: Any) -> Log:
        return self.add(at, Kind.EVENT, events.Heartbeat((), state), **late)

    def start(self, at: float) -> Log:
        return self.add(at, Kind.START, events.RecordStart("press", 0, 0, Actor.OFFICER), RECORDING)

    def part(self, at: float, begin: float | None = None) -> Log:
        """Half a second that begins on CLOCK_MONOTONIC at `begin`; without one, it has just ended."""
        common = self.common(at)
        begin_ns = common.stamp.mono_ns - NS // 2 if begin is None else round(begin * NS)
        leaf = leaves.MediaLeaf(common, RECORDING, 0, True, begin_ns, 0, NS // 2, HEX)
        self.book.leaf(self.origin, leaf)
        return self

    def film(self, begin: float, end: float) -> Log:
        """Parts one after another, each written as it ends."""
        for number in range(round((end - begin) * 2)):
            self.part(begin + (number + 1) / 2)
        return self

    def stop(self, at: float, then: State | None = State.READY, ended: float | None = None, lost: int = 0) -> Log:
        ns = None if ended is None else round(ended * NS)
        stop = events.RecordStop("press", lost, Actor.OFFICER, then, ns, ns)
        return self.add(at, Kind.STOP, stop, RECORDING)

    def shutdown(self, at: float) -> Log:
        return self.add(at, Kind.SHUTDOWN, events.Shutdown())

    def close(self) -> list[Powered]:
        boots = self.book.close()
        for powered in boots:
            tiles(powered.accounts, powered.end_ns)
        return boots

    def only(self) -> Powered:
        (one,) = self.close()
        return one


def tiles(accounts: list[Account], end_ns: int) -> None:
    assert [a.begin_ns for a in accounts] == [0, *(a.end_ns for a in accounts)][: len(accounts)]
    assert all(a.length_ns > 0 for a in accounts)
    assert accounts[-1].end_ns == end_ns


def told(powered: Powered) -> list[tuple[float, float, str]]:
    return [(a.begin_ns / NS, a.end_ns / NS, a.doing.value) for a in powered.accounts]


# -- a shift -------------------------------------------------------------------------------------------------------


def shift(key: bool = True) -> Log:
    log = Log(key).session(5).state(9, State.READY, "lens and microphone are there").beat(60)
    log.start(100).part(101.5).part(102.9).stop(103.5, ended=103)
    return log.state(110, State.DOCKED, "", Actor.DOCK).shutdown(120)


def test_a_shift_with_the_key() -> None:
    powered = shift().only()
    assert told(powered) == [
        (0, 5, "starting"),
        (5, 9, "starting"),
        (9, 100, "ready"),
        (100, 103, "recording"),
        (103, 110, "ready"),
        (110, 120, "docked"),
    ]
    assert [(a.reason, a.actor, a.recording, a.leaf) for a in powered.accounts[2:5]] == [
        ("lens and microphone are there", "recorder", None, 1),
        ("press", "officer", RECORDING, 3),
        ("the recording ended: press", "officer", None, 6),
    ]
    assert (powered.tail_ns, powered.lost, powered.unaccounted, powered.sealed_events) == (None, False, [], 0)
    assert powered.totals()[Doing.READY] == (91 + 7) * NS


@pytest.mark.parametrize("key", [True, False])
def test_what_a_stop_counts_as_lost_is_named_also_where_no_hole_shows_it(key: bool) -> None:
    """As the oldest seconds before a press, which a full card had no room for."""
    log = Log(key).session(5).state(9, State.READY).start(50).part(51.5).stop(53, ended=53, lost=64)
    powered = log.start(55).part(56.5).stop(58, ended=58).shutdown(70).only()
    assert powered.unaccounted == []
    assert powered.lost_pieces == ([(RECORDING, 64, 4)] if key else [])
    lines = list(accountlines.lines([CameraAccounts("log/cam", [powered])]))
    assert any(f"! 64 pieces of half a second of {RECORDING} are not kept" in line for line in lines) is key


def test_a_muted_stretch_of_a_recording_is_a_state_of_its_own() -> None:
    log = Log().session(5).state(6, State.READY).start(10).film(10, 11)
    log.add(11.2, Kind.EVENT, events.Mute("asked for", Actor.CTL, 0), "r0000000002-00000000").film(11, 13)
    log.add(13, Kind.EVENT, events.Unmute("asked for", Actor.CTL, 0), "r0000000002-00000000").film(13, 15).stop(15)
    powered = log.shutdown(20).only()
    tiles(powered.accounts, 20 * NS)
    during = [(a, b, doing) for a, b, doing in told(powered) if a >= 10]
    assert during[:3] == [(10, 11.2, "recording"), (11.2, 13, "muted"), (13, 15, "recording")]


def test_without_a_key_what_is_public_shows_and_the_rest_is_said_to_be_sealed() -> None:
    powered = shift(key=False).only()
    assert told(powered) == [
        (0, 5, "starting"),
        (5, 100, "on"),
        (100, 103.5, "recording"),
        (103.5, 120, "on"),
    ]
    assert {a.reason for a in powered.accounts if a.doing is Doing.ON} == {SEALED}
    assert (powered.sealed_events, powered.unaccounted) == (7, [])


def test_a_log_of_a_recorder_that_did_not_say_its_state_is_taken_for_no_more_than_it_says() -> None:
    powered = Log().session(5).beat(60, None).start(90).film(90, 95).stop(95, None).beat(120, None).only()
    assert told(powered) == [
        (0, 5, "starting"),
        (5, 60, "starting"),
        (60, 90, "on"),
        (90, 95, "recording"),
        (95, 120, "on"),
    ]
    assert {a.reason for a in powered.accounts if a.doing is Doing.ON} == {UNSAID}


@pytest.mark.parametrize("state", [State.MUTED, State.SLEEPING, State.FAULT, State.DOCKED])
def test_each_state_that_is_said_holds_until_the_next(state: State) -> None:
    powered = Log().session(1).state(2, state, "so it is", Actor.CTL).state(9, State.READY).shutdown(12).only()
    assert told(powered)[2:] == [(2, 9, state.value), (9, 12, "ready")]
    assert (powered.accounts[2].reason, powered.accounts[2].actor) == ("so it is", "ctl")


# -- the end -------------------------------------------------------------------------------------------------------


def test_a_cut_is_at_most_a_minute_after_the_last_leaf_and_a_second_while_recording() -> None:
    assert Log().session(5).state(6, State.READY).beat(60).only().tail_ns == 60 * NS
    assert Log().session(5).state(6, State.READY).start(7).part(8).only().tail_ns == 1 * NS
    assert Log(key=False).session(5).start(7).part(8).only().tail_ns == 1 * NS
    assert Log().session(5).start(7).part(8).state(9, State.MUTED).only().tail_ns == 1 * NS


def test_a_recorder_that_died_and_came_back_leaves_no_second_out() -> None:
    log = Log().session(5).state(6, State.READY).beat(60)
    assert told(log.session(200).shutdown(210).only())[2:] == [
        (6, 60, "ready"),
        (60, 120, "ended without stop"),
        (120, 200, "fault"),
        (200, 210, "starting"),
    ]
    log = Log().session(5).state(6, State.READY).start(50).part(51)
    powered = log.session(51.5).state(52, State.READY).shutdown(53).only()
    assert told(powered)[3:5] == [(50, 51, "recording"), (51, 51.5, "ended without stop")]


def test_a_recorder_that_was_stopped_is_stopped_until_the_next_starts() -> None:
    powered = Log().session(5).state(6, State.READY).shutdown(20).session(500).shutdown(501).only()
    assert told(powered)[2:] == [(6, 20, "ready"), (20, 500, "stopped"), (500, 501, "starting")]
    assert powered.unaccounted == []


# -- suspends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [True, False])
def test_a_suspend_is_seen_by_two_clocks_and_explains_the_silence(key: bool) -> None:
    log = Log(key).session(5).state(6, State.READY).beat(60)
    log.slept_s = 400
    powered = log.beat(500).shutdown(501).only()
    (slept,) = (a for a in powered.accounts if a.doing is Doing.SLEEPING)
    assert (slept.begin_ns, slept.end_ns, slept.sure) == (100 * NS, 500 * NS, Sure.LIKELY)
    assert powered.unaccounted == []


def test_what_the_clocks_differ_by_reading_is_no_suspend_and_does_not_add_up() -> None:
    log = Log().session(1).state(2, State.READY)
    for second in range(3, 30):
        log.slept_s = 0.2 * (second % 2)
        log.beat(second)
    assert "sleeping" not in {state for _, _, state in told(log.only())}


def test_a_suspend_before_the_first_leaf_is_within_the_start() -> None:
    log = Log(slept_s=3)
    assert told(log.session(5).shutdown(6).only()) == [(0, 2, "starting"), (2, 5, "sleeping"), (5, 6, "starting")]


# -- what no leaf speaks for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [True, False])
def test_a_silence_longer_than_the_heartbeat_is_itself_said(key: bool) -> None:
    powered = Log(key).session(5).state(6, State.READY).beat(60).beat(120).beat(180.001).shutdown(181).only()
    (gap,) = powered.unaccounted
    assert (gap.begin_ns, gap.end_ns, gap.sure) == (120 * NS, 180_001_000_000, Sure.PROVEN)
    assert "every 60 s" in gap.reason


def test_no_heartbeat_is_due_where_no_recorder_runs() -> None:
    log = Log().session(200).state(201, State.READY).shutdown(202).session(900)
    assert log.only().unaccounted == []


def test_a_recording_that_says_nothing_for_a_minute_is_not_taken_for_one_that_goes_on() -> None:
    log = Log().session(5).state(6, State.READY).start(10).part(11, 10.5).part(11.5, 11)
    powered = log.part(120, 119.5).stop(200).shutdown(201).only()
    assert [(a.begin_ns / NS, a.end_ns / NS) for a in powered.unaccounted] == [(11.5, 119.5), (120, 200)]


def test_parts_that_a_slow_disk_took_late_are_of_when_they_were_recorded() -> None:
    log = Log().session(5).state(6, State.READY).start(10).part(11, 10.5).part(11.5, 11)
    powered = log.part(120, 11.5).part(120.1, 12).stop(120.2, ended=12.6).shutdown(121).only()
    assert powered.unaccounted == []


def test_what_was_said_late_is_a_sign_of_life_when_it_was_to_be_said() -> None:
    log = Log().session(5).state(6, State.READY)
    for second in (60, 115, 170):
        log.beat(200, late=True, mono_ns=second * NS, boottime_ns=second * NS)
    assert log.shutdown(201).only().unaccounted == []


def test_a_change_said_late_counts_from_when_it_was() -> None:
    log = Log().session(5).start(10).part(11).stop(12, State.READY)
    powered = log.state(40, State.DOCKED, "", Actor.DOCK, late=True, mono_ns=20 * NS, boottime_ns=20 * NS).only()
    assert told(powered)[-2:] == [(12, 20, "ready"), (20, 40, "docked")]


def test_a_mute_said_late_counts_though_its_recording_is_over() -> None:
    late = {"late": True, "mono_ns": 12 * NS, "boottime_ns": 12 * NS, "recording": RECORDING}
    log = Log().session(5).state(6, State.READY).start(10).film(10, 14).stop(14).beat(15)
    powered = log.add(16, Kind.EVENT, events.Mute("asked for", Actor.CTL, 12 * NS), **late).shutdown(17).only()
    assert told(powered)[3:] == [(10, 12, "recording"), (12, 14, "muted"), (14, 17, "ready")]


def test_a_change_said_late_does_not_undo_what_came_after_it() -> None:
    log = Log().session(5).start(20).film(20, 22)
    log.state(22, State.READY, late=True, mono_ns=10 * NS, boottime_ns=10 * NS)
    powered = log.film(22, 23).only()
    assert told(powered)[1:] == [(5, 10, "starting"), (10, 20, "ready"), (20, 23, "recording")]
    assert powered.tail_ns == 1 * NS


def test_missing_leaves_leave_the_state_open_until_it_is_said_again() -> None:
    log = Log().session(5).state(6, State.READY).beat(60)
    log.index += 2
    powered = log.beat(110, State.DOCKED).shutdown(115).only()
    assert told(powered)[2:] == [(6, 60, "ready"), (60, 110, "unaccounted"), (110, 115, "docked")]
    assert powered.unaccounted[0].reason == "leaves 3 to 4 are not here, or not proven"


def test_missing_leaves_at_the_end_of_a_boot_hide_how_it_ended() -> None:
    log = Log().session(5).state(6, State.READY)
    log.index, log.boot = log.index + 1, SECOND
    first, second = log.session(4).shutdown(5).close()
    assert (first.lost, first.tail_ns) == (True, None)
    assert (second.lost, second.tail_ns) == (False, None)
    # They may as well be of an earlier session in this boot.
    assert told(second)[0] == (0, 4, "unaccounted")


def test_a_log_that_begins_in_the_middle_says_so() -> None:
    log = Log(index=7)
    powered = log.part(50).part(51).stop(52).shutdown(53).only()
    assert told(powered) == [(0, 50, "unaccounted"), (50, 52, "recording"), (52, 53, "ready")]
    assert "before leaf 7 was not given" in powered.unaccounted[0].reason


def test_a_clock_that_goes_back_breaks_no_account() -> None:
    powered = Log().session(50).state(51, State.READY).beat(20).only()
    assert told(powered) == [(0, 50, "starting"), (50, 51, "starting")]


# -- epochs --------------------------------------------------------------------------------------------------------


def next_epoch(log: Log, follows: int, left: int | None = None, session: str = "s1", of: int = 1) -> Log:
    """From now on its leaves go to another log."""
    root = base64.b64encode(bytes(32)).decode()
    heads = [
        size if size is None else {"origin": f"log/cam/{of}", "size": size, "root": root} for size in (follows, left)
    ]
    log.origin, log.index = f"log/cam/{of + 1}", 0
    log.facts = {"session_cert": session, "epoch": {"reason": "behind", "follows": heads[0], "left": heads[1]}}
    return log


def in_first_epoch(deletions: Deletions = lambda origin, first, end: None) -> Log:
    log = Log(facts={"session_cert": "s1"}, book=Book(deletions)).session(5).state(6, State.READY).beat(60)
    log.facts = {}
    return log


def test_a_log_that_begins_while_the_recorder_goes_on_changes_no_state() -> None:
    powered = next_epoch(in_first_epoch(), follows=3).session(70).state(71, State.READY).shutdown(80).only()
    assert told(powered) == [(0, 5, "starting"), (5, 6, "starting"), (6, 71, "ready"), (71, 80, "ready")]
    assert powered.origins == ["log/cam/1", "log/cam/2"]


def test_what_another_card_holds_of_the_old_log_is_not_of_this_boot() -> None:
    powered = next_epoch(in_first_epoch(), follows=90, left=3).session(70).shutdown(80).only()
    assert powered.unaccounted == []


def test_another_session_in_another_log_is_another_recorder() -> None:
    powered = next_epoch(in_first_epoch(), follows=3, session="s2").session(70).shutdown(80).only()
    assert told(powered)[2:] == [(6, 60, "ready"), (60, 70, "ended without stop"), (70, 80, "starting")]


def test_leaves_lost_at_the_end_of_the_old_log_are_missing() -> None:
    powered = next_epoch(in_first_epoch(), follows=5).session(70).shutdown(80).only()
    assert told(powered)[3] == (60, 70, "unaccounted")
    assert powered.unaccounted[0].reason == "leaves 3 to 4 are not here, or not proven"
    log = next_epoch(in_first_epoch(), follows=9, left=3, session="s2")
    log.boot = SECOND
    first, second = log.session(4).shutdown(5).close()
    assert (first.lost, told(second)[0]) == (True, (0, 4, "unaccounted"))


def test_leaves_purged_at_the_end_of_the_old_log_are_told_as_purged() -> None:
    """Those of the old log alone, up to the head that the new one follows: this boot goes on, another begins."""

    def gone(origin: str, first: int, end: int) -> Deleted | None:
        return Deleted("deleted", RECORDING) if (origin, first, end) == ("log/cam/1", 3, 5) else None

    def after(follows: int, **changes: Any) -> Log:
        return next_epoch(in_first_epoch(gone), follows=follows, **changes)

    powered = after(5).session(70).state(71, State.READY).shutdown(80).only()
    assert told(powered)[2:] == [(6, 60, "ready"), (60, 70, "purged"), (70, 71, "on"), (71, 80, "ready")]
    another = after(5, session="s2").session(70).shutdown(80).only()
    assert told(another)[3:] == [(60, 70, "purged"), (70, 80, "starting")]
    log = after(5, session="s2")
    log.boot = SECOND
    first, second = log.session(4).shutdown(5).close()
    assert (first.lost, second.lost, told(second)) == (True, False, [(0, 4, "starting"), (4, 5, "starting")])
    assert told(after(6).session(70).shutdown(80).only())[3] == (60, 70, "unaccounted")


def test_a_log_whose_forerunner_was_not_given_says_so() -> None:
    powered = next_epoch(Log(), follows=5).session(70).shutdown(80).only()
    assert powered.unaccounted[0].reason == "what the log log/cam/1 says was not given"
    log = next_epoch(in_first_epoch(), follows=5, of=2)
    assert log.session(70).only().unaccounted[0].reason == "the log log/cam/2 is not here, or not proven"
    log = in_first_epoch()
    log.origin = "log/cam/2"
    assert "beginning" in log.beat(70).only().unaccounted[0].reason


# -- between boots -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "length_s", "vouched"),
    [
        (("synchronised", 100.0), ("synchronised", 4000.0), 3995.0, True),
        (("synchronised", 100.0), ("unverified", 4000.0), 3995.0, False),
        (("unverified", 100.0), ("synchronised", 50.0), None, False),
        (("synchronised", None), ("synchronised", 50.0), None, False),
    ],
)
def test_the_time_between_boots_is_known_as_far_as_the_clocks_tell(
    before: tuple[str, float | None], after: tuple[str, float | None], length_s: float | None, vouched: bool
) -> None:
    log = Log()
    log.source, log.utc_s = before
    log.session(5)
    log.boot, (log.source, log.utc_s) = SECOND, after
    first, second = log.session(3).close()
    assert first.off is None
    assert second.off is not None
    # From second 5 of the first boot to second 0 of the other.
    assert (second.off.length_ns, second.off.vouched) == (length_s and (length_s - 100) * NS, vouched)


def test_each_account_has_its_date_by_the_leaf_that_begins_it() -> None:
    log = Log().session(5).state(10, State.READY)
    log.utc_s = DATE_S + 3600
    log.beat(20)
    powered = log.state(30, State.DOCKED).only()
    assert [powered.when(a.begin_ns) for a in powered.accounts] == [
        "2026-03-01T08:00:00.000+00:00",
        "2026-03-01T08:00:05.000+00:00",
        "2026-03-01T08:00:10.000+00:00",
    ]
    assert powered.when(powered.end_ns) == "2026-03-01T09:00:30.000+00:00"
    dateless = Log(utc_s=None).session(5).only()
    assert dateless.when(0) == "0.000 s after the kernel's start"


def test_receipts_bound_how_long_it_was_off(tmp_path: Path) -> None:
    def off(*receipts: bytes) -> int | None:
        for number, data in enumerate(receipts):
            (tmp_path / f"{number}.receipt").write_bytes(data)
        ((_, second),) = (c.boots for c in accounts_of(report_of(tmp_path)))
        for path in tmp_path.glob("*.receipt"):
            path.unlink()
        assert second.off is not None
        return second.off.at_most_ns

    camera = Camera(agency()).new_session()
    # Both are issued two hours after the first boot began; they cosign at other times.
    first = camera.receipt([], cosigned_s=T0_S + 100)
    camera.event(Kind.DELIVERY, facts={"receipt": hashlib.sha256(first).hexdigest(), "segments": []})
    camera.shutdown()
    before_second = camera.frontier.size
    camera.new_session().shutdown()
    later, latest = (camera.receipt([], cosigned_s=T0_S + 7200 + s) for s in (900, 1800))
    camera.write(tmp_path)
    assert off(first, latest) == 1800 * NS
    assert off(first, latest, later) == 900 * NS
    assert off(latest) is None
    assert off(first) is None
    assert off(first, camera.receipt([], before_second, cosigned_s=T0_S + 9000)) is None
    assert off(first, camera.receipt([], cosigned_s=T0_S)) is None


def test_the_lines_say_how_each_boot_began_and_ended_and_who_vouches_for_its_dates() -> None:
    log = Log(source="unverified").session(5).state(6, State.READY).shutdown(9)
    log.boot, log.source, log.utc_s = SECOND, "synchronised", DATE_S + 100
    log.session(4).start(5).part(5.5)
    log.boot, log.utc_s, log.index = BOOT_AFTER, None, log.index + 2
    boots = log.session(3).close()
    boots[1].off = replace(boots[1].off or Off(None, False), at_most_ns=77 * NS)
    told_ = list(accountlines.lines([CameraAccounts("log/cam", boots)]))
    for words in (
        f"accounts of log/cam, boot {FIRST}: kernel started 2026-03-01T08:00:00.000+00:00 (clock unverified), leaf 0",
        "  the recorder was asked to end, and did",
        "  ? the camera's own clock alone vouches for 3 of these 3 dates",
        "  2026-03-01T08:00:05.000+00:00?       1.000 s  starting: the recorder started, by recorder (proven)",
        "  2026-03-01T08:00:09.000+00:00?                the recorder was asked to end, and did",
        "off between these boots: 91.000 s from the last leaf to the start of the kernel, by the camera's own clock, "
        "which nobody vouches for; at most 77 s by receipts of a station",
        "  how it ended is not known: leaves after this are not here, or not proven",
        "off between these boots: length unknown",
        "  0.000 s after the kernel's start        3.000 s  unaccounted: leaves 6 to 7 are not here, or not proven",
        "  ended without stop: the power went at most 60 s after this, or what follows is not here",
    ):
        assert any(words in line for line in told_), (words, told_)
    assert sum("vouches for" in line for line in told_) == 2


# -- tiling --------------------------------------------------------------------------------------------------------


def test_tiles_and_what_is_laid_over_them() -> None:
    accounts = tile([Change(5, Doing.READY, ""), Change(0, Doing.STARTING, ""), Change(5, Doing.DOCKED, "")], 9)
    assert [(a.begin_ns, a.end_ns, a.doing) for a in accounts] == [(0, 5, Doing.STARTING), (5, 9, Doing.DOCKED)]
    for begin in range(10):
        for end in range(begin, 10):
            laid = lay_over_all(accounts, [Account(begin, end, Doing.SLEEPING, "")])
            tiles(laid, 9)
            for at in range(9):
                (there,) = (a for a in laid if a.begin_ns <= at < a.end_ns)
                plain = Doing.STARTING if at < 5 else Doing.DOCKED
                assert there.doing is (Doing.SLEEPING if begin <= at < end else plain)


def test_signs_cut_a_silence_into_pieces() -> None:
    assert without_signs(0, 100, [], 60) == [(0, 100)]
    assert without_signs(0, 100, [-5, 50, 400], 60) == []
    assert without_signs(0, 200, [10, 70], 60) == [(70, 200)]
    assert without_signs(0, 200, [0, 70, 200], 60) == [(0, 70), (70, 200)]
