"""The line about the controls: the panel is there, each of its lines can be read, no input is stuck, and lights, motor
and beeper are driven. Whether they came, and whether a press comes, only a person can show: the line says so, and
`--ask` asks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.configcontrols import NO_LINE, PanelConfig
from agent.controls.base import Line as Input
from agent.controls.base import Panel
from agent.controls.panel import SYNTHETIC, open_panel
from agent.controls.patterns import Levels
from agent.errors import AgentError
from agent.selftest import inputs
from agent.selftest.line import Fault, Line, failed, judged, skipped

NAME = "controls"
MAX_MS = 100.0
DRIVE_S = 0.4
LIMIT = (
    f"each line is read within {MAX_MS:.0f} ms, each input is up, and goes down and up again where somebody is asked; "
    "each output takes its level"
)


@dataclass(frozen=True, slots=True)
class Output:
    """What is driven, and `key` of [panel], its line."""

    name: str
    key: str
    level: Levels

    @property
    def absent(self) -> Fault:
        """As the person says who was asked."""
        return Fault(f"no {self.name} came", f"check its wires, panel.{self.key} and panel.outputs_active_low")


OUTPUTS = (
    Output("light", "light", Levels(light=True)),
    Output("status light", "status_light", Levels(status=True)),
    Output("vibration", "vibration", Levels(buzz=True)),
    Output("tone", "tone", Levels(tone=True)),
)
Ask = Callable[[str], bool]
"""A question to the person in front of the camera; whether the answer is yes."""


def _on_standard_error(what: str) -> None:
    """JSON stays JSON."""
    print(what, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Hands:
    """Of the person in front of the camera, who is asked whether outputs came, and told to move inputs; `ask` None
    where there is nobody.
    """

    rest: inputs.Rest = time.sleep
    ask: Ask | None = None
    tell: inputs.Tell = _on_standard_error


def check(
    config: PanelConfig, open_it: Callable[[PanelConfig], Panel] = open_panel, hands: Hands | None = None
) -> Line:
    if not config.chip:
        return skipped(NAME, 'not configured ([panel] chip = ""): commands come from `bodycam-agent ctl`')
    hands = hands or Hands()
    try:
        panel = open_it(config)
    except AgentError as err:
        return failed(NAME, err, LIMIT)
    try:
        begin = time.monotonic()
        levels = {line: panel.is_down(line) for line in Input}
        spent_ms = (time.monotonic() - begin) * 1000
        driven, missed = _drive(config, panel, hands)
        came, faults = inputs.moved(panel, levels, hands.rest, hands.tell if hands.ask else None)
    except AgentError as err:
        return failed(NAME, err, LIMIT)
    finally:
        panel.close()
    figures = {
        **{line.value: down for line, down in levels.items()},
        "read_ms": round(spent_ms, 2),
        "pressed": [line.value for line in came],
        "driven": driven,
    }
    told = f"{inputs.told(levels, came)}{'' if hands.ask else ' (a cut wire looks the same: --ask waits for each)'}"
    measured = f"{config.chip}: {told}; read in {spent_ms:.1f} ms; {_told(driven, hands)}"
    slow = [Fault("the lines answer too slowly", "check the chip")] if spent_ms > MAX_MS else []
    faults = [*inputs.at_rest(levels), *slow, *faults, *(output.absent for output in missed)]
    return judged(NAME, measured, LIMIT, faults, figures=figures)


def _drive(config: PanelConfig, panel: Panel, hands: Hands) -> tuple[list[str], list[Output]]:
    """Each output that there is, one after another: (what was driven, what did not come as the person says)."""
    driven, missed = [], []
    for output in OUTPUTS:
        if config.chip != SYNTHETIC and getattr(config, output.key) == NO_LINE:
            continue
        panel.show(output.level)
        hands.rest(DRIVE_S)
        panel.show(Levels())
        driven.append(output.name)
        if hands.ask and not hands.ask(f"Did the {output.name} come?"):
            missed.append(output)
    return driven, missed


def _told(driven: list[str], hands: Hands) -> str:
    if not driven:
        return "no light, motor or beeper has a line"
    seen = "as the person says who was asked" if hands.ask else "look and feel whether each came (--ask asks)"
    return f"driven for {DRIVE_S:g} s each: {', '.join(driven)}: {seen}"
