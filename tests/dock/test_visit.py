"""One visit against a scripted station: what is retried, what is not, and what the officer is told."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import tenacity

from agent.dock.outgoing import Outgoing
from agent.dock.report import Inbox, State
from agent.dock.station import (
    Attested,
    HaltedError,
    HeldError,
    RefusedError,
    StaleSizeError,
    StationLog,
    TryAgainError,
    UntrustedError,
)
from agent.dock.uploading import TRIES
from agent.dock.visit import REFUSED_WAIT_S, SPREAD, Visit
from agent.errors import StationError, StorageError
from agent.formats.leaf import Kind
from agent.formats.merkle import TileId
from agent.formats.seal import SealRecord
from agent.model import NS
from tests.camera_kit import Desk, FakeClock


class ScriptedStation:
    """Takes everything; `trouble` may raise for a call (its name, and the segment's where it has one)."""

    def __init__(self, trouble: Callable[[str, str], None]) -> None:
        self._trouble = trouble
        self.calls: list[str] = []
        self.cosigned = 0

    def _call(self, what: str, name: str = "") -> None:
        self.calls.append(f"{what} {name}".strip())
        self._trouble(what, name)

    def log_state(self, epoch: int) -> StationLog:
        self._call("log_state")
        return StationLog(self.cosigned, self.cosigned)

    def put_tile(self, epoch: int, tile: TileId, data: bytes) -> None:
        self._call("put_tile")

    def put_chain(self, epoch: int, chain_pem: bytes) -> None:
        self._call("put_chain")

    def add_checkpoint(self, old: int, proof: Sequence[bytes], checkpoint: bytes) -> None:
        self._call("add_checkpoint", str(old))

    def send(self, record: SealRecord, path: Path, on_offset: Callable[[int], None]) -> None:
        self._call("send", record.segment)
        on_offset(record.size)

    def cosigned_head(self, epoch: int) -> bytes:
        self._call("cosigned_head", str(epoch))
        return b"a head"

    def attest(self, epoch: int, records: Sequence[SealRecord], kept: Sequence[SealRecord] = ()) -> Attested:
        self._call("attest", str(len(records)))
        return Attested(b"a receipt", {})


class Waits(threading.Event):
    """A halt event that never sleeps, and remembers how long it would have; its clock goes on by that."""

    def __init__(self, most: int = 50) -> None:
        super().__init__()
        self.clock, self.waited = FakeClock(), list[float]()
        self._most = most

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        self.clock.now_ns += round((timeout or 0.0) * NS)
        if len(self.waited) >= self._most:
            self.set()
        return self.is_set()


@pytest.fixture
def three(desk: Desk) -> Desk:
    """A camera with three sealed segments."""
    many(desk, 3)
    return desk


def many(desk: Desk, count: int) -> None:
    """So many sealed segments."""
    desk.tiles.write_chain(desk.log.session.chain_pem)
    for _ in range(count):
        desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
        desk.sealer.seal_open()


def no_trouble(what: str, name: str) -> None:
    pass


class Ending(Inbox):
    """A visit ends when all is delivered, or something refused; or it was fruitless so often."""

    def __init__(self, directory: Path, clock: FakeClock, halt: threading.Event, attempts: int) -> None:
        super().__init__(directory, clock.monotonic_ns)
        self._ends, self._left = halt, attempts

    def tell(self, state: State, error: str = "") -> None:
        super().tell(state, error)
        self._left -= state not in (State.UPLOADING, State.ATTESTING)
        if state in (State.DELIVERED, State.REFUSED) or not self._left:
            self._ends.set()


def visit(
    desk: Desk, station: ScriptedStation, halt: Waits, attempts: int | None = 6, parallel: int = 2
) -> dict[str, object]:
    """Run one, until it is done or was fruitless so often, or until `halt`; returns the last progress."""
    box, clock = desk.spool.inbox_dir, halt.clock
    inbox = Ending(box, clock, halt, attempts) if attempts else Inbox(box, clock.monotonic_ns)
    once_more = tenacity.wait_fixed(1)
    made = Visit(Outgoing(desk.root), inbox, station, clock, parallel, halt, once_more, lambda least, most: most)
    try:
        made.run()
    finally:
        made.close()
    return last(desk)


def last(desk: Desk) -> dict[str, object]:
    value = json.loads((desk.spool.inbox_dir / "progress.json").read_bytes())
    assert isinstance(value, dict)
    return value


def once(times: int, what: str, error: Exception, name: str = "") -> Callable[[str, str], None]:
    """Trouble that goes away after a few calls."""
    left = [times]

    def trouble(call: str, segment: str) -> None:
        if call == what and name in segment and left[0]:
            left[0] -= 1
            raise error

    return trouble


def test_a_directory_in_which_no_log_is_makes_no_other_an_old_one(three: Desk) -> None:
    """The recorder passes it over, and goes on in the log that it has."""
    (three.root / "log" / "7").mkdir()
    (three.root / "log" / "7" / "x").write_bytes(b"")
    assert [(seen.epoch, seen.closed) for seen in Outgoing(three.root).look()] == [(1, False)]


def test_all_goes_well(three: Desk) -> None:
    station = ScriptedStation(no_trouble)
    told = visit(three, station, Waits())
    names = [r.segment for r in Outgoing(three.root).look()[-1].segments]
    assert station.calls[:4] == ["log_state", "put_tile", "put_chain", "add_checkpoint 0"]
    assert sorted(station.calls[4:7]) == sorted(f"send {n}" for n in names)
    assert station.calls[7:] == ["attest 3"]
    assert (told["state"], told["segments_done"], told["segments_total"]) == ("delivered", 3, 3)
    assert told["bytes_done"] == told["bytes_total"]
    assert len(list(three.spool.inbox_dir.glob("*.receipt"))) == 1


@pytest.mark.parametrize("what", ["log_state", "put_tile", "put_chain", "add_checkpoint", "send", "attest"])
def test_busy_is_tried_again(three: Desk, what: str) -> None:
    halt = Waits()
    told = visit(three, ScriptedStation(once(2, what, TryAgainError("busy"))), halt)
    assert told["state"] == "delivered"


def test_retry_after_is_honoured(three: Desk) -> None:
    halt = Waits()
    visit(three, ScriptedStation(once(1, "put_chain", TryAgainError("busy", retry_after_s=77))), halt)
    assert max(halt.waited) == 77 * (1 + SPREAD) + 1


@pytest.mark.parametrize("at_most", [0.0, 1.0])
def test_a_wait_is_never_shorter_than_the_station_said(three: Desk, at_most: float) -> None:
    halt = Waits()
    inbox = Ending(three.spool.inbox_dir, halt.clock, halt, 6)
    station = ScriptedStation(once(1, "put_chain", TryAgainError("busy", retry_after_s=77)))
    none = tenacity.wait_fixed(0)
    made = Visit(Outgoing(three.root), inbox, station, FakeClock(), 2, halt, none, lambda least, most: at_most * most)
    made.run()
    made.close()
    assert max(halt.waited) == 77 * (1 + SPREAD * at_most)


def test_an_answer_that_says_when_to_come_back_ends_the_sending_and_is_no_segments_fault(desk: Desk) -> None:
    """Two go at a time: no third is begun."""
    many(desk, 32)
    halt = Waits(1)
    station = ScriptedStation(once(10_000, "send", TryAgainError("overrun", retry_after_s=60)))
    told = visit(desk, station, halt, attempts=None)
    assert 1 <= sum(c.startswith("send") for c in station.calls) <= 2
    assert (told["state"], told["error"], halt.waited) == ("waiting", "overrun", [60 * (1 + SPREAD) + 1])


def test_after_such_an_answer_the_order_is_what_it_was(desk: Desk) -> None:
    many(desk, 6)
    station = ScriptedStation(once(1, "send", TryAgainError("overrun", retry_after_s=60)))
    # One at a time: how far a second one gets before the answer is here is the scheduler's affair.
    assert visit(desk, station, Waits(), parallel=1)["state"] == "delivered"
    sends = [c for c in station.calls if c.startswith("send")]
    names = [f"send {r.segment}" for r in Outgoing(desk.root).look()[-1].segments]
    assert sends == [names[0], *names]


def test_a_segment_at_which_the_station_always_says_come_back_later_does_not_stop_the_others(desk: Desk) -> None:
    many(desk, 12)
    bad = Outgoing(desk.root).look()[-1].segments[0].segment
    station = ScriptedStation(once(10_000, "send", TryAgainError("full", retry_after_s=30), bad))
    told = visit(desk, station, Waits(20), attempts=None)
    assert told["segments_done"] == 11
    assert "delivered" not in str(told["state"])


def test_an_upload_at_which_another_request_is_at_work_leaves_the_others_be(desk: Desk) -> None:
    many(desk, 6)
    locked = Outgoing(desk.root).look()[-1].segments[0].segment
    station = ScriptedStation(once(2, "send", TryAgainError("locked", retry_after_s=1, locked=True), locked))
    assert visit(desk, station, Waits())["state"] == "delivered"
    assert len({c for c in station.calls[4:10] if c.startswith("send")}) == 6


def test_a_station_that_is_away_is_unreachable_and_never_given_up(three: Desk) -> None:
    halt = Waits(40)
    station = ScriptedStation(once(10_000, "log_state", TryAgainError("no answer", away=True)))
    told = visit(three, station, halt, attempts=None)
    assert (told["state"], told["error"]) == ("unreachable", "no answer")
    assert len(station.calls) == 40


def test_waiting_and_unreachable_and_refused_are_different_states(three: Desk) -> None:
    for error, state in (
        (TryAgainError("busy"), "waiting"),
        (TryAgainError("no answer", away=True), "unreachable"),
        (RefusedError("go away", 403), "refused"),
    ):
        told = visit(three, ScriptedStation(once(10_000, "log_state", error)), Waits(3), attempts=None)
        assert told["state"] == state


def test_a_visit_says_last_what_it_met_last(three: Desk) -> None:
    told = visit(three, ScriptedStation(once(10_000, "attest", TryAgainError("no answer", away=True))), Waits())
    assert (told["state"], told["error"]) == ("unreachable", "no answer")


def test_nobody_answers_in_the_middle_of_a_batch(three: Desk) -> None:
    station = ScriptedStation(once(1, "send", TryAgainError("no answer", away=True)))
    assert visit(three, station, Waits())["state"] == "delivered"


@pytest.mark.parametrize("error", [RefusedError("not this one", 400), StorageError("cannot read")])
def test_one_bad_segment_does_not_stop_the_others(three: Desk, error: StationError) -> None:
    bad = Outgoing(three.root).look()[-1].segments[0].segment
    station = ScriptedStation(once(10_000, "send", error, bad))
    told = visit(three, station, Waits(), attempts=None)
    assert told["segments_done"] == 2
    assert told["state"] in ("refused", "waiting")
    assert error.message in str(told["error"])
    assert "attest 2" in station.calls


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (StorageError("cannot read it: Input/output error", "the card may be failing"), "the card may be failing"),
        (ValueError("Invalid IPv6 URL"), "a defect of this program: ValueError: Invalid IPv6 URL"),
        (RecursionError(), "a defect of this program: RecursionError"),
    ],
)
def test_what_the_camera_cannot_send_keeps_no_other_and_is_refused_after_a_few_tries(
    three: Desk, error: Exception, shown: str
) -> None:
    bad = Outgoing(three.root).look()[-1].segments[0].segment
    station = ScriptedStation(once(10_000, "send", error, bad))
    told = visit(three, station, Waits(), attempts=None)
    assert (told["state"], told["segments_done"]) == ("refused", 2)
    assert bad in str(told["refused"]) and shown in str(told["refused"])
    assert station.calls.count(f"send {bad}") == TRIES
    # The next visit tries again.
    assert visit(three, ScriptedStation(no_trouble), Waits())["state"] == "delivered"


