"""A USB webcam through OpenCV's V4L2 back end.

Frames carry the kernel's buffer timestamp, which OpenCV gives as CAP_PROP_POS_MSEC right after `grab()`. Which clock
that is gets detected, not assumed. OpenCV hides the driver's sequence numbers; they are asked of the driver itself
(v4l2.py), and where it does not tell, lost frames are counted from gaps between stamps: an estimate, and said so. A
buffer that the driver marks as spoiled is no picture either, and OpenCV hides that as well.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agent.capture import v4l2
from agent.capture.base import DeliverFrame, Signal, SignalKind, SourceSignal, monotonic_ns
from agent.capture.numbering import Numbering
from agent.capture.pacing import PacedThread
from agent.capture.stampclock import StampClock
from agent.errors import DeviceError
from agent.model import VideoFrame

LOG = logging.getLogger("bodycam.webcam")
NOTHING_S = 2
"""So long without a picture, and the camera is given up; OpenCV would wait for 10 s."""
FORMATS = ("MJPG", "YUYV")
"""As `auto` wants them: uncompressed, USB 2 carries 720p at 10 fps, and a driver would settle for that."""
COLOURS = (1, 1, 6, 1)
"""Primaries and transfer of BT.709, matrix of BT.601, narrow range (ITU-T H.273): what a webcam that says nothing else
gives (USB Video Class 1.5, 3.9.2.6), and what OpenCV makes of BGR.
"""


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
    back under another number. `pixel_format` is "auto", or one of FORMATS in any case. Raises DeviceError from `start`:
    no such camera, busy, or it does not give that format.

    Once started `fps` is what the camera agreed to, and `name` says what it gives.
    """

    live = True

    def __init__(
        self,
        which: str,
        width: int,
        height: int,
        fps: int,
        pixel_format: str = "auto",
        open_capture: Callable[[int], Capture] | None = None,
        buffers: Callable[[int], v4l2.Buffers] = v4l2.buffers,
    ) -> None:
        self.name = f"webcam {which}"
        self.fps = float(fps)
        self.dropped_frames = self.doubtful_frames = 0
        self._which, self._wanted, self._format = which, (width, height, fps), pixel_format.upper()
        self._open, self._buffers_of = open_capture, buffers
        self._thread: PacedThread | None = None

    def start(self, deliver: DeliverFrame, signal: Signal) -> None:
        index = find(self._which)
        if self._open is None:
            require(index)
        self._deliver, self._signal = deliver, signal
        self._capture = (self._open or _open_capture)(index)
        try:
            self._begin(index)
        except BaseException:
            self._capture.release()
            raise
        self._thread = PacedThread("webcam", self._run, signal)
        self._thread.start()

    def stop(self, deadline_s: float = 2.0) -> bool:
        return self._thread is None or self._thread.stop(deadline_s)

    def _begin(self, index: int) -> None:
        """Agree on what comes, and see that it does."""
        given = configure(self._capture, self._format, *self._wanted) if self._capture.isOpened() else None
        if given is None or not self._capture.grab():
            raise DeviceError(
                f"{self.name} (/dev/video{index}) is busy or gives no picture",
                f"close the program that uses it: fuser -v /dev/video{index}",
            )
        if self._format not in ("AUTO", given.pixel_format):
            offered = f'it offers {given.pixel_format}: set [video] pixel_format to "auto"'
            raise DeviceError(f"{self.name} (/dev/video{index}) does not give {self._format}", offered)
        self.fps = given.fps or self.fps
        self.name = f"webcam {self._which} ({given.pixel_format} {given.width}x{given.height} at {self.fps:g} fps)"
        if (given.width, given.height, self.fps) != self._wanted:
            width, height, fps = self._wanted
            LOG.warning("%s: %dx%d at %d fps was asked for", self.name, width, height, fps)
        self._buffers = self._buffers_of(index)

    def _run(self, thread: PacedThread) -> None:
        stamp, numbering, sequence = StampClock(), Numbering(self.fps, pinned=False), -1
        said = False
        try:
            while not thread.stopping:
                if not (self._buffers.wait(NOTHING_S) and self._capture.grab()):
                    self._signal(SourceSignal(SignalKind.LOST, monotonic_ns(), f"{self.name} gives no more pictures"))
                    return
                stamp_us = _position_us(self._capture)
                mono_ns = stamp.to_monotonic(stamp_us * 1000)
                missed = numbering.missed(mono_ns, self._buffers.number(stamp_us))
                if not (numbering.exact or said):
                    said = True
                    LOG.warning("%s does not number its pictures: lost ones are estimated from their stamps", self.name)
                self.doubtful_frames += 0 if numbering.sure else missed
                self.dropped_frames += missed
                sequence += missed + 1
                good, image = self._capture.retrieve()
                if good and image is not None and image.size and not self._buffers.is_spoiled(stamp_us):
                    self._deliver(VideoFrame(mono_ns, sequence, _to_yuv(image)))
                else:
                    # An empty buffer, half a JPEG, or what may show an older picture: captured, and none.
                    self.dropped_frames += 1
                # Else its 6 MB of 1080p would lie beside the next one's while that is decoded.
                image = None
        finally:
            self._capture.release()


def present() -> list[int]:
    """The indices of all V4L2 devices that capture pictures, lowest first; metadata nodes are none."""
    nodes = sorted(int(p.name[5:]) for p in Path("/dev").glob("video[0-9]*") if p.name[5:].isdecimal())
    return [index for index in nodes if v4l2.captures(index)]


def connected() -> list[int]:
    """Those of `present` that are webcams, and no part of the processor."""
    return [index for index in present() if v4l2.is_webcam(index)]


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


def _open_capture(index: int) -> Capture:
    # Read once, when the library is loaded.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(NOTHING_S))
    import cv2

    return cv2.VideoCapture(index, cv2.CAP_V4L2)


@dataclass(frozen=True, slots=True)
class Given:
    """What a camera agreed to give. `fps` is 0 where it does not say."""

    pixel_format: str
    width: int
    height: int
    fps: float


def configure(capture: Capture, pixel_format: str, width: int, height: int, fps: int) -> Given:
    """Ask for a format ("AUTO": the first of FORMATS that is offered), size and rate, in this order: which sizes and
    rates there are depends on the format. What is not offered the driver replaces by what it has.
    """
    import cv2

    for name in FORMATS if pixel_format == "AUTO" else (pixel_format,):
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*name))
        if _format_of(capture) == name:
            break
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
    capture.set(cv2.CAP_PROP_FPS, fps)
    given = _format_of(capture)
    if given == "YUYV":
        # As it is: OpenCV would make RGB of it, to be turned back into what the encoder wants.
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    size = [round(capture.get(which)) for which in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
    return Given(given, size[0], size[1], max(0.0, capture.get(cv2.CAP_PROP_FPS)))


def _format_of(capture: Capture) -> str:
    import cv2

    return round(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1")


def _position_us(capture: Capture) -> int:
    import cv2

    return round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1_000)


def _to_yuv(image: Any) -> Any:
    """Two bytes a pixel are YUYV, three are what OpenCV decoded. What the colours mean is said with each picture, since
    a player takes HD that says nothing for BT.709.
    """
    import av
    import cv2

    if image.shape[2] == 2:
        picture = av.VideoFrame.from_ndarray(image, format="yuyv422").reformat(format="yuv420p")
    else:
        picture = av.VideoFrame.from_ndarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), format="yuv420p")
    picture.color_primaries, picture.color_trc, picture.colorspace, picture.color_range = COLOURS
    return picture
