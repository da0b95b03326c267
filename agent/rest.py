"""Sleep: a state of the camera in which lens and microphone are given back, and what the ring held is gone.

The log says it in the order that cannot lie: `sleep` when both are closed, `wake` before either is opened. Whoever sent
a camera to sleep finds it asleep, also where its recorder started anew meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from agent import events
from agent.clock import Clock
from agent.controls.kept import ASLEEP, Kept
from agent.errors import DeviceError, UsageError
from agent.events import Actor
from agent.intake import INTAKE_FAULTS
from agent.journal import Faults, Journal
from agent.lens import Lens
from agent.notify import FIRST_OPEN_S, patience
from agent.status import Life
from agent.takes import Takes
from agent.vault import Vault


class Rest:
    """In the loop's turn. `reopen` takes lens and microphone, or shows the fault and has it tried again; `changed` is
    called when the state has changed; in `directory`, beside the control socket, it is kept that the camera sleeps.
    """

    def __init__(
        self,
        clock: Clock,
        faults: Faults,
        journal: Journal,
        life: Life,
        lens: Lens,
        takes: Takes,
        reopen: Callable[[], None],
        changed: Callable[[], None],
        directory: Path,
    ) -> None:
        self._clock, self._faults, self._journal, self._life = clock, faults, journal, life
        self._lens, self._takes, self._reopen, self._changed = lens, takes, reopen, changed
        self.kept = Kept(directory, clock.boot_id)
        """That the camera sleeps; and, for others, what else the officer has made of it."""

    def begin(self) -> None:
        """Once the log is open, before anything else: a camera that slept in the life before this one sleeps on."""
        if self.kept.read(ASLEEP):
            self._fall_asleep("kept over a restart", Actor.RECORDER)

    def dock(self, docked: bool) -> None:
        """Whoever takes it out is about to wear it, and it was somebody else who sent it to sleep: it is awake then,
        also where the recorder starts anew meanwhile.
        """
        if docked:
            self.kept.keep(ASLEEP, False)
        else:
            self.wake(Actor.DOCK, "taken out of the dock")

    def sleep(self, vault: Vault | None, actor: Actor, reason: str = "asked for") -> dict[str, Any]:
        """Raises UsageError while something is recorded, or is to go on by itself."""
        if vault is None:
            raise DeviceError("the camera is still starting", "try again in a second")
        if self._life.recording or self._life.wanted:
            raise UsageError("a camera that records does not sleep", "stop the recording first: `ctl stop`")
        if not self._life.asleep:
            if not self._lens.close():
                # It may still be open, so nothing says that the camera sleeps: it is taken back like one that was lost.
                self._life.camera_lost = True
                raise DeviceError("camera or microphone did not let go: it may still be open", "restart the recorder")
            # What was wrong with a lens that nobody looks through any more is not wrong now.
            self._life.camera_lost = self._life.source_ended = False
            for what in INTAKE_FAULTS:
                self._faults.cleared(what)
            # Before the log, whose disk may be waited for until the watchdog comes.
            self.kept.keep(ASLEEP, not self._life.docked)
            self._fall_asleep(reason, actor)
        return {"sleeping": True}

    def _fall_asleep(self, reason: str, actor: Actor) -> None:
        self._journal.say(events.Sleep(reason, actor, self._clock.monotonic_ns()))
        self._life.resting = (events.State.SLEEPING, reason, actor)
        self._changed()

    def wake(self, actor: Actor, reason: str = "asked for") -> dict[str, Any]:
        """Lens and microphone are taken again; where that fails, it is a fault, and tried until it succeeds."""
        if self._life.asleep:
            self.kept.keep(ASLEEP, False)
            self._journal.say(events.Wake(reason, actor, self._clock.monotonic_ns()))
            self._life.resting = (events.State.STARTING, f"woken: {reason}", actor)
            self._changed()
            try:
                # Where it slept since the recorder started, this is the first.
                with patience(FIRST_OPEN_S) if self._life.loading else nullcontext():
                    self._reopen()
            finally:
                self._life.resting = None
                self._changed()
        return {"sleeping": False}

    def record(self, vault: Vault | None, trigger: str, actor: Actor, pressed_ns: int | None = None) -> dict[str, Any]:
        """As `Takes.record`; a camera that sleeps wakes for it, and the press counts from when it came."""
        if not self._life.asleep:
            return self._takes.record(vault, trigger, actor, pressed_ns)
        pressed_ns = self._clock.monotonic_ns() if pressed_ns is None else pressed_ns
        # Of what is heard from the press on nothing is silent, however long the microphone takes.
        self._lens.unmute(pressed_ns)
        self.wake(actor, f"to record: {trigger}")
        return self._takes.record(vault, trigger, actor, pressed_ns)
