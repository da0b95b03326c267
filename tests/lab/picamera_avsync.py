"""Flash against beep through real picamera2, libcamera's virtual camera and a real PortAudio microphone, in what the
whole recorder sealed and export gave. Run by `make picamera-test`.

The light goes on, and its beep sounds, as a process outside decides on CLOCK_MONOTONIC; each picture is lit as far as
the light was on between the SensorTimestamps of the one before and its own. So this shows what libcamera, picamera2,
encoder, ring, muxer and export make of stamps. It does not show where in a true sensor's exposure its stamp lies, nor
the hardware encoder.

It wants a quiet machine: this microphone's sound is stamped when a process gets to read it, where a sound card keeps
time by itself. Where other work holds up the recorder, sound comes late or is told as silence, and this fails.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import libcamera
import pytest

from agent.config import AudioConfig, OverlayConfig, RecordingConfig
from agent.station.layout import AgencyPaths
from tests import avsync
from tests.lab import alsa, outside, virtual_camera
from tests.lab.flasher import EVENT_S
from tests.lab.picamera_whole import export, run

SECONDS, PLANTED_SECONDS = 90, 9
RESULT = Path("avsync-picamera2.json")


def measured(
    agency: AgencyPaths, work: Path, seconds: float, late_ms: float, monkeypatch: pytest.MonkeyPatch
) -> tuple[avsync.Offsets, dict[str, Any]]:
    """(the offsets in what is exported, the recorder's last status)."""
    with outside.light(work, late_ms) as (told, env):
        monkeypatch.setenv(virtual_camera.LIGHT, str(told))
        monkeypatch.setenv("ALSA_CONFIG_PATH", env["ALSA_CONFIG_PATH"])
        sections = {
            "audio": AudioConfig(source=alsa.NAME),
            "overlay": OverlayConfig(enabled=False),
            "recording": RecordingConfig(pre_event_s=2, segment_s=60),
        }
        with run(agency, work / "camera", 640, 360, **sections) as recorder:
            status = outside.record(recorder, seconds)
    (film,) = export(agency, recorder.config.spool.dir, work / "export")
    return avsync.measure(film, seen=avsync.Seen.GATHERED), status


def test_picture_and_sound_stay_in_step_through_picamera2(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, status = measured(agency, tmp_path, SECONDS, 0, monkeypatch)
    versions = {name: version(name) for name in ("picamera2", "PyAudio", "av")}
    told = {
        "versions": versions | {"libcamera": libcamera.CameraManager.version},
        "light": "put into the buffers between libcamera and picamera2, by SensorTimestamp; no sensor's exposure",
        "size": "640x360",
        "seconds": SECONDS,
        **found.figures(),
        "pictures_lost": status["frames_dropped"],
        "sound_corrections": status["intake"]["sound_corrections"],
        "silence_ms": status["intake"]["silence_ms"],
    }
    print(json.dumps(told))
    RESULT.write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    assert found.flashes >= SECONDS / EVENT_S - 3
    assert found.verdict() == []


@pytest.mark.parametrize("late_ms", [-15, 15])
def test_a_planted_error_of_15_ms_fails_there_too(
    late_ms: int, agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = measured(agency, tmp_path, PLANTED_SECONDS, late_ms, monkeypatch)
    assert found.flashes >= PLANTED_SECONDS / EVENT_S - 3
    assert found.verdict()
