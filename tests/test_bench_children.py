"""The bench's children: what their units would give them."""

from __future__ import annotations

import os
import re
import resource
import sys
from pathlib import Path

import pytest

from agent.bench_children import RECORDER, RECORDER_NICE, Child

UNIT = Path(__file__).parent.parent / "systemd" / "bodycam-recorder.service"
WAITS = [sys.executable, "-c", "import time; time.sleep(60)"]
MAY = os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_NICE)[0] >= 20 - RECORDER_NICE


@pytest.mark.parametrize("name", [RECORDER, "uploader", "station"])
def test_a_recorder_is_let_run_as_its_unit_has_it(tmp_path: Path, name: str) -> None:
    """Where the user may not, it runs as all do."""
    (nice,) = re.findall(r"^Nice=(.+)$", UNIT.read_text(), re.MULTILINE)
    child = Child(name, tmp_path, WAITS)
    try:
        wanted = int(nice) if name == RECORDER and MAY else os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == wanted
        autogroup = Path(f"/proc/{child.pid}/autogroup")
        if MAY and autogroup.exists():
            assert autogroup.read_text().endswith(f" nice {nice if name == RECORDER else 0}\n")
    finally:
        child.stop(0)


def test_half_a_line_is_waited_for_no_longer_than_a_whole_one(tmp_path: Path) -> None:
    says = "import sys, time; sys.stdout.write('half'); sys.stdout.flush(); time.sleep(60)"
    child = Child("station", tmp_path, [sys.executable, "-c", says])
    try:
        assert child.first_line(0.3) == ""
    finally:
        child.stop(0)


def test_the_first_line_is_had_whole_and_of_one_that_ends_what_there_was(tmp_path: Path) -> None:
    for says, line in (("print('one'); print('two')", "one\n"), ("print('all', end='')", "all"), ("", "")):
        child = Child("station", tmp_path, [sys.executable, "-c", says])
        try:
            assert child.first_line(20) == line
        finally:
            child.stop(0)
