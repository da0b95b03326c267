"""Which clock stamps follow is detected, also where clocks that were alike part later."""

from __future__ import annotations

import time

import pytest

from agent.capture.stampclock import StampClock
from agent.model import NS

CLOCKS = {time.CLOCK_MONOTONIC: 100 * NS, time.CLOCK_BOOTTIME: 5000 * NS, time.CLOCK_REALTIME: 1_700_000_000 * NS}
MS = 1_000_000


class Machine:
    """Its clocks, which differ by as much as it was suspended."""

    def __init__(self) -> None:
        self.now_ns, self.suspended_ns = 100 * NS, 0

    def now(self, clock: int) -> int:
        self.now_ns += 1_000
        asleep_ns = {time.CLOCK_MONOTONIC: 0, time.CLOCK_BOOTTIME: self.suspended_ns}
        return self.now_ns + asleep_ns.get(clock, 1_700_000_000 * NS)


@pytest.mark.parametrize("clock", list(CLOCKS))
def test_the_clock_of_the_stamps_is_detected(clock: int) -> None:
    stamps = StampClock(lambda c: CLOCKS[c])
    # vivid stamps up to 29 ms in the future.
    assert stamps.to_monotonic(CLOCKS[clock] + 29 * MS) == 100 * NS + 29 * MS
    assert stamps.to_monotonic(CLOCKS[clock] - 40 * MS) == 100 * NS - 40 * MS
    assert stamps.domain == clock


def test_stamps_of_no_clock_give_way_to_the_instant_of_arrival() -> None:
    stamps = StampClock(lambda c: CLOCKS[c])
    assert stamps.to_monotonic(0) == 100 * NS
    assert stamps.domain is None


@pytest.mark.parametrize("age_ms", [-29, 0, 5, 60, 300])
@pytest.mark.parametrize("asleep_ms", [400, 900, 5_000, 3_600_000])
@pytest.mark.parametrize("clock", [time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME])
def test_clocks_that_part_while_the_camera_runs_are_told_apart(clock: int, asleep_ms: int, age_ms: int) -> None:
    machine = Machine()
    stamps = StampClock(machine.now, watchful=True)
    for suspended_ms in (0, asleep_ms):
        machine.suspended_ns = suspended_ms * MS
        for _ in range(3):
            machine.now_ns += 33 * MS
            captured_ns = machine.now_ns - age_ms * MS
            stamp_ns = captured_ns + (machine.suspended_ns if clock == time.CLOCK_BOOTTIME else 0)
            assert stamps.to_monotonic(stamp_ns) == pytest.approx(captured_ns, abs=MS / 10)


@pytest.mark.parametrize("asleep_ms", [0, 400, 900])
def test_a_picture_that_comes_late_changes_no_clock(asleep_ms: int) -> None:
    machine = Machine()
    machine.suspended_ns = asleep_ms * MS
    stamps = StampClock(machine.now, watchful=True)
    for age_ms in (5, 300, 990, 1500, 5):
        machine.now_ns += 33 * MS
        captured_ns = machine.now_ns - age_ms * MS
        assert stamps.to_monotonic(captured_ns + machine.suspended_ns) == pytest.approx(captured_ns, abs=MS / 10)


@pytest.mark.parametrize("shift_ns", [3600 * NS, -3600 * NS])
def test_one_wild_stamp_changes_no_clock(shift_ns: int) -> None:
    """Those after it are at their own instants again, and not at those of their arrival."""
    machine = Machine()
    stamps = StampClock(machine.now, watchful=True)
    for number in range(6):
        machine.now_ns += 33 * MS
        captured_ns = machine.now_ns - 60 * MS
        mono_ns = stamps.to_monotonic(captured_ns + (shift_ns if number == 2 else 0))
        if number != 2:
            assert mono_ns == pytest.approx(captured_ns, abs=MS / 10)


def test_clocks_alike_at_first_are_told_apart_where_it_was_the_calendar_s() -> None:
    """CLOCK_REALTIME is clock number 0, as near to the others at first as on a board without a clock of its own."""
    now = {time.CLOCK_MONOTONIC: 100 * NS, time.CLOCK_BOOTTIME: 100 * NS, time.CLOCK_REALTIME: 100 * NS}
    stamps = StampClock(lambda clock: now[clock], watchful=True)
    assert stamps.to_monotonic(100 * NS - 40 * MS) == 100 * NS - 40 * MS
    now[time.CLOCK_REALTIME] = 3600 * NS
    assert stamps.to_monotonic(3600 * NS - 40 * MS) == 100 * NS - 40 * MS
    assert stamps.domain == time.CLOCK_REALTIME
