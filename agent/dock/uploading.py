"""What to do next at the dock: a function from what is there and what this visit has achieved to one action.

The order: new tiles, the session's chain, the checkpoint; then segments, those with a mark first, then short ones, then
oldest first, those that failed last; then a receipt for what was sent. A log that the station refuses, or has trouble
with again and again, does not keep segments from being sent, and one bad segment does not keep the others. Refused and
delivered are different states, and nothing refused counts as done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from agent.dock.logproof import LocalLog
from agent.dock.station import Attested, StationLog
from agent.formats.seal import SealRecord
from agent.model import NS

_Value = TypeVar("_Value")
BATCH_SEGMENTS = 32
"""Segments sent before their receipt is asked for; a receipt itself holds up to 256."""
BATCH_BYTES = 1 << 30
"""The same in bytes: the station reads them all back while we wait."""
SHORT_BYTES = 4 << 20
"""Segments up to this do not wait for long ones: events, and what was recorded for a few seconds."""
PATIENCE = 3
"""A segment at which the station said so often to come back later goes behind the others: it may be the cause."""
LOOKS = 3
"""A tile that the card lacks at the same checkpoint in so many looks is not being replaced: it is gone."""
LOG_TRIES = 3
LOG_AGAIN_NS = 60 * NS
"""A log with which the station, or the uploader, has had trouble so often waits so long behind the segments: from when
they may go, however long nothing may before.
"""
TRIES = 5
"""What the camera cannot read or send, or the station took and does not have, is refused after so many."""
TRY_AGAIN_NS = 600 * NS
"""One that was refused for that stays so, and is tried once more each time this has passed."""
ASK_AGAIN_NS = 60 * NS
"""A segment still in sealed/ this long after its receipt was left in inbox/ is asked for again."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What lies in the spool: the log (None before its first checkpoint, or where `log_error` says why it cannot be
    read), and the sealed segments, oldest first; of one epoch, which is `closed` where a later one is being written.
    `marked` are segments in which somebody set a mark.
    """

    log: LocalLog | None
    segments: tuple[SealRecord, ...]
    log_error: str = ""
    epoch: int = 1
    closed: bool = False
    marked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Achieved:
    """What this visit to the dock has achieved. Everything else is on the station, which is asked anew each time."""

    station: StationLog | None = None
    tiles_to: int = 0
    chain: str = ""
    chain_for: bytes = b""
    cosigned: bytes = b""
    log_refused: tuple[bytes, str] = (b"", "")
    lacking: tuple[bytes, int] = (b"", 0)
    log_failures: int = 0
    log_again_ns: int = 0
    log_paused: bool = False
    tiles_doubted: bool = False
    tiles_again: bool = False
    no_receipt: tuple[bytes, str] = (b"", "")
    sent: frozenset[str] = frozenset()
    failures: Mapping[str, int] = field(default_factory=dict)
    put_off: Mapping[str, int] = field(default_factory=dict)
    overrun: bool = False
    broken: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    unsendable: frozenset[str] = frozenset()
    again_ns: Mapping[str, int] = field(default_factory=dict)
    receipted_ns: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AskLog:
    """Ask how much of the log the station has."""

    log: LocalLog


@dataclass(frozen=True, slots=True)
class SendTiles:
    """Send the tiles that a holder of `have` leaves lacks."""

    log: LocalLog
    have: int


@dataclass(frozen=True, slots=True)
class SendChain:
    log: LocalLog


@dataclass(frozen=True, slots=True)
class SendCheckpoint:
    """Ask for a cosignature, with proof from `old` leaves."""

    log: LocalLog
    old: int


@dataclass(frozen=True, slots=True)
class SendSegments:
    """Send these, several at a time."""

    records: tuple[SealRecord, ...]


@dataclass(frozen=True, slots=True)
class Attest:
    """Ask for the receipt of these; of those `kept`, left over from earlier epochs, for their bytes alone."""

    log: LocalLog
    records: tuple[SealRecord, ...]
    kept: tuple[SealRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do now. Where both are "", everything that is there has its receipt; `refused` says what has none and
    why, `waiting` what the recorder has to write first.
    """

    refused: str = ""
    waiting: str = ""


