"""Several logs at one dock, decided from values alone: each is dealt with, none holds up another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.dock import epochs, uploading
from agent.dock.epochs import choose
from agent.dock.logproof import LocalLog
from agent.dock.station import Attested, StationLog
from agent.dock.uploading import Achieved, Attest, Rest, Seen, SendSegments
from agent.formats.seal import SealRecord

OLD = LocalLog(Path("log/1"), 1, 100, b"old checkpoint", b"chain", closed=True)
NEW = LocalLog(Path("log/2"), 2, 30, b"new checkpoint", b"chain")


LONG = uploading.SHORT_BYTES + 1


def record(number: int, epoch: int = 1, kept: bool = False, size: int = 1000) -> SealRecord:
    return SealRecord(f"e{number * 10:010d}-0000000{epoch}", size, "0" * 64, number * 10, 10, None, 0, epoch, kept)


def views(*old: SealRecord, log: LocalLog | None = OLD) -> tuple[Seen, Seen]:
    return Seen(log, old, epoch=1, closed=True), Seen(NEW, (record(0, 2),), epoch=2)


def cosigned(log: LocalLog) -> Achieved:
    done = uploading.log_told(Achieved(), StationLog(0, 0))
    return uploading.cosigned(uploading.chain_sent(uploading.tiles_sent(done, log), log), log)


def delivered(done: Achieved, *records: SealRecord) -> Achieved:
    for one in records:
        done = replace(uploading.sent(done, one.segment), receipted_ns={**done.receipted_ns, one.segment: 0})
    return done


def test_the_old_log_goes_first_and_then_the_new_one() -> None:
    seen = views(record(0))
    assert choose(seen, {}, 0) == (1, uploading.AskLog(OLD))
    done = {1: delivered(cosigned(OLD), record(0))}
    assert choose(seen, done, 0) == (2, uploading.AskLog(NEW))
    assert choose(seen, done | {2: delivered(cosigned(NEW), record(0, 2))}, 0) == (2, Rest())


def test_a_receipt_for_what_is_kept_ends_the_count_of_how_often_the_station_lost_it() -> None:
    one = record(0)
    done, again = uploading.sent(cosigned(OLD), one.segment), Attested(b"receipt", {one.segment: ("gone", False)})
    for _ in range(uploading.TRIES - 1):
        done = epochs.kept(done, [one], again, 5)
    done = epochs.kept(uploading.sent(done, one.segment), [one], Attested(b"receipt", {}), 6)
    assert one.segment not in done.lost
    # Much later it is lost once more: that is the first time again, and nothing for a person yet.
    assert not epochs.kept(done, [one], again, 7).refused


def test_all_logs_go_before_any_segment() -> None:
    """A backlog of the old one does not hold back what is asked of the new."""
    seen = views(*(record(n) for n in range(9)))
    assert choose(seen, {1: cosigned(OLD)}, 0) == (2, uploading.AskLog(NEW))
    told = uploading.log_told(Achieved(), StationLog(0, 0))
    assert choose(seen, {1: cosigned(OLD), 2: told}, 0) == (2, uploading.SendTiles(NEW, 0))
    refused = uploading.refuse_log(Achieved(), OLD, "a fork")
    assert choose(seen, {1: refused}, 0) == (2, uploading.AskLog(NEW))


def test_segments_of_all_logs_go_in_one_order() -> None:
    """Marked ones, short ones, then the oldest; what was sent before another log's turn gets its receipt at once."""
    old, new = (
        [record(n, size=size) for n, size in enumerate((LONG, 1, LONG, 1))],
        [record(n, 2, size=size) for n, size in enumerate((LONG, 1, LONG))],
    )
    marked = frozenset({old[2].segment, new[2].segment})
    seen = (
        Seen(OLD, tuple(old), epoch=1, closed=True, marked=marked),
        Seen(NEW, tuple(new), epoch=2, marked=marked),
    )
    done, order = {1: cosigned(OLD), 2: cosigned(NEW)}, list[tuple[str, list[SealRecord]]]()
    while len(order) < 50:
        epoch, action = choose(seen, done, 0)
        match action:
            case SendSegments(records):
                order.append(("sent", list(records)))
                for one in records:
                    done[epoch] = uploading.sent(done[epoch], one.segment)
            case Attest(log, records):
                assert log.epoch == epoch
                order.append(("receipt", list(records)))
                done[epoch] = uploading.attested(done[epoch], action, Attested(b"receipt", {}), 0)
            case _:
                break
    assert action == Rest()
    assert order == [
        ("sent", [old[2]]), ("receipt", [old[2]]), ("sent", [new[2]]), ("receipt", [new[2]]),
        ("sent", [old[1], old[3]]), ("receipt", [old[1], old[3]]), ("sent", [new[1]]), ("receipt", [new[1]]),
        ("sent", [old[0]]), ("receipt", [old[0]]), ("sent", [new[0]]), ("receipt", [new[0]]),
    ]  # fmt: skip


