"""What comes next at the dock, decided from values alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent.dock import uploading
from agent.dock.epochs import choose
from agent.dock.logproof import LocalLog
from agent.dock.station import Attested, StationLog
from agent.dock.uploading import (
    ASK_AGAIN_NS,
    BATCH_BYTES,
    BATCH_SEGMENTS,
    SHORT_BYTES,
    TRIES,
    TRY_AGAIN_NS,
    Achieved,
    Action,
    Rest,
    Seen,
    SendSegments,
)
from agent.formats.seal import SealRecord

LOG = LocalLog(Path("log"), 1, 100, b"checkpoint at 100", b"chain")
NONE_DONE = Achieved()


def record(number: int, size: int = 1000) -> SealRecord:
    return SealRecord(f"e{number * 10:010d}-00000000", size, "0" * 64, number * 10, 10, None, 0)


def step(what: Seen, done: Achieved, now_ns: int) -> Action:
    """Of a camera with one log."""
    return choose((what,), {1: done}, now_ns)[1]


def seen(count: int, log: LocalLog | None = LOG) -> Seen:
    return Seen(log, tuple(record(n) for n in range(count)))


def cosigned(log: LocalLog = LOG) -> Achieved:
    """The log is dealt with."""
    told = uploading.log_told(NONE_DONE, StationLog(0, 0))
    done = uploading.chain_sent(uploading.tiles_sent(told, log), log)
    return uploading.cosigned(done, log)


def sent(done: Achieved, count: int) -> Achieved:
    for n in range(count):
        done = uploading.sent(done, record(n).segment)
    return done


def test_where_the_station_takes_no_more_what_it_has_gets_its_receipt_before_it_is_tried_again() -> None:
    what = seen(4)
    done = uploading.put_off(sent(cosigned(), 2), record(2).segment)
    asked = step(what, done, 0)
    assert asked == uploading.Attest(LOG, what.segments[:2])
    # Whatever came of that: segments go on.
    assert step(what, uploading.asking(done), 0) == uploading.SendSegments(what.segments[2:])
    # Where it has nothing yet, the same is tried again.
    nothing = uploading.put_off(cosigned(), record(0).segment)
    assert step(what, nothing, 0) == uploading.SendSegments(what.segments)


def test_the_order_is_log_then_segments_then_receipt() -> None:
    what, done = seen(2), NONE_DONE
    assert step(what, done, 0) == uploading.AskLog(LOG)
    done = uploading.log_told(done, StationLog(40, 30))
    assert step(what, done, 0) == uploading.SendTiles(LOG, 30)
    done = uploading.tiles_sent(done, LOG)
    assert step(what, done, 0) == uploading.SendChain(LOG)
    done = uploading.chain_sent(done, LOG)
    assert step(what, done, 0) == uploading.SendCheckpoint(LOG, 40)
    done = uploading.cosigned(done, LOG)
    assert step(what, done, 0) == uploading.SendSegments(what.segments)
    done = sent(done, 2)
    asked = step(what, done, 0)
    assert asked == uploading.Attest(LOG, what.segments)
    assert isinstance(asked, uploading.Attest)
    done = uploading.attested(done, asked, Attested(b"receipt", {}), 5)
    assert step(what, done, 6) == Rest()


def test_nothing_there_is_nothing_to_do() -> None:
    assert step(Seen(None, ()), NONE_DONE, 0) == Rest()


def test_a_log_that_grew_is_cosigned_again() -> None:
    grown = replace(LOG, size=120, checkpoint=b"checkpoint at 120")
    assert step(Seen(grown, ()), cosigned(), 0) == uploading.SendTiles(grown, 100)


def test_a_stale_size_is_taken_from_the_station() -> None:
    done = uploading.tiles_sent(uploading.log_told(NONE_DONE, StationLog(0, 0)), LOG)
    done = uploading.stale(uploading.chain_sent(done, LOG), LOG, 0, 60)
    assert step(seen(1), done, 0) == uploading.SendCheckpoint(LOG, 60)


def test_a_log_behind_the_station_is_refused_but_segments_go() -> None:
    done = uploading.log_told(NONE_DONE, StationLog(200, 200))
    done = uploading.chain_sent(done, LOG)
    assert step(seen(1), done, 0) == uploading.SendCheckpoint(LOG, 100)
    done = uploading.stale(done, LOG, 100, 200)
    assert step(seen(1), done, 0) == uploading.SendSegments((record(0),))
    assert step(seen(1), sent(done, 1), 0) == uploading.Attest(LOG, (record(0),))
    end = step(seen(0), done, 0)
    assert isinstance(end, Rest) and "cosigned 200" in end.refused


def test_a_refused_log_does_not_hold_segments_back_and_is_not_done() -> None:
    done = uploading.refuse_log(uploading.log_told(NONE_DONE, StationLog(0, 0)), LOG, "another tree")
    assert step(seen(2), done, 0) == uploading.SendSegments(seen(2).segments)
    assert step(seen(2), sent(done, 2), 0) == Rest(refused="log: another tree")


def test_a_refused_log_is_tried_again_once_it_has_another_checkpoint() -> None:
    done = uploading.refuse_log(cosigned(), LOG, "another tree")
    grown = replace(LOG, size=120, checkpoint=b"checkpoint at 120")
    assert step(Seen(grown, ()), done, 0) == uploading.SendTiles(grown, 100)


def test_one_bad_segment_does_not_stop_the_others() -> None:
    done = uploading.refused(cosigned(), record(0).segment, "damaged")
    assert step(seen(3), done, 0) == uploading.SendSegments((record(1), record(2)))
    done = sent(done, 0)
    for n in (1, 2):
        done = uploading.sent(done, record(n).segment)
    asked = step(seen(3), done, 0)
    assert asked == uploading.Attest(LOG, (record(1), record(2)))
    assert isinstance(asked, uploading.Attest)
    done = uploading.attested(done, asked, Attested(b"r", {}), 0)
    assert step(seen(3), done, 1) == Rest(refused=f"{record(0).segment}: damaged")
    assert step(Seen(LOG, (record(1), record(2))), done, 1) == Rest()


def test_what_the_card_does_not_read_is_refused_and_tried_once_more_after_a_while() -> None:
    what, done, name = seen(1), cosigned(), record(0).segment
    for _ in range(TRIES):
        assert step(what, done, 7) == SendSegments(what.segments)
        done = uploading.broken(done, name, "cannot read", 7)
    shown = step(what, done, 6 + TRY_AGAIN_NS)
    assert isinstance(shown, Rest) and name in shown.refused
    assert step(what, done, 7 + TRY_AGAIN_NS) == SendSegments(what.segments)
    # One try: then it is refused again, for as long.
    done = uploading.broken(done, name, "cannot read", 7 + TRY_AGAIN_NS)
    assert isinstance(step(what, done, 6 + 2 * TRY_AGAIN_NS), Rest)
    assert step(what, done, 7 + 2 * TRY_AGAIN_NS) == SendSegments(what.segments)
    # The card has come to itself: nothing is left of it, and it has as many tries as any other.
    done = uploading.sent(done, name)
    assert step(what, done, 0) == uploading.Attest(LOG, what.segments)
    assert (done.refused, done.unsendable, done.broken) == ({}, frozenset(), {})


def test_what_the_station_refuses_is_not_tried_again_for_that() -> None:
    what, done, name = seen(1), cosigned(), record(0).segment
    for _ in range(TRIES):
        done = uploading.broken(done, name, "cannot read", 0)
    done = uploading.unsendable(done, name, "too large")
    assert isinstance(step(what, done, 2 * TRY_AGAIN_NS), Rest)


def test_what_failed_goes_after_what_did_not() -> None:
    done = uploading.failed(cosigned(), record(0).segment)
    assert step(seen(3), done, 0) == uploading.SendSegments((record(1), record(2)))
    for n in (1, 2):
        done = uploading.sent(done, record(n).segment)
    assert step(seen(3), done, 0) == uploading.Attest(LOG, (record(1), record(2)))
    done = uploading.attested(done, uploading.Attest(LOG, (record(1), record(2))), Attested(b"r", {}), 0)
    assert step(seen(3), done, 1) == uploading.SendSegments((record(0),))


def test_refused_for_now_starts_over_and_refused_for_good_does_not() -> None:
    asked = uploading.Attest(LOG, (record(0), record(1)))
    told = Attested(b"r", {record(0).segment: ("not stored", False), record(1).segment: ("damaged", True)})
    done = uploading.attested(sent(cosigned(), 2), asked, told, 0)
    assert dict(done.refused) == {record(1).segment: "damaged"}
    assert step(seen(2), done, 1) == uploading.AskLog(LOG)
    again = uploading.cosigned(uploading.log_told(done, StationLog(100, 100)), LOG)
    assert step(seen(2), again, 1) == uploading.SendSegments((record(0),))


def test_what_a_station_loses_each_time_is_tried_again_after_a_while_and_a_receipt_ends_the_count() -> None:
    asked, name = uploading.Attest(LOG, (record(0),)), record(0).segment
    told, done = Attested(b"r", {name: ("not stored", False)}), sent(cosigned(), 1)
    for _ in range(TRIES):
        done = uploading.attested(sent(done, 1), asked, told, 0)
    done = uploading.cosigned(uploading.log_told(done, StationLog(100, 100)), LOG)
    assert step(seen(1), done, TRY_AGAIN_NS - 1) == Rest(refused=f"{name}: not stored ({TRIES} times)")
    assert step(seen(1), done, TRY_AGAIN_NS) == uploading.SendSegments((record(0),))
    again = sent(done, 1)
    assert step(seen(1), again, TRY_AGAIN_NS) == asked
    # Once more is enough to show it again; and whoever has it at last has refused nothing.
    once_more = uploading.attested(again, asked, told, TRY_AGAIN_NS)
    assert once_more.refused[name] == f"not stored ({TRIES + 1} times)"
    done = uploading.attested(again, asked, Attested(b"r", {}), TRY_AGAIN_NS)
    assert (dict(done.refused), dict(done.lost)) == ({}, {})


def test_doubted_tiles_go_again_once() -> None:
    done = uploading.refuse_receipt(sent(cosigned(), 1), LOG, "tiles lack", tiles=True)
    assert step(seen(1), done, 0) == uploading.AskLog(LOG)
    done = uploading.log_told(done, StationLog(100, 100))
    assert step(seen(1), done, 0) == uploading.SendTiles(LOG, 0)
    done = uploading.cosigned(uploading.tiles_sent(done, LOG), LOG)
    done = uploading.refuse_receipt(done, LOG, "tiles lack", tiles=True)
    assert step(seen(1), done, 0) == Rest(refused="receipt: tiles lack")


def test_segments_beyond_the_checkpoint_wait_for_it() -> None:
    late = record(10)
    what = Seen(LOG, (record(0), late))
    done = uploading.sent(sent(cosigned(), 1), late.segment)
    assert step(what, done, 0) == uploading.Attest(LOG, (record(0),))
    done = uploading.attested(done, uploading.Attest(LOG, (record(0),)), Attested(b"r", {}), 0)
    end = step(what, done, 1)
    assert isinstance(end, Rest) and not end.refused and late.segment in end.waiting


def test_a_log_that_cannot_be_read_does_not_hold_segments_back() -> None:
    what = Seen(None, (record(0),), "cannot read the log")
    assert step(what, NONE_DONE, 0) == uploading.SendSegments((record(0),))
    assert step(what, sent(NONE_DONE, 1), 0) == Rest(waiting="cannot read the log")


def test_a_receipt_that_the_recorder_did_not_act_on_is_asked_for_again() -> None:
    asked = uploading.Attest(LOG, (record(0),))
    done = uploading.attested(sent(cosigned(), 1), asked, Attested(b"r", {}), 1000)
    assert step(seen(1), done, 1000 + ASK_AGAIN_NS - 1) == Rest()
    assert step(seen(1), done, 1000 + ASK_AGAIN_NS) == asked


def test_batches_are_bounded_in_number_and_bytes() -> None:
    many = seen(BATCH_SEGMENTS + 5)
    assert step(many, cosigned(), 0) == uploading.SendSegments(many.segments[:BATCH_SEGMENTS])
    done = sent(cosigned(replace(LOG, size=1000)), BATCH_SEGMENTS)
    assert step(Seen(replace(LOG, size=1000), many.segments), done, 0) == uploading.Attest(
        replace(LOG, size=1000), many.segments[:BATCH_SEGMENTS]
    )
    large = Seen(LOG, tuple(record(n, BATCH_BYTES // 2 + 1) for n in range(3)))
    assert step(large, cosigned(), 0) == uploading.SendSegments(large.segments[:1])


def test_marked_ones_go_first_then_short_ones_then_the_oldest() -> None:
    big = SHORT_BYTES + 1
    records = [record(0, big), record(1, big), record(2), record(3, big), record(4)]
    marked = frozenset({records[3].segment, "r9999999999-00000000-0000"})
    there = Seen(None, tuple(records), marked=marked)
    action = step(there, NONE_DONE, 0)
    assert isinstance(action, SendSegments)
    assert [r.first // 10 for r in action.records] == [3, 2, 4, 0, 1]
    after = step(there, uploading.failed(NONE_DONE, records[3].segment), 0)
    assert isinstance(after, SendSegments)
    assert [r.first // 10 for r in after.records] == [2, 4, 0, 1]
