"""A microphone for tests: ALSA's file plugin over a FIFO, fed by fifo_feeder.py. PortAudio and ALSA are real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.model import AUDIO_HZ

LAB = Path(__file__).resolve().parent
TREE = LAB.parent.parent
NAME = "bodymic"
BLOCK = 1024


@contextmanager
def microphone(
    work: Path, alive_s: float, pause_s: float | None = None, pace: float = 1.0, keeps: bool = False, hz: int = AUDIO_HZ
) -> Iterator[dict[str, str]]:
    """The environment in which a process finds the microphone NAME; its sound stops after `alive_s`, it stays. With
    `pause_s` sound comes again after that; where it `keeps` what was to come meanwhile, that comes first, at once. It
    gives `pace` times as much sound in a second as it says. With another `hz`, a whole part of AUDIO_HZ, that is its
    only rate.
    """
    fifo, conf = work / "fifo", work / "asound.conf"
    os.mkfifo(fifo)
    conf.write_text((LAB / "asound-fifo.conf").read_text("ascii").replace("FIFO_PATH", str(fifo)), "ascii")
    env = os.environ | {"ALSA_CONFIG_PATH": str(conf), "PYTHONPATH": str(TREE)}
    command = [sys.executable, str(LAB / "fifo_feeder.py"), str(fifo), str(round(BLOCK * hz / AUDIO_HZ)), str(alive_s)]
    command += ["-" if pause_s is None else str(pause_s), str(pace), str(hz), *(["keeps"] if keeps else [])]
    if hz != AUDIO_HZ:
        env |= {"LD_PRELOAD": str(_only_rate(work)), "ONLY_RATE": str(hz)}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as feeder:
        assert feeder.stdin and feeder.stdout
        try:
            assert feeder.stdout.readline(), "the feeder did not start"
            yield env
        finally:
            feeder.stdin.close()
            feeder.wait(10)


def _only_rate(work: Path) -> Path:
    built = work / "only_rate.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", built, LAB / "only_rate.c", "-ldl"], check=True, timeout=60)
    return built


def run(script: str, env: dict[str, str], *arguments: str, timeout_s: float = 90) -> dict[str, Any]:
    """Run a script of the lab; what it prints as JSON, and beside it as `said`. A hang in there ends with it."""
    command = [sys.executable, str(LAB / script), *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"said": done.stderr}
