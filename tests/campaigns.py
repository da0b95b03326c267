"""Campaigns: long series with a fixed seed. `make test` runs a sample of each; `make test-long` all of it, into
docs/results/.

A campaign that finished at this commit is not run again, so an interrupted `make test-long` goes on where it
stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
FULL = os.environ.get("BODYCAM_CAMPAIGN") == "full"


_Size = TypeVar("_Size")


def size(sample: _Size, full: _Size) -> _Size:
    """How many runs this time, or of what size."""
    return full if FULL else sample


def commit() -> str:
    """The commit of the tree, marked where it has changes besides results; "unknown" outside a git checkout."""
    head = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)docs/results")
    return f"{head or 'unknown'}{'-dirty' if changes else ''}"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


class Campaign:
    """One campaign's result file. Create it first: it skips what is done at this commit already.

    One that takes minutes is run as several tests, parts 0 to `of` - 1, each well within the time a test may take;
    the file then holds the figures of each part, and their sums. Parts may run at once.
    """

    def __init__(self, name: str, part: int = 0, of: int = 1, command: str = "make test-long") -> None:
        self._command = command
        self._path = RESULTS / f"{name}.json"
        self._part, self._of = f"{part + 1} of {of}", of
        if FULL and self._finished():
            pytest.skip(f"finished at this commit: {self._path.relative_to(ROOT)}")

    def finish(self, **figures: Any) -> None:
        """Print the figures; in full, keep them with commit, command and machine."""
        print(json.dumps(figures))
        if not FULL:
            return
        RESULTS.mkdir(parents=True, exist_ok=True)
        with _alone():
            self._keep(figures)

    def _keep(self, figures: dict[str, Any]) -> None:
        if self._of > 1:
            parts = {**self._parts(), self._part: figures}
            figures = {**_sums(parts.values()), "finished": f"{len(parts)} of {self._of} parts", "parts": parts}
        result = {
            "commit": commit(),
            "command": self._command,
            "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {sys.version.split()[0]}; no Raspberry Pi",
            **figures,
        }
        self._path.write_text(json.dumps(result, indent=2) + "\n", "utf-8")

    def _finished(self) -> bool:
        return bool(self._done()) and (self._of == 1 or self._part in self._parts()) and "dirty" not in commit()

    def _done(self) -> dict[str, Any]:
        """What is in the result file of this very commit."""
        found: dict[str, Any] = json.loads(self._path.read_text("utf-8")) if self._path.exists() else {}
        return found if found.get("commit") == commit() else {}

    def _parts(self) -> dict[str, Any]:
        """The figures of other parts, where they were made with the same number of parts."""
        parts: dict[str, Any] = self._done().get("parts", {})
        return {part: figures for part, figures in parts.items() if part.endswith(f" of {self._of}")}


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """No other process keeps figures meanwhile."""
    directory = os.open(RESULTS, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _sums(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Figure by figure; a figure that counts by name, name by name. Of the worst of something, the worst."""
    total: dict[str, Any] = {}
    for figures in parts:
        for name, value in figures.items():
            if isinstance(value, dict):
                total[name] = _sums([total.get(name, {}), value])
            elif name.startswith("worst_"):
                total[name] = max(total.get(name, value), value)
            else:
                before = total.get(name, 0)
                # What one part did not look at, all together do not know.
                total[name] = None if None in (before, value) else before + value
    return total
