"""A camera at the seam where OpenCV is used: what it offers, numbers and stamps it is told, and then it dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from agent.capture.scripted import HOUR_NS
from agent.capture.v4l2 import Buffers
from agent.capture.webcam import Webcam
from agent.model import NS

WIDTH, HEIGHT = 160, 120


class FakeCapture:
    """Gives the pictures of `stamps_ms` (offsets from the first), which the driver numbered `numbers`; picture n is
    grey of luma n, and its driver calls those of `spoiled` spoiled. Then it is unplugged. `offers` are its formats, its
    own choice first.
    """

    def __init__(
        self,
        stamps_ms: Sequence[float],
        opened: bool = True,
        offers: Sequence[str] = ("MJPG", "YUYV"),
        numbers: Sequence[int] | None = None,
        fps: float = 30.0,
        spoiled: Sequence[int] = (),
    ) -> None:
        self._base_ms = time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e6
        self._stamps_ms, self._opened, self._numbers, self._spoiled = stamps_ms, opened, numbers, spoiled
        self._offers, self._format, self._raw = offers, offers[0] if offers else "", False
        self.fps = fps
        self._at = -1
        self.settings: list[int] = []
        self.released = threading.Event()

    def isOpened(self) -> bool:
        return self._opened

    def set(self, propId: int, value: float, /) -> bool:
        self.settings.append(propId)
        if propId == cv2.CAP_PROP_FOURCC:
            wanted = int(value).to_bytes(4, "little").decode()
            self._format = wanted if wanted in self._offers else self._format
        if propId == cv2.CAP_PROP_CONVERT_RGB:
            self._raw = not value
        return True

    def get(self, propId: int, /) -> float:
        if propId == cv2.CAP_PROP_POS_MSEC:
            return self._base_ms + self._stamps_ms[self._at]
        return {
            cv2.CAP_PROP_FOURCC: int.from_bytes(self._format.encode(), "little"),
            cv2.CAP_PROP_FRAME_WIDTH: WIDTH,
            cv2.CAP_PROP_FRAME_HEIGHT: HEIGHT,
            cv2.CAP_PROP_FPS: self.fps,
        }[propId]

    def grab(self) -> bool:
        self._at += 1
        return self._at < len(self._stamps_ms)

    def retrieve(self) -> tuple[bool, Any]:
        if self._raw and self._format == "YUYV":
            # Even bytes are luma, odd ones U and V in turn.
            image = np.full((HEIGHT, WIDTH, 2), self._at % 200 + 16, dtype=np.uint8)
            image[:, 0::2, 1], image[:, 1::2, 1] = 90, 160
            return True, image
        return True, np.full((HEIGHT, WIDTH, 3), self._at % 250, dtype=np.uint8)

    def release(self) -> None:
        self.released.set()

    # What v4l2.buffers would give.

    def buffers(self, index: int) -> Buffers:
        return self

    def wait(self, patience_s: float) -> bool:
        return True

    def number(self, stamp_us: int) -> int | None:
        return self._numbers[self._at] if self._numbers else None

    def is_spoiled(self, stamp_us: int) -> bool:
        return self._at in self._spoiled


def webcam(capture: FakeCapture, pixel_format: str = "auto", which: str = "0") -> Webcam:
    return Webcam(which, WIDTH, HEIGHT, 30, pixel_format, lambda index: capture, capture.buffers)


class FaultyCapture(FakeCapture):
    """A camera that gives pictures in their time, and misbehaves as `script` says (agent/capture/scripted.py): at the
    seam to OpenCV, so that the driver has to make sense of it. Numbered by its driver, like any V4L2 device.
    """

    def __init__(self, script: str, fps: int) -> None:
        super().__init__([], fps=fps)
        self._script, self._rate, self._begun_ns = script, fps, time.monotonic_ns()
        self._captured, self._stamp_ns = 0, 0
        self._letter, self._halved = "r", False

    def get(self, propId: int, /) -> float:
        return self._stamp_ns / 1e6 if propId == cv2.CAP_PROP_POS_MSEC else super().get(propId)

    def grab(self) -> bool:
        """The next picture that comes. One regular picture lies before the script: the driver's, to see that any do."""
        while self._next() in "ds":
            pass
        if self._letter == "u":
            return False
        due = self._at
        while self._letter_of(due) == "h":
            due += 1
        time.sleep(max(0.0, (self._at_ns(due) - time.monotonic_ns()) / 1e9))
        shift_ns = {"b": -NS, "w": HOUR_NS, "p": -HOUR_NS}.get(self._letter, 0)
        self._stamp_ns = self._stamp_ns if self._letter == "e" else self._at_ns(self._at) + shift_ns
        self._halved = self._halved or self._letter == "f"
        return True

    def retrieve(self) -> tuple[bool, Any]:
        if self._letter == "z":
            return True, np.zeros((0, 0, 3), dtype=np.uint8)
        good, image = super().retrieve()
        return good, image[::2, ::2].copy() if self._halved else image

    def number(self, stamp_us: int) -> int | None:
        return self._captured - 1

    def _next(self) -> str:
        self._at += 1
        self._letter = self._letter_of(self._at)
        self._captured += self._letter != "s"
        return self._letter

    def _letter_of(self, at: int) -> str:
        return self._script[at - 1] if 0 < at <= len(self._script) else "r"

    def _at_ns(self, at: int) -> int:
        return self._begun_ns + at * NS // self._rate


class Socket:
    """A USB socket: a camera of 30 fps may be in it, under any number, and be pulled out at any instant."""

    FPS = 30

    def __init__(self, title: str) -> None:
        self.title = title
        self._index: int | None = None
        self._changed = threading.Condition()
        self.opened: list[int] = []

    def plug(self, index: int | None) -> None:
        """None pulls it out: every open file of it is dead from now on, also when it comes back."""
        with self._changed:
            self._index = index
            self._changed.notify_all()

    def present(self) -> list[int]:
        return [] if self._index is None else [self._index]

    def open(self, index: int) -> FakeCapture:
        assert index == self._index
        self.opened.append(index)
        return _Plugged(self)

    def wait(self, until_ns: int) -> bool:
        """For the next picture; False where it was pulled out meanwhile."""
        with self._changed:
            left_s = (until_ns - time.monotonic_ns()) / 1e9
            return not self._changed.wait_for(lambda: self._index is None, max(0.0, left_s))


class _Plugged(FakeCapture):
    def __init__(self, socket: Socket) -> None:
        super().__init__([])
        self._socket, self._begun_ns, self._dead = socket, time.monotonic_ns(), False

    def get(self, propId: int, /) -> float:
        if propId == cv2.CAP_PROP_POS_MSEC:
            return self._stamp_ns() / 1e6
        return super().get(propId)

    def grab(self) -> bool:
        self._at += 1
        self._dead = self._dead or not self._socket.wait(self._stamp_ns())
        return not self._dead

    def _stamp_ns(self) -> int:
        return self._begun_ns + self._at * 1_000_000_000 // Socket.FPS
