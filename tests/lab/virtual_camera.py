"""picamera2 on libcamera's virtual camera: what a machine without a Pi lacks, and no more. Real libcamera, real
picamera2, real requests and encoders.

- buffers lie in memfds, where a Pi has a dma-heap (picamera2's own allocator finds none);
- the virtual pipeline has no raw stream to ask for the sensor's modes;
- it leaves the status of its pictures unset;
- it gives pictures as fast as they are asked for: requests are handed to it at the frame rate, as a sensor would, and
  at another one only once those that were under way are done (LAG);
- nothing lies in front of it: where a light is told of (LIGHT), it is put into each buffer between libcamera and
  picamera2, as much of it as fell since the picture before, by the two pictures' own SensorTimestamp;
- it never fails: what is to be wrong (PLUGGED) is put into the buffers there too, or done to libcamera beneath.
"""

from __future__ import annotations

import collections
import mmap
import os
import threading
import time
from typing import Any, ClassVar

import libcamera
import numpy as np

from agent.capture import picamera
from tests.lab import flasher

picamera.load()

import picamera2.picamera2 as inner  # noqa: E402
from picamera2 import Picamera2  # noqa: E402  # imports what `load` stands in for
from picamera2.allocators.allocator import Allocator, Sync  # noqa: E402

PLUGGED = "BODYCAM_VIRTUAL_CAMERA"
"""Names a file that says what is wrong with the camera: one of the words below, or nothing. Read at each picture."""
STALL, GONE, STOPPED, UNHEARD, COVERED, FROZEN = "stall", "gone", "stopped", "unheard", "covered", "frozen"
HELD = "held"
"""It gives no pictures; nor can it be opened; libcamera's camera is stopped beneath picamera2; picamera2's own thread
that hears libcamera dies; nothing is seen but the sensor's noise; one picture comes over and over; no pictures, and
libcamera's stop does not return.
"""
SILENT = (STALL, GONE, STOPPED, HELD)

LAG = 9
"""So many pictures still come at the rate before: picamera2's six requests, and the sensor's own delay."""

LIGHT = "BODYCAM_VIRTUAL_LIGHT"
"""Names a file into which flasher.py writes its pictures: the first one's instant is when its light began."""
DARK, LIT = 40, 235
GRAIN = bytes(16 + value % 4 for value in range(256))
"""A sensor's noise in the dark, of any bytes."""


class MemfdSync(Sync):
    """Memory of this machine's own needs no synchronising."""

    def __init__(self, allocator: MemfdAllocator, buffer: Any, write: bool) -> None:
        self._map = allocator.maps[buffer]

    def __enter__(self) -> mmap.mmap:
        return self._map

    def __exit__(self, *_: object) -> None:
        pass

    def get_buffer(self) -> mmap.mmap:
        return self._map


class MemfdAllocator(Allocator):
    """NV12 in memfds, with a plane for each colour as the virtual pipeline wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: dict[Any, mmap.mmap] = {}
        self._buffers: dict[Any, list[Any]] = {}
        self._fds: list[int] = []
        self.sync = MemfdSync

    def allocate(self, libcamera_config: Any, use_case: str) -> None:
        self.close()
        for stream in libcamera_config:
            self._buffers[stream.stream] = [self._buffer(stream) for _ in range(stream.buffer_count)]

    def _buffer(self, stream: Any) -> Any:
        fd = os.memfd_create("virtual-camera", os.MFD_CLOEXEC)
        os.ftruncate(fd, stream.frame_size)
        self._fds.append(fd)
        luma = stream.stride * stream.size.height
        planes = []
        for offset, length in ((0, luma), (luma, stream.frame_size - luma)):
            plane = libcamera.FrameBuffer.Plane()
            plane.fd, plane.offset, plane.length = fd, offset, length
            planes.append(plane)
        buffer = _fresh(planes)
        self.maps[buffer] = mmap.mmap(fd, stream.frame_size)
        return buffer

    def buffers(self, stream: Any) -> list[Any]:
        return self._buffers[stream]

    def acquire(self, buffers: Any) -> None:
        pass

    def release(self, buffers: Any) -> None:
        pass

    def cleanup(self) -> None:
        pass

    def close(self) -> None:
        for mapped in self.maps.values():
            try:
                mapped.close()
            except BufferError:
                # Somebody still looks at it; it goes when they are done.
                continue
        for fd in self._fds:
            os.close(fd)
        self.maps, self._buffers, self._fds = {}, {}, []


def _fresh(planes: list[Any]) -> Any:
    """A buffer whose status is Success. libcamera leaves it as the memory was, its virtual pipeline never sets it, and
    picamera2 throws away every picture that has another.
    """
    unfit = []
    while True:
        buffer = libcamera.FrameBuffer(planes)
        if buffer.metadata.status == libcamera.FrameMetadata.Status.Success:
            return buffer
        # Kept, so that the next one lies elsewhere.
        unfit.append(buffer)


# Picamera2.close() makes a new allocator, and this machine has no dma-heap for picamera2's own.
inner.DmaAllocator = MemfdAllocator


class PacedCamera:
    """libcamera's camera, which gets the requests that were queued one at a time, at the frame rate."""

    def __init__(self, camera: Any, fps: float) -> None:
        self._camera, self._period_s = camera, 1 / fps
        self._follows: collections.deque[tuple[int, float]] = collections.deque()
        self._given = 0
        self._queued: collections.deque[Any] = collections.deque()
        self._changed = threading.Condition()
        self._running = self._gives = False
        self._thread: threading.Thread | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._camera, name)

    def __eq__(self, other: object) -> bool:
        return bool(self._camera == other)

    def __hash__(self) -> int:
        return hash(self._camera)

    def start(self, *controls: Any) -> None:
        self._camera.start(*controls)
        self._running = self._gives = True
        self._thread = threading.Thread(target=self._pace, name="virtual-sensor", daemon=True)
        self._thread.start()

    def follow(self, period_s: float) -> None:
        """Of a sensor, once the pictures that are under way have come."""
        with self._changed:
            self._follows.append((self._given + LAG, period_s))

    def queue_request(self, request: Any) -> None:
        with self._changed:
            self._queued.append(request)

    def stop(self) -> None:
        with self._changed:
            self._running = False
            self._queued.clear()
        if self._thread:
            self._thread.join()
        while does() == HELD:
            time.sleep(0.05)
        self._camera.stop()

    def _pace(self) -> None:
        due = time.monotonic()
        while True:
            # What it is too late for, a sensor has lost.
            due = max(due + self._period_s, time.monotonic() - self._period_s / 2)
            time.sleep(max(0.0, due - time.monotonic()))
            with self._changed:
                if not self._running:
                    return
                self._given += 1
                while self._follows and self._follows[0][0] < self._given:
                    self._period_s = self._follows.popleft()[1]
                trouble = does()
                if trouble == STOPPED and self._gives:
                    self._gives = False
                    self._camera.stop()
                # With no request free, a sensor would lose this picture.
                if self._queued and self._gives and trouble not in SILENT:
                    self._camera.queue_request(self._queued.popleft())


