"""A gauge that hangs holds up nobody, and is said to hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from agent.errors import DeviceError
from agent.power import patient
from agent.power.patient import MOMENT_S, Patient


class Bus:
    """Tells how often it was asked; hangs while `free` is not set."""

    def __init__(self) -> None:
        self.asked, self.free = 0, threading.Event()
        self.error: DeviceError | None = None
        self.free.set()

    def read(self) -> int:
        self.asked += 1
        asked = self.asked
        assert self.free.wait(30)
        if self.error:
            raise self.error
        return asked


@pytest.fixture
def bus() -> Iterator[Bus]:
    made = Bus()
    yield made
    made.free.set()


def until(told: Patient[int], value: int) -> None:
    end = time.monotonic() + 30
    while told.read() != value:
        assert time.monotonic() < end


def test_one_that_answers_is_told_at_once(bus: Bus) -> None:
    gauge = Patient(bus.read, "the gauge")
    assert [gauge.read(), gauge.read()] == [1, 2]


def test_one_that_fails_says_so_until_it_tells_again(bus: Bus) -> None:
    gauge = Patient(bus.read, "the gauge")
    bus.error = DeviceError("no answer from the chip")
    with pytest.raises(DeviceError, match="the chip"):
        gauge.read()
    bus.error = None
    assert gauge.read() == 2
    broken = Patient(lambda: [][0], "the gauge")
    with pytest.raises(DeviceError, match="the gauge: IndexError"):
        broken.read()


def test_one_that_hangs_is_waited_for_a_moment_and_asked_once(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    gauge = Patient(bus.read, "the gauge")
    assert gauge.read() == 1
    bus.free.clear()
    began = time.monotonic()
    assert [gauge.read(), gauge.read()] == [1, 1], "what it told last"
    assert time.monotonic() - began < 10 * MOMENT_S
    assert bus.asked == 2
    monkeypatch.setattr(patient, "HANGS_S", 0.0)
    with pytest.raises(DeviceError, match="the gauge does not answer"):
        gauge.read()
    bus.free.set()
    until(gauge, 3)
