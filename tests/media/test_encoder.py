"""The encoders: key frames by time, rates kept, one packet for each picture, sound in its place."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction

import av
import numpy as np
import pytest

from agent.capture.synthetic import Painter, beep_second
from agent.errors import DeviceError
from agent.media.encoder import AAC_FRAME, AacEncoder, H264Encoder, H264Settings
from agent.model import AUDIO_HZ, VIDEO_HZ, EncodedPacket, Track


def picture(number: int, painter: Painter = Painter(320, 180, 30)) -> av.VideoFrame:  # noqa: B008
    return av.VideoFrame.from_ndarray(painter.paint(number), format="yuv420p")


def noise(number: int) -> av.VideoFrame:
    """Pictures that do not compress, so that only rate control bounds them."""
    chance = np.random.default_rng(number // 2)
    return av.VideoFrame.from_ndarray(chance.integers(0, 255, (540, 640), dtype=np.uint8), format="yuv420p")


def encode(settings: H264Settings, stamps: list[int], fps: float = 30) -> list[EncodedPacket]:
    encoder = H264Encoder(picture(0), fps, settings)
    packets = []
    for number, pts in enumerate(stamps):
        made = encoder.encode(picture(number), pts)
        assert len(made) == 1, "a picture must not wait in the encoder"
        packets += made
    assert encoder.flush() == []
    return packets


@pytest.mark.parametrize("gop_s", [0.5, 1.0, 2.0])
def test_a_key_frame_comes_by_time(gop_s: float) -> None:
    packets = encode(H264Settings(500, "ultrafast", gop_s), [n * VIDEO_HZ // 30 for n in range(150)])
    keys = [p.pts / VIDEO_HZ for p in packets if p.key]
    assert keys == pytest.approx([n * gop_s for n in range(len(keys))])
    assert len(keys) == math.ceil(5 / gop_s)


def test_a_variable_rate_still_has_a_key_frame_each_second() -> None:
    stamps = [0]
    for step in [1500, 9000, 3000, 22_500, 4000] * 20:
        stamps.append(stamps[-1] + step)
    packets = encode(H264Settings(500, "ultrafast", 1.0), stamps)
    keys = [p.pts for p in packets if p.key]
    assert [p.pts for p in packets] == stamps
    assert max(b - a for a, b in itertools.pairwise(keys)) <= VIDEO_HZ


@pytest.mark.wide
@pytest.mark.parametrize(("fps", "told"), [(30, 30), (15, 15), (7.5, 30), (8, 30), (11, 30), (24, 30), (29.97, 30)])
@pytest.mark.parametrize("jitter_ms", [0.0, 4.0])
def test_key_frames_are_no_more_than_a_second_apart_at_a_rate_that_nobody_told(
    fps: float, told: float, jitter_ms: float
) -> None:
    chance = random.Random(1)
    stamps = [round((n / fps + chance.uniform(-jitter_ms, jitter_ms) / 1000 + 1) * VIDEO_HZ) for n in range(240)]
    packets = encode(H264Settings(500, "ultrafast", 1.0), stamps, told)
    keys = [p.pts for p in packets if p.key]
    apart = [b - a for a, b in itertools.pairwise(keys)]
    assert max(apart) <= VIDEO_HZ
    assert min(apart) >= VIDEO_HZ * (1 - 2 / fps) - jitter_ms * VIDEO_HZ / 500


def test_one_long_gap_does_not_make_key_frames_of_all_that_follow() -> None:
    stamps = [n * 3000 + 60_000 * (n > 40) for n in range(100)]
    keys = [p.pts for p in encode(H264Settings(500, "ultrafast", 1.0), stamps) if p.key]
    assert len(keys) <= 5


def test_decoded_pictures_do_not_smuggle_in_their_old_type() -> None:
    """A source's key frame stays an ordinary picture here: x264 obeys pict_type."""
    encoder = H264Encoder(picture(0), 30, H264Settings(500, "ultrafast"))
    keys = []
    for number in range(20):
        frame = picture(number)
        frame.pict_type = av.video.frame.PictureType.I
        keys += [p.key for p in encoder.encode(frame, number * 3000)]
    assert keys == [True] + [False] * 19


def test_stamps_that_stand_still_or_go_back_cost_no_picture() -> None:
    packets = encode(H264Settings(500, "ultrafast"), [0, 3000, 3000, 2000, 9000])
    assert [p.pts for p in packets] == [0, 3000, 3001, 3002, 9000]


