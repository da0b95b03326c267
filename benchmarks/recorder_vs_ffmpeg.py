"""The recorder against plain ffmpeg on the same clip, with a bare PyAV loop beside them, all in one run.

Rounds of recorder, ffmpeg, PyAV follow each other, so that what else the machine does hits all of them; a ratio is
taken within its round. The recorder goes first: the others get exactly as many pictures as it encoded.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import sides
from benchmarks.clip import CACHE, clip_720p30
from benchmarks.report import CLIPS, Comparison
from tests.camera_kit import make_agency

NAME = CLIPS
AIM = 1.15
START_S = 10
"""How much longer than the recording the clip is: the recorder's start and end."""


def run(clip_name: str, seconds: int, repeat: int, say: Callable[[str], None]) -> Comparison:
    """`repeat` rounds of `seconds` on each side. Raises AgentError where a round cannot be compared."""
    say(f"{NAME}: clip {clip_name}, {repeat} x 3 x {seconds} s")
    clip = clip_720p30(clip_name, seconds + START_S)
    rounds = []
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="run-") as work:
        agency = make_agency(Path(work) / "agency")
        for number in range(repeat):
            root = Path(work) / str(number)
            recorder = sides.run_recorder(agency, clip, seconds, root)
            plain = sides.run_ffmpeg(clip, recorder.frames, root)
            bare = sides.run_bare_pyav(clip, recorder.frames, root)
            rounds.append((recorder, plain, bare))
            say(f"  round {number + 1}: " + ", ".join(f"{r.side} {r.cost.cpu_s:.2f} s" for r in rounds[-1]))
        versions = versions_in(root)
    return Comparison(NAME, clip_name, seconds, "ffmpeg", AIM, tuple(rounds), versions)


def versions_in(root: Path) -> dict[str, str]:
    """Which encoders made what lies there, and which ffmpeg."""
    made = {side: _x264(root / f"{side}-0000.mp4") for side in ("ffmpeg", "pyav")}
    return made | {"ffmpeg program": _ffmpeg()}


def _x264(path: Path) -> str:
    return "x264 " + sides.x264_version(path.read_bytes())


def _ffmpeg() -> str:
    told = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout
    return told.split()[2]