def test_a_card_that_reads_again_is_no_refusal(three: Desk) -> None:
    bad = Outgoing(three.root).look()[-1].segments[0].segment
    station = ScriptedStation(once(TRIES - 1, "send", StorageError("cannot read"), bad))
    told = visit(three, station, Waits())
    assert (told["state"], told["refused"]) == ("delivered", "")


def test_a_card_that_comes_to_itself_during_the_visit_gives_all_it_has(three: Desk) -> None:
    bad = Outgoing(three.root).look()[-1].segments[0].segment
    station = ScriptedStation(once(TRIES, "send", StorageError("cannot read"), bad))
    told = visit(three, station, Waits(700), attempts=None)
    assert (told["state"], told["refused"]) == ("delivered", "")
    assert station.calls.count(f"send {bad}") == TRIES + 1


@pytest.mark.parametrize("what", ["log_state", "put_tile", "put_chain", "add_checkpoint", "attest"])
def test_nothing_unforeseen_ends_a_visit(three: Desk, what: str) -> None:
    halt = Waits()
    told = visit(three, ScriptedStation(once(2, what, UnicodeError("surrogates"))), halt, attempts=None)
    assert told["state"] == "delivered"
    told = visit(three, ScriptedStation(once(10_000, what, UnicodeError("surrogates"))), Waits(3), attempts=None)
    assert (told["state"], told["error"]) == ("refused", "a defect of this program: UnicodeError: surrogates")


