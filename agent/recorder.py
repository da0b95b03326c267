"""The recorder process: builds the rooms, starts them, watches, and stops in reverse. It has no network.

One thread acts: commands from the control socket, events from the intake and the clock's ticks meet in one queue.
Pictures, sound and sealing have threads of their own and never wait for this one.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from agent.capture import choose
from agent.clock import Clock, SystemClock
from agent.config import Config
from agent.controls.local import ControlServer
from agent.errors import AgentError, DeviceError, StorageError, UsageError
from agent.formats.leaf import Kind
from agent.intake import Intake, IntakeEvent, IntakeSettings
from agent.media.parts import PartMuxer
from agent.model import NS, MediaPart, StreamInfo
from agent.notify import notify
from agent.recording import Recording
from agent.status import Life, State, snapshot
from agent.vault import Vault

LOG = logging.getLogger("bodycam.recorder")
TICK_S = 0.25
READY_S = 20.0
FINISH_S = 30.0
ANSWER_S = 90.0
HEARTBEAT_NS = 60 * NS
EVENT_ROTATION_NS = 24 * 3600 * NS
REFUSAL_NS = 60 * NS
REOPEN_NS = 2 * NS
SETTLE_NS = 2 * NS


class Recorder:
    """One life of the recorder. `start` raises what makes it useless from the first (keys, disk, a device that is
    not there).
    """

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self._config = config
        self._clock = clock or SystemClock()
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._life = Life()
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
        self._vault = Vault(self._config, self._clock, self._count_bytes, self._post_late)
        self._vault.tell_dock(False)
        self._keep_reserve(self._vault)
        self._life.heartbeat_ns = self._life.rotated_ns = self._clock.monotonic_ns()
        notify("READY=1")
        try:
            self._open_intake()
        except DeviceError as err:
            # No reason to leave: it is shown, and the camera is taken as soon as it is there.
            self._life.camera_lost = True
            self._fault("camera", f"{err.message}; {err.hint}")
            return
        self._ready()

    def _ready(self) -> None:
        self.state = State.DOCKED if self._life.docked else State.READY
        notify(f"STATUS={self.state.value}")
        if self._config.recording.record_at_boot and not self._life.recordings:
            self._record("boot")

    def _open_intake(self) -> None:
        video, audio = choose.open_sources(self._config, self._clock)
        settings = IntakeSettings.of(self._config)
        intake = Intake(video, audio, settings, self._clock, self._post_intake_event)
        try:
            intake.start()
            intake.wait_ready(READY_S)
        except AgentError:
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
            self._life.faults["camera"] = err.message
            return
        self._life.camera_lost = self._life.source_ended = False
        self._clear("camera")
        if self.state is State.STARTING:
            self._ready()

    def _clear(self, what: str) -> None:
        """The cause is gone: shown no longer, and logged."""
        self._life.faults.pop(what, None)
        if self._vault:
            self._vault.sealer.event(Kind.EVENT, {"type": "cleared", "what": what})

    def run(self) -> None:
        """Act until `stop` is called. Nothing that fails in here ends the process: it becomes a fault that is
        shown and logged.
        """
        while not self._stop.is_set():
            try:
                action = self._queue.get(timeout=TICK_S)
            except queue.Empty:
                action = self._tick
            self._act(action)

    def _act(self, action: Callable[[], object]) -> None:
        try:
            action()
        except AgentError as err:
            self._fault("storage" if isinstance(err, StorageError) else "recorder", err.message)

    def stop(self) -> None:
        """Ask `run` to return, at once; safe in a signal handler, as SimpleQueue.put is."""
        self._stop.set()
        self._queue.put(lambda: None)

    def close(self) -> None:
        """In reverse: end the recording, close devices, write the shutdown leaf, stop listening."""
        clean = True
        try:
            if self._life.recording:
                self._finish("shutdown")
        except AgentError as err:
            clean = False
            self._fault("storage", err.message)
        if self._intake:
            self._intake.stop()
        if self._vault:
            try:
                self._vault.close(clean)
            except StorageError:
                self._vault.close(clean=False)
        self.state = State.STOPPED
        if self._control:
            self._control.stop()

    # -- what people ask for ---------------------------------------------------------------------------------------

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """On the control thread: `status` at once, everything else in the loop's turn."""
        command = str(request.get("do", ""))
        if command == "status":
            return self.status()
        actions: dict[str, Callable[[], dict[str, Any]]] = {
            "record": lambda: self._record(str(request.get("trigger", "ctl"))),
            "stop": lambda: self._finish(str(request.get("reason", "ctl"))),
            "dock": lambda: self._dock(True),
            "undock": lambda: self._dock(False),
            "retain": lambda: self._retain(force=bool(request.get("force", False))),
        }
        if command not in actions:
            raise UsageError(f"unknown command {command!r}", f"one of: status, {', '.join(actions)}")
        return self._in_turn(actions[command])

    def _in_turn(self, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        result: Future[dict[str, Any]] = Future()

        def turn() -> None:
            try:
                result.set_result(action())
            except BaseException as err:
                result.set_exception(err)
                if not isinstance(err, UsageError):
                    raise

        self._queue.put(turn)
        try:
            return result.result(ANSWER_S)
        except FutureTimeout:
            raise DeviceError("the recorder did not act within 90 s", "look at `ctl status`") from None

    def _record(self, trigger: str) -> dict[str, Any]:
        """The start leaf is durable before anything else; then the ring flows into the recording."""
        if self._life.recording:
            return {"recording": self._life.recording.name}
        if self._vault is None or self._intake is None:
            raise DeviceError("the camera is still starting", "try again in a second")
        info = self._intake.wait_ready(READY_S)
        now = self._clock.monotonic_ns()
        before_ns = self._config.recording.pre_event_s * NS
        body = {"type": "record.start", "trigger": trigger, "pre_event_ns": before_ns, "mono_ns": now}
        name = self._vault.sealer.start_recording(body)
        recording = Recording(name, self._vault.sealer, info, self._make_muxer, self._post_storage_fault)
        self._life.recording = recording
        self._life.recordings.append(name)
        self.state = State.RECORDING
        try:
            self._intake.attach(recording.sink, now - before_ns)
        except AgentError:
            self._finish("no picture")
            raise
        notify("STATUS=recording")
        return {"recording": name}

    def _make_muxer(
        self, info: StreamInfo, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None]
    ) -> PartMuxer:
        return PartMuxer(info, on_init, on_part, self._config.recording.part_ms)

    def _finish(self, reason: str) -> dict[str, Any]:
        """Everything captured up to now becomes durable, then the stop leaf."""
        recording = self._life.recording
        if recording is None or self._vault is None or self._intake is None:
            raise UsageError("nothing is being recorded")
        try:
            self._intake.detach(self._clock.monotonic_ns())
        except AgentError as err:
            # What came before the failure is kept, and ended as it should be.
            self._fault("recording", err.message)
        whole = recording.finish(FINISH_S)
        self._life.recording = None
        progress = recording.progress()
        self._life.frames += progress.video_frames
        self._life.samples += progress.audio_samples
        self._life.media_ns += progress.media_ns
        self._life.parts += progress.parts
        self._life.lost_parts += progress.lost_parts
        self.state = State.DOCKED if self._life.docked else State.READY
        notify(f"STATUS={self.state.value}")
        if not whole:
            self._fault("media", f"{progress.lost_parts} parts of {recording.name} could not be stored")
        body = {"type": "record.stop", "reason": reason, "lost_parts": progress.lost_parts}
        parts = self._vault.sealer.stop_recording(recording.name, body)
        return {"recording": recording.name, "parts": parts, "whole": whole}

    def _dock(self, docked: bool) -> dict[str, Any]:
        if self._vault is None:
            raise DeviceError("the camera is still starting", "try again in a second")
        if docked and self._life.recording:
            self._finish("docked")
        self._vault.dock(docked)
        self._life.docked = docked
        self.state = State.DOCKED if docked else State.READY
        return {"docked": docked}

    def _retain(self, force: bool) -> dict[str, Any]:
        if self._vault is None:
            raise DeviceError("the camera is still starting", "try again in a second")
        count = self._vault.retain(force)
        self._life.deleted += count
        return {"deleted": count}

    # -- what happens by itself ------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Each of these may fail without keeping the others from their turn."""
        now, vault = self._clock.monotonic_ns(), self._vault
        if vault is None:
            return
        self._act(self._follow_recording)
        self._act(lambda: self._settle(vault, now))
        if self._life.camera_lost and now - self._life.reopened_ns >= REOPEN_NS:
            self._life.reopened_ns = now
            self._act(self._reopen)
        self._act(lambda: self._accept_receipts(vault, now))
        if not self._life.recording:
            self._act(lambda: self._idle(vault, now))

    def _follow_recording(self) -> None:
        life = self._life
        if life.recording and life.recording.storage_full:
            self._finish("storage full")
        elif life.recording and life.source_ended:
            self._finish(life.end_reason)
        if life.recording and "storage" in life.faults and life.recording.progress().parts > life.parts_at_fault:
            self._clear("storage")

    def _settle(self, vault: Vault, now: int) -> None:
        """What the disk refused of stop leaves, sealing and tiles is tried again, and shown until it is done."""
        if vault.sealer.owes:
            if now - self._life.settled_ns >= SETTLE_NS:
                self._life.settled_ns = now
                vault.sealer.settle()
        elif "sealing" in self._life.faults:
            self._clear("sealing")

    def _idle(self, vault: Vault, now: int) -> None:
        life = self._life
        if now - life.heartbeat_ns >= HEARTBEAT_NS:
            life.heartbeat_ns = now
            vault.sealer.event(Kind.EVENT, {"type": "heartbeat", "faults": sorted(life.faults)})
            life.deleted += vault.retain()
            self._keep_reserve(vault)
            if "storage" in life.faults:
                self._clear("storage")
        if now - life.rotated_ns >= EVENT_ROTATION_NS:
            life.rotated_ns = now
            vault.sealer.seal_open()

    def _keep_reserve(self, vault: Vault) -> None:
        error = vault.keep_reserve()
        if error:
            self._fault("reserve", error.message)
        elif "reserve" in self._life.faults:
            self._clear("reserve")

    def _accept_receipts(self, vault: Vault, now: int) -> None:
        delivered, refusals = vault.accept_receipts()
        self._life.delivered += delivered
        if refusals and now - self._life.refusal_ns >= REFUSAL_NS:
            # One leaf a minute at the most: whoever owns inbox/ must not be able to fill the log.
            self._life.refusal_ns = now
            self._fault("receipt", refusals[0])

    def _post_intake_event(self, event: IntakeEvent) -> None:
        """From the intake's threads; acted on in the loop's turn."""
        self._queue.put(lambda: self._intake_event(event))

    def _intake_event(self, event: IntakeEvent) -> None:
        if self._vault is None:
            return
        if event.ends_source or event.fault == "camera":
            self._life.source_ended = True
            self._life.end_reason = event.detail if event.fault else "source ended"
            self._life.camera_lost = bool(event.fault)
        if event.fault:
            self._life.faults[event.fault] = event.detail
        if event.clears:
            self._life.faults.pop(event.clears, None)
        body = {"type": event.type, "detail": event.detail, "mono_ns": event.mono_ns}
        recording = self._life.recording.name if self._life.recording else None
        self._vault.sealer.event(Kind.EVENT, body, recording)

    def _post_storage_fault(self, error: StorageError) -> None:
        self._queue.put(lambda: self._fault("storage", error.message))

    def _post_late(self, error: StorageError) -> None:
        """From whichever thread met it, under the sealer's lock."""
        self._queue.put(lambda: self._fault("sealing", error.message))

    def _fault(self, what: str, detail: str) -> None:
        """Shown at once; logged as far as the disk allows."""
        if what == "storage":
            self._life.parts_at_fault = self._life.recording.progress().parts if self._life.recording else 0
        known = self._life.faults.get(what)
        self._life.faults[what] = detail
        if known != detail:
            LOG.warning("fault: %s: %s", what, detail)
        if self._vault and known != detail:
            try:
                self._vault.sealer.event(Kind.EVENT, {"type": "fault", "what": what, "detail": detail})
            except StorageError as err:
                self._life.faults["storage"] = err.message

    def _count_bytes(self, size: int) -> None:
        self._life.durable_bytes += size

    def status(self) -> dict[str, Any]:
        """A snapshot, from any thread."""
        return snapshot(self.state, self._life, self._intake, self._vault)
