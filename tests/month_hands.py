"""What an officer does with a camera: presses, holds, commands; and what has to come of each."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from agent.controls.base import Line
from agent.controls.gestures import Gesture
from agent.controls.machine import Action
from agent.model import NS
from tests.month_model import MS, Month

LATE_NS = 10 * MS
"""A command's instant is read on its way."""


@dataclass
class Hands(Month):
    """`counts` is how often each deed was done, and what came of the visits to the dock."""

    counts: Counter[str] = field(default_factory=Counter)

    # -- hands -----------------------------------------------------------------------------------------------------

    def begin(self, draw: random.Random) -> None:
        """However it is pressed, it records: once, twice, or for long."""
        self.pressed(self.push(draw.choice([60, 150, 400, self.config.gestures.hold_ms + 400])))
        self.look()

    def end(self) -> None:
        """A hold; and it goes on for as long as the profile wants."""
        self.push(self.config.gestures.hold_ms + 300)
        self.turns(self.config.recording.post_event_s + 1)
        self._ended()

    def _ended(self) -> None:
        self.model.recording = self.model.wanted = self.model.muted = False
        self.look()

    def record_and_stop(self, draw: random.Random) -> None:
        self.begin(draw)
        for _ in range(draw.randrange(4)):
            self.turns(draw.uniform(1, 12))
            if self.bound.recording.get(Gesture.DOUBLE) is Action.MUTE and draw.random() < 0.5:
                self.mute_by_hand()
            else:
                self.push(100)
        self.turns(draw.uniform(2, 20))
        self.end()

    def record_for_minutes(self, draw: random.Random) -> None:
        """Segment after segment. Each recorded half second is a part that is encrypted, signed and synced: it costs
        what a minute of waiting does, and is why a month has no more of it.
        """
        self.begin(draw)
        self.turns(draw.uniform(90, 1_500))
        self.end()

    def mute_by_hand(self) -> None:
        at_ns = self.clock.now_ns
        for begin in (0, 250):
            self.camera.panel.pull(Line.BUTTON, True, at_ns + begin * MS)
            self.camera.panel.pull(Line.BUTTON, False, at_ns + (begin + 100) * MS)
        self.turns(1.5)
        self.model.muted = not self.model.muted
        self.look()

    def trigger(self, draw: random.Random) -> None:
        at_ns = self.clock.now_ns
        self.camera.panel.pull(Line.TRIGGER, True, at_ns)
        self.turns(2)
        self.camera.panel.pull(Line.TRIGGER, False, self.clock.now_ns)
        self.pressed(at_ns)
        self.look()
        self.turns(draw.uniform(1, 10))
        self.end()

    def jam(self, draw: random.Random) -> None:
        """Something leans on the button for longer than any hand."""
        self.camera.panel.pull(Line.BUTTON, True, self.clock.now_ns)
        self.turns(self.config.gestures.stuck_s + 1)
        self.model.stuck = True
        self.look()
        self.idle(draw.uniform(1, 300))
        self.camera.panel.pull(Line.BUTTON, False, self.clock.now_ns)
        self.turns(1)
        self.model.stuck = False
        self.look()

    def chatter(self, draw: random.Random) -> None:
        """Sparks on the line, each shorter than a contact's rest."""
        at_ns = self.clock.now_ns
        for _ in range(draw.randrange(1, 30)):
            self.camera.panel.pull(Line.BUTTON, True, at_ns)
            at_ns += draw.randrange(MS, 15 * MS)
            self.camera.panel.pull(Line.BUTTON, False, at_ns)
            at_ns += draw.randrange(100 * MS, 400 * MS)
        self.turns((at_ns - self.clock.now_ns) / NS + 1)
        self.look()

    def nap(self, draw: random.Random) -> bool:
        """Where the profile has a gesture for it; a press wakes it and records."""
        if self.bound.idle.get(Gesture.LONG) is not Action.SLEEP:
            return False
        self.push(self.config.gestures.long_ms + 500)
        self._slept(draw)
        self.record_and_stop(draw)
        return True

    def _slept(self, draw: random.Random) -> None:
        self.model.asleep = True
        self.look()
        self.idle(draw.uniform(30, 1_500))

    # -- commands --------------------------------------------------------------------------------------------------

    def command(self, draw: random.Random) -> None:
        """A gesture by `ctl` begins it, and sound is left out for a while."""
        at_ns = self.clock.now_ns
        self.ctl(do=draw.choice([Gesture.PRESS, Gesture.HOLD]).value)
        self.pressed(at_ns, LATE_NS)
        self.look()
        self.turns(draw.uniform(1, 10))
        for do in ("mute", "unmute"):
            self.ctl(do=do)
            self.model.muted = do == "mute"
            self.look()
            self.turns(draw.uniform(1, 10))
        self.ctl(do="mark", text="here")
        self.ctl(do="stop")
        self.turns(self.config.recording.post_event_s + 1)
        self._ended()

    def sleep_by_command(self, draw: random.Random) -> None:
        self.ctl(do="sleep")
        self._slept(draw)
        self.ctl(do="wake")
        self.model.asleep = False
        self.look()

    def go_dark(self, draw: random.Random) -> None:
        """Dark and silent until the dock, or until it is taken back; what is felt stays."""
        self.stealth = not self.stealth
        self.ctl(do="stealth", text="on" if self.stealth else "off")
        assert self.camera.recorder.status()["officer"]["stealth"] is self.stealth
        self.record_and_stop(draw)
