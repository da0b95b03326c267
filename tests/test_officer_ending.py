"""The seconds after a stop, in which it still records: what a hand does in them, and what feeling and log say of it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.configcontrols import GesturesConfig, PanelConfig
from agent.controls.base import Line
from agent.controls.patterns import Cue
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.recorder_desk import Camera
from tests.test_officer import press
from tests.test_officer_waiting import asked


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    """It was stopped, and is in its last ten seconds."""
    sections = {"panel": PanelConfig(trigger_name="holster")}
    made = Camera(agency, tmp_path, monkeypatch, sections=sections, post_event_s=10).start()
    press(made)
    press(made, 2_000)
    assert made.recorder.status()["ends_in_s"] and last_cue(made) is Cue.ENDING
    yield made
    made.recorder.close()


def last_cue(camera: Camera) -> Cue:
    return camera.recorder.officer._signals._shown.cues[-1][0]


def marks(camera: Camera) -> list[tuple[str, str, int]]:
    return [(body["text"], body["actor"], body["mono_ns"]) for body in camera.said("mark")]


@pytest.mark.parametrize("do", ["hold", "stop"])
def test_whoever_stopped_it_is_told_that_it_goes_on_for_some_seconds(camera: Camera, do: str) -> None:
    press(camera)
    answer = asked(camera, do)
    assert camera.recorder.status()["words"][1].startswith("It records for some seconds more")
    if do == "hold":
        assert answer["does"] == ["ending"] and answer["words"] == camera.recorder.status()["words"][1:2]
    assert asked(camera, "hold")["words"] == ["The recording stops."]


@pytest.mark.parametrize("by", ["press", "record"])
def test_whoever_takes_a_stop_back_is_told_that_it_goes_on_and_not_that_one_begins(camera: Camera, by: str) -> None:
    if by == "press":
        press(camera)
    else:
        asked(camera, by)
    assert camera.recorder.status()["ends_in_s"] is None
    assert camera.recorder.status()["words"][1] == "The recording goes on: the stop is taken back."


def test_a_second_hold_ends_it_at_once(camera: Camera) -> None:
    press(camera, 2_000)
    assert camera.is_(State.READY) and last_cue(camera) is Cue.ENDED
    (stop,) = camera.said("record.stop")
    assert (stop["reason"], stop["actor"]) == ("button: hold", "officer")
    assert camera.said("mark") == []


def test_a_press_goes_on_and_the_log_says_who_took_the_stop_back_and_when(camera: Camera) -> None:
    at_ns = press(camera)
    assert last_cue(camera) is Cue.BEGUN
    camera.turns(15)
    assert camera.is_(State.RECORDING) and len(camera.said("record.start")) == 1
    assert marks(camera) == [("button: goes on; stop taken back (button: hold, 10 s before)", "officer", at_ns)]
    marked_ns = press(camera)
    assert marks(camera)[1:] == [("button: press", "officer", marked_ns)]


def test_the_mark_of_a_command_has_it_go_on_and_stands_beside_that(camera: Camera) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(camera.recorder._answer, {"do": "mark", "text": "he comes back"})
        camera.turns(15, done=answer.done)
    assert answer.result()["mark"] == "he comes back"
    assert camera.recorder.status()["ends_in_s"] is None
    camera.turns(15)
    assert camera.is_(State.RECORDING) and camera.said("record.stop") == []
    assert [(text, actor) for text, actor, _ in marks(camera)] == [
        ("ctl: goes on; stop taken back (button: hold, 10 s before)", "ctl"),
        ("he comes back", "ctl"),
    ]


def test_a_trigger_goes_on_and_its_reason_and_instant_are_in_the_log(camera: Camera) -> None:
    camera.panel.pull(Line.TRIGGER, True, at_ns := camera.clock.now_ns)
    camera.turns(15)
    assert camera.is_(State.RECORDING)
    assert marks(camera) == [("holster: goes on; stop taken back (button: hold, 10 s before)", "recorder", at_ns)]


def test_left_alone_it_ends_by_itself(camera: Camera) -> None:
    camera.turns(10)
    assert camera.is_(State.READY) and last_cue(camera) is Cue.ENDED
    assert camera.said("record.stop")[0]["reason"] == "button: hold, 10 s before"


def test_that_it_ends_is_said_as_long_as_it_is_so_and_no_longer(camera: Camera) -> None:
    said = []
    for _ in range(12):
        status = camera.recorder.status()
        telling = any(line.startswith("It records for some seconds more") for line in status["words"])
        assert telling is (status["ends_in_s"] is not None)
        said.append(telling)
        camera.turns(1)
    assert said.index(False) >= 9 and camera.is_(State.READY)


@pytest.mark.parametrize("bound", ["none", "stop"])
def test_a_press_goes_on_also_where_no_gesture_marks(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    sections = {"gestures": GesturesConfig(recording_press=bound)}
    camera = Camera(agency, tmp_path, monkeypatch, sections=sections, post_event_s=10).start()
    press(camera)
    press(camera, 2_000)
    at_ns = press(camera)
    camera.turns(15)
    assert camera.is_(State.RECORDING) and len(camera.said("record.start")) == 1
    assert marks(camera) == [("button: goes on; stop taken back (button: hold, 10 s before)", "officer", at_ns)]
    camera.recorder.close()


@pytest.mark.parametrize("before_s", [0.05, 0.5, 0.95])
def test_a_press_that_goes_down_in_the_last_second_and_up_after_it_begins_the_next(
    camera: Camera, before_s: float
) -> None:
    camera.turns(camera.recorder.status()["ends_in_s"] - before_s)
    at_ns = press(camera, 1_200)
    camera.turns(1)
    assert camera.is_(State.RECORDING)
    assert [body["mono_ns"] for body in camera.said("record.start")][1:] == [at_ns]
