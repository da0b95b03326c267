"""Shifts as an officer works them, on the real recorder with its panel: a hand on the button, faults as they come, dock
and battery, in time that is the test's. At each step the house's promises are looked at.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from agent import profiles
from agent.config import Config, PowerConfig
from agent.controls.base import Line
from agent.controls.gestures import Gesture
from agent.controls.machine import Action
from agent.controls.patterns import Levels
from agent.controls.vigil import COSTLY
from agent.diary import BEAT_NS
from agent.errors import DeviceError
from agent.evidence.tiling import Doing
from agent.model import NS, SegmentState
from agent.officer import bindings
from tests.life_model import Life, Model
from tests.power.sysfs_kit import Tree
from tests.recorder_desk import Camera
from tests.recorder_kit import make_config

MS = NS // 1000
IDLE_S = 20.0
"""Between two looks at a camera that does nothing, but for its heartbeats, which come when they are due."""
TURN_S = 0.5
LIGHT_NS = 2 * NS
CHARGED, LOW = 90, 15
OF_A_PROFILE = ("video", "audio", "overlay", "watch", "recording", "gestures", "signals")


@dataclass
class Duty(Model):
    """What is true, besides."""

    asleep: bool = False
    stuck: bool = False
    panel: bool = True

    @property
    def doing(self) -> Doing:
        if not self.recording and not self.docked:
            if self.asleep:
                return Doing.SLEEPING
            if self.stuck or not self.panel:
                return Doing.FAULT
        return super().doing


@dataclass
class Month(Life):
    """`profile` by its name. `presses` are the instants, boot by boot, of what must have begun a recording."""

    model: Duty = field(default_factory=Duty)
    profile: str = "default"
    presses: list[tuple[int, int]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    durable: tuple[int, int] = (0, 0)
    """Parts so far, and when the last became durable."""
    segments: int = 0

    def __post_init__(self) -> None:
        self.tree = Tree(self.root / "sys")
        self.config: Config = profiles.over(make_config(self.agency, self.root), self.profile)
        self.bound = bindings(self.config.gestures)
        self.charge(CHARGED)
        super().__post_init__()

    # -- a day ---------------------------------------------------------------------------------------------------------

    def shift(self, draw: random.Random, hours: float) -> None:
        """Out of the dock, whatever happens, and into the dock again."""
        self.contact(False)
        left_s = hours * 3600
        deeds = (
            *(self.record_and_stop,) * 5,
            *(self.record_and_lose_the_lens, self.record_and_cut, self.trigger, self.jam, self.chatter, self.nap),
            *(self.pull_the_panel_off, self.lose_the_clock, self.cut_idle, self.die, self.drain, self.step_the_clock),
        )
        while left_s > 0:
            pause_s = draw.uniform(20, 3_600)
            left_s -= pause_s
            self.idle(pause_s)
            deed = draw.choice(deeds)
            self.counts[deed.__name__] = self.counts.get(deed.__name__, 0) + 1
            deed(draw)
        self.contact(True)
        self.idle(draw.uniform(600, 3_600))
        self.power_off(draw.randrange(3_600, 50_000))
        self.charge(CHARGED)

    # -- hands ---------------------------------------------------------------------------------------------------------

    def push(self, ms: int) -> int:
        """The instant at which the button went down."""
        at_ns = self.clock.now_ns
        self.camera.panel.pull(Line.BUTTON, True, at_ns)
        self.turns(ms / 1000)
        self.camera.panel.pull(Line.BUTTON, False, at_ns + ms * MS)
        self.turns(1)
        return at_ns

    def begin(self, draw: random.Random) -> None:
        """However it is pressed, it records: once, twice, or for long."""
        at_ns = self.push(draw.choice([60, 150, 400, self.config.gestures.hold_ms + 400]))
        self.presses.append((len(self.boots) - 1, at_ns))
        self.model.asleep = False
        self.model.recording, self.model.wanted = self.model.lens, not self.model.lens
        self.look()

    def end(self) -> None:
        """A hold; and it goes on for as long as the profile wants."""
        self.push(self.config.gestures.hold_ms + 300)
        self.turns(self.config.recording.post_event_s + 1)
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

    def mute_by_hand(self) -> None:
        at_ns = self.clock.now_ns
        for begin in (0, 250):
            self.camera.panel.pull(Line.BUTTON, True, at_ns + begin * MS)
            self.camera.panel.pull(Line.BUTTON, False, at_ns + (begin + 100) * MS)
        self.turns(1.5)
        self.model.muted = not self.model.muted
        self.look()

    def record_and_lose_the_lens(self, draw: random.Random) -> None:
        self.begin(draw)
        self.turns(draw.uniform(1, 8))
        self.lose_lens()
        self.turns(draw.uniform(1, 10))
        self.give_lens()
        self.turns(2)
        self.end()

    def record_and_cut(self, draw: random.Random) -> None:
        self.begin(draw)
        self.turns(draw.uniform(1, 15))
        self.cut(draw.randrange(5, 3_000))

    def trigger(self, draw: random.Random) -> None:
        self.presses.append((len(self.boots) - 1, self.clock.now_ns))
        self.camera.panel.pull(Line.TRIGGER, True, self.clock.now_ns)
        self.turns(2)
        self.camera.panel.pull(Line.TRIGGER, False, self.clock.now_ns)
        self.model.recording = True
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

    def nap(self, draw: random.Random) -> None:
        """Where the profile has a gesture for it; a press wakes it and records."""
        if self.bound.idle.get(Gesture.LONG) is not Action.SLEEP:
            return
        self.push(self.config.gestures.long_ms + 500)
        self.model.asleep = True
        self.look()
        self.idle(draw.uniform(30, 1_500))
        self.record_and_stop(draw)

    # -- what goes wrong -----------------------------------------------------------------------------------------------

    def pull_the_panel_off(self, draw: random.Random) -> None:
        panel = self.camera.panel
        panel.gone = "the panel is gone"

        def open_panel(_: object) -> Any:
            if panel.gone:
                raise DeviceError(panel.gone, "put it back")
            return panel

        with self.patch.context() as patch:
            patch.setattr("agent.officer.open_panel", open_panel)
            self.turns(1)
            self.model.panel = False
            self.look()
            self.idle(draw.uniform(1, 200))
            panel.gone = ""
            self.turns(3)
        self.model.panel = True
        self.look()

    def lose_the_clock(self, draw: random.Random) -> None:
        """It records at once, and never claims a time that nobody vouches for."""
        self.doubt_clock()
        self.idle(2 * IDLE_S)
        told = self.camera.recorder.status()["officer"]["warnings"]
        assert ("clock not set" in told) == (self.clock.utc_bound_ms is None)
        self.record_and_stop(draw)

    def step_the_clock(self, draw: random.Random) -> None:
        self.step(draw.randrange(-86_400, 86_400))
        self.idle(IDLE_S)

    def cut_idle(self, draw: random.Random) -> None:
        self.cut(draw.randrange(1, 20_000))

    def die(self, draw: random.Random) -> None:
        self.kill(draw.randrange(0, 120))

    def drain(self, draw: random.Random) -> None:
        """The battery is low, and then at its end: what is recorded is ended and sealed before the power goes."""
        self.charge(LOW)
        self.idle(2 * IDLE_S)
        assert "battery low" in self.camera.recorder.status()["officer"]["warnings"]
        self.begin(draw)
        self.charge(2)
        self.turns(20)
        self.model.recording = self.model.wanted = self.model.muted = False
        assert self.camera.recorder.status()["recording"] is None
        assert (self.root / "poweroff").exists()
        self.power_off(draw.randrange(60, 20_000))
        self.charge(CHARGED)

    def charge(self, percent: int) -> None:
        self.tree.supply("battery", type="Battery", capacity=percent, status="Discharging", voltage_now=3_700_000)

    def contact(self, docked: bool) -> None:
        self.camera.panel.pull(Line.DOCK, docked, self.clock.now_ns)
        self.turns(2)
        self.model.docked = docked
        if docked:
            self.model.recording = self.model.wanted = self.model.muted = False
        self.model.asleep &= docked
        self.look()

    # -- time, and what must hold in each step of it -------------------------------------------------------------------

    def wait(self, ticks: int) -> None:
        self.turns(ticks / 4)

    def idle(self, seconds: float) -> None:
        """Nothing happens."""
        end_ns = self.clock.now_ns + round(seconds * NS)
        while self.clock.now_ns < end_ns:
            due_ns = self.camera.recorder._diary._beat_ns + BEAT_NS - self.clock.now_ns
            self._turn(min(round(IDLE_S * NS), max(round(TURN_S * NS), due_ns), end_ns - self.clock.now_ns + 1))
        self.look()

    def turns(self, seconds: float) -> None:
        end_ns = self.clock.now_ns + round(seconds * NS)
        while self.clock.now_ns < end_ns:
            if self.camera.recorder._life.recording:
                self.camera.muxers[-1].give(1)
                self.camera.recorder._life.pictures.encoded += 15
            self._turn(min(round(TURN_S * NS), end_ns - self.clock.now_ns + 1))

    def _turn(self, ns: int) -> None:
        """The officer's step before and after the loop's: hands first, and then what came of them."""
        self.clock.now_ns += ns
        self.promises(self.camera.recorder.officer.step())
        self.camera.act()
        self.promises(self.camera.recorder.officer.step())

    def promises(self, levels: Levels) -> None:
        life, now_ns = self.camera.recorder._life, self.clock.now_ns
        parts = life.recording.progress().parts if life.recording else 0
        if parts != self.durable[0]:
            self.durable = (parts, now_ns)
        signals, faults = self.config.signals, life.faults.shown()
        assert not (levels.light or levels.status) or signals.light, "a covert camera shows nothing"
        assert not levels.tone or signals.tone, "nor does it sound"
        if levels.light:
            assert parts and now_ns - self.durable[1] <= LIGHT_NS, "the light says what is durable"
            assert not set(COSTLY) & set(faults), "and that nothing is wrong that costs evidence"
        elif signals.light and life.recording and parts and now_ns - self.durable[1] < NS:
            assert set(faults) & {*COSTLY, "durable", "pictures", "loop"}, "it is lit where that is so"
        spool = self.camera.vault.spool
        there = sum(len(spool.segments(state)) for state in (SegmentState.SEALED, SegmentState.DELIVERED))
        assert there >= self.segments, "nothing goes without a receipt"
        self.segments = there

    def _start(self) -> None:
        before = self.model
        self.model = Duty(lens=before.lens)
        sections = {name: getattr(self.config, name) for name in OF_A_PROFILE}
        sections["power"] = PowerConfig(thermometer="none", sysfs_dir=self.tree.root)
        self.camera = Camera(self.agency, self.root, self.patch, clock=self.clock, sections=sections)
        self.camera.lens = None
        self.camera.panel.pull(Line.DOCK, before.docked, self.clock.now_ns)
        self.camera.start()
        self.turns(1)
        self.model.docked = before.docked
        self.look()
