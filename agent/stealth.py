"""Dark and silent, and no longer: at once, whatever the disk does, kept over a restart of the recorder, and in the log.

Vibration stays, so that an alarm is felt: without any nobody hides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from agent.clock import Clock
from agent.config import Config
from agent.configcontrols import has_motor
from agent.controls.kept import STEALTH, Kept
from agent.controls.patterns import Cue
from agent.errors import UsageError
from agent.events import Actor
from agent.loop import Loop
from agent.signals import Signals
from agent.takes import Takes

LOG = logging.getLogger("bodycam.stealth")


class Stealth:
    """From any thread, all but `begin`."""

    def __init__(self, config: Config, clock: Clock, loop: Loop, takes: Takes, signals: Signals, kept: Kept) -> None:
        self._clock, self._loop, self._takes, self._signals = clock, loop, takes, signals
        self._kept = kept
        self._lacks = _lacks(config)

    def begin(self) -> None:
        """As in the life before this one; its configuration may have had vibration, and this one none."""
        if not self._kept.read(STEALTH):
            return
        if self._lacks is None:
            self.turn(True, Actor.RECORDER, "kept over a restart")
            return
        LOG.warning("lights and tones are on again: %s, and a dark camera would show no alarm", self._lacks[0])
        self._kept.keep(STEALTH, False)

    def ask(self, word: object) -> dict[str, Any]:
        """Lights and tones off ("on") or on again ("off"), until it is said. Raises UsageError, also where nothing
        would be left by which anybody notices an alarm; UnheardError where the recorder is stopping; StorageError where
        it is done, but not kept, and DeviceError where it is done, but not in the log after 90 s, which follows.
        """
        if word not in ("on", "off"):
            raise UsageError("stealth is on or off", "say which")
        on = word == "on"
        if on and self._lacks:
            what, hint = self._lacks
            raise UsageError(f"{what}: a dark camera would show nothing, not even an alarm", hint)
        self._loop.hears()
        self._loop.wait("kept", self._turn(on, Actor.CTL, "asked for"))
        return {"stealth": on}

    def relight(self) -> None:
        """In the dock nobody hides, and whoever takes it out is somebody else."""
        if self._signals.shown()["stealth"]:
            self.turn(False, Actor.DOCK, "in the dock")

    def turn(self, on: bool | None, actor: Actor, reason: str) -> None:
        """At once; None: the other of both. The log follows in the loop's turn."""
        self._loop.post("kept", self._turn(on, actor, reason))

    def _turn(self, on: bool | None, actor: Actor, reason: str) -> Callable[[], dict[str, Any]]:
        """What is left for the loop's turn. It raises StorageError where a restart will not know of it."""
        now_ns = self._clock.monotonic_ns()
        on, new = self._signals.stealth(on)
        self._signals.cue(Cue.DARK if on else Cue.LIT)
        if not new:
            return self._settled
        self._kept.keep(STEALTH, on)

        def say() -> dict[str, Any]:
            self._takes.stealth(on, actor, reason, now_ns)
            self._kept.settle()
            return {}

        return say

    def _settled(self) -> dict[str, Any]:
        self._kept.settle()
        return {}


def _lacks(config: Config) -> tuple[str, str] | None:
    """Why a dark camera would not be felt, and what to do; None where it would."""
    if not has_motor(config.panel):
        return "there is no motor to vibrate", "set panel.vibration to its line in the configuration first"
    if config.signals.vibration == "off":
        return "vibration is off", 'set signals.vibration = "normal" in the configuration first'
    return None
