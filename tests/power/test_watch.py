"""What is told of battery and heat: what counts at once, the rest now and then, and never a flood."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import events
from agent.configcare import PowerConfig
from agent.eventbody import Event
from agent.events import Level
from agent.model import NS
from agent.power.base import BatteryGauge, Thermometer
from agent.power.levels import REST_NS, Scale
from agent.power.sysfs import SysfsBattery, SysfsThermometer
from agent.power.twin import TwinBattery, TwinThermometer
from agent.power.watch import KEPT_NS, LAST_NS, POLL_NS, PowerWatch
from tests.power.sysfs_kit import Tree

CHARGE = Scale(Level.LOW, 20, 4, 3, down=True)
HEAT = Scale(Level.HIGH, 75_000, 85_000, 5_000)


def levels(scale: Scale, *values: int) -> list[str]:
    found, level = [], Level.NORMAL
    for value in values:
        level = scale.level(value, level)
        found.append(level.value)
    return found


def test_a_level_is_left_only_well_past_where_it_began() -> None:
    assert levels(CHARGE, 21, 20, 22, 23, 24, 20, 4, 7, 8, 23, 24) == [
        *("normal", "low", "low", "low", "normal", "low", "critical", "critical", "low", "low", "normal")
    ]
    assert levels(HEAT, 74_999, 75_000, 70_000, 69_999, 85_000, 80_000, 79_999, 70_000, 69_999) == [
        *("normal", "high", "high", "normal", "critical", "critical", "high", "high", "normal")
    ]


def test_without_a_second_edge_nothing_is_critical() -> None:
    assert levels(Scale(Level.LOW, 20, None, 3, down=True), 20, 0) == ["low", "low"]
    assert CHARGE.level(None, Level.CRITICAL) is Level.NORMAL


@given(st.lists(st.integers(0, 100), max_size=60))
def test_a_level_says_no_more_than_the_value_allows(values: list[int]) -> None:
    level = Level.NORMAL
    for value in values:
        level = CHARGE.level(value, level)
        assert (level is Level.CRITICAL) >= (value <= 4)
        assert level is not Level.CRITICAL or value <= 7
        assert (level is Level.NORMAL) <= (value > 20)
        assert (level is Level.NORMAL) >= (value > 23)


class Bench:
    """A watch over twins, with the test's time."""

    def __init__(self, config: PowerConfig | None = None) -> None:
        self.gauge, self.thermometer = TwinBattery(), TwinThermometer()
        self.watch = PowerWatch(config or PowerConfig(), self.gauge, self.thermometer)
        self.now_ns = 1_000 * NS
        self.told: list[Event] = []

    def run(self, seconds: float) -> list[Event]:
        """Quarters of a second, as the recorder's turns; what is told in them."""
        told = []
        for _ in range(round(seconds * 4)):
            self.now_ns += NS // 4
            told += self.watch.look(self.now_ns)
        self.told += told
        return told


def test_without_a_battery_nothing_is_told_but_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    bench = Bench()
    assert bench.run(3600) == []
    assert [r.message for r in caplog.records] == ["there is no battery: the camera runs on external power"]
    assert bench.watch.warnings() == {"battery": None, "heat": None}
    assert set(bench.watch.shown().values()) == {None}
    assert not bench.watch.at_its_end


def test_what_there_is_is_told_at_the_start_and_every_ten_minutes() -> None:
    bench = Bench()
    bench.gauge.holds(80)
    bench.thermometer.shows(41.5)
    assert bench.run(5) == [
        events.Battery(80, 3700, False, Level.NORMAL),
        events.Temperature("twin", 41_500, Level.NORMAL),
    ]
    assert bench.run(590) == []
    assert len(bench.run(3600)) == 12


def test_a_level_that_gets_worse_is_told_at_once_and_one_that_gets_better_after_a_minute() -> None:
    bench = Bench()
    bench.gauge.holds(24)
    bench.run(100)
    bench.gauge.holds(20)
    assert bench.run(5) == [events.Battery(20, 3700, False, Level.LOW)]
    assert bench.watch.warnings()["battery"] == "the battery is low: 20 %"
    bench.gauge.holds(24, charging=True)
    assert bench.run(50) == []
    assert bench.watch.battery_level is Level.NORMAL, "what is shown does not wait for what is logged"
    assert bench.run(15) == [events.Battery(24, 3700, True, Level.NORMAL)]
    bench.thermometer.shows(90)
    assert bench.run(5) == [events.Temperature("twin", 90_000, Level.CRITICAL)]
    assert bench.watch.warnings()["heat"] == "90.0 °C at twin"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=20, max_size=120))
