"""A recording that somebody ended while the loop hung, until the watchdog killed the recorder: it does not go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.controls.base import Line
from agent.controls.presses import MAX_ENDS, LetGo, Press, Presses, Stopped
from agent.errors import DeviceError, StorageError
from agent.events import Actor
from agent.intake.report import IntakeEventKind
from agent.model import NS
from agent.resume import FAULT
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.camera_kit import FakeClock
from tests.recorder_desk import Camera, DeskIntake
from tests.test_start_hangs import Killed, dock_unheard, hold_unheard, press_unheard, unheard

Make = Callable[..., Camera]


@pytest.fixture
def make(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    clock = FakeClock()
    return lambda **wanted: Camera(agency, tmp_path, monkeypatch, clock=clock, **wanted)


def recording(make: Make, **wanted: Any) -> Camera:
    camera = make(**wanted).start()
    camera.turns(1)
    camera.recorder._record("button")
    camera.turns(1)
    assert camera.is_(State.RECORDING)
    return camera


def dock_for_a_moment(camera: Camera) -> None:
    dock_unheard(camera)
    unheard(camera, Line.DOCK, False, 1)


@pytest.mark.parametrize(
    ("end", "reason", "actor"),
    [(hold_unheard, "button: hold", "officer"), (dock_for_a_moment, "docked", "dock")],
    ids=["stopped", "docked and taken out"],
)
def test_what_was_ended_while_the_loop_hung_does_not_go_on(
    make: Make, end: Callable[[Camera], None], reason: str, actor: str, tmp_path: Path
) -> None:
    camera = recording(make)
    cut = camera.recorder.status()["recording"]
    end(camera)
    camera.drop(power=False)
    camera = make().start()
    camera.turns(2)
    assert camera.is_(State.READY) and FAULT not in camera.faults()
    (told,) = camera.said("record.forgone")
    assert (told["reason"], told["actor"], told["trigger"], told["continues"]) == (reason, actor, "continued", cut)
    assert not list(tmp_path.rglob("presses")) and not list(tmp_path.rglob("goes-on"))
    camera.recorder.close()


def test_what_was_ended_while_its_start_was_written_does_not_go_on(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The start leaf comes through; the next write hangs until the kill."""
    camera = make().start()
    camera.turns(1)
    press_unheard(camera)
    loop, start = camera.recorder._loop, camera.vault.start_recording

    def slow(body: Any) -> Any:
        hold_unheard(camera)
        return start(body)

    def killed() -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(camera.vault, "start_recording", slow)
        patch.setattr(camera.recorder._diary, "stand", killed)
        with pytest.raises(Killed):
            while True:
                loop.act(*loop._queue.get_nowait())
    assert camera.recorder._life.recording and camera.recorder.officer.busy
    cut = camera.recorder._life.recording.name
    camera.drop(power=False)
    camera = make().start()
    camera.turns(2)
    assert camera.is_(State.READY) and FAULT not in camera.faults()
    (told,) = camera.said("record.forgone")
    assert (told["reason"], told["trigger"], told["continues"]) == ("button: hold", "continued", cut)
    assert not list(tmp_path.rglob("presses")) and not list(tmp_path.rglob("goes-on"))
    camera.recorder.close()


def broke_off(make: Make) -> tuple[Camera, str | None]:
    camera = recording(make)
    cut = camera.recorder.status()["recording"]
    camera.lens = DeviceError("gone", "")
    camera.tell(IntakeEventKind.CAMERA_LOST, "gone")
    camera.turns(2)
    return camera, cut


def waits(make: Make) -> tuple[Camera, str | None]:
    camera = make()
    camera.lens = DeviceError("gone", "")
    camera.start().turns(1)
    press_unheard(camera)
    camera.turns(1)
    return camera, None


@pytest.mark.parametrize("so", [broke_off, waits])
def test_the_dock_ends_what_waits_also_where_the_recorder_is_killed_first(
    make: Make, so: Callable[[Make], tuple[Camera, str | None]], tmp_path: Path
) -> None:
    camera, cut = so(make)
    assert camera.recorder._life.wanted
    dock_for_a_moment(camera)
    let_go_after_a_kill(camera, make, cut, tmp_path)


def ended_before_it_waits(make: Make, end: Callable[[Camera], None]) -> Camera:
    """A press without a lens has its turn, and waits, only after what ends it was heard; that has none."""
    camera = make()
    camera.lens = DeviceError("gone", "")
    camera.start().turns(1)
    press_unheard(camera)
    end(camera)
    loop = camera.recorder._loop
    while not camera.recorder._life.wanted:
        loop.act(*loop._queue.get_nowait())
    return camera


