"""The sides: our recorder, plain ffmpeg, a bare PyAV loop. Each is a child that plays the same clip in real time with
one thread of decoding, as many of x264, the same settings, and writes fragmented MP4 to the same disk.

ffmpeg writes what the recorder writes: segments of a minute, in fragments of half a second. It does not keep a
pre-event ring, encrypt, hash, sign or fdatasync: that, and Python, is what the ratio shows.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config import AudioConfig, OverlayConfig, RecordingConfig, VideoConfig, WatchConfig
from agent.errors import AgentError
from agent.station.layout import AgencyPaths
from benchmarks.measure import Cost, cpu_so_far_s, reap
from benchmarks.settings import AUDIO_KBPS, FPS, HD, MOVFLAGS, PART_MS, SEGMENT_S, SOUND_HZ, Shape
from benchmarks.watched import SAYS
from tests.recorder_kit import RecorderProcess, make_config

TREE = Path(__file__).resolve().parent.parent
SPARE_S = 60


@dataclass(frozen=True, slots=True)
class SideRun:
    """One side, once. `frames` were encoded, `kept` of them are in what it wrote, which came to `media_kbps`;
    `startup_cpu_s` had been spent when a press would have recorded, where the side has such an instant.
    """

    side: str
    cost: Cost
    frames: int
    kept: int
    media_kbps: float
    startup_cpu_s: float | None = None

    @property
    def cpu_s_of_a_picture(self) -> float:
        return self.cost.cpu_s / self.frames


def run_recorder(
    agency: AgencyPaths,
    clip: Path,
    seconds: int,
    root: Path,
    shape: Shape = HD,
    side: str = "recorder",
    more: bool = False,
) -> SideRun:
    """From start to a clean end: press, `seconds`, stop. With `more`, overlay and watch are on; else off. Raises
    AgentError where anything was dropped or failed, or the watch did not look.
    """
    video = VideoConfig(source=f"clip:{clip}", bitrate_kbps=shape.kbps)
    config = make_config(
        agency,
        root,
        video=video,
        audio=AudioConfig(source="clip"),
        overlay=OverlayConfig(enabled=more),
        watch=WatchConfig(enabled=more),
        # As much as 30 s of the largest shape may take.
        recording=RecordingConfig(ring_mib=49),
    )
    with RecorderProcess(config, root, wrap=_watched if more else lambda *command: list(command)) as recorder:
        recorder.until(lambda status: status["state"] == "ready")
        startup_s = cpu_so_far_s(recorder.process.pid)
        recorder.ask("record")
        recorder.run_for(seconds)
        pressed = recorder.ask("status")["intake"]["frames_encoded"]
        recorder.ask("stop")
        status = recorder.ask("status")
        recorder.process.terminate()
        cost = reap(recorder.process, SPARE_S, recorder.log)
    if status["intake"]["frames_dropped"] or status["faults"] or status["parts_lost"]:
        raise AgentError(f"the recorder did not keep up, so nothing can be compared: {status}")
    check_kept(status, pressed)
    if more:
        check_looks(recorder.log.read_text("utf-8"), seconds)
    kbps = status["durable_bytes"] * 8 / 1000 / status["media_s"]
    return SideRun(side, cost, status["intake"]["frames_encoded"], status["video_frames"], kbps, startup_s)


def check_kept(status: Mapping[str, Any], pressed: int) -> None:
    """Raises AgentError where a recorder has not kept what it had encoded up to just before the press that stopped it.
    What it encodes after that press, however long the stop takes, is not recorded.
    """
    kept, encoded = status["video_frames"], status["intake"]["frames_encoded"]
    if not pressed <= kept <= encoded:
        raise AgentError(f"{kept} pictures were kept of {pressed} to {encoded}, so nothing can be compared")


def _watched(python: str, dash_m: str, _agent: str, *rest: str) -> list[str]:
    return [python, dash_m, "benchmarks.watched", *rest]


def check_looks(log: str, seconds: int) -> None:
    """Raises AgentError where a recorder's log does not say that its watch has looked at least once a second."""
    told = re.search(rf"^(\d+) {SAYS}$", log, re.MULTILINE)
    if told is None or int(told[1]) < seconds:
        raise AgentError("the watch did not look at the clip, so nothing can be compared", "see benchmarks/watched.py")


def run_ffmpeg(clip: Path, frames: int, root: Path, shape: Shape = HD) -> SideRun:
    """Debian's ffmpeg, on exactly `frames` pictures of the clip."""
    x264 = [word for name, value in shape.x264().items() for word in (f"-{name}:v", value)]
    command = [
        *("ffmpeg", "-nostdin", "-nostats", "-loglevel", "error", "-re", "-threads", "1", "-i", str(clip)),
        *("-t", f"{(frames - 0.5) / FPS:.4f}", "-c:v", "libx264", "-threads:v", str(shape.threads)),
        *("-b:v", f"{shape.kbps}k", *x264),
        *("-c:a", "aac", "-b:a", f"{AUDIO_KBPS}k", "-ac", "1", "-ar", str(SOUND_HZ)),
        *("-f", "segment", "-segment_time", str(SEGMENT_S), "-segment_format", "mp4"),
        *("-segment_format_options", f"movflags={MOVFLAGS}:frag_duration={PART_MS * 1000}"),
        str(root / "ffmpeg-%04d.mp4"),
    ]
    return _plain("ffmpeg", command, frames, root)


def run_bare_pyav(clip: Path, frames: int, root: Path, shape: Shape = HD) -> SideRun:
    """benchmarks/bare_pyav.py, on exactly `frames` pictures of the clip."""
    command = [sys.executable, "-m", "benchmarks.bare_pyav", str(clip), str(root / "pyav-0000.mp4"), str(frames)]
    command += map(str, (shape.width, shape.height, shape.kbps, shape.threads))
    return _plain("pyav", command, frames, root)


def _plain(side: str, command: list[str], frames: int, root: Path) -> SideRun:
    log = root / f"{side}.log"
    with log.open("wb") as words:
        process = subprocess.Popen(command, stdout=words, stderr=words, cwd=TREE)
    cost = reap(process, frames / FPS + SPARE_S, log)
    made = sorted(root.glob(f"{side}-*.mp4"))
    count = sum(map(count_frames, made))
    if count != frames:
        raise AgentError(f"{side} encoded {count} pictures and not {frames}, so nothing can be compared")
    kbps = sum(path.stat().st_size for path in made) * 8 / 1000 / (frames / FPS)
    return SideRun(side, cost, frames, count, kbps)


def count_frames(path: Path) -> int:
    """The pictures in a file, counted by ffprobe."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-count_packets"]
    command += ["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(told.strip().rstrip(",") or 0)


def x264_version(data: bytes) -> str:
    """The build of x264 that made a stream, as it says in its first picture."""
    found = re.search(rb"x264 - core (\d+(?: r\d+ [0-9a-f]+)?)", data)
    return found[1].decode("ascii") if found else "unknown"
