"""Each warning, and the alarm of a dead lens or microphone, on a recorder with each profile: its own pattern is felt,
and heard where the profile sounds; a covert camera shows nothing; and the officer's words name it in each language.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pytest

from agent import profiles
from agent.config import PowerConfig
from agent.controls.base import Line
from agent.controls.patterns import ALARM, WARNINGS, Beats, Levels, Warn
from agent.errors import DeviceError
from agent.events import Actor
from agent.intake.report import IntakeEventKind
from agent.model import LANGUAGES, NS
from agent.station.layout import AgencyPaths
from agent.words import Words
from tests.config_kit import sample
from tests.month_model import OF_A_PROFILE
from tests.month_world import CARD_BYTES, SmallCard
from tests.power.sysfs_kit import Tree
from tests.recorder_desk import Camera
from tests.recorder_kit import make_config
from tests.test_profiles import NAMES

LOOK_MS, REST_MS = 20, 200
MS = NS // 1000
WORDS = {language: Words(language) for language in LANGUAGES}
GONE = DeviceError("no lens", "plug it in")


@dataclass
class Worn:
    """A camera out of the dock, and what is around it."""

    agency: AgencyPaths
    root: Path
    patch: pytest.MonkeyPatch
    profile: str
    seen: list[Levels] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tree, base = Tree(self.root / "sys"), make_config(self.agency, self.root)
        self.charge(90)
        self.warm(40_000)
        self.config = profiles.over(base, self.profile)
        sections = {name: getattr(self.config, name) for name in OF_A_PROFILE}
        power = PowerConfig(sysfs_dir=self.tree.root, power_off=False)
        self.card = SmallCard(base.spool.dir, self.patch)
        self.camera = Camera(self.agency, self.root, self.patch, sections=sections | {"power": power}).start()
        self.camera.turns(1)

    def charge(self, percent: int) -> None:
        self.tree.supply("battery", type="Battery", capacity=percent, status="Discharging", voltage_now=3_700_000)

    def warm(self, millicelsius: int) -> None:
        self.tree.zone(0, "cpu-thermal", millicelsius)

    def clock(self, known: bool) -> None:
        self.camera.clock.stepped_ns += 0 if known else -3600 * NS
        self.camera.clock.utc_source = "synchronised" if known else "unverified"
        self.camera.clock.utc_bound_ms = 12 if known else None

    def mute(self, on: bool) -> None:
        recorder = self.camera.recorder
        if not on:
            recorder._loop.act("stop", lambda: recorder._stop("ctl"))
            return
        recorder._loop.act("recording", lambda: recorder._record("ctl"))
        self.camera.turns(2)
        recorder._loop.act("mute", lambda: recorder._takes.mute(Actor.CTL))

    def lean(self, on: bool) -> None:
        self.camera.panel.pull(Line.BUTTON, on, self.camera.clock.now_ns)
        self.camera.turns(self.config.gestures.stuck_s - 0.5 if on else 1)

    def restarted(self, on: bool) -> None:
        """As the life before it left it to be told: tests/test_resume.py has how."""
        self.camera.recorder._faults.show("restart", "what was recorded went on after a restart" if on else None)

    def leave(self, percent: int) -> None:
        """Of the card, for its minute's look."""
        self.card.leave(CARD_BYTES * percent // 100)
        self.camera.clock.now_ns += 61 * NS

    def lose(self, what: IntakeEventKind, on: bool) -> None:
        self.camera.lens = GONE if on else None
        if on:
            self.camera.tell(what, "gone")
        elif what is IntakeEventKind.MICROPHONE_LOST:
            self.camera.tell(IntakeEventKind.MICROPHONE_BACK, "back")
        self.camera.turns(0 if on else 4)

    def watch(self, seconds: float) -> None:
        """What is felt, heard and seen each 20 ms."""
        self.seen.clear()
        for number in range(round(seconds * 1000 / LOOK_MS)):
            self.camera.clock.now_ns += LOOK_MS * MS
            if number % 12 == 11:
                if number % 24 == 23 and self.camera.recorder._life.recording:
                    self.camera.muxers[-1].give(1)
                    self.camera.recorder._life.pictures.encoded += 1
                self.camera.act()
            self.seen.append(self.camera.recorder.officer.step())


Cause = Callable[[Worn, bool], None]
CAUSES: dict[Warn, Cause] = {
    Warn.BATTERY_LOW: lambda worn, on: worn.charge(15 if on else 90),
    Warn.BATTERY_CRITICAL: lambda worn, on: worn.charge(2 if on else 90),
    Warn.HOT: lambda worn, on: worn.warm(80_000 if on else 40_000),
    Warn.CLOCK: lambda worn, on: worn.clock(not on),
    Warn.MUTED: lambda worn, on: worn.mute(on),
    Warn.STUCK: lambda worn, on: worn.lean(on),
    Warn.RESTARTED: lambda worn, on: worn.restarted(on),
    Warn.STORAGE_20: lambda worn, on: worn.leave(19 if on else 90),
    Warn.STORAGE_10: lambda worn, on: worn.leave(9 if on else 90),
    Warn.STORAGE_5: lambda worn, on: worn.leave(4 if on else 90),
}
ALARMS: dict[str, Cause] = {
    "camera": lambda worn, on: worn.lose(IntakeEventKind.CAMERA_LOST, on),
    "microphone": lambda worn, on: worn.lose(IntakeEventKind.MICROPHONE_LOST, on),
}
FOUND_S = 6
"""Battery and heat are read every five seconds."""


def has(on: Sequence[bool], beats: Beats, stretch: int) -> bool:
    """Whether just this pattern, to a look, was there, with rest after it, and before it all was still."""
    rest = [False] * (REST_MS // LOOK_MS + 1)
    lengths = [(is_on, sum(1 for _ in run) * LOOK_MS) for is_on, run in groupby([*rest, *on])]
    wanted = [ms * (stretch if number % 2 == 0 else 1) for number, ms in enumerate(beats.ms)]
    for at in range(1, len(lengths) - len(wanted)):
        run = lengths[at : at + len(wanted)]
        if run[0][0] and all(abs(told - ms) <= LOOK_MS for (_, told), ms in zip(run, wanted, strict=True)):
            return lengths[at - 1][1] > REST_MS < lengths[at + len(wanted)][1]
    return False


SIGNALS = {profiles.over(sample(), name).signals: name for name in reversed(NAMES)}
"""One profile of those that show the same."""


@pytest.fixture(params=SIGNALS.values())
def worn(
    request: pytest.FixtureRequest, agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Worn]:
    made = Worn(agency, tmp_path, monkeypatch, request.param)
    yield made
    made.camera.recorder.close()


@pytest.mark.wide
def test_each_is_felt_heard_and_said_as_the_profile_wants(worn: Worn) -> None:
    assert set(CAUSES) == set(Warn)
    signals = worn.config.signals
    stretch = 2 if signals.vibration == "strong" else 1
    told = [(f"warning.{warn.value}", WARNINGS[warn], cause) for warn, cause in CAUSES.items()]
    told += [(f"fault.{what}", ALARM, cause) for what, cause in ALARMS.items()]
    for key, beats, cause in told:
        before = worn.camera.recorder.status()
        assert WORDS["en"].say(key) not in WORDS["en"].of_status(before), key
        cause(worn, True)
        worn.watch(FOUND_S + beats.length_ms(2) / 1000)
        status = worn.camera.recorder.status()
        for language, words in WORDS.items():
            assert words.say(key) in words.of_status(status), (key, language)
        assert has([levels.buzz for levels in worn.seen], beats, stretch), key
        if signals.tone:
            assert has([levels.tone for levels in worn.seen], beats, 1), key
        if not signals.light:
            assert not any(levels.light or levels.status or levels.tone for levels in worn.seen), key
        if "storage" in key:
            minutes = status["room_minutes"]
            assert all(words.count("room.minutes", minutes) in words.of_status(status) for words in WORDS.values())
        cause(worn, False)
        worn.watch(FOUND_S)


def test_a_pattern_is_told_from_one_that_is_much_like_it() -> None:
    still, short, long = [False] * 20, [True] * 5 + [False] * 5, [True] * 15 + [False] * 5
    low = [*short, *long, *short, *still]
    assert has([*still, *low], WARNINGS[Warn.BATTERY_LOW], 1)
    assert not has([*still, *low], WARNINGS[Warn.BATTERY_CRITICAL], 1)
    assert not has([*still, *low[10:]], WARNINGS[Warn.BATTERY_LOW], 1)
    assert not has([*still, *low], WARNINGS[Warn.BATTERY_LOW], 2)
