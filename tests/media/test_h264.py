"""Access units taken apart, and the picture's size read from what real encoders write."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from agent.errors import DeviceError
from agent.media import h264

START = b"\x00\x00\x00\x01"


def first_unit(width: int, height: int, options: dict[str, str] | None = None, pixels: str = "yuv420p") -> bytes:
    """What x264 gives for one grey picture, parameter sets inline."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, pixels
    encoder.time_base = Fraction(1, 30)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", **(options or {})}
    image = np.full((height * 3 // 2, width), 99, np.uint8)
    frame = av.VideoFrame.from_ndarray(image, format="yuv420p").reformat(format=pixels)
    return b"".join(bytes(packet) for packet in encoder.encode(frame))


@pytest.mark.parametrize(
    ("width", "height"), [(160, 120), (320, 180), (1280, 720), (1920, 1080), (638, 482), (130, 98), (3840, 2160)]
)
def test_the_size_is_read_with_its_cropping(width: int, height: int) -> None:
    picture = h264.take_apart(first_unit(width, height))
    assert h264.picture_size(picture.parameters) == (width, height)
    assert picture.key


@pytest.mark.parametrize(
    ("options", "pixels"),
    [
        ({"profile": "baseline"}, "yuv420p"),
        ({"preset": "medium", "profile": "high"}, "yuv420p"),
        ({"preset": "medium", "x264-params": "cqm=jvt"}, "yuv420p"),
        ({"preset": "medium", "x264-params": "interlaced=1"}, "yuv420p"),
        ({"x264-params": "aud=1:nal-hrd=cbr:filler=1:bitrate=500:vbv-maxrate=500:vbv-bufsize=500"}, "yuv420p"),
        ({}, "yuv422p"),
        ({}, "yuv444p"),
    ],
)
def test_the_size_is_read_whatever_the_encoder_says_before_it(options: dict[str, str], pixels: str) -> None:
    parameters = h264.take_apart(first_unit(322, 184, options, pixels)).parameters
    assert h264.picture_size(parameters) == (322, 184)


NAMED = "colorprim=bt709:transfer=iec61966-2-1:colormatrix=smpte170m"


@pytest.mark.parametrize(
    ("said", "pixels", "found"),
    [
        (NAMED, "yuv420p", (1, 13, 6, False)),
        (NAMED, "yuvj420p", (1, 13, 6, True)),
        (f"{NAMED}:overscan=show:videoformat=pal", "yuv420p", (1, 13, 6, False)),
        (f"{NAMED}:sar=12/11", "yuv420p", (1, 13, 6, False)),
        (f"{NAMED}:sar=123/457:nal-hrd=vbr:vbv-maxrate=500:vbv-bufsize=500", "yuvj420p", (1, 13, 6, True)),
        (f"{NAMED}:interlaced=1:cqm=jvt", "yuv422p", (1, 13, 6, False)),
        ("colormatrix=smpte170m", "yuv420p", (2, 2, 6, False)),
        ("", "yuvj420p", None),
        ("sar=1/1", "yuv420p", None),
    ],
)
def test_the_colours_are_read_whatever_stands_before_them(
    said: str, pixels: str, found: tuple[int, int, int, bool] | None
) -> None:
    parameters = h264.take_apart(first_unit(322, 184, {"x264-params": said}, pixels)).parameters
    sets = [unit for unit in h264.nal_units(parameters) if unit[0] & 31 == 7]
    assert [h264.colours(one) for one in sets] == [found]


def test_a_unit_is_split_into_parameters_and_picture_without_delimiter_and_filler() -> None:
    sps, pps, slice_, sei = b"\x67\x01", b"\x68\x02", b"\x65\x03\x00\x00\x03\x01", b"\x06\x05"
    unit = START + b"\x09\xf0" + START + sps + START[1:] + pps + START + sei + START + slice_ + START + b"\x0c\xff\x80"
    picture = h264.take_apart(unit)
    assert picture.parameters == START + sps + START + pps
    assert picture.data == START + sei + START + slice_
    assert picture.key


def test_what_holds_only_a_picture_stays_as_it_is() -> None:
    unit = START + b"\x41\x9a\x00\x00\x03\x00"
    picture = h264.take_apart(unit)
    assert picture.data is unit and picture.parameters == b"" and not picture.key


@pytest.mark.parametrize("unit", [b"", b"\x00\x00\x01", b"noise", START + b"\x67\x01" + START + b"\x68\x02", bytes(9)])
def test_no_picture_is_found_where_there_is_none(unit: bytes) -> None:
    picture = h264.take_apart(unit)
    assert picture.data == b"" and not picture.key


@pytest.mark.parametrize(
    "parameters", [b"", START + b"\x68\x02", START + b"\x67", START + b"\x67" + bytes(8) + b"\x01"]
)
def test_a_set_that_cannot_be_read_is_an_error_of_the_device(parameters: bytes) -> None:
    with pytest.raises(DeviceError):
        h264.picture_size(parameters)


def test_every_cut_of_a_set_is_read_or_refused() -> None:
    """Damaged ones never end in another error, nor in a loop."""
    parameters = h264.take_apart(first_unit(638, 482, {"preset": "medium", "x264-params": "cqm=jvt"})).parameters
    for at in range(len(parameters)):
        for flipped in (parameters[:at], parameters[:at] + bytes([parameters[at] ^ 0xFF]) + parameters[at + 1 :]):
            try:
                width, height = h264.picture_size(flipped)
            except DeviceError:
                continue
            assert isinstance(width, int) and isinstance(height, int)
