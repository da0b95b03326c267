"""Light and beep from outside, in front of an agent: flasher.py with real PortAudio, and as a clip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.lab import alsa

FIFO_LATENCY_MS = 0
"""By how much PortAudio's stamps on ALSA's file plugin are later than the sound: it knows of no converter."""


def film(
    work: Path, seconds: float, beep_late_ms: float = 0.0, latency_ms: int = FIFO_LATENCY_MS
) -> tuple[Path, dict[str, Any]]:
    """(the recording, what its recorder told)."""
    out = work / "film.mp4"
    take = [sys.executable, str(alsa.LAB / "record_flashes.py"), alsa.NAME, str(seconds), str(latency_ms), str(out)]
    with _flasher(work, beep_late_ms, subprocess.PIPE) as (flasher, env):
        done = subprocess.run(
            take, env=env, stdin=flasher.stdout, capture_output=True, text=True, timeout=seconds * 2 + 90
        )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told["reached"] and told["complete"]
    return out, told


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