class LitManager:
    """libcamera's camera manager, whose pictures are lit, covered or frozen before picamera2 gets them."""

    before_ns = 0
    """The stamp of the picture before, whichever manager had it."""
    still: ClassVar[dict[int, bytes]] = {}
    """What a frozen camera shows, by the plane's length; whichever manager saw it."""
    noise = np.random.default_rng(0)

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)

    def get_ready_requests(self) -> list[Any]:
        requests = list(self._manager.get_ready_requests())
        trouble, begin_ns = does(), light_began_ns()
        if trouble == UNHEARD and threading.current_thread() is Picamera2._cm.thread:
            raise OSError("libcamera is not heard any more")
        if trouble != FROZEN:
            self.still.clear()
        for request in requests:
            if request.status != libcamera.Request.Status.Complete:
                continue
            if begin_ns:
                self._shine(request, begin_ns)
            elif trouble in (COVERED, FROZEN):
                self._spoil(request, trouble)
        return requests

    @classmethod
    def _shine(cls, request: Any, begin_ns: int) -> None:
        stamp_ns = int(request.metadata[libcamera.controls.SensorTimestamp])
        share = flasher.lit_ns(begin_ns, cls.before_ns, stamp_ns) / max(1, stamp_ns - cls.before_ns)
        cls.before_ns = stamp_ns
        for buffer in request.buffers.values():
            luma = buffer.planes[0]
            os.pwrite(luma.fd, bytes([round(DARK + (LIT - DARK) * share)]) * luma.length, luma.offset)

    @classmethod
    def _spoil(cls, request: Any, trouble: str) -> None:
        for buffer in request.buffers.values():
            for number, plane in enumerate(buffer.planes):
                if trouble == FROZEN:
                    seen = cls.still.setdefault(plane.length, os.pread(plane.fd, plane.length, plane.offset))
                else:
                    seen = bytes([128]) * plane.length if number else cls.noise.bytes(plane.length).translate(GRAIN)
                os.pwrite(plane.fd, seen, plane.offset)


def light_began_ns() -> int:
    """0 where there is none."""
    try:
        with open(os.environ[LIGHT], encoding="ascii") as file:
            return int(file.readline().split()[0])
    except (KeyError, OSError, IndexError):
        return 0


_manager_of = inner.CameraManager.cms.fget
inner.CameraManager.cms = property(lambda self: LitManager(_manager_of(self)))


class VirtualPicamera2(Picamera2):
    """Picamera2 on the virtual camera."""

    camera: Any
    is_open, _preview = False, None

    def __init__(self, camera_num: int = 0, fps: float = 30) -> None:
        if does() == GONE:
            raise RuntimeError("Camera(s) not found")
        super().__init__(camera_num, allocator=MemfdAllocator())
        self.camera = PacedCamera(self.camera, fps)

    def _get_raw_modes(self) -> list[dict[str, Any]]:
        formats = self.camera.generate_configuration([libcamera.StreamRole.VideoRecording]).at(0).formats
        return [
            {"format": str(pixels), "size": (size.width, size.height)}
            for pixels in formats.pixel_formats
            for size in formats.sizes(pixels)
        ]

    def set_controls(self, controls: dict[str, Any]) -> None:
        """A sensor follows these; the virtual one knows no rate, so its pacer does."""
        super().set_controls(controls)
        limits = controls.get("FrameDurationLimits")
        if limits and isinstance(self.camera, PacedCamera):
            self.camera.follow(limits[0] / 1_000_000)


def camera(sensor_fps: float = 30) -> picamera.PiCamera:
    """The driver on the virtual camera, with a picture that two processors encode beside the tests. It asks for 30
    pictures a second; the sensor gives what it gives.
    """
    return picamera.PiCamera(640, 360, 30, 800, open_camera=lambda: VirtualPicamera2(fps=sensor_fps))


def are_open() -> int:
    """How many cameras picamera2 has open."""
    return len(Picamera2._cm.cameras)


def does() -> str:
    """What the camera was told to do, besides giving pictures."""
    try:
        with open(os.environ[PLUGGED], encoding="utf-8") as file:
            return file.read().strip()
    except (KeyError, OSError):
        return ""


def install() -> None:
    """picamera2 opens the virtual camera from now on, wherever it is imported."""
    import picamera2

    picamera2.Picamera2 = VirtualPicamera2
