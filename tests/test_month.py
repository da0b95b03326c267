"""A month of shifts for each profile, in simulated time, on one card: at each step the house's promises hold, at its
end the log says what was, and its accounts tile the month.

Of that time about two per cent are recorded: each recorded half second costs an encryption, a signature and a sync, and
processor time is what decides.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from agent.evidence.sources import collect
from agent.formats import age
from agent.formats import leaf as leaves
from agent.model import NS
from agent.station.layout import AgencyPaths
from tests import campaigns
from tests.camera_kit import read
from tests.month_deeds import Shifts
from tests.muxer_kit import part as media_part
from tests.test_accounted import check
from tests.test_profiles import NAMES

LEGS = campaigns.size(sample=1, full=5)
"""Of a month: a leg goes on with the card of the one before it."""
DAYS = campaigns.size(sample=2, full=6)
"""Of a leg."""
HOURS = campaigns.size(sample=2, full=8)
FILLS = campaigns.size(sample=10, full=1) / 10
PARTS = campaigns.size(sample=1, full=len(NAMES) * LEGS)
CLEAR = (media_part(0).data, b'"type":"')
"""What each part of media and each event's body holds, and nothing else."""


class Calendar:
    """The month that goes on, from leg to leg. Where one is asked for that does not come next, as where an interrupted
    campaign goes on, the legs before it are lived again: they are always the same.
    """

    def __init__(self, agency: AgencyPaths, roots: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> None:
        self._agency, self._roots, self._patch = agency, roots, patch
        self._next: tuple[str, int] | None = None

    def live(self, profile: str, leg: int) -> Shifts:
        """Up to the end of this leg."""
        if self._next != (profile, leg):
            self._draw = random.Random(profile)
            root = self._roots.mktemp("month")
            self._month = Shifts(self._agency, root, self._patch, profile=profile, fills=FILLS)
        lived = range(leg) if self._next != (profile, leg) else ()
        self._next = None
        for _ in (*lived, leg):
            self._before = Counter(self._sums())
            for _ in range(DAYS):
                self._month.shift(self._draw, HOURS)
        self._next = profile, leg + 1
        return self._month

    def figures(self) -> dict[str, int]:
        """Of the last leg alone."""
        return {name: count - self._before[name] for name, count in self._sums().items()}

    def _sums(self) -> dict[str, int]:
        month = self._month
        return {
            "presses": len(month.presses),
            "boots": len(month.boots),
            "forks": len(month.forks),
            "looks": len(month.seen),
            "segments_receipted": len(month.station.receipted),
            **{f"segments_deleted_by_{why}": month.deleted[why] for why in ("age", "space")},
        }


@pytest.fixture(scope="module")
def calendar(agency: AgencyPaths, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calendar]:
    with pytest.MonkeyPatch.context() as patch:
        yield Calendar(agency, tmp_path_factory, patch)


def all_leaves(month: Shifts) -> Iterator[tuple[leaves.Leaf, bytes]]:
    """Of each segment once, wherever it lies, with what is sealed beside it."""
    for path in {blob.path.name: blob.path for blob in collect(month.places).segments}.values():
        for entry, leaf in read(path)[2]:
            yield leaf, entry.sealed


def bodies(month: Shifts, kind: leaves.Kind) -> Iterator[tuple[leaves.EventLeaf, dict[str, Any]]]:
    """Each event of this kind, as the agency reads it."""
    identity = age.parse_identity_file(month.agency.agency_identity.read_text())[0]
    for leaf, sealed in all_leaves(month):
        if isinstance(leaf, leaves.EventLeaf) and leaf.kind is kind:
            yield leaf, leaves.open_body(age.decrypt(sealed, [identity]), leaf.body)


def check_starts(month: Shifts) -> None:
    """Each press began one recording, and nothing else did, as the agency reads it."""
    found = []
    for leaf, body in bodies(month, leaves.Kind.START):
        if body["trigger"] in ("button", "trigger"):
            found.append((leaf.common.stamp.boot, body["mono_ns"]))
    expected = sorted((month.boots[boot], at_ns, late_ns) for boot, at_ns, late_ns in month.presses)
    assert len(found) == len(expected)
    for (boot, began_ns), (of, at_ns, late_ns) in zip(sorted(found), expected, strict=True):
        assert boot == of
        assert at_ns <= began_ns <= at_ns + late_ns, "each press, once, from its instant on"


def check_jumps(month: Shifts) -> None:
    """Each jump of the wall clock is in the log, as far as it went, whatever was recorded meanwhile."""
    told = []
    for leaf, body in bodies(month, leaves.Kind.EVENT):
        if body["type"] == "clock" and body["why"] == "step":
            told.append((month.boots.index(leaf.common.stamp.boot), body["step_ns"]))
    expected = sorted(jump for jump in month.jumps if abs(jump[1]) >= NS)
    assert len(told) == len(expected)
    for (boot, step_ns), (of, jump_ns) in zip(sorted(told), expected, strict=True):
        assert boot == of
        assert abs(step_ns - jump_ns) < NS // 1000


def check_dates(month: Shifts) -> int:
    """A date is right within what the leaf vouches for, or the leaf says that nobody vouches for it. How many of those
    are wrong.
    """
    wrong = 0
    for leaf, _ in all_leaves(month):
        stamp = leaf.common.stamp
        if stamp.utc is None:
            continue
        true_ns = month.truth[month.boots.index(stamp.boot)] + stamp.boottime_ns
        off_s = abs(datetime.fromisoformat(stamp.utc).timestamp() - true_ns / NS)
        if stamp.utc_bound_ms is None:
            assert stamp.utc_source == "unverified"
            wrong += off_s > 1
        else:
            assert off_s <= stamp.utc_bound_ms / 1000, "no plausible wrong date"
    return wrong


def check_sealed(month: Shifts) -> None:
    """Nothing of media or events lies in the clear, on the card, at the station or on the way: only the agency's key
    shows it.
    """
    identity = age.parse_identity_file(month.agency.agency_identity.read_text())[0]
    opened = b"".join(age.decrypt(sealed, [identity]) for _, sealed in all_leaves(month))
    assert all(mark in opened for mark in CLEAR)
    for path in month.root.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [mark for mark in CLEAR if mark in data], path


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
def test_every_promise_holds_all_month(agency: AgencyPaths, calendar: Calendar, part: int) -> None:
    profile, leg = NAMES[part // LEGS], part % LEGS
    campaign = campaigns.Campaign("month", part, PARTS)
    month = calendar.live(profile, leg)
    told: dict[str, Any] = {}
    if leg == LEGS - 1:
        month.roll_back(random.Random(profile))
        month.forget(random.Random(profile))
        month.camera.vault.sealer.seal_open()
        month.deliver()
        month.contact(False)
        month.squeeze(random.Random(profile))
        month.over(said=True)
        sums = check(agency, month)
        check_starts(month)
        check_jumps(month)
        check_sealed(month)
        assert month.deleted["space"]
        assert month.deleted["age"] or not campaigns.FULL, "a month is longer than anything is kept"
        told = {
            "wrong_dates_told_as_doubtful": check_dates(month),
            "seconds": {doing.value: round(ns / NS) for doing, ns in sorted(sums.items(), key=str)},
            "profiles": {profile: 1},
        }
    deeds, month.counts = dict(sorted(month.counts.items())), Counter()
    campaign.finish(days=DAYS, **calendar.figures(), deeds=deeds, **told)