def test_a_refused_log_is_shown_while_segments_go(three: Desk) -> None:
    station = ScriptedStation(once(10_000, "add_checkpoint", RefusedError("another tree was cosigned", 409)))
    assert "another tree" in str(visit(three, station, Waits())["refused"])
    assert sum(c.startswith("send") for c in station.calls) == 3
    assert not any(c.startswith("attest") for c in station.calls)
    assert last(three)["state"] == "refused"


def test_the_size_returned_is_the_size_proven_from(three: Desk) -> None:
    station = ScriptedStation(once(1, "add_checkpoint", StaleSizeError(2)))
    assert visit(three, station, Waits())["state"] == "delivered"
    assert [c for c in station.calls if c.startswith("add")] == ["add_checkpoint 0", "add_checkpoint 2"]


def test_a_camera_behind_the_station_is_shown(three: Desk) -> None:
    station = ScriptedStation(once(10_000, "add_checkpoint", StaleSizeError(99)))
    assert "cosigned 99" in str(visit(three, station, Waits())["refused"])


class Forgetful(ScriptedStation):
    """Takes everything, and has nothing of `names` when it is asked for the receipt, so many times."""

    def __init__(self, names: Sequence[str], times: int = 10_000) -> None:
        super().__init__(no_trouble)
        self._lacks = dict.fromkeys(names, times)

    def attest(self, epoch: int, records: Sequence[SealRecord], kept: Sequence[SealRecord] = ()) -> Attested:
        super().attest(epoch, records, kept)
        lacks = [r.segment for r in (*records, *kept) if self._lacks.get(r.segment)]
        for name in lacks:
            self._lacks[name] -= 1
        return Attested(b"a receipt", dict.fromkeys(lacks, ("it is not stored", False)))


