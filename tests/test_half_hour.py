"""Half an hour of 720p30 in one recording: no picture of the looped clip is missing or doubled, sound and picture are
durable soon after their time, and memory stays flat. In real time, by the whole recorder with its defaults.
"""

from __future__ import annotations

import faulthandler
import itertools
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from agent.capture.clip import Clip
from agent.cli import evidence_main
from agent.config import AudioConfig, OverlayConfig, RecordingConfig, VideoConfig
from agent.formats import leaf as leaves
from agent.model import NS, VIDEO_HZ
from agent.spool.store import Spool
from agent.station.layout import AgencyPaths
from benchmarks.clip import clip_720p30
from tests import campaigns, media_samples
from tests.camera_kit import all_leaves_of
from tests.recorder_kit import RecorderProcess, make_config

SECONDS = campaigns.size(sample=3, full=1800)
LOOK_S = campaigns.size(sample=1, full=10)
WARM_S = campaigns.size(sample=1, full=60)
"""By then the ring has been full once."""
SETTLED_S = campaigns.size(sample=1, full=600)
"""By then segments were sealed and heap blocks given back ten times."""
FLAT_MIB = 4.0
"""Between the worst of either half."""
FLAT_MIB_AN_HOUR = 4.0
"""By the line of least squares through all looks since SETTLED_S: 48 MiB in a shift of 12 h would still be there."""
LAG_S = 2.0
"""Half a second in a part that is not over, the next in the muxer, the sound's blocks of 85 ms; and the write."""
HANG_S = 600


def looped() -> Path:
    """A phone's picture, noise and all; the sample takes one that needs not be made first."""
    return clip_720p30("phone", 20) if campaigns.FULL else media_samples.talk()


def clip_pts(path: Path) -> list[int]:
    """When each picture of one round is shown, in ticks from the start of the round."""
    clip = Clip(path)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = sorted(
            p.pts * Fraction(p.time_base) - clip.start_s for p in container.demux(stream) if p.pts is not None
        )
    return [round(at * VIDEO_HZ) for at in times]


def expected_pts(path: Path, count: int) -> list[int]:
    length, one = Clip(path).length_s, clip_pts(path)
    rounds = (round(n * length * VIDEO_HZ) for n in itertools.count())
    return list(itertools.islice((start + at for start in rounds for at in one), count))


def shown_pts(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [round(p.pts * Fraction(p.time_base) * VIDEO_HZ) for p in container.demux(stream) if p.pts is not None]


def rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def watch(recorder: RecorderProcess) -> list[dict[str, float]]:
    """Memory, how much is durable, faults, all through the recording."""
    looks, begun = [], time.monotonic()
    while time.monotonic() - begun < SECONDS:
        # Half an hour is no hang, as long as it goes on.
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        recorder.run_for(min(LOOK_S, SECONDS))
        status: dict[str, Any] = recorder.ask("status")
        now = time.monotonic()
        look = {"mono_s": now, "at_s": now - begun, "rss_mib": rss_mib(recorder.process.pid)}
        looks.append(look | {"media_s": status["media_s"], "faults": len(status["faults"])})
    return looks


def growth_mib_an_hour(looks: list[dict[str, float]]) -> float:
    settled = [look for look in looks if look["at_s"] >= SETTLED_S]
    return float(np.polyfit([x["at_s"] / 3600 for x in settled], [x["rss_mib"] for x in settled], 1)[0])


def lags_s(looks: list[dict[str, float]], spool: Path) -> list[float]:
    """How far what is durable is behind the clock."""
    media = [leaf for leaf in all_leaves_of(Spool(spool)) if isinstance(leaf, leaves.MediaLeaf)]
    zero_s = media[0].zero_mono_ns / NS
    return [look["mono_s"] - (zero_s + look["media_s"]) for look in looks]


@pytest.mark.campaign
def test_half_an_hour_loses_nothing_and_grows_by_nothing(agency: AgencyPaths, tmp_path: Path) -> None:
    campaign = campaigns.Campaign("half-hour")
    clip = looped()
    config = make_config(
        agency,
        tmp_path,
        video=VideoConfig(source=f"clip:{clip}", loop=True),
        audio=AudioConfig(source="clip"),
        overlay=OverlayConfig(),
        recording=replace(RecordingConfig(), pre_event_s=30 if campaigns.FULL else 1),
    )
    with RecorderProcess(config, tmp_path) as recorder:
        recorder.until(lambda status: status["state"] == "ready")
        recorder.ask("record")
        looks = watch(recorder)
        recorder.ask("stop")
        status = recorder.ask("status")
        assert recorder.stop() == 0
    trust = ["--trust", str(agency.trust_root), "-i", str(agency.agency_identity)]
    assert evidence_main(["export", str(config.spool.dir), *trust, "-o", str(tmp_path / "out")]) == 0
    (film,) = (tmp_path / "out").rglob("*.mp4")
    shown = shown_pts(film)
    warm = [look["rss_mib"] for look in looks if look["at_s"] >= WARM_S]
    half = len(warm) // 2
    lags = lags_s(looks, config.spool.dir)
    figures = {
        "seconds": SECONDS,
        "pictures": len(shown),
        "not_in_place": misplaced(shown, clip),
        "dropped": status["frames_dropped"],
        "parts_lost": status["parts_lost"],
        "faults": sum(look["faults"] for look in looks),
        "worst_lag_s": round(max(lags), 2),
        "last_lag_s": round(lags[-1], 2),
        "rss_mib_warm": round(warm[0], 1),
        "worst_rss_mib_first_half": round(max(warm[:half]), 1),
        "worst_rss_mib_second_half": round(max(warm[half:]), 1),
        "rss_mib_last": round(warm[-1], 1),
        "rss_mib_an_hour": round(growth_mib_an_hour(looks), 2),
    }
    campaign.finish(**figures)
    assert len(shown) == status["video_frames"] >= SECONDS * 29
    assert figures["not_in_place"] == figures["dropped"] == figures["parts_lost"] == figures["faults"] == 0
    assert figures["last_lag_s"] < LAG_S
    if campaigns.FULL:
        assert figures["worst_rss_mib_second_half"] - figures["worst_rss_mib_first_half"] < FLAT_MIB
        assert figures["rss_mib_an_hour"] < FLAT_MIB_AN_HOUR


def misplaced(shown: list[int], clip: Path) -> int:
    """How many pictures are not at the time at which the clip shows them: one missing, or one too many, moves all that
    follow. The recording begins anywhere in the clip, and plays from 0.
    """
    one = len(clip_pts(clip))
    wanted = expected_pts(clip, len(shown) + one)
    fits = (
        sum(abs(s - (w - wanted[first])) > 1 for s, w in zip(shown, wanted[first:], strict=False))
        for first in range(one)
    )
    return min(fits)


@pytest.mark.parametrize("change", ["missing", "doubled", "late"])
def test_a_picture_that_is_missing_doubled_or_late_is_found(change: str) -> None:
    clip = media_samples.talk()
    wanted = expected_pts(clip, 400)
    shown = [at - wanted[10] for at in wanted[10:]]
    assert misplaced(shown, clip) == 0
    if change == "missing":
        del shown[200]
    elif change == "doubled":
        shown.insert(200, shown[200])
    else:
        shown[200] += VIDEO_HZ // 30
    assert misplaced(shown, clip) >= 1
