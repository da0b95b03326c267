"""Every row of the tamper matrix: the right finding, at its place, as sure as it can be, and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.evidence.findings import NOTES, Finding, What
from tests.evidence.matrix.case import ANY, Case, Row, findings_of, found_in, life, made_of
from tests.evidence.matrix.rows import ROWS, page
from tests.evidence.matrix.sealed import film_life

HOUSE = Path(__file__).parents[2]


@pytest.mark.wide
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_change_has_its_findings_and_no_other(row: Row) -> None:
    case, left = made_of(row), list(findings_of(row))
    lines = [f.line() for f in left]
    for expect in row.finds:
        met = [f for f in left if expect.meets(f, case.names)]
        assert met, (expect, lines)
        left.remove(met[0])
    assert [f.line() for f in left if f.fails] == []


@pytest.mark.parametrize("born", [life, film_life])
def test_without_a_change_it_verifies(born: Callable[[], Case], tmp_path: Path) -> None:
    found: list[Finding] = found_in(born(), tmp_path)
    assert [f.line() for f in found if f.fails] == []


def test_rows_are_all_different_and_each_says_where() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS) > 200
    for row in ROWS:
        names = made_of(row).names
        for expect in row.finds:
            assert expect.at in (None, ANY, *names)


def test_every_name_that_a_failure_can_have_is_in_a_row() -> None:
    """But that of an altered export, which has rows of its own, that nothing at all was given, how many findings were
    only counted, and what a disk does not give, which is no change of the bytes (test_unread.py).
    """
    named = {expect.what for row in ROWS for expect in row.finds}
    others = {What.ALTERED_EXPORT, What.UNREADABLE, What.NOTHING_FOUND, What.MORE_FINDINGS}
    assert set(What) - NOTES - named == others


def test_the_page_shows_the_rows() -> None:
    shown = (HOUSE / "docs" / "tamper-matrix.md").read_text("utf-8")
    assert shown == page(), "run: python -m tests.evidence.matrix.rows > docs/tamper-matrix.md"
