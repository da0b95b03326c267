"""The inputs of the panel: at rest, and moved where a person is asked to. A cut wire looks like a button that nobody
presses: only an edge tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from agent.controls.base import Line as Input
from agent.controls.base import Panel
from agent.selftest.line import Fault

LOOK_S = 0.2
MOVE_S = 20.0
"""So long a person has for each input, both ways."""

Rest = Callable[[float], None]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a person, and what it means where nothing came of it, or where it stayed."""

    deed: str
    missed: Fault
    stuck: Fault


INPUTS = {
    Input.BUTTON: Asked(
        "Press the button, and let go of it",
        Fault("the button was not pressed", "check its wires and panel.button, then press it when you are told to"),
        Fault("the button is down", "let go of it; else it is stuck, or panel.button_active_low is wrong"),
    ),
    Input.TRIGGER: Asked(
        "Pull the trigger's line (holster, vehicle), and put it back",
        Fault("the trigger was not pulled", "check its wires and panel.trigger, then pull it when you are told to"),
        Fault("the trigger is down", "put back what pulls it; else it is stuck, or panel.trigger_active_low is wrong"),
    ),
    Input.DOCK: Asked(
        "Put the camera into the dock, and take it out again",
        Fault("the dock contact was not closed", "check its wires and panel.dock, then close it when you are told to"),
        Fault(
            "the dock contact is closed",
            "take the camera out of the dock (in it: --only dock); else it is stuck, or panel.dock_active_low is wrong",
        ),
    ),
}


def at_rest(levels: Mapping[Input, bool | None]) -> list[Fault]:
    """What is wrong before anybody touches anything. `levels`: whether each is down, None where it has no line."""
    faults = []
    if levels[Input.BUTTON] is None:
        faults.append(Fault("no button", "set panel.button to its line"))
    return faults + [asked.stuck for line, asked in INPUTS.items() if levels[line]]


def moved(
    panel: Panel, levels: Mapping[Input, bool | None], rest: Rest, tell: Tell | None
) -> tuple[list[Input], list[Fault]]:
    """Which inputs a person moved, one after another, and what is wrong with the others; nobody is waited for without
    `tell`, nor for one that is down already. Raises DeviceError where the panel goes meanwhile.
    """
    came: list[Input] = []
    faults: list[Fault] = []
    for line, asked in INPUTS.items():
        if tell is None or levels[line] is not False:
            continue
        panel.take()
        tell(f"{asked.deed}, within {MOVE_S:g} s.")
        edges = _edges(panel, line, rest)
        if not any(edges):
            faults.append(asked.missed)
        elif edges[-1]:
            faults.append(asked.stuck)
        else:
            came.append(line)
    return came, faults


def _edges(panel: Panel, line: Input, rest: Rest) -> list[bool]:
    """What they say, True: down. They end when it is up again after it was down, or when the time is over."""
    edges: list[bool] = []
    for _ in range(round(MOVE_S / LOOK_S)):
        edges += [edge.down for which, edge in panel.take() if which is line]
        if any(edges) and not edges[-1]:
            break
        panel.is_down(line)
        rest(LOOK_S)
    return edges


def told(levels: Mapping[Input, bool | None], came: Collection[Input]) -> str:
    """How each was, and what that does not say."""
    words = {True: "down", False: "up", None: "no line"}
    text = ", ".join(f"{line.value} {words[down]}" for line, down in levels.items())
    still = [line.value for line, down in levels.items() if down is False and line not in came]
    if came:
        text += f"; pressed: {', '.join(line.value for line in came)}"
    return f"{text}; not pressed: {', '.join(still)}" if still else text
