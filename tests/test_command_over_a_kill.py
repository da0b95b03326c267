"""A recording that a command ended while the loop hung, until the watchdog killed the recorder: it does not go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.controls.presses import Presses
from agent.errors import DeviceError, UsageError
from agent.events import Actor
from tests.recorder_desk import Camera, DeskIntake
from tests.test_start_hangs import Killed, press_unheard
from tests.test_stop_over_a_kill import (
    Make,
    broke_off,
    dock_for_a_moment,
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
        patch.setattr(Presses, "done", lambda *_: None)
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
    camera = make()
    camera.lens = DeviceError("gone", "")
    camera.start().turns(1)
    press_unheard(camera)
    command_unheard(camera)
    loop = camera.recorder._loop
    while not camera.recorder._life.wanted:
        loop.act(*loop._queue.get_nowait())
    let_go_after_a_kill(camera, make, None, tmp_path, BY_COMMAND, busy=False)


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
