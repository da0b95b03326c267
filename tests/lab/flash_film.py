"""The light and the beep of flasher.py as a film, exact to the sample: a clip for the agent to record.

usage: flash_film.py OUT.mov SECONDS [BEEP_LATE_MS]
"""

from __future__ import annotations

import sys
from fractions import Fraction

import av
import numpy as np

from tests.lab.flasher import FPS, RATE_HZ, is_lit, sound


def main() -> None:
    out, seconds = sys.argv[1], int(sys.argv[2])
    late_s = float(sys.argv[3]) / 1000 if len(sys.argv) > 3 else 0.0
    with av.open(out, "w", format="mov") as film:
        video = film.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "20"})
        video.width, video.height, video.pix_fmt = 640, 360, "yuv420p"
        audio = film.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        for number in range(seconds * FPS):
            picture = np.full((540, 640), 128, np.uint8)
            picture[:360] = 235 if is_lit(number) else 40
            picture[300:360, : 16 + number % 600] = 120
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            film.mux(video.encode(frame))
            count = RATE_HZ // FPS
            block = av.AudioFrame(format="s16", layout="mono", samples=count)
            block.planes[0].update(sound(number * count, count, late_s))
            block.sample_rate, block.pts, block.time_base = RATE_HZ, number * count, Fraction(1, RATE_HZ)
            film.mux(audio.encode(block))
        film.mux(video.encode(None))
        film.mux(audio.encode(None))


if __name__ == "__main__":
    main()
