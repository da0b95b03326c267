"""What is heard around a press where no sound is wanted before it: all since it, however long the disk takes, and
nothing where it came to no recording. Simulated time, a continuous tone, and the mute that is in front of the encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.capture.sync import Sound
from agent.controls.base import Line
from agent.errors import DeviceError, StorageError
from agent.events import Actor
from agent.intake.intake import ALWAYS_NS
from agent.intake.mute import BEYOND, Mute
from agent.model import AUDIO_HZ, NS
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.camera_kit import FakeClock
from tests.recorder_desk import Camera, DeskIntake

ZERO_NS = 1_000 * NS
BLOCK = 1024
SLOW_NS = NS // 2
"""What a slow card takes for a start leaf."""


class Toned(DeskIntake):
    """A microphone before which a tone never ends. `clock` is the test's own, and no clock that the recorder makes of
    it.
    """

    def __init__(self, clock: FakeClock, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.clock, self._mute, self._placed, self._first = clock, Mute(), 0, 0
        self._heard = list[bool]()

    def start(self) -> None:
        self._first = self._placed = self._now // BLOCK * BLOCK

    def mute(self, since_mono_ns: int | None = None) -> None:
        super().mute(since_mono_ns)
        self._mute.begin(ALWAYS_NS if since_mono_ns is None else since_mono_ns - ZERO_NS)

    def unmute(self, until_mono_ns: int) -> None:
        super().unmute(until_mono_ns)
        self._mute.end(until_mono_ns - ZERO_NS)

    @property
    def _now(self) -> int:
        return (self.clock.now_ns - ZERO_NS) * AUDIO_HZ // NS

    def listen(self, seconds: float) -> None:
        """So much time passes."""
        end_ns = self.clock.now_ns + round(seconds * NS)
        while self.clock.now_ns < end_ns:
            self.clock.now_ns += NS // 100
            while self._placed + BLOCK <= self._now:
                self._take(self._mute.over(Sound(self._placed, b"\x05\x00" * BLOCK)))
                self._placed += BLOCK

    def _take(self, sound: Sound) -> None:
        self._heard += (np.frombuffer(sound.pcm, "<i2") != 0).tolist()

    def heard(self, from_ns: int, to_ns: int) -> float:
        """Of the sound between these instants, the share that is in the ring, and in what is recorded of it."""
        self._take(self._mute.rest())
        begin, end = (self._sample(at_ns) for at_ns in (from_ns, to_ns))
        quiet = self._sample(self.silent_before_ns) + BEYOND if self.sink and self.silent_before_ns else 0
        part = [heard and number >= quiet for number, heard in enumerate(self._heard[:end])][max(0, begin) :]
        return sum(part) / len(part)

    def _sample(self, mono_ns: int) -> int:
        """Of what it heard."""
        return (mono_ns - ZERO_NS) * AUDIO_HZ // NS - self._first


def toned(agency: AgencyPaths, root: Path, patch: pytest.MonkeyPatch, before: bool) -> Camera:
    """`before`: whether sound is wanted before a press."""
    made = Camera(agency, root, patch, pre_event_sound=before)
    patch.setattr("agent.lens.Intake", partial(Toned, made.clock))
    made.start()
    made.intake.listen(1)
    return made


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    made = toned(agency, tmp_path, monkeypatch, False)
    yield made
    made.recorder.close()


def down(camera: Camera, down: bool, line: Line = Line.BUTTON) -> int:
    """Button or trigger move, which the panel's thread sees; the loop may wait for a disk. Returns when."""
    at_ns: int = camera.clock.now_ns
    camera.panel.pull(line, down, at_ns)
    for _ in range(3):
        camera.intake.listen(0.02)
        camera.recorder.officer.step()
    return at_ns


def slow(camera: Camera, patch: pytest.MonkeyPatch, fails: Exception | None = None) -> None:
    """The card takes its time for the next start leaf."""
    real: Callable[[Any], str] = camera.vault.start_recording

    def start_recording(body: Any) -> str:
        camera.intake.listen(SLOW_NS / NS)
        if fails:
            raise fails
        return real(body)

    patch.setattr(camera.vault, "start_recording", start_recording)