def test_no_gauge_fills_the_log(readings: list[tuple[int, bool]]) -> None:
    """Whatever it tells every five seconds: at most two worse levels, and one other change, in each minute."""
    bench = Bench()
    for percent, charging in readings:
        bench.gauge.holds(percent, charging)
        bench.run(POLL_NS / NS)
    assert len(bench.told) <= 1 + 3 * (1 + len(readings) * POLL_NS // REST_NS)


def test_the_end_of_a_battery_is_critical_without_a_break_and_not_charging() -> None:
    bench = Bench()
    bench.gauge.holds(4)
    bench.run(LAST_NS / NS - 1)
    assert not bench.watch.at_its_end
    bench.gauge.holds(60)
    bench.run(5)
    bench.gauge.holds(3)
    bench.run(LAST_NS / NS - 1)
    assert not bench.watch.at_its_end, "one wrong word of the gauge began anew"
    bench.run(10)
    assert bench.watch.at_its_end
    bench.gauge.holds(3, charging=True)
    bench.run(5)
    assert not bench.watch.at_its_end


def test_where_nobody_wants_it_no_battery_is_at_its_end() -> None:
    bench = Bench(PowerConfig(critical_percent=0))
    bench.gauge.holds(0)
    bench.run(60)
    assert not bench.watch.at_its_end
    bench.gauge.holds(None, told=Level.CRITICAL)
    bench.run(60)
    assert (bench.watch.battery_level, bench.watch.at_its_end) == (Level.LOW, False)


def test_the_gauges_own_word_counts_where_it_tells_no_percentage() -> None:
    bench = Bench()
    bench.gauge.holds(None, told=Level.NORMAL)
    assert bench.run(5) == [events.Battery(None, 3700, False, Level.NORMAL)]
    bench.gauge.holds(None, told=Level.LOW)
    assert bench.run(5) == [events.Battery(None, 3700, False, Level.LOW)]
    bench.gauge.holds(None, told=Level.CRITICAL)
    bench.run(LAST_NS / NS)
    assert bench.watch.warnings()["battery"] == "the battery is critical: no percentage told"
    bench.run(5)
    assert bench.watch.at_its_end
    assert bench.watch.trouble is None
    bench.gauge.holds(60, told=Level.CRITICAL)
    bench.run(5)
    assert bench.watch.battery_level is Level.NORMAL, "what the agency set counts, where a percentage is there"


def test_a_battery_of_which_nothing_tells_the_charge_is_a_trouble_until_something_does() -> None:
    bench = Bench()
    bench.gauge.holds(None)
    bench.run(60)
    assert bench.watch.trouble is not None
    assert bench.watch.trouble.startswith("nothing tells the charge of the battery twin")
    assert bench.watch.shown()["battery_level"] is None, "that it is normal nobody knows"
    bench.gauge.holds(None, told=Level.NORMAL)
    bench.run(5)
    assert bench.watch.trouble is None


def test_a_gauge_that_fails_is_a_trouble_until_it_tells_again() -> None:
    bench = Bench()
    bench.gauge.holds(50)
    bench.run(5)
    bench.gauge.trouble = "the bus hangs"
    assert bench.run(60) == []
    assert bench.watch.trouble == "the bus hangs"
    bench.gauge.trouble = None
    bench.run(5)
    assert bench.watch.trouble is None


def test_a_gauge_that_fails_every_other_time_neither_hides_the_end_nor_flickers() -> None:
    bench = Bench()
    bench.gauge.holds(2)
    bench.thermometer.shows(90)
    shown = set()
    for number in range(4):
        failing = "no answer" if number % 2 else None
        bench.gauge.trouble = bench.thermometer.trouble = failing
        bench.run(POLL_NS / NS)
        shown.add((bench.watch.drains, bench.watch.battery_level, bench.watch.heat_level))
        shown.add(tuple(bench.watch.warnings().items()))
        assert (bench.watch.trouble is not None) == (failing is not None)
    assert len(shown) == 2, "what is shown stays"
    assert bench.watch.at_its_end
    assert [event.NAME for event in bench.told] == ["battery", "temperature"]


def test_one_critical_word_and_a_gauge_that_is_silent_after_it_switch_nothing_off() -> None:
    bench = Bench()
    bench.gauge.holds(2)
    bench.run(POLL_NS / NS)
    bench.gauge.trouble = "no answer"
    bench.run(KEPT_NS / NS)
    drains = [bench.watch.drains]
    bench.run(POLL_NS / NS)
    drains.append(bench.watch.drains)
    assert drains == [Level.CRITICAL, Level.NORMAL], "after a while nobody knows any more"
    assert bench.watch.warnings()["battery"] is None
    bench.gauge.trouble = None
    bench.run(POLL_NS / NS)
    assert not bench.watch.at_its_end


def test_the_kernel_is_asked_as_the_configuration_says(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.supply("bat", type="Battery", status="Discharging", capacity=3, voltage_now=3_300_000)
    tree.zone(0, "cpu-thermal", 88_000)
    watch = PowerWatch(PowerConfig(sysfs_dir=tmp_path))
    assert [e.NAME for e in watch.look(0)] == ["battery", "temperature"]
    assert watch.shown() == {
        "battery_percent": 3,
        "battery_millivolts": 3300,
        "charging": False,
        "battery_level": "critical",
        "celsius": 88.0,
        "heat_level": "critical",
    }
    off = PowerWatch(PowerConfig(sysfs_dir=tmp_path, battery="none", thermometer="none"))
    assert off.look(0) == []


@pytest.mark.parametrize("real", [True, False], ids=["sysfs", "twin"])
def test_twins_keep_what_sysfs_promises(tmp_path: Path, real: bool) -> None:
    """A contract of both: where there is nothing it is None, and what is there is told."""
    tree, twins = Tree(tmp_path), (TwinBattery(), TwinThermometer())
    gauge: BatteryGauge = SysfsBattery(tmp_path) if real else twins[0]
    thermometer: Thermometer = SysfsThermometer(tmp_path) if real else twins[1]
    assert (gauge.read(), thermometer.read()) == (None, None)
    twins[0].holds(42)
    twins[1].shows(55)
    tree.supply("twin", type="Battery", status="Discharging", capacity=42, voltage_now=3_700_000)
    tree.zone(0, "twin", 55_000)
    assert (gauge.read(), thermometer.read()) == (twins[0].reading, twins[1].reading)