Action = AskLog | SendTiles | SendChain | SendCheckpoint | SendSegments | Attest | Rest


def log_step(seen: Seen, done: Achieved) -> Action | None:
    """The next thing to do for the log; None where nothing is left."""
    log = seen.log
    if log is None or done.log_refused[0] == log.checkpoint or done.cosigned == log.checkpoint:
        return None
    if done.station is None:
        return AskLog(log)
    if done.tiles_to < log.size:
        return SendTiles(log, done.tiles_to)
    if done.chain != log.chain_sha256:
        return SendChain(log)
    return SendCheckpoint(log, min(done.station.cosigned, log.size))


def segment_step(seen: Seen, done: Achieved, now_ns: int) -> Action:
    """The same, where nothing is left to do for the log."""
    open_ = _open(seen, done, now_ns)
    unsent = sorted((r for r in open_ if r.segment not in done.sent), key=lambda r: turn(r, seen, done))
    fresh = [r for r in unsent if not (done.failures.get(r.segment) or done.put_off.get(r.segment, 0) >= PATIENCE)]
    ready = awaiting_receipt(seen, done, now_ns)
    # Where the station takes no more, what it has gets its receipt, and the camera room, before it is tried again.
    more = not (done.overrun and ready)
    if fresh and more and len(ready) < BATCH_SEGMENTS and sum(r.size for r in ready) < BATCH_BYTES:
        return SendSegments(_batch(fresh))
    if ready and seen.log:
        return Attest(seen.log, ready)
    if unsent:
        return SendSegments(_batch(unsent))
    return _rest(seen, [r for r in open_ if not r.kept])


def awaiting_receipt(seen: Seen, done: Achieved, now_ns: int) -> tuple[SealRecord, ...]:
    """What the station has, and what its cosignature reaches: a receipt may be asked for."""
    if seen.log is None or done.no_receipt[0] == seen.log.checkpoint:
        return ()
    if done.tiles_again and done.log_refused[0] != seen.log.checkpoint:
        # They have to go again first, and may have to wait.
        return ()
    reach = done.station.cosigned if done.station else 0
    sent_ = (r for r in _open(seen, done, now_ns) if r.segment in done.sent and not r.kept)
    return _batch([r for r in sent_ if r.end <= reach])


def _open(seen: Seen, done: Achieved, now_ns: int) -> list[SealRecord]:
    refused_ = {name for name in done.refused if name not in done.again_ns or now_ns < done.again_ns[name]}
    return [r for r in seen.segments if r.segment not in refused_ and not receipted(r, done, now_ns)]


def turn(record: SealRecord, seen: Seen, done: Achieved) -> tuple[int, int, bool, bool, int, int]:
    """What sorts first goes first, of whichever epoch it is."""
    name = record.segment
    put_off = done.put_off.get(name, 0) // PATIENCE
    first = name not in seen.marked, record.size > SHORT_BYTES
    return done.failures.get(name, 0), put_off, *first, record.epoch, record.first


def receipted(record: SealRecord, done: Achieved, now_ns: int) -> bool:
    """A receipt for it came lately: the recorder may be about to read it."""
    at = done.receipted_ns.get(record.segment)
    return at is not None and now_ns - at < ASK_AGAIN_NS


def _batch(records: list[SealRecord]) -> tuple[SealRecord, ...]:
    chosen: list[SealRecord] = []
    size = 0
    for record in records[:BATCH_SEGMENTS]:
        if chosen and size + record.size > BATCH_BYTES:
            break
        chosen.append(record)
        size += record.size
    return tuple(chosen)


