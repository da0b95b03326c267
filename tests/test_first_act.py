"""The first act of a recorder's process: a press is heard, and an end is clean, while it imports what is heavy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.configcontrols import GesturesConfig, PanelConfig
from agent.controls.base import Line
from agent.formats import age
from agent.formats import leaf as leaves
from agent.model import NS
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.camera_kit import read
from tests.recorder_desk import Camera
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


OUT = [(Line.DOCK, True, 0), (Line.DOCK, False, 900)]
PRESSED = [(Line.BUTTON, True, 1500), (Line.BUTTON, False, 1600)]
IN_THE_DOCK = [(Line.DOCK, True, 0), (Line.BUTTON, True, 500), (Line.BUTTON, False, 600)]
AT_ONCE = [(Line.DOCK, True, 0), (Line.BUTTON, True, 100), (Line.BUTTON, False, 200)]
HELD = [(Line.DOCK, True, 0), (Line.BUTTON, True, 500), (Line.DOCK, False, 900), (Line.BUTTON, False, 2400)]


def after_imports(camera: Camera, edges: list[tuple[Line, bool, int]], started: bool = False) -> Camera:
    """These edges came, in ms from now, and nobody looked for three seconds."""
    for line, down, at_ms in edges:
        camera.panel.pull(line, down, camera.clock.now_ns + at_ms * NS // 1000)
    camera.clock.now_ns += 3 * NS
    camera.recorder.officer.step()
    if not started:
        camera.start()
    camera.turns(2)
    return camera


@pytest.mark.parametrize(
    ("edges", "pressed_ms", "state"),
    [
        pytest.param([*OUT, *PRESSED], 1500, "undocked", id="taken out, then pressed"),
        pytest.param(IN_THE_DOCK, 500, "docked", id="pressed in the dock"),
        pytest.param(AT_ONCE, 100, "docked", id="pressed before the contact is believed"),
        pytest.param(HELD, 500, "undocked", id="held while it is taken out"),
    ],
)
def test_a_dock_that_was_there_before_the_press_does_not_end_what_it_began(
    agency: AgencyPaths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edges: list[tuple[Line, bool, int]],
    pressed_ms: int,
    state: str,
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch)
    pressed_ns = camera.clock.now_ns + pressed_ms * NS // 1000
    after_imports(camera, edges)
    assert camera.recorder.status()["recording"] and not camera.said("record.stop")
    (start,) = camera.said("record.start")
    assert (start["trigger"], start["actor"], start["mono_ns"]) == ("button", "officer", pressed_ns)
    assert camera.said("dock")[-1]["state"] == state
    camera.recorder.close()


def test_a_dock_that_comes_after_the_press_ends_what_it_began(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch)
    after_imports(camera, [(Line.BUTTON, True, 500), (Line.DOCK, True, 600), (Line.BUTTON, False, 700)])
    assert camera.recorder.status()["recording"] is None and camera.is_(State.DOCKED)
    assert [b["reason"] for b in camera.said("record.stop")] == ["docked"]
    camera.recorder.close()


def test_a_press_after_the_dock_records_again_also_where_nobody_looked_in_between(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a press means is decided by what the camera did as the button went down: no mark of what had ended."""
    camera = Camera(agency, tmp_path, monkeypatch).start()
    after_imports(camera, [(Line.BUTTON, True, 0), (Line.BUTTON, False, 100)], started=True)
    assert camera.is_(State.RECORDING)
    after_imports(camera, [*OUT, *PRESSED], started=True)
    assert camera.is_(State.RECORDING)
    assert [b["reason"] for b in camera.said("record.stop")] == ["docked"]
    assert [b["trigger"] for b in camera.said("record.start")] == ["button", "button"] and not camera.said("mark")
    camera.recorder.close()


@pytest.mark.parametrize("out", [True, False])
def test_a_recording_at_boot_is_not_ended_by_a_dock_that_was_left_before_it(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: bool
) -> None:
    """One that still stands in the dock keeps still."""
    camera = after_imports(Camera(agency, tmp_path, monkeypatch, at_boot=True), OUT if out else OUT[:1])
    assert (camera.recorder.status()["recording"] is not None) is out
    assert [b["trigger"] for b in camera.said("record.start")] == ["boot"] * out
    assert not camera.said("record.stop")
    camera.recorder.close()


def test_who_sends_it_to_sleep_while_it_starts_is_heard_and_so_is_the_next_press(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits for a camera that nobody wakes."""
    sections = {"gestures": GesturesConfig(idle_hold="sleep")}
    camera = Camera(agency, tmp_path, monkeypatch, at_boot=True, sections=sections)
    after_imports(camera, [(Line.BUTTON, True, 0), (Line.BUTTON, False, 1600)])
    assert camera.is_(State.SLEEPING) and not camera.recorder.status()["wanted"]
    after_imports(camera, [(Line.BUTTON, True, 0), (Line.BUTTON, False, 100)], started=True)
    assert [b["trigger"] for b in camera.said("record.start")] == ["button"] and not camera.said("mark")
    camera.recorder.close()
