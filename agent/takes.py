"""One recording after another: begun, followed while it runs, ended, and gone on with where it broke off unasked.

A recording that ends because lens or muxer failed is still wanted: as soon as it can be, another one begins that names
it. Until then that is a fault which is shown, and a hand that would record or stop confirms it: it cannot see what it
would end (controls/machine.py). Only a command, the dock or the shutdown lets go of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent import events
from agent.cardroom import FREED_NS, FULL, NO_ROOM, CardRoom, refuse
from agent.clock import Clock
from agent.config import Config
from agent.controls.machine import BUTTON
from agent.diary import Diary
from agent.errors import AgentError, DeviceError, EncryptionError, StorageError, UsageError
from agent.events import Actor
from agent.handover import hand_over
from agent.headway import heard
from agent.hearing import Hearing
from agent.intake import Intake
from agent.journal import Faults, Journal
from agent.lens import READY_S, Lens
from agent.loop import Loop
from agent.media.parts import PartMuxer
from agent.model import NS, MediaPart, StreamInfo
from agent.reach import GONE, Reach
from agent.recording import HELD_BYTES, Progress, Recording
from agent.sealing.writer import is_full
from agent.status import CONTINUED, REASONS_KEPT, Ending, Life, Reason, Wanted
from agent.vault import Vault

FINISH_S = 30.0
"""So long the disk may take nothing of a recording that ends."""
COMMAND = "ctl"
"""The trigger of a command that names none."""
AGAIN_NS = 2 * NS
"""After a muxer failed, so much time must have passed since the recording began before the next begins at once."""


class Takes:
    """All of it in the loop's turn. `changed` is called when what is to go on changed, before a disk is waited for;
    `gets_on` with each piece of what takes long, at that instant.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        loop: Loop,
        faults: Faults,
        journal: Journal,
        diary: Diary,
        life: Life,
        lens: Lens,
        changed: Callable[[], None],
        gets_on: Callable[[int], None],
    ) -> None:
        self._config, self._clock, self._loop, self._faults, self._gets_on = config, clock, loop, faults, gets_on
        self._journal, self._diary, self._life, self._lens, self._changed = journal, diary, life, lens, changed
        self.hearing = Hearing(config, clock, life, lens)
        self.room = CardRoom(config, clock, loop, life, lens, gets_on)
        self.reach = Reach(config, life, lens, self.hearing)

    # -- what people ask for ---------------------------------------------------------------------------------------

    def record(
        self, vault: Vault | None, trigger: str, actor: Actor = Actor.RECORDER, pressed_ns: int | None = None
    ) -> dict[str, Any]:
        """The start leaf is durable before anything else; then the ring flows into the recording. `pressed_ns` where
        the press came earlier than now.
        """
        if self._life.recording:
            return self._go_on(self._life.recording.name, trigger, actor, pressed_ns)
        intake, wanted = self._lens.intake, self._life.wanted
        if vault is None or intake is None:
            self._later(trigger, actor, pressed_ns)
            raise DeviceError(
                "the camera gives no picture yet; recording begins by itself as soon as it does",
                "look at `ctl status`; `ctl stop` lets go of it",
            )
        info, now = intake.wait_ready(READY_S), self._clock.monotonic_ns()
        pressed_ns = now if pressed_ns is None else pressed_ns
        # What a hand means that is there by now may come to this recording as well.
        asked_ns = min(pressed_ns, pressed_ns if self.reach.hand_ns is None else self.reach.hand_ns)
        before_ns = pressed_ns - asked_ns + self._config.recording.pre_event_s * NS
        # No more than there can be: a lens that has just been opened has seen nothing of what was before.
        before_ns = min(before_ns, max(0, pressed_ns - self._lens.opened_ns))
        since = wanted.since_ns if wanted and wanted.since_ns is not None else pressed_ns - before_ns
        try:
            self._life.begins_ns = pressed_ns
            # However long it takes to make room, and the leaf to be durable.
            self.reach.begins(since)
            self.hearing.wanted(pressed_ns)
            start = events.RecordStart(trigger, 0, pressed_ns, actor, wanted.continues if wanted else None)
            self._find_room(vault, start, wanted)
            bound_ns = since if wanted and wanted.continues else pressed_ns  # What goes on is since somebody's press.
            there_ns, first_ns = intake.begins(since), self.room.since(vault, since, bound_ns)
            # And no more than there is: of a high rate the ring's bytes may hold less.
            before_ns = min(before_ns, max(0, pressed_ns - intake.begins(first_ns)))
            start = replace(start, pre_event_ns=before_ns)
            self._life.hold_clock()
            recording = self._begin(vault, start, info, now)
            # Before any wait: who ends it from here on means this one. Its marks are kept until they are said.
            self._loop.attempt("recorder", self._changed)
            try:
                begins_ns = intake.begins(first_ns)
                gone_ns = self.reach.gone_ns(pressed_ns if not wanted or wanted.since_ns is None else since, begins_ns)
                left_ns = begins_ns - there_ns if first_ns > since else 0
                self._forgo(recording, max(gone_ns, left_ns), NO_ROOM if left_ns else GONE)
                self._life.pictures = intake.attach(recording.sink, first_ns, self.hearing.silent_before(pressed_ns))
            except AgentError:
                self._end(vault, recording, intake, "no picture", Actor.RECORDER)
                raise
        except Exception:
            if self._life.wanted is None and self._life.recording is None:
                self.hearing.rest()
            raise
        finally:
            self._life.begins_ns = None
            self.reach.begins(None)
        for event in wanted.meanwhile if wanted else ():
            self._journal.say(event, recording.name)
        self._life.wanted = None
        self._changed()
        return {"recording": recording.name}

    def _forgo(self, recording: Recording, gone_ns: int, why: str) -> None:
        """So much of what it was to begin with is gone."""
        if gone_ns > 0:
            recording.forgo(gone_ns, why)
            told = f"the first {gone_ns / NS:.1f} s that {recording.name} was to have are lost: {why}"
            self._faults.raised("media", told)

    def _find_room(self, vault: Vault, start: events.RecordStart, wanted: Wanted | None) -> None:
        """Before it is said that anything is. Raises NoRoomError where there is none: what was asked for is over."""
        try:
            self.room.find(vault)
        except StorageError as err:
            if not is_full(err):
                # What else is wrong with the disk the start leaf meets.
                return
            refused = refuse(vault, start, wanted, err, self._faults, self._diary, self._journal)
            self._life.wanted = None
            self._changed()
            raise refused from err

    def _later(self, trigger: str, actor: Actor, pressed_ns: int | None) -> None:
        """A press is never lost: it is done as soon as it can be."""
        pressed_ns, wanted = self._clock.monotonic_ns() if pressed_ns is None else pressed_ns, self._life.wanted
        if wanted is None:
            self._life.wanted = Wanted(trigger, actor=actor, pressed_ns=pressed_ns)
        elif trigger not in (COMMAND, BUTTON):
            self._life.wanted = wanted.also(Reason(trigger, actor, pressed_ns))
        self.hearing.wanted(pressed_ns)
        self._changed()

    def _begin(self, vault: Vault, start: events.RecordStart, info: StreamInfo, now: int) -> Recording:
        """The start leaf, then what takes the media."""
        name = vault.start_recording(start.body())
        room = HELD_BYTES + (self._config.recording.ring_mib << 20)
        try:
            recording = Recording(
                name, vault.sealer, info, self._make_muxer, self._post_storage_fault, self._clock, room
            )
        except Exception:
            # What was announced is ended, so that the log says what came of it.
            vault.sealer.stop_recording(name, self._diary.stopping("no muxer").body(), 0)
            raise
        self._diary.told(events.State.RECORDING)
        self._life.begun(recording, now, start.mono_ns)
        return recording

    def _go_on(self, name: str, trigger: str, actor: Actor, pressed_ns: int | None) -> dict[str, Any]:
        """One that was stopped and is in its last seconds goes on, and the log says who took the stop back. Another
        reason to record what is recorded already is a mark: its place is worth finding again.
        """
        ends, self._life.ends = self._life.ends, None
        self._changed()
        if ends:
            self.mark(f"{trigger}: goes on; stop taken back ({ends.reason})", actor, pressed_ns)
        elif trigger not in (COMMAND, BUTTON):
            self.mark(trigger, actor, pressed_ns)
        return {"recording": name}

    def stop(self, vault: Vault | None, reason: str, actor: Actor) -> dict[str, Any]:
        """Ends what runs, and what would go on by itself. Raises UsageError where there is neither."""
        wanted, self._life.wanted = self._life.wanted, None
        recording = self._life.recording
        if recording and vault:
            # From here on nothing goes on by itself, whatever happens to this process.
            self._life.ends = Ending(self._clock.monotonic_ns(), reason, actor)
            self._changed()
            return self._end(vault, recording, self._lens.intake, reason, actor)
        self.hearing.rest()
        if wanted is None:
            raise UsageError("nothing is being recorded")
        self._changed()
        self._journal.say(wanted.forgone(reason, actor, self._clock.monotonic_ns()))
        self._faults.cleared("recording")
        return {"recording": wanted.continues, "parts": 0, "whole": True}

    def stop_later(self, vault: Vault | None, reason: str, actor: Actor) -> dict[str, Any]:
        """As `stop`, after the seconds that the configuration wants; at once where it was asked for before."""
        after_s, recording = self._config.recording.post_event_s, self._life.recording
        if recording is None or not after_s or self._life.ends:
            return self.stop(vault, reason, actor)
        at_ns = self._clock.monotonic_ns() + after_s * NS
        self._life.ends = Ending(at_ns, f"{reason}, {after_s} s before", actor)
        self._changed()
        return {"recording": recording.name, "ends_in_s": after_s}

    def mark(
        self, text: str, actor: Actor = Actor.CTL, mono_ns: int | None = None, tag: str | None = None
    ) -> dict[str, Any]:
        """A place in the recording that somebody wants to find again; in one that is to begin by itself, once it has.
        One in its last seconds goes on. Raises UsageError where there is neither, or where too many wait.
        """
        recording, wanted = self._life.recording, self._life.wanted
        at_ns = self._clock.monotonic_ns() if mono_ns is None else mono_ns
        under = {"tag": tag} if tag else {}
        if recording is None:
            if wanted is None:
                raise UsageError("nothing is being recorded, so there is nothing to mark", "record first")
            if len(wanted.reasons) >= REASONS_KEPT:
                raise UsageError("too many marks wait for a recording that is to begin by itself", "wait for it")
            self._life.wanted = wanted.also(Reason(text, actor, at_ns, tag))
            self._changed()
            return {"recording": wanted.continues, "mark": text, **under, "durable": False}
        if self._life.ends:
            self._go_on(recording.name, actor.value, actor, at_ns)
        self._journal.say(events.Mark(text, actor, at_ns, tag), recording.name)
        return {"recording": recording.name, "mark": text, **under, "durable": not self._journal.owes}

    def mute(self, actor: Actor) -> dict[str, Any]:
        """Silence from now on, until `unmute` or the end of the recording; exact, and said in the log. Raises
        UsageError where nothing is recorded, or where too much waits to be said in one that is to begin.
        """
        name, waits = self._named("there is nothing to mute")
        if self._life.muted_ns is None:
            if waits and len(waits.sound) >= REASONS_KEPT:
                raise UsageError("the sound was turned off and on too often before a recording begins", "wait for it")
            self._turn(False, actor, self.hearing.mute(actor), name, waits)
        return {"recording": name, "muted": True}

    def unmute(self, actor: Actor) -> dict[str, Any]:
        """Sound again from now on."""
        name, waits = self._named("nothing is muted")
        if self._life.muted_ns is not None:
            self._turn(True, actor, self.hearing.unmute(), name, waits)
        return {"recording": name, "muted": False}

    def _turn(self, on: bool, actor: Actor, at_ns: int, name: str, waits: Wanted | None) -> None:
        """Say it of what runs; what waits says it once it has begun."""
        if waits:
            self._life.wanted = replace(waits, sound=(*waits.sound, (on, actor, at_ns)))
        self._changed()
        if not waits:
            self._journal.say(events.turned(on, actor, at_ns, "asked for"), name)

    def stealth(self, on: bool, actor: Actor, reason: str, mono_ns: int) -> None:
        """Say in the log that lights and tones went off, or on again: of the recording, where there is one."""
        recording = self._life.recording
        self._journal.say(events.Stealth(reason, actor, mono_ns, on), recording.name if recording else None)

    def _named(self, so: str) -> tuple[str, Wanted | None]:
        """The recording that is meant, and where it broke off, what is to go on with it. Raises UsageError where there
        is none.
        """
        recording, wanted = self._life.recording, self._life.wanted
        if recording:
            return recording.name, None
        if wanted and wanted.continues:
            return wanted.continues, wanted
        raise UsageError(f"nothing is being recorded, so {so}", "record first")

    # -- what happens by itself ------------------------------------------------------------------------------------

    def follow(self, vault: Vault) -> None:
        """In each turn."""
        now, recording = self._clock.monotonic_ns(), self._life.recording
        self.reach.keep()
        if recording is None:
            self._begin_wanted(vault, now)
            return
        progress = recording.progress()
        full = recording.storage_full
        self._tell_stored(progress, full, progress.trouble(now))
        if full:
            self._look_for_room(vault, recording, now)
        elif self._life.source_ended:
            self._break_off(vault, recording, now, self._life.end_reason, goes_on=self._life.camera_lost)
        elif self._life.sink_failed:
            self._break_off(vault, recording, now, self._life.sink_failed, goes_on=True)
        elif self._life.ends and now >= self._life.ends.at_ns:
            self.stop(vault, self._life.ends.reason, self._life.ends.actor)

    def _tell_stored(self, progress: Progress, full: str | None, trouble: str | None) -> None:
        """`full` says that the disk is, `trouble` why parts wait."""
        if trouble and progress.unencrypted:
            self._faults.raised("encryption", trouble)
            trouble = None
        if full or trouble:
            self._faults.raised("storage", full or str(trouble))
        elif progress.parts and not progress.unencrypted:
            self._faults.cleared("storage")
            self._faults.cleared("encryption")
            if not progress.lost_parts:
                # What an earlier recording lost has been shown and is in the log; this one is whole so far.
                self._faults.cleared("media")

    def _begin_wanted(self, vault: Vault, now: int) -> None:
        """What a press would do. Where disk or lens refuse it, it is tried again."""
        wanted = self._life.wanted
        if wanted and self._lens.intake and not self._life.source_ended and now >= wanted.at_ns:
            self._loop.step("recording", lambda: self.record(vault, wanted.trigger, wanted.actor, wanted.pressed_ns))

    def _break_off(self, vault: Vault, recording: Recording, now: int, reason: str, goes_on: bool) -> None:
        if goes_on and self._life.ends is None:
            # Before it has ended, so that at no instant nothing is to go on.
            at_ns = max(now, self._life.begun_ns + AGAIN_NS)
            since_ns = recording.end_mono_ns if self._life.sink_failed else None
            self._life.wanted = wanted = Wanted(
                CONTINUED, recording.name, since_ns, at_ns=at_ns, sound=self._life.silence
            )
            self._end(vault, recording, self._lens.intake, reason, Actor.RECORDER)
            if self._life.sink_failed:
                self._life.wanted = replace(wanted, since_ns=recording.end_mono_ns)
        else:
            self._end(vault, recording, self._lens.intake, reason, Actor.RECORDER)
        self._life.sink_failed = None

    def go_on_as_another(self, vault: Vault, reason: str) -> None:
        """What is recorded ends for this reason; another one that names it begins as soon as there is a picture."""
        if self._life.recording:
            self._break_off(vault, self._life.recording, self._clock.monotonic_ns(), reason, goes_on=True)

    def _look_for_room(self, vault: Vault, recording: Recording, now: int) -> None:
        """What a station holds makes room for what nobody else has yet; where there is none, the recording ends."""
        if now < self._life.freed_ns + FREED_NS:
            return
        if self.room.make(vault):
            self._life.freed_ns = now
        else:
            self._end(vault, recording, self._lens.intake, FULL, Actor.RECORDER)

    def _end(
        self, vault: Vault, recording: Recording, intake: Intake | None, reason: str, actor: Actor
    ) -> dict[str, Any]:
        """Everything captured up to now becomes durable, then the stop leaf, however long it takes if it gets on."""
        stop = self._diary.stopping(reason, actor)
        self._life.closing = True
        # Who pressed before this, and had no turn yet.
        self.reach.keep()
        self._loop.attempt("recorder", self._changed)
        with heard(lambda: self._gets_on(self._clock.monotonic_ns())):
            # Where this fails, what came before the failure is kept, and ended as it should be.
            whole = self._loop.attempt("media", lambda: self._hand_over(recording, intake))
            whole &= self._loop.attempt("media", lambda: recording.finish(FINISH_S))
            try:
                # Waits for a write that hangs in the disk: until it is known what became of it, nothing is said of it.
                with heard(self._life.settle):
                    parts, lost = vault.sealer.stop_recording(recording.name, stop.body(), recording.offered)
            finally:
                self._life.ended(recording)
                if stop.then:
                    self._diary.told(stop.then)
                self._changed()
        if lost:
            whole = False
            told = f"{lost} pieces of half a second of {recording.name} could not be stored: {recording.lost_to}"
            self._faults.raised("media", told)
        elif whole:
            self._faults.cleared("media")
        return {"recording": recording.name, "parts": parts, "whole": whole}

    def _hand_over(self, recording: Recording, intake: Intake | None) -> None:
        def rest(now_ns: int) -> None:
            if self._life.wanted is None:
                self.hearing.rest(now_ns)

        # What comes behind a muxer that failed is in the one that goes on with it.
        tally = None if self._life.sink_failed and self._life.wanted else self._life.pictures
        hand_over(recording, intake, self._clock.monotonic_ns(), rest, tally)

    def _make_muxer(
        self, info: StreamInfo, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None]
    ) -> PartMuxer:
        return PartMuxer(info, on_init, on_part, self._config.recording.part_ms)

    def _post_storage_fault(self, error: StorageError) -> None:
        """From the sealing thread, for the part that it tries again."""
        if isinstance(error, EncryptionError):
            self._loop.post("recorder", lambda: self._faults.raised("encryption", error.message))
        else:
            self._loop.post("recorder", lambda: self._faults.raised("storage", error.message))
