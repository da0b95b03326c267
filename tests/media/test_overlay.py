"""Text in the picture: what it says of time, that it can be read after the encoder, and that nothing else changes."""

from __future__ import annotations

import io
from datetime import timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, features

from agent.clock import Utc
from agent.errors import DeviceError
from agent.media.encoder import H264Encoder, H264Settings
from agent.media.overlay import FONT, DateLine, Overlay
from agent.model import NS, VIDEO_HZ, YuvPlanes
from tests import media_samples

NOON_UTC = 1_782_907_200  # 2026-07-01 12:00:00
CASABLANCA = timezone(timedelta(hours=1))
SIZES = [(160, 120), (320, 240), (640, 360), (1280, 720), (1920, 1080)]


class Clock:
    """Noon when it is made, and as sure of it as it is told to be."""

    boot_id = "11111111-2222-3333-4444-555555555555"
    begun_ns = 1_000 * NS

    def __init__(self) -> None:
        self.now_ns, self.source = self.begun_ns, "synchronised"

    def monotonic_ns(self) -> int:
        return self.now_ns

    def boottime_ns(self) -> int:
        return self.now_ns

    def utc(self) -> Utc:
        return Utc(NOON_UTC * NS + self.now_ns - self.begun_ns, self.source, None)


def luma(picture: av.VideoFrame) -> NDArray[np.uint8]:
    return picture.to_ndarray()[: picture.height]


