"""What `make test` and `make test-wide` have of a long series: each case is in one of them, and of each one in both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wide import ONE_OF, sample_of

SERIES = """
import pytest
@pytest.mark.wide
@pytest.mark.parametrize("n", range(25))
def test_long(n): pass
@pytest.mark.wide
@pytest.mark.parametrize("n", range(2))
def test_short(n): pass
def test_one(): pass
"""


def collected(tree: Path, which: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "tests.wide", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "-c", str(tree / "pytest.ini"), str(tree / "test_series.py")],
        env=os.environ | {"BODYCAM_WIDE": which},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )


def cases(tree: Path, which: str) -> list[str]:
    done = collected(tree, which)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.rpartition("::")[2] for line in done.stdout.splitlines() if "::" in line]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    wide: a long series\n")
    (tmp_path / "test_series.py").write_text(SERIES)
    return tmp_path


def test_each_case_is_in_the_sample_or_in_the_rest(tree: Path) -> None:
    every, sample, rest = (cases(tree, which) for which in ("all", "sample", "rest"))
    assert len(every) == 28
    assert sorted(sample + rest) == sorted(every)
    assert [sum(one.startswith(name) for one in sample) for name in ("test_long", "test_short", "test_one")] == [
        3,
        1,
        1,
    ]
    assert cases(tree, "sample") == sample, "a fixed seed"


def test_a_word_that_says_neither_is_refused(tree: Path) -> None:
    done = collected(tree, "some")
    assert (done.returncode, "it may be all, sample or rest" in done.stderr) == (pytest.ExitCode.USAGE_ERROR, True)


def test_the_sample_is_the_same_in_whatever_order_they_come() -> None:
    names = [f"a.py::b[{n}]" for n in range(3 * ONE_OF)]
    assert sample_of(names) == sample_of(names[::-1])
    assert len(sample_of(names)[0]) == 3
