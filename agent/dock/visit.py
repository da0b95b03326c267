"""One visit to the dock: asks `epochs.choose` what is next, does it, and tells how it went.

Waits are full jitter (tenacity), which comes on top of a Retry-After: who was told the same comes back at different
moments. They end at once when the camera is undocked.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import tenacity

from agent.clock import Clock
from agent.dock import epochs, refusals, uploading
from agent.dock.logproof import LackingError, LocalLog
from agent.dock.outgoing import Outgoing
from agent.dock.report import Inbox, State
from agent.dock.station import (
    Attested,
    HaltedError,
    HeldError,
    RefusedError,
    StaleSizeError,
    Station,
    TryAgainError,
    UntrustedError,
    is_of_all,
    reaches_nobody,
)
from agent.errors import AgentError, DefectError, StorageError
from agent.formats.seal import SealRecord

LOG = logging.getLogger("bodycam.uploader")
LOOK_AGAIN_S = 1.0
MAX_WAIT_S = 30.0
REFUSED_WAIT_S = 60.0
SENT_AT_MOST = 3
"""A segment that arrives with other bytes than were sealed, and are on the card, is sent so often."""
OTHER_BYTES = 460
"""The station's word for bytes that do not have the digest which was announced."""
NOT_KNOWN = frozenset({403, 404})
"""To a checkpoint: nobody is known who signed it, or not this one (c2sp.org/tlog-witness)."""
SPREAD = 0.5
"""Of a wait that many are told alike: they come back over half as long again."""
_LEFT = TryAgainError("left for later", away=True)
"""What became of a segment that was not begun, since the station is away, or told everybody to wait."""
_TOLD = RefusedError | UntrustedError | DefectError
"""What a person has to look at."""
_OfLog = uploading.AskLog | uploading.SendTiles | uploading.SendChain | uploading.SendCheckpoint
FULL_JITTER = tenacity.wait_random_exponential(multiplier=0.5, max=MAX_WAIT_S)


