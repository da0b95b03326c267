"""A recording that a command ended while the loop hung, until the watchdog killed the recorder: it does not go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import loop as loops
from agent.errors import DeviceError, UnheardError, UsageError
from agent.events import Actor
from agent.model import NS
from agent.status import State
from tests.recorder_desk import Camera, DeskIntake
from tests.test_start_hangs import Killed, hold_unheard, press_unheard
from tests.test_stop_over_a_kill import (
    Make,
    broke_off,
    dock_for_a_moment,
    ended_before_it_waits,
    let_go_after_a_kill,
    make,
    recording,
    waits,
)

__all__ = ["make"]

BY_COMMAND = ("ctl", "ctl")


def command_unheard(camera: Camera, command: str = "stop") -> None:
    """Whoever gave it waits for its turn, until the kill."""

    def waits_on(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(camera.recorder._loop, "ask", waits_on)
        camera.recorder._answer({"do": command})


@pytest.mark.parametrize(("command", "by"), [("stop", BY_COMMAND), ("dock", ("docked", "dock"))])
def test_what_a_command_ended_while_the_loop_hung_does_not_go_on(
    make: Make, command: str, by: tuple[str, str], tmp_path: Path
) -> None:
    camera = recording(make)
    command_unheard(camera, command)
    let_go_after_a_kill(camera, make, camera.recorder.status()["recording"], tmp_path, by, busy=False)


@pytest.mark.parametrize("so", [broke_off, waits])
def test_a_command_ends_what_waits_also_where_the_recorder_is_killed_first(
    make: Make, so: Callable[[Make], tuple[Camera, str | None]], tmp_path: Path
) -> None:
    camera, cut = so(make)
    command_unheard(camera)
    let_go_after_a_kill(camera, make, cut, tmp_path, BY_COMMAND, busy=False)


def test_a_command_ends_a_press_that_comes_to_wait_after_it(make: Make, tmp_path: Path) -> None:
    let_go_after_a_kill(ended_before_it_waits(make, command_unheard), make, None, tmp_path, BY_COMMAND, busy=False)


@pytest.mark.parametrize(
    ("end", "by"), [(dock_for_a_moment, ("docked", "dock")), (command_unheard, BY_COMMAND)], ids=["dock", "command"]
)
def test_what_a_command_records_is_ended_also_while_its_start_is_written(
    make: Make, monkeypatch: pytest.MonkeyPatch, end: Callable[[Camera], None], by: tuple[str, str], tmp_path: Path
) -> None:
    camera = make().start()
    camera.turns(1)
    start = camera.vault.start_recording

    def slow(body: Any) -> Any:
        end(camera)
        return start(body)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(camera.vault, "start_recording", slow)
        patch.setattr(DeskIntake, "attach", killed)
        camera.recorder._record("ctl", Actor.CTL)
    let_go_after_a_kill(camera, make, camera.recorder.status()["recording"], tmp_path, by, busy=by != BY_COMMAND)


def test_of_a_command_that_had_its_turn_nothing_is_kept(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    camera = recording(make)
    kept = list[Path]()

    def turn(_: str, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        kept.extend(tmp_path.rglob("presses"))
        return action()

    monkeypatch.setattr(camera.recorder._loop, "ask", turn)
    assert camera.recorder._answer({"do": "stop"})["whole"]
    assert kept and not list(tmp_path.rglob("presses")) and not list(tmp_path.rglob("goes-on"))
    with pytest.raises(UsageError, match="nothing is being recorded"):
        camera.recorder._answer({"do": "stop"})
    assert not list(tmp_path.rglob("presses"))
    camera.recorder.close()


# -- one that nobody does ------------------------------------------------------------------------------------------


def command_cancelled(camera: Camera) -> None:
    """Its turn does not come in time, and whoever gave it is told so."""
    camera.clock.now_ns += NS
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UnheardError, match="cancelled"):
        patch.setattr(loops, "ANSWER_S", 0.0)
        camera.recorder._answer({"do": "stop"})


def goes_on_after_a_kill(camera: Camera, make: Make, root: Path) -> None:
    """Nobody had ended it."""
    name = camera.recorder.status()["recording"]
    assert name and not list(root.rglob("presses"))
    camera.drop(power=False)
    camera = make().start()
    camera.turns(2)
    assert camera.said("record.start")[-1]["continues"] == name and not camera.said("record.forgone")
    camera.recorder.close()


def test_a_cancelled_stop_ends_nothing_that_a_press_before_it_comes_to(make: Make, tmp_path: Path) -> None:
    camera = make().start()
    camera.turns(1)
    press_unheard(camera)
    command_cancelled(camera)
    camera.turns(2)
    assert camera.is_(State.RECORDING)
    goes_on_after_a_kill(camera, make, tmp_path)


def test_a_press_that_a_cancelled_stop_was_to_end_is_done_by_the_next_life(make: Make) -> None:
    camera = make().start()
    camera.turns(1)
    press_unheard(camera)
    command_cancelled(camera)
    camera.drop(power=False)
    camera = make().start()
    camera.turns(2)
    assert camera.is_(State.RECORDING) and not camera.said("record.forgone")
    camera.recorder.close()


def test_a_cancelled_stop_does_not_take_back_what_a_hand_had_ended(make: Make, tmp_path: Path) -> None:
    camera = recording(make)
    cut = camera.recorder.status()["recording"]
    hold_unheard(camera)
    command_cancelled(camera)
    let_go_after_a_kill(camera, make, cut, tmp_path, ("button: hold", "officer"))


def test_a_press_that_comes_to_its_turn_after_a_stop_that_came_later_is_ended_by_nobody(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The stop comes between the press' note and its place in the loop's queue."""
    camera = make().start()
    camera.turns(1)
    officer, order = camera.recorder.officer, camera.recorder.officer._order

    def stop_first(what: str, action: Callable[[], object]) -> None:
        camera.clock.now_ns += 1
        with monkeypatch.context() as patch, pytest.raises(UsageError, match="nothing is being recorded"):
            patch.setattr(camera.recorder._loop, "ask", lambda _, turn: turn())
            camera.recorder._answer({"do": "stop"})
        order(what, action)

    with monkeypatch.context() as patch:
        patch.setattr(officer, "_order", stop_first)
        press_unheard(camera)
    camera.turns(2)
    assert camera.is_(State.RECORDING)
    goes_on_after_a_kill(camera, make, tmp_path)


def test_a_stop_that_is_still_being_done_when_whoever_gave_it_waits_no_longer_is_kept(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    camera = recording(make)
    begun, go_on, stop = threading.Event(), threading.Event(), camera.recorder._takes.stop_later

    def slow(*told: Any) -> dict[str, Any]:
        begun.set()
        assert go_on.wait(30)
        return stop(*told)

    turns = list[threading.Thread]()

    def at_once(_: str, action: Callable[[], object]) -> None:
        turns.append(threading.Thread(target=action))
        turns[0].start()
        assert begun.wait(30)

    with monkeypatch.context() as patch, pytest.raises(DeviceError, match=r"not done after .*goes on with it"):
        patch.setattr(loops, "ANSWER_S", 0.0)
        patch.setattr(camera.recorder._loop, "post", at_once)
        patch.setattr(camera.recorder._takes, "stop_later", slow)
        camera.recorder._answer({"do": "stop"})
    assert list(tmp_path.rglob("presses"))
    go_on.set()
    turns[0].join(30)
    assert not list(tmp_path.rglob("presses")) and not camera.recorder._life.recording
    camera.recorder.close()
