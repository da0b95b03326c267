"""The recorder process: builds the rooms, starts them, watches, and stops in reverse. It has no network.

One thread acts: commands from the control socket, events from the intake and the clock's ticks meet in one queue.
Pictures, sound and sealing have threads of their own and never wait for this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent import events
from agent.beginning import Beginning
from agent.care import Care
from agent.clock import Clock, SystemClock
from agent.config import Config
from agent.controls.base import Panel
from agent.controls.gestures import Gesture
from agent.controls.local import ControlServer
from agent.diary import Diary
from agent.errors import AgentError, DeviceError, StorageError, UsageError
from agent.events import Actor
from agent.intake import IntakeEvent
from agent.journal import Faults, Journal
from agent.leaving import Leaving
from agent.lens import READY_S, Lens
from agent.loop import Asked, Loop
from agent.notify import FIRST_OPEN_S, READY, notify, patience, supervised
from agent.officer import PANEL, Officer
from agent.pulse import SLOWED_BY, Feeding, Pulse, Signs
from agent.reopening import AGAIN_NS, Reopening
from agent.rest import Rest
from agent.resume import Resume
from agent.services import Services
from agent.spool.lock import SpoolLock
from agent.status import Life, State, Wanted, snapshot
from agent.takes import COMMAND, Takes
from agent.upkeep import Upkeep
from agent.vault import Vault
from agent.vouch import VouchedClock
from agent.words import Words


class Recorder:
    """One life of the recorder. `start` raises what makes it useless from the first (keys). Each fault has one key,
    that of what failed: `recording`, `storage`, `media`, `log`, `sealing`, `delivery`, `retention`, ...
    """

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        panel: Panel | DeviceError | None = None,
        file: Path | None = None,
        wrong: Mapping[str, str] | None = None,
    ) -> None:
        """`file` is the configuration's: where it is given, another may be ordered. `wrong`: faults by its mistakes."""
        self._config, self._wrong = config, wrong or {}
        self._clock = VouchedClock(clock or SystemClock(), config.control.socket.parent)
        self._journal = Journal(self._clock)
        self._faults = Faults(self._journal.say, self._clock)
        self._loop = Loop(self._faults, self._clock)
        self._beginning = Beginning(self._loop)
        self._life = Life(self._faults)
        self._words = Words.of_a_camera(config.camera.language)
        self._diary = Diary(self._journal.say, self._clock, self._life.standing)
        self._pulse, self._feeding = Pulse(), Feeding()
        self._lock: SpoolLock | None = None
        self._vault: Vault | None = None
        self._told: State | None = None
        self._lens = Lens(config, self._clock, lambda action: self._loop.post("recorder", action), self._intake_event)
        self._life.sees = lambda: self._lens.pictures
        self._takes = Takes(
            config, self._clock, self._loop, self._faults, self._journal, self._diary, self._life, self._lens,
            self._show_state, self._gets_on,
        )  # fmt: skip
        self._reopening = Reopening(
            self._clock, self._loop, self._faults, self._life, self._lens, self._show_state, self._follow
        )
        self._rest = Rest(
            self._clock, self._faults, self._journal, self._life, self._lens, self._takes,
            self._reopening.open, self._show_state, config.control.socket.parent,
        )  # fmt: skip
        self._services = Services(
            config, file, self._clock, self._faults, self._journal.say, self._life, self._lens, self.stop
        )
        self._upkeep = Upkeep(
            config, self._clock, self._loop, self._faults, self._journal, self._diary, self._life, self._lens,
            self._services, self._takes.room, self._beginning,
        )  # fmt: skip
        self._care = Care(
            config, self._clock, self._loop, self._faults, self._journal, self._life, self._lens, self._takes,
            self._reopening.open, self._show_state,
        )  # fmt: skip
        self._resume = Resume(config, self._clock, self._faults, self._journal, self._life, self._lens)
        self._leaving = Leaving(
            config.spool.dir, self._clock, self._loop, self._faults, self._journal, self._life, self._lens,
            self._resume.presses,
        )  # fmt: skip
        self._control: ControlServer | None = None
        self.officer = Officer(
            config, self._clock, self._loop, self._faults, self._life, self._takes, self._rest, lambda: self._vault,
            self._dock, self._resume, panel, self._wrong.get(PANEL),
        )  # fmt: skip
        self.officer.beside = self._feed_watchdog

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Recover, open the log, listen, open lens and microphone. Returns when a press would record, or a fault
        is shown: a disk that refuses is one too, and asked again in the loop's turns.
        """
        with self._loop.busy():
            self._start()

    def _start(self) -> None:
        # First of all: the socket, too, is that of whoever holds it.
        with suppress(StorageError):
            self._hold()
        self._control = ControlServer(self._config.control.socket, self._answer)
        self._control.start()
        if self._resume.tell():
            self._show_state()
        try:
            self._open()
            self._faults.cleared("storage")
        except Exception as err:
            # Keys are mended by people. What nobody foresaw is tried again as a disk that refuses is, and never dark.
            if isinstance(err, AgentError) and not isinstance(err, StorageError):
                raise
            self._loop.failed("storage", err)
        if settings := self._wrong.get("settings"):
            self._faults.raised("settings", settings)
        self._life.begins = False
        self._gets_on(self._clock.monotonic_ns())
        notify(READY)
        self._rest.begin()
        if self._config.recording.record_at_boot:
            # What hand and contacts did before comes before it.
            self._loop.act("officer", self.officer.step)
            if self.officer.busy:
                self._loop.post("recording", self._boot)
            else:
                self._boot()
        self._resume.begin()
        if not self._life.asleep:
            with patience(FIRST_OPEN_S):
                self._reopening.open(READY_S)

    def _boot(self) -> None:
        """In the dock, or sent to sleep, it keeps still."""
        if not (self._life.docked or self._life.asleep or self._life.recording or self._life.wanted):
            self._life.wanted = Wanted("boot")

    def _hold(self) -> None:
        self._lock = self._lock or SpoolLock(self._config.spool.dir)

    def _open(self) -> None:
        """What is on the disk. Raises StorageError, after which the same call begins anew; or it is open, and full."""
        with supervised(self._clock, self._gets_on):
            self._hold()
            self._vault = vault = Vault(self._config, self._clock, self._count_bytes, self._post_late)
            self._journal.open(vault.say)
            self._loop.attempt("log", self._journal.settle)  # What was said before there was a log to say it in.
            self._loop.act("services", lambda: self._services.open(vault.spool))
            self._upkeep.open(vault)
            self._loop.act("dock", lambda: self._tell_dock(vault))
            self._takes.room.check(vault)

    def _gets_on(self, mono_ns: int) -> None:
        self._feeding.beat(mono_ns)
        self._loop.gets_on(mono_ns)

    @property
    def state(self) -> State:
        """As it is at this instant; from any thread."""
        return self._life.shown(self.officer.stands_still)

    def _tell_state(self) -> None:
        if (state := self.state) is not self._told:
            self._told = state
            notify(f"STATUS={state.value}")

    def _show_state(self) -> None:
        """In each turn, and whenever it may have changed."""
        self._tell_state()
        if self._resume.due:
            # Before the log, whose disk may be waited for until the watchdog comes.
            self._loop.act("resume", self._resume.keep)
        self._loop.step("kept", self._rest.kept.settle)
        self._diary.stand()

    def _follow(self) -> None:
        if vault := self._vault:
            self._takes.follow(vault)

    def run(self) -> None:
        """Act until `stop` is called. Nothing that fails in here ends the process: it becomes a fault that is
        shown and logged. Raises StorageError where the disk takes nothing: another start may see it otherwise.
        """
        self._loop.run(self._tick)
        if self._leaving.refused:
            raise self._leaving.refused

    def stop(self) -> None:
        """Ask `run` to return, at once; safe in a signal handler. Nothing that is asked for from here on is done."""
        self._life.over = self._life.over or State.STOPPING
        self._loop.stop()

    def close(self) -> None:
        """In reverse: end the recording, close devices, write the shutdown leaf, stop listening."""
        self.stop()
        self._tell_state()
        self._resume.end(refused=self._leaving.refused is not None)
        vault, self._life.wanted = self._vault, None
        with supervised(self._clock, self._gets_on):
            clean = self._life.recording is None or self._loop.attempt("media", lambda: self._stop("shutdown"))
        self._loop.attempt("camera", self._lens.close)
        if vault:
            self._loop.attempt("log", self._resume.settle)
            self._journal.close()
            if not self._loop.attempt("log", lambda: vault.close(clean)):
                self._loop.attempt("log", lambda: vault.close(clean=False))
        self._resume.owe()
        self._life.over = State.STOPPED
        self._tell_state()
        self.officer.stop()
        if self._control:
            self._control.stop()
        if self._lock:
            self._lock.release()

    # -- what people ask for ---------------------------------------------------------------------------------------

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """On a control thread: `status` at once, everything else in the loop's turn."""
        command = str(request.get("do", ""))
        if command == "status":
            return self.status()
        if command in {gesture.value for gesture in Gesture}:
            did = self.officer.gesture(command)
            return {"words": self._words.of_deeds(did["does"]), **did}
        if command == "stealth":
            return self.officer.stealth.ask(request.get("text"))
        now_ns = self._clock.monotonic_ns()
        reason = str(request.get("trigger" if command == "record" else "reason", COMMAND))
        actions: dict[str, tuple[str, Asked]] = {
            "record": ("recording", lambda: self._record(reason, Actor.CTL, now_ns)),
            "stop": ("stop", lambda: self._stop_later(reason, Actor.CTL)),
            "mark": ("mark", lambda: self._takes.mark(str(request.get("text", "")), tag=self._services.tag(request))),
            "mute": ("mute", lambda: self._takes.mute(Actor.CTL)),
            "unmute": ("mute", lambda: self._takes.unmute(Actor.CTL)),
            "sleep": ("sleep", lambda: self.sleep(Actor.CTL)),
            "wake": ("sleep", lambda: self.wake(Actor.CTL)),
            "dock": ("dock", lambda: self._dock(True)),
            "undock": ("dock", lambda: self._dock(False)),
            "retain": ("retention", lambda: self._retain(force=bool(request.get("force", False)))),
        }
        if command not in actions:
            known = f"one of: status, stealth, {', '.join(actions)}, {', '.join(g.value for g in Gesture)}"
            raise UsageError(f"unknown command {command!r}", known)
        return self.officer.commanded(command, reason, now_ns, *actions[command])

    def _record(self, trigger: str, actor: Actor = Actor.RECORDER, pressed_ns: int | None = None) -> dict[str, Any]:
        try:
            return self._rest.record(self._vault, trigger, actor, pressed_ns)
        finally:
            self._resume.answered()

    def sleep(self, actor: Actor, reason: str = "asked for") -> dict[str, Any]:
        """In the loop's turn. Raises UsageError while something is recorded."""
        return self._rest.sleep(self._vault, actor, reason)

    def wake(self, actor: Actor, reason: str = "asked for") -> dict[str, Any]:
        """In the loop's turn; a press that records wakes by itself."""
        return self._rest.wake(actor, reason)

    def _stop_later(self, reason: str, actor: Actor) -> dict[str, Any]:
        try:
            return self._takes.stop_later(self._vault, reason, actor)
        finally:
            self._resume.answered()

    def _stop(self, reason: str, actor: Actor = Actor.RECORDER) -> dict[str, Any]:
        return self._takes.stop(self._vault, reason, actor)

    def _dock(self, docked: bool) -> dict[str, Any]:
        vault = self._vault
        if docked and (self._life.recording or self._life.wanted):
            self._stop("docked", Actor.DOCK)
        self._resume.answered()
        self._life.docked = docked
        self._journal.say(events.Dock(events.Docking.DOCKED if docked else events.Docking.UNDOCKED))
        self._show_state()
        self._rest.dock(docked)
        if docked:
            self.officer.stealth.relight()
            if vault:
                # So that what is open can be sent too.
                vault.sealer.seal_open()
        if vault:
            self._tell_dock(vault)
        return {"docked": docked}

    def _tell_dock(self, vault: Vault) -> None:
        vault.tell_dock(self._life.docked, self._life.sends)

    def _retain(self, force: bool = False) -> dict[str, Any]:
        if self._vault is None:
            raise DeviceError("the camera is still starting", "try again in a second")
        return {"deleted": self._takes.room.retain(self._vault, force)}

    # -- what happens by itself ------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Each of these may fail without keeping the others from their turn; what failed rests for two seconds."""
        vault = self._vault
        self._clock.keep()
        if vault is None:
            self._without_a_disk()
            return
        self._beginning.step()
        self._diary.clocks()
        self._loop.attempt("recording", self._follow)
        self._loop.attempt("care", lambda: self._care.tick(vault))
        self._upkeep.settle(vault)
        self._loop.step("services", lambda: self._services.step(vault.spool))
        reopen = self._reopening.due
        self._diary.beat(list(self._faults), ahead_ns=AGAIN_NS if reopen else 0)
        if reopen:
            self._reopening.again()
        self._loop.step("dock", lambda: self._tell_dock(vault))
        self._upkeep.each_turn(vault)
        self._faults.settle()
        self._show_state()
        self._leave_in_turn()
        self._beat()

    def _without_a_disk(self) -> None:
        """It refused at the start. What is pressed meanwhile is done as soon as it does not."""
        self._loop.step("storage", self._open)
        self._leave_in_turn()
        if self._reopening.due:
            self._reopening.again()
        self._takes.reach.keep()
        self._faults.settle()
        self._show_state()
        self._beat()

    def _leave_in_turn(self) -> None:
        if self._leaving.due(self._vault):
            self._loop.post("stop", self._leave)  # What was asked for meanwhile has its turn before, and is kept.

    def _leave(self) -> None:
        if self._vault is None or self._leaving.due(self._vault):
            vault, self._vault = self._vault, None
            self.stop()
            self._leaving.leave(vault)

    def _beat(self) -> None:
        life, intake = self._life, self._lens.intake
        comes = intake is not None and not life.source_ended
        signs = Signs(
            intake.pictures if intake and comes else None,
            life.durable_bytes if life.recording else None,
            any(what in self._faults for what in SLOWED_BY),
            self._lens.stuck and not (life.recording or life.loading),
        )
        if self._pulse.beats(signs, self._clock.monotonic_ns()):
            self._feeding.beat(self._clock.monotonic_ns())

    def _feed_watchdog(self) -> None:
        """In each turn of the panel's thread."""
        if self._feeding.due(self._clock.monotonic_ns()):
            notify("WATCHDOG=1")

    def _intake_event(self, event: IntakeEvent) -> None:
        self._life.hear(event, live=self._lens.intake is None or self._lens.intake.live)
        if event.fault:
            self._faults.show(event.fault, event.detail)
        if event.clears:
            self._faults.show(event.clears, None)
        noticed = events.NOTICED[event.type](event.detail, event.mono_ns)
        self._journal.say(noticed, self._life.recording.name if self._life.recording else None)
        self._show_state()

    def _post_late(self, error: StorageError) -> None:
        """From whichever thread met it, under the sealer's lock."""
        self._loop.post("recorder", lambda: self._faults.raised("sealing", error.message))

    def _count_bytes(self, size: int) -> None:
        self._life.durable_bytes += size

    def status(self) -> dict[str, Any]:
        """A snapshot, from any thread."""
        told = snapshot(self.state, self._life, self._lens.intake, self._vault, self._clock.monotonic_ns())
        told |= {**self.officer.shown(), **self._care.shown(), **self._services.told()}
        return {"words": self._words.of_status(told), **told}
