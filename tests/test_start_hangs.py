"""A disk that does not answer while the recorder starts: shown, with an alarm, unless each piece of it gets on; and a
press meanwhile is done, by the life after this one where this one ends first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent import headway
from agent.controls.base import Line
from agent.controls.patterns import Cue
from agent.controls.presses import MAX_PRESSES, LetGo, Press, Presses
from agent.controls.vigil import START_NS
from agent.events import Actor
from agent.model import NS
from agent.station.layout import AgencyPaths
from agent.status import State
from agent.vault import Vault
from tests.camera_kit import FakeClock
from tests.recorder_desk import Camera
from tests.test_officer import officer
from tests.test_officer_waiting import last_cue

LOOK_NS, HANGS_S = NS // 10, 60


class Killed(BaseException):
    pass


class Hanging:
    """A camera whose disk answers nothing for a minute of its start; the button goes down after a second."""

    def __init__(self, agency: AgencyPaths, root: Path, patch: pytest.MonkeyPatch, clock: FakeClock) -> None:
        self.camera = Camera(agency, root, patch, clock=clock)
        self.pressed_ns = self.alarm_ns = 0

    def start(self, patch: pytest.MonkeyPatch, each: Callable[[float], object]) -> None:
        def hangs(*arguments: object) -> Vault:
            begun_ns = self.camera.clock.now_ns
            for number in range(HANGS_S * NS // LOOK_NS):
                self.camera.clock.now_ns = begun_ns + number * LOOK_NS
                self._look(number)
                each(number * LOOK_NS / NS)
            return Vault(*arguments)

        with patch.context() as once:
            once.setattr("agent.recorder.Vault", hangs)
            self.begun_ns = self.camera.clock.now_ns
            self.camera.start()

    def _look(self, number: int) -> None:
        now_ns = self.camera.clock.now_ns
        if number in (10, 12):
            self.pressed_ns = self.pressed_ns or now_ns
            self.camera.panel.pull(Line.BUTTON, number == 10, now_ns)
        self.camera.recorder.officer.step()
        if officer(self.camera)["alarm"]:
            self.alarm_ns = self.alarm_ns or now_ns


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def hanging(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> Hanging:
    return Hanging(agency, tmp_path, monkeypatch, clock)


def test_a_disk_that_hangs_at_the_start_is_a_fault_with_an_alarm(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = hanging.camera

    def each(since_s: float) -> None:
        told = camera.recorder.status()
        assert told["state"] == officer(camera)["state"] == ("fault" if hanging.alarm_ns else "starting")
        if since_s > 2:
            assert last_cue(camera) is Cue.LATER and "begins by itself" in told["words"][0]

    hanging.start(monkeypatch, each)
    assert START_NS < hanging.alarm_ns - hanging.begun_ns < START_NS + 2 * LOOK_NS
    camera.turns(2)
    assert camera.is_(State.RECORDING) and not officer(camera)["alarm"] and not camera.faults()
    (start,) = camera.said("record.start")
    assert (start["mono_ns"], start["trigger"], start["actor"]) == (hanging.pressed_ns, "button", "officer")
    (fault,) = camera.said("fault")
    assert fault["what"] == "loop" and abs(fault["mono_ns"] - hanging.alarm_ns) < LOOK_NS
    camera.recorder.close()


def test_a_recovery_that_gets_on_is_none_however_long_it_takes(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging.start(monkeypatch, lambda since_s: since_s % 1.5 or headway.gone_on())
    assert not hanging.alarm_ns
    hanging.camera.turns(2)
    assert hanging.camera.is_(State.RECORDING) and not hanging.camera.said("fault")
    hanging.camera.recorder.close()


def killed(camera: Camera) -> None:
    assert camera.recorder._control and camera.recorder._lock
    camera.recorder._control.stop()
    camera.recorder._lock.release()


@pytest.mark.parametrize("lives", [1, 2])
def test_a_press_whose_recorder_is_killed_in_its_start_is_done_by_the_next(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: FakeClock, lives: int
) -> None:
    """Or by the one after that."""

    def kill(since_s: float) -> None:
        if since_s > 30:
            raise Killed

    pressed_ns = 0
    for _ in range(lives):
        hanging = Hanging(agency, tmp_path, monkeypatch, clock)
        with pytest.raises(Killed):
            hanging.start(monkeypatch, kill)
        killed(hanging.camera)
        pressed_ns = pressed_ns or hanging.pressed_ns
    camera = Camera(agency, tmp_path, monkeypatch, clock=clock).start()
    camera.turns(2)
    assert camera.is_(State.RECORDING)
    (start,) = camera.said("record.start")
    assert (start["mono_ns"], start["trigger"], start["actor"]) == (pressed_ns, "button", "officer")
    (fault,) = camera.said("fault")
    assert fault["what"] == "restart" and "before a press had its turn" in fault["detail"]
    assert not list(tmp_path.rglob("presses"))
    camera.recorder.close()


def press_unheard(camera: Camera) -> None:
    """The loop has no turn."""
    for down in (True, False):
        camera.panel.pull(Line.BUTTON, down, camera.clock.now_ns)
        for _ in range(10):
            camera.clock.now_ns += NS // 50
            camera.recorder.officer.step()
    assert camera.recorder.officer.busy


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> Camera:
    made = Camera(agency, tmp_path, monkeypatch, clock=clock).start()
    made.turns(1)
    return made


def test_a_press_of_a_sleeping_camera_whose_loop_hung_until_it_was_killed_wakes_the_next(
    camera: Camera, agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.recorder.sleep(Actor.CTL)
    press_unheard(camera)
    camera.drop(power=False)
    camera = Camera(agency, tmp_path, monkeypatch, clock=camera.clock).start()
    camera.turns(2)
    assert camera.is_(State.RECORDING)
    camera.recorder.close()


def unheard(camera: Camera, line: Line, down: bool, seconds: float) -> None:
    """A line that changes, and the loop has no turn."""
    camera.panel.pull(line, down, camera.clock.now_ns)
    for _ in range(round(seconds * 20)):
        camera.clock.now_ns += NS // 20
        camera.recorder.officer.step()


def hold_unheard(camera: Camera) -> None:
    unheard(camera, Line.BUTTON, True, 1.8)
    unheard(camera, Line.BUTTON, False, 0.5)


def dock_unheard(camera: Camera) -> None:
    unheard(camera, Line.DOCK, True, 1)


@pytest.mark.parametrize(
    ("end", "docked", "reason", "actor"),
    [
        (hold_unheard, False, "button: hold", "officer"),
        (dock_unheard, True, "docked", "dock"),
        (dock_unheard, False, "docked", "dock"),
        (lambda _: None, True, "docked", "dock"),
    ],
    ids=["stopped", "docked", "docked and taken out", "docked meanwhile"],
)
def test_a_press_that_was_taken_back_before_the_recorder_was_killed_is_not_done_by_the_next(
    camera: Camera,
    agency: AgencyPaths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[Camera], None],
    docked: bool,
    reason: str,
    actor: str,
) -> None:
    press_unheard(camera)
    end(camera)
    camera.drop(power=False)
    camera = Camera(agency, tmp_path, monkeypatch, clock=camera.clock)
    camera.panel.pull(Line.DOCK, docked, camera.clock.now_ns)
    camera.start().turns(2)
    assert camera.is_(State.DOCKED if docked else State.READY) and not camera.said("record.start")
    (told,) = camera.said("record.forgone")
    assert (told["reason"], told["actor"], told["trigger"]) == (reason, actor, "button")
    assert not list(tmp_path.rglob("presses"))
    camera.recorder.close()


def test_a_press_in_the_dock_is_done_there_by_the_next(
    camera: Camera, agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unheard(camera, Line.DOCK, True, 1)
    camera.turns(1)
    press_unheard(camera)
    camera.drop(power=False)
    camera = Camera(agency, tmp_path, monkeypatch, clock=camera.clock)
    camera.panel.pull(Line.DOCK, True, camera.clock.now_ns)
    camera.start().turns(2)
    assert camera.is_(State.RECORDING) and not camera.said("record.forgone")
    camera.recorder.close()


def test_a_press_that_was_taken_back_is_done_all_the_same_where_its_turn_comes(camera: Camera, tmp_path: Path) -> None:
    """What was in the ring is kept."""
    press_unheard(camera)
    hold_unheard(camera)
    camera.turns(2)
    assert len(camera.said("record.start")) == len(camera.said("record.stop")) == 1
    assert not camera.said("record.forgone") and not list(tmp_path.rglob("presses"))
    camera.recorder.close()


def test_a_press_that_had_no_turn_when_the_recorder_was_asked_to_end_is_in_the_log(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    press_unheard(camera)
    said = list[object]()
    say = camera.recorder._journal.say
    monkeypatch.setattr(camera.recorder._journal, "say", lambda *event: said.append(event[0]) or say(*event))
    camera.recorder.close()
    (forgone,) = [event for event in said if type(event).__name__ == "RecordForgone"]
    assert (getattr(forgone, "reason", ""), getattr(forgone, "trigger", "")) == ("shutdown", "button")


def test_what_is_kept_of_a_press_ends_with_its_turn_and_with_the_boot(tmp_path: Path) -> None:
    one, two = Press("button", Actor.OFFICER, 1), Press("holster", Actor.RECORDER, 2)
    presses = Presses(tmp_path, "B")
    presses.keep(one)
    presses.keep(two)
    assert Presses(tmp_path, "B").left == (one, two) and not Presses(tmp_path, "C").left
    presses.let_go(LetGo("docked", Actor.DOCK, 3), spare=[two])
    assert Presses(tmp_path, "B").forgone == (replace(one, ends=(LetGo("docked", Actor.DOCK, 3),)),)
    assert Presses(tmp_path, "B").left == (two,)
    presses.done(1)
    assert Presses(tmp_path, "B").left == (two,)
    assert presses.forget() == (two,) and not list(tmp_path.iterdir())
    for number in range(2 * MAX_PRESSES):
        presses.keep(Press("\N{POLICE CAR}" * 1000, Actor.OFFICER, number))
    assert len(Presses(tmp_path, "B").left) == MAX_PRESSES


ODD = (
    b'{"boot":"B","presses":[["button","officer",1,false,["stop"]]]}',
    b'{"boot":"B","presses":[["button","officer",1e999]]}',
    b'{"boot":"B","presses":[["button","officer",1,false,{"a":1}]]}',
    b"[" * 100_000,
)


@pytest.mark.parametrize("said", [b"", b"{}", b"[1]", b"\xff", b'{"boot":"B","presses":[["button","nobody",1]]}', *ODD])
def test_what_cannot_be_read_says_nothing(tmp_path: Path, said: bytes) -> None:
    (tmp_path / "presses").write_bytes(said)
    assert not Presses(tmp_path, "B").left
