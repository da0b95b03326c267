"""Light and beep from outside, in front of an agent: flasher.py with real PortAudio, and as a clip."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from agent.config import AudioConfig, RecordingConfig
from agent.evidence.commands import main as evidence
from tests.camera_kit import make_agency
from tests.lab import alsa, flash_recorder
from tests.recorder_kit import RecorderProcess, make_config

SETTLE_S = 5.0
"""What waited in the FIFO comes in one burst; then its pace is that of the process that feeds it."""


def film(work: Path, seconds: float, beep_late_ms: float = 0.0) -> tuple[Path, dict[str, Any]]:
    """(what is exported of it, the recorder's last status): pictures as that process stamps them (flash_recorder.py),
    sound from a real PortAudio microphone, through the whole recorder.
    """
    agency, place = make_agency(work / "agency"), work / "camera"
    sections = {"audio": AudioConfig(source=alsa.NAME), "recording": RecordingConfig(pre_event_s=2, segment_s=60)}
    config = make_config(agency, place, **sections)
    with (
        light(work, beep_late_ms) as (told, env),
        RecorderProcess(config, place, env=env | {flash_recorder.LIGHT: str(told)}, wrap=_flashing) as recorder,
    ):
        status = record(recorder, seconds)
    trust, out = ["--trust", str(agency.trust_root)], work / "export"
    with contextlib.redirect_stdout(io.StringIO()):
        assert (
            evidence(["export", str(config.spool.dir), "-i", str(agency.agency_identity), *trust, "-o", str(out)]) == 0
        )
    (exported,) = out.glob("*.mp4")
    return exported, status


def record(recorder: RecorderProcess, seconds: float) -> dict[str, Any]:
    """Its last status, after one recording; it is stopped."""
    recorder.until(lambda s: s["state"] == "ready", 60)
    recorder.run_for(SETTLE_S)
    assert recorder.ask("record")["recording"]
    recorder.run_for(seconds)
    assert recorder.ask("stop")["whole"]
    status = recorder.until(lambda s: s["recording"] is None)
    assert recorder.stop() == 0
    return status


def _flashing(*command: str) -> list[str]:
    return ["tests.lab.flash_recorder" if word == "agent" else word for word in command]


@contextmanager
def light(work: Path, beep_late_ms: float = 0.0) -> Iterator[tuple[Path, dict[str, str]]]:
    """(the file into which it writes what its light does, the environment in which its beep is the microphone's)."""
    told = work / "light"
    with told.open("wb") as file, _flasher(work, beep_late_ms, file) as (_, env):
        yield told, env


@contextmanager
def _flasher(
    work: Path, beep_late_ms: float, shown: int | IO[bytes]
) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    fifo, conf = work / "fifo", work / "asound.conf"
    os.mkfifo(fifo)
    conf.write_text((alsa.LAB / "asound-fifo.conf").read_text("ascii").replace("FIFO_PATH", str(fifo)), "ascii")
    env = os.environ | {"ALSA_CONFIG_PATH": str(conf), "PYTHONPATH": str(alsa.TREE)}
    command = [sys.executable, str(alsa.LAB / "flasher.py"), str(fifo), str(alsa.BLOCK), str(beep_late_ms)]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=shown) as flasher:
        try:
            yield flasher, env
        finally:
            flasher.kill()


def clip(path: Path, seconds: int, beep_late_ms: float = 0.0) -> Path:
    """The same light and beep as a film, made by a process of its own."""
    command = [sys.executable, "-m", "tests.lab.flash_film", str(path), str(seconds), str(beep_late_ms)]
    subprocess.run(command, check=True, timeout=300, cwd=alsa.TREE)
    return path


def exported(source: Path, seconds: int, out: Path) -> Path:
    """A clip recorded, sealed, uploaded, verified and exported by the whole product."""
    command = [sys.executable, "-m", "agent", "bench", "--source", f"clip:{source}", "--duration", str(seconds)]
    done = subprocess.run(
        [*command, "--out", str(out), "--json"], capture_output=True, text=True, timeout=seconds * 3 + 120, check=False
    )
    assert done.returncode == 0, done.stderr
    (film,) = out.rglob("*.mp4")
    return film
