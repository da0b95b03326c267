"""The webcam driver on a real V4L2 device: BODYCAM_TEST_WEBCAM=/dev/videoN names it. The kernel's virtual camera
(vivid) serves, and is asked for more: it stamps picture n at n intervals, to its kernel's tick, which proves the count
of lost ones.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import av
import cv2
import numpy as np
import pytest

from agent.capture import v4l2
from agent.capture import webcam as driver
from agent.capture.base import SourceSignal
from agent.capture.webcam import Webcam
from agent.errors import DeviceError
from agent.media.planes import pixels
from agent.model import NS, VideoFrame

DEVICE = os.environ.get("BODYCAM_TEST_WEBCAM", "")
WIDTH, HEIGHT, FPS = 640, 480, 30
PATIENCE_S = 60
STALL_S = 0.7
"""OpenCV has four buffers: at 10 fps, too, they are full before that."""

pytestmark = pytest.mark.skipif(not DEVICE, reason="BODYCAM_TEST_WEBCAM=/dev/videoN names no camera")


@dataclass
class Taken:
    """What came until `count` pictures were there; the receiver stands still before each of `stalls`."""

    count: int
    stalls: frozenset[int] = frozenset()
    frames: list[VideoFrame] = field(default_factory=list)
    signals: list[SourceSignal] = field(default_factory=list)
    dropped: int = 0

    def of(self, camera: Webcam) -> Taken:
        enough = threading.Event()

        def take(frame: VideoFrame) -> None:
            if enough.is_set():
                return
            if len(self.frames) in self.stalls:
                time.sleep(STALL_S)
            self.frames.append(frame)
            self.dropped = camera.dropped_frames
            if len(self.frames) == self.count:
                enough.set()

        camera.start(take, self.signals.append)
        try:
            assert enough.wait(PATIENCE_S), f"{len(self.frames)} pictures, {self.signals}"
        finally:
            assert camera.stop()
        return self


def camera(pixel_format: str = "auto") -> Webcam:
    return Webcam(DEVICE, WIDTH, HEIGHT, FPS, pixel_format)


def test_pictures_come_as_the_encoder_wants_them_on_one_clock() -> None:
    webcam = camera()
    before_ns = time.monotonic_ns()
    taken = Taken(60).of(webcam)
    stamps = [frame.mono_ns for frame in taken.frames]
    assert all(a < b for a, b in itertools.pairwise(stamps))
    # Some drivers stamp in the future, by less than an interval.
    assert before_ns - NS < stamps[0] and stamps[-1] < time.monotonic_ns() + NS
    shapes = {(f.picture.format.name, f.picture.width, f.picture.height) for f in taken.frames}
    assert len(shapes) == 1 and next(iter(shapes))[0] == "yuv420p"
    assert taken.signals == []
    print(f"{webcam.name}: {len(stamps)} pictures, {taken.dropped} lost")


def test_yuyv_shows_what_opencv_itself_makes_of_it() -> None:
    """To the rounding of two conversions, in a scene that stands still."""
    try:
        ours = Taken(10).of(camera("yuyv")).frames[-1].picture
    except DeviceError as err:
        pytest.skip(err.message)
    capture = cv2.VideoCapture(driver.find(DEVICE), cv2.CAP_V4L2)
    try:
        driver.configure(capture, "YUYV", WIDTH, HEIGHT, FPS)
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 1)
        images = [capture.read()[1] for _ in range(10)]
    finally:
        capture.release()
    theirs = av.VideoFrame.from_ndarray(cv2.cvtColor(images[-1], cv2.COLOR_BGR2YUV_I420), format="yuv420p")
    for mine, other in zip(ours.planes, theirs.planes, strict=True):
        one, two = pixels(mine).astype(int), pixels(other).astype(int)
        assert one.std() > 5, "nothing is in the picture to compare"
        assert np.median(np.abs(one - two)) <= 4


def test_each_picture_that_a_slow_receiver_costs_is_counted() -> None:
    webcam = camera()
    taken = Taken(120, frozenset({20, 50, 51, 90})).of(webcam)
    first, last = taken.frames[0], taken.frames[-1]
    assert taken.dropped >= 4
    assert last.sequence - first.sequence + 1 == len(taken.frames) + taken.dropped
    assert [f.sequence for f in taken.frames] == sorted({f.sequence for f in taken.frames})
    intervals = (last.mono_ns - first.mono_ns) * webcam.fps / NS
    print(f"{webcam.name}: {taken.dropped} lost of {intervals + 1:.3f}")
    if "vivid" in driver.title(driver.find(DEVICE)):
        assert last.sequence - first.sequence == pytest.approx(intervals, abs=1)


def noting(ask: Callable[..., int | None], told: list[int | None]) -> Callable[..., int | None]:
    """`ask`, and what it answered."""

    def asked(*arguments: object) -> int | None:
        told.append(ask(*arguments))
        return told[-1]

    return asked


def test_a_picture_has_the_number_that_the_driver_gave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the estimate: told by the device, for each."""
    webcam = camera()
    told: list[int | None] = []
    monkeypatch.setattr(v4l2.OpenBuffers, "number", noting(v4l2.OpenBuffers.number, told))
    Taken(30).of(webcam)
    assert None not in told
    numbers = [number for number in told if number is not None]
    assert all(a < b for a, b in itertools.pairwise(numbers))


def test_it_can_be_opened_again_and_not_twice_at_once() -> None:
    for _ in range(3):
        Taken(3).of(camera())
    first = camera()
    first.start(lambda frame: None, lambda signal: None)
    try:
        with pytest.raises(DeviceError, match="busy"):
            camera().start(lambda frame: None, lambda signal: None)
    finally:
        assert first.stop()
    Taken(3).of(camera())
