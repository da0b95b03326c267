"""A real PortAudio microphone, dead or dying at 3 s: the picture goes on, and never more than 1 s is unsealed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.config import AudioConfig, RecordingConfig
from agent.model import NS
from agent.station.layout import AgencyPaths
from tests.lab import alsa
from tests.recorder_kit import RecorderProcess, make_config
from tests.waits import stored_in, waits

SECONDS = 8.0
BOUND_NS = NS


@pytest.mark.parametrize("alive_s", [0.0, 3.0], ids=["dead from the start", "dying at 3 s"])
def test_media_keeps_flowing_and_is_sealed_within_a_second(agency: AgencyPaths, tmp_path: Path, alive_s: float) -> None:
    config = make_config(agency, tmp_path, audio=AudioConfig(source=alsa.NAME))
    config = replace(config, recording=RecordingConfig(pre_event_s=0))
    with alsa.microphone(tmp_path, alive_s) as env, RecorderProcess(config, tmp_path, env=env) as recorder:
        recorder.until(lambda s: s["state"] == "ready")
        recorder.ask("record")
        status = recorder.until(lambda s: s["media_s"] >= SECONDS)
        assert "microphone" in status["faults"]
        assert status["parts_lost"] == status["intake"]["frames_dropped"] == 0
        recorder.ask("stop")
        assert recorder.stop() == 0
    found = waits(stored_in([config.spool.dir]))
    # A sample waits from its capture to the leaf of its part: the oldest in each part waits longest.
    assert max(wait.oldest_ns for wait in found) <= BOUND_NS
    assert max(wait.hole_ns for wait in found if wait.hole_ns is not None) <= NS // 10