def test_204_then_lost_is_told_at_once_and_refused_after_a_few_rounds_each_later_than_the_last(three: Desk) -> None:
    names = [r.segment for r in Outgoing(three.root).look()[-1].segments]
    station, halt, said = Forgetful(names), Waits(60), []
    inbox = Inbox(three.spool.inbox_dir, FakeClock().monotonic_ns)
    tell = inbox.tell
    inbox.tell = lambda state, error="": (said.append((state.value, error)), tell(state, error))[1]  # type: ignore[method-assign]
    later = tenacity.wait_incrementing(100, 100)
    made = Visit(Outgoing(three.root), inbox, station, FakeClock(), 1, halt, later, lambda least, most: most)
    made.run()
    made.close()
    told = last(three)
    assert (told["state"], told["segments_done"]) == ("refused", 0)
    assert str(told["refused"]) == f"{names[0]}: it is not stored ({TRIES} times)"
    assert [error for state, error in said if state == "waiting"] == [f"{names[0]}: it is not stored"] * TRIES
    assert {station.calls.count(f"send {name}") for name in names} == {TRIES}
    after_rounds = [100 * (number + 1) for number in range(TRIES)]
    assert [wait for wait in halt.waited if wait in after_rounds][-1] == after_rounds[-1]


def test_a_station_that_lost_one_segment_has_the_others_receipts_and_the_one_by_name(three: Desk) -> None:
    name = Outgoing(three.root).look()[-1].segments[1].segment
    told = visit(three, Forgetful([name]), Waits(), attempts=None)
    assert (told["state"], told["segments_done"]) == ("refused", 2)
    assert str(told["refused"]) == f"{name}: it is not stored ({TRIES} times)"
    told = visit(three, Forgetful([name], TRIES - 1), Waits())
    assert (told["state"], told["refused"]) == ("delivered", "")


