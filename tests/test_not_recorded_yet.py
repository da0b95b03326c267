"""What is wanted and not recorded yet is not shown as recorded: while the first lens opens it is starting, where it
waits it is a fault with an alarm; no hand takes it back, and who else does is in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.capture import choose
from agent.controls.base import Line
from agent.controls.patterns import Cue
from agent.controls.vigil import LIMIT_NS, OPENS_AGAIN_NS
from agent.errors import DeviceError
from agent.events import Actor
from agent.model import NS
from agent.notify import FIRST_OPEN_S
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.camera_kit import FakeClock
from tests.recorder_desk import Camera
from tests.test_officer import officer, press
from tests.test_officer_waiting import last_cue, lose_lens

OPENS_S, LOOK_NS = 15, NS // 10


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    made = Camera(agency, tmp_path, monkeypatch).start()
    made.turns(1)
    yield made
    made.recorder.close()


def opening(camera: Camera, patch: pytest.MonkeyPatch, look: Callable[[float, bool], None]) -> None:
    """Its first lens takes 15 s; meanwhile the panel's thread looks, and `look` hears when, and the second light."""

    def slow(*_: object) -> tuple[None, None]:
        begun_ns = camera.clock.now_ns
        for number in range(1, OPENS_S * NS // LOOK_NS):
            camera.clock.now_ns = begun_ns + number * LOOK_NS
            look(number * LOOK_NS / NS, camera.recorder.officer.step().status)
        return None, None

    patch.setattr(choose, "open_sources", slow)
    camera.start()


def test_what_begins_at_boot_is_starting_while_the_lens_opens(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch, at_boot=True)
    lit = list[bool]()

    def look(_: float, status: bool) -> None:
        told = camera.recorder.status()
        assert told["officer"]["state"] == told["state"] == "starting" and not told["officer"]["alarm"]
        assert told["words"][0] == "Starting: the recording begins by itself as soon as there is a picture"
        lit.append(status)

    opening(camera, monkeypatch, look)
    assert 0.4 < sum(lit) / len(lit) < 0.6, "half of each second"
    camera.turns(2)
    assert camera.is_(State.RECORDING) and not camera.faults()
    camera.recorder.close()


def test_who_presses_while_the_lens_opens_is_told_at_once_that_it_has_to_wait(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch)
    pressed_ns = list[int]()

    def look(since_s: float, _: bool) -> None:
        if since_s in (1.0, 1.2):
            camera.panel.pull(Line.BUTTON, since_s == 1.0, camera.clock.now_ns)
            pressed_ns.append(camera.clock.now_ns)
        told = camera.recorder.status()
        assert told["officer"]["state"] == "starting" and not told["officer"]["alarm"]
        if since_s > 2:
            assert last_cue(camera) is Cue.LATER and told["words"][0].endswith("as soon as there is a picture")

    opening(camera, monkeypatch, look)
    camera.turns(2)
    assert camera.is_(State.RECORDING) and officer(camera)["state"] == "recording"
    assert camera.said("record.start")[0]["mono_ns"] == pressed_ns[0]
    camera.recorder.close()


def test_a_press_that_waits_for_a_loop_that_hangs_is_not_called_a_recording(camera: Camera) -> None:
    camera.recorder._loop.busy_ns = camera.clock.now_ns
    begun_ns = camera.clock.now_ns
    for number in range(30):
        camera.clock.now_ns = begun_ns + number * LOOK_NS
        if number in (5, 6):
            camera.panel.pull(Line.BUTTON, number == 5, camera.clock.now_ns)
        camera.recorder.officer.step()
        told = camera.recorder.status()
        assert not any(word.startswith(("Recording", "The recording")) for word in told["words"])
    assert told["officer"]["state"] == told["state"] == "fault" and told["officer"]["alarm"]
    assert told["officer"]["did"] == "later"
    camera.recorder._loop.busy_ns = None
    camera.turns(2)
    assert camera.is_(State.RECORDING) and officer(camera)["did"] == "record"


def hanging_in(
    camera: Camera, patch: pytest.MonkeyPatch, opens_s: float, look_ns: int = LOOK_NS
) -> tuple[list[float], set[str]]:
    """The next lens takes so long. When the alarm was on meanwhile, and what the states were called."""
    alarms, states = list[float](), set[str]()

    def slow(*_: object) -> tuple[None, None]:
        begun_ns = camera.clock.now_ns
        for number in range(1, round(opens_s * NS) // look_ns):
            camera.clock.now_ns = begun_ns + number * look_ns
            camera.recorder.officer.step()
            told = camera.recorder.status()
            states.update({told["state"], told["officer"]["state"]})
            if told["officer"]["alarm"]:
                alarms.append(number * look_ns / NS)
        return None, None

    patch.setattr(choose, "open_sources", slow)
    return alarms, states


def wake_by_hand(camera: Camera) -> None:
    press(camera)


def grow_smaller(camera: Camera) -> None:
    lens = camera.recorder._lens
    lens.code(replace(lens.video, width=160, height=120))
    camera.turns(1)


@pytest.mark.parametrize("reopen", [wake_by_hand, grow_smaller])
def test_it_is_starting_while_a_lens_is_opened_again_on_purpose(
    camera: Camera, monkeypatch: pytest.MonkeyPatch, reopen: Callable[[Camera], None]
) -> None:
    if reopen is wake_by_hand:
        camera.recorder.sleep(Actor.CTL)
        camera.turns(3)
    else:
        press(camera)
        camera.turns(1)
    alarms, states = hanging_in(camera, monkeypatch, 4.5)
    reopen(camera)
    assert states == {"starting"} and not alarms
    camera.turns(1)
    assert camera.is_(State.RECORDING) and not officer(camera)["alarm"] and not camera.said("fault")


def test_a_lens_that_hangs_as_a_press_wakes_it_is_a_fault_with_an_alarm(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.recorder.sleep(Actor.CTL)
    camera.turns(3)
    alarms, states = hanging_in(camera, monkeypatch, 9)
    press(camera)
    limit_ns = OPENS_AGAIN_NS + LIMIT_NS
    assert alarms and limit_ns < alarms[0] * NS <= limit_ns + 4 * LOOK_NS and "fault" in states


SLOW_LOOK_NS = NS // 2


@pytest.mark.parametrize("at_boot", [False, True])
def test_a_first_lens_is_starting_for_as_long_as_the_watchdog_waits_for_it(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_boot: bool
) -> None:
    """It is opened in the start itself."""
    camera = Camera(agency, tmp_path, monkeypatch, at_boot=at_boot)
    alarms, states = hanging_in(camera, monkeypatch, FIRST_OPEN_S - 1, SLOW_LOOK_NS)
    camera.start().turns(1)
    assert states == {"starting"} and not alarms and not camera.said("fault")
    camera.recorder.close()


def test_so_is_the_first_lens_after_a_kill_with_what_broke_off_waiting_for_it(
    camera: Camera, agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    press(camera)
    camera.drop(power=False)
    again = Camera(agency, tmp_path, monkeypatch, clock=camera.clock)
    alarms, states = hanging_in(again, monkeypatch, FIRST_OPEN_S - 1, SLOW_LOOK_NS)
    again.start()
    assert states == {"starting"} and not alarms
    again.turns(1)
    assert again.is_(State.RECORDING) and again.said("record.start")[-1]["trigger"] == "continued"
    again.recorder.close()


def test_a_first_lens_that_hangs_for_longer_is_a_fault_with_an_alarm(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch)
    alarms, states = hanging_in(camera, monkeypatch, FIRST_OPEN_S + 3, SLOW_LOOK_NS)
    camera.start()
    assert alarms and FIRST_OPEN_S <= alarms[0] <= FIRST_OPEN_S + 1 and "fault" in states
    camera.recorder.close()


@pytest.mark.parametrize("wakes", [True, False])
def test_a_camera_that_slept_since_its_start_may_load_its_lens_but_has_to_begin_with_it(
    camera: Camera, agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wakes: bool
) -> None:
    camera.recorder.sleep(Actor.CTL)
    camera.drop(power=False)
    camera = Camera(agency, tmp_path, monkeypatch, clock=camera.clock).start()
    camera.turns(1)
    assert camera.is_(State.SLEEPING)
    alarms, states = hanging_in(camera, monkeypatch, FIRST_OPEN_S - 1, SLOW_LOOK_NS)
    if wakes:
        with camera.recorder._loop.busy():
            press(camera)
        assert states == {"starting"} and not alarms
    else:
        begun_ns = camera.clock.now_ns
        for number in range(25):
            camera.clock.now_ns = begun_ns + number * LOOK_NS
            if number < 2:
                camera.panel.pull(Line.BUTTON, number == 0, camera.clock.now_ns)
            camera.recorder.officer.step()
        assert officer(camera)["alarm"]
    camera.recorder.close()


def waiting(agency: AgencyPaths, root: Path, patch: pytest.MonkeyPatch) -> Camera:
    """Killed while it recorded, so often that it waits four seconds."""
    clock = FakeClock()
    for _ in range(3):
        camera = Camera(agency, root, patch, clock=clock, pre_event_s=30).start()
        camera.turns(2.5)
        if not camera.recorder._life.recording:
            press(camera)
        camera.drop(power=False)
    return Camera(agency, root, patch, clock=clock, pre_event_s=30).start()


def test_what_waits_after_a_restart_is_a_fault_with_an_alarm_within_two_seconds(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = waiting(agency, tmp_path, monkeypatch)
    begun_ns = camera.clock.now_ns
    camera.turns(0.5)
    told = camera.recorder.status()
    assert told["recording"] is None and told["state"] == told["officer"]["state"] == "fault"
    assert told["words"][0] == "Fault: nothing is being recorded; it begins by itself as soon as it can"
    camera.turns(10, lambda: bool(officer(camera)["alarm"]))
    assert camera.clock.now_ns - begun_ns <= 2 * NS and "waiting" in officer(camera)["troubles"]
    camera.turns(10, lambda: camera.is_(State.RECORDING))
    camera.turns(1.5)
    assert not officer(camera)["alarm"] and officer(camera)["durable"] and "waiting" not in camera.faults()
    assert [body["what"] for body in camera.said("fault")][-2:] == ["restart", "waiting"]
    account = camera.said("state")[-1]
    assert account["state"] == "fault" and account["reason"].endswith("broke off, and is to go on by itself")
    camera.recorder.close()


@pytest.mark.parametrize("ms", [100, 2_000])
def test_a_hand_in_that_wait_has_it_record_at_once(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ms: int
) -> None:
    camera = waiting(agency, tmp_path, monkeypatch)
    camera.turns(0.5)
    press(camera, ms)
    assert camera.is_(State.RECORDING) and camera.said("record.start")[-1]["continues"]
    assert not camera.said("record.forgone")
    camera.recorder.close()


def stop(camera: Camera) -> None:
    camera.recorder._stop_later("enough", Actor.CTL)


def dock(camera: Camera) -> None:
    camera.recorder._dock(True)


def shut_down(camera: Camera) -> None:
    bodies = list[dict[str, Any]]()
    close = camera.vault.close

    def read_first(clean: bool) -> None:
        bodies.extend(camera.bodies())
        close(clean)

    camera.vault.close = read_first
    camera.recorder.close()
    camera.bodies = lambda: bodies  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("end", "reason", "actor"), [(stop, "enough", "ctl"), (dock, "docked", "dock"), (shut_down, "shutdown", "recorder")]
)
@pytest.mark.parametrize("begun", [False, True])
def test_who_lets_go_of_what_waits_is_in_the_log(
    camera: Camera, end: Callable[[Camera], None], reason: str, actor: str, begun: bool
) -> None:
    if begun:
        press(camera)
    lose_lens(camera)
    if not begun:
        press(camera)
    since_ns = camera.clock.now_ns
    end(camera)
    assert camera.recorder._life.wanted is None
    (told,) = camera.said("record.forgone")
    assert (told["reason"], told["actor"]) == (reason, actor)
    assert since_ns <= told["mono_ns"] <= camera.clock.now_ns
    assert told["trigger"] == ("continued" if begun else "button")
    assert told.get("continues") == (camera.recorder._life.recordings[0] if begun else None)


def test_a_hold_right_behind_a_press_that_could_not_record_takes_nothing_back(camera: Camera) -> None:
    """Both wait for a turn of the loop, in which the lens is gone."""
    begun_ns = camera.clock.now_ns
    for at_ms, down in ((0, True), (100, False), (1_000, True), (3_000, False)):
        camera.clock.now_ns = begun_ns + at_ms * NS // 1000
        camera.panel.pull(Line.BUTTON, down, camera.clock.now_ns)
        for _ in range(20):
            camera.clock.now_ns += NS // 50
            camera.recorder.officer.step()
    assert camera.recorder.officer.busy and not camera.recorder._life.wanted
    camera.recorder._lens.close()
    camera.lens = DeviceError("no lens", "plug it in")
    camera.recorder._life.camera_lost = True
    camera.turns(1)
    assert camera.recorder.status()["wanted"] == "button"
    assert last_cue(camera) is Cue.LATER and not camera.said("record.forgone")


def test_a_press_that_cannot_wake_it_is_answered_by_an_alarm(camera: Camera) -> None:
    camera.recorder.sleep(Actor.CTL)
    camera.turns(3)
    assert officer(camera)["state"] == "sleeping"
    begun_ns = camera.clock.now_ns
    for number in range(25):
        camera.clock.now_ns = begun_ns + number * LOOK_NS
        if number < 2:
            camera.panel.pull(Line.BUTTON, number == 0, camera.clock.now_ns)
        camera.recorder.officer.step()
    assert officer(camera)["alarm"] and officer(camera)["state"] == "fault"
    camera.turns(2)
    assert camera.is_(State.RECORDING) and not officer(camera)["alarm"]
