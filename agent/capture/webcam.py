"""A USB webcam through OpenCV's V4L2 back end.

Frames carry the kernel's buffer timestamp, which OpenCV gives as CAP_PROP_POS_MSEC right after `grab()`. Which clock
that is gets detected, not assumed. OpenCV hides the driver's sequence numbers, so lost frames are counted from gaps
between stamps: an estimate, and said so.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from agent.capture.base import DeliverFrame, Signal, SignalKind, SourceSignal, monotonic_ns
from agent.capture.pacing import PacedThread
from agent.errors import DeviceError
from agent.model import NS, VideoFrame

_QUERYCAP = 0x80685600
"""VIDIOC_QUERYCAP, _IOR('V', 0, struct v4l2_capability), linux/videodev2.h."""
_CAPTURE = 0x00000001
_SAME_CLOCK_NS = NS
"""A stamp this near to a clock's now was made by that clock; some drivers stamp a little in the future."""


class Capture(Protocol):
    """What is used of cv2.VideoCapture."""

    def isOpened(self) -> bool: ...
    def set(self, propId: int, value: float, /) -> bool: ...
    def get(self, propId: int, /) -> float: ...
    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


class Webcam:
    """A live lens: the camera `which` as in `find`, looked for at each `start`, since one that was unplugged may come
    back under another number. Raises DeviceError from `start`: no such camera, or busy.
    """

    live = True

    def __init__(
        self, which: str, width: int, height: int, fps: int, open_capture: Callable[[int], Capture] | None = None
    ) -> None:
        self.name = f"webcam {which}"
        self.fps = float(fps)
        self.dropped_frames = 0
        self._which, self._wanted = which, (width, height, fps)
        self._open = open_capture
        self._intervals: deque[int] = deque(maxlen=30)
        self._thread: PacedThread | None = None

    def start(self, deliver: DeliverFrame, signal: Signal) -> None:
        index = find(self._which)
        if self._open is None:
            require(index)
        self._deliver, self._signal = deliver, signal
        capture = (self._open or _open_capture)(index)
        _configure(capture, *self._wanted)
        if not capture.isOpened() or not capture.grab():
            capture.release()
            raise DeviceError(
                f"{self.name} (/dev/video{index}) is busy or gives no picture",
                f"close the program that uses it: fuser -v /dev/video{index}",
            )
        self._capture = capture
        self._thread = PacedThread("webcam", self._run, signal)
        self._thread.start()

    def stop(self, deadline_s: float = 2.0) -> bool:
        return self._thread is None or self._thread.stop(deadline_s)

    def _run(self, thread: PacedThread) -> None:
        stamp = StampClock()
        last_ns, sequence = None, 0
        try:
            while not thread.stopping:
                if not self._capture.grab():
                    self._signal(SourceSignal(SignalKind.LOST, monotonic_ns(), f"{self.name} gives no more pictures"))
                    return
                mono_ns = stamp.to_monotonic(_position_ns(self._capture))
                good, image = self._capture.retrieve()
                if not good:
                    self.dropped_frames += 1
                    continue
                missed = 0 if last_ns is None else self._missed(mono_ns - last_ns)
                self.dropped_frames += missed
                sequence += missed
                self._deliver(VideoFrame(mono_ns, sequence, _to_yuv(image)))
                last_ns, sequence = mono_ns, sequence + 1
        finally:
            self._capture.release()

    def _missed(self, interval_ns: int) -> int:
        """Frames that did not come since the last: whole usual intervals, which may change with the light."""
        usual_ns = median(self._intervals) if len(self._intervals) >= 5 else NS / self.fps
        self._intervals.append(interval_ns)
        return max(0, round(interval_ns / usual_ns) - 1)


