"""A month of shifts for each profile, in simulated time: at each step the house's promises hold, at its end the log
says what was, and its accounts tile the month.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agent.formats import age
from agent.formats import leaf as leaves
from agent.model import NS, SegmentState
from agent.station.layout import AgencyPaths
from tests import campaigns
from tests.camera_kit import read
from tests.month_model import Month
from tests.test_accounted import check
from tests.test_profiles import NAMES

EIGHTHS = campaigns.size(sample=1, full=8)
DAYS = campaigns.size(sample=1, full=4)
"""Of an eighth of a month, 32 days in all."""
HOURS = campaigns.size(sample=5, full=8)
PARTS = campaigns.size(sample=1, full=len(NAMES) * EIGHTHS)


def starts(month: Month) -> list[tuple[str, int]]:
    """Boot and instant of each recording that somebody began, as the agency reads it."""
    identity = age.parse_identity_file(month.agency.agency_identity.read_text())[0]
    found = []
    for path in month.camera.vault.spool.segments(SegmentState.SEALED):
        for entry, leaf in read(path)[2]:
            if isinstance(leaf, leaves.EventLeaf) and leaf.kind is leaves.Kind.START:
                body = leaves.open_body(age.decrypt(entry.sealed, [identity]), leaf.body)
                if body["trigger"] in ("button", "trigger"):
                    found.append((leaf.common.stamp.boot, body["mono_ns"]))
    return sorted(found)


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
def test_every_promise_holds_all_month(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    profile, eighth = NAMES[part % len(NAMES)], part // len(NAMES)
    campaign = campaigns.Campaign("month", part, PARTS)
    draw = random.Random(f"{profile}, {eighth}")
    month = Month(agency, tmp_path, monkeypatch, profile=profile)
    for _ in range(DAYS):
        month.shift(draw, HOURS)
    month.over(said=True)
    sums = check(agency, month)
    assert starts(month) == sorted((month.boots[boot], at_ns) for boot, at_ns in month.presses), "each press, once"
    campaign.finish(
        days=DAYS,
        presses=len(month.presses),
        boots=len(month.boots),
        looks=len(month.seen),
        deeds=dict(sorted(month.counts.items())),
        seconds={doing.value: round(ns / NS) for doing, ns in sorted(sums.items(), key=str)},
        profiles={profile: 1},
    )
