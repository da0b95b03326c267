"""The benchmark of the start runs for real; and what a recorder imports before its panel is there is little."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import Exit
from benchmarks import __main__ as command
from benchmarks import start_to_ready

HEAVY = ("av", "numpy", "cv2", "PIL", "cryptography", "pyaudio", "gpiozero", "lgpio", "picamera2", "requests")


def test_one_round_runs_for_real(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["start-to-ready", "--json"]) == Exit.OK
    printed = capsys.readouterr()
    (told,) = json.loads(printed.out)["comparisons"]
    (line_s,) = map(float, re.findall(r"line requested after ([0-9.]+) s", printed.err))
    assert 0 < line_s < told["sides"]["recorder"]["seconds"]
    sides = told["sides"]
    assert list(sides) == list(start_to_ready.SIDES) and all(side["seconds"] > 0 for side in sides.values())
    # Processor time: to wait for a processor does not lengthen it. Measured: 0.02 and 0.45 s.
    assert sides["python alone"]["cpu_s"] < sides["its imports"]["cpu_s"]


def imported(words: str) -> set[str]:
    code = f"import sys\n{words}\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    tree = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tree, check=True)
    return set(done.stdout.split())


def test_nothing_heavy_comes_before_the_panel() -> None:
    """A press is heard from when its line is requested: that must not wait for codecs."""
    assert imported("import agent.cli, agent.config, agent.controls.panel") == set()


def test_codecs_and_devices_are_imported_where_they_are_used() -> None:
    assert imported("import agent.recorder") <= {"cryptography", "numpy"}
