"""Uploader and station killed, the network cut, at random instants: each segment lands once, as it was sealed, and the
recorder, which deletes as fast as receipts allow, never deletes one that the station does not have.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.station.layout import AgencyPaths
from tests import campaigns
from tests.dock.kill_kit import KINDS, Outcome, Run, make_spool, runs

SEED = campaigns.size(sample=73_516, full=20_261)
"""The sample's: one fault in each run, in the middle of the segments."""
PARTS = campaigns.size(sample=1, full=18)
RUNS = campaigns.size(sample=len(KINDS), full=12)
AT_ONCE = campaigns.size(sample=len(KINDS), full=1)
"""Runs beside each other: most of a run is waiting."""


@pytest.fixture(scope="module")
def template(agency: AgencyPaths, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_spool(agency, tmp_path_factory.mktemp("template") / "spool")


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
def test_every_segment_lands_once_whatever_is_killed(
    agency: AgencyPaths, template: Path, tmp_path: Path, part: int
) -> None:
    campaign = campaigns.Campaign("kill-matrix", part, PARTS)
    hits: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    segments, wrong = 0, []
    planned = list(runs(SEED + part, RUNS))

    def outcome_of(number: int) -> Outcome:
        kind, faults, chance = planned[number]
        with Run(agency, template, tmp_path / str(number), kind, chance) as run:
            return run.go(faults)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(outcome_of, range(RUNS)))
    for number, ((kind, _, _), outcome) in enumerate(zip(planned, outcomes, strict=True)):
        assert outcome.hits or campaigns.FULL, f"run {number} ({kind}) was over before anything was killed"
        hits.update(outcome.hits)
        kinds[kind] += 1
        segments += outcome.segments
        wrong += [f"run {number} ({kind}): {what}" for what in outcome.wrong]
    assert wrong == [], wrong
    assert {key.split()[0] for key in hits} == {*KINDS} - {"all"}
    campaign.finish(
        runs=RUNS,
        runs_by_kind=dict(sorted(kinds.items())),
        faults=sum(hits.values()),
        faults_by_state=dict(sorted(hits.items())),
        segments=segments,
        failures=len(wrong),
    )
