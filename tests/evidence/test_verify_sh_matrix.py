"""docs/verify.sh over the rows of the tamper matrix: it says of each what we say, but of those about what its own head
lists as not looked at.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from agent.evidence.findings import NOTES
from tests import campaigns
from tests.builders import agency
from tests.evidence.matrix.case import Row
from tests.evidence.matrix.rows import ROWS
from tests.evidence.test_kept_heads import kept, place_of, slept
from tests.evidence.test_verify_sh import SCRIPT, run

OF_A_KIND = {
    "receipt": "receipts",
    "later head": "later heads",
    "revocation": "revocations",
    "log": "checkpoints of logs",
}
"""Rows of this kind, by the first word of their name: what the head says of them."""
BY_NAME = {
    "leaf: signed with a clock moved back that counts time suspended": "boottime",
    "leaf: signed with another timeline": "one timeline",
    "leaf: signed with another certificate in its session leaf": "facts of session",
    "hardware counter: one that is no number": "facts of session",
    "leaf: signed with a seal that reaches further": "size, first and entries of seal leaves",
    "leaf: signed by a next session that is silent about a recording that was cut": "what was cut",
    "purge note: signed before the end that a receipt names": "receipts",
    "purge note: signed before the end to which a receipt keeps its bytes alone": "receipts",
    "segment: the newest removed, with a later head at hand": "later heads",
    "segment: the newest recording and what follows it removed, with a later head": "later heads",
}
"""Single rows."""
PARTS = 4


def not_looked_at(row: Row) -> str | None:
    """The words of the script's head, where they say that it does not see this row."""
    return BY_NAME.get(row.id, OF_A_KIND.get(row.id.partition(":")[0]))


def fails(row: Row) -> bool:
    return any(expect.what not in NOTES for expect in row.finds)


def refused(row: Row, place: Path) -> bool:
    """Whether the script does."""
    place.mkdir()
    root, _ = agency().write_trust(place)
    row.made().write(place / "row")
    files = [path for kind in ("tar", "purge") for path in sorted((place / "row").rglob(f"*.{kind}"))]
    done = run(*files, "--trust", root)
    assert done.returncode in (0, 1) and not done.stderr, (row.id, done.stdout, done.stderr)
    return done.returncode == 1


def test_what_it_does_not_look_at_is_in_its_head() -> None:
    head = " ".join(SCRIPT.read_text("utf-8").partition("# Not looked at")[2].partition("\nset ")[0].split())
    words = {*OF_A_KIND.values(), *BY_NAME.values()}
    assert {word for word in words if word not in head.replace("# ", "")} == set()
    assert {*BY_NAME} <= {row.id for row in ROWS}
    assert all(fails(row) for row in ROWS if row.id in BY_NAME)


PURGES = [row for row in ROWS if row.thing == "purge note"]


@pytest.mark.wide
@pytest.mark.parametrize("part", range(2))
def test_what_a_station_purged_is_told_as_purged(part: int, tmp_path: Path) -> None:
    """Two rows that verify, and one of the others; each of them where all rows are tried."""
    sound, others = ([row for row in PURGES if fails(row) is wrong] for wrong in (False, True))
    for number, row in enumerate((sound[part], others[3 * part])):
        assert refused(row, tmp_path / f"{number}") is fails(row), row.id


def test_a_head_that_was_kept_vouches_and_another_one_does_not(tmp_path: Path) -> None:
    (root, _), camera = agency().write_trust(tmp_path), slept()
    entry = camera.segments[1].entries[0]
    bare = kept(camera, size=entry.index + 1, data=entry.note)
    for number, (data, right) in enumerate(((kept(camera), True), (None, False), (bare, False))):
        place = place_of(camera, tmp_path / f"{number}", data)
        done = run(
            *(path for path in place.rglob("*") if path.suffix in (".tar", ".purge", ".vouched")), "--trust", root
        )
        assert (done.returncode == 0) is right, done.stdout


@pytest.mark.wide
@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
def test_it_says_of_each_row_what_we_say(part: int, tmp_path: Path) -> None:
    """In full, each row; else one of each part, chosen by the seed."""
    campaign = campaigns.Campaign("verify-sh-matrix", part, PARTS)
    mine, kinds, wrong = ROWS[part::PARTS], Counter[str](), []
    chosen = Random(part).sample(mine, campaigns.size(1, len(mine)))
    for number, row in enumerate(chosen):
        wanted, blind = fails(row), not_looked_at(row)
        kinds["not looked at" if wanted and blind else "refused" if wanted else "accepted"] += 1
        if refused(row, tmp_path / f"{number}") != (wanted and not blind):
            wrong.append(row.id)
    assert wrong == []
    campaign.finish(rows=len(chosen), **{word.replace(" ", "_"): count for word, count in kinds.items()})