def test_the_dock_ends_a_press_that_comes_to_wait_after_it(make: Make, tmp_path: Path) -> None:
    let_go_after_a_kill(ended_before_it_waits(make, dock_for_a_moment), make, None, tmp_path)


def test_the_dock_ends_what_begins_of_what_broke_off_in_that_very_turn(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    camera, _ = broke_off(make)
    start = camera.vault.start_recording

    def slow(body: Any) -> Any:
        dock_for_a_moment(camera)
        return start(body)

    camera.lens = None
    with monkeypatch.context() as patch:
        patch.setattr(camera.vault, "start_recording", slow)
        while not camera.recorder._life.recording:
            camera.clock.now_ns += NS // 4
            camera.recorder._loop.act("recorder", camera.recorder._tick)
    let_go_after_a_kill(camera, make, camera.recorder._life.recording.name, tmp_path)


ENDS = [(dock_for_a_moment, "docked", "dock"), (hold_unheard, "button: hold", "officer")]


@pytest.mark.parametrize(("end", "reason", "actor"), ENDS, ids=["dock", "hand"])
@pytest.mark.parametrize("so", [broke_off, waits])
def test_what_has_just_begun_by_itself_is_ended_also_where_the_recorder_is_killed_before_it_has_a_picture(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    so: Callable[[Make], tuple[Camera, str | None]],
    end: Callable[[Camera], None],
    reason: str,
    actor: str,
    tmp_path: Path,
) -> None:
    camera, _ = so(make)

    def hangs(*_: object) -> None:
        end(camera)
        raise Killed

    camera.lens = None
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(DeskIntake, "attach", hangs)
        camera.ticks(40)
    name = camera.recorder.status()["recording"]
    assert name
    let_go_after_a_kill(camera, make, name, tmp_path, (reason, actor))


def test_of_what_the_dock_had_ended_in_its_turn_nothing_is_kept(make: Make, tmp_path: Path) -> None:
    camera, _ = waits(make)
    dock_for_a_moment(camera)
    camera.lens = None
    camera.turns(4)
    assert not camera.said("record.start") and len(camera.said("record.forgone")) == 1
    assert not list(tmp_path.rglob("presses")) and not list(tmp_path.rglob("goes-on"))
    camera.recorder.close()


def let_go_after_a_kill(
    camera: Camera,
    make: Make,
    cut: str | None,
    root: Path,
    by: tuple[str, str] = ("docked", "dock"),
    busy: bool = True,
) -> None:
    """Before its turn: the next life records nothing, and says so. `busy`: a hand or the contact ended it."""
    assert camera.recorder.officer.busy is busy
    camera.drop(power=False)
    camera = make().start()
    camera.turns(3)
    assert camera.is_(State.READY) and FAULT not in camera.faults()
    (told,) = camera.said("record.forgone")
    assert (told["reason"], told["actor"], told.get("continues")) == (*by, cut)
    assert told["trigger"] == ("continued" if cut else "button")
    assert not list(root.rglob("presses")) and not list(root.rglob("goes-on"))
    camera.recorder.close()


def test_who_presses_after_that_records_from_the_press_on(make: Make) -> None:
    camera = recording(make)
    hold_unheard(camera)
    press_unheard(camera)
    camera.drop(power=False)
    camera = make().start()
    assert "before a press had its turn" in camera.faults()[FAULT]
    camera.turns(2)
    assert camera.is_(State.RECORDING)
    assert [body.get("continues") for body in camera.said("record.start")] == [None, None]
    assert len(camera.said("record.forgone")) == 1
    camera.recorder.close()


@pytest.mark.parametrize("after_s", [0, 5])
def test_a_stop_that_had_its_turn_stands_for_no_later_recording(make: Make, after_s: int, tmp_path: Path) -> None:
    camera = recording(make, post_event_s=after_s)
    hold_unheard(camera)
    camera.turns(1)
    assert not list(tmp_path.rglob("presses"))
    press_unheard(camera)
    camera.turns(1)
    later = camera.recorder.status()["recording"]
    camera.drop(power=False)
    camera = make().start()
    camera.turns(2)
    assert camera.said("record.start")[-1]["continues"] == later and not camera.said("record.forgone")
    camera.recorder.close()


def test_a_stop_that_could_not_be_forgotten_ends_nothing_but_what_it_meant(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = recording(make)
    with monkeypatch.context() as patch:
        patch.setattr(Presses, "done", lambda *_: None)
        hold_unheard(camera)
        camera.turns(1)
    later = camera.recorder._record("button")["recording"]
    camera.turns(1)
    camera.drop(power=False)
    camera = make().start()
    camera.turns(2)
    assert camera.said("record.start")[-1]["continues"] == later
    camera.recorder.close()


def test_a_life_that_ends_before_it_could_act_on_it_leaves_it_to_the_next(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = recording(make)
    hold_unheard(camera)
    camera.drop(power=False)

    def refuses(*_: object) -> None:
        raise StorageError("no room", "")

    camera = make()
    with monkeypatch.context() as patch:
        patch.setattr(camera.recorder._resume, "keep", refuses)
        camera.start()
        camera.drop(power=False)
    camera = make().start()
    camera.turns(2)
    assert camera.is_(State.READY)
    camera.recorder.close()


def test_it_is_kept_beside_presses_and_after_them(tmp_path: Path) -> None:
    stop = Stopped("r0000000001-aabbccdd", LetGo("button: hold", Actor.OFFICER, 3))
    presses = Presses(tmp_path, "B")
    presses.stop(stop.what, stop.end)
    assert Presses(tmp_path, "B").stopped == (stop,) and not Presses(tmp_path, "C").stopped
    presses.done(2)
    assert Presses(tmp_path, "B").stopped == (stop,)
    presses.done(3)
    assert not Presses(tmp_path, "B").stopped and not list(tmp_path.iterdir())
    presses.stop(stop.what, stop.end)
    presses.forget()
    assert not list(tmp_path.iterdir())


def test_an_end_goes_with_what_a_press_becomes(tmp_path: Path) -> None:
    """A hand confirms what waits."""
    hand, dock = LetGo("button: hold", Actor.OFFICER, 3), LetGo("docked", Actor.DOCK, 4, waits=True)
    presses = Presses(tmp_path, "B")
    presses.keep(Press("button", Actor.OFFICER, 1))
    presses.let_go(hand)
    presses.became(1, {1}, runs=False)
    assert not Presses(tmp_path, "B").stopped and len(Presses(tmp_path, "B").forgone) == 1
    presses.stop(1, dock)
    assert Presses(tmp_path, "B").stopped == (Stopped(1, dock),)
    presses.became("r0000000001-aabbccdd", {2}, runs=True)
    assert Presses(tmp_path, "B").stopped == (Stopped(1, dock),)
    presses.became("r0000000001-aabbccdd", {1}, runs=True)
    presses.done(1)
    now, name = Presses(tmp_path, "B"), "r0000000001-aabbccdd"
    assert now.stopped == (Stopped(name, hand), Stopped(name, dock)) and not now.forgone
    presses.done(4)
    assert Presses(tmp_path, "B").stopped == (Stopped(name, hand),)
    presses.done(3)
    assert not list(tmp_path.iterdir())


def test_what_two_have_ended_stays_ended_where_one_of_them_takes_that_back(tmp_path: Path) -> None:
    hand, command = LetGo("button: hold", Actor.OFFICER, 3), LetGo("ctl", Actor.CTL, 4, waits=True)
    for first, then in ((hand, command), (command, hand)):
        presses = Presses(tmp_path, "B")
        presses.keep(Press("button", Actor.OFFICER, 1))
        for end in (first, then):
            presses.let_go(end)
            presses.stop("r0000000001-aabbccdd", end)
        presses.done(command.mono_ns)
        now = Presses(tmp_path, "B")
        assert now.stopped == (Stopped("r0000000001-aabbccdd", hand),)
        assert [press.let_go for press in now.forgone] == [hand] and not now.left
        presses.done(hand.mono_ns)
        assert [press.ends for press in Presses(tmp_path, "B").left] == [()]
        presses.forget()
    for number in range(2 * MAX_ENDS):
        presses.stop("r0000000001-aabbccdd", LetGo("ctl", Actor.CTL, number))
    assert len(Presses(tmp_path, "B").stopped) == MAX_ENDS


@pytest.mark.parametrize(
    "said",
    [b"[1]", b'[["r"]]', b'[["r",["button","nobody",1]]]', b'[["r",["button","officer",1e999]]]', b'{"r":1}', b"[[]]"],
)
def test_a_stop_that_cannot_be_read_says_nothing_and_keeps_no_press(tmp_path: Path, said: bytes) -> None:
    (tmp_path / "presses").write_bytes(b'{"boot":"B","presses":[["button","officer",1]],"stops":' + said + b"}")
    assert len(Presses(tmp_path, "B").left) == 1 and not Presses(tmp_path, "B").stopped
