"""What a station says of segments that are gone, changed at places that dice choose, often with what is left: where
nothing explains a segment any more, it is named as missing, and a word that does not hold is called so; both verifiers.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from agent.evidence.findings import Finding, What
from tests import campaigns
from tests.builders import agency
from tests.evidence.kit import failures
from tests.evidence.matrix.gone import LIVES, OTHERS, WORDS, Absent, of_other_bytes
from tests.evidence.matrix.truth import Truth
from tests.evidence.test_matrix_campaign import says
from tests.independent.kit import verdicts

PARTS = 3


def laid(absent: Absent, place: Path) -> Path:
    for name, data in absent.files().items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def changed(dice: Random, number: int) -> tuple[Absent, list[str], Truth]:
    """A life with its changes, one of them to the word; their names; what it was."""
    absent = LIVES[number % len(LIVES)](dice)
    truth = Truth.of(absent.spool.camera)
    word = WORDS[number % len(WORDS)]
    word(absent, dice)
    names = [f"{absent.called.rpartition('.')[2]}: {word.__name__}"]
    # Which bytes a segment had tells the seal leaf behind it, which another change may take away.
    for kind in dice.choices(OTHERS, k=0 if word is of_other_bytes else dice.randint(0, 2)):
        if len(absent.spool.whole()) > 2 and any(name.startswith("r") for name in absent.spool.whole()):
            kind(absent.spool, dice)
            names.append(kind.__name__)
    return absent, names, truth


def lack(found: list[Finding], span: tuple[int, int]) -> bool:
    """Whether each of these leaves is said to lack, be it with others: a run of them names one segment alone, and one
    that is cut may have had those that follow it.
    """
    absent = [f for f in found if f.what in (What.MISSING_SEGMENT, What.TRUNCATED_SEGMENT) and f.first is not None]
    return all(any(says(replace(f, segment=None), set(), (i, i)) for f in absent) for i in range(span[0], span[1] + 1))


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_that_is_gone_is_missed(part: int, tmp_path: Path) -> None:
    campaign = campaigns.Campaign("tamper-gone", part, PARTS)
    dice, count = Random(80 + part), campaigns.size(sample=7, full=210)
    by_kind, by_finding, places = Counter[str](), Counter[str](), []
    for number in range(part * count, (part + 1) * count):
        absent, kinds, truth = changed(dice, number)
        place = laid(absent, tmp_path / f"{number}")
        found = failures(place)
        lines, at = [f.line() for f in found], (part, number, kinds)
        for name in absent.lacks | absent.spool.touched:
            called, span = {name, absent.spool.renamed.get(name, name)}, truth.spans[name]
            assert lack(found, span) or any(says(f, called, span) for f in found), (*at, name, lines)
        assert (absent.refused is not None) == (absent.bad in {f.what for f in found}), (*at, lines)
        by_kind.update(kinds)
        by_finding.update({f.what.value for f in found})
        places.append(place)
    campaign.finish(
        compositions=count, changes=by_kind.total(), missed=0, disagreed=disagreed(tmp_path, places),
        by_kind=dict(by_kind), named=dict(by_finding),
    )  # fmt: skip


def disagreed(tmp_path: Path, places: list[Path]) -> int | None:
    """How many the other verifier lets pass: none. None where node is not installed, and nothing is compared."""
    if shutil.which("node") is None:
        return None
    root = agency().write_trust(tmp_path)[0]
    assert [str(place) for place, said in verdicts(root, *places).items() if said == "verified"] == []
    return 0


@pytest.mark.parametrize("number", range(6))
def test_what_a_station_answers_for_verifies(number: int, tmp_path: Path) -> None:
    place = laid(LIVES[number % len(LIVES)](Random(number)), tmp_path / "sound")
    assert failures(place) == []
    if shutil.which("node") is not None:
        assert verdicts(agency().write_trust(tmp_path)[0], place) == {place: "verified"}
