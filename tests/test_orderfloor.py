"""The highest orders in a TPM: upwards only, by checked orders alone; one that fails holds up nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from agent.errors import DeviceError, EvidenceError
from agent.formats.order import ALL_CAMERAS, Assignment, Configuration, Kind, Order, Tags
from agent.model import NS
from agent.orderfloor import AGAIN_NS, OrderFloor
from agent.orders import Taken
from tests.camera_kit import CAMERA

BODIES = {
    Kind.ASSIGNMENT: Assignment("no. 7", None, None, 0),
    Kind.CONFIGURATION: Configuration(""),
    Kind.TAGS: Tags(()),
}


@dataclass
class Memory:
    """A TPM's, that may fail."""

    kept: tuple[int, int, int] = (0, 0, 0)
    broken: bool = False
    asked: int = 0
    written: list[tuple[int, int, int]] = field(default_factory=list)

    def read(self) -> tuple[int, int, int]:
        self._ask()
        return self.kept

    def write(self, numbers: tuple[int, int, int]) -> None:
        self._ask()
        self.kept = numbers
        self.written.append(numbers)

    def _ask(self) -> None:
        self.asked += 1
        if self.broken:
            raise DeviceError("no answer within 10 s")


def order(kind: Kind, number: int) -> Order:
    return Order(ALL_CAMERAS if kind is Kind.TAGS else CAMERA, number, number, 0, BODIES[kind])


def on_card(**numbers: int) -> dict[Kind, Taken]:
    return {Kind(kind): Taken(number, "a" * 64, number) for kind, number in numbers.items()}


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_goes_up_by_itself_and_outlives_the_recorder(kind: Kind) -> None:
    tpm = Memory()
    floor = OrderFloor(tpm)
    floor.step(0, {}, False)
    floor.check(order(kind, 5))
    floor.took(order(kind, 5))
    with pytest.raises(EvidenceError, match="older than number 5"):
        floor.check(order(kind, 4))
    floor.step(0, on_card(**{kind.value: 5}), False)
    assert floor.trouble is None and sorted(tpm.kept) == [0, 0, 5] and len(tpm.written) == 1

    later = OrderFloor(tpm)
    later.step(0, on_card(**{kind.value: 5}), False)
    assert later.trouble is None
    with pytest.raises(EvidenceError, match="older than number 5, which this camera has taken: its TPM says so"):
        later.check(order(kind, 4))
    for number in (5, 6):
        later.check(order(kind, number))
    for other in set(Kind) - {kind}:
        later.check(order(other, 1))
    assert len(tpm.written) == 1


def test_a_card_that_was_put_back_is_told_until_it_has_the_newest_again() -> None:
    floor = OrderFloor(Memory((3, 9, 0)))
    floor.step(0, on_card(configuration=7), False)
    assert floor.trouble is not None
    assert "assignment number 3, and the card has none; configuration number 9, and the card has 7" in floor.trouble
    floor.step(0, on_card(assignment=3, configuration=9), False)
    assert floor.trouble is None


def test_nothing_on_the_card_raises_it() -> None:
    tpm = Memory((3, 9, 0))
    floor = OrderFloor(tpm)
    floor.step(0, on_card(assignment=1 << 50, configuration=1 << 50, tags=1 << 50), False)
    floor.check(order(Kind.CONFIGURATION, 9))
    assert tpm.written == [] and floor.trouble is None


def test_a_recording_waits_for_no_tpm() -> None:
    tpm = Memory((0, 4, 0))
    floor = OrderFloor(tpm)
    floor.step(0, on_card(configuration=4), True)
    assert tpm.asked == 0
    with pytest.raises(EvidenceError, match="cannot be told"):
        floor.check(order(Kind.CONFIGURATION, 5))
    floor.step(0, on_card(configuration=4), False)
    floor.took(order(Kind.CONFIGURATION, 5))
    floor.step(0, on_card(configuration=5), True)
    assert tpm.written == []
    floor.step(0, on_card(configuration=5), False)
    assert tpm.written == [(0, 5, 0)]


def test_one_that_fails_takes_no_order_is_told_and_asked_again_now_and_then() -> None:
    tpm = Memory((0, 4, 0), broken=True)
    floor = OrderFloor(tpm)
    for turn in range(10):
        floor.step(turn * NS, on_card(configuration=4), False)
    assert tpm.asked == 1 and floor.trouble is not None and "no answer within 10 s" in floor.trouble
    with pytest.raises(EvidenceError, match="cannot be told"):
        floor.check(order(Kind.CONFIGURATION, 5))
    tpm.broken = False
    floor.step(AGAIN_NS, on_card(configuration=4), False)
    assert floor.trouble is None
    floor.took(order(Kind.CONFIGURATION, 5))
    tpm.broken = True
    floor.step(AGAIN_NS, on_card(configuration=5), False)
    assert floor.trouble is not None
    with pytest.raises(EvidenceError, match="older than number 5"):
        floor.check(order(Kind.CONFIGURATION, 4))
    tpm.broken = False
    floor.step(3 * AGAIN_NS, on_card(configuration=5), False)
    assert (tpm.kept, floor.trouble) == ((0, 5, 0), None)


def test_a_camera_without_one_has_no_floor() -> None:
    floor = OrderFloor(None)
    floor.took(order(Kind.TAGS, 9))
    floor.step(0, {}, False)
    floor.check(order(Kind.TAGS, 1))
    assert floor.trouble is None
