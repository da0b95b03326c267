"""Makes the encoded twin's pictures, in a process of its own: `python -m agent.capture.encodedmaker WIDTH HEIGHT FPS
KBPS` writes access units to its standard output, each behind its length, and ends.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

from agent.capture.encoded import HEAD, SECONDS
from agent.capture.synthetic import Painter
from agent.model import VIDEO_HZ

if TYPE_CHECKING:
    import av

GRAIN = 12
"""Of luma, up and down: what a sensor's noise costs an encoder, and no mark in the picture drowns in it."""
NOMINAL_FPS = 30
"""What x264 is told: it stands in the sequence parameter set, which is to be the same at every rate. Rate control goes
by it, so the bitrate is given for that many pictures.
"""


def write(width: int, height: int, fps: int, bitrate_kbps: int, out: BinaryIO) -> None:
    """SECONDS * fps access units, an IDR at each second; the parameter sets are the same at every rate."""
    import numpy as np

    painter, encoder = Painter(width, height, fps), _encoder(width, height, bitrate_kbps * NOMINAL_FPS // fps)
    random = np.random.default_rng(1)
    grains = [random.integers(-GRAIN, GRAIN, (height, width), np.int16) for _ in range(4)]
    # A second that nobody sees comes first: by its end, rate control has found its measure.
    for number in range(-fps, SECONDS * fps):
        image = painter.paint(number % (SECONDS * fps)).copy()
        image[:height] = np.clip(image[:height] + grains[number % len(grains)], 16, 235)
        for packet in encoder.encode(_frame(image, number, fps)):
            data = bytes(packet)
            if number >= 0:
                out.write(HEAD.pack(len(data)) + data)


def _frame(image: Any, number: int, fps: int) -> av.VideoFrame:
    import av
    from av.video.frame import PictureType

    frame = av.VideoFrame.from_ndarray(image, format="yuv420p")
    frame.pict_type = PictureType.I if number % fps == 0 else PictureType.NONE
    frame.pts, frame.time_base = number * VIDEO_HZ // fps, Fraction(1, VIDEO_HZ)
    return frame


def _encoder(width: int, height: int, bitrate_kbps: int) -> Any:
    import av

    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, VIDEO_HZ), Fraction(NOMINAL_FPS)
    encoder.bit_rate = bitrate_kbps * 1000
    encoder.thread_count = 1
    encoder.options = {
        "preset": "superfast",
        "tune": "zerolatency",
        "forced-idr": "1",
        "sc_threshold": "0",
        "g": "1000000",
        # Named, so that it does not follow from the rates.
        "level": "5.1",
        "maxrate": str(bitrate_kbps * 1500),
        "bufsize": str(bitrate_kbps * 1000),
    }
    return encoder


if __name__ == "__main__":
    wide, high, rate, kbps = (int(word) for word in sys.argv[1:5])
    write(wide, high, rate, kbps, sys.stdout.buffer)