def test_what_failed_in_one_log_waits_for_all_of_the_other() -> None:
    seen = views(record(0), record(1))
    old = uploading.failed(cosigned(OLD), record(0).segment)
    done = {1: old, 2: cosigned(NEW)}
    assert choose(seen, done, 0) == (1, SendSegments((record(1),)))
    done[1] = delivered(old, record(1))
    assert choose(seen, done, 0) == (2, SendSegments((record(0, 2),)))
    done[2] = delivered(done[2], record(0, 2))
    assert choose(seen, done, 0) == (1, SendSegments((record(0),)))


def test_what_fails_in_the_old_log_does_not_hold_up_the_new_one() -> None:
    seen = views(record(0))
    old = uploading.failed(cosigned(OLD), record(0).segment)
    assert choose(seen, {1: old}, 0) == (2, uploading.AskLog(NEW))
    new = delivered(cosigned(NEW), record(0, 2))
    assert choose(seen, {1: old, 2: new}, 0) == (1, SendSegments((record(0),)))


@pytest.mark.parametrize(
    ("one", "log", "old"),
    [
        (record(0, kept=True), OLD, uploading.sent(cosigned(OLD), record(0).segment)),
        (record(0), OLD, uploading.refused(cosigned(OLD), record(0).segment, "another history")),
        (record(20), OLD, uploading.sent(cosigned(OLD), record(20).segment)),
        (record(0), None, uploading.sent(Achieved(), record(0).segment)),
        (record(0), OLD, uploading.sent(uploading.refuse_log(Achieved(), OLD, "a fork"), record(0).segment)),
    ],
    ids=["damaged", "refused for good", "beyond its log", "no log is left", "its log is refused"],
)
def test_what_its_own_log_cannot_prove_is_kept_under_the_new_one(
    one: SealRecord, log: LocalLog | None, old: Achieved
) -> None:
    seen = views(one, log=log)
    assert choose(seen, {1: old}, 0)[0] == 2, "nothing is kept before the new log is cosigned"
    new = delivered(cosigned(NEW), record(0, 2))
    epoch, action = choose(seen, {1: old, 2: new}, 0)
    assert (epoch, action) == (2, Attest(NEW, (), (one,)))
    done = {1: epochs.kept(old, [one], Attested(b"receipt", {}), 5), 2: new}
    assert choose(seen, done, 6) == (2, Rest())


def test_a_station_that_takes_no_more_first_receipts_what_it_has_of_another_log() -> None:
    old = uploading.sent(cosigned(OLD), record(20).segment)
    done = {1: old, 2: uploading.put_off(cosigned(NEW), record(0, 2).segment)}
    seen = views(record(20))
    assert choose(seen, done, 0) == (2, Attest(NEW, (), (record(20),)))
    done = {epoch: uploading.asking(one) for epoch, one in done.items()}
    assert choose(seen, done, 0) == (2, SendSegments((record(0, 2),))), "asked for, in vain or not: the others' turn"


def test_one_that_stays_after_its_receipt_is_asked_for_again_as_all_are() -> None:
    """The recorder did not take the receipt: it did not answer the challenge."""
    one, own, later_ns = record(0, kept=True), record(0, 2), uploading.ASK_AGAIN_NS + 5
    old = epochs.kept(uploading.sent(cosigned(OLD), one.segment), [one], Attested(b"receipt", {}), 5)
    new = delivered(cosigned(NEW), own)
    new = replace(new, receipted_ns={own.segment: later_ns})
    assert choose(views(one), {1: old, 2: new}, later_ns - 1) == (2, Rest())
    assert choose(views(one), {1: old, 2: new}, later_ns) == (2, Attest(NEW, (), (one,)))


def test_what_the_station_does_not_have_is_sent_again() -> None:
    one = record(0, kept=True)
    old = uploading.sent(cosigned(OLD), one.segment)
    told = Attested(b"receipt", {one.segment: ("it is not stored with these bytes", False)})
    done = {1: epochs.kept(old, [one], told, 5), 2: delivered(cosigned(NEW), record(0, 2))}
    assert choose(views(one), done, 6) == (1, SendSegments((one,)))


def test_what_the_station_would_not_take_is_not_asked_for() -> None:
    old = uploading.unsendable(cosigned(OLD), record(0).segment, "too large")
    done = {1: old, 2: delivered(cosigned(NEW), record(0, 2))}
    assert choose(views(record(0)), done, 0) == (2, Rest(refused=f"{record(0).segment}: too large"))


def test_a_new_log_without_a_cosignature_lets_left_overs_wait() -> None:
    one = record(0, kept=True)
    done = {1: uploading.sent(cosigned(OLD), one.segment), 2: Achieved()}
    seen = (views(one)[0], Seen(None, (), epoch=2))
    _, action = choose(seen, done, 0)
    assert isinstance(action, Rest)
    assert one.segment in action.waiting