def noise(width: int, height: int, seed: int = 1) -> av.VideoFrame:
    """Dark on the left, bright on the right, grain everywhere: no ground is harder to read on."""
    ramp = np.linspace(20, 220, width)[None, :] + np.random.default_rng(seed).integers(
        -20, 20, (height * 3 // 2, width)
    )
    return av.VideoFrame.from_ndarray(np.clip(ramp, 0, 255).astype(np.uint8), format="yuv420p")


def encoded(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """As a player shows it after the encoder, at a low bitrate."""
    encoder = H264Encoder(picture, 30, H264Settings(bitrate_kbps=800, preset="superfast"))
    packets = encoder.encode(picture, VIDEO_HZ) + encoder.flush()
    with av.open(io.BytesIO(encoder.extradata + b"".join(p.data for p in packets)), format="h264") as film:
        return luma(next(film.decode(video=0)))


# -- what it says --------------------------------------------------------------------------------------------------


def test_a_picture_bears_the_time_of_its_capture_not_of_its_encoding() -> None:
    clock = Clock()
    dates = DateLine(clock, CASABLANCA)
    clock.now_ns += 10 * NS
    assert dates.at(clock.now_ns) == "2026-07-01 13:00:10 +01:00"
    assert dates.at(clock.now_ns - 4 * NS) == "2026-07-01 13:00:06 +01:00"


def test_the_offset_is_the_zones_on_that_day() -> None:
    assert DateLine(Clock(), ZoneInfo("Europe/Paris")).at(Clock().now_ns).endswith("14:00:00 +02:00")


def test_a_clock_that_was_never_set_shows_no_date() -> None:
    clock = Clock()
    clock.source = "unverified"
    dates = DateLine(clock, CASABLANCA)
    clock.now_ns += 3_725 * NS
    assert dates.at(clock.now_ns) == "CLOCK NOT SET  +1:02:05"
    clock.source = "synchronised"
    assert dates.at(clock.now_ns).startswith("2026-07-01 14:02:05")
    # Somebody set it by hand.
    clock.source = "unverified"
    assert dates.at(clock.now_ns) == "CLOCK NOT SET  +1:02:05"


# -- that it can be read -------------------------------------------------------------------------------------------


@pytest.mark.wide
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_second_can_be_read_back_after_the_encoder(width: int, height: int) -> None:
    """Of the sixty pictures a minute could have shown, the one with the right second is the nearest, every time."""
    clock = Clock()
    dates = DateLine(clock, CASABLANCA)

    def burned(second: int, ground: av.VideoFrame) -> av.VideoFrame:
        return Overlay(dates, ["cam-0001", "Brigade 7"]).burn(ground, clock.now_ns + second * NS)

    def lower(picture: NDArray[np.uint8]) -> NDArray[np.int16]:
        return picture[height // 2 :].astype(np.int16)

    flat = np.full((height * 3 // 2, width), 128, np.uint8)
    shown = [lower(luma(burned(s, av.VideoFrame.from_ndarray(flat, format="yuv420p")))) for s in range(60)]
    text = np.ptp(shown, axis=0) > 0
    texts = [one[text] for one in shown]
    for second in (7, 38):
        seen = lower(encoded(burned(second, noise(width, height, second))))[text]
        assert int(np.argmin([np.abs(seen - one).mean() for one in texts])) == second


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_line_lies_within_the_picture(width: int, height: int) -> None:
    flat = np.full((height * 3 // 2, width), 128, np.uint8)
    labels = ["cam-0123456789-0123456789-01", "وحدة المرور - الدار البيضاء"]
    changed = (
        luma(
            Overlay(DateLine(Clock(), CASABLANCA), labels).burn(
                av.VideoFrame.from_ndarray(flat, format="yuv420p"), Clock().now_ns
            )
        )
        != 128
    )
    rows, columns = changed.any(axis=1).nonzero()[0], changed.any(axis=0).nonzero()[0]
    assert rows[0] > 0 and columns[0] > 0
    assert rows[-1] < height - 1 and columns[-1] < width - 1
    assert rows[-1] - rows[0] >= 9


def test_arabic_is_joined_and_runs_from_right_to_left() -> None:
    """The same as its letters drawn one by one in the forms that they have at the beginning, middle and end."""
    assert features.check("raqm") and features.check("fribidi")

    def drawn(text: str, layout: ImageFont.Layout) -> NDArray[np.uint8]:
        image = Image.new("L", (200, 60))
        font = ImageFont.truetype(FONT, 40, layout_engine=layout)
        ImageDraw.Draw(image).text((10, 5), text, fill=255, font=font)
        return np.asarray(image)

    logical, visual = "بيت", "\ufe96\ufef4\ufe91"
    shaped = drawn(logical, ImageFont.truetype(FONT, 40).layout_engine).astype(int)

    def off(text: str) -> float:
        return float(np.abs(shaped - drawn(text, ImageFont.Layout.BASIC)).mean() / shaped.mean())

    # Advances are rounded otherwise, no more.
    assert off(visual) < 0.1
    assert off(visual[::-1]) > 0.5
    assert off(logical) > 0.5


def burned_flat(*labels: str, height: int = 720) -> NDArray[np.uint8]:
    """On grey ground, wide enough for one line."""
    flat = np.full((height * 3 // 2, height * 16 // 9 // 2 * 2), 128, np.uint8)
    frame = av.VideoFrame.from_ndarray(flat, format="yuv420p")
    return luma(Overlay(DateLine(Clock(), CASABLANCA), labels).burn(frame, Clock().now_ns))


def used_columns(picture: NDArray[np.uint8]) -> int:
    """Without the edge of the last letter, into which the next one may reach."""
    return int((picture != 128).any(axis=0).nonzero()[0][-1]) - 2


@pytest.mark.parametrize("name", ["0001", "cam-0001"])
def test_a_date_and_a_number_stay_in_front_of_an_arabic_name(name: str) -> None:
    """On one line: what is to its right does not turn them round."""
    alone, both = burned_flat(name), burned_flat(name, "الدائرة 3")
    used = used_columns(alone)
    assert (both[:, :used] == alone[:, :used]).all()
    assert (both[:, used:] != alone[:, used:]).any()


def test_behind_others_an_arabic_name_with_a_latin_end_keeps_its_order() -> None:
    """Read from the right, as on a line of its own, it ends with B, which so comes first behind the camera's name."""
    ends, name = burned_flat("cam-0001", "B"), burned_flat("cam-0001", "فرقة B")
    used = used_columns(ends)
    assert (name[:, :used] == ends[:, :used]).all()


def test_of_two_arabic_names_on_a_line_the_first_stays_in_front() -> None:
    first, both = burned_flat("cam-0001", "فرقة"), burned_flat("cam-0001", "فرقة", "بيت")
    used = used_columns(first)
    assert (both[:, :used] == first[:, :used]).all()


@pytest.mark.parametrize("height", [160, 360, 720, 1080])
def test_what_keeps_a_name_in_its_order_is_not_seen(height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    isolated = burned_flat("cam-0001", "فرقة", height=height)
    monkeypatch.setattr("agent.media.overlay._isolated", lambda text: text)
    assert (burned_flat("cam-0001", "فرقة", height=height) == isolated).all()


# -- that nothing else changes -------------------------------------------------------------------------------------


def test_what_a_decoder_still_needs_is_not_written_to() -> None:
    """Later pictures of a clip are made from earlier ones: burned in there, text would smear through the film."""
    overlay = Overlay(DateLine(Clock(), CASABLANCA), ["cam-0001"])
    with av.open(str(media_samples.cartoon())) as plain, av.open(str(media_samples.cartoon())) as burned:
        for number, (one, other) in enumerate(zip(plain.decode(video=0), burned.decode(video=0), strict=False)):
            before = luma(one)
            after = luma(overlay.burn(other, Clock().now_ns))
            text = before != after
            assert text.any()
            assert not text[: before.shape[0] * 3 // 4].any()
            if number == 20:
                break


def test_other_formats_become_what_the_encoder_takes() -> None:
    picture = noise(320, 240).reformat(format="yuv422p")
    burned = Overlay(DateLine(Clock(), CASABLANCA), []).burn(picture, Clock().now_ns)
    assert burned.format.name == "yuv420p"


def test_a_change_of_size_is_followed() -> None:
    overlay = Overlay(DateLine(Clock(), CASABLANCA), [])
    for width, height in SIZES + SIZES[::-1]:
        overlay.burn(noise(width, height), Clock().now_ns)
    assert overlay.trouble is None


# -- where it cannot -----------------------------------------------------------------------------------------------


def test_without_its_font_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="font") as caught:
        Overlay(DateLine(Clock(), CASABLANCA), [], font=str(tmp_path / "none.ttf"))
    assert "fonts-dejavu-core" in caught.value.hint


def test_a_failure_gives_the_picture_as_it_is_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    overlay, picture = Overlay(DateLine(Clock(), CASABLANCA), []), noise(320, 240)
    before = picture.to_ndarray()
    monkeypatch.setattr(overlay, "_draw", lambda *_: [][1])
    assert np.array_equal(overlay.burn(picture, Clock().now_ns).to_ndarray(), before)
    assert "IndexError" in str(overlay.trouble)


@pytest.mark.parametrize("interleaved", [False, True])
def test_a_cameras_own_buffer_bears_the_same_text_whatever_its_layout(interleaved: bool) -> None:
    """Rows that are longer than the picture, and colours apart or pixel by pixel, as drivers hold them."""
    picture = noise(320, 240)
    planes = [np.array(plane) for plane in np.split(picture.to_ndarray(), [240])]
    wide = np.zeros((240, 384), np.uint8)
    wide[:, :320] = planes[0]
    colours = planes[1].reshape(2, 120, 160)
    if interleaved:
        both = np.zeros((120, 384), np.uint8)
        both[:, 0:320:2], both[:, 1:320:2] = colours
        blue, red = both[:, 0:320:2], both[:, 1:320:2]
    else:
        apart = np.zeros((2, 120, 192), np.uint8)
        apart[:, :, :160] = colours
        blue, red = apart[0, :, :160], apart[1, :, :160]
    overlay = Overlay(DateLine(Clock(), CASABLANCA), ["cam-0001"])
    overlay.burn_planes(YuvPlanes(wide[:, :320], blue, red), Clock().now_ns)
    burned = Overlay(DateLine(Clock(), CASABLANCA), ["cam-0001"]).burn(picture, Clock().now_ns).to_ndarray()
    assert np.array_equal(wide[:, :320], burned[:240])
    assert np.array_equal(np.stack([blue, red]), burned[240:].reshape(2, 120, 160))
    assert not wide[:, 320:].any() and overlay.trouble is None


def test_a_failure_in_a_cameras_buffer_says_why_too(monkeypatch: pytest.MonkeyPatch) -> None:
    overlay = Overlay(DateLine(Clock(), CASABLANCA), [])
    monkeypatch.setattr(overlay, "_draw", lambda *_: [][1])
    planes = [np.zeros(size, np.uint8) for size in ((240, 320), (120, 160), (120, 160))]
    overlay.burn_planes(YuvPlanes(*planes), Clock().now_ns)
    assert "IndexError" in str(overlay.trouble)
