"""A real PortAudio microphone, dead or dying at 3 s: the picture goes on, and never more than 1 s is unsealed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.config import AudioConfig, RecordingConfig
from agent.model import NS
from agent.station.layout import AgencyPaths
from tests.lab import alsa
from tests.recorder_kit import RecorderProcess, make_config
from tests.waits import stored_in, waits

SECONDS = 5.0
"""Of media after it is dead."""
BOUND_NS = NS
ALIVE_S = {"dead from the start": 0.0, "dying at 3 s": 3.0}


@pytest.fixture(scope="module")
def recorded(agency: AgencyPaths, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], Path]]:
    """Of each microphone, the recorder's status with it and its spool. They record at the same time."""
    with ThreadPoolExecutor(len(ALIVE_S)) as pool:
        begun = {name: pool.submit(record, agency, tmp_path_factory.mktemp("camera"), s) for name, s in ALIVE_S.items()}
        return {name: told.result() for name, told in begun.items()}


def record(agency: AgencyPaths, place: Path, alive_s: float) -> tuple[dict[str, Any], Path]:
    config = make_config(agency, place, audio=AudioConfig(source=alsa.NAME))
    config = replace(config, recording=RecordingConfig(pre_event_s=0))
    with alsa.microphone(place, alive_s) as env, RecorderProcess(config, place, env=env) as recorder:
        recorder.until(lambda s: s["state"] == "ready")
        recorder.ask("record")
        status = recorder.until(lambda s: s["media_s"] >= alive_s + SECONDS)
        recorder.ask("stop")
        assert recorder.stop() == 0
    return status, config.spool.dir


@pytest.mark.wide
@pytest.mark.parametrize("microphone", ALIVE_S)
def test_media_keeps_flowing_and_is_sealed_within_a_second(
    recorded: dict[str, tuple[dict[str, Any], Path]], microphone: str
) -> None:
    status, spool = recorded[microphone]
    assert "microphone" in status["faults"]
    assert status["parts_lost"] == status["intake"]["frames_dropped"] == 0
    found = waits(stored_in([spool]))
    # A sample waits from its capture to the leaf of its part: the oldest in each part waits longest.
    assert max(wait.oldest_ns for wait in found) <= BOUND_NS
    assert max(wait.hole_ns for wait in found if wait.hole_ns is not None) <= NS // 10
