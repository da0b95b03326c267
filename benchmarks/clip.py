"""The clips both sides get: real picture and sound, at exactly 30 fps, long enough to be played once.

`phone` is what a body camera sees: a hand-held sensor with its noise and movement; played forwards and backwards, so
that no round ends in a cut. `talk` is a still screen with a speaker in a corner, which costs an encoder little: on it
the part that is ours shows most.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from agent.errors import AgentError, UsageError
from tests import media_samples

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "benchmarks"
FPS, SOUND_HZ = 30, 48_000
_SHAPES: dict[str, tuple[Callable[[], Path], int, str]] = {
    "phone": (media_samples.phone, 0, ",split[a][b];[b]reverse[r];[a][r]concat,loop=loop=-1:size=32767"),
    "talk": (media_samples.talk, -1, ""),
}
"""Where each comes from, how often ffmpeg reads its picture again (-1: for ever), and what is done to it."""
NAMES = tuple(_SHAPES)


def clip_720p30(name: str, seconds: int) -> Path:
    """As `clip`, in the smaller size."""
    return clip(name, seconds, 1280, 720)


def clip(name: str, seconds: int, width: int, height: int) -> Path:
    """H.264 and AAC (mono, 48 kHz), made once into .cache/benchmarks. Raises AgentError."""
    if name not in _SHAPES:
        raise UsageError(f"there is no clip {name!r}", f"one of: {', '.join(NAMES)}")
    path = CACHE / f"{name}-{height}p30-{seconds}s.mp4"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        aside = CACHE / f".{os.getpid()}.mp4"
        done = subprocess.run(
            _command(name, seconds, f"{width}:{height}", aside), capture_output=True, text=True, check=False
        )
        if done.returncode:
            aside.unlink(missing_ok=True)
            raise AgentError(f"cannot make the clip to compare on: {done.stderr[-1000:]}", "see ffmpeg's words above")
        aside.rename(path)
    return path


def _command(name: str, seconds: int, size: str, out: Path) -> list[str]:
    sample, again, shape = _SHAPES[name]
    source = str(sample())
    return [
        *("ffmpeg", "-nostdin", "-loglevel", "error", "-y"),
        *("-stream_loop", str(again), "-i", source, "-stream_loop", "-1", "-i", source),
        *("-filter_complex", f"[0:v]fps={FPS},scale={size},format=yuv420p{shape}[v]", "-map", "[v]", "-map", "1:a"),
        *("-t", str(seconds), "-r", str(FPS), "-c:v", "libx264", "-preset", "veryfast", "-crf", "18"),
        *("-g", str(2 * FPS), "-c:a", "aac", "-b:a", "128k", "-ac", "1", "-ar", str(SOUND_HZ), str(out)),
    ]
