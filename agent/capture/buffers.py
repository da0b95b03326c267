"""A camera's buffer in 4:2:0, as its planes and as a picture for the encoder in software."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.model import YuvPlanes

if TYPE_CHECKING:
    from av import VideoFrame

_LAYOUTS = {"yuv420p": "YUV420", "nv12": "NV12"}
"""FFmpeg's names, and libcamera's."""
_WHOLE_ROWS = 4
"""PyAV finds a picture's height from the rows of such a buffer, and rounds it down to a multiple of this
(`from_numpy_buffer`, av/video/frame.py): of 450 rows it makes 448, and takes each colour from elsewhere.
"""


def planes_of(buffer: Any, pixel_format: str, size: tuple[int, int], stride: int) -> YuvPlanes:
    """Views of a camera's buffer, rows of `stride` bytes, as the planes of its picture."""
    (width, height), luma = size, stride * size[1]
    rows = buffer[:luma].reshape(height, stride)
    if pixel_format == "NV12":
        both = buffer[luma : luma + luma // 2].reshape(height // 2, stride)
        return YuvPlanes(rows[:, :width], both[:, 0:width:2], both[:, 1:width:2])
    colour = luma // 4
    blue, red = (buffer[at : at + colour].reshape(height // 2, stride // 2) for at in (luma, luma + colour))
    return YuvPlanes(rows[:, :width], blue[:, : width // 2], red[:, : width // 2])


def picture_of(rows: Any, layout: str, size: tuple[int, int]) -> VideoFrame:
    """The picture in a buffer, two-dimensional, 3/2 of its height by the stride; `layout` is "yuv420p" or "nv12". It
    is no copy where it need not be one: valid only as long as the buffer.
    """
    from av import VideoFrame

    width, height = size
    if height % _WHOLE_ROWS == 0:
        return VideoFrame.from_numpy_buffer(rows, layout, width)
    found = planes_of(rows.reshape(-1), _LAYOUTS[layout], size, rows.shape[1])
    picture = VideoFrame(width, height, "yuv420p")
    planes: Sequence[Any] = picture.planes
    for plane, values in zip(planes, (found.luma, found.blue, found.red), strict=True):
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : plane.width] = values
    return picture
