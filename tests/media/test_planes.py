"""Colours come out of the encoder as they went in, for a player that believes what the stream says and guesses nothing
(ITU-T H.264, E.2.1: matrix, range, primaries and transfer).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from agent.capture.webcam import _to_yuv
from agent.intake.paths import RawPath
from agent.media.encoder import H264Settings
from agent.model import VideoFrame

COLOUR = (200, 60, 30)
BT709, BT601, UNSAID, RGB = 1, 6, 2, 0
NARROW, FULL = 1, 2
WEIGHTS = {BT709: (0.2126, 0.0722), BT601: (0.299, 0.114), 5: (0.299, 0.114)}
"""Of red and blue in the luma of each matrix (ITU-T H.273, table 4)."""


def rgb(colorspace: int = UNSAID, color_range: int = 0) -> av.VideoFrame:
    pixels = np.full((144, 192, 3), COLOUR, np.uint8)
    made = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    made.colorspace, made.color_range = colorspace, color_range
    return made


def yuv(pixel_format: str, matrix: int, color_range: int) -> av.VideoFrame:
    made = rgb().reformat(format=pixel_format, dst_colorspace={BT709: 1, BT601: 5}[matrix], dst_color_range=color_range)
    made.colorspace, made.color_range = matrix, color_range
    return made


def webcam(pixel_format: str) -> Any:
    if pixel_format == "MJPG":
        return _to_yuv(np.full((144, 192, 3), COLOUR[::-1], np.uint8))
    yuyv = yuv("yuyv422", BT601, NARROW)
    return _to_yuv(yuyv.to_ndarray().reshape(144, 192, 2))


def decoded(picture: av.VideoFrame) -> av.VideoFrame:
    """After the way from a lens that gives frames."""
    path = RawPath(SimpleNamespace(fps=30, name="lens"), H264Settings(2000, "ultrafast"), None, lambda _: None, None)
    (packet,) = path.take(VideoFrame(0, 0, picture), 0)
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = path.stream()[0]
    (shown,) = [*decoder.decode(av.Packet(packet.data)), *decoder.decode(None)]
    return shown


def as_shown(picture: av.VideoFrame) -> list[float]:
    """Its first pixel in RGB, by what it says of itself."""
    assert picture.format.name in ("yuv420p", "yuvj420p")
    planes, rows = picture.to_ndarray(), picture.height
    luma, blue, red = (float(planes.flat[at]) for at in (0, planes.shape[1] * rows, planes.shape[1] * rows * 5 // 4))
    full = picture.color_range == FULL
    y = luma / 255 if full else (luma - 16) / 219
    pb, pr = ((chroma - 128) / (255 if full else 224) for chroma in (blue, red))
    of_red, of_blue = WEIGHTS[picture.colorspace]
    r, b = y + 2 * (1 - of_red) * pr, y + 2 * (1 - of_blue) * pb
    return [255 * value for value in (r, (y - of_red * r - of_blue * b) / (1 - of_red - of_blue), b)]


@pytest.mark.parametrize("pixel_format", ["MJPG", "YUYV"])
def test_a_webcams_colours_are_shown_as_they_were_seen(pixel_format: str) -> None:
    shown = decoded(webcam(pixel_format))
    assert as_shown(shown) == pytest.approx(COLOUR, abs=3)
    said = (shown.color_primaries, shown.color_trc, shown.colorspace, shown.color_range)
    assert said == (BT709, BT709, BT601, NARROW)


@pytest.mark.parametrize("matrix", [BT709, BT601])
@pytest.mark.parametrize(
    "form", [("yuv420p", NARROW), ("yuvj420p", FULL), ("yuvj444p", FULL), ("yuv422p", NARROW), ("yuv420p10le", NARROW)]
)
def test_what_a_clip_says_of_its_colours_stays_said(matrix: int, form: tuple[str, int]) -> None:
    picture = yuv(form[0], matrix, form[1])
    picture.color_primaries, picture.color_trc = 9, 16
    shown = decoded(picture)
    assert (shown.colorspace, shown.color_range, shown.color_primaries, shown.color_trc) == (matrix, form[1], 9, 16)
    assert as_shown(shown) == pytest.approx(COLOUR, abs=3)


@pytest.mark.parametrize("said", [(UNSAID, 0), (RGB, FULL)])
def test_a_clip_of_rgb_says_which_matrix_it_was_given(said: tuple[int, int]) -> None:
    assert as_shown(decoded(rgb(*said))) == pytest.approx(COLOUR, abs=3)


def test_a_clip_that_says_nothing_says_nothing() -> None:
    assert decoded(av.VideoFrame(192, 144, "yuv420p")).colorspace == UNSAID
