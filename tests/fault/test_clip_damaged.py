"""A clip that is damaged midway: the fault stays, and what stands in for a camera is not begun again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent.bench_watch import status_of
from agent.config import AudioConfig, RecordingConfig, VideoConfig
from agent.errors import Exit
from agent.station.layout import AgencyPaths
from tests import media_samples
from tests.recorder_kit import RecorderProcess, make_config

KEPT_BYTES = 800_000
"""About 1.5 s of the talk; its index, which comes first, promises 8.3 s."""
REOPENED_S = 2.5


def test_a_clip_that_is_cut_short_is_a_fault_that_stays(agency: AgencyPaths, tmp_path: Path) -> None:
    clip = tmp_path / "cut.mp4"
    clip.write_bytes(media_samples.talk().read_bytes()[:KEPT_BYTES])
    config = make_config(agency, tmp_path, video=VideoConfig(source=f"clip:{clip}"), audio=AudioConfig(source="clip"))
    config = replace(config, recording=RecordingConfig(pre_event_s=30, record_at_boot=True))
    with RecorderProcess(config, tmp_path) as recorder:
        ended = recorder.until(lambda s: s["recordings"] and s["recording"] is None)
        assert "is damaged" in ended["faults"]["camera"]
        recorder.run_for(REOPENED_S)
        later = recorder.ask("status")
        assert later["faults"] == ended["faults"]
        assert later["source_ended"]
        assert later["recordings"] == ended["recordings"]
        assert status_of(later["faults"], later) is Exit.DEVICE
        assert recorder.stop() == 0