def _rest(seen: Seen, waiting: list[SealRecord]) -> Rest:
    """Nothing is left to do: what is waited for. What is refused, `refusals` tells."""
    if not waiting:
        return Rest()
    if seen.log is None:
        return Rest(waiting=seen.log_error or "the log has no checkpoint yet")
    return Rest(waiting=f"the log on disk does not reach {waiting[0].segment} yet")


# -- what an action's outcome does to the visit --------------------------------------------------------------------


def log_told(done: Achieved, told: StationLog) -> Achieved:
    """The station said how much of the log it has; where its tiles are in doubt, all go again."""
    return replace(done, station=told, tiles_to=0 if done.tiles_again else told.proven)


def tiles_sent(done: Achieved, log: LocalLog) -> Achieved:
    return replace(done, tiles_to=log.size, tiles_again=False)


def chain_sent(done: Achieved, log: LocalLog) -> Achieved:
    return replace(done, chain=log.chain_sha256, chain_for=log.checkpoint)


def cosigned(done: Achieved, log: LocalLog) -> Achieved:
    assert done.station is not None
    reach = max(done.station.cosigned, log.size)
    known = replace(done.station, cosigned=reach)
    return replace(done, cosigned=log.checkpoint, station=known, log_refused=(b"", ""), log_failures=0, log_again_ns=0)


def stale(done: Achieved, log: LocalLog, asked: int, size: int) -> Achieved:
    """409 with the size last cosigned: go on from there, unless our log is the one that is behind."""
    assert done.station is not None
    known = replace(done, station=replace(done.station, cosigned=size))
    if size > log.size or size == asked:
        return refuse_log(known, log, f"the station cosigned {size} leaves of this log, the camera has {log.size}")
    return known


def refuse_checkpoint(done: Achieved, log: LocalLog, why: str, unknown: bool) -> Achieved:
    """Where the station says that the session is `unknown`, whose chain it was sent for an earlier checkpoint, it may
    have lost that, and more: it is asked anew, and gets the chain again.
    """
    if unknown and done.chain_for != log.checkpoint:
        return replace(done, station=None, chain="")
    return refuse_log(done, log, why)


def refuse_log(done: Achieved, log: LocalLog, why: str) -> Achieved:
    """Until the log has another checkpoint."""
    return replace(done, log_refused=(log.checkpoint, f"log: {why}"))


def log_failed(done: Achieved, now_ns: int) -> Achieved:
    """Not now: after a few times the log waits while segments go, and so after each further one."""
    times = done.log_failures + 1
    done = replace(done, log_failures=times, log_paused=times >= LOG_TRIES)
    return replace(done, log_again_ns=now_ns + LOG_AGAIN_NS) if done.log_paused else done


def waited(done: Achieved, now_ns: int) -> Achieved:
    """The visit has waited: a log that failed before that has its pause now."""
    return replace(done, log_again_ns=now_ns + LOG_AGAIN_NS, log_paused=False) if done.log_paused else done


def lacking(done: Achieved, log: LocalLog, why: str) -> Achieved:
    """The card lacks a tile of this checkpoint: the recorder may be about to replace it. After a few looks the log is
    refused, so that the segments go.
    """
    times = 1 + (done.lacking[1] if done.lacking[0] == log.checkpoint else 0)
    done = replace(done, lacking=(log.checkpoint, times))
    return refuse_log(done, log, f"the card lacks a part of it: {why}") if times >= LOOKS else done


def tiles_altered(done: Achieved, log: LocalLog, why: str) -> Achieved:
    """The card has changed a tile. Once the log has another checkpoint, and the recorder mended it, all go again."""
    return replace(done, tiles_doubted=False, no_receipt=(log.checkpoint, f"receipt: the card altered the log: {why}"))


def refuse_receipt(done: Achieved, log: LocalLog, why: str, tiles: bool) -> Achieved:
    """No receipt before the log has another checkpoint. Where it may be for the `tiles`, all go again, once."""
    if tiles and not done.tiles_doubted:
        return replace(done, tiles_doubted=True, tiles_again=True, station=None, cosigned=b"")
    return replace(done, no_receipt=(log.checkpoint, f"receipt: {why}"))


