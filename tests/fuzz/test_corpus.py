"""The kept corpus of the fuzzer, replayed: every input keeps its promises, and together they reach the readers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.campaigns import FULL, Campaign, size
from tests.fuzz.engine import CORPUS
from tests.fuzz.readers import ELSEWHERE, WRITERS
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
LEAST_PERCENT = size(94, 95)
"""Of readers' lines, by the corpus alone. A new reader needs inputs of its own: `make fuzz ARGS="TARGET --keep"`. Until
it has them there is some room; none in full.
"""
PARTS = 40
MOST_BYTES = 1 << 20
"""Of the whole corpus, in every clone for good."""


def fuzz(*arguments: str) -> dict[str, Any]:
    """In a process of its own: counters go in before anything is imported, and its memory is limited."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz", "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["failures"] == {}, done.stderr
    return told


def test_the_page_names_all_that_is_not_counted() -> None:
    page = (Path(__file__).parents[2] / "docs" / "fuzzing.md").read_text("utf-8")
    (table,) = (block for block in page.split("\n\n") if block.startswith("| not counted |"))
    wanted = {name.removeprefix("agent.") for name in [*ELSEWHERE, *WRITERS]}
    wanted |= {scope for scopes in WRITERS.values() for scope in scopes}
    assert set(re.findall("`([^`]+)`", table)) == wanted


def test_each_target_has_a_corpus() -> None:
    assert {path.name for path in CORPUS.iterdir()} == {target.name for target in TARGETS}
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < MOST_BYTES


@pytest.mark.campaign
def test_the_corpus_keeps_its_promises_and_reaches_the_readers() -> None:
    campaign = Campaign("fuzz-corpus")
    told = fuzz("--corpus")
    assert told["lines_percent"] >= LEAST_PERCENT
    campaign.finish(crashes=len(told.pop("failures")), **told)


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(size(1, PARTS)))
def test_changed_inputs_keep_their_promises(part: int) -> None:
    campaign = Campaign("fuzz", part, PARTS)
    some = [] if FULL else ["--share", "0.05"]
    told = fuzz("--inputs", str(size(400, 1_000_000 // PARTS)), "--seed", str(part), *some)
    campaign.finish(inputs=told["inputs"], crashes=len(told["failures"]), inputs_by_target=told["inputs_by_target"])
