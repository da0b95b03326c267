"""A picture that stalled shortly before the end: of a part that sound cut meanwhile nobody knew how long its last
picture lasts, and libavformat takes it for longer than the pictures that came after it.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from agent.errors import EvidenceError
from agent.evidence import remux
from agent.media.encoder import AacEncoder, H264Encoder, H264Settings
from agent.model import AUDIO_HZ, VIDEO_HZ, MediaPart, StreamInfo
from tests.builders import Camera
from tests.evidence.shown_kit import EDIT, MVHD, SOUND, TKHD, Change, ended, moved
from tests.evidence.test_shown import end_of
from tests.evidence.test_shown_colours import camera_of
from tests.media.test_parts import mux

STALLS = [(45_000, 2), (45_000, 12), (80_000, 2), (80_000, 12)]
"""How long in ticks of the picture, and how many pictures came after it."""


@cache
def stalled(ticks: int, after: int) -> tuple[bytes, list[MediaPart]]:
    """(init, parts) of two seconds, a stall, and some pictures more, with sound all the while."""
    begin = 59 * VIDEO_HZ // 30
    times = [number * VIDEO_HZ // 30 for number in range(60)]
    times += [begin + ticks + number * VIDEO_HZ // 30 for number in range(after)]
    pictures = [av.VideoFrame.from_ndarray(np.full((96, 64), n, np.uint8), format="yuv420p") for n in range(len(times))]
    h264, aac = H264Encoder(pictures[0], 30, H264Settings(500, "ultrafast")), AacEncoder()
    packets = [p for picture, at in zip(pictures, times, strict=True) for p in h264.encode(picture, at)]
    packets += aac.encode(0, bytes(2 * (times[-1] * AUDIO_HZ // VIDEO_HZ)))
    info = StreamInfo(64, 64, h264.extradata, aac.extradata, 0)
    return mux(info, sorted(packets, key=lambda packet: packet.pts_ns))


def stalled_camera() -> Camera:
    """Its recording begins at 08:00:06."""
    return camera_of(*stalled(80_000, 12), "cam-0004")


def exported(place: Path, ticks: int, after: int) -> tuple[Path, Path, Fraction]:
    """The parts as they are, what an export makes of them, and when they end."""
    init, parts = stalled(ticks, after)
    plain, film = place / "plain.mp4", place / "film.mp4"
    plain.write_bytes(init + b"".join(part.data for part in parts))
    remux.remux(plain, film, end_of(parts))
    return plain, film, end_of(parts)


@pytest.mark.parametrize(("ticks", "after"), STALLS)
def test_a_stall_shortly_before_the_end_is_exported_as_an_ordinary_film(ticks: int, after: int, tmp_path: Path) -> None:
    plain, film, end_s = exported(tmp_path, ticks, after)
    remux.compare(plain, film, end_s)


def later(ticks: int) -> Change:
    """The picture's edit ends so much later, and with it track and movie."""

    def change(data: bytearray) -> None:
        for one in (ended(EDIT, ticks), moved(TKHD, 20, ticks), moved(MVHD, 16, ticks)):
            one(data)

    return change


def sound(ticks: int) -> Change:
    def change(data: bytearray) -> None:
        for one in (ended("moov/trak1/edts/elst", ticks), moved(SOUND, 20, ticks)):
            one(data)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (later(36_000), "of track 0 end +0.872 s off its end"),
        (later(-720_000), "of track 0 end -0.178 s off its end"),
        (sound(720_000), "of track 1 end +1.000 s off its end"),
    ],
    ids=["later than the parts", "before the last picture ends", "sound later than the parts"],
)
def test_no_edit_ends_behind_the_parts_or_before_its_samples(change: Change, words: str, tmp_path: Path) -> None:
    plain, film, end_s = exported(tmp_path, 80_000, 2)
    data = bytearray(film.read_bytes())
    change(data)
    film.write_bytes(data)
    with pytest.raises(EvidenceError, match=re.escape(words)):
        remux.compare(plain, film, end_s)