def sent(done: Achieved, name: str) -> Achieved:
    """The station has it; where it was refused for the camera's own trouble, that is over."""
    if name in done.again_ns:
        done = replace(
            done,
            refused=_without(done.refused, name),
            unsendable=done.unsendable - {name},
            broken=_without(done.broken, name),
            again_ns=_without(done.again_ns, name),
        )
    return replace(done, sent=done.sent | {name})


def _without(values: Mapping[str, _Value], name: str) -> dict[str, _Value]:
    return {key: value for key, value in values.items() if key != name}


def failed(done: Achieved, name: str) -> Achieved:
    """Not now: its turn comes after those that have not failed."""
    failures = {**done.failures, name: done.failures.get(name, 0) + 1}
    return replace(done, failures=failures, sent=done.sent - {name})


def put_off(done: Achieved, name: str) -> Achieved:
    """The station is overrun, whatever it is sent: this one has not failed."""
    return replace(done, put_off={**done.put_off, name: done.put_off.get(name, 0) + 1}, overrun=True)


def asking(done: Achieved) -> Achieved:
    """A receipt is asked for now; whatever comes of it, segments go on after that."""
    return replace(done, overrun=False)


def refused(done: Achieved, name: str, why: str) -> Achieved:
    """A receipt that it had before moved it nowhere, and counts no more."""
    again_ns, receipted_ns = _without(done.again_ns, name), _without(done.receipted_ns, name)
    whys = {**done.refused, name: why}
    return replace(done, refused=whys, sent=done.sent - {name}, again_ns=again_ns, receipted_ns=receipted_ns)


def unsendable(done: Achieved, name: str, why: str) -> Achieved:
    """Refused before the station had it."""
    return replace(refused(done, name, why), unsendable=done.unsendable | {name})


def broken(done: Achieved, name: str, why: str, now_ns: int) -> Achieved:
    """It failed on the camera's own side, not the station's: after a few tries it is refused, for a person to see, and
    tried again after a while: a card may come to itself.
    """
    times = done.broken.get(name, 0) + 1
    return _once_more(replace(done, broken={**done.broken, name: times}), name, why, times, now_ns)


def lost(done: Achieved, name: str, why: str, now_ns: int) -> Achieved:
    """The station took it, and does not have it, or cannot say that it has: it is sent again. The same after a few
    times: a station's disk may come to itself too. Only a receipt ends the count.
    """
    times = done.lost.get(name, 0) + 1
    without = replace(done, lost={**done.lost, name: times}, receipted_ns=_without(done.receipted_ns, name))
    return _once_more(without, name, why, times, now_ns)


def _once_more(done: Achieved, name: str, why: str, times: int, now_ns: int) -> Achieved:
    if times < TRIES:
        return failed(done, name)
    shown = unsendable(done, name, f"{why} ({times} times)")
    return replace(shown, again_ns={**shown.again_ns, name: now_ns + TRY_AGAIN_NS})


def has_receipt(done: Achieved, name: str, now_ns: int) -> Achieved:
    """Which ends the count of how often the station lost it."""
    return replace(done, receipted_ns={**done.receipted_ns, name: now_ns}, lost=_without(done.lost, name))


def attested(done: Achieved, action: Attest, told: Attested, now_ns: int) -> Achieved:
    """Segments of the receipt are done with; the others are refused, or start over."""
    done = replace(done, no_receipt=(b"", ""))
    for record in action.records:
        name = record.segment
        if name not in told.refused:
            done = has_receipt(done, name, now_ns)
            continue
        why, for_good = told.refused[name]
        if for_good:
            done = refused(done, name, why)
        else:
            done = replace(lost(done, name, why, now_ns), station=None, cosigned=b"")
    return done
