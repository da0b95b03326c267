"""A recorder whose webcam gives JPEGs that lie ready, as a USB camera's driver has them in its buffers; what OpenCV's
V4L2 back end does with them is done by OpenCV itself. `python -m tests.lab.jpegs DIR recorder --config FILE`, after
`fill(DIR, ...)`.
"""

from __future__ import annotations

import functools
import mmap
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agent.capture import webcam
from agent.cli import agent_main
from tests.capture.standin import FaultyCapture

COUNT = 4
"""As many as OpenCV has buffers."""
QUALITY = 60
"""With a sensor's noise some 350 KiB at 1080p: 10 MiB/s, which USB 2 carries."""


def fill(directory: Path, width: int, height: int, fps: int) -> None:
    """As many pictures with a sensor's noise, in 4:2:2 as most webcams give them."""
    from tests.lab.grainy import Grainy

    painter = Grainy(width, height, fps)
    how = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422]
    for number in range(COUNT):
        image = cv2.cvtColor(painter.paint(fps // 2 + number), cv2.COLOR_YUV2BGR_I420)
        assert cv2.imwrite(str(directory / f"{number}.jpg"), image, how)


class Ready(FaultyCapture):
    """Gives them in turn, in their time. As its C++ has it (cap_v4l.cpp, retrieveFrame), a picture that is decoded is
    kept until the next one, and a copy of it handed out; one that is wanted as it is, is a row of bytes.
    """

    def __init__(self, directory: Path, width: int, height: int, fps: int) -> None:
        super().__init__("", fps)
        self._size = {cv2.CAP_PROP_FRAME_WIDTH: width, cv2.CAP_PROP_FRAME_HEIGHT: height}
        self._jpegs = [np.frombuffer(_mapped(file), np.uint8) for file in sorted(directory.glob("*.jpg"))]
        self._decoded: Any = None

    def get(self, propId: int, /) -> float:
        return self._size.get(propId) or super().get(propId)

    def retrieve(self) -> tuple[bool, Any]:
        jpeg = self._jpegs[self._at % COUNT]
        if self._raw:
            return True, jpeg[None].copy()
        # Before, so that both are the same memory.
        self._decoded = None
        self._decoded = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
        return True, self._decoded.copy()


def _mapped(file: Path) -> mmap.mmap:
    with file.open("rb") as opened:
        return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)


class Seen(webcam.Webcam):
    """The driver, in front of such a camera."""

    def __init__(self, directory: Path, which: str, width: int, height: int, fps: int, pixel_format: str) -> None:
        capture = Ready(directory, width, height, fps)
        super().__init__(which, width, height, fps, pixel_format, lambda index: capture, capture.buffers)


if __name__ == "__main__":
    # Looked up there as the camera is opened.
    webcam.Webcam = functools.partial(Seen, Path(sys.argv[1]))  # type: ignore[assignment]
    sys.exit(agent_main(sys.argv[2:]))
