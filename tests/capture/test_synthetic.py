"""The twins: readable by machine, and flash and beep begin together at each whole second."""

from __future__ import annotations

import threading

import av
import numpy as np
import pytest

from agent.capture.pacing import Epoch
from agent.capture.synthetic import FLASH_S, Painter, SyntheticCamera, SyntheticMicrophone, beep_second, read_strip
from agent.model import AUDIO_HZ, NS, AudioBlock, VideoFrame


@pytest.mark.parametrize(("width", "height"), [(160, 120), (320, 180), (640, 480), (1280, 720), (1920, 1080)])
@pytest.mark.parametrize("number", [0, 1, 29, 30, 12345, 2**31 + 5])
def test_the_number_is_read_back_from_the_strip(width: int, height: int, number: int) -> None:
    frame = Painter(width, height, 30).paint(number)
    assert frame.shape == (height * 3 // 2, width)
    assert read_strip(frame[:height]) == number


def test_the_digits_differ_for_each_number() -> None:
    painter = Painter(320, 180, 30)
    seen = {painter.paint(30 * number)[10:30].tobytes() for number in range(200)}
    assert len(seen) == 200


def test_each_second_begins_with_a_flash() -> None:
    painter = Painter(320, 180, 30)
    bright = [float(painter.paint(n)[120:180].mean()) > 200 for n in range(90)]
    assert [n for n in range(90) if bright[n]] == [s * 30 + n for s in range(3) for n in range(round(FLASH_S * 30))]


def test_each_second_begins_with_a_beep_of_1_khz() -> None:
    sound = np.frombuffer(beep_second(), "<i2").astype(float)
    beep = sound[: round(FLASH_S * AUDIO_HZ)]
    assert len(sound) == AUDIO_HZ and not sound[len(beep) :].any()
    spectrum = np.abs(np.fft.rfft(beep))
    assert np.argmax(spectrum) * AUDIO_HZ / len(beep) == 1000


def test_picture_and_sound_share_the_epoch() -> None:
    epoch = Epoch()
    frames: list[VideoFrame] = []
    blocks: list[AudioBlock] = []
    enough = threading.Event()
    camera, microphone = SyntheticCamera(320, 180, 30, epoch), SyntheticMicrophone(epoch)

    def take(frame: VideoFrame) -> None:
        frames.append(frame)
        if len(frames) > 40 and len(blocks) > 60:
            enough.set()

    camera.start(take, lambda signal: None)
    microphone.start(blocks.append, lambda signal: None)
    assert enough.wait(20)
    assert camera.stop() and microphone.stop()
    numbers = [read_strip(f.picture.to_ndarray()[:180]) for f in frames]
    assert numbers == [f.sequence for f in frames]
    zero = epoch.mono_ns()
    assert all(f.mono_ns == zero + f.sequence * NS // 30 for f in frames)
    loud = next(b for b in blocks[10:] if any(b.pcm))
    assert (loud.mono_ns - zero) % NS < 1000


def test_what_is_drawn_survives_the_encoder() -> None:
    """Read back after x264 at a low rate, as every test of the recorder does."""
    from agent.media.encoder import H264Encoder, H264Settings

    painter = Painter(320, 180, 30)
    frames = [av.VideoFrame.from_ndarray(painter.paint(n), format="yuv420p") for n in range(60)]
    encoder = H264Encoder(frames[0], 30, H264Settings(200, "ultrafast"))
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = encoder.extradata
    packets = [p for n, f in enumerate(frames) for p in encoder.encode(f, n * 3000)]
    shown = [f for p in packets for f in decoder.decode(av.Packet(p.data))] + decoder.decode(None)
    assert [read_strip(f.to_ndarray()[:180]) for f in shown] == list(range(60))
