"""Only `auto` chooses; what is named is used or is an error that says so. The test machine has neither webcam nor
microphone.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.capture import choose, microphone, webcam
from agent.capture.clip import ClipAudio, ClipVideo
from agent.capture.reviving import Reviving
from agent.capture.synthetic import SyntheticCamera, SyntheticMicrophone
from agent.clock import SystemClock
from agent.config import Config
from agent.errors import DeviceError, UsageError
from tests import media_samples


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What is plugged in, to be set by a test."""
    plugged: Any = SimpleNamespace(cameras=[], microphone=None)
    monkeypatch.setattr(webcam, "connected", lambda: plugged.cameras)
    monkeypatch.setattr(webcam, "require", lambda index: None)
    monkeypatch.setattr(microphone, "default_name", lambda: plugged.microphone)
    return cast(SimpleNamespace, plugged)


def test_auto_takes_the_twin_where_nothing_is_plugged_in_and_says_so(desk: SimpleNamespace) -> None:
    choice = choose.choose("auto", "auto")
    assert (choice.video, choice.audio) == ("synthetic", "synthetic")
    assert "no webcam" in choice.video_words and "twin" in choice.audio_words


def test_auto_takes_webcam_and_microphone_where_they_are(desk: SimpleNamespace) -> None:
    desk.cameras, desk.microphone = [2, 4], "USB Audio"
    choice = choose.choose("auto", "auto")
    assert (choice.video, choice.audio) == ("webcam:2", "default")
    assert "USB Audio" in choice.audio_words


def test_a_bare_webcam_is_the_first_that_is_connected_and_never_what_happens_to_be_there(
    desk: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webcam, "title", lambda index: "bcm2835-isp")
    with pytest.raises(DeviceError, match="no webcam is connected: /dev/video0 is bcm2835-isp"):
        choose.choose("webcam", "none")
    assert choose.choose("webcam:0", "none").video == "webcam:0"
    desk.cameras = [4]
    assert choose.choose("webcam", "none").video == "webcam:4"


def test_a_real_picture_never_gets_a_synthetic_sound(desk: SimpleNamespace) -> None:
    desk.cameras = [0]
    choice = choose.choose("auto", "auto")
    assert choice.audio == "none" and "no sound" in choice.audio_words


def test_a_clip_brings_its_own_sound_and_length() -> None:
    choice = choose.choose(f"clip:{media_samples.cartoon()}", "auto")
    assert choice.audio == "clip"
    assert choice.clip_s == pytest.approx(5.31, abs=0.01)


def test_the_twin_that_encodes_is_chosen_by_name_with_the_pictures_that_are_configured() -> None:
    choice = choose.choose("encoded", "auto")
    assert (choice.video, choice.audio) == ("encoded", "synthetic")
    with pytest.raises(UsageError):
        choose.choose("encoded:1", "auto")


@pytest.mark.parametrize("mic", ["none", "synthetic"])
def test_the_sound_may_be_chosen_apart(mic: str) -> None:
    assert choose.choose("synthetic", mic).audio == mic
    assert choose.choose(f"clip:{media_samples.phone()}", mic).audio == mic


@pytest.mark.parametrize(
    ("source", "mic", "error", "words"),
    [
        ("webcam:9", "auto", DeviceError, "no webcam 9"),
        ("webcam", "none", DeviceError, "no webcam 0"),
        ("synthetic", "Rode", DeviceError, "no microphone named 'Rode'"),
        ("clip:/no/such.mp4", "auto", DeviceError, "no clip"),
        ("synthetic", "clip", UsageError, "--source clip"),
        ("television", "auto", UsageError, "unknown source"),
        ("clip:", "auto", UsageError, "unknown source"),
        ("webcam:Razer", "auto", DeviceError, "no webcam named 'Razer'"),
        ("webcam:/dev/v4l/by-path/none", "auto", DeviceError, "no webcam at"),
    ],
)
def test_what_is_named_is_never_replaced(source: str, mic: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        choose.choose(source, mic)


def config(video: str, audio: str) -> Config:
    picture = SimpleNamespace(source=video, width=320, height=240, fps=30, pixel_format="yuyv", loop=True)
    return cast(Config, SimpleNamespace(video=picture, audio=SimpleNamespace(source=audio)))


def test_a_configuration_opens_what_it_names() -> None:
    clip = f"clip:{media_samples.phone()}"
    for video, audio, kinds in (
        ("synthetic", "synthetic", (SyntheticCamera, SyntheticMicrophone)),
        ("synthetic", "none", (SyntheticCamera, type(None))),
        ("synthetic", "default", (SyntheticCamera, Reviving)),
        (clip, "clip", (ClipVideo, ClipAudio)),
        (clip, "none", (ClipVideo, type(None))),
        ("webcam:0", "default", (webcam.Webcam, Reviving)),
    ):
        assert tuple(type(s) for s in choose.open_sources(config(video, audio), SystemClock())) == kinds


@pytest.mark.parametrize(("video", "audio"), [("television", "none"), ("synthetic", "clip")])
def test_a_configuration_that_cannot_be_met_is_an_error(video: str, audio: str) -> None:
    with pytest.raises(DeviceError) as caught:
        choose.open_sources(config(video, audio), SystemClock())
    assert caught.value.hint


def test_a_clip_without_sound_is_said_by_choose_and_refused_by_a_configuration(tmp_path: Path) -> None:
    import subprocess

    path = tmp_path / "mute.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(media_samples.phone()), "-c:v", "copy", "-an", str(path)]
    subprocess.run(command, check=True, timeout=60)
    choice = choose.choose(f"clip:{path}", "auto")
    assert choice.audio == "none" and "has no sound" in choice.audio_words
    with pytest.raises(DeviceError, match="has no sound"):
        choose.choose(f"clip:{path}", "clip")
    with pytest.raises(DeviceError, match="has no sound"):
        choose.open_sources(config(f"clip:{path}", "clip"), SystemClock())
