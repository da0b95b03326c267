"""One to three changes of the matrix at places that dice choose, on lives that dice lead: none is missed, each segment
that was touched is named, and no other, with times and parts that are true; and the verifier written in another
language finds them all.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from agent.evidence.findings import Finding, What
from tests import campaigns
from tests.builders import agency
from tests.evidence.kit import failures
from tests.evidence.matrix.dice import CHANGES, Spool, random_life
from tests.evidence.matrix.truth import Truth
from tests.independent.kit import verdicts

PARTS = 3


def written(spool: Spool, place: Path) -> Path:
    place.mkdir()
    for name, data in spool.files().items():
        (place / name).write_bytes(data)
    return place


def changed(dice: Random) -> tuple[Spool, list[str], set[str], Truth]:
    """A life with its changes; their names; the names of all its segments; what it was."""
    spool = random_life(dice)
    sound, names = spool.files(), set(spool.segments)
    truth = Truth.of(spool.camera)
    while True:
        kinds = [dice.choice(CHANGES) for _ in range(dice.randint(1, 3))]
        for kind in kinds:
            if len(spool.whole()) > 2 and any(name.startswith("r") for name in spool.whole()):
                kind(spool, dice)
        if spool.files() != sound:
            return spool, [kind.__name__ for kind in kinds], names, truth


def says(finding: Finding, called: set[str], span: tuple[int, int]) -> bool:
    """Whether it names this segment, or leaves of it that are missing."""
    if finding.segment in called:
        return True
    first, last = finding.first, finding.last if finding.last is not None else finding.first
    return finding.segment is None and first is not None and last is not None and first <= span[1] and last >= span[0]


def wrongly_placed(truth: Truth, finding: Finding) -> str | None:
    """What of its time or its parts is not true of the life; parts may be left unsaid, never said wrong. A
    finding about a file as a whole has the time of what the file holds, whatever it is named.
    """
    if finding.first is None:
        return None
    return truth.wrong_time(finding) or (truth.wrong_part(finding) if finding.part_first is not None else None)


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
def test_no_composition_of_changes_is_missed(part: int, tmp_path: Path) -> None:
    campaign = campaigns.Campaign("tamper-compositions", part, PARTS)
    dice, count = Random(40 + part), campaigns.size(sample=6, full=500)
    by_kind, by_finding, places = Counter[str](), Counter[str](), []
    for number in range(count):
        spool, kinds, names, truth = changed(dice)
        place = written(spool, tmp_path / f"{number}")
        found = failures(place)
        lines = [f.line() for f in found]
        assert found, (part, number, kinds)
        for name in spool.touched:
            called = {name, spool.renamed.get(name, name)}
            assert any(says(f, called, truth.spans[name]) for f in found), (part, number, kinds, name, lines)
        if not spool.moved:
            accused = {f.segment for f in found if f.segment is not None}
            assert accused <= spool.touched, (part, number, kinds, accused & names - spool.touched, lines)
        if "segment_of_another_camera" not in kinds:
            misplaced = [(f.line(), wrong) for f in found if (wrong := wrongly_placed(truth, f))]
            assert misplaced == [], (part, number, kinds)
        edited = spool.receipts["a.receipt"] != spool.receipts["z.receipt"]
        assert edited == (What.BAD_RECEIPT in {f.what for f in found}), (part, number, kinds, lines)
        by_kind.update(kinds)
        by_finding.update({f.what.value for f in found})
        places.append(place)
    disagreed = _disagreed(tmp_path, places)
    campaign.finish(
        compositions=count, changes=by_kind.total(), missed=0, disagreed=disagreed, by_kind=dict(by_kind),
        named=dict(by_finding),
    )  # fmt: skip


def _disagreed(tmp_path: Path, places: list[Path]) -> int | None:
    """How many the other verifier lets pass: none. None where node is not installed, and nothing is compared."""
    if shutil.which("node") is None:
        return None
    root = agency().write_trust(tmp_path)[0]
    for start in range(0, len(places), 100):
        passed = [str(p) for p, said in verdicts(root, *places[start : start + 100]).items() if said == "verified"]
        assert passed == []
    return 0


@pytest.mark.parametrize("seed", range(4))
def test_a_life_that_nobody_touched_verifies(seed: int, tmp_path: Path) -> None:
    place = written(random_life(Random(seed)), tmp_path / "sound")
    assert failures(place) == []
    if shutil.which("node") is not None:
        assert verdicts(agency().write_trust(tmp_path)[0], place) == {place: "verified"}
