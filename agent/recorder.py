"""The recorder process: builds the rooms, starts them, watches, and stops in reverse. It has no network.

One thread acts: commands from the control socket, events from the intake and the clock's ticks meet in one queue.
Pictures, sound and sealing have threads of their own and never wait for this one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent import events
from agent.capture import choose
from agent.clock import Clock, SystemClock
from agent.config import Config
from agent.controls.local import ControlServer
from agent.diary import Diary
from agent.errors import AgentError, DeviceError, StorageError, UsageError
from agent.events import Actor
from agent.formats.leaf import Kind
from agent.intake import Intake, IntakeEvent, IntakeSettings
from agent.journal import Faults, Journal
from agent.loop import Loop
from agent.media.parts import PartMuxer
from agent.model import NS, MediaPart, StreamInfo
from agent.notify import notify
from agent.recording import Recording
from agent.status import Life, State, snapshot
from agent.vault import Vault

READY_S = 20.0
FINISH_S = 30.0
MINUTE_NS = 60 * NS
REOPEN_NS = 2 * NS
FREED_NS = 2 * NS
"""So long, space that was made may take to be found: parts are tried each half second, segments at each IDR."""
EVENT_ROTATION_NS = 24 * 3600 * NS


class Recorder:
    """One life of the recorder. `start` raises what makes it useless from the first (keys, disk). Each fault has one
    key, that of what failed: `recording`, `storage`, `media`, `log`, `sealing`, `delivery`, `retention`, ...
    """

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self._config = config
        self._clock = clock or SystemClock()
        self._journal = Journal(self._clock)
        self._faults = Faults(self._journal.say, self._clock)
        self._loop = Loop(self._faults, self._clock)
        self._life = Life(self._faults)
        self._diary = Diary(self._journal.say, self._clock, self._life.standing)
        self.state = State.STARTING
        self._vault: Vault | None = None
        self._intake: Intake | None = None
        self._control: ControlServer | None = None

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Recover, open the log, listen, open lens and microphone. Returns when a press would record, or a fault
        is shown.
        """
        self._control = ControlServer(self._config.control.socket, self._answer)
        self._control.start()
        self._vault = vault = Vault(self._config, self._clock, self._count_bytes, self._post_late)
        self._journal.open(lambda body, recording: vault.sealer.event(Kind.EVENT, body, recording))
        self._diary.begin(self._config)
        self._loop.act("dock", lambda: self._tell_dock(vault))
        self._keep_reserve(vault)
        self._tell_epoch(vault)
        if vault.rollback:
            self._faults.raised("rollback", vault.rollback)
        self._life.minute_ns = self._life.rotated_ns = self._clock.monotonic_ns()
        notify("READY=1")
        try:
            self._open_intake()
        except DeviceError as err:
            # No reason to leave: it is shown, and the camera is taken as soon as it is there.
            self._life.camera_lost = True
            self._faults.raised("camera", f"{err.message}; {err.hint}")
            self._diary.stand()
            return
        self._ready()

    def _ready(self) -> None:
        self._show_state()
        self._faults.cleared("recording")
        self._life.boot_due = self._config.recording.record_at_boot and not self._life.recordings
        self._boot()

    def _boot(self) -> None:
        """What a press would do. Where the disk refuses the start leaf, each tick tries again."""
        if self._life.boot_due and self._loop.step("recording", lambda: self._record("boot")):
            self._life.boot_due = False

    def _show_state(self) -> None:
        recording = self._life.recording is not None
        self.state = State.RECORDING if recording else State.DOCKED if self._life.docked else State.READY
        notify(f"STATUS={self.state.value}")
        self._diary.stand()

    def _open_intake(self) -> None:
        video, audio = choose.open_sources(self._config, self._clock)
        settings = IntakeSettings.of(self._config)
        intake = Intake(video, audio, settings, self._clock, self._post_intake_event)
        try:
            intake.start()
            intake.wait_ready(READY_S)
        except BaseException:
            intake.stop()
            raise
        self._intake = intake

    def _reopen(self) -> None:
        """The camera went away: take it back as soon as it is there again."""
        if self._intake:
            self._intake.stop()
            self._intake = None
        try:
            self._open_intake()
        except DeviceError as err:
            self._faults.show("camera", err.message)
            return
        self._life.camera_lost = self._life.source_ended = False
        self._faults.cleared("camera")
        if self.state is State.STARTING:
            self._ready()

    def run(self) -> None:
        """Act until `stop` is called. Nothing that fails in here ends the process: it becomes a fault that is
        shown and logged.
        """
        self._loop.run(self._tick)

    def stop(self) -> None:
        """Ask `run` to return, at once; safe in a signal handler."""
        self._loop.stop()

    def close(self) -> None:
        """In reverse: end the recording, close devices, write the shutdown leaf, stop listening."""
        clean = self._life.recording is None or self._loop.attempt("media", lambda: self._finish("shutdown"))
        if self._intake:
            self._loop.attempt("camera", self._intake.stop)
        vault = self._vault
        if vault:
            self._loop.attempt("log", self._journal.settle)
            self._journal.close()
            if not self._loop.attempt("log", lambda: vault.close(clean)):
                self._loop.attempt("log", lambda: vault.close(clean=False))
        self.state = State.STOPPED
        if self._control:
            self._control.stop()

    # -- what people ask for ---------------------------------------------------------------------------------------

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """On a control thread: `status` at once, everything else in the loop's turn."""
        command = str(request.get("do", ""))
        if command == "status":
            return self.status()
        actions: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
            "record": ("recording", lambda: self._record(str(request.get("trigger", "ctl")), Actor.CTL)),
            "stop": ("media", lambda: self._finish(str(request.get("reason", "ctl")), Actor.CTL)),
            "mark": ("mark", lambda: self._mark(str(request.get("text", "")))),
            "dock": ("dock", lambda: self._dock(True)),
            "undock": ("dock", lambda: self._dock(False)),
            "retain": ("retention", lambda: self._retain(force=bool(request.get("force", False)))),
        }
        if command not in actions:
            raise UsageError(f"unknown command {command!r}", f"one of: status, {', '.join(actions)}")
        return self._loop.ask(*actions[command])

    def _mark(self, text: str) -> dict[str, Any]:
        """A place in the recording that somebody wants to find again."""
        recording = self._life.recording
        if recording is None:
            raise UsageError("nothing is being recorded, so there is nothing to mark", "record first")
        self._journal.say(events.Mark(text, Actor.CTL, self._clock.monotonic_ns()), recording.name)
        return {"recording": recording.name, "mark": text, "durable": not self._journal.owes}

    def _record(self, trigger: str, actor: Actor = Actor.RECORDER) -> dict[str, Any]:
        """The start leaf is durable before anything else; then the ring flows into the recording."""
        if self._life.recording:
            return {"recording": self._life.recording.name}
        if self._vault is None or self._intake is None:
            raise DeviceError("the camera is still starting", "try again in a second")
        info = self._intake.wait_ready(READY_S)
        now = self._clock.monotonic_ns()
        before_ns = self._config.recording.pre_event_s * NS
        sealer = self._vault.sealer
        name = sealer.start_recording(events.RecordStart(trigger, before_ns, now, actor).body())
        try:
            recording = Recording(name, sealer, info, self._make_muxer, self._post_storage_fault, self._clock)
        except Exception:
            # What was announced is ended, so that the log says what came of it.
            sealer.stop_recording(name, self._diary.stopping("no muxer").body(), 0)
            raise
        self._diary.told(events.State.RECORDING)
        self._life.recording = recording
        self._life.recordings.append(name)
        try:
            self._intake.attach(recording.sink, now - before_ns)
        except AgentError:
            self._finish("no picture")
            raise
        self._show_state()
        return {"recording": name}

    def _make_muxer(
        self, info: StreamInfo, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None]
    ) -> PartMuxer:
        return PartMuxer(info, on_init, on_part, self._config.recording.part_ms)

    def _finish(self, reason: str, actor: Actor = Actor.RECORDER) -> dict[str, Any]:
        """Everything captured up to now becomes durable, then the stop leaf."""
        recording, intake = self._life.recording, self._intake
        if recording is None or self._vault is None:
            raise UsageError("nothing is being recorded")
        stop = self._diary.stopping(reason, actor)
        # Where this fails, what came before the failure is kept, and ended as it should be.
        whole = intake is None or self._loop.attempt("media", lambda: intake.detach(self._clock.monotonic_ns()))
        whole &= self._loop.attempt("media", lambda: recording.finish(FINISH_S))
        try:
            # Waits for a write that hangs in the disk: until it is known what became of it, nothing is said of it.
            parts = self._vault.sealer.stop_recording(recording.name, stop.body(), recording.offered)
        finally:
            self._life.ended(recording)
            if stop.then:
                self._diary.told(stop.then)
            self._show_state()
        lost = recording.offered - parts
        if lost:
            whole = False
            self._faults.raised("media", f"{lost} parts of {recording.name} could not be stored")
        elif whole:
            self._faults.cleared("media")
        return {"recording": recording.name, "parts": parts, "whole": whole}

    def _dock(self, docked: bool) -> dict[str, Any]:
        if self._vault is None:
            raise DeviceError("the camera is still starting", "try again in a second")
        if docked and self._life.recording:
            self._finish("docked", Actor.DOCK)
        self._life.docked = docked
        self._journal.say(events.Dock(events.Docking.DOCKED if docked else events.Docking.UNDOCKED))
        self._show_state()
        if docked:
            # So that what is open can be sent too.
            self._vault.sealer.seal_open()
        self._tell_dock(self._vault)
        return {"docked": docked}

    def _tell_dock(self, vault: Vault) -> None:
        vault.tell_dock(self._life.docked)
        self._life.told_dock = self._life.docked

    def _retain(self, force: bool = False) -> dict[str, Any]:
        if self._vault is None:
            raise DeviceError("the camera is still starting", "try again in a second")
        count = self._vault.retain(force)
        self._life.deleted += count
        return {"deleted": count}

    # -- what happens by itself ------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Each of these may fail without keeping the others from their turn; what failed rests for two seconds."""
        now, vault, life = self._clock.monotonic_ns(), self._vault, self._life
        if vault is None:
            return
        self._diary.clocks()
        self._loop.attempt("recording", lambda: self._follow_recording(now))
        self._loop.step("sealing", lambda: self._settle(vault))
        self._loop.step("log", self._journal.settle)
        self._loop.step("delivery", lambda: self._accept_receipts(vault))
        self._loop.step("renewal", lambda: self._renew(vault))
        reopen = life.camera_lost and now >= life.reopen_ns
        self._diary.beat(list(self._faults), ahead_ns=round(READY_S * NS) if reopen else 0)
        if reopen:
            life.reopen_ns = now + REOPEN_NS
            self._loop.attempt("camera", self._reopen)
        if life.boot_due:
            self._boot()
        if life.told_dock is not life.docked:
            self._loop.step("dock", lambda: self._tell_dock(vault))
        if now - life.minute_ns >= MINUTE_NS:
            life.minute_ns = now
            self._each_minute(vault)
        if not life.recording and now - life.rotated_ns >= EVENT_ROTATION_NS:
            life.rotated_ns = now
            vault.sealer.seal_open()
        self._show_fault("identity", vault.identity_trouble)
        self._show_fault("counter", vault.counter_trouble)
        self._faults.settle()
        self._diary.stand()

    def _follow_recording(self, now: int) -> None:
        life, recording = self._life, self._life.recording
        if recording is None:
            return
        progress = recording.progress()
        full = recording.storage_full
        trouble = full or progress.trouble(now)
        if trouble:
            self._faults.raised("storage", trouble)
        elif progress.parts:
            self._faults.cleared("storage")
        if full:
            self._make_room(now)
        elif life.source_ended:
            self._finish(life.end_reason)

    def _make_room(self, now: int) -> None:
        """What a station holds makes room for what nobody else has yet; where there is none, the recording ends."""
        life = self._life
        if now < life.freed_ns + FREED_NS:
            return
        before = life.deleted
        self._loop.step("retention", self._retain)
        if life.deleted > before:
            life.freed_ns = now
        else:
            self._finish("storage full")

    def _settle(self, vault: Vault) -> None:
        """What the disk refused of stop leaves, sealing and tiles is tried again, and shown until it is done."""
        if vault.sealer.owes:
            vault.sealer.settle()
        if vault.sealer.owes:
            raise vault.sealer.refused or StorageError("what was recorded is not sealed yet")

    def _each_minute(self, vault: Vault) -> None:
        if not self._life.recording and not self._journal.owes and "storage" in self._faults:
            self._loop.act("storage", vault.sealer.check_room)
        self._loop.act("retention", self._retain)
        self._keep_reserve(vault)

    def _keep_reserve(self, vault: Vault) -> None:
        self._show_fault("reserve", vault.keep_reserve())

    def _show_fault(self, what: str, error: AgentError | None) -> None:
        if error:
            self._faults.raised(what, error.message)
        else:
            self._faults.cleared(what)

    def _accept_receipts(self, vault: Vault) -> None:
        delivered, refusals = vault.accept_receipts()
        self._life.delivered += delivered
        if refusals:
            self._faults.raised("receipt", refusals[0])
        elif delivered:
            self._faults.cleared("receipt")
        if delivered and not vault.behind:
            self._faults.cleared("epoch")

    def _renew(self, vault: Vault) -> None:
        """Where a station saw more of the log than the card holds, the next one begins, ending nothing that runs."""
        if vault.behind:
            self._faults.raised("epoch", vault.behind)
            if not self._life.recording:
                vault.renew()
                self._diary.begin(self._config)
                if self._life.docked:
                    # So that the station learns of it at this visit.
                    vault.sealer.seal_open()

    def _tell_epoch(self, vault: Vault) -> None:
        if vault.began:
            self._faults.raised("epoch", f"a new log begins, the old one cannot go on: {vault.began}")

    def _post_intake_event(self, event: IntakeEvent) -> None:
        """From the intake's threads; acted on in the loop's turn."""
        self._loop.post("recorder", lambda: self._intake_event(event))

    def _intake_event(self, event: IntakeEvent) -> None:
        self._life.hear(event, live=self._intake is None or self._intake.live)
        if event.fault:
            self._faults.show(event.fault, event.detail)
        if event.clears:
            self._faults.show(event.clears, None)
        noticed = events.NOTICED[event.type](event.detail, event.mono_ns)
        self._journal.say(noticed, self._life.recording.name if self._life.recording else None)
        self._diary.stand()

    def _post_storage_fault(self, error: StorageError) -> None:
        """From the sealing thread, for the part that it tries again."""
        self._loop.post("recorder", lambda: self._faults.raised("storage", error.message))

    def _post_late(self, error: StorageError) -> None:
        """From whichever thread met it, under the sealer's lock."""
        self._loop.post("recorder", lambda: self._faults.raised("sealing", error.message))

    def _count_bytes(self, size: int) -> None:
        self._life.durable_bytes += size

    def status(self) -> dict[str, Any]:
        """A snapshot, from any thread."""
        return snapshot(self.state, self._life, self._intake, self._vault, self._clock.monotonic_ns())
