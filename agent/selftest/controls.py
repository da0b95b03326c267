"""The line about the controls: the panel is there, each of its lines can be read, and the button is not stuck."""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.configcontrols import PanelConfig
from agent.controls.base import Line as Input
from agent.controls.base import Panel
from agent.controls.panel import open_panel
from agent.errors import AgentError
from agent.selftest.line import Fault, Line, failed, judged, skipped

NAME = "controls"
MAX_MS = 100.0
LIMIT = f"each line is read within {MAX_MS:.0f} ms, the button is up"


def check(config: PanelConfig, open_it: Callable[[PanelConfig], Panel] = open_panel) -> Line:
    if not config.chip:
        return skipped(NAME, 'not configured ([panel] chip = ""): commands come from `bodycam-agent ctl`')
    try:
        panel = open_it(config)
    except AgentError as err:
        return failed(NAME, err, LIMIT)
    try:
        begin = time.monotonic()
        levels = {line.value: panel.is_down(line) for line in Input}
        spent_ms = (time.monotonic() - begin) * 1000
    except AgentError as err:
        return failed(NAME, err, LIMIT)
    finally:
        panel.close()
    words = {True: "down", False: "up", None: "no line"}
    told = ", ".join(f"{name} {words[down]}" for name, down in levels.items())
    faults = []
    if levels[Input.BUTTON.value] is None:
        faults.append(Fault("no button", "set panel.button to its line"))
    if levels[Input.BUTTON.value]:
        faults.append(
            Fault("the button is down", "let go of it; else it is stuck, or panel.button_active_low is wrong")
        )
    if spent_ms > MAX_MS:
        faults.append(Fault("the lines answer too slowly", "check the chip"))
    figures = {**levels, "read_ms": round(spent_ms, 2)}
    return judged(NAME, f"{config.chip}: {told}, read in {spent_ms:.1f} ms", LIMIT, faults, figures=figures)
