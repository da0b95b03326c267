"""Campaigns: long series with a fixed seed. `make test` runs a sample of each; `make test-long` all of it, into
docs/results/.

A campaign that finished at this commit is not run again, so an interrupted `make test-long` goes on where it
stopped.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
FULL = os.environ.get("BODYCAM_CAMPAIGN") == "full"


def size(sample: int, full: int) -> int:
    """How many runs this time."""
    return full if FULL else sample


def commit() -> str:
    """The commit of the tree, marked where it has changes; "unknown" outside a git checkout."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


class Campaign:
    """One campaign's result file. Create it first: it skips what is done at this commit already."""

    def __init__(self, name: str) -> None:
        self._path = RESULTS / f"{name}.json"
        if FULL and self._path.exists():
            done = json.loads(self._path.read_text("utf-8"))
            if done["commit"] == commit() and "dirty" not in done["commit"]:
                pytest.skip(f"finished at this commit: {self._path.relative_to(ROOT)}")

    def finish(self, **figures: Any) -> None:
        """Print the figures; in full, keep them with commit, command and machine."""
        print(json.dumps(figures))
        if not FULL:
            return
        RESULTS.mkdir(parents=True, exist_ok=True)
        result = {
            "commit": commit(),
            "command": "make test-long",
            "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {sys.version.split()[0]}; no Raspberry Pi",
            **figures,
        }
        self._path.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
