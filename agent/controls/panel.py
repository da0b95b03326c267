"""The panel on GPIO: gpiozero over lgpio, over the kernel's character device. The only file that touches either,
but for its guard, which sets levels on the lines that it is handed (guard.py).

Opened before anything heavy is imported: the kernel queues edges with their instants from the moment a line is
requested. gpiozero's pins are used and not its devices, which keep no instants.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.configcontrols import NO_LINE, PanelConfig
from agent.controls.base import Line, Panel
from agent.controls.gestures import Edge
from agent.controls.guard import Guard, held_lines
from agent.controls.patterns import Levels
from agent.controls.synthetic import SyntheticPanel
from agent.errors import DeviceError, reason
from agent.model import NS

if TYPE_CHECKING:
    from gpiozero import Factory

SYNTHETIC = "synthetic"
_NEAR_NS = 60 * NS
"""Farther from now than this, the instant of an edge is on another clock than CLOCK_MONOTONIC."""
_FORTY_PINS = 0xC03111
"""A board's revision, for gpiozero: the lines of any 40-pin header by number, 0 to 27. Nothing else of it is used."""
_CHECK = "check panel.chip, its lines and the rights to /dev/gpiochip*"
_INSTALL = "pip install it, or on Python 3.13 Raspberry Pi OS's python3-lgpio where the system's packages are seen"


class NoPanel(SyntheticPanel):
    """A camera without one: commands are its buttons."""

    def __init__(self) -> None:
        super().__init__(())


def open_panel(config: PanelConfig) -> Panel:
    """Whatever is configured, with its lines requested. Raises DeviceError where it is missing."""
    if not config.chip:
        return NoPanel()
    if config.chip == SYNTHETIC:
        return SyntheticPanel()
    with _errors(config.chip):
        factory = _factory(config.chip)
        try:
            return GpioPanel(config, factory)
        except BaseException:
            factory.close()
            raise


def first_panel(config: PanelConfig) -> Panel | DeviceError:
    """As `open_panel`, for a camera that records without one, too."""
    try:
        return open_panel(config)
    except DeviceError as err:
        return err


class GpioPanel:
    """The lines of one chip, as gpiozero's pins of `factory`. Raises DeviceError, or what gpiozero raises, where one
    cannot be had.
    """

    def __init__(self, config: PanelConfig, factory: Factory) -> None:
        self._name, self._factory = config.chip, factory
        self.stir: Callable[[], object] = lambda: None
        self._edges: deque[tuple[Line, Edge]] = deque()
        self._inputs: dict[Line, tuple[Any, bool]] = {}
        self._outputs: dict[str, Any] = {}
        self._hear: list[Callable[[float, int], None]] = []
        self._off = config.outputs_active_low
        self._shown = Levels()
        wanted = (
            (Line.BUTTON, config.button, config.button_active_low),
            (Line.DOCK, config.dock, config.dock_active_low),
            (Line.TRIGGER, config.trigger, config.trigger_active_low),
        )
        for line, number, active_low in wanted:
            if number != NO_LINE:
                self._claim_input(line, number, active_low)
        lines: dict[str, int] = {}
        outputs = {"light": config.light, "status": config.status_light, "buzz": config.vibration, "tone": config.tone}
        for name, number in outputs.items():
            if number != NO_LINE:
                before = held_lines()
                self._outputs[name] = pin = factory.pin(number)
                pin.function = "output"
                pin.state = self._off
                lines |= zip([name], held_lines() - before, strict=False)
        self._guard = Guard(lines, self._off)

    def _claim_input(self, line: Line, number: int, active_low: bool) -> None:
        pin = self._factory.pin(number)
        pin.function, pin.pull, pin.edges = "input", "up" if active_low else "down", "both"

        def hear(ticks: float, level: int) -> None:
            """On gpiozero's thread."""
            self._edges.append((line, Edge(_instant(ticks), bool(level) is not active_low)))
            self.stir()

        self._hear.append(hear)  # gpiozero holds it by a weak reference.
        self._inputs[line] = (pin, active_low)
        pin.when_changed = hear
        if self.is_down(line):
            # It was down before anybody listened.
            self._edges.append((line, Edge(time.clock_gettime_ns(time.CLOCK_MONOTONIC), True)))

    def take(self) -> list[tuple[Line, Edge]]:
        taken = []
        # One end appends, this one pops: neither waits for the other.
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._edges.popleft())
        return taken

    def is_down(self, line: Line) -> bool | None:
        if line not in self._inputs:
            return None
        pin, active_low = self._inputs[line]
        with _errors(self._name):
            return bool(pin.state) is not active_low

    def show(self, levels: Levels) -> None:
        again = levels.alone is not None and self._guard.feed(levels.alone, levels.loading)
        with _errors(self._name):
            for name, pin in self._outputs.items():
                on = getattr(levels, name)
                if again or on is not getattr(self._shown, name):
                    pin.state = on is not self._off
        self._shown = levels

    def close(self) -> None:
        with contextlib.suppress(DeviceError):
            self.show(Levels())
        # It holds the lines, too.
        self._guard.close()
        with contextlib.suppress(DeviceError), _errors(self._name):
            for pin, _ in self._inputs.values():
                pin.when_changed = None
            self._factory.close()


def _instant(ticks: float) -> int:
    """When the kernel saw the edge, on CLOCK_MONOTONIC."""
    now_ns, at_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC), round(ticks * NS)
    return at_ns if abs(now_ns - at_ns) < _NEAR_NS else now_ns


@contextlib.contextmanager
def _errors(chip: str) -> Iterator[None]:
    """lgpio and gpiozero raise many kinds, of no one family."""
    try:
        yield
    except DeviceError:
        raise
    except ImportError as err:
        raise DeviceError(f"the panel on {chip} needs the Python package {err.name}", _INSTALL) from err
    except Exception as err:
        raise DeviceError(f"the panel on {chip}: {reason(err)}", _CHECK) from err


def _factory(chip: str) -> Factory:
    """gpiozero's pins on the chip with this name or label."""
    with _lgpio_directory():
        import lgpio
        from gpiozero.pins.lgpio import LGPIOFactory

        class Lines(LGPIOFactory):  # type: ignore[misc]
            """The chip's lines by number, whatever the board is."""

            def _get_revision(self) -> int:
                return _FORTY_PINS

        return Lines(_number_of(chip, lgpio))


def _number_of(chip: str, lgpio: Any) -> int:
    found = re.fullmatch(r"gpiochip([0-9]{1,3})", chip)
    if found:
        return int(found[1])
    labels = []
    for path in sorted(Path("/dev").glob("gpiochip*")):
        number = int(path.name.removeprefix("gpiochip"))
        with contextlib.suppress(lgpio.error):
            handle = lgpio.gpiochip_open(number)
            try:
                _, _, _, label = lgpio.gpio_get_chip_info(handle)
            finally:
                lgpio.gpiochip_close(handle)
            if label == chip:
                return number
            labels.append(label)
    raise DeviceError(f"there is no GPIO chip {chip}", f"there is: {', '.join(labels) or 'none'}; correct panel.chip")


_IN_DIRECTORY = threading.Lock()


@contextlib.contextmanager
def _lgpio_directory() -> Iterator[None]:
    """lgpio makes a FIFO in the working directory when it is imported, and opens it by that name: in one of its own,
    which can go once both ends are open.
    """
    with _IN_DIRECTORY, tempfile.TemporaryDirectory(prefix="bodycam-panel-") as place:
        before = os.getcwd()
        os.chdir(place)
        try:
            yield
        finally:
            os.chdir(before)