class Visit:
    """One visit, from docking to undocking."""

    def __init__(
        self,
        outgoing: Outgoing,
        inbox: Inbox,
        station: Station,
        clock: Clock,
        parallel: int,
        halt: threading.Event,
        wait: tenacity.wait.wait_base = FULL_JITTER,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._outgoing, self._inbox, self._station, self._clock = outgoing, inbox, station, clock
        self._wait, self._halt, self._uniform = wait, halt, uniform
        self._views: tuple[uploading.Seen, ...] = ()
        self._epochs: dict[int, uploading.Achieved] = {}
        self._epoch, self._newest = 1, 1
        self._heads_of = b""
        self._attempt = self._barren = 0
        self._pool = ThreadPoolExecutor(parallel, "send")

    def close(self) -> None:
        """Wait for what is being sent, which ends soon after `halt`."""
        self._pool.shutdown()

    def run(self) -> None:
        """Until halted."""
        while not self._halt.is_set():
            try:
                self._turn()
                self._attempt = self._barren
            except HaltedError:
                self._tell_refused(well=False)
                return
            except (TryAgainError, RefusedError, UntrustedError, HeldError, StorageError, DefectError) as err:
                self._fruitless(err)
            except AgentError:
                raise
            except Exception as err:
                self._fruitless(_known(err))

    def _turn(self) -> None:
        """One action."""
        self._views = views = self._outgoing.look()
        self._inbox.seen(tuple(r for view in views for r in view.segments))
        self._newest = views[-1].epoch
        self._epoch, action = epochs.choose(views, self._epochs, self._clock.monotonic_ns())
        if not isinstance(action, uploading.Rest):
            self._act(action)
            self._tell_refused(well=True)
        else:
            self._rest(action)

    def _tell_refused(self, well: bool) -> None:
        """What is refused for good, after each action: a backlog, or a station that is full, may outlast the visit.
        Only what went well shows that something is refused no longer.
        """
        if well:
            self._inbox.refuse(refusals.standing(self._inbox.refused, self._views, self._epochs))
        elif self._views:
            self._inbox.refuse(refusals.refused(self._views, self._epochs) or self._inbox.refused)

    def _fruitless(self, err: AgentError) -> None:
        """Say what is wrong, and wait."""
        self._attempt += 1
        self._tell_refused(well=False)
        least_s = self._say(err)
        self._halt.wait(least_s + self._uniform(0.0, SPREAD * least_s) + self._jitter_s(self._attempt))
        now_ns = self._clock.monotonic_ns()
        self._epochs = {epoch: uploading.waited(done, now_ns) for epoch, done in self._epochs.items()}

    def _rest(self, action: uploading.Rest) -> None:
        """Nothing to do: say so, and look again after a while. Raises TryAgainError where that will change soon."""
        if action.waiting:
            raise TryAgainError(action.waiting)
        self._inbox.tell(State.REFUSED if action.refused else State.DELIVERED, action.refused)
        self._halt.wait(LOOK_AGAIN_S)

    def _say(self, err: AgentError) -> float:
        """What is wrong, in the progress; returns how long to wait at least."""
        state, least_s = State.WAITING, 0.0
        if isinstance(err, TryAgainError):
            state, least_s = State.UNREACHABLE if err.away else State.WAITING, err.retry_after_s
        elif isinstance(err, _TOLD):
            state, least_s = State.REFUSED, REFUSED_WAIT_S
        elif isinstance(err, HeldError):
            state, least_s = State.HELD, REFUSED_WAIT_S
        self._inbox.tell(state, err.message)
        return least_s

    def _jitter_s(self, attempt: int) -> float:
        state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
        state.attempt_number = attempt
        return float(self._wait(state))

    # -- actions ---------------------------------------------------------------------------------------------------

    @property
    def _done(self) -> uploading.Achieved:
        """What was achieved for the epoch that is being worked at."""
        return self._epochs.get(self._epoch, epochs.NOTHING)

    @_done.setter
    def _done(self, value: uploading.Achieved) -> None:
        self._epochs[self._epoch] = value

    def _act(self, action: uploading.Action) -> None:
        match action:
            case uploading.AskLog() | uploading.SendTiles() | uploading.SendChain() | uploading.SendCheckpoint():
                if not isinstance(action, uploading.AskLog):
                    self._inbox.tell(State.UPLOADING)
                self._deal_with_log(action)
                self._bring_heads(action.log)
            case uploading.SendSegments(records):
                self._inbox.tell(State.UPLOADING)
                self._send_segments(records)
            case uploading.Attest():
                self._inbox.tell(State.ATTESTING)
                self._attest(action)

    def _bring_heads(self, log: LocalLog) -> None:
        """Where the station saw more of the log that is being written, another one, or a later epoch: leave what it
        cosigned for the recorder, which then begins the next epoch. Once for each checkpoint.
        """
        told, done = self._done.station, self._done
        behind = told is not None and (told.newest > log.epoch or told.cosigned > log.size)
        if log.epoch != self._newest or self._heads_of == log.checkpoint:
            return
        if behind or done.log_refused[0] == log.checkpoint:
            for epoch in sorted({log.epoch, max(log.epoch, told.newest if told else 0)}):
                with contextlib.suppress(RefusedError):
                    self._inbox.head(self._station.cosigned_head(epoch))
            self._heads_of = log.checkpoint

    def _deal_with_log(self, action: _OfLog) -> None:
        """Whatever is wrong with the log, but for a station that is away: it keeps no segment for long."""
        try:
            self._send_log(action)
        except RefusedError as err:
            self._done = uploading.refuse_log(self._done, action.log, err.message)
        except LackingError as err:
            self._done = uploading.lacking(self._done, action.log, err.message)
            if self._done.log_refused[0] != action.log.checkpoint:
                raise
            self._inbox.lacks(err.path)
        except Exception as err:
            known = _known(err)
            if not reaches_nobody(known):
                self._done = uploading.log_failed(self._done, self._clock.monotonic_ns())
            raise known from err

    def _send_log(self, action: _OfLog) -> None:
        log, station = action.log, self._station
        match action:
            case uploading.AskLog():
                self._done = uploading.log_told(self._done, station.log_state(log.epoch))
            case uploading.SendTiles(have=have):
                for tile, data in log.tiles(have):
                    if self._halt.is_set():
                        raise HaltedError("undocked")
                    station.put_tile(log.epoch, tile, data)
                    self._inbox.turn()
                self._done = uploading.tiles_sent(self._done, log)
            case uploading.SendChain():
                station.put_chain(log.epoch, log.chain)
                self._done = uploading.chain_sent(self._done, log)
            case uploading.SendCheckpoint(old=old):
                try:
                    station.add_checkpoint(old, log.proof(old), log.checkpoint)
                    self._done = uploading.cosigned(self._done, log)
                    self._inbox.lacks("")
                except StaleSizeError as err:
                    self._done = uploading.stale(self._done, log, old, err.size)
                except RefusedError as err:
                    unknown = err.status in NOT_KNOWN
                    self._done = uploading.refuse_checkpoint(self._done, log, err.message, unknown)

    def _send_segments(self, records: tuple[SealRecord, ...]) -> None:
        """Several at a time. Where nobody answers, or the station says when to come back, the rest is left for later;
        one that fails leaves the others be.
        """
        tried = min(self._done.failures.get(r.segment, 0) for r in records)
        if tried:
            self._halt.wait(self._jitter_s(tried))
        over = threading.Event()
        outcomes = list(self._pool.map(lambda record: self._send(record, over), records))
        for record, err in zip(records, outcomes, strict=True):
            self._note(record.segment, err)
        errors = [err for err in outcomes if err is not None and err is not _LEFT]
        told = [err for err in errors if is_of_all(err) or _least_s(err)]
        if told:
            raise max(told, key=_least_s)
        if errors and len(errors) == len(records) and not isinstance(errors[0], RefusedError):
            raise errors[0]

    def _note(self, name: str, err: AgentError | None) -> None:
        """What became of one segment of a batch."""
        if err is None:
            self._done = uploading.sent(self._done, name)
        elif isinstance(err, RefusedError):
            self._done = uploading.unsendable(self._done, name, err.message)
        elif isinstance(err, StorageError | DefectError):
            why, now_ns = f"{err.message}: {err.hint}", self._clock.monotonic_ns()
            self._done = uploading.broken(self._done, name, why, now_ns)
        elif not is_of_all(err):
            self._done = uploading.failed(self._done, name)
        elif isinstance(err, TryAgainError) and err.overrun:
            self._done = uploading.put_off(self._done, name)

    def _send(self, record: SealRecord, over: threading.Event) -> AgentError | None:
        if self._halt.is_set() or over.is_set():
            return HaltedError("undocked") if self._halt.is_set() else _LEFT
        try:
            path, told = self._outgoing.path(record), partial(self._inbox.offset, record.segment)
            try:
                self._station.send(self._outgoing.as_it_is(record), path, told)
            except RefusedError as err:
                if err.status != OTHER_BYTES:
                    raise
                altered = self._outgoing.altered(record)
                if altered is None:
                    # The card has what was sealed: the station's disk may have failed. It starts over, a few times.
                    if self._done.failures.get(record.segment, 0) >= SENT_AT_MOST - 1:
                        raise
                    raise TryAgainError(
                        f"{record.segment} arrived otherwise than it was sealed: {err.message}"
                    ) from err
                # The card changed it: what it is now is better than nothing, and is kept as that.
                self._station.send(altered, path, told)
        except Exception as err:
            known = _known(err)
            if is_of_all(known):
                over.set()
            return known
        return None

    def _attest(self, action: uploading.Attest) -> None:
        names = [r.segment for r in (*action.records, *action.kept)]
        # Of all logs: what has left-overs may be another one than the one whose segments were put off.
        self._epochs = {epoch: uploading.asking(done) for epoch, done in self._epochs.items()}
        try:
            told = self._station.attest(action.log.epoch, action.records, action.kept)
        except RefusedError as err:
            tiles = err.status == 409
            self._done = uploading.refuse_receipt(self._done, action.log, err.message, tiles)
            if tiles and not action.log.closed and self._done.no_receipt[0] == action.log.checkpoint:
                self._look_through(action.log)
            return
        if any(n not in told.refused for n in names):
            self._inbox.receipt(told.receipt)
        self._inbox.receipted([n for n in names if n not in told.refused])
        now_ns = self._clock.monotonic_ns()
        self._done = uploading.attested(self._done, action, told, now_ns)
        for epoch in {r.epoch for r in action.kept}:
            of_it = [r for r in action.kept if r.epoch == epoch]
            self._epochs[epoch] = epochs.kept(self._epochs.get(epoch, epochs.NOTHING), of_it, told, now_ns)
        self._look_at_refusals(names, told)

    def _look_through(self, log: LocalLog) -> None:
        """The station has all tiles, twice, and they do not lead to what was signed: the card may have altered one."""

        def each() -> None:
            self._inbox.turn()
            if self._halt.is_set():
                raise HaltedError("undocked")

        path = log.altered(each)
        if path:
            self._done = uploading.tiles_altered(self._done, log, f"{path} is not what it was")
            self._inbox.lacks(path)

    def _look_at_refusals(self, names: list[str], told: Attested) -> None:
        """Where all that was sent is refused, and not for good, the round was in vain: with each such round the wait is
        longer, however well all else goes. Raises TryAgainError with the first reason.
        """
        whys = [(n, *told.refused[n]) for n in names if n in told.refused]
        if len(whys) < len(names) or any(for_good for _, _, for_good in whys):
            self._barren = 0
            return
        self._barren += 1
        name, why, _ = whys[0]
        raise TryAgainError(f"{name}: {why}")


def _known(err: Exception) -> AgentError:
    """One of ours; what nobody foresaw ends no visit and no process, and keeps no other segment."""
    if isinstance(err, AgentError):
        return err
    LOG.error("not foreseen", exc_info=err)
    return DefectError.of(err)


def _least_s(err: AgentError) -> float:
    """How long the station said to wait."""
    return err.retry_after_s if isinstance(err, TryAgainError) else 0.0
