"""The Pi camera as far as a machine without libcamera can tell; `make picamera-test` runs the real thing."""

from __future__ import annotations

import builtins
import itertools
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent.capture import board, choose, picamera, piencoder
from agent.capture.base import EncodedSource
from agent.capture.buffers import picture_of, planes_of
from agent.capture.picamera import PiCamera
from agent.capture.piencoder import Coding
from agent.clock import SystemClock
from agent.config import AudioConfig, VideoConfig
from agent.errors import DeviceError
from agent.model import NS
from agent.station.layout import AgencyPaths
from tests.recorder_kit import make_config

BOARDS = [
    ("Raspberry Pi Zero 2 W Rev 1.0\x00", (1280, 720)),
    ("Raspberry Pi 4 Model B Rev 1.5\x00", (1920, 1080)),
    ("Raspberry Pi 5 Model B Rev 1.0\x00", (1920, 1080)),
    ("", (1920, 1080)),
]


@pytest.mark.parametrize(("tree", "size"), BOARDS)
def test_auto_is_what_the_board_can_encode(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree: str, size: tuple[int, int]
) -> None:
    (tmp_path / "model").write_text(tree)
    name = board.model(tmp_path / "model")
    assert "\x00" not in name
    monkeypatch.setattr(board, "model", lambda: name)
    config = make_config(agency, tmp_path, video=VideoConfig(source="picamera"))
    video = choose.sized(config).video
    assert (video.width, video.height, video.fps) == (*size, 30)


def test_auto_is_720_rows_of_every_other_source_and_a_number_stays(agency: AgencyPaths, tmp_path: Path) -> None:
    for source, width, height in (("synthetic", 0, 0), ("webcam:0", 0, 0), ("picamera", 640, 480)):
        video = VideoConfig(source=source, width=width, height=height)
        found = choose.sized(make_config(agency, tmp_path, video=video)).video
        assert (found.width, found.height) == ((width, height) if width else (1280, 720))


def test_a_machine_without_a_device_tree_is_no_board(tmp_path: Path) -> None:
    assert board.model(tmp_path / "none") == ""


def test_the_configured_source_is_one_that_encodes(agency: AgencyPaths, tmp_path: Path) -> None:
    video = VideoConfig(source="picamera", width=640, height=480)
    config = make_config(agency, tmp_path, video=video, audio=AudioConfig(source="none"))
    camera, sound = choose.open_sources(config, SystemClock())
    assert isinstance(camera, EncodedSource) and camera.shows and sound is None
    assert "640x480" in camera.name


@pytest.mark.parametrize("missing", ["picamera2", "libcamera"])
def test_what_is_not_installed_is_named_with_its_packages(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    real: Callable[..., Any] = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "picamera2":
            raise ModuleNotFoundError(f"No module named '{missing}'", name=missing)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DeviceError, match=missing) as caught:
        PiCamera(1280, 720, 30, 2000).start(lambda unit: None, lambda signal: None)
    assert "python3-libcamera" in caught.value.hint and "make setup" in caught.value.hint


class Refusing:
    """A camera that cannot be configured, or never answers."""

    def __init__(self, hang: Any = None) -> None:
        self.closed: list[str] = []
        self._hang = hang

    def __getattr__(self, name: str) -> Any:
        if name in ("stop", "stop_encoder", "close"):
            return lambda: self.closed.append(name)
        if self._hang:
            self._hang.wait()
        raise RuntimeError("Camera frontend has timed out")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picamera, "load", lambda: None)


@pytest.mark.usefixtures("installed")
def test_a_camera_that_cannot_be_used_is_closed_and_its_reason_told() -> None:
    refusing = Refusing()
    camera = PiCamera(1280, 720, 30, 2000, open_camera=lambda: refusing)
    with pytest.raises(DeviceError, match="frontend has timed out"):
        camera.start(lambda unit: None, lambda signal: None)
    assert camera.stop()
    assert refusing.closed == ["stop", "stop_encoder", "close"]


@pytest.mark.usefixtures("installed")
def test_a_camera_that_does_not_answer_is_not_waited_for_and_closed_when_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import threading

    answer = threading.Event()
    refusing = Refusing(answer)
    monkeypatch.setattr(picamera, "OPEN_S", 0.05)
    camera = PiCamera(1280, 720, 30, 2000, open_camera=lambda: refusing)
    with pytest.raises(DeviceError, match="does not answer"):
        camera.start(lambda unit: None, lambda signal: None)
    assert not camera.stop(0.05)
    answer.set()
    assert camera.stop(10)
    assert refusing.closed[-1] == "close"


