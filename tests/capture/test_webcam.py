"""The webcam driver. No test machine has a camera, so OpenCV's capture is played by a stand-in at the smallest seam
(isOpened, grab, get, retrieve); only the missing and the forbidden device are met for real here. That the driver works
with a real USB camera is not shown by these tests.
"""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.capture import webcam
from agent.capture.base import SignalKind, SourceSignal
from agent.capture.webcam import StampClock, Webcam
from agent.errors import DeviceError
from agent.model import NS, VideoFrame


class FakeCapture:
    """A camera of 30 fps that gives the frames of `stamps_ms` (offsets from the first), then dies."""

    def __init__(self, stamps_ms: list[float], opened: bool = True) -> None:
        self._base_ms = time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e6
        self._stamps_ms, self._opened = stamps_ms, opened
        self._at = -1
        self.settings: list[int] = []
        self.released = threading.Event()

    def isOpened(self) -> bool:
        return self._opened

    def set(self, propId: int, value: float, /) -> bool:
        self.settings.append(propId)
        return True

    def get(self, propId: int, /) -> float:
        assert propId == cv2.CAP_PROP_POS_MSEC
        return self._base_ms + self._stamps_ms[self._at]

    def grab(self) -> bool:
        self._at += 1
        return self._at < len(self._stamps_ms)

    def retrieve(self) -> tuple[bool, Any]:
        return True, np.full((120, 160, 3), self._at, dtype=np.uint8)

    def release(self) -> None:
        self.released.set()


def run(capture: FakeCapture) -> tuple[Webcam, list[VideoFrame], list[SourceSignal]]:
    frames: list[VideoFrame] = []
    signals: list[SourceSignal] = []
    camera = Webcam("0", 160, 120, 30, lambda index: capture)
    camera.start(frames.append, signals.append)
    assert capture.released.wait(10)
    assert camera.stop()
    return camera, frames, signals


def test_frames_carry_the_kernels_stamps_and_need_no_conversion() -> None:
    # The first grab only proves that the camera gives pictures.
    camera, frames, signals = run(FakeCapture([n * 100 / 3 for n in range(11)]))
    steps = [b.mono_ns - a.mono_ns for a, b in itertools.pairwise(frames)]
    assert len(frames) == 10
    assert steps == pytest.approx([NS / 30] * 9, rel=1e-3)
    assert {(f.picture.width, f.picture.height, f.picture.format.name) for f in frames} == {(160, 120, "yuv420p")}
    assert [f.sequence for f in frames] == list(range(10))
    assert camera.dropped_frames == 0
    assert [s.kind for s in signals] == [SignalKind.LOST]


def test_frames_that_never_came_are_counted_from_the_stamps() -> None:
    gaps = [n * 100 / 3 for n in range(40) if n not in (20, 21, 30)]
    camera, frames, _ = run(FakeCapture(gaps))
    assert camera.dropped_frames == 3
    assert frames[-1].sequence == len(frames) - 1 + 3


def test_a_camera_that_slows_down_in_the_dark_drops_nothing_for_long() -> None:
    stamps = [n * 100 / 3 for n in range(20)] + [20 * 100 / 3 + n * 200 / 3 for n in range(60)]
    camera, _, _ = run(FakeCapture(stamps))
    assert camera.dropped_frames < 20


def test_mjpg_is_asked_for_before_size_and_rate() -> None:
    capture = FakeCapture([0.0, 33.0])
    run(capture)
    assert capture.settings[0] == cv2.CAP_PROP_FOURCC


@pytest.mark.parametrize("capture", [FakeCapture([0.0], opened=False), FakeCapture([])])
def test_a_camera_that_opens_but_gives_nothing_is_busy(capture: FakeCapture) -> None:
    camera = Webcam("7", 160, 120, 30, lambda index: capture)
    with pytest.raises(DeviceError, match="busy") as caught:
        camera.start(lambda frame: None, lambda signal: None)
    assert "/dev/video7" in caught.value.message and "fuser" in caught.value.hint
    assert capture.released.is_set()


def test_no_camera_is_another_error_and_met_for_real() -> None:
    camera = Webcam("63", 640, 480, 30)
    with pytest.raises(DeviceError, match="there is no webcam 63"):
        camera.start(lambda frame: None, lambda signal: None)
    assert 63 not in webcam.present()


@pytest.fixture
def cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {0: "bcm2835-codec-decode", 2: "Logitech BRIO", 4: "HD Pro Webcam C920"}
    monkeypatch.setattr(webcam, "present", lambda: list(names))
    monkeypatch.setattr(webcam, "title", names.__getitem__)


@pytest.mark.parametrize(("which", "index"), [("7", 7), ("brio", 2), ("C920", 4)])
def test_a_camera_is_found_by_number_or_by_a_part_of_its_name(cameras: None, which: str, index: int) -> None:
    assert webcam.find(which) == index


def test_a_camera_is_found_by_a_path_that_leads_to_it(tmp_path: Path) -> None:
    """As udev lays them, with colons."""
    path = tmp_path / "platform-fd500000.pcie-usb-0:1.2:1.0-video-index0"
    path.symlink_to("/dev/video5")
    assert webcam.find(str(path)) == 5
    with pytest.raises(DeviceError, match="there is no webcam at"):
        webcam.find(str(tmp_path / "platform-none"))


def test_a_name_that_no_camera_has_is_told_with_those_there_are(cameras: None) -> None:
    with pytest.raises(DeviceError, match="no webcam named 'Razer'") as caught:
        webcam.find("Razer")
    assert "Logitech BRIO (webcam:2)" in caught.value.hint


def test_one_that_comes_back_under_another_number_is_taken(cameras: None, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []

    def capture(index: int) -> FakeCapture:
        opened.append(index)
        return FakeCapture([0.0, 33.0])

    for names in ({2: "Logitech BRIO"}, {3: "Logitech BRIO"}):
        monkeypatch.setattr(webcam, "present", lambda names=names: list(names))
        monkeypatch.setattr(webcam, "title", names.__getitem__)
        camera = Webcam("BRIO", 160, 120, 30, capture)
        camera.start(lambda frame: None, lambda signal: None)
        assert camera.stop()
    assert opened == [2, 3]


def test_a_busy_node_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr("agent.capture.webcam.os.open", refuse)
    with pytest.raises(DeviceError, match="busy"):
        webcam.require(0)


CLOCKS = {time.CLOCK_MONOTONIC: 100 * NS, time.CLOCK_BOOTTIME: 5000 * NS, time.CLOCK_REALTIME: 1_700_000_000 * NS}


@pytest.mark.parametrize("clock", list(CLOCKS))
def test_the_clock_of_the_stamps_is_detected(clock: int) -> None:
    stamps = StampClock(lambda c: CLOCKS[c])
    # vivid stamps up to 29 ms in the future.
    assert stamps.to_monotonic(CLOCKS[clock] + 29_000_000) == 100 * NS + 29_000_000
    assert stamps.to_monotonic(CLOCKS[clock] - 40_000_000) == 100 * NS - 40_000_000
    assert stamps.domain == clock


def test_stamps_of_no_clock_give_way_to_the_instant_of_arrival() -> None:
    stamps = StampClock(lambda c: CLOCKS[c])
    assert stamps.to_monotonic(0) == 100 * NS
    assert stamps.domain is None