def test_the_bitrate_is_kept_where_the_picture_asks_for_more() -> None:
    encoder = H264Encoder(noise(0), 30, H264Settings(2000, "ultrafast"))
    packets = [p for n in range(150) for p in encoder.encode(noise(n), n * 3000)]
    assert 1200 < sum(len(p.data) for p in packets) * 8 / 5 / 1000 < 2600


def test_bitrate_and_rate_change_without_new_parameter_sets() -> None:
    encoder = H264Encoder(noise(0), 30, H264Settings(4000, "ultrafast"))
    extradata, packets = encoder.extradata, list[EncodedPacket]()

    def second(number: int, every: int) -> int:
        """Kilobits of it, of every so manyeth picture."""
        made = [p for n in range(0, 30, every) for p in encoder.encode(noise(n), (30 * number + n) * 3000)]
        packets.extend(made)
        return sum(len(p.data) for p in made) * 8 // 1000

    usual = [second(n, 1) for n in range(5)]
    encoder.set_rate(2200, 15)
    lower = [second(n, 2) for n in range(5, 10)]
    encoder.set_rate(4000, 30)
    again = [second(n, 1) for n in range(10, 15)]
    assert lower[-1] <= 2200 * 1.1 < usual[-1] * 0.75
    assert again[-1] > 4000 * 0.8
    assert encoder.extradata == extradata
    assert [p.pts for p in packets if p.key] == [n * VIDEO_HZ for n in range(15)], (
        "a key frame each second all the same"
    )
    assert {p.duration for p in packets[150:225]} == {6000}
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = extradata
    shown = [f for p in packets for f in decoder.decode(av.Packet(p.data))] + decoder.decode(None)
    assert len(shown) == len(packets) == 375
    assert not any(unit[0] & 31 == 7 for p in packets[1:] for unit in p.data.split(b"\0\0\1")[1:]), (
        "no parameter set inside"
    )


def test_every_key_frame_decodes_with_the_parameter_sets_alone() -> None:
    encoder = H264Encoder(picture(0), 30, H264Settings(500, "ultrafast"))
    packets = [p for n in range(40) for p in encoder.encode(picture(n), n * 3000)]
    second_key = [p for p in packets if p.key][1]
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = encoder.extradata
    frames = [*decoder.decode(av.Packet(second_key.data)), *decoder.decode(None)]
    assert [(f.width, f.height) for f in frames] == [(320, 180)]


@pytest.mark.parametrize("size", [(321, 180), (320, 181)])
def test_an_odd_picture_is_a_device_error_that_says_so(size: tuple[int, int]) -> None:
    with pytest.raises(DeviceError, match="{}x{} .* must be even".format(*size)):
        H264Encoder(av.VideoFrame(*size, "yuv420p"), 30, H264Settings())


def test_an_impossible_preset_is_a_device_error() -> None:
    with pytest.raises(DeviceError, match="320x180"):
        H264Encoder(picture(0), 30, H264Settings(preset="never"))


@pytest.mark.parametrize("block", [1, 333, 1024, 4800])
def test_sound_comes_back_where_it_was(block: int) -> None:
    encoder = AacEncoder()
    sound = beep_second() * 2
    packets: list[EncodedPacket] = []
    for at in range(0, len(sound), block * 2):
        packets += encoder.encode(1000 + at // 2, sound[at : at + block * 2])
    packets += encoder.flush()
    assert [p.pts for p in packets] == [1000 + (n - 1) * AAC_FRAME for n in range(len(packets))]
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = encoder.extradata
    decoded = np.zeros(3 * AUDIO_HZ, dtype=np.float32)
    for packet in packets:
        raw = av.Packet(packet.data)
        raw.pts, raw.time_base = packet.pts + 24, Fraction(1, AUDIO_HZ)
        for frame in decoder.decode(raw):
            decoded[packet.pts + 24 :][: frame.samples] = frame.to_ndarray()[0]
    wanted = np.frombuffer(sound, "<i2").astype(np.float32) / 32768
    lags = {lag: float(decoded[1024 + lag :][: len(wanted)] @ wanted) for lag in range(-100, 101)}
    assert max(lags, key=lambda lag: lags[lag]) == 0
    assert all(p.track is Track.AUDIO and p.duration == AAC_FRAME for p in packets)


def test_sound_that_does_not_continue_is_refused() -> None:
    encoder = AacEncoder()
    encoder.encode(0, bytes(200))
    with pytest.raises(ValueError, match="50"):
        encoder.encode(50, bytes(200))
