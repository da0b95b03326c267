"""What a panel is to the rest of the camera: edges with their instants in, levels out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from agent.controls.gestures import Edge
from agent.controls.patterns import Levels
from agent.model import Member


class Line(Member):
    """An input. `down` of its edges means: pressed, in the dock, triggered."""

    BUTTON = "button"
    DOCK = "dock"
    TRIGGER = "trigger"


class Panel(Protocol):
    """From the moment it is there no edge is lost: each waits, with the instant at which the kernel saw it. `stir` is
    called once one is there, from whichever thread brings it.
    """

    stir: Callable[[], object]

    def take(self) -> list[tuple[Line, Edge]]:
        """The edges since the last time, in order."""
        ...

    def is_down(self, line: Line) -> bool | None:
        """How the line is now; None where there is none. Raises DeviceError where the panel is gone."""
        ...

    def show(self, levels: Levels) -> None:
        """Switch what is there. Raises DeviceError where the panel is gone."""
        ...

    def close(self) -> None:
        """Everything off, the lines given back."""
        ...
