"""The first act of a recorder's process: a press is heard, and an end is clean, while it imports what is heavy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from agent.configcontrols import PanelConfig
from agent.formats import age
from agent.formats import leaf as leaves
from agent.station.layout import AgencyPaths
from tests.camera_kit import read
from tests.recorder_kit import RecorderProcess, make_config


def with_deed(deed: str, file: Path) -> Callable[..., list[str]]:
    def wrap(*command: str) -> list[str]:
        return [sys.executable, "-m", "tests.early_child", deed, str(file), *command[3:]]

    return wrap


def test_a_press_while_it_imports_starts_a_recording_from_the_instant_of_its_edge(
    agency: AgencyPaths, tmp_path: Path
) -> None:
    config = make_config(agency, tmp_path, panel=PanelConfig(chip="synthetic"))
    file = tmp_path / "deed"
    with RecorderProcess(config, tmp_path, wrap=with_deed("press", file)) as recorder:
        recorder.until(lambda status: status["recording"] is not None and status["parts"] > 0)
        recorder.ask("stop")
        assert recorder.stop() == 0
    at_ns, still = file.read_text("utf-8").split()
    assert still == "True", "it was pressed while it imported"
    identity = age.parse_identity_file(agency.agency_identity.read_text())[0]
    bodies = [
        leaves.open_body(age.decrypt(entry.sealed, [identity]), leaf.body)
        for path in (config.spool.dir / "sealed").glob("*.tar")
        for entry, leaf in read(path)[2]
        if isinstance(leaf, leaves.EventLeaf) and leaf.kind is leaves.Kind.START
    ]
    assert [(b["trigger"], b["actor"], b["mono_ns"]) for b in bodies] == [("button", "officer", int(at_ns))]


def test_an_end_that_is_asked_for_while_it_imports_is_clean_and_opens_nothing(
    agency: AgencyPaths, tmp_path: Path
) -> None:
    config = make_config(agency, tmp_path, panel=PanelConfig(chip="synthetic"))
    file = tmp_path / "deed"
    with RecorderProcess(config, tmp_path, wrap=with_deed("term", file)) as recorder:
        assert recorder.process.wait(60) == 0
        assert file.read_text("utf-8") == "True"
        assert "Traceback" not in recorder.log.read_text()
    assert not config.spool.dir.exists() and not config.control.socket.exists()
