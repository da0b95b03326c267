"""The bytes of a picture's planes, without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

_AS_IT_IS = ("yuv420p", "yuvj420p")
_LUMA_FIRST = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray")


def pixels(plane: Any) -> NDArray[np.uint8]:
    """A plane's own bytes, rows by columns; what is written there is written to the picture."""
    import numpy as np

    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def in_420(picture: av.VideoFrame) -> av.VideoFrame:
    """The picture as the encoder takes it, the same one where it is. What it says of its colours stays; of RGB, which
    has no matrix of its own, it is BT.601 and the narrow range, and says so.
    """
    if picture.format.name in _AS_IT_IS:
        return picture
    if not (picture.format.is_rgb or picture.format.has_palette):
        return picture.reformat(format="yuv420p")
    from av.video.reformatter import ColorRange, Colorspace

    return picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG)


def luma(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """Brightness, rows by columns: the picture's own where it has such a plane."""
    if picture.format.name not in _LUMA_FIRST:
        picture = picture.reformat(format="gray")
    return pixels(picture.planes[0])
