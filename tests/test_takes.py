"""What the configuration wants of the seconds before a press and after a stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.events import Actor
from agent.intake.report import IntakeEventKind
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.recorder_desk import Camera


def stopped(camera: Camera) -> dict[str, object]:
    return camera.recorder._stop_later("button", Actor.OFFICER)


# -- sound before the press ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [True, False])
def test_sound_is_kept_before_the_press_only_where_that_is_wanted(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch, pre_event_sound=wanted).start()
    assert camera.intake.muted is not wanted
    camera.recorder._record("ctl")
    assert not camera.intake.muted
    camera.recorder._stop("ctl")
    assert camera.intake.muted is not wanted
    assert camera.said("mute") == [], "it is in the configuration, not asked for"
    camera.recorder.close()


def test_whoever_mutes_and_stops_has_the_next_recording_begin_as_configured(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch, pre_event_sound=False).start()
    camera.recorder._record("ctl")
    camera.recorder._takes.mute(Actor.CTL)
    assert camera.intake.muted
    camera.recorder._stop("ctl")
    camera.recorder._record("ctl")
    assert not camera.intake.muted
    camera.recorder.close()


def test_sound_of_the_last_recording_is_silence_in_the_next(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch, pre_event_sound=False).start()
    camera.recorder._record("ctl")
    assert camera.intake.silent_before_ns is None
    camera.recorder._stop("ctl")
    stopped_ns = camera.clock.now_ns
    camera.recorder._record("ctl")
    assert stopped_ns - 1_000_000 < camera.intake.silent_before_ns <= stopped_ns
    camera.recorder.close()


def test_a_trigger_marks_what_is_recorded_already_and_a_plain_command_does_not(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch).start()
    name = camera.recorder._record("holster", Actor.CTL)["recording"]
    for trigger in ("ctl", "siren"):
        assert camera.recorder._record(trigger, Actor.CTL) == {"recording": name}
    assert [(mark["text"], mark["actor"]) for mark in camera.said("mark")] == [("siren", "ctl")]
    camera.recorder.close()


# -- after the stop ------------------------------------------------------------------------------------------------


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = Camera(agency, tmp_path, monkeypatch, post_event_s=5).start()
    yield made
    made.recorder.close()


def test_a_recording_goes_on_for_the_seconds_after_the_stop(camera: Camera) -> None:
    name = camera.recorder._record("ctl")["recording"]
    assert stopped(camera) == {"recording": name, "ends_in_s": 5}
    camera.ticks(18)
    assert camera.is_(State.RECORDING)
    assert 0 < camera.recorder.status()["ends_in_s"] < 1
    camera.ticks(3)
    assert camera.is_(State.READY)
    assert camera.recorder.status()["ends_in_s"] is None
    (stop,) = camera.said("record.stop")
    assert (stop["reason"], stop["actor"]) == ("button, 5 s before", "officer")


def test_a_second_stop_ends_it_at_once(camera: Camera) -> None:
    camera.recorder._record("ctl")
    stopped(camera)
    assert stopped(camera)["whole"]
    assert camera.is_(State.READY)


def test_a_press_in_the_last_seconds_goes_on(camera: Camera) -> None:
    name = camera.recorder._record("ctl")["recording"]
    stopped(camera)
    camera.ticks(8)
    assert camera.recorder._record("ctl")["recording"] == name
    camera.ticks(40)
    assert camera.is_(State.RECORDING)


@pytest.mark.parametrize("how", ["dock", "shutdown", "lens"])
def test_what_ends_a_recording_otherwise_waits_for_nothing(camera: Camera, how: str) -> None:
    camera.recorder._record("ctl")
    stopped(camera)
    if how == "dock":
        camera.recorder._dock(True)
    elif how == "shutdown":
        camera.recorder._stop("shutdown")
    else:
        camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
        camera.ticks(40)
    assert not camera.is_(State.RECORDING)
    assert len(camera.said("record.start")) == 1, "one that was stopped does not go on by itself"
