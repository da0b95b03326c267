"""Mute: no sample of the interval is heard, each outside of it is, and the log says when and by whom."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.sync import Sound
from agent.errors import DeviceError, UsageError
from agent.events import Actor
from agent.intake.mute import Mute
from agent.intake.report import IntakeEventKind
from agent.model import AUDIO_HZ, NS, Track
from agent.status import State
from tests import avcompare
from tests.recorder_desk import Camera
from tests.test_intake import Take, take_until, twins


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), max_size=12))
def test_exactly_the_samples_of_the_intervals_are_silent(history: list[tuple[int, int]]) -> None:
    """Each command comes at the newest sample or later, as it does where sound is placed after it was captured."""
    mute, heard, edges = Mute(), list[bool](), [0]

    def feed(samples: int) -> None:
        sound = mute.over(Sound(len(heard), b"\x05\x00" * samples))
        assert sound.first_sample == len(heard)
        heard.extend(s != 0 for s in np.frombuffer(sound.pcm, "<i2"))

    for samples, ahead in history:
        feed(samples)
        edges.append(max(len(heard), edges[-1]) + ahead)
        if len(edges) % 2 == 0:
            mute.begin(-(-edges[-1] * NS // AUDIO_HZ))
        else:
            mute.end(edges[-1] * NS // AUDIO_HZ)
    feed(7000)
    assert heard == [bisect_right(edges, sample) % 2 == 1 for sample in range(len(heard))]


def test_a_muted_stretch_is_silent_in_the_film_and_what_surrounds_it_is_not(tmp_path: Path) -> None:
    """The encoder smears what surrounds an edge over one of its frames, no more."""
    with Take(*twins()) as take:
        take.attach()
        take.wait_seconds(2.2)
        begin_ns = take.intake._clock.monotonic_ns()
        take.intake.mute(begin_ns)
        take.wait_seconds(5.2)
        end_ns = take.intake._clock.monotonic_ns()
        take.intake.unmute(end_ns)
        take.wait_seconds(7.5)
        zero_ns = next(p for p in take.packets if p.track is Track.VIDEO).pts_ns + take.intake._zero_ns
        film = avcompare.decode(take.finish(tmp_path / "muted.mp4"))
    frame_s, begin_s, end_s = 2048 / AUDIO_HZ, (begin_ns - zero_ns) / NS, (end_ns - zero_ns) / NS

    def loudest(from_s: float, to_s: float) -> float:
        return float(np.abs(film.sound_at(from_s, round((to_s - from_s) * avcompare.RATE_HZ))).max())

    assert loudest(begin_s + frame_s, end_s - frame_s) == 0
    assert loudest(0, begin_s) > 0.1
    assert loudest(end_s, end_s + 2) > 0.1


@pytest.fixture
def camera(agency, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = Camera(agency, tmp_path, monkeypatch).start()
    yield made
    made.recorder.close()


def ask(camera: Camera, command: str) -> None:
    takes = camera.recorder._takes
    {"mute": takes.mute, "unmute": takes.unmute}[command](Actor.CTL)


def test_the_log_says_when_and_by_whom_and_of_which_recording(camera: Camera) -> None:
    with pytest.raises(UsageError, match="nothing is being recorded"):
        ask(camera, "mute")
    camera.recorder._record("ctl")
    ask(camera, "mute")
    ask(camera, "mute")
    assert camera.intake.muted and camera.recorder.status()["muted"]
    muted_ns = camera.clock.now_ns
    camera.ticks(4)
    ask(camera, "unmute")
    assert not camera.intake.muted and not camera.recorder.status()["muted"]
    camera.recorder._stop("ctl")
    (mute,), (unmute,) = camera.said("mute"), camera.said("unmute")
    assert mute["actor"] == unmute["actor"] == "ctl"
    assert mute["mono_ns"] < muted_ns < unmute["mono_ns"]


def test_mute_ends_with_the_recording(camera: Camera) -> None:
    camera.recorder._record("ctl")
    ask(camera, "mute")
    camera.recorder._stop("ctl")
    assert not camera.intake.muted
    assert not camera.recorder.status()["muted"]


def test_a_recording_that_goes_on_by_itself_stays_muted(camera: Camera) -> None:
    """From the first sample of a microphone that was taken back."""
    camera.recorder._record("ctl")
    ask(camera, "mute")
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.ticks(12)
    camera.lens = None
    camera.ticks(12)
    assert camera.is_(State.RECORDING)
    assert camera.intake.muted and camera.recorder.status()["muted"]
    first, second = camera.said("mute")
    assert first["mono_ns"] == second["mono_ns"]
    assert second["actor"] == "recorder"


def test_who_mutes_while_the_camera_is_away_is_heard(camera: Camera) -> None:
    camera.recorder._record("ctl")
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.ticks(12)
    ask(camera, "mute")
    assert camera.said("mute") == []
    camera.lens = None
    camera.ticks(12)
    assert camera.is_(State.RECORDING) and camera.intake.muted
    assert len(camera.said("mute")) == 1


def test_sound_of_the_recording_before_is_not_heard_before_the_next_press(tmp_path: Path) -> None:
    """Packets were encoded when it was wanted; they are in the ring still."""
    with Take(*twins()) as take:
        take.intake.wait_ready(60)
        encoded = take.intake.counters().frames_encoded
        take_until(take, lambda t: t.intake.counters().frames_encoded > encoded + 75)
        rested_ns = take.intake._clock.monotonic_ns()
        take.attach(rested_ns - 2 * NS, silent_before_ns=rested_ns)
        take.wait_seconds(5)
        zero_ns = next(p for p in take.packets if p.track is Track.VIDEO).pts_ns + take.intake._zero_ns
        film = avcompare.decode(take.finish(tmp_path / "silent.mp4"))
    rested = round((rested_ns - zero_ns) * avcompare.RATE_HZ / NS)
    sound = film.sound_at(0, rested + 3 * avcompare.RATE_HZ)
    assert rested > avcompare.RATE_HZ
    assert np.abs(sound[:rested]).max() == 0
    assert np.abs(sound[rested:]).max() > 0.1
