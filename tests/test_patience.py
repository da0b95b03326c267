"""tests/patience.py, in a run of its own: who is given how long before the run is taken for hanging."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
TESTS = """
import time
import pytest

@pytest.mark.campaign
def test_long(): time.sleep(0.5)

def test_hangs(): time.sleep(0.5)
"""


def run(tmp_path: Path, test: str, campaign: str, ini: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_some.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nmarkers = campaign\n{ini}", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), "-c", str(tmp_path / "pytest.ini")]
    plugins = ["-p", "tests.patience", "-p", "no:cacheprovider"]
    environ = {**os.environ, "BODYCAM_CAMPAIGN": campaign, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [*command, *plugins, f"{tmp_path}/test_some.py::{test}"],
        cwd=HOUSE,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )


SHORT = "faulthandler_timeout = 0.2\nfaulthandler_exit_on_timeout = true\n"


def test_a_campaign_in_full_may_take_longer_than_a_test(tmp_path: Path) -> None:
    done = run(tmp_path, "test_long", "full", SHORT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("test", "campaign"), [("test_hangs", "full"), ("test_long", "")])
def test_any_other_test_that_hangs_ends_the_run_with_its_stack(tmp_path: Path, test: str, campaign: str) -> None:
    done = run(tmp_path, test, campaign, SHORT)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Timeout (0:00:00.2" in done.stderr
    assert f"in {test}" in done.stderr


def test_a_campaign_in_full_that_hangs_ends_too(tmp_path: Path) -> None:
    """It has its own limit, here a short one."""
    done = run(tmp_path, "test_long", "full", f"{SHORT}campaign_timeout = 0.3\n")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Timeout (0:00:00.3" in done.stderr
    assert "in test_long" in done.stderr


def test_who_asks_for_more_has_more(tmp_path: Path) -> None:
    """As the virtual machines do on the command line."""
    done = run(tmp_path, "test_long", "full", "faulthandler_timeout = 30\ncampaign_timeout = 0.3\n")
    assert done.returncode == 0, done.stdout + done.stderr
