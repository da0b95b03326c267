"""What to do next at the dock where the camera has begun a new log: all logs first, then the segments of all of them in
one order; else each epoch is a world of its own, and what the old ones cannot prove is kept under the newest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.dock import refusals
from agent.dock.station import Attested
from agent.dock.uploading import (
    BATCH_SEGMENTS,
    Achieved,
    Action,
    Attest,
    Rest,
    Seen,
    SendSegments,
    awaiting_receipt,
    has_receipt,
    log_step,
    lost,
    receipted,
    segment_step,
    turn,
)
from agent.formats.seal import SealRecord

NOTHING = Achieved()
_Turn = tuple[int, int, bool, bool, int, int]


def choose(views: Sequence[Seen], done: Mapping[int, Achieved], now_ns: int) -> tuple[int, Action]:
    """(epoch, the next thing to do). `views` are oldest first: so go the logs, since an old one has to end before the
    next is cosigned. Then come segments, all in one order. What failed before waits for everything else, a log too.
    """
    log = _log_step(views, done)
    if log and now_ns >= done.get(log[0], NOTHING).log_again_ns:
        return log
    steps = [(v, segment_step(v, done.get(v.epoch, NOTHING), now_ns)) for v in views]
    turns = {v.epoch: _turn(a, v, done) for v, a in steps if isinstance(a, SendSegments)}
    newest = views[-1]
    kept = tuple(
        r for v in views for r in left_over(v, done.get(v.epoch, NOTHING), now_ns) if r.kept or v is not newest
    )
    owed = bool(kept) and newest.log is not None and _is_cosigned(newest, done)
    fresh = [
        (v, a)
        for v, a in steps
        if not (isinstance(a, Rest) or _waits(a, done.get(v.epoch, NOTHING), after_receipts=owed))
    ]
    if fresh:
        return _first(fresh, turns, done, now_ns)
    if owed and newest.log:
        return newest.epoch, Attest(newest.log, (), kept[:BATCH_SEGMENTS])
    doing = [(v, a) for v, a in steps if not isinstance(a, Rest)]
    if doing:
        return _first(doing, turns, done, now_ns)
    return log or (newest.epoch, _rest([(v.epoch, a) for v, a in steps if isinstance(a, Rest)], views, done, kept))


def _log_step(views: Sequence[Seen], done: Mapping[int, Achieved]) -> tuple[int, Action] | None:
    """What is left to do for the first log that is not done with: no later one is cosigned before."""
    steps = ((view.epoch, log_step(view, done.get(view.epoch, NOTHING))) for view in views)
    return next(((epoch, action) for epoch, action in steps if action), None)


def _first(
    doing: Sequence[tuple[Seen, Action]], turns: Mapping[int, _Turn], done: Mapping[int, Achieved], now_ns: int
) -> tuple[int, Action]:
    """Receipts for what was sent, before another epoch's segments go; and of those as many as go before the others'."""
    for view, action in doing:
        if isinstance(action, Attest):
            return view.epoch, action
    view, action = min(doing, key=lambda one: turns[one[0].epoch])
    for other, _ in doing:
        ready = awaiting_receipt(other, done.get(other.epoch, NOTHING), now_ns) if other is not view else ()
        if ready and other.log:
            return other.epoch, Attest(other.log, ready)
    assert isinstance(action, SendSegments)
    ends = min((turns[v.epoch] for v, _ in doing if v is not view), default=None)
    mine = done.get(view.epoch, NOTHING)
    return view.epoch, SendSegments(tuple(r for r in action.records if ends is None or turn(r, view, mine) < ends))


def _turn(action: SendSegments, view: Seen, done: Mapping[int, Achieved]) -> _Turn:
    return turn(action.records[0], view, done.get(view.epoch, NOTHING))


def left_over(view: Seen, done: Achieved, now_ns: int) -> list[SealRecord]:
    """Segments that the station has, and that no receipt of their own log will ever name: of the log that is being
    written, only those that the card has changed. One that stays after a receipt is asked for again, as all are.
    """
    log, cosigned = view.log, done.station.cosigned if done.station else 0
    over = log is None or done.no_receipt[0] == log.checkpoint
    at_end = over or (log is not None and log.checkpoint in (done.log_refused[0], done.cosigned))
    found = []
    for record in view.segments:
        refused = record.segment in done.refused and record.segment not in done.unsendable
        beyond = record.segment in done.sent and (record.kept or over or (at_end and record.end > cosigned))
        if (refused or beyond) and not receipted(record, done, now_ns):
            found.append(record)
    return found


def kept(done: Achieved, records: Sequence[SealRecord], told: Attested, now_ns: int) -> Achieved:
    """What became of left-overs of one epoch for which a receipt was asked."""
    for name in (r.segment for r in records):
        done = replace(done, refused={n: why for n, why in done.refused.items() if n != name})
        if name in told.refused:
            done = lost(done, name, told.refused[name][0], now_ns)
        else:
            done = has_receipt(done, name, now_ns)
    return done


def _waits(action: Action, done: Achieved, after_receipts: bool) -> bool:
    """Segments that were tried before, or that a station which takes no more is asked to take, while it has others that
    may get their receipt.
    """
    if not isinstance(action, SendSegments):
        return False
    return (after_receipts and done.overrun) or all(done.failures.get(r.segment) for r in action.records)


def _is_cosigned(view: Seen, done: Mapping[int, Achieved]) -> bool:
    state = done.get(view.epoch, NOTHING)
    return view.log is not None and state.cosigned == view.log.checkpoint != state.no_receipt[0]


def _rest(
    steps: Sequence[tuple[int, Rest]],
    views: Sequence[Seen],
    done: Mapping[int, Achieved],
    kept: Sequence[SealRecord],
) -> Rest:
    """What is refused first; then what the newest log waits for; then an old one's trouble, where something is left of
    it.
    """
    why = refusals.refused(views, done)
    if why:
        return Rest(refused=why)
    newest = next((a for e, a in steps if e == views[-1].epoch), Rest())
    if newest != Rest():
        return newest
    if kept:
        return Rest(waiting=f"the new log is not cosigned yet, so {kept[0].segment} has no receipt")
    why = refusals.of_old_logs(views, done)
    return Rest(refused=why) if why else next((a for _, a in steps if a != Rest()), Rest())
