"""Decode, encode and mux with PyAV, in one plain loop at the clip's pace: less than this no recorder in Python costs.

python -m benchmarks.bare_pyav CLIP OUT FRAMES WIDTH HEIGHT KBPS THREADS
"""

from __future__ import annotations

import sys
import time
from fractions import Fraction

import av
from av.codec.context import Flags
from av.video.frame import PictureType

from benchmarks.settings import AUDIO_KBPS, FPS, MOVFLAGS, PART_MS, SOUND_HZ, Shape


def main(clip: str, out: str, frames: int, shape: Shape) -> None:
    """Encode the first `frames` pictures of `clip`, and the sound that lies before the last of them."""
    source = av.open(clip)
    target = av.open(out, "w", format="mp4", options={"movflags": MOVFLAGS, "frag_duration": str(PART_MS * 1000)})
    source.streams.video[0].thread_count = 1
    video = target.add_stream("libx264", rate=FPS, options=shape.x264())
    video.width, video.height, video.pix_fmt = shape.width, shape.height, "yuv420p"
    video.bit_rate = shape.kbps * 1000
    video.codec_context.thread_count = shape.threads
    video.codec_context.flags |= Flags.global_header
    audio = target.add_stream("aac", rate=SOUND_HZ, layout="mono")
    audio.bit_rate = AUDIO_KBPS * 1000
    begun, seen = time.monotonic(), 0
    for frame in source.decode(source.streams.video[0], source.streams.audio[0]):
        if isinstance(frame, av.VideoFrame):
            time.sleep(max(0.0, begun + seen / FPS - time.monotonic()))
            # A decoded picture still says which type it once was; x264 would obey.
            frame.pict_type = PictureType.NONE
            frame.pts, frame.time_base = seen, Fraction(1, FPS)
            target.mux(video.encode(frame))
            seen += 1
            if seen == frames:
                break
        elif isinstance(frame, av.AudioFrame):
            target.mux(audio.encode(frame))
    target.mux(video.encode(None))
    target.mux(audio.encode(None))
    target.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Shape(*map(int, sys.argv[4:8])))
