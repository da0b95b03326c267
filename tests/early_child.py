"""A recorder to which something happens while it imports what is heavy: `python -m tests.early_child DEED FILE recorder
...`. DEED is "press", a press of its button's twin, whose instant goes to FILE; or "term", a SIGTERM to itself.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from agent import cli
from agent.configcontrols import PanelConfig
from agent.controls import panel
from agent.controls.base import Line
from agent.controls.synthetic import SyntheticPanel

PRESS_S, DEADLINE_S = 0.08, 60
MODULE, WANTED = "agent.recorder", "Recorder"


def importing() -> bool:
    """Whether the recorder's module has begun to be imported, and has not come to its class."""
    return MODULE in sys.modules and not hasattr(sys.modules[MODULE], WANTED)


def in_mid_import(deed: str, file: Path, twin: SyntheticPanel) -> None:
    end = time.monotonic() + DEADLINE_S
    while not importing():
        if time.monotonic() > end or hasattr(sys.modules.get(MODULE), WANTED):
            file.write_text("too late", "utf-8")
            return
        time.sleep(0)
    if deed == "term":
        os.kill(os.getpid(), signal.SIGTERM)
        file.write_text(str(importing()), "utf-8")
        return
    at_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    twin.pull(Line.BUTTON, True, at_ns)
    file.write_text(f"{at_ns} {importing()}", "utf-8")
    time.sleep(PRESS_S)
    twin.pull(Line.BUTTON, False)


def first_panel(config: PanelConfig) -> SyntheticPanel:
    twin = SyntheticPanel()
    threading.Thread(target=in_mid_import, args=(sys.argv[1], Path(sys.argv[2]), twin), daemon=True).start()
    return twin


if __name__ == "__main__":
    panel.first_panel = first_panel
    sys.exit(cli.agent_main(sys.argv[3:]))
