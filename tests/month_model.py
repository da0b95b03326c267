"""A camera that is worn for a month, on the real recorder with its panel: one card, one station, and time that is the
test's. At each step of it the house's promises are looked at.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent import profiles
from agent.config import Config, PowerConfig, RetentionConfig
from agent.controls.base import Line
from agent.controls.configured import bindings
from agent.controls.patterns import ALARM, Levels
from agent.controls.vigil import COSTLY, LOST
from agent.diary import BEAT_NS
from agent.evidence.tiling import Doing
from agent.formats.seal import SealRecord
from agent.model import NS, SegmentState
from agent.vault import Vault
from tests.life_model import Life, Model
from tests.month_world import SmallCard, Storehouse
from tests.power.sysfs_kit import Tree
from tests.recorder_desk import Camera
from tests.recorder_kit import make_config

MS = NS // 1000
IDLE_S = 27.5
"""Between two looks at a camera that does nothing, but for its heartbeats, which come when they are due."""
TURN_S = 0.5
FINE_NS = NS // 20
LIGHT_NS = 2 * NS
ALARM_S, SHOWN_S = 2, 3
"""Until it must have begun, and so much longer until its pulses were seen whole."""
CHARGED, LOW = 90, 15
COOL, HOT = 45_000, 80_000
KEEP_DAYS = 5
DAY_NS = 86_400 * NS
BASE_NS = 1_780_000_000 * NS
"""What a FakeClock that was never stepped shows at CLOCK_BOOTTIME 0."""
OF_A_PROFILE = ("video", "audio", "overlay", "watch", "recording", "gestures", "signals", "ladder")


def begins(on: Sequence[bool], least_ms: int, within_s: int) -> bool:
    """Whether a pulse of that length, less a look, begins within so long. Another that came first may cut it short."""
    begun: int | None = None
    for number, is_on in enumerate([*on, False]):
        if is_on and begun is None:
            begun = number
        elif not is_on and begun is not None:
            if (number - begun + 1) * FINE_NS >= least_ms * MS:
                return begun * FINE_NS <= within_s * NS
            begun = None
    return False


@dataclass
class Duty(Model):
    """What is true, besides."""

    asleep: bool = False
    stuck: bool = False
    panel: bool = True
    full: bool = False

    @property
    def doing(self) -> Doing:
        if not self.recording and not self.docked:
            if self.asleep:
                return Doing.SLEEPING
            if self.stuck or not self.panel or self.full:
                return Doing.FAULT
        return super().doing


class WornCamera(Camera):
    """What its card refuses, or has no room for, is tried again in real time."""

    card: SmallCard

    def until_sealed(self) -> None:
        if self.card.stalling:
            return
        recording, end = self.recorder._life.recording, time.monotonic() + 30
        while recording and ((progress := recording.progress()).waiting or recording.settling):
            if progress.refused and (self.card.refusing or self.card.f_bavail < self.vault.sealer.settings.needs_bytes):
                return
            assert time.monotonic() < end
            time.sleep(0.001)


@dataclass
class Month(Life):
    """`profile` by its name. `presses` are boot, instant, and how much later the log may have it, of what must have
    begun a recording. `truth` is the true UTC at each kernel's start, `wrong_ns` how far off the wall clock is.
    """

    model: Duty = field(default_factory=Duty)
    profile: str = "default"
    presses: list[tuple[int, int, int]] = field(default_factory=list)
    truth: list[int] = field(default_factory=list)
    wrong_ns: int = 0
    jumps: list[tuple[int, int]] = field(default_factory=list)
    """Boot, and how far the wall clock jumped in it."""
    stealth: bool = False
    durable: tuple[int, int] = (0, 0)
    """Parts so far, and when the last became durable."""
    held: set[str] = field(default_factory=set)
    """Segments on the card, sealed."""
    delivered_ns: dict[str, int] = field(default_factory=dict)
    """Since when, in true time, a segment counts as delivered."""
    deleted: Counter[str] = field(default_factory=Counter)
    """Segments, by what asked for it."""

    def __post_init__(self) -> None:
        self.tree = Tree(self.root / "sys")
        retention = RetentionConfig(keep_days=KEEP_DAYS)
        self.config: Config = profiles.over(make_config(self.agency, self.root, retention=retention), self.profile)
        self.bound = bindings(self.config.gestures)
        self.card = SmallCard(self.config.spool.dir, self.patch)
        self.station = Storehouse(self.agency, self.root / "station")
        self.patch.setattr(Vault, "_age_s", lambda vault, record, now: self._age_s(record))
        self.charge(CHARGED)
        self.warm(COOL)
        super().__post_init__()

    @property
    def places(self) -> list[Path]:
        """What has left the card is at the station."""
        return [*super().places, self.station.dir]

    @property
    def worn(self) -> bool:
        return not self.model.docked and not self.model.asleep

    @property
    def true_ns(self) -> int:
        """UTC, as no camera knows it."""
        return self.truth[-1] + self.clock.boottime_ns()

    def _age_s(self, record: SealRecord) -> float:
        return (self.true_ns - self.delivered_ns.get(record.segment, self.true_ns)) / NS

    # -- what is around it -----------------------------------------------------------------------------------------

    def charge(self, percent: int) -> None:
        self.tree.supply("battery", type="Battery", capacity=percent, status="Discharging", voltage_now=3_700_000)

    def warm(self, millicelsius: int) -> None:
        self.tree.zone(0, "cpu-thermal", millicelsius)

    def contact(self, docked: bool) -> None:
        self.camera.panel.pull(Line.DOCK, docked, self.clock.now_ns)
        # In the dock nobody hides.
        self.stealth &= not docked
        self.turns(2)
        self.model.docked = docked
        if docked:
            self.model.recording = self.model.wanted = self.model.muted = False
        self.model.asleep &= docked
        self.look()

    def step(self, seconds: int) -> None:
        """The wall clock jumps away from what is true."""
        super().step(seconds)
        self.jumped(seconds * NS)

    def jumped(self, ns: int) -> None:
        self.wrong_ns += ns
        self.jumps.append((len(self.boots) - 1, ns))

    def set_right(self) -> None:
        """NTP: the wall clock jumps to what is true, and somebody vouches for it."""
        self.clock.stepped_ns -= self.wrong_ns
        self.jumped(-self.wrong_ns)
        self.doubt_clock()

    # -- hands -----------------------------------------------------------------------------------------------------

    def push(self, ms: int) -> int:
        """The instant at which the button went down."""
        at_ns = self.clock.now_ns
        self.camera.panel.pull(Line.BUTTON, True, at_ns)
        self.turns(ms / 1000)
        self.camera.panel.pull(Line.BUTTON, False, at_ns + ms * MS)
        self.turns(1)
        return at_ns

    def pressed(self, at_ns: int, late_ns: int = 0) -> None:
        """A recording must begin, whatever else is so."""
        self.presses.append((len(self.boots) - 1, at_ns, late_ns))
        self.model.asleep = False
        self.model.recording, self.model.wanted = self.model.lens, not self.model.lens

    def ctl(self, **request: Any) -> dict[str, Any]:
        """As through the control socket, from a thread of its own."""
        with ThreadPoolExecutor(1) as pool:
            answer: Future[dict[str, Any]] = pool.submit(self.camera.recorder._answer, request)
            end = time.monotonic() + 30
            while not answer.done():
                assert time.monotonic() < end
                if self.camera.recorder._loop._queue.empty():
                    time.sleep(0.0005)
                else:
                    self.camera.act()
            self.turns(1)
            return answer.result()

    # -- time, and what must hold in each step of it ---------------------------------------------------------------

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
            self._media(1)
            self._turn(min(round(TURN_S * NS), end_ns - self.clock.now_ns + 1))

    def _media(self, parts: int) -> None:
        if self.camera.recorder._life.recording:
            self.camera.muxers[-1].give(parts)
            self.camera.recorder._life.pictures.encoded += 15 * parts
            self.camera.recorder._life.pictures.newest_ns += parts * NS // 2

    def _turn(self, ns: int) -> None:
        """The officer's step before and after the loop's: hands first, and then what came of them."""
        self.clock.now_ns += ns
        self._step()
        self.camera.act()
        self._step()
        self.custody()

    def watch(self, seconds: float) -> list[Levels]:
        """What is shown each 50 ms, as somebody sees, hears and feels it."""
        shown = []
        for number in range(round(seconds * NS) // FINE_NS):
            self.clock.now_ns += FINE_NS
            if number % 10 == 9:
                self._media(1)
            if number % 5 == 4:
                self.camera.act()
                self.custody()
            shown.append(self._step())
        return shown

    def must_alarm(self) -> None:
        """Something has begun to cost evidence: within two seconds it is felt, heard where the profile sounds and
        nobody wanted it dark, and from then on the light is out.
        """
        assert self.worn, "nobody would notice"
        assert not self.camera.recorder.status()["officer"]["alarm"], "it begins now"
        shown = self.watch(ALARM_S)
        assert self.camera.recorder.status()["officer"]["alarm"], "within two seconds"
        self._is_alarm([*shown, *self.watch(SHOWN_S)], ALARM_S)

    def alarm_goes_on(self) -> None:
        """It has begun before, and comes again."""
        assert ALARM.every_s and self.worn
        self._is_alarm(self.watch(ALARM.every_s + SHOWN_S), ALARM.every_s)

    def _is_alarm(self, shown: list[Levels], within_s: int) -> None:
        """It begins within so long; no answer to a hand, and no reminder, has a pulse of that length."""
        assert not {"too hot", "button stuck"} & set(self.warnings()), "their pulses are as long"
        stretch = 2 if self.config.signals.vibration == "strong" else 1
        felt, heard = (
            begins(on, ALARM.ms[0] * longer, within_s)
            for on, longer in (([level.buzz for level in shown], stretch), ([level.tone for level in shown], 1))
        )
        sounds, lights = (on and not self.stealth for on in (self.config.signals.tone, self.config.signals.light))
        assert felt, "an alarm is felt, in every profile"
        assert heard if sounds else not any(level.tone for level in shown), "and heard where the profile sounds"
        since = shown[within_s * NS // FINE_NS :]
        assert not any(level.light for level in since), "the light is out"
        blinks = [level.status for level in since[: NS // FINE_NS]]
        fault = [on for _ in range(5) for on in (True, True, False, False)]
        # A fault is on for a tenth of a second and off for one, whenever it is that we look.
        assert not lights or any(blinks == (fault[at:] + fault[:at]) for at in range(4)), "the second one says fault"
        assert lights or not any(level.status or level.light for level in shown)

    def look(self) -> None:
        """Beside what the log has to say of this instant, what scripts and the officer are told of it."""
        self.camera.recorder.officer.step()
        told, doing = self.camera.recorder.status(), self.model.doing
        recording = doing in (Doing.RECORDING, Doing.MUTED)
        assert told["state"] == ("recording" if recording else doing.value), "the status does not lie"
        assert told["officer"]["state"] == doing.value, "nor does what the officer is shown"
        super().look()

    def no_alarm(self) -> None:
        """What was wrong is right again."""
        self.turns(3)
        assert not self.camera.recorder.status()["officer"]["alarm"]

    def warnings(self) -> list[str]:
        told: list[str] = self.camera.recorder.status()["officer"]["warnings"]
        return told

    def _step(self) -> Levels:
        """The officer's step. What becomes durable while it runs, in the thread that seals, it may have seen or not."""
        self._count()
        known = self.durable
        levels = self.camera.recorder.officer.step()
        self._count()
        self.promises(levels, known)
        return levels

    def _count(self) -> None:
        life = self.camera.recorder._life
        parts = life.recording.progress().parts if life.recording else 0
        if parts != self.durable[0]:
            self.durable = (parts, self.clock.now_ns)

    def promises(self, levels: Levels, known: tuple[int, int]) -> None:
        life, now_ns = self.camera.recorder._life, self.clock.now_ns
        signals, faults = self.config.signals, life.faults.shown()
        light, tone = signals.light and not self.stealth, signals.tone and not self.stealth
        assert not (levels.light or levels.status) or light, "a covert camera shows nothing"
        assert not levels.tone or tone, "nor does it sound"
        if levels.light:
            assert self.durable[0] and now_ns - self.durable[1] <= LIGHT_NS, "the light says what is durable"
            over = {LOST} if life.recording and life.recording.progress().lost_parts else set()
            assert not set(COSTLY) & set(faults) - over, "and that nothing is wrong that costs evidence"
        elif light and life.recording and known[0] and now_ns - known[1] < NS:
            assert set(faults) & {*COSTLY, "durable", "pictures", "loop"}, "it is lit where that is so"

    def custody(self) -> None:
        """What leaves the card is at the station first, and nothing counts as delivered without its receipt."""
        sealed, delivered = (self.card.names(state) for state in (SegmentState.SEALED, SegmentState.DELIVERED))
        for name in delivered - self.delivered_ns.keys():
            assert self.station.stored(name), "delivered is what a station signed for"
            self.delivered_ns[name] = self.true_ns
        gone = self.held - sealed - delivered
        assert all(self.station.stored(name) for name in gone), "nothing goes without a receipt"
        for name in gone:
            old = self.true_ns - self.delivered_ns[name] > KEEP_DAYS * DAY_NS
            self.deleted["age" if old else "space"] += 1
        self.held = sealed | delivered

    # -- ends and beginnings ---------------------------------------------------------------------------------------

    def _power_on(self, off_s: int) -> None:
        super()._power_on(off_s)
        self.truth.append(BASE_NS + self.clock.stepped_ns - self.wrong_ns)
        self.stealth = False

    def _start(self) -> None:
        before = self.model
        self.model = Duty(lens=before.lens)
        sections = {name: getattr(self.config, name) for name in OF_A_PROFILE}
        sections |= {"power": PowerConfig(sysfs_dir=self.tree.root), "retention": self.config.retention}
        self.camera = camera = WornCamera(self.agency, self.root, self.patch, clock=self.clock, sections=sections)
        camera.card = self.card
        self.camera.panel.pull(Line.DOCK, before.docked, self.clock.now_ns)
        self.camera.start()
        self.turns(1)
        self.model.docked = before.docked
        self.look()
