"""tests/at_once.py, in a run of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HOUSE = Path(__file__).resolve().parent.parent
TESTS = """
import pytest

@pytest.fixture
def broken():
    raise OSError("no such lamp")

def test_falls(): assert 1 == 2, "one is not two"
def test_needs_what_is_broken(broken): pass
def test_stands(): pass
"""


def test_a_shared_run_tells_each_failure_before_its_end_and_why(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        "/dev/null",
        "--rootdir",
        str(tmp_path),
        "-p",
        "tests.at_once",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run([*command, "-n", "1", str(tmp_path)], cwd=HOUSE, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    while_it_ran, _, _ = done.stdout.partition("= FAILURES =")[0].partition("= ERRORS =")
    assert "\nFAILED at once: test_some.py::test_falls\n" in while_it_ran
    assert "one is not two" in while_it_ran
    assert "\nERROR at once: test_some.py::test_needs_what_is_broken\n" in while_it_ran
    assert "no such lamp" in while_it_ran
    assert "test_stands" not in while_it_ran
