"""What of a V4L2 device OpenCV does not show (linux/videodev2.h): whether it captures, and the driver's number of a
picture.

A driver numbers what it captures, also what it then finds no buffer for. OpenCV holds the buffer of its last `grab()`
until the next one, so that buffer can be asked for its number: on OpenCV's own open file, for a driver may refuse
any other.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator

_QUERYCAP = 0x80685600
"""VIDIOC_QUERYCAP, _IOR('V', 0, struct v4l2_capability)."""
_CAPTURE = 0x00000001
_QUERYBUF = 0xC0585609
"""VIDIOC_QUERYBUF, _IOWR('V', 9, struct v4l2_buffer), with the 88 bytes that it has where a long has 64 bits."""
_BUFFER_BYTES, _VIDEO_CAPTURE, _MMAP = 88, 1, 1
_QUEUED_OR_DONE = 0x2 | 0x4
_MOST_BUFFERS = 32

Numbers = Callable[[int], "int | None"]
"""Given the stamp, in microseconds, of the picture that was grabbed last: the driver's number of it (32 bits, from 0
again), or None where it does not tell.
"""


def captures(index: int) -> bool:
    """Whether /dev/videoN gives pictures; metadata nodes do not."""
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


def numbers(index: int) -> Numbers:
    """For /dev/videoN as this process has it open."""
    files = list(_open_files(f"/dev/video{index}")) if struct.calcsize("P") == 8 else []

    def number(stamp_us: int) -> int | None:
        return next((found for fd in files if (found := _held(fd, stamp_us)) is not None), None)

    return number


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


def _held(fd: int, stamp_us: int) -> int | None:
    """The number of the buffer that the driver neither has nor keeps ready, if it has that stamp."""
    import fcntl

    for index in range(_MOST_BUFFERS):
        asked = struct.pack("=2I52xI", index, _VIDEO_CAPTURE, _MMAP).ljust(_BUFFER_BYTES, b"\0")
        try:
            told = fcntl.ioctl(fd, _QUERYBUF, asked)
        except OSError:
            return None
        (flags,) = struct.unpack_from("=I", told, 12)
        seconds, microseconds = struct.unpack_from("=2q", told, 24)
        if not flags & _QUEUED_OR_DONE and seconds * 1_000_000 + microseconds == stamp_us:
            return int(struct.unpack_from("=I", told, 56)[0])
    return None