def test_undocking_ends_it_at_once(three: Desk) -> None:
    halt = Waits()
    station = ScriptedStation(once(1, "send", HaltedError("undocked")))
    visit(three, station, halt, attempts=None)
    assert not any(c.startswith("attest") for c in station.calls)
    assert halt.waited == []


def test_a_receipt_that_cannot_be_left_is_asked_for_again(three: Desk) -> None:
    station = ScriptedStation(no_trouble)
    inbox = three.spool.inbox_dir
    inbox.rename(inbox.with_name("elsewhere"))
    halt = Waits(3)
    made = Visit(
        Outgoing(three.root),
        Inbox(inbox, FakeClock().monotonic_ns),
        station,
        FakeClock(),
        2,
        halt,
        tenacity.wait_fixed(1),
    )
    made.run()
    made.close()
    assert station.calls.count("attest 3") >= 2


@pytest.mark.parametrize("left", [0, 1_000])
def test_a_segment_of_another_size_than_it_was_sealed_with_goes_as_what_it_is(three: Desk, left: int) -> None:
    record = Outgoing(three.root).look()[-1].segments[0]
    os.truncate(Outgoing(three.root).path(record), left)
    sent: list[SealRecord] = []

    class Keeping(ScriptedStation):
        def send(self, record: SealRecord, path: Path, on_offset: Callable[[int], None]) -> None:
            sent.append(record)

    assert visit(three, Keeping(no_trouble), Waits())["state"] == "delivered"
    (now,) = [r for r in sent if r.segment == record.segment]
    assert (now.size, now.kept, now.pieces) == (left, True, ())
    assert now.sha256 == hashlib.sha256(Outgoing(three.root).path(record).read_bytes()).hexdigest()
    assert all(r.size > left and not r.kept for r in sent if r is not now)


@pytest.mark.parametrize(("times", "state"), [(2, "delivered"), (10_000, "refused")])
def test_a_station_that_finds_other_bytes_than_the_card_has_gets_them_again_a_few_times(
    three: Desk, times: int, state: str
) -> None:
    name = Outgoing(three.root).look()[-1].segments[0].segment
    station = ScriptedStation(once(times, "send", RefusedError("other bytes", 460), name))
    assert visit(three, station, Waits())["state"] == state
    assert station.calls.count(f"send {name}") == 3


def test_a_way_that_costs_by_the_byte_is_not_taken_and_is_no_segments_fault(three: Desk) -> None:
    station = ScriptedStation(once(10_000, "send", HeldError("metered: wwan0")))
    told = visit(three, station, Waits(5), attempts=None)
    assert (told["state"], told["error"], told["refused"]) == ("held", "metered: wwan0", "")


@pytest.mark.parametrize("what", ["log_state", "put_tile", "put_chain", "add_checkpoint", "send", "attest"])
def test_whoever_stands_in_the_stations_place_for_a_while_has_refused_nothing(three: Desk, what: str) -> None:
    """A portal with a certificate of its own; with nothing new in the log, all goes on once it is gone."""
    station, halt = ScriptedStation(once(2, what, UntrustedError("not trusted"))), Waits()
    shown: list[dict[str, object]] = []
    wait = halt.wait

    def look(timeout: float | None = None) -> bool:
        shown.append(last(three))
        return wait(timeout)

    halt.wait = look  # type: ignore[method-assign]
    told = visit(three, station, halt, attempts=None, parallel=1)
    assert (told["state"], told["segments_done"], told["refused"]) == ("delivered", 3, "")
    assert [(s["state"], s["refused"]) for s in shown[:2]] == [("refused", "not trusted")] * 2
    assert halt.waited[:2] == [REFUSED_WAIT_S * (1 + SPREAD) + 1] * 2
    assert len({c for c in station.calls if c.startswith("send")}) == 3
