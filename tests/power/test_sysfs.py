"""Battery and heat as the kernel shows them, on trees like those of real boards, and on this machine's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import DeviceError
from agent.events import Level
from agent.power.base import BatteryReading, HeatReading
from agent.power.sysfs import SysfsBattery, SysfsThermometer
from tests.power.sysfs_kit import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def battery(tree: Tree, name: str = "auto") -> BatteryReading | None:
    return SysfsBattery(tree.root, name).read()


def heat(tree: Tree, name: str = "auto") -> HeatReading | None:
    return SysfsThermometer(tree.root, name).read()


def test_a_desk_has_neither(tree: Tree) -> None:
    assert battery(tree) is None
    assert heat(tree) is None
    tree.supply("AC", type="Mains", online=1)
    assert battery(tree) is None


def test_a_fuel_gauge_tells_percent_and_voltage(tree: Tree) -> None:
    tree.supply("max17040", type="Battery", status="Discharging", capacity=57, voltage_now=3_812_500, present=1)
    assert battery(tree) == BatteryReading("max17040", 57, 3812, charging=False)


@pytest.mark.parametrize("status", ["Charging", "Full", "Not charging"])
def test_on_external_power_it_charges(tree: Tree, status: str) -> None:
    tree.supply("bat", type="Battery", status=status, capacity=99)
    assert battery(tree) == BatteryReading("bat", 99, None, charging=True)


@pytest.mark.parametrize(("online", "charging"), [(2, True), (1, True), (0, False)])
def test_a_gauge_that_does_not_know_asks_the_charger(tree: Tree, online: int, charging: bool) -> None:
    tree.supply("bat", type="Battery", status="Unknown", capacity=40)
    tree.supply("usb", type="USB", online=online)
    found = battery(tree)
    assert found is not None
    assert found.charging is charging


@pytest.mark.parametrize("what", ["energy", "charge"])
def test_percent_from_counters_where_the_gauge_does_not_tell_it(tree: Tree, what: str) -> None:
    tree.supply("bat", type="Battery", status="Discharging", **{f"{what}_now": 1_250_000, f"{what}_full": 5_000_000})
    assert battery(tree) == BatteryReading("bat", 25, None, charging=False)


@pytest.mark.parametrize(
    ("word", "level"),
    [
        ("Critical", Level.CRITICAL),
        ("Low", Level.LOW),
        ("Normal", Level.NORMAL),
        ("High", Level.NORMAL),
        ("Full", Level.NORMAL),
        ("Unknown", None),
        ("plenty", None),
    ],
)
def test_a_gauge_without_a_percentage_tells_a_level(tree: Tree, word: str, level: Level | None) -> None:
    tree.supply("bat", type="Battery", status="Discharging", capacity_level=word, voltage_now=3_050_000)
    assert battery(tree) == BatteryReading("bat", None, 3050, charging=False, told=level)


def test_what_is_out_of_bounds_is_bounded(tree: Tree) -> None:
    tree.supply("bat", type="Battery", status="Discharging", capacity=104, voltage_now=-1)
    assert battery(tree) == BatteryReading("bat", 100, 0, charging=False)


def test_a_battery_that_is_not_ours_or_not_there_does_not_count(tree: Tree) -> None:
    tree.supply("a-mouse", type="Battery", scope="Device", status="Discharging", capacity=3)
    tree.supply("b-empty", type="Battery", present=0, capacity=0)
    assert battery(tree) is None
    tree.supply("c-ours", type="Battery", scope="System", status="Discharging", capacity=80)
    found = battery(tree)
    assert found is not None
    assert found.name == "c-ours"


def test_one_that_is_named_is_taken_or_missing(tree: Tree) -> None:
    tree.supply("one", type="Battery", status="Discharging", capacity=10)
    tree.supply("two", type="Battery", status="Discharging", capacity=20)
    found = battery(tree, "two")
    assert found is not None
    assert found.percent == 20
    with pytest.raises(DeviceError, match="no battery three"):
        battery(tree, "three")


@pytest.mark.parametrize("junk", [b"", b"a lot", b"\xff", b"-"])
def test_a_gauge_that_tells_nothing_is_an_error(tree: Tree, junk: bytes) -> None:
    path = tree.supply("bat", type="Battery")
    (path / "capacity").write_bytes(junk)
    with pytest.raises(DeviceError, match="tells nothing"):
        battery(tree)


def test_the_hottest_zone_counts_or_the_one_that_is_named(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal", 61_300)
    tree.zone(1, "gpu-thermal", 70_100)
    (tree.root / "thermal" / "cooling_device0").mkdir()
    assert heat(tree) == HeatReading("gpu-thermal", 70_100)
    assert heat(tree, "cpu-thermal") == HeatReading("cpu-thermal", 61_300)
    with pytest.raises(DeviceError, match="no thermal zone nowhere"):
        heat(tree, "nowhere")


def test_a_zone_below_zero_is_read_and_one_that_does_not_answer_is_left_out(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal", -12_500)
    tree.zone(1, "broken", "")
    assert heat(tree) == HeatReading("cpu-thermal", -12_500)


def test_this_machine_is_read_whatever_it_has() -> None:
    """The kernel's own files: what they tell is in bounds, where there is any."""
    own = Path("/sys/class")
    found = SysfsBattery(own).read()
    assert found is None or found.percent is None or 0 <= found.percent <= 100
    there = SysfsThermometer(own).read()
    zones = list((own / "thermal").glob("thermal_zone*/temp")) if (own / "thermal").is_dir() else []
    assert there is None or -60_000 < there.millicelsius < 150_000
    assert zones or there is None
