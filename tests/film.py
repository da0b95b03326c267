"""Real media as evidence: fragmented MP4 with picture and sound from stock ffmpeg, in the recorder's kind of parts."""

from __future__ import annotations

import subprocess
from functools import cache

from agent.formats import leaf as leaves
from agent.media.parts import Splitter
from agent.model import MediaPart
from tests.builders import Camera, agency, replaced

ROTATE_S = 2


@cache
def film(seconds: int = 4) -> tuple[bytes, tuple[MediaPart, ...]]:
    """(init, parts) of a test picture with a tone that begins 20 ms after it. An IDR each second."""
    picture = f"testsrc2=size=320x240:rate=30:duration={seconds}"
    sound = f"sine=frequency=440:sample_rate=48000:duration={seconds}"
    command = [
        "ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture, "-itsoffset", "0.02", "-f", "lavfi", "-i", sound,
        "-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency", "-g", "30", "-threads", "1",
        "-video_track_timescale", "90000", "-c:a", "aac", "-b:a", "64k", "-ac", "1",
        "-movflags", "frag_keyframe+delay_moov+default_base_moof", "-frag_duration", "500000",
        "-movie_timescale", "720000", "-f", "mp4", "pipe:1",
    ]  # fmt: skip
    data = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    inits: list[bytes] = []
    parts: list[MediaPart] = []
    Splitter(inits.append, parts.append).write(data)
    return inits[0], tuple(parts)


def film_camera(seconds: int = 4, seed: int = 5, name: str = "cam-0001") -> Camera:
    """A camera that recorded the film: event segment, media segments of two seconds, event segment."""
    init, parts = film(seconds)
    camera = Camera(agency(), name, seed).new_session()
    camera.start(init)
    rotated = 0
    for part in parts:
        if part.starts_with_idr and part.start_ns // (ROTATE_S * 10**9) > rotated:
            rotated = part.start_ns // (ROTATE_S * 10**9)
            camera.rotate()
        add(camera, part)
    camera.stop()
    return camera.shutdown()


def add(camera: Camera, part: MediaPart) -> None:
    """One part with the times it really has."""
    kept = camera.forge

    def real(leaf: leaves.Leaf) -> leaves.Leaf:
        if not isinstance(leaf, leaves.MediaLeaf):
            return kept(leaf)
        return kept(replaced(leaf, start_ns=part.start_ns, duration_ns=part.duration_ns, idr=part.starts_with_idr))

    camera.forge = real
    camera.part(part.data)
    camera.forge = kept
