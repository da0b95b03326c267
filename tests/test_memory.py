"""Memory of the whole recorder while it records 1080p30 at 8 Mbit/s after its 30 s ring is full: with x264 in it, and
without an encoder, as with a camera that encodes by itself. As the kernel counts it (VmRSS and VmHWM, proc(5)).
"""

from __future__ import annotations

import faulthandler
from dataclasses import replace
from pathlib import Path

import pytest

from agent.config import OverlayConfig, RecordingConfig, VideoConfig
from agent.configcare import LadderConfig
from agent.station.layout import AgencyPaths
from tests import campaigns
from tests.recorder_kit import RecorderProcess, make_config

RING_S = campaigns.size(sample=1, full=30)
RECORDED_S = campaigns.size(sample=1, full=60)
LOOK_S = 0.25
LEAST_RING_MIB = campaigns.size(sample=0, full=26)
"""Of 28.6 that 30 s at 8 Mbit/s take: else it would not be that ring that is measured."""
SIZE = {"width": 1920, "height": 1080} if campaigns.FULL else {"width": 640, "height": 360}
MOST_MIB = {"synthetic": 220.0, "encoded": 140.0}


def status_mib(pid: int) -> dict[str, float]:
    """Memory of a process as the kernel tells it, by its names."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    words = [line.split() for line in lines if line.startswith(("VmHWM:", "VmRSS:"))]
    return {name.rstrip(":"): int(kib) / 1024 for name, kib, _ in words}


def grainy(python: str, dash_m: str, package: str, *rest: str) -> list[str]:
    assert (dash_m, package) == ("-m", "agent")
    return [python, "-m", "tests.lab.grainy", *rest]


@pytest.mark.campaign
@pytest.mark.parametrize("source", MOST_MIB)
def test_a_recorder_at_1080p30_fits(source: str, agency: AgencyPaths, tmp_path: Path) -> None:
    campaign = campaigns.Campaign(f"memory-{source}")
    config = make_config(
        agency,
        tmp_path,
        video=VideoConfig(source=source, fps=30, bitrate_kbps=8000, **SIZE),
        overlay=OverlayConfig(),
        # Whatever else the machine does, it is this picture that is measured.
        ladder=LadderConfig(enabled=False),
        recording=replace(RecordingConfig(), pre_event_s=RING_S),
    )
    with RecorderProcess(config, tmp_path, wrap=grainy) as recorder:
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
