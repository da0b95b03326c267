"""What is so becomes light, vibration and tone: the signals' memory of since when, beside the pure patterns."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.clock import Clock
from agent.configcontrols import SignalsConfig
from agent.controls.machine import State
from agent.controls.patterns import Cue, Delivery, Levels, Look, Shown, Strength, Warn, levels, status_changes_ns
from agent.controls.sounding import SILENCE, Sounding, follow
from agent.controls.vigil import Verdict, Vigil, Vitals
from agent.events import Level
from agent.loop import Loop
from agent.model import NS
from agent.status import Life

CUES_KEPT = 4
UNDELIVERED = frozenset({"upload", "uploader", "receipt", "delivery", "records", "sealing", "log", "dock"})
"""Faults that keep evidence from the station, or from being known to be there, until a technician looks. A disk without
room is none: the dock empties it.
"""


class Signals:
    """`look` in each turn, from one thread at a time; the rest from any. Waits for nothing."""

    def __init__(self, config: SignalsConfig, clock: Clock, loop: Loop, life: Life) -> None:
        self._clock, self._loop, self._life = clock, loop, life
        self._look = Look(config.light, config.tone, Strength(config.vibration), config.reminder_s)
        self._vigil, self._verdict = Vigil(), Verdict(False, {}, False)
        self._shown = Shown(State.STARTING, clock.monotonic_ns())
        self._sounding, self._ending = Sounding(), False
        self._clock_ns, self._unset = 0, False
        self.stir: Callable[[], object] = lambda: None
        """Called, from any thread, where there is something to show at once."""
        self._lock = threading.Lock()

    def cue(self, cue: Cue) -> None:
        """The answer to a hand, from now on."""
        with self._lock:
            # No two of one instant: each has its turn.
            at_ns = max(self._clock.monotonic_ns(), max((at_ns + 1 for _, at_ns in self._shown.cues), default=0))
            cues = (*self._shown.cues, (cue, at_ns))[-CUES_KEPT:]
            self._shown = replace(self._shown, cues=cues)
        self.stir()

    def stealth(self, on: bool | None = None) -> tuple[bool, bool]:
        """Dark and silent, or no longer; None: the other of both. What it is now, and whether that is new."""
        with self._lock:
            before = self._shown.stealth
            now = not before if on is None else on
            self._shown = replace(self._shown, stealth=now)
        self.stir()
        return now, now is not before

    def look(self, state: State, wanted: bool = False) -> tuple[Levels, Verdict]:
        """What to show now, and what was found on the way. `wanted`: a recording is to begin."""
        now_ns = self._clock.monotonic_ns()
        recording, tally = self._life.recording, self._life.pictures
        progress = recording.progress() if recording else None
        faults, ended = self._life.faults.shown(), self._life.source_ended
        # While it is ended nothing is encoded for it any more, and pictures go into the ring.
        running = recording if recording and tally and not self._life.closing else None
        pictures = None if ended else tally.encoded if running and tally else self._life.sees()
        vitals = Vitals(
            recording=recording.name if recording else None,
            parts=progress.parts if progress else 0,
            lost_parts=progress.lost_parts if progress else 0,
            settled=self._life.settled,
            behind_ns=running.behind_ns(tally.newest_ns) if running and tally else None,
            pictures=pictures,
            busy_ns=self._loop.busy_ns,
            closing=self._life.closing,
            probing_ns=self._life.probing_ns,
            answer_ns=self._life.answer_ns,
            wanted=wanted,
            loading=self._life.loading and not self._life.asleep,
            starting=self._life.starting,
            reopening=self._life.reopening,
            docked=self._life.docked,
            faults=faults,
        )
        self._verdict = verdict = self._vigil.look(now_ns, vitals, self._clock.monotonic_ns())
        if state is State.READY and pictures is None:
            state = State.STARTING
        turns, records = self._life.closing or self._life.reopening, self._life.records
        if state in (State.RECORDING, State.MUTED, *((State.READY,) if turns else ())) and not records:
            # It has ended meanwhile, or what it took in is still being written: what is asked for waits to be done.
            state = State.STARTING
        if state in (State.READY, State.STARTING) and (ended or verdict.troubles):
            state = State.FAULT
        ends = self._life.ends
        if records is not (self._shown.begun_ns is not None):
            self.cue(Cue.BEGUN if records else Cue.ENDED)
        elif records and self._ending and ends is None:
            # The stop was taken back.
            self.cue(Cue.BEGUN)
        elif records and not self._ending and ends and ends.at_ns > now_ns:
            self.cue(Cue.ENDING)
        self._ending = ends is not None
        with self._lock:
            self._turn(now_ns, state, records, wanted, faults)
            self._warn(now_ns, faults)
            self._sounding = follow(self._sounding, self._shown, self._look, now_ns)
            return levels(self._shown, self._look, now_ns, self._sounding.on(now_ns, self._look)), verdict

    def _turn(self, now_ns: int, state: State, recording: bool, wanted: bool, faults: dict[str, str]) -> None:
        """What is so, and since when."""
        before = self._shown
        # In the dock, and asleep, nothing is recorded that could be lost: what is wrong is for the status, but where a
        # press is to wake it.
        worn = not self._life.docked and (wanted or not self._life.asleep)
        alarm = self._verdict.alarm and (recording or self._life.closing or worn)
        state_ns = before.state_ns if state is before.state else now_ns
        alarm_ns = (before.alarm_ns or now_ns) if alarm else None
        begun_ns = (before.begun_ns or now_ns) if recording else None
        delivery = Delivery.TROUBLE if UNDELIVERED & faults.keys() else self._life.delivery
        durable, loading, visits = self._verdict.durable, self._life.loading, self._life.visits
        was = before.state, before.durable, before.alarm_ns, before.begun_ns
        was_too = before.loading, before.visits, before.delivery
        if (state, durable, alarm_ns, begun_ns) == was and (loading, visits, delivery) == was_too:
            # As in nearly each look, a dozen a second and more; what is frozen is dear to make.
            return
        self._shown = replace(
            before,
            state=state,
            state_ns=state_ns,
            durable=durable,
            alarm_ns=alarm_ns,
            begun_ns=begun_ns,
            loading=loading,
            visits=visits,
            delivery=delivery,
        )

    def _warn(self, now_ns: int, faults: dict[str, str]) -> None:
        drains, edge = self._life.drains, self._life.room_edge
        so = {
            Warn.RESTARTED: "restart" in faults,
            Warn.MUTED: self._life.muted_ns is not None,
            Warn.STUCK: "button" in faults,
            Warn.CLOCK: self._is_unset(now_ns),
            Warn.BATTERY_CRITICAL: drains is Level.CRITICAL,
            Warn.BATTERY_LOW: drains is Level.LOW,
            Warn.HOT: "heat" in faults,
            Warn.STORAGE_5: edge == 5,
            Warn.STORAGE_10: edge == 10,
            Warn.STORAGE_20: edge == 20,
        }
        before = self._shown.warnings
        warnings = {warn: before.get(warn, now_ns) for warn, is_so in so.items() if is_so}
        if warnings != before:
            self._shown = replace(self._shown, warnings=warnings)

    def _is_unset(self, now_ns: int) -> bool:
        """Whether nobody vouches for the clock. It is asked each second: that takes calls into the kernel."""
        if now_ns >= self._clock_ns:
            self._clock_ns, self._unset = now_ns + NS, self._clock.utc().bound_ms is None
        return self._unset

    def rests_ns(self, now_ns: int) -> int | None:
        """How long what is shown, felt and heard stays as it is, if nothing else comes; None: for good."""
        return status_changes_ns(self._shown, now_ns) if self._sounding.sign is None else 0

    @property
    def stands_still(self) -> bool:
        """Something that has to move does not, by the last look. From any thread."""
        return bool(self._verdict.troubles)

    def shown(self) -> dict[str, Any]:
        """For `ctl status`, from any thread. `durable` is what the light would say, where there is one."""
        shown = self._shown
        return {
            "state": shown.state.value,
            "durable": levels(replace(shown, stealth=False), Look(), self._clock.monotonic_ns(), SILENCE).light,
            "alarm": shown.alarm_ns is not None,
            "troubles": dict(self._verdict.troubles),
            "warnings": [warn.value for warn in Warn if warn in shown.warnings],
            "stealth": shown.stealth,
            "delivery": shown.delivery.value if shown.state is State.DOCKED or self._life.visits else None,
        }
