"""Which camera, which microphone: words in, sources out. Only `auto` may choose; whatever is named is used, or is an
error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from agent.capture import board, microphone, webcam
from agent.capture.base import AudioSource, EncodedSource, VideoSource
from agent.capture.clip import Clip
from agent.capture.encoded import EncodedCamera
from agent.capture.mixer import Gain
from agent.capture.pacing import Epoch
from agent.capture.picamera import PiCamera
from agent.capture.reviving import Reviving
from agent.capture.synthetic import SyntheticCamera, SyntheticMicrophone
from agent.clock import Clock
from agent.config import Config
from agent.configrules import AUTO
from agent.errors import DeviceError, UsageError

TWINS = ("synthetic", "encoded")
"""Sources of pictures that are made here; a clip was a camera's once."""
SOURCES = "auto, picamera, webcam, webcam:N, webcam:NAME, webcam:/dev/v4l/by-path/..., clip:FILE, synthetic or encoded"


@dataclass(frozen=True, slots=True)
class Choice:
    """`video` and `audio` as the configuration names them; the words say to people what was chosen and why. `clip_s`
    is the length of the clip, where it is one.
    """

    video: str
    audio: str
    video_words: str
    audio_words: str
    clip_s: float | None = None


def choose(source: str, mic: str) -> Choice:
    """Resolve `--source` and `--mic`. Raises UsageError for words that mean nothing, DeviceError for a named device
    that is not there.
    """
    kind, _, rest = source.partition(":")
    if kind == "clip" and rest:
        return _clip(rest, mic)
    if mic == "clip":
        raise UsageError("--mic clip needs --source clip:FILE", "name the clip, or another microphone")
    if source == "auto":
        return _auto(mic)
    if source == "synthetic":
        return _with_sound("synthetic", "the synthetic twin", "synthetic" if mic == "auto" else mic)
    if source == "picamera":
        return _with_sound("picamera", "the Pi camera", mic)
    if source == "encoded":
        return _with_sound("encoded", "the twin of a camera that encodes", "synthetic" if mic == "auto" else mic)
    if kind == "webcam":
        which = rest or str(_first_webcam())
        index = webcam.find(which)
        webcam.require(index)
        return _with_sound(f"webcam:{which}", f"webcam {index}, {webcam.title(index)}", mic)
    raise UsageError(f"unknown source {source!r}", f"one of: {SOURCES}")


def sized(config: Config) -> Config:
    """The configuration, with the size of the picture that is `auto` on this board."""
    if config.video.width != AUTO:
        return config
    width, height = board.picture_size(config.video.source, board.model())
    return replace(config, video=replace(config.video, width=width, height=height))


def open_sources(
    config: Config, clock: Clock, gain: Gain | None = None
) -> tuple[VideoSource | EncodedSource, AudioSource | None]:
    """The sources a configuration names, not yet started; a microphone's card gets this gain. Raises DeviceError
    where one is missing.
    """
    config = sized(config)
    video, audio = config.video, config.audio.source
    kind, _, rest = video.source.partition(":")
    epoch = Epoch()
    if kind == "clip":
        clip = Clip(Path(rest), video.loop)
        return clip.video, _clip_sound(clip) if audio == "clip" else _sound(audio, epoch, gain)
    if kind == "webcam":
        return webcam.Webcam(rest or "0", video.width, video.height, video.fps, video.pixel_format), _sound(
            audio, epoch, gain
        )
    if kind == "synthetic":
        return SyntheticCamera(video.width, video.height, video.fps, epoch), _sound(audio, epoch, gain)
    if kind == "picamera":
        lowest = max(1, video.fps * min(rate for _, rate, _ in config.ladder.shares()) // 100)
        camera = PiCamera(video.width, video.height, video.fps, video.bitrate_kbps, video.gop_s, video.preset, lowest)
        return camera, _sound(audio, epoch, gain)
    if kind == "encoded":
        twin = EncodedCamera(video.width, video.height, video.fps, video.bitrate_kbps, epoch)
        return twin, _sound(audio, epoch, gain)
    raise DeviceError(
        f"this version has no driver for {video.source!r}",
        'set [video] source to "webcam:N", "clip:FILE" or "synthetic"',
    )


def _sound(name: str, epoch: Epoch, gain: Gain | None) -> AudioSource | None:
    if name == "none":
        return None
    if name == "synthetic":
        return SyntheticMicrophone(epoch)
    if name == "clip":
        raise DeviceError(
            "the sound is to come from a clip, but the picture does not", "set [video] source to clip:FILE"
        )
    return Reviving(f"microphone {name}", lambda: microphone.Microphone(name, gain=gain))


def _clip_sound(clip: Clip) -> AudioSource:
    if clip.audio is None:
        raise DeviceError(f"the clip {clip.path} has no sound", 'set [audio] source to "none"')
    return clip.audio


def _auto(mic: str) -> Choice:
    cameras = webcam.connected()
    if not cameras:
        words = "no webcam is connected, so the synthetic twin stands in"
        return _with_sound("synthetic", words, "synthetic" if mic == "auto" else mic)
    return _with_sound(f"webcam:{cameras[0]}", f"webcam {cameras[0]}, {webcam.title(cameras[0])}", mic)


def _first_webcam() -> int:
    cameras = webcam.connected()
    if not cameras:
        webcam.require(0)
        raise DeviceError(
            f"no webcam is connected: /dev/video0 is {webcam.title(0)}", 'name it if you mean it: "webcam:0"'
        )
    return cameras[0]


def _with_sound(video: str, video_words: str, mic: str) -> Choice:
    if mic == "none":
        return Choice(video, "none", video_words, "none, as asked")
    if mic == "synthetic":
        return Choice(video, "synthetic", video_words, "the synthetic twin, a beep each second")
    if mic == "auto":
        found = microphone.default_name()
        if found is None:
            return Choice(video, "none", video_words, "no microphone is connected, so there is no sound")
        return Choice(video, microphone.DEFAULT, video_words, f"the default microphone, {found}")
    return Choice(video, mic, video_words, microphone.require(mic))


def _clip(name: str, mic: str) -> Choice:
    clip = Clip(Path(name))
    words = f"the clip {name}, {clip.duration_s:.2f} s, at its own pace"
    video = f"clip:{Path(name).absolute()}"
    if mic not in ("auto", "clip"):
        sound = _with_sound(video, words, mic)
        return Choice(video, sound.audio, words, sound.audio_words, clip.duration_s)
    if clip.has_sound:
        return Choice(video, "clip", words, "the clip's own", clip.duration_s)
    if mic == "clip":
        _clip_sound(clip)
    return Choice(video, "none", words, "none: the clip has no sound", clip.duration_s)
