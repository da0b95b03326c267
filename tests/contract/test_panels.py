"""The panel on gpiozero's pins and its twin keep one contract: no edge is lost, each has its instant, levels go out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

import pytest
from gpiozero import PinError
from gpiozero.pins.mock import MockFactory

from agent.config import check
from agent.configcontrols import PanelConfig
from agent.controls.base import Line, Panel
from agent.controls.panel import _FORTY_PINS, GpioPanel, NoPanel, open_panel
from agent.controls.patterns import Levels, Look
from agent.controls.synthetic import SyntheticPanel
from agent.errors import DeviceError
from tests.config_kit import BASE, MINIMAL

LINES = {"button": 4, "dock": 5, "trigger": 6, "light": 7, "status_light": 8, "vibration": 9, "tone": 10}
ALL_ON = Levels(True, True, True, True)


class Hand(Protocol):
    panel: Panel
    last: Levels | None
    """What was on when the lines were given back."""

    def pull(self, line: Line, down: bool) -> None: ...
    def seen(self) -> Levels: ...
    def take_away(self) -> None: ...
    def give_back(self) -> None: ...


class TwinHand:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.panel, self.last = SyntheticPanel(), None

    def pull(self, line: Line, down: bool) -> None:
        self.panel.pull(line, down)

    def seen(self) -> Levels:
        return self.panel.levels

    def take_away(self) -> None:
        self.panel.gone = "the panel is gone"

    def give_back(self) -> None:
        self.panel.gone = ""


class GpioHand:
    """Real gpiozero code on pins in memory."""

    active_low = True
    patch = pytest.MonkeyPatch()

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        low = self.active_low
        self.config = PanelConfig(
            chip="mock",
            button_active_low=low,
            dock_active_low=low,
            trigger_active_low=low,
            outputs_active_low=not low,
            **LINES,
        )
        self.factory = MockFactory()
        self.factory.reset()
        self.panel, self.last, close = GpioPanel(self.config, self.factory), None, self.factory.close

        def closing() -> None:
            self.last = self.last or self.seen()
            close()

        patch.setattr(self.factory, "close", closing)

    def pull(self, line: Line, down: bool) -> None:
        pin = self.factory.pin(LINES[line.value])
        (pin.drive_low if down is self.active_low else pin.drive_high)()

    def seen(self) -> Levels:
        names = ("light", "status_light", "vibration", "tone")
        return Levels(*(bool(self.factory.pin(LINES[n]).state) is self.active_low for n in names))

    def take_away(self) -> None:
        def gone(*_: object) -> None:
            raise RuntimeError("gone")

        self.patch = pytest.MonkeyPatch()
        for name in ("_get_state", "_set_state"):
            self.patch.setattr(type(self.factory.pin(4)), name, gone)

    def give_back(self) -> None:
        self.patch.undo()


class HighHand(GpioHand):
    active_low = False


@pytest.fixture(params=[TwinHand, GpioHand, HighHand])
def hand(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hand]:
    made = request.param(monkeypatch)
    yield made
    made.give_back()
    made.panel.close()
    assert (made.last or made.seen()) == Levels(), "nothing stays on"


def test_every_edge_comes_once_in_order_with_its_instant(hand: Hand) -> None:
    assert hand.panel.take() == []
    begin = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    for _ in range(20):
        for line in Line:
            hand.pull(line, True)
            hand.pull(line, False)
    end = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    taken = hand.panel.take()
    assert [(line, edge.down) for line, edge in taken] == [(line, down) for line in Line for down in (True, False)] * 20
    at = [edge.mono_ns for _, edge in taken]
    assert at == sorted(at) and begin - 1000 <= at[0] and at[-1] <= end + 1000
    assert hand.panel.take() == []


def test_whoever_looks_is_stirred_once_an_edge_is_there(hand: Hand) -> None:
    taken = list[list[tuple[Line, bool]]]()
    hand.panel.stir = lambda: taken.append([(line, edge.down) for line, edge in hand.panel.take()])
    for line in Line:
        hand.pull(line, True)
        hand.pull(line, False)
    assert taken == [[(line, down)] for line in Line for down in (True, False)]


def test_how_each_line_is_now(hand: Hand) -> None:
    for line in Line:
        assert hand.panel.is_down(line) is False
        hand.pull(line, True)
        assert hand.panel.is_down(line) is True


def test_levels_go_out_each_to_its_own(hand: Hand) -> None:
    assert hand.seen() == Levels()
    for levels in (Levels(light=True), Levels(status=True), Levels(buzz=True), Levels(tone=True), ALL_ON, Levels()):
        hand.panel.show(levels)
        assert hand.seen() == levels


def test_a_panel_that_is_taken_away_is_an_error_that_says_so(hand: Hand) -> None:
    hand.take_away()
    with pytest.raises(DeviceError, match="gone"):
        hand.panel.is_down(Line.BUTTON)
    with pytest.raises(DeviceError, match="gone"):
        hand.panel.show(ALL_ON)


def test_a_button_that_is_down_before_anybody_listens_is_an_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = MockFactory()
    factory.reset()
    factory.pin(4).drive_low()
    monkeypatch.setattr(type(factory.pin(4)), "_set_pull", lambda *_: None)
    panel = GpioPanel(PanelConfig(chip="mock", button=4), factory)
    ((line, edge),) = panel.take()
    assert (line, edge.down) == (Line.BUTTON, True)
    panel.close()


def test_what_its_guard_may_have_switched_is_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the guard hears what it may show; not while the panel is closed, nor of whoever only tries the lights."""
    factory, heard = MockFactory(), list[Look]()
    factory.reset()
    panel = GpioPanel(PanelConfig(chip="mock", button=4, light=7), factory)
    monkeypatch.setattr(panel._guard, "feed", lambda look, _loading: not heard.append(look))
    panel.show(Levels(light=True, alone=Look()))
    factory.pin(7).state = False
    panel.show(Levels(light=True))
    assert not factory.pin(7).state and heard == [Look()]
    panel.show(Levels(light=True, alone=Look(tone=False)))
    assert factory.pin(7).state and heard == [Look(), Look(tone=False)]
    panel.close()
    assert len(heard) == 2 and not factory.pin(7).state