BEYOND_NS = BEYOND * NS // AUDIO_HZ


def test_all_sound_since_the_press_is_there_however_long_the_start_leaf_takes(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(camera, monkeypatch)
    pressed_ns = camera.clock.now_ns
    camera.recorder._rest.record(camera.vault, "button", Actor.OFFICER, pressed_ns)
    camera.intake.listen(1)
    assert camera.intake.heard(pressed_ns - NS, pressed_ns) == 0
    assert camera.intake.heard(pressed_ns + BEYOND_NS + 1_000_000, camera.clock.now_ns - NS // 10) == 1


def test_a_hand_is_heard_while_the_loop_waits_for_the_disk(camera: Camera) -> None:
    down_ns = camera.clock.now_ns
    camera.panel.pull(Line.BUTTON, True, down_ns)
    camera.clock.now_ns += NS // 50
    camera.recorder.officer.step()
    camera.intake.listen(1)
    assert camera.intake.heard(down_ns + BEYOND_NS + 1_000_000, camera.clock.now_ns - NS // 10) == 1
    camera.panel.pull(Line.BUTTON, False, camera.clock.now_ns)
    camera.turns(1)
    camera.recorder._stop("ctl")
    assert camera.intake.muted


def stopped_and_pressed(camera: Camera, monkeypatch: pytest.MonkeyPatch, line: Line = Line.BUTTON) -> tuple[int, int]:
    """What runs is stopped, and while a slow card seals it, somebody presses; the next start is as slow. Returns when
    the stop came, and the press.
    """
    sealer, pressed = camera.vault.sealer, list[int]()
    stop_recording = sealer.stop_recording

    def sealing(*arguments: Any) -> Any:
        camera.intake.listen(SLOW_NS / NS)
        pressed.append(down(camera, True, line))
        down(camera, False, line)
        camera.intake.listen(SLOW_NS / NS)
        return stop_recording(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(sealer, "stop_recording", sealing)
        slow(camera, patch)
        stopped_ns = camera.clock.now_ns
        camera.recorder._loop.act("stop", lambda: camera.recorder._stop("ctl"))
        camera.turns(1)
    camera.intake.listen(1)
    assert len(camera.recorder._life.recordings) == 2 and camera.is_(State.RECORDING)
    return stopped_ns, pressed[0]


@pytest.mark.parametrize("line", [Line.BUTTON, Line.TRIGGER])
def test_a_press_while_the_recording_before_is_sealed_has_all_its_sound(
    camera: Camera, monkeypatch: pytest.MonkeyPatch, line: Line
) -> None:
    """And nothing from before it."""
    camera.recorder._record("ctl")
    camera.intake.listen(1)
    _, pressed_ns = stopped_and_pressed(camera, monkeypatch, line)
    assert camera.intake.heard(pressed_ns - NS, pressed_ns) == 0
    assert camera.intake.heard(pressed_ns + BEYOND_NS + 1_000_000, camera.clock.now_ns - NS // 10) == 1


@pytest.mark.parametrize("before", [False, True])
def test_a_mute_ends_with_its_recording_and_not_once_that_is_sealed(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """With sound before a press, and without."""
    camera = toned(agency, tmp_path, monkeypatch, before)
    camera.recorder._record("ctl")
    camera.recorder._takes.mute(Actor.OFFICER)
    camera.intake.listen(1)
    stopped_ns, pressed_ns = stopped_and_pressed(camera, monkeypatch)
    assert camera.intake.heard(stopped_ns - NS, stopped_ns) == 0
    assert camera.intake.heard(stopped_ns + BEYOND_NS + 1_000_000, pressed_ns) == before
    assert camera.intake.heard(pressed_ns + BEYOND_NS + 1_000_000, camera.clock.now_ns - NS // 10) == 1
    camera.recorder.close()


@pytest.mark.parametrize("mute", [False, True])
def test_a_hand_that_came_just_before_a_stop_is_heard_on(camera: Camera, mute: bool) -> None:
    """It may mean the next recording, which the loop comes to once this one is sealed."""
    camera.recorder._record("ctl")
    if mute:
        camera.recorder._takes.mute(Actor.OFFICER)
    camera.intake.listen(1)
    down(camera, True)
    stopped_ns = camera.clock.now_ns
    camera.recorder._stop("ctl")
    camera.intake.listen(1)
    assert camera.intake.heard(stopped_ns + BEYOND_NS + 1_000_000, camera.clock.now_ns - NS // 10) == 1
    if mute:
        assert camera.intake.heard(stopped_ns - NS // 2, stopped_ns) == 0
    down(camera, False)
    camera.turns(1)
    assert camera.is_(State.RECORDING)


def test_a_trigger_that_came_to_no_recording_leaves_silence(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    slow(camera, monkeypatch, REFUSED)
    down(camera, True, Line.TRIGGER)
    assert not camera.intake.muted
    camera.turns(1)
    assert camera.recorder._life.recording is None and camera.intake.muted


def test_a_hand_that_is_seen_late_opens_nothing_of_what_was_muted(camera: Camera) -> None:
    camera.recorder._record("ctl")
    camera.recorder._takes.mute(Actor.OFFICER)
    camera.intake.listen(1)
    stopped_ns = camera.clock.now_ns
    camera.recorder._stop("ctl")
    camera.recorder._takes.hearing.hear(stopped_ns - NS * 6 // 100)
    camera.intake.listen(1)
    assert camera.intake.heard(stopped_ns - NS // 2, stopped_ns) == 0
    assert camera.intake.heard(stopped_ns + BEYOND_NS + 1_000_000, camera.clock.now_ns - NS // 10) == 1


REFUSED = StorageError("the card refuses", "look at it")


@pytest.mark.parametrize("what", ["leaf", "muxer", "picture", "what nobody thought of"])
def test_a_start_that_fails_leaves_silence(camera: Camera, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    if what == "leaf":
        slow(camera, monkeypatch, REFUSED)
    elif what == "muxer":
        monkeypatch.setattr("agent.takes.Recording", lambda *_: (_ for _ in ()).throw(REFUSED))
    else:
        error = DeviceError("no picture", "") if what == "picture" else ZeroDivisionError()
        target = camera.intake if what == "picture" else camera.recorder._life
        name = "attach" if what == "picture" else "hold_clock"
        monkeypatch.setattr(target, name, lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises((StorageError, DeviceError, ZeroDivisionError)):
        camera.recorder._record("ctl")
    monkeypatch.undo()
    assert camera.recorder._life.recording is None and camera.intake.muted
    failed_ns = camera.clock.now_ns
    camera.intake.listen(1)
    assert camera.intake.heard(failed_ns, camera.clock.now_ns) == 0


def test_a_press_that_waits_is_heard_until_somebody_lets_go_of_it(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed_ns = camera.clock.now_ns
    with pytest.raises(DeviceError):
        camera.recorder._takes.record(None, "button", Actor.OFFICER, pressed_ns)
    camera.intake.listen(0.5)
    slow(camera, monkeypatch, REFUSED)
    camera.ticks(1)
    assert camera.recorder._life.wanted and not camera.intake.muted
    camera.intake.listen(0.5)
    assert camera.intake.heard(pressed_ns + BEYOND_NS + 1_000_000, camera.clock.now_ns - NS // 10) == 1
    camera.recorder._stop("ctl")
    assert camera.intake.muted


def test_a_muted_recording_that_goes_on_stays_muted_though_its_first_start_fails(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.recorder._record("ctl")
    camera.recorder._takes.mute(Actor.OFFICER)
    muted_ns = camera.recorder._life.muted_ns
    monkeypatch.setattr(camera.intake, "attach", lambda *_: (_ for _ in ()).throw(DeviceError("no picture", "")))
    camera.recorder._takes.go_on_as_another(camera.vault, "another size")
    camera.ticks(12)
    assert "recording" in camera.faults() and camera.intake.muted
    monkeypatch.undo()
    camera.ticks(12)
    assert camera.recorder._life.recording and camera.intake.muted
    assert camera.recorder._life.muted_ns == muted_ns
