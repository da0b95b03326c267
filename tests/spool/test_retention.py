"""What may go is decided from values alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.formats.seal import SealRecord
from agent.spool.retention import AT_ONCE, Held, Policy, portion, to_delete
from agent.spool.store import DiskSpace

DAY_S = 86_400


def held(first: int, age_days: float, size: int = 100) -> Held:
    return Held(SealRecord(f"e{first:010d}-00000000", size, "0" * 64, first, 1, None, 0), age_days * DAY_S)


ROOMY = DiskSpace(900, 1000)


def test_keeps_while_space_allows_and_age_does() -> None:
    assert to_delete([held(0, 29), held(1, 1)], ROOMY, Policy(30, 90)) == []


def test_the_old_go_first_and_only_they() -> None:
    chosen = to_delete([held(5, 1), held(0, 31), held(3, 31)], ROOMY, Policy(30, 90))
    assert [r.first for r in chosen] == [0, 3]


def test_a_full_disk_takes_the_oldest_until_there_is_room() -> None:
    items = [held(n, 1) for n in range(5)]
    chosen = to_delete(items, DiskSpace(0, 2000), Policy(30, 90))
    assert [r.first for r in chosen] == [0, 1]


def test_a_share_that_is_less_than_a_segment_is_not_enough() -> None:
    items = [held(n, 1) for n in range(5)]
    assert to_delete(items, DiskSpace(250, 1000), Policy(30, 90)) == []
    chosen = to_delete(items, DiskSpace(250, 1000), Policy(30, 90, least_free_bytes=400))
    assert [r.first for r in chosen] == [0, 1]


def test_force_takes_all_delivered() -> None:
    assert len(to_delete([held(n, 0) for n in range(4)], ROOMY, Policy(30, 90, force=True))) == 4


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.floats(0, 100), st.integers(1, 500)), unique_by=lambda t: t[0]),
    st.integers(0, 1000),
    st.integers(0, 60),
    st.integers(1, 99),
)
def test_never_more_than_needed(items: list[tuple[int, float, int]], free: int, days: int, percent: int) -> None:
    values = [held(*item) for item in items]
    chosen = {r.first for r in to_delete(values, DiskSpace(free, 1000), Policy(days, percent))}
    wanted = 1000 * (100 - percent) // 100
    young = [
        v for v in sorted(values, key=lambda v: v.record.first) if v.record.first in chosen and v.age_s <= days * DAY_S
    ]
    if young:
        others = sum(
            v.record.size
            for v in values
            if v.record.first in chosen and v is not young[-1] and v.record.first < young[-1].record.first
        )
        assert free + others < wanted


def test_one_turn_deletes_so_many_and_more_where_room_is_needed_now() -> None:
    due = [held(n, 40).record for n in range(3 * AT_ONCE)]
    assert portion(due, 0) == portion(due, -500) == due[:AT_ONCE]
    assert portion(due, 100 * AT_ONCE + 150) == due[: AT_ONCE + 2]
    assert portion(due, 10**9) == due
    assert portion(due[:2], 0) == due[:2]