def test_a_line_that_is_not_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = MockFactory()
    panel = GpioPanel(PanelConfig(chip="mock", button=4), factory)
    assert panel.is_down(Line.DOCK) is None
    panel.show(ALL_ON)
    panel.close()


def test_without_a_chip_there_is_no_line_and_nothing_is_lost_on_it() -> None:
    panel = open_panel(PanelConfig())
    assert isinstance(panel, NoPanel)
    assert [panel.is_down(line) for line in Line] == [None] * 3
    panel.show(ALL_ON)
    assert isinstance(open_panel(PanelConfig(chip="synthetic")), SyntheticPanel)


@pytest.mark.parametrize("low", [True, False])
def test_each_line_that_the_configuration_allows_can_be_had_and_no_other(low: bool) -> None:
    """Of gpiozero's own pins, by the board that the panel names: each as an input, and as an output."""
    factory = MockFactory(revision=f"{_FORTY_PINS:x}")

    def opens(config: PanelConfig) -> bool:
        factory.reset()
        try:
            GpioPanel(config, factory)
        except PinError:
            return False
        return True

    for line in range(40):
        for name, level in (("button", "button_active_low"), ("light", "outputs_active_low")):
            config = PanelConfig(chip="mock", **{name: line, level: low})
            toml = f'[panel]\nchip = "mock"\n{name} = {line}\n{level} = {str(low).lower()}\n'
            assert opens(config) is (not check(f"{MINIMAL}\n{toml}", BASE)), toml


@pytest.mark.parametrize("chip", ["gpiochip987", "no-such-label"])
def test_a_chip_that_is_not_there_is_a_device_error(chip: str) -> None:
    """Through real lgpio, which leaves nothing behind in the working directory."""
    with pytest.raises(DeviceError, match=chip) as caught:
        open_panel(PanelConfig(chip=chip, button=0))
    assert caught.value.hint
