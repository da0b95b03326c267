"""A gesture, or stealth, by a command whose turn comes too late: it counts since it came, and is not taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import loop as loops
from agent.errors import DeviceError, UnheardError
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.recorder_desk import Camera
from tests.test_officer import officer


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Camera:
    camera = Camera(agency, tmp_path, monkeypatch).start()
    camera.turns(1)
    return camera


def answered_too_late(camera: Camera, monkeypatch: pytest.MonkeyPatch, do: str, text: str = "") -> None:
    with monkeypatch.context() as patch, pytest.raises(DeviceError, match=r"not done after .*goes on with it") as told:
        patch.setattr(loops, "ANSWER_S", 0.0)
        camera.recorder._answer({"do": do, "text": text})
    assert not isinstance(told.value, UnheardError) and "again" not in told.value.hint


def test_a_gesture_whose_turn_comes_late_is_not_told_as_cancelled(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed_ns = camera.clock.now_ns
    answered_too_late(camera, monkeypatch, "press")
    late_ns = camera.clock.now_ns
    camera.turns(1)
    assert camera.is_(State.RECORDING) and pressed_ns < camera.said("record.start")[-1]["mono_ns"] < late_ns
    answered_too_late(camera, monkeypatch, "hold")
    camera.turns(1)
    assert camera.recorder._life.recording is None
    camera.recorder.close()


def test_of_a_stealth_whose_turn_comes_late_the_log_says_since_when(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    since_ns = camera.clock.now_ns
    answered_too_late(camera, monkeypatch, "stealth", "on")
    assert officer(camera)["stealth"] and not camera.said("stealth")
    late_ns = camera.clock.now_ns
    camera.turns(1)
    (on,) = camera.said("stealth")
    assert (on["on"], on["actor"]) == (True, "ctl") and since_ns < on["mono_ns"] < late_ns
    camera.recorder.close()
