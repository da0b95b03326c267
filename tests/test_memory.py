"""Memory of the whole recorder while it records 1080p30 at 8 Mbit/s after its 30 s ring is full: with x264 in it, with
x264 and OpenCV, as with a webcam, and without an encoder, as with a camera that encodes by itself. As the kernel counts
it (VmRSS and VmHWM, proc(5)). The webcam is a stand-in where OpenCV's V4L2 back end is asked for a picture; what that
back end has of its driver, some four buffers, is not in it.
"""

from __future__ import annotations

import faulthandler
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from agent.config import OverlayConfig, RecordingConfig, VideoConfig
from agent.configcare import LadderConfig
from agent.station.layout import AgencyPaths
from tests import campaigns
from tests.lab import jpegs
from tests.recorder_kit import RecorderProcess, make_config

RING_S = campaigns.size(sample=1, full=30)
RECORDED_S = campaigns.size(sample=1, full=60)
LOOK_S = 0.25
LEAST_RING_MIB = campaigns.size(sample=0, full=26)
"""Of 28.6 that 30 s at 8 Mbit/s take: else it would not be that ring that is measured."""
SIZE = {"width": 1920, "height": 1080} if campaigns.FULL else {"width": 640, "height": 360}
MOST_MIB = {"synthetic": 220.0, "webcam": 245.0, "encoded": 140.0}
"""With a webcam it is to be 220 too, and is not (README, "Honest limits"): OpenCV and what it is linked with are 27
MiB, used or not, and each picture is decoded to RGB first.
"""


def status_mib(pid: int) -> dict[str, float]:
    """Memory of a process as the kernel tells it, by its names."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    words = [line.split() for line in lines if line.startswith(("VmHWM:", "VmRSS:"))]
    return {name.rstrip(":"): int(kib) / 1024 for name, kib, _ in words}


def grainy(python: str, dash_m: str, package: str, *rest: str) -> list[str]:
    assert (dash_m, package) == ("-m", "agent")
    return [python, "-m", "tests.lab.grainy", *rest]


def with_jpegs(directory: Path, python: str, dash_m: str, package: str, *rest: str) -> list[str]:
    assert (dash_m, package) == ("-m", "agent")
    directory.mkdir()
    jpegs.fill(directory, fps=30, **SIZE)
    return [python, "-m", "tests.lab.jpegs", str(directory), *rest]


@pytest.mark.campaign
@pytest.mark.parametrize("source", MOST_MIB)
def test_a_recorder_at_1080p30_fits(source: str, agency: AgencyPaths, tmp_path: Path) -> None:
    campaign = campaigns.Campaign(f"memory-{source}")
    config = make_config(
        agency,
        tmp_path,
        video=VideoConfig(source="webcam:0" if source == "webcam" else source, fps=30, bitrate_kbps=8000, **SIZE),
        overlay=OverlayConfig(),
        # Whatever else the machine does, it is this picture that is measured.
        ladder=LadderConfig(enabled=False),
        recording=replace(RecordingConfig(), pre_event_s=RING_S),
    )
    wrap = partial(with_jpegs, tmp_path / "jpegs") if source == "webcam" else grainy
    with RecorderProcess(config, tmp_path, wrap=wrap) as recorder:
        faulthandler.dump_traceback_later(240, exit=True)
        recorder.until(lambda status: status["state"] == "ready" and status["intake"]["ring_s"] >= RING_S, 120)
        ready = status_mib(recorder.process.pid)
        recorder.ask("record")
        looks = []
        for _ in range(round(RECORDED_S / LOOK_S)):
            recorder.run_for(LOOK_S)
            looks.append(status_mib(recorder.process.pid))
        status = recorder.ask("status")
        assert recorder.stop() == 0
    figures = {
        "picture": "{width}x{height}".format(**SIZE),
        "kbps": config.video.bitrate_kbps,
        "ring_s": status["intake"]["ring_s"],
        "ring_mib": round(status["intake"]["ring_bytes"] / (1 << 20), 1),
        "recorded_s": RECORDED_S,
        "dropped": status["frames_dropped"],
        "rss_mib_ready": round(ready["VmRSS"], 1),
        "rss_mib_last": round(looks[-1]["VmRSS"], 1),
        "worst_rss_mib": round(max(look["VmRSS"] for look in looks), 1),
        "peak_mib": round(looks[-1]["VmHWM"], 1),
    }
    campaign.finish(**figures)
    assert figures["ring_mib"] >= LEAST_RING_MIB
    assert figures["peak_mib"] <= MOST_MIB[source]