@pytest.mark.parametrize("pixel_format", ["YUV420", "NV12"])
def test_a_buffers_planes_are_views_that_write_through(pixel_format: str) -> None:
    width, height, stride = 64, 48, 96
    buffer = np.zeros(stride * height * 3 // 2 + 17, np.uint8)
    planes = planes_of(buffer, pixel_format, (width, height), stride)
    assert planes.luma.shape == (height, width)
    assert planes.blue.shape == planes.red.shape == (height // 2, width // 2)
    planes.luma[:], planes.blue[:], planes.red[:] = 10, 20, 30
    counts = [int((buffer == value).sum()) for value in (10, 20, 30)]
    assert counts == [width * height, width * height // 4, width * height // 4]
    assert buffer[stride * height] == 20
    assert buffer[stride * height + 1] == (30 if pixel_format == "NV12" else 20)


@pytest.mark.parametrize("layout", ["yuv420p", "nv12"])
@pytest.mark.parametrize("size", [(800, 448), (800, 450), (1332, 990), (66, 46)])
def test_a_buffer_of_any_even_height_becomes_the_picture_that_it_holds(size: tuple[int, int], layout: str) -> None:
    (width, height), stride = size, size[0] // 64 * 64 + 64
    buffer = np.zeros((height * 3 // 2, stride), np.uint8)
    planes = planes_of(buffer.reshape(-1), {"yuv420p": "YUV420", "nv12": "NV12"}[layout], size, stride)
    rows = np.arange(height)[:, None] % 128
    planes.luma[:], planes.blue[:], planes.red[:] = rows, 128 + rows[: height // 2] % 64, 192 + rows[: height // 2] % 64
    picture = picture_of(buffer, layout, size)
    assert (picture.width, picture.height) == size
    found = picture.reformat(format="yuv420p").to_ndarray().reshape(-1)
    luma, blue, red = np.split(found, [width * height, width * height * 5 // 4])
    for plane, wanted in ((luma, planes.luma), (blue, planes.blue), (red, planes.red)):
        assert np.array_equal(plane.reshape(wanted.shape), wanted)


class CanBeAsked:
    def force_key_frame(self) -> None: ...


@pytest.mark.parametrize(("encoder", "period"), [(CanBeAsked, 38), (object, 5)])
def test_the_period_holds_at_the_lowest_rate_where_no_key_frame_can_be_asked_for(encoder: type, period: int) -> None:
    assert piencoder._period(encoder, Coding(1, 30, 4000, 1.0, "superfast", 5)) == period
    assert not piencoder.force_key(object())


@pytest.mark.parametrize("fps", [5, 10, 15, 24, 30, 50])
@pytest.mark.parametrize("late", [0, 1])
def test_key_frames_are_a_second_apart_at_most_also_where_the_next_picture_gets_it(
    monkeypatch: pytest.MonkeyPatch, fps: int, late: int
) -> None:
    """Asked for as a picture passes, which may be with the encoder by then; and the stamps waver by a third."""
    asked: list[int] = []
    camera = PiCamera(1280, 720, fps, 2000)
    wavers = random.Random(fps)
    stamps = [round((n + wavers.uniform(-1, 1) / 6) * NS / fps) for n in range(10 * fps)]
    for number, stamp_ns in enumerate(stamps):
        monkeypatch.setattr(camera, "request_key", lambda number=number: asked.append(number))
        camera._ask_for_key(stamp_ns)
    keys = [stamps[0]] + [stamps[n + late] for n in asked if n + late < len(stamps)]
    apart = [b - a for a, b in itertools.pairwise(keys)]
    assert max(apart) <= NS
    assert min(apart) >= NS - 5 * NS / fps
    assert stamps[-1] - keys[-1] <= NS


def test_nor_are_they_further_apart_in_the_dark_or_while_a_sensor_follows_a_higher_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asked for 30 it takes a tenth of a second for each picture; then it is asked for 50, and comes to it late."""
    asked: list[int] = []
    camera = PiCamera(1280, 720, 30, 2000)
    stamps = list(itertools.accumulate([NS // 10] * 60 + [NS // 50] * 200))
    for number, stamp_ns in enumerate(stamps):
        monkeypatch.setattr(camera, "request_key", lambda number=number: asked.append(number))
        if number == 51:
            camera._numbering.ask(50)
        camera._numbering.missed(stamp_ns, None)
        camera._ask_for_key(stamp_ns)
    keys = [stamps[0]] + [stamps[n + 1] for n in asked if n + 1 < len(stamps)]
    assert max(b - a for a, b in itertools.pairwise(keys)) <= NS


@pytest.mark.wide
@pytest.mark.parametrize("says", [False, True], ids=["by stamps", "sensor says"])
@pytest.mark.parametrize(("fast", "slow"), [(30, 20), (30, 15), (30, 10), (30, 5), (60, 5)])
def test_nor_where_the_ladder_takes_the_rate_down(
    monkeypatch: pytest.MonkeyPatch, fast: int, slow: int, says: bool
) -> None:
    """Between two pictures, at any time since the last key frame. One more at least comes at the rate before, since the
    sensor is at it already. It gets the key frame that is asked for before it passes.
    """
    monkeypatch.setattr(piencoder, "set_bitrate", lambda encoder, bitrate_kbps: None)
    worst = 0
    for lag, late, phase in itertools.product((1, 2, 5, 12), (0, 1), range(0, fast, fast // 10)):
        camera, given, at = PiCamera(1280, 720, fast, 2000), [0], 2 * fast + phase
        steps = [NS // fast] * (at + lag) + [NS // slow] * (2 * slow)
        stamps = list(itertools.accumulate(steps))
        camera._camera, camera._encoder = SimpleNamespace(set_controls=lambda controls: None), SimpleNamespace()
        camera._tried.set()
        for number, (stamp_ns, step_ns) in enumerate(zip(stamps, steps, strict=True)):
            camera._encoder.force_key_frame = partial(given.append, number)
            if number == at:
                camera.set_rate(1000, slow)
            camera._encoder.force_key_frame = partial(given.append, number + late)
            camera._numbering.ask(camera._rate[1])
            camera._numbering.missed(stamp_ns, None, step_ns if says else None)
            camera._ask_for_key(stamp_ns)
        keys = [stamps[n] for n in given if n < len(stamps)]
        worst = max(worst, *(b - a for a, b in itertools.pairwise(keys)))
    assert worst <= NS


def test_a_clock_that_is_set_back_keeps_no_key_frame_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    camera = PiCamera(1280, 720, 30, 2000)
    for number in range(90):
        monkeypatch.setattr(camera, "request_key", lambda number=number: asked.append(number))
        camera._ask_for_key(number * NS // 30 - 3 * NS * (number >= 40))
    assert max(b - a for a, b in itertools.pairwise([0, *asked, 90])) <= 30


def test_the_colours_are_what_libcamera_answered() -> None:
    class ColorSpace:
        def __str__(self) -> str:
            return "<libcamera.ColorSpace 'SMPTE170M'>"

    def of(config: dict[str, object]) -> str:
        return picamera._colours_of(SimpleNamespace(camera_configuration=lambda: config))

    assert of({"colour_space": ColorSpace()}) in piencoder.COLOURS
    assert of({}) == of({"colour_space": None}) == ""


def test_stamps_are_found_again_by_their_microseconds_and_forgotten_in_time() -> None:
    stamps = picamera._Stamps()
    now_ns = time.monotonic_ns()
    taken = [stamps.take(now_ns - n * 1_000_000) for n in range(200, 0, -1)]
    assert stamps.of((now_ns - 1_000_000) // 1000) == taken[-1]
    assert len(stamps._mono_ns) == stamps.KEPT
    # One that is forgotten is still right to the microsecond.
    assert stamps.of((now_ns - 200_000_000) // 1000) == pytest.approx(taken[0], abs=1000)


def test_a_module_of_names_stands_in_for_the_preview_that_nobody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pykms", raising=False)
    picamera._do_without_preview()
    module = sys.modules.pop("pykms")
    assert isinstance(module, ModuleType) and module.PixelFormat.RGB888 == "RGB888"


def test_how_long_a_picture_takes_is_asked_of_libcamera_where_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    libcamera = ModuleType("libcamera")
    libcamera.controls = SimpleNamespace(FrameDuration="FrameDuration")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "libcamera", libcamera)
    for metadata, takes_ns in (({"FrameDuration": 33_333}, 33_333_000), ({"FrameDuration": 0}, None), ({}, None)):
        request = SimpleNamespace(request=SimpleNamespace(metadata=metadata))
        assert picamera._takes_ns(request) == takes_ns
