"""The system's clocks, and how far wall-clock time is trusted."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from agent.clock import MAX_TOLD, WITHIN_NS, Clock, ClockWatch, Reading, SystemClock, Utc
from agent.model import NS
from tests.camera_kit import FakeClock


class Kernel:
    """adjtimex(2) with a scripted answer."""

    def __init__(self, state: int, status: int, maxerror_us: int) -> None:
        self.answer = state, status, maxerror_us

    def adjtimex(self, reference: Any) -> int:
        state, reference._obj.status, reference._obj.maxerror = self.answer
        return state


def utc_of(kernel: Kernel) -> Utc:
    clock = SystemClock()
    clock._libc = kernel  # type: ignore[assignment]
    return clock.utc()


def test_it_is_a_clock() -> None:
    clock: Clock = SystemClock()
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", clock.boot_id)
    assert clock.boot_id == SystemClock().boot_id


def test_each_instant_is_on_its_own_kernel_clock() -> None:
    clock = SystemClock()
    for read, clock_id in ((clock.monotonic_ns, time.CLOCK_MONOTONIC), (clock.boottime_ns, time.CLOCK_BOOTTIME)):
        before = time.clock_gettime_ns(clock_id)
        assert before <= read() <= time.clock_gettime_ns(clock_id)
    before = time.time_ns()
    assert before <= clock.utc().ns <= time.time_ns()


def test_a_suspend_shows_in_boottime_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    suspended = {time.CLOCK_MONOTONIC: 1_000, time.CLOCK_BOOTTIME: 61_000}
    monkeypatch.setattr(time, "clock_gettime_ns", suspended.__getitem__)
    assert (clock.monotonic_ns(), clock.boottime_ns()) == (1_000, 61_000)


def test_the_real_kernel_answers_one_of_the_two() -> None:
    utc = SystemClock().utc()
    assert utc.source in ("synchronised", "unverified")
    assert (utc.bound_ms is None) == (utc.source == "unverified")


@pytest.mark.parametrize(("maxerror_us", "bound_ms"), [(0, 1), (999, 1), (1000, 2), (16_000_000, 16_001)])
def test_a_disciplined_clock_comes_with_its_bound_never_too_small(maxerror_us: int, bound_ms: int) -> None:
    utc = utc_of(Kernel(0, 0x0001 | 0x2000, maxerror_us))
    assert (utc.source, utc.bound_ms) == ("synchronised", bound_ms)


@pytest.mark.parametrize(("state", "status"), [(5, 0x0040), (0, 0x0041), (-1, 0)])
def test_a_clock_that_nobody_vouches_for_has_no_bound(state: int, status: int) -> None:
    utc = utc_of(Kernel(state, status, 500))
    assert (utc.source, utc.bound_ms) == ("unverified", None)


def test_a_kernel_that_refuses_to_be_asked_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = SystemClock()
    clock._libc = Kernel(-1, 0, 500)  # type: ignore[assignment]
    assert [clock.utc().bound_ms, clock.utc().bound_ms] == [None, None]
    (told,) = caplog.records
    assert "cannot be asked" in told.getMessage()
    clock._libc = Kernel(5, 0x0040, 500)  # type: ignore[assignment]
    assert clock.utc().bound_ms is None and caplog.records == [told]


@pytest.mark.parametrize("wrong_before", [True, False], ids=["set right", "set wrong"])
def test_a_time_that_is_read_while_the_clock_is_set_has_no_word_of_the_other_time(
    monkeypatch: pytest.MonkeyPatch, wrong_before: bool
) -> None:
    """What vouches for the new time does not for the old one, nor the other way round."""
    clock, kernel = SystemClock(), Kernel(5 if wrong_before else 0, 0x0040 if wrong_before else 0, 500)

    def set_meanwhile() -> int:
        kernel.answer = (0, 0, 500) if wrong_before else (5, 0x0040, 500)
        return 1

    monkeypatch.setattr(clock, "_libc", kernel)
    monkeypatch.setattr(time, "time_ns", set_meanwhile)
    assert clock.utc() == Utc(1, "unverified", None)


def test_the_kernel_fills_the_fields_that_are_read() -> None:
    """The structure's layout against the kernel's: the default tick and the flags would not fit a shifted one."""
    from ctypes import byref

    from agent.clock import Timex

    timex = Timex()
    state = SystemClock()._libc.adjtimex(byref(timex))
    assert state in range(6)
    assert 0 <= timex.maxerror <= 16_000_000
    assert 0 <= timex.esterror <= 16_000_000
    assert 0 <= timex.status < 1 << 16
    # The kernel answers ERROR (5) whenever it calls the clock unsynchronised.
    assert not timex.status & 0x0040 or state == 5


# -- what becomes of them ------------------------------------------------------------------------------------------


def test_on_a_kernel_that_runs_nothing_is_told() -> None:
    watch = ClockWatch(SystemClock())
    assert [watch.look() for _ in range(200)] == [None] * 200


def test_a_reading_is_the_closest_of_a_few() -> None:
    clock = FakeClock()
    real, waits = clock.boottime_ns, [3 * NS, 7 * NS, 0, 5 * NS, 5 * NS]

    def busy() -> int:
        clock.now_ns += waits.pop(0)
        return real()

    clock.boottime_ns = busy  # type: ignore[method-assign]
    found = Reading.of(clock)
    assert 0 <= found.divergence_ns - 5 * NS < 10_000
    assert waits == []


def test_a_suspend_a_step_and_a_source_are_each_told_once() -> None:
    clock = FakeClock()
    watch = ClockWatch(clock)
    assert watch.look() is None
    clock.suspended_ns += 70 * NS
    drift = watch.look()
    assert drift is not None
    assert (round(drift.suspended_ns / NS), drift.step_ns, drift.source_changed) == (70, 0, False)
    assert watch.look() is None
    clock.now_ns += WITHIN_NS
    clock.stepped_ns -= NS
    drift = watch.look()
    assert drift is not None
    assert (drift.suspended_ns, round(drift.step_ns / NS), drift.source_changed) == (0, -1, False)
    clock.now_ns += WITHIN_NS
    clock.utc_source = "unverified"
    drift = watch.look()
    assert drift is not None
    assert (drift.suspended_ns, drift.step_ns, drift.source_changed) == (0, 0, True)
    assert watch.look() is None


def test_a_few_steps_close_on_each_other_are_each_told_at_once() -> None:
    """The power may go behind any of them."""
    clock = FakeClock()
    watch = ClockWatch(clock)
    for _ in range(MAX_TOLD):
        clock.now_ns += NS // 4
        clock.stepped_ns += 89 * NS
        drift = watch.look()
        assert drift is not None and round(drift.step_ns / NS) == 89


def test_a_wall_clock_that_jumps_all_the_time_is_told_seldom_and_in_sum() -> None:
    clock = FakeClock()
    watch = ClockWatch(clock)
    told = []
    for _ in range(4 * 60):
        clock.now_ns += NS // 4
        clock.stepped_ns += NS
        told.append(watch.look())
    steps = [drift.step_ns for drift in told if drift]
    assert 5 <= len(steps) <= 7
    clock.now_ns += WITHIN_NS
    last = watch.look()
    assert round((sum(steps) + (last.step_ns if last else 0)) / NS) == 240


def test_a_wall_clock_that_is_turned_slowly_has_not_jumped() -> None:
    clock = FakeClock()
    watch = ClockWatch(clock)
    for _ in range(4 * 3600):
        clock.now_ns += NS // 4
        clock.stepped_ns += 125_000
        assert watch.look() is None