class StampClock:
    """Turns a driver's stamps into CLOCK_MONOTONIC, once it has seen which clock they follow; stamps that follow none
    are replaced by the instant of arrival.
    """

    def __init__(self, now: Callable[[int], int] = time.clock_gettime_ns) -> None:
        self._now = now
        self.domain: int | None = None
        self._known = False

    def to_monotonic(self, stamp_ns: int) -> int:
        mono_ns = self._now(time.CLOCK_MONOTONIC)
        if not self._known:
            self._known = True
            clocks = (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME, time.CLOCK_REALTIME)
            self.domain = next((c for c in clocks if abs(self._now(c) - stamp_ns) < _SAME_CLOCK_NS), None)
        if self.domain is None:
            return mono_ns
        return stamp_ns - (self._now(self.domain) - mono_ns if self.domain != time.CLOCK_MONOTONIC else 0)


def present() -> list[int]:
    """The indices of all V4L2 devices that capture pictures, lowest first; metadata nodes are none."""
    nodes = sorted(int(p.name[5:]) for p in Path("/dev").glob("video[0-9]*") if p.name[5:].isdecimal())
    return [index for index in nodes if _captures(index)]


def find(which: str) -> int:
    """The index of a camera named by its number, by a path that leads to it (/dev/v4l/by-path/..., by-id/...), or by a
    part of the name its driver gives. Raises DeviceError where there is none.
    """
    if which.isdecimal():
        return int(which)
    if which.startswith("/"):
        node = Path(which).resolve().name
        if node.startswith("video") and node[5:].isdecimal():
            return int(node[5:])
        raise DeviceError(
            f"there is no webcam at {which}", "plug it in, or list them: ls -l /dev/v4l/by-path /dev/v4l/by-id"
        )
    cameras = present()
    for index in cameras:
        if which.lower() in title(index).lower():
            return index
    known = ", ".join(f"{title(index)} (webcam:{index})" for index in cameras) or "none"
    raise DeviceError(f"there is no webcam named {which!r}", f"connected: {known}")


def require(index: int) -> None:
    """Raises DeviceError where /dev/videoN is missing, or may not be opened."""
    path = f"/dev/video{index}"
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except FileNotFoundError:
        raise DeviceError(
            f"there is no webcam {index} ({path})", "plug it in, or list cameras: ls /dev/video*"
        ) from None
    except OSError as err:
        busy = err.errno == errno.EBUSY
        hint = f"close the program that uses it: fuser -v {path}" if busy else "add this user to the group video"
        raise DeviceError(
            f"webcam {index} ({path}) is {'busy' if busy else f'not usable: {err.strerror}'}", hint
        ) from err


def title(index: int) -> str:
    """The name the driver gives."""
    try:
        return Path(f"/sys/class/video4linux/video{index}/name").read_text("utf-8").strip()
    except OSError:
        return f"/dev/video{index}"


def _captures(index: int) -> bool:
    import fcntl

    try:
        fd = os.open(f"/dev/video{index}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        answer = fcntl.ioctl(fd, _QUERYCAP, bytes(104))
    except OSError:
        return False
    finally:
        os.close(fd)
    # device_caps follows driver[16], card[32], bus_info[32], version and capabilities.
    return bool(struct.unpack_from("=I", answer, 88)[0] & _CAPTURE)


def _open_capture(index: int) -> Capture:
    # OpenCV waits 10 s for a dead camera otherwise; read once, when the library is loaded.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2")
    import cv2

    return cv2.VideoCapture(index, cv2.CAP_V4L2)


def _configure(capture: Capture, width: int, height: int, fps: int) -> None:
    import cv2

    # MJPG before size and rate: uncompressed, USB 2 carries 720p at 10 fps, and the driver would settle for that.
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
    capture.set(cv2.CAP_PROP_FPS, fps)


def _position_ns(capture: Capture) -> int:
    import cv2

    return round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1_000_000)


def _to_yuv(image: Any) -> Any:
    import av
    import cv2

    return av.VideoFrame.from_ndarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), format="yuv420p")
