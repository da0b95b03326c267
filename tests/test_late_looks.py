"""The officer's thread comes late, in the midst of a look: the machine is busy, and what it looks at goes on. No press
is lost, none becomes another, and no alarm is told that is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.configcontrols import PanelConfig
from agent.controls.base import Line
from agent.model import NS
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.recorder_desk import Camera
from tests.test_officer import press

STALL_S = 2.5
AFTER = ("is_down", "take", "show")
"""What a look does with the panel; it stands still after the first of these."""


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    made = Camera(agency, tmp_path, monkeypatch).start()
    made.turns(1)
    yield made
    made.recorder.close()


def once_after(of: object, patch: pytest.MonkeyPatch, name: str, then: Callable[[], object], spared: int = 0) -> None:
    """`then` happens when this has been answered for the next time, so many calls `spared`."""
    answers, left = getattr(of, name), [None] * spared

    def answer(*arguments: Any) -> Any:
        answered = answers(*arguments)
        if left:
            left.pop()
        else:
            patch.setattr(of, name, answers)
            then()
        return answered

    patch.setattr(of, name, answer)


def goes_on(camera: Camera, seconds: float = STALL_S) -> None:
    """All but the officer's thread."""
    for number in range(round(4 * seconds)):
        camera.clock.now_ns += NS // 4
        if number % 2 and camera.recorder._life.recording:
            camera.muxers[-1].give(1)
            camera.recorder._life.pictures.encoded += 1
        camera.act()


@pytest.mark.parametrize("after", AFTER)
def test_a_press_in_the_midst_of_a_late_look_is_a_press(
    camera: Camera, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """It was a hold, from the begin of that look on, and ended the recording."""
    press(camera)
    pressed: list[int] = []

    def late() -> None:
        goes_on(camera)
        pressed.append(camera.clock.now_ns)
        camera.panel.pull(Line.BUTTON, True, pressed[0])

    once_after(camera.panel, monkeypatch, after, late)
    camera.recorder.officer.step()
    camera.clock.now_ns += NS // 10
    camera.panel.pull(Line.BUTTON, False, camera.clock.now_ns)
    camera.turns(2)
    assert camera.is_(State.RECORDING)
    assert [mark["mono_ns"] for mark in camera.said("mark")] == pressed


@pytest.mark.wide
@pytest.mark.parametrize("recording", [False, True])
@pytest.mark.parametrize("after", [*AFTER, "faults"])
def test_a_late_look_tells_of_nothing_that_stands_still(
    camera: Camera, monkeypatch: pytest.MonkeyPatch, after: str, recording: bool
) -> None:
    if recording:
        press(camera)
        camera.turns(1)
    of: tuple[object, str] = (camera.panel, after) if after in AFTER else (camera.recorder._life.faults, "shown")
    # The officer asks for the faults first, and then for all that moves.
    once_after(of[0], monkeypatch, of[1], lambda: goes_on(camera), spared=after == "faults")
    camera.recorder.officer.step()
    camera.intake.stands_still = True
    for _ in range(10):
        camera.clock.now_ns += NS // 50
        camera.recorder.officer.step()
        assert camera.panel.levels.light is recording
        assert not camera.recorder.officer.stands_still
    camera.turns(0.5)
    assert not camera.said("fault")


def test_a_dock_that_is_touched_in_the_midst_of_a_late_look_ends_no_recording(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for closed since the begin of that look, where its edges were brought after the next one."""
    press(camera)
    panel, take = camera.panel, camera.panel.take

    def late() -> None:
        goes_on(camera)
        panel.pull(Line.DOCK, True, camera.clock.now_ns)

    once_after(panel, monkeypatch, "is_down", late)
    with monkeypatch.context() as patch:
        patch.setattr(panel, "take", list)
        camera.recorder.officer.step()
        camera.recorder.officer.step()
    panel.pull(Line.DOCK, False, camera.clock.now_ns + NS // 50)
    assert panel.take == take
    camera.turns(2)
    assert camera.is_(State.RECORDING) and not camera.said("record.stop")


def goes_and_comes(camera: Camera, patch: pytest.MonkeyPatch) -> None:
    """The panel is gone for what is left of two seconds."""
    camera.panel.gone = "the panel is gone"

    def open_panel(_: PanelConfig) -> object:
        camera.panel.gone = ""
        return camera.panel

    patch.setattr("agent.officer.open_panel", open_panel)


def test_a_press_that_was_whole_before_the_panel_went_is_done(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = camera.clock.now_ns
    camera.panel.pull(Line.BUTTON, True, begin)
    camera.panel.pull(Line.BUTTON, False, begin + NS // 10)
    camera.clock.now_ns += NS // 5
    goes_and_comes(camera, monkeypatch)
    camera.turns(1)
    assert camera.is_(State.RECORDING) and "panel" in camera.faults()
    assert camera.said("record.start")[0]["mono_ns"] == begin


def test_a_press_between_the_last_look_and_a_panel_that_takes_no_levels_is_done(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late() -> None:
        begin = camera.clock.now_ns
        camera.panel.pull(Line.BUTTON, True, begin)
        camera.panel.pull(Line.BUTTON, False, begin + NS // 10)
        goes_on(camera)
        goes_and_comes(camera, monkeypatch)

    once_after(camera.panel, monkeypatch, "take", late)
    camera.turns(1)
    assert camera.is_(State.RECORDING)


def test_a_button_that_is_down_while_the_panel_goes_ends_no_recording(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was held for as long as the panel was away."""
    press(camera)
    begin = camera.clock.now_ns
    camera.panel.pull(Line.BUTTON, True, begin)
    camera.turns(0.1)
    goes_and_comes(camera, monkeypatch)
    camera.turns(1)
    assert isinstance(camera.panel.gone, str) and camera.panel.gone
    camera.panel._down[Line.BUTTON] = False
    camera.turns(3)
    assert not camera.panel.gone and camera.is_(State.RECORDING)
    assert [mark["mono_ns"] for mark in camera.said("mark")] == [begin]
