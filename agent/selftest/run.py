"""The self-test: which checks there are, in which order, with which parts; their lines, and the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from agent.capture import choose
from agent.capture.base import AudioSource, EncodedSource, VideoSource
from agent.capture.mixer import Gain
from agent.clock import Clock, SystemClock
from agent.config import Config
from agent.configcontrols import PanelConfig
from agent.configrules import KeyPlace
from agent.controls.base import Panel
from agent.controls.local import ask
from agent.controls.panel import open_panel
from agent.errors import AgentError, DeviceError, Exit
from agent.identity import Signer, open_signer
from agent.mounts import Mounts, read_mounts
from agent.selftest import avsync, camera, clocks, configuration, controls, dock, keys, microphone, storage
from agent.selftest.arguments import NAMES
from agent.selftest.line import Line, Verdict, failed, skipped
from agent.selftest.listening import Enough, Facts, Listening
from agent.vouch import VouchedClock

UNIT = "bodycam-recorder"
SECONDS = 8.0
"""So long camera and microphone are listened to: the crystal shows itself after about five."""
LISTENS = frozenset((camera.NAME, microphone.NAME, avsync.NAME))
ALONE = LISTENS | {controls.NAME, storage.NAME}
"""What a running recorder holds, or would be held up by."""
ASK_S = 2.0
NOBODY = (FileNotFoundError, NotADirectoryError, ConnectionRefusedError)
"""Where a socket is not there, or nobody listens any more, no recorder runs."""
TWINS_EVENTS = 4
EVENT_S = 3.0
"""Who holds a light that beeps in front of the lens lets it flash at least so often."""


def is_running(socket: Path) -> bool:
    """Whether a recorder holds this camera's devices: one that hangs, is busy, or answers no does."""
    try:
        ask(socket, {"do": "status"}, ASK_S)
    except AgentError as err:
        return not isinstance(err.__cause__, NOBODY)
    return True


def _as_recorded(config: Config, clock: Clock) -> tuple[VideoSource | EncodedSource, AudioSource | None]:
    """With the capture volume that the recorder would set."""
    return choose.open_sources(config, clock, Gain(config.audio.capture_percent))


@dataclass(frozen=True, slots=True)
class Parts:
    """What the checks are done with; a test puts a failing one in the place of any."""

    clock: Clock = field(default_factory=SystemClock)
    sources: Callable[[Config, Clock], tuple[VideoSource | EncodedSource, AudioSource | None]] = _as_recorded
    open_disk: Callable[[Path], storage.Disk] = storage.SpoolDisk
    now: Callable[[], float] = time.monotonic
    open_key: Callable[[KeyPlace, Path], Signer] = open_signer
    rtc: clocks.ReadRtc = clocks.read_rtc
    connect: dock.Connect = dock.connect
    resolve: dock.Resolve = dock.resolve
    open_panel: Callable[[PanelConfig], Panel] = open_panel
    hands: controls.Hands = field(default_factory=controls.Hands)
    mounts: Callable[[], Mounts] = read_mounts
    is_running: Callable[[Path], bool] = is_running
    notes: Sequence[str] = ()
    """Of the configuration's mistakes (agent/configstart.py)."""


@dataclass(frozen=True, slots=True)
class Options:
    """`only` names checks, all of them where it is empty. `events` is how many flashes with a beep to wait for, None
    where nobody holds any in front of the lens.
    """

    only: tuple[str, ...] = ()
    events: int | None = None
    seconds: float = SECONDS
    patience_s: float = 10.0
    """How much longer than that to wait for devices that give nothing."""

    @property
    def wanted(self) -> Collection[str]:
        return self.only or ((avsync.NAME,) if self.events else NAMES)


@dataclass(frozen=True, slots=True)
class Result:
    lines: tuple[Line, ...]

    @property
    def failed(self) -> list[Line]:
        return [line for line in self.lines if line.verdict is Verdict.FAIL]

    @property
    def passed(self) -> int:
        """How many were measured and are within their limits."""
        return sum(line.verdict is Verdict.OK for line in self.lines)

    @property
    def status(self) -> Exit:
        """Of what failed first."""
        return self.failed[0].status if self.failed else Exit.OK

    @property
    def verdict(self) -> str:
        if self.failed:
            return f"self-test FAILED: {', '.join(line.name for line in self.failed)}"
        return f"self-test passed: {self.passed} ok, {len(self.lines) - self.passed} skipped"

    def to_dict(self) -> dict[str, Any]:
        return {
            "passed": not self.failed,
            "status": int(self.status),
            "verdict": self.verdict,
            "lines": [line.to_dict() for line in self.lines],
        }


