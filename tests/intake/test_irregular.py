"""What is said of a source that is not as it should be."""

from __future__ import annotations

from agent.intake.irregular import CALM_NS, Irregular
from agent.model import NS


def test_nothing_is_said_of_a_regular_source() -> None:
    irregular = Irregular()
    assert [irregular.see(n * NS, {"lost": 0, "late": 0}) for n in range(20)] == [None] * 20
    assert irregular.end() is None


def test_it_is_said_once_as_it_begins_and_what_it_came_to_when_it_is_over() -> None:
    irregular = Irregular()
    assert irregular.see(NS, {"lost": 2, "late": 0}) == (True, NS, "lost: 2")
    assert irregular.see(2 * NS, {"lost": 2, "late": 1}) is None
    assert irregular.see(4 * NS, {"lost": 5, "late": 1}) is None
    assert irregular.see(4 * NS + CALM_NS - 1, {"lost": 5, "late": 1}) is None
    assert irregular.see(4 * NS + CALM_NS, {"lost": 5, "late": 1}) == (False, 4 * NS, "lost: 5, late: 1")
    assert irregular.see(99 * NS, {"lost": 5, "late": 1}) is None


def test_the_next_time_counts_from_there() -> None:
    irregular = Irregular()
    irregular.see(NS, {"lost": 2})
    irregular.see(NS + CALM_NS, {"lost": 2})
    assert irregular.see(60 * NS, {"lost": 3}) == (True, 60 * NS, "lost: 1")
    assert irregular.end() == (False, 60 * NS, "lost: 1")
    assert irregular.end() is None
