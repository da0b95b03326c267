"""A hand on the button while nothing can be recorded: what is asked for waits, is answered as such, and is never taken
back by asking for it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

from agent.configcontrols import GesturesConfig, PanelConfig
from agent.controls.base import Line
from agent.controls.patterns import Cue
from agent.errors import DeviceError, UsageError
from agent.events import Actor
from agent.intake.report import IntakeEventKind
from agent.model import NS
from agent.station.layout import AgencyPaths
from agent.status import REASONS_KEPT, State
from tests.recorder_desk import Camera
from tests.test_officer import officer, press


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    made = Camera(agency, tmp_path, monkeypatch, sections={"panel": PanelConfig(trigger_name="holster")}).start()
    made.turns(1)
    yield made
    made.recorder.close()


def double(camera: Camera) -> None:
    begin = camera.clock.now_ns
    for at_ms, down in ((0, True), (80, False), (200, True), (280, False)):
        camera.panel.pull(Line.BUTTON, down, begin + at_ms * NS // 1000)
    camera.clock.now_ns = begin + NS
    camera.turns(1)


def lose_lens(camera: Camera) -> None:
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "it was pulled off")
    camera.turns(1)
    assert officer(camera)["state"] == "fault"


def last_cue(camera: Camera) -> Cue:
    return camera.recorder.officer._signals._shown.cues[-1][0]


def test_what_is_asked_for_twice_while_a_fault_is_shown_is_done_once_it_can_be(camera: Camera) -> None:
    lose_lens(camera)
    for _ in range(2):
        press(camera, 2_000)
        assert (officer(camera)["did"], last_cue(camera)) == ("later", Cue.LATER)
        assert camera.recorder.status()["wanted"] == "button"
    camera.lens = None
    camera.turns(4)
    assert camera.is_(State.RECORDING) and len(camera.said("record.start")) == 1


def asked(camera: Camera, gesture: str) -> dict[str, Any]:
    """As `ctl` asks for it; the loop takes what is asked of it."""
    loop = camera.recorder._loop
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(camera.recorder._answer, {"do": gesture})
        while not answer.done():
            with suppress(Empty):
                loop.act(*loop._queue.get(timeout=0.02))
        return answer.result()


LATER = "Not yet: it records by itself as soon as it can."


@pytest.mark.parametrize("gesture", ["press", "hold", "double"])
@pytest.mark.parametrize("begun", [False, True])
def test_a_command_for_a_hand_is_answered_with_what_comes_of_it(camera: Camera, gesture: str, begun: bool) -> None:
    """A lens that is gone lets nothing begin, and a hand ends nothing that broke off."""
    if begun:
        assert asked(camera, "press")["words"] == ["The recording begins."]
        camera.turns(1)
    lose_lens(camera)
    answer = asked(camera, gesture)
    assert set(answer["does"]) == {"later"} and answer["words"][0].startswith(LATER)
    assert camera.recorder.status()["words"][1].startswith(LATER)
    camera.lens = None
    camera.turns(4)
    assert asked(camera, "press")["does"] == ["mark"] and asked(camera, "hold")["words"] == ["The recording stops."]


def test_a_command_for_a_hand_that_a_defect_refuses_is_answered_as_that(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    asked(camera, "press")
    monkeypatch.setattr(camera.recorder._takes, "mark", broken)
    answer = asked(camera, "press")
    assert (answer["does"], answer["words"]) == (["refused"], ["Refused: it was not done."])
    assert last_cue(camera) is Cue.REFUSED


def test_no_hand_takes_back_what_broke_off_and_is_to_go_on(camera: Camera) -> None:
    press(camera)
    lose_lens(camera)
    for ms in (100, 2_000):
        press(camera, ms)
        assert officer(camera)["did"] == "later"
    camera.lens = None
    camera.turns(4)
    assert camera.is_(State.RECORDING) and len(camera.said("record.start")) == 2


def test_a_hold_stops_it_once_it_records(camera: Camera) -> None:
    lose_lens(camera)
    press(camera)
    camera.lens = None
    camera.turns(4)
    press(camera, 2_000)
    assert camera.is_(State.READY)


@pytest.mark.parametrize("begun", [False, True])
def test_a_trigger_while_another_recording_waits_is_in_the_log_with_its_instant(camera: Camera, begun: bool) -> None:
    """Of a press that waits, or of what broke off and is to go on."""
    if begun:
        press(camera)
    lose_lens(camera)
    if not begun:
        press(camera)
    camera.panel.pull(Line.TRIGGER, True, at_ns := camera.clock.now_ns)
    camera.turns(1)
    camera.panel.pull(Line.TRIGGER, False, camera.clock.now_ns)
    camera.turns(1)
    press(camera)
    camera.lens = None
    camera.turns(4)
    assert camera.said("record.start")[-1]["trigger"] == ("continued" if begun else "button")
    marks = [(body["text"], body["actor"], body["mono_ns"]) for body in camera.said("mark")]
    assert marks == [("holster", "recorder", at_ns)]


def test_the_sound_of_what_broke_off_is_turned_off_and_on_by_the_same_hand_as_while_it_records(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"gestures": GesturesConfig(recording_double="mute")}
    camera = Camera(agency, tmp_path, monkeypatch, sections=sections).start()
    camera.turns(1)
    press(camera)
    lose_lens(camera)
    for muted in (True, False, True):
        double(camera)
        assert officer(camera)["did"] == ("mute" if muted else "unmute")
        assert camera.recorder.status()["muted"] is muted and last_cue(camera) is Cue.HEARD
    press(camera)
    assert officer(camera)["did"] == "later"
    camera.lens = None
    camera.turns(4)
    assert camera.is_(State.RECORDING) and camera.intake.muted
    told = [(body["type"], body["actor"]) for body in camera.bodies() if body["type"] in ("mute", "unmute")]
    assert told == [("mute", "officer"), ("unmute", "officer"), ("mute", "officer")]
    camera.recorder.close()


def test_a_mark_that_was_still_down_when_the_lens_broke_off_is_in_the_log_with_its_instant(camera: Camera) -> None:
    press(camera)
    camera.panel.pull(Line.BUTTON, True, at_ns := camera.clock.now_ns)
    camera.turns(0.1)
    lose_lens(camera)
    camera.panel.pull(Line.BUTTON, False, camera.clock.now_ns)
    camera.turns(1)
    assert (officer(camera)["did"], last_cue(camera)) == ("mark", Cue.HEARD)
    camera.lens = None
    camera.turns(4)
    assert camera.is_(State.RECORDING) and camera.said("record.start")[-1]["trigger"] == "continued"
    assert [(body["actor"], body["mono_ns"]) for body in camera.said("mark")] == [("officer", at_ns)]


def tag(number: int) -> str | None:
    """Every other mark has one."""
    return "theft" if number % 2 else None


def test_a_mark_of_what_broke_off_and_goes_on_in_a_moment_is_in_the_log_with_its_instant(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch).start()
    camera.recorder._record("button")
    camera.tell(IntakeEventKind.SINK_FAILED, "the muxer failed")
    camera.ticks(1)
    assert camera.recorder.status()["recording"] is None and camera.recorder.status()["wanted"] == "continued"
    takes, at_ns = camera.recorder._takes, camera.clock.now_ns
    marked = [takes.mark(f"seen {n}", Actor.OFFICER, at_ns + n, tag(n)) for n in range(REASONS_KEPT)]
    assert marked[1]["tag"] == "theft" and "tag" not in marked[0]
    assert marked[0]["durable"] is False and marked[0]["recording"] == camera.recorder._life.recordings[0]
    with pytest.raises(UsageError, match="too many"):
        takes.mark("one too many", Actor.OFFICER)
    camera.ticks(12)
    assert camera.is_(State.RECORDING)
    told = [(body["text"], body["actor"], body["mono_ns"], body.get("tag")) for body in camera.said("mark")]
    assert told == [(f"seen {n}", "officer", at_ns + n, tag(n)) for n in range(REASONS_KEPT)]
    camera.recorder.close()
