"""What of a V4L2 device OpenCV does not show (linux/videodev2.h): whether it captures, the driver's number of a
picture, and whether that came whole.

A driver numbers what it captures, also what it then finds no buffer for. OpenCV holds the buffer of its last `grab()`
until the next one, so that buffer can be asked for its number: on OpenCV's own open file, for a driver may refuse
any other.
"""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Iterator
from typing import NamedTuple, Protocol

_QUERYCAP = 0x80685600
"""VIDIOC_QUERYCAP, _IOR('V', 0, struct v4l2_capability)."""
_CAPTURE = 0x00000001
_DRIVER, _BUS = (0, 16), (48, 80)
"""Where its names lie in it."""
VIRTUAL = frozenset({"vivid", "v4l2 loopback"})
"""Drivers of cameras that are on no bus, which `auto` takes all the same: the kernel's own, on which the product is
tested in virtual machines, and v4l2loopback, which nobody has who did not load it for a program's pictures.
"""
_QUERYBUF = 0xC0585609
"""VIDIOC_QUERYBUF, _IOWR('V', 9, struct v4l2_buffer), with the 88 bytes that it has where a long has 64 bits."""
_BUFFER_BYTES, _VIDEO_CAPTURE, _MMAP = 88, 1, 1
_QUEUED, _DONE, _ERROR = 0x2, 0x4, 0x40
_MOST_BUFFERS = 32


class Buffers(Protocol):
    """What a driver says of the buffers that OpenCV has of it; a picture is named by its stamp in microseconds."""

    def wait(self, patience_s: float) -> bool:
        """Until OpenCV's next `grab` finds a picture; False where none came. Does not wait where it cannot tell."""

    def number(self, stamp_us: int) -> int | None:
        """The driver's number of the picture that was grabbed last (32 bits, from 0 again); None where it does not
        tell.
        """

    def is_spoiled(self, stamp_us: int) -> bool:
        """Whether the driver said of the picture that was grabbed last that its data may be no picture."""


def captures(index: int) -> bool:
    """Whether /dev/videoN gives pictures; metadata nodes do not."""
    about = _capability(index)
    # device_caps follows driver[16], card[32], bus_info[32], version and capabilities.
    return about is not None and bool(struct.unpack_from("=I", about, 88)[0] & _CAPTURE)


def is_webcam(index: int) -> bool:
    """Whether what gives pictures there is a camera that somebody plugged in: on USB, or one of VIRTUAL. On a board the
    processor's own nodes give pictures too, and are none (bcm2835-isp, bcm2835-codec, rp1-cfe, unicam).
    """
    about = _capability(index) if captures(index) else None
    if about is None:
        return False
    driver, bus = (about[begin:end].split(b"\0")[0].decode("ascii", "replace") for begin, end in (_DRIVER, _BUS))
    return bus.startswith("usb-") or driver in VIRTUAL


def _capability(index: int) -> bytes | None:
    """The driver's struct v4l2_capability; None where there is no such device, or none that may be opened."""
    import fcntl

    try:
        fd = os.open(f"/dev/video{index}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return fcntl.ioctl(fd, _QUERYCAP, bytes(104))
    except OSError:
        return None
    finally:
        os.close(fd)


def buffers(index: int) -> Buffers:
    """Those of /dev/videoN as this process has it open."""
    return OpenBuffers(list(_open_files(f"/dev/video{index}")) if struct.calcsize("P") == 8 else [])


class OpenBuffers:
    """Through these open files."""

    def __init__(self, files: list[int]) -> None:
        self._files = files
        self._spoiled: set[int] = set()

    def wait(self, patience_s: float) -> bool:
        if not self._files:
            return True
        ready = select.poll()
        for fd in self._files:
            ready.register(fd, select.POLLIN)
        came = bool(ready.poll(patience_s * 1000))
        # OpenCV does not hand on what is told as it takes a buffer, and afterwards the driver has forgotten it.
        self._spoiled = {
            buffer.stamp_us
            for fd in self._files
            for buffer in _all_of(fd)
            if buffer.flags & (_DONE | _ERROR) == _DONE | _ERROR
        }
        return came

    def number(self, stamp_us: int) -> int | None:
        """Of the buffer that the driver neither has nor keeps ready, if it has that stamp."""
        held = (
            buffer.number
            for fd in self._files
            for buffer in _all_of(fd)
            if not buffer.flags & (_QUEUED | _DONE) and buffer.stamp_us == stamp_us
        )
        return next(held, None)

    def is_spoiled(self, stamp_us: int) -> bool:
        return stamp_us in self._spoiled


def _open_files(path: str) -> Iterator[int]:
    try:
        device = os.stat(path).st_rdev
    except OSError:
        return
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.fstat(int(name)).st_rdev == device:
                yield int(name)
        except OSError:
            continue


class _Buffer(NamedTuple):
    flags: int
    stamp_us: int
    number: int


def _all_of(fd: int) -> Iterator[_Buffer]:
    import fcntl

    for index in range(_MOST_BUFFERS):
        asked = struct.pack("=2I52xI", index, _VIDEO_CAPTURE, _MMAP).ljust(_BUFFER_BYTES, b"\0")
        try:
            told = fcntl.ioctl(fd, _QUERYBUF, asked)
        except OSError:
            return
        (flags,) = struct.unpack_from("=I", told, 12)
        seconds, microseconds = struct.unpack_from("=2q", told, 24)
        yield _Buffer(flags, seconds * 1_000_000 + microseconds, struct.unpack_from("=I", told, 56)[0])
