"""Sleep and wake of the recorder as it runs, on real picamera2 and a real PortAudio microphone. Run by `make
picamera-test`.

In sleep both are given back: libcamera's camera is stopped and released, so no sensor runs. What this cannot show is
how long a sensor takes until its first picture, and libcamera on a Pi to load its tuning.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from agent.bench_children import prefer
from agent.config import AudioConfig, VideoConfig
from agent.intake import Intake
from agent.model import NS
from agent.recorder import Recorder
from agent.station.layout import AgencyPaths
from tests.lab import alsa, virtual_camera
from tests.lab.picamera_whole import PLUG
from tests.recorder_kit import make_config
from tests.test_rest import WAKE_S, running

WAKES = 20
SIZE = (1920, 1080)
RESULT = Path("wake-picamera2.json")


def test_it_wakes_in_less_than_a_second_and_no_camera_is_open_meanwhile(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the times it is woken, half of the times a press wakes it."""
    PLUG.write_text("", "utf-8")
    virtual_camera.install()
    video = VideoConfig(source="picamera", width=SIZE[0], height=SIZE[1], preset="ultrafast")
    with alsa.microphone(tmp_path, alive_s=600) as env:
        monkeypatch.setenv("ALSA_CONFIG_PATH", env["ALSA_CONFIG_PATH"])
        config = make_config(agency, tmp_path, video=video, audio=AudioConfig(source=alsa.NAME))
        # As its unit has it; each thread has the priority of the one that made it.
        prefer("recorder", os.getpid())
        with running(config) as recorder:
            woken_s, pressed_s = [], []
            for _ in range(WAKES):
                sleep(recorder)
                woken_s.append(took_s(recorder, "wake"))
                assert recorder.status()["state"] == "ready"
                sleep(recorder)
                pressed_s.append(took_s(recorder, "record"))
                assert recorder.status()["state"] == "recording"
                recorder._answer({"do": "stop"})
            faults = recorder.status()["faults"]
    told = {"size": f"{SIZE[0]}x{SIZE[1]}", "wakes": WAKES, **figures("wake", woken_s), **figures("press", pressed_s)}
    print(json.dumps(told))
    RESULT.write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    assert not faults
    assert max(*woken_s, *pressed_s) < WAKE_S, told


def sleep(recorder: Recorder) -> None:
    """What the ring held is zero, and picamera2 has no camera open."""
    intake = recorder._lens.intake
    assert isinstance(intake, Intake)
    arena = intake._delivery._ring._arena
    assert arena[:].count(0) < len(arena) and virtual_camera.are_open()
    recorder._answer({"do": "sleep"})
    assert recorder.status()["state"] == "sleeping"
    assert arena[:].count(0) == len(arena) and not virtual_camera.are_open()


def took_s(recorder: Recorder, do: str) -> float:
    began_ns = recorder._clock.monotonic_ns()
    recorder._answer({"do": do})
    return (recorder._clock.monotonic_ns() - began_ns) / NS


def figures(what: str, seconds: list[float]) -> dict[str, Any]:
    ms = sorted(round(took * 1000, 1) for took in seconds)
    return {f"{what}_ms_median": round(median(ms), 1), f"worst_{what}_ms": ms[-1]}
