"""The recorder at 1080p30 and 8 Mbit/s, with overlay and watch off and with both on, against plain ffmpeg and a bare
PyAV loop on the same clip, in one run.

Rounds of all four follow each other, as in recorder_vs_ffmpeg.py; costs are compared by the picture. What it takes more
than the bare loop is the price of all that makes a film evidence, and of Python around it: start and end included.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks import sides
from benchmarks.clip import CACHE, clip
from benchmarks.recorder_vs_ffmpeg import START_S, versions_in
from benchmarks.report import Comparison
from benchmarks.settings import FPS, FULL_HD
from benchmarks.sides import SideRun
from tests.camera_kit import make_agency

NAME = "recorder-1080p30"
AIM = 1.15
AIM_ON = 1.35
AIM_OVER_BARE_S = 4.0
"""CPU seconds for a minute."""
PLAIN, ON = "recorder", "recorder, all on"


def run(clip_name: str, seconds: int, repeat: int, say: Callable[[str], None]) -> Comparison:
    """`repeat` rounds of `seconds` on each side. Raises AgentError where a round cannot be compared."""
    say(f"{NAME}: clip {clip_name}, {repeat} x 4 x {seconds} s")
    film = clip(clip_name, seconds + START_S, FULL_HD.width, FULL_HD.height)
    rounds = []
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="run-") as work:
        agency = make_agency(Path(work) / "agency")
        for number in range(repeat):
            root = Path(work) / str(number)
            plain = sides.run_recorder(agency, film, seconds, root / "off", FULL_HD, PLAIN)
            on = sides.run_recorder(agency, film, seconds, root / "on", FULL_HD, ON, more=True)
            ffmpeg = sides.run_ffmpeg(film, plain.frames, root, FULL_HD)
            bare = sides.run_bare_pyav(film, plain.frames, root, FULL_HD)
            rounds.append((plain, on, ffmpeg, bare))
            say(f"  round {number + 1}: " + ", ".join(f"{r.side} {r.cost.cpu_s:.2f} s" for r in rounds[-1]))
        versions = versions_in(root)
    made = Comparison(NAME, clip_name, seconds, "ffmpeg", AIM, tuple(rounds), versions)
    more = {
        "ratio_all_on": round(made.ratio(ON), 3),
        "over_bare_s_of_a_minute": round(over_bare_s(rounds), 2),
    }
    aims = {"ratio_all_on": AIM_ON, "over_bare_s_of_a_minute": AIM_OVER_BARE_S}
    return replace(made, more=more, aims=aims)


def over_bare_s(rounds: Sequence[Sequence[SideRun]]) -> float:
    """CPU seconds that the recorder takes more than the bare loop for a minute of pictures; the median of rounds."""
    by_name = [{run.side: run for run in each} for each in rounds]
    return median((each[PLAIN].cpu_s_of_a_picture - each["pyav"].cpu_s_of_a_picture) * FPS * 60 for each in by_name)
