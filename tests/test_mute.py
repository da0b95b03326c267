"""Mute: no sample of the interval is heard, each outside of it is, and the log says when and by whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.sync import Sound
from agent.errors import DeviceError, UsageError
from agent.events import Actor
from agent.intake.mute import BEYOND, Mute
from agent.intake.report import IntakeEventKind
from agent.media.encoder import AacEncoder
from agent.model import AUDIO_HZ, NS, EncodedPacket, Track
from agent.status import REASONS_KEPT, State
from tests import avcompare
from tests.recorder_desk import Camera
from tests.test_intake import Take, take_until, twins


@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 9000)), max_size=12))
def test_exactly_the_samples_of_the_intervals_and_a_little_around_them_are_silent(
    history: list[tuple[int, int]],
) -> None:
    """Each command comes at the newest sample or later, as it does where sound is placed after it was captured."""
    mute, heard, edges, fed = Mute(), list[bool](), [0], 0

    def take(sound: Sound) -> None:
        assert sound.first_sample == len(heard)
        heard.extend(s != 0 for s in np.frombuffer(sound.pcm, "<i2"))

    for samples, ahead in history:
        take(mute.over(Sound(fed, b"\x05\x00" * samples)))
        fed += samples
        edges.append(max(fed, edges[-1]) + ahead)
        if len(edges) % 2 == 0:
            mute.begin(-(-edges[-1] * NS // AUDIO_HZ))
        else:
            mute.end(edges[-1] * NS // AUDIO_HZ)
    take(mute.over(Sound(fed, b"\x05\x00" * 40_000)))
    take(mute.rest())
    assert len(heard) == fed + 40_000
    silent = np.zeros(len(heard), bool)
    for begin, end in zip(edges[1::2], [*edges[2::2], len(heard) + BEYOND], strict=False):
        silent[max(0, begin - BEYOND) : end + BEYOND] = True
    assert heard == list(~silent)


@pytest.mark.parametrize("shift", [0, 1, 511, 1023])
def test_no_decoded_sample_of_an_interval_sounds_of_what_surrounds_it(shift: int) -> None:
    """Loud noise, wherever the interval lies in the encoder's frames; commands come as the samples do."""
    begin, end = 40_000 + shift, 90_000 + 3 * shift
    mute, encoder, chance, packets = Mute(), AacEncoder(), np.random.default_rng(1), list[EncodedPacket]()
    for first in range(0, 140 * 1024, 1024):
        if first <= begin < first + 1024:
            mute.begin(-(-begin * NS // AUDIO_HZ))
        if first <= end < first + 1024:
            mute.end(end * NS // AUDIO_HZ)
        sound = mute.over(Sound(first, chance.normal(0, 6000, 1024).astype("<i2").tobytes()))
        packets += encoder.encode(sound.first_sample, sound.pcm)
    sound = mute.rest()
    packets += encoder.encode(sound.first_sample, sound.pcm) + encoder.flush()
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = encoder.extradata
    decoded = np.concatenate([f.to_ndarray()[0] for p in packets for f in decoder.decode(av.Packet(p.data))])
    lead = -packets[0].pts
    assert np.abs(decoded[lead + begin : lead + end]).max() == 0
    assert np.abs(decoded[lead + begin - 2 * BEYOND : lead + begin - BEYOND]).max() > 0.1
    assert np.abs(decoded[lead + end + BEYOND : lead + end + 2 * BEYOND]).max() > 0.1


def test_a_muted_stretch_is_silent_in_the_film_and_what_surrounds_it_is_not(tmp_path: Path) -> None:
    """To the sample."""
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
    begin_s, end_s = (begin_ns - zero_ns) / NS, (end_ns - zero_ns) / NS

    def loudest(from_s: float, to_s: float) -> float:
        return float(np.abs(film.sound_at(from_s, round((to_s - from_s) * avcompare.RATE_HZ))).max())

    assert loudest(begin_s, end_s) == 0
    assert loudest(0, begin_s) > 0.1
    assert loudest(end_s, end_s + 2) > 0.1


@pytest.fixture
def camera(agency, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = Camera(agency, tmp_path, monkeypatch).start()
    yield made
    made.recorder.close()


def ask(camera: Camera, command: str, actor: Actor = Actor.CTL) -> int:
    """Returns an instant right before it."""
    takes, at_ns = camera.recorder._takes, camera.clock.now_ns
    {"mute": takes.mute, "unmute": takes.unmute}[command](actor)
    return at_ns


def switched(camera: Camera) -> list[dict[str, Any]]:
    """All that the log says of the sound."""
    return [body for body in camera.bodies() if body["type"] in ("mute", "unmute")]


def says(camera: Camera, turned: list[tuple[str, str, int]]) -> bool:
    """Whether the log says of the sound just this: what, by whom, and when."""
    told = switched(camera)
    same = [(body["type"], body["actor"]) for body in told] == [(what, by) for what, by, _ in turned]
    return same and all(
        0 <= body["mono_ns"] - at_ns < NS // 100 for body, (*_, at_ns) in zip(told, turned, strict=True)
    )


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
    assert first["actor"] == second["actor"] == "ctl", "who muted it, not who began it anew"


def test_who_mutes_while_the_camera_is_away_is_heard(camera: Camera) -> None:
    camera.recorder._record("ctl")
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.ticks(12)
    at_ns = ask(camera, "mute", Actor.OFFICER)
    assert camera.said("mute") == []
    camera.lens = None
    camera.ticks(12)
    assert camera.is_(State.RECORDING) and camera.intake.muted
    assert says(camera, [("mute", "officer", at_ns)]), switched(camera)
    assert camera.said("mute")[0]["reason"] == "before this one began"


def test_sound_that_was_off_and_on_again_while_a_recording_waited_is_in_its_log_with_who_and_when(
    camera: Camera,
) -> None:
    """Its ring may reach back to before: what is silent there has its reason."""
    camera.recorder._record("ctl")
    first_ns = ask(camera, "mute", Actor.OFFICER)
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.ticks(12)
    turned = [("mute", "officer", first_ns)] * 2
    for command, actor in (("unmute", Actor.CTL), ("mute", Actor.OFFICER), ("unmute", Actor.OFFICER)):
        turned.append((command, actor.value, ask(camera, command, actor)))
        camera.ticks(4)
    camera.lens = None
    camera.ticks(12)
    assert camera.is_(State.RECORDING) and not camera.intake.muted
    assert says(camera, turned), switched(camera)
    turned.append(("mute", "ctl", ask(camera, "mute")))
    assert says(camera, turned), "nothing is said twice"


def test_what_waits_to_be_said_of_the_sound_is_bounded_and_sound_comes_back_in_any_case(camera: Camera) -> None:
    camera.recorder._record("ctl")
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.ticks(12)
    for _ in range(REASONS_KEPT // 2):
        ask(camera, "mute")
        ask(camera, "unmute")
    with pytest.raises(UsageError, match="too often"):
        ask(camera, "mute")
    assert not camera.recorder.status()["muted"]
    camera.lens = None
    camera.ticks(12)
    assert len(switched(camera)) == REASONS_KEPT
    ask(camera, "mute")
    assert camera.intake.muted


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