def run(config: Config, options: Options, parts: Parts, tell: Callable[[Line], None] = lambda line: None) -> Result:
    """Each line is told as soon as it is known. Raises DeviceError where a running recorder is in the way."""
    held = sorted(ALONE & set(options.wanted))
    if held and parts.is_running(config.control.socket):
        raise DeviceError(
            f"the recorder is running and holds what is to be tested ({', '.join(held)})",
            f"systemctl stop {UNIT}, then run this again; beside it --only configuration, key, clock or dock",
        )
    lines = []
    for line in _lines(config, options, parts):
        tell(line)
        lines.append(line)
    return Result(tuple(lines))


def _lines(config: Config, options: Options, parts: Parts) -> Iterator[Line]:
    wanted = options.wanted
    if configuration.NAME in wanted:
        yield configuration.check(parts.notes)
    if LISTENS & set(wanted):
        yield from (line for line in _listened(config, options, parts) if line.name in wanted)
    vouched = VouchedClock(parts.clock, config.control.socket.parent)
    checks: Sequence[tuple[str, Callable[[], Line]]] = (
        (controls.NAME, partial(controls.check, config.panel, parts.open_panel, parts.hands)),
        (storage.NAME, partial(storage.check, config, parts.open_disk, parts.now, parts.mounts)),
        (keys.NAME, partial(keys.check, config, parts.clock, parts.open_key)),
        (clocks.NAME, partial(clocks.check, config, vouched, parts.rtc)),
        (dock.NAME, partial(dock.check, config, parts.clock, dock.NAME in options.only, parts.connect, parts.resolve)),
    )
    yield from (check() for name, check in checks if name in wanted)


def _listened(config: Config, options: Options, parts: Parts) -> Iterator[Line]:
    """The lines that come from camera and microphone, which are opened once."""
    try:
        video, audio = parts.sources(config, parts.clock)
    except AgentError as err:
        yield failed(camera.NAME, err)
        yield skipped(microphone.NAME, "see the camera's line")
        yield skipped(avsync.NAME, "see the camera's line")
        return
    picture_ms, sound_ms = config.video.latency_ms, config.audio.latency_ms
    listening = Listening(video, audio, parts.clock, (picture_ms * 1_000_000, sound_ms * 1_000_000))
    exact = config.video.source in choose.TWINS
    # The twins flash and beep by themselves.
    twins = TWINS_EVENTS if exact and config.audio.source == "synthetic" else None
    setting = avsync.Setting(exact, (picture_ms, sound_ms), options.events or twins)
    enough: Enough = partial(_long_enough, options.seconds)
    seconds = options.seconds
    if options.events is not None:
        enough, seconds = _EventsEnough(setting), EVENT_S * options.events
    listening.run(enough, seconds + options.patience_s)
    yield camera.judge(listening.picture, config.video.fps, parts.clock)
    yield microphone.judge(listening.sound, parts.clock)
    yield avsync.judge(listening.picture, listening.sound, setting)


def _long_enough(seconds: float, picture: Facts, sound: Facts | None) -> bool:
    return all(bool(facts.error or facts.ended) or facts.span_s >= seconds for facts in (picture, sound) if facts)


class _EventsEnough:
    """Looks once for each second of sound: to look through all of it takes a while."""

    def __init__(self, setting: avsync.Setting) -> None:
        self._setting, self._looked_s = setting, 0.0

    def __call__(self, picture: Facts, sound: Facts | None) -> bool:
        if sound is None:
            return True
        if sound.span_s - self._looked_s < 1:
            return False
        self._looked_s = sound.span_s
        found = avsync.offset(picture, sound, self._setting.exact)
        return found is not None and found.events >= (self._setting.wanted or 0)
