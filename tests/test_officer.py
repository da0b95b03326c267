"""The officer's side of a recorder on a desk: a hand on the button, and what light, vibration and log say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli import agent_main
from agent.configcontrols import GesturesConfig, PanelConfig, SignalsConfig
from agent.controls.base import Line
from agent.controls.kept import KeptFlag
from agent.controls.patterns import Delivery, Levels
from agent.errors import DeviceError, StorageError, UsageError
from agent.events import Actor
from agent.formats import age
from agent.formats import leaf as leaves
from agent.intake.report import IntakeEventKind
from agent.loop import TICK_S
from agent.model import NS, SegmentState
from agent.officer import Officer
from agent.sealing.closing import Closing
from agent.sealing.writer import SegmentWriter
from agent.spool.store import Spool
from agent.station.layout import AgencyPaths
from agent.status import State, delivery
from agent.upkeep import PROBE_NS
from agent.words import Words
from tests.camera_kit import FakeClock, read
from tests.recorder_desk import Camera
from tests.recorder_kit import RecorderProcess, make_config

MS = 1_000_000


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    made = Camera(agency, tmp_path, monkeypatch).start()
    yield made
    made.recorder.close()
    assert made.panel.levels == Levels()


def press(camera: Camera, ms: int = 100) -> int:
    """The instant at which the button went down."""
    begin = camera.clock.now_ns
    camera.panel.pull(Line.BUTTON, True, begin)
    camera.turns(ms / 1000)
    camera.panel.pull(Line.BUTTON, False, camera.clock.now_ns)
    camera.turns(1)
    return begin


def officer(camera: Camera) -> dict[str, Any]:
    return dict(camera.recorder.status()["officer"])


def test_one_press_records_from_its_instant_and_the_light_says_when_parts_are_durable(camera: Camera) -> None:
    camera.turns(1)
    assert not camera.panel.levels.light
    begin = press(camera)
    assert camera.is_(State.RECORDING)
    camera.turns(1)
    assert camera.panel.levels.light and officer(camera)["durable"]
    (start,) = camera.said("record.start")
    assert (start["trigger"], start["actor"], start["mono_ns"]) == ("button", "officer", begin)


def test_a_press_marks_a_hold_stops_and_the_log_says_who(camera: Camera) -> None:
    press(camera)
    marked = press(camera)
    press(camera, 2_000)
    assert camera.is_(State.READY) and not camera.panel.levels.light
    (mark,), (stop,) = camera.said("mark"), camera.said("record.stop")
    assert (mark["actor"], mark["mono_ns"]) == ("officer", marked)
    assert (stop["actor"], stop["reason"]) == ("officer", "button: hold")


def test_the_status_says_in_words_what_is_so_and_for_a_while_what_a_hand_did(camera: Camera) -> None:
    camera.turns(1)
    assert camera.recorder.status()["words"][0] == "Ready: a press records"
    press(camera)
    camera.turns(1)
    press(camera)
    assert officer(camera)["did"] == "mark"
    assert camera.recorder.status()["words"][:2] == ["Recording", "This moment is marked."]
    camera.turns(6)
    assert officer(camera)["did"] is None
    assert "This moment is marked." not in camera.recorder.status()["words"]


def test_what_a_command_did_takes_the_place_of_what_a_hand_did_before(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = camera.recorder
    monkeypatch.setattr(recorder._loop, "ask", lambda what, action: action())
    camera.turns(1)
    press(camera)
    for command, words in (("stop", "The recording stops."), ("sleep", "The camera goes to sleep.")):
        recorder._answer({"do": command})
        camera.turns(0.5)
        assert recorder.status()["words"][1] == words, command
    recorder._answer({"do": "retain"})
    assert officer(camera)["did"] == "sleep", "that is no deed"


def test_a_command_that_changes_nothing_is_no_deed_and_another_reason_to_record_is_a_mark(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera.recorder._loop, "ask", lambda what, action: action())

    def did(command: str, **more: str) -> str | None:
        camera.turns(6)
        assert officer(camera)["did"] is None
        camera.recorder._answer({"do": command, **more})
        told: str | None = officer(camera)["did"]
        return told

    assert (did("wake"), did("record"), did("wake"), did("record")) == (None, "record", None, None)
    assert did("record", trigger="holster") == "mark"
    assert [body["text"] for body in camera.said("mark")] == ["holster"]
    assert (did("unmute"), did("mute"), did("mute"), did("unmute")) == (None, "mute", None, "unmute")
    assert (did("stop"), did("sleep"), did("sleep"), did("wake")) == ("stop", "sleep", None, "wake")
    assert (did("undock"), did("dock"), did("dock")) == (None, "dock", None)
    assert (did("record"), did("dock"), did("undock")) == ("record", "stop", "undock")


def test_a_press_while_nothing_can_be_recorded_yet_is_done_as_soon_as_it_can(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came when the recorder had not even begun to start."""
    camera = Camera(agency, tmp_path, monkeypatch)
    camera.lens = DeviceError("no lens", "plug it in")
    camera.panel.pull(Line.BUTTON, True, begin := camera.clock.now_ns - 3 * NS)
    camera.panel.pull(Line.BUTTON, False, begin + 80 * MS)
    camera.recorder.officer.step()
    camera.start()
    camera.turns(1)
    assert not camera.is_(State.RECORDING)
    camera.lens = None
    camera.turns(4)
    assert camera.is_(State.RECORDING)
    (start,) = camera.said("record.start")
    assert (start["trigger"], start["actor"], start["mono_ns"]) == ("button", "officer", begin)
    camera.recorder.close()


def test_the_guard_has_patience_until_the_lens_was_open_for_the_first_time(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries are loaded by then, also where the first try found no lens."""
    camera = Camera(agency, tmp_path, monkeypatch)
    camera.lens = DeviceError("no lens", "plug it in")
    assert camera.recorder.officer.step().loading
    camera.start()
    camera.turns(1)
    assert camera.panel.levels.loading
    camera.lens = None
    camera.turns(4)
    assert camera.recorder.state is State.READY and not camera.panel.levels.loading
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "it was pulled off")
    camera.turns(4)
    assert not camera.panel.levels.loading
    camera.recorder.close()


def test_a_stuck_button_is_a_fault_no_recording_and_over_when_it_is_free(camera: Camera) -> None:
    begin = camera.clock.now_ns
    camera.panel.pull(Line.BUTTON, True, begin)
    camera.turns(21)
    assert "button" in camera.faults() and not camera.is_(State.RECORDING)
    assert officer(camera)["state"] == "fault"
    camera.panel.pull(Line.BUTTON, False, camera.clock.now_ns)
    camera.turns(1)
    assert "button" not in camera.faults() and not camera.is_(State.RECORDING)
    press(camera)
    assert camera.is_(State.RECORDING)
    (fault,) = [b for b in camera.said("fault") if b["what"] == "button"]
    assert 20 * NS <= fault["mono_ns"] - begin <= 20.3 * NS


def test_an_edge_that_was_lost_is_made_up_for(camera: Camera) -> None:
    camera.panel.pull(Line.BUTTON, True, camera.clock.now_ns)
    camera.turns(0.5)
    camera.panel.pull(Line.BUTTON, False, camera.clock.now_ns)
    camera.panel.take()
    camera.turns(1)
    assert camera.is_(State.RECORDING)


def test_a_sleeping_camera_records_at_one_press(camera: Camera) -> None:
    camera.recorder._loop.act("sleep", lambda: camera.recorder.sleep(Actor.CTL))
    camera.turns(1)
    assert officer(camera)["state"] == "sleeping"
    begin = press(camera)
    assert camera.is_(State.RECORDING)
    assert camera.said("record.start")[0]["mono_ns"] == begin
    assert [b["type"] for b in camera.bodies() if b["type"] in ("sleep", "wake", "record.start")] == [
        "sleep",
        "wake",
        "record.start",
    ]


def test_the_dock_contact_docks_ends_the_recording_and_tells_the_uploader(camera: Camera) -> None:
    press(camera)
    camera.panel.pull(Line.DOCK, True, camera.clock.now_ns)
    camera.turns(1.5)
    assert camera.is_(State.DOCKED)
    assert camera.said("record.stop")[0]["reason"] == "docked"
    note = (camera.vault.spool.root / "outbox" / "dock.json").read_text()
    camera.panel.pull(Line.DOCK, False, camera.clock.now_ns)
    camera.turns(1.5)
    assert camera.is_(State.READY)
    assert (camera.vault.spool.root / "outbox" / "dock.json").read_text() != note
    assert [b["state"] for b in camera.said("dock")] == ["docked", "undocked"]


def test_a_press_while_the_contact_of_the_dock_still_rattles_is_one_in_the_dock(camera: Camera) -> None:
    """As it is where nobody looked in between (test_first_act.py)."""
    press(camera)
    camera.panel.pull(Line.DOCK, True, camera.clock.now_ns)
    camera.turns(0.1)
    pressed_ns = press(camera)
    assert camera.recorder.status()["docked"] and camera.is_(State.RECORDING)
    assert [b["reason"] for b in camera.said("record.stop")] == ["docked"] and not camera.said("mark")
    assert camera.said("record.start")[-1]["mono_ns"] == pressed_ns


def test_in_the_dock_it_says_when_all_is_handed_over_and_when_somebody_has_to_look(camera: Camera) -> None:
    """By the uploader's word, which the spool has to agree with; nothing of it shows outside of the dock."""
    spool = camera.vault.spool
    progress = spool.inbox_dir / "progress.json"

    def told(**report: str) -> tuple[str | None, bool]:
        progress.write_text(json.dumps(report))
        camera.turns(1)
        lit = [camera.turns(0.1) or camera.panel.levels.status for _ in range(40)]
        return officer(camera)["delivery"], all(lit)

    assert told(state="uploading") == (None, False)
    camera.panel.pull(Line.DOCK, True, camera.clock.now_ns)
    camera.turns(1.5)
    assert camera.is_(State.DOCKED)
    assert told(state="waiting") == ("waiting", False)
    assert told(state="uploading") == told(state="attesting") == ("sending", False)
    waiting = spool.segments(SegmentState.SEALED)
    assert waiting and told(state="delivered") == ("waiting", False)
    for path in waiting:
        path.rename(spool.dir(SegmentState.DELIVERED) / path.name)
    assert told(state="delivered") == ("done", True)
    assert "In the dock: all is handed over, it may be taken" in Words("en").of_status(camera.recorder.status())
    assert told(state="delivered", refused="e0000000000-00000000: no") == ("trouble", False)


@pytest.mark.parametrize("refused", [(Closing, "step"), (SegmentWriter, "append")])
def test_in_the_dock_what_no_disk_lets_be_sealed_is_not_handed_over(
    camera: Camera, monkeypatch: pytest.MonkeyPatch, refused: tuple[type, str]
) -> None:
    """The uploader's word is of the last visit, and it sees nothing of what is not in sealed/."""
    spool = camera.vault.spool
    (spool.inbox_dir / "progress.json").write_text('{"state": "delivered"}')
    press(camera)
    for path in spool.segments(SegmentState.SEALED):
        path.rename(spool.dir(SegmentState.DELIVERED) / path.name)
    camera.muxers[-1].at_close = 0
    camera.until_sealed()

    def refuse(*_: object) -> None:
        raise StorageError("read-only file system", "mount it anew")

    with monkeypatch.context() as patch:
        patch.setattr(*refused, refuse)
        camera.recorder._dock(True)
        camera.turns(5)
        assert camera.is_(State.DOCKED) and not spool.segments(SegmentState.SEALED)
        assert officer(camera)["delivery"] == "trouble" and delivery(camera.vault) is Delivery.WAITING
        assert camera.recorder.status()["upload"]["state"] == "waiting"
    camera.turns(5)
    assert spool.segments(SegmentState.SEALED) and officer(camera)["delivery"] == "waiting"


def test_a_trigger_records_and_the_log_says_which(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"panel": PanelConfig(trigger_name="holster")}
    camera = Camera(agency, tmp_path, monkeypatch, sections=sections).start()
    camera.panel.pull(Line.TRIGGER, True, begin := camera.clock.now_ns)
    camera.turns(1)
    (start,) = camera.said("record.start")
    assert (start["trigger"], start["actor"], start["mono_ns"]) == ("holster", "recorder", begin)
    camera.recorder.close()


def test_a_covert_profile_shows_nothing_and_is_felt(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"signals": SignalsConfig(light=False, tone=False), "gestures": GesturesConfig(idle_press="none")}
    camera = Camera(agency, tmp_path, monkeypatch, sections=sections).start()
    seen = list[Levels]()
    show = camera.panel.show
    monkeypatch.setattr(camera.panel, "show", lambda levels: (seen.append(levels), show(levels)))
    press(camera)
    assert not camera.is_(State.RECORDING), "it is bound to nothing"
    press(camera, 2_000)
    assert camera.is_(State.RECORDING)
    camera.turns(2)
    assert not any(told.light or told.status or told.tone for told in seen)
    assert any(told.buzz for told in seen)
    assert officer(camera)["durable"], "who asks is told"
    camera.recorder.close()


# -- what goes wrong -----------------------------------------------------------------------------------------------


def test_a_panel_that_is_pulled_off_is_a_fault_logged_and_taken_back(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = [DeviceError("the panel on bodycam is gone", "put it back"), camera.panel]

    def open_panel(_: PanelConfig) -> object:
        one = found.pop(0)
        if isinstance(one, DeviceError):
            raise one
        camera.panel.gone = ""
        return one

    monkeypatch.setattr("agent.officer.open_panel", open_panel)
    camera.panel.gone = "the panel on bodycam is gone"
    camera.turns(1)
    assert "gone" in camera.faults()["panel"]
    camera.turns(2)
    assert "panel" in camera.faults(), "it was looked for once in vain"
    camera.turns(2)
    assert "panel" not in camera.faults()
    press(camera)
    assert camera.is_(State.RECORDING)


def test_the_light_goes_out_and_an_alarm_starts_within_two_seconds_of_the_last_durable_part(camera: Camera) -> None:
    press(camera)
    camera.turns(1)
    assert camera.panel.levels.light
    stopped = camera.clock.now_ns
    for number in range(40):
        camera.clock.now_ns = max(camera.clock.now_ns, stopped + (number + 1) * NS // 20)
        camera.recorder._life.pictures.encoded += 1
        if number % 5 == 4:
            camera.act()
        camera.recorder.officer.step()
    assert not camera.panel.levels.light
    assert officer(camera)["alarm"] and set(officer(camera)["troubles"]) == {"durable"} <= set(camera.faults())
    camera.turns(1.5)
    assert camera.panel.levels.light and not officer(camera)["alarm"]
    (fault,) = [b for b in camera.said("fault") if b["what"] == "durable"]
    assert fault["mono_ns"] - stopped < 2 * NS
    assert [b["what"] for b in camera.said("cleared")] == ["durable"]


def test_the_light_goes_out_where_parts_become_durable_ever_later_and_comes_when_they_do_not(camera: Camera) -> None:
    """Each write comes within the limit for one that stands still."""
    press(camera)
    camera.turns(1)
    life, muxer = camera.recorder._life, camera.muxers[-1]
    assert life.pictures and camera.panel.levels.light
    # Half a second is on its way when the first slow write begins.
    slow_at_ns = NS // 2 - life.recording.behind_ns(0)
    lit, begun = [], camera.clock.now_ns
    for number in range(200):
        camera.clock.now_ns = max(camera.clock.now_ns, begun + (number + 1) * NS // 20)
        life.pictures.newest_ns = slow_at_ns + camera.clock.now_ns - begun
        life.pictures.encoded += 1
        if number % 30 == 29:
            muxer.give(1)
        if number % 5 == 4:
            camera.act()
        camera.recorder.officer.step()
        lit.append(camera.panel.levels.light)
    out = lit.index(False)
    assert out / 20 <= 2 and not any(lit[out:]), "once, and for as long as it lasts"
    assert officer(camera)["alarm"] and not officer(camera)["durable"]
    assert "too slow" in camera.recorder.status()["officer"]["troubles"]["durable"]
    muxer.give(16)
    camera.until_sealed()
    camera.turns(2.5)
    assert camera.panel.levels.light and not officer(camera)["alarm"]
    assert len([b for b in camera.said("fault") if b["what"] == "durable"]) == 1
    assert [b["what"] for b in camera.said("cleared")] == ["durable"]


def test_what_nobody_can_judge_is_not_called_durable(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in what decides over the lights leaves none lit."""
    press(camera)
    camera.turns(1)
    assert camera.panel.levels.light

    def defect(*_: object) -> None:
        raise RuntimeError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(camera.recorder.officer._signals, "look", defect)
        with pytest.raises(RuntimeError):
            camera.recorder.officer.step()
        assert camera.panel.levels == Levels()
    camera.turns(0.5)
    assert camera.panel.levels.light


def test_a_loop_that_hangs_is_told_though_it_cannot_tell_itself(camera: Camera) -> None:
    press(camera)
    camera.turns(1)
    camera.recorder._loop.busy_ns = hung = camera.clock.now_ns
    for _ in range(40):
        camera.clock.now_ns += NS // 20
        camera.muxers[-1].give(1)
        camera.until_sealed()
        camera.recorder._life.pictures.encoded += 1
        camera.recorder.officer.step()
    assert not camera.panel.levels.light
    assert set(officer(camera)["troubles"]) == {"loop"}
    camera.recorder._loop.busy_ns = None
    camera.turns(1)
    assert camera.panel.levels.light
    (fault,) = [b for b in camera.said("fault") if b["what"] == "loop"]
    assert fault["mono_ns"] - hung < 2 * NS


def test_a_camera_is_ready_only_while_pictures_come(camera: Camera) -> None:
    camera.turns(1)
    assert officer(camera)["state"] == "ready" and not officer(camera)["alarm"]
    camera.intake.stands_still, stood = True, camera.clock.now_ns
    camera.turns(2, lambda: officer(camera)["alarm"])
    assert officer(camera)["alarm"] and camera.clock.now_ns - stood < 2 * NS
    assert officer(camera)["state"] == "fault" and set(officer(camera)["troubles"]) == {"pictures"}
    camera.turns(0.5)
    assert camera.recorder.status()["words"][0] == "Fault: a press would not record"
    camera.intake.stands_still = False
    camera.turns(0.5)
    assert officer(camera)["state"] == "ready" and not officer(camera)["alarm"]
    (fault,) = [b for b in camera.said("fault") if b["what"] == "pictures"]
    assert fault["mono_ns"] - stood < 2 * NS
    states = [b["state"] for b in camera.said("state")]
    assert states == ["ready", "fault", "ready"], "the account does not call ready what was not"


def test_a_loop_that_hangs_while_nothing_is_recorded_is_told_as_soon(camera: Camera) -> None:
    camera.turns(1)
    camera.recorder._loop.busy_ns = hung = camera.clock.now_ns
    while not officer(camera)["alarm"] and camera.clock.now_ns - hung < 2 * NS:
        camera.clock.now_ns += NS // 20
        camera.recorder.officer.step()
    assert officer(camera)["state"] == "fault" and set(officer(camera)["troubles"]) == {"loop"}
    camera.recorder._loop.busy_ns = None
    camera.turns(1)
    assert officer(camera)["state"] == "ready"


def test_what_a_press_would_need_and_does_not_answer_is_told_sooner(camera: Camera) -> None:
    """It is asked twice a second, and not in every turn."""
    camera.turns(1)
    camera.recorder._loop.busy_ns = camera.recorder._life.probing_ns = hung = camera.clock.now_ns
    while not officer(camera)["alarm"] and camera.clock.now_ns - hung < 2 * NS:
        camera.clock.now_ns += NS // 20
        camera.recorder.officer.step()
    assert camera.clock.now_ns - hung < 2 * NS - PROBE_NS - round(TICK_S * NS)
    assert "do not answer" in officer(camera)["troubles"]["loop"]
    camera.recorder._loop.busy_ns = camera.recorder._life.probing_ns = None
    camera.turns(2.5)
    assert officer(camera)["state"] == "ready" and "loop" in [b["what"] for b in camera.said("fault")]


def test_how_late_it_answered_before_a_recording_says_nothing_of_after(camera: Camera) -> None:
    camera.turns(1)
    camera.recorder._life.answer_ns = 3 * NS // 2
    camera.recorder._rest.record(camera.vault, "button", Actor.OFFICER)
    camera.turns(3)
    camera.recorder._stop("ctl")
    camera.turns(3)
    assert "loop" not in [b["what"] for b in camera.said("fault")] and officer(camera)["state"] == "ready"


def test_a_camera_that_opens_its_lens_is_not_ready_yet_and_may_take_its_time(camera: Camera) -> None:
    camera.turns(1)
    lens, intake = camera.recorder._lens, camera.intake
    camera.recorder._loop.busy_ns = camera.clock.now_ns
    lens.intake = None
    camera.turns(5)
    assert officer(camera)["state"] == "starting" and not officer(camera)["alarm"]
    lens.intake = intake
    camera.turns(0.5)
    assert officer(camera)["state"] == "ready" and not officer(camera)["alarm"], "it is judged from when it was there"


def test_a_clip_that_is_over_is_not_ready_and_no_alarm(camera: Camera) -> None:
    camera.turns(1)
    camera.intake.live, camera.intake.stands_still = False, True
    camera.tell(IntakeEventKind.SOURCE_ENDED, "the clip is over")
    camera.turns(3)
    assert officer(camera)["state"] == "fault" and not officer(camera)["alarm"]


def test_a_camera_in_the_dock_does_not_cry_and_one_that_is_worn_does(camera: Camera) -> None:
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.turns(1)
    assert officer(camera)["alarm"] and officer(camera)["state"] == "fault"
    camera.panel.pull(Line.DOCK, True, camera.clock.now_ns)
    camera.turns(1)
    assert not officer(camera)["alarm"]


def test_what_cannot_be_done_is_answered_and_a_defect_of_ours_takes_no_button_away(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = list[int]()

    def failing(self: Officer) -> Levels:
        called.append(1)
        if len(called) > 2:
            self._looks.end()
        raise RuntimeError("a defect")

    monkeypatch.setattr(Officer, "step", failing)
    camera.recorder.officer.start()
    camera.recorder.officer._thread.join(10)
    assert len(called) == 3


def test_a_process_without_its_panel_records_by_command_and_names_what_is_missing(
    agency: AgencyPaths, tmp_path: Path
) -> None:
    config = make_config(agency, tmp_path, panel=PanelConfig(chip="no-such-chip", button=0))
    with RecorderProcess(config, tmp_path) as recorder:
        status = recorder.until(lambda s: "panel" in s["faults"] and s["intake"]["ring_s"] > 0)
        # No hand could press. Each is told by a thread of its own.
        recorder.until(lambda s: s["state"] == s["officer"]["state"] == "fault")
        assert "no-such-chip" in status["faults"]["panel"]
        said = ["The recording begins."]
        assert recorder.ask("press") == {"words": said, "gesture": "press", "mode": "idle", "does": ["record"]}
        recorder.until(lambda s: s["officer"]["durable"])
        assert recorder.ask("press")["does"] == ["mark"]
        said = ["The recording stops."]
        assert recorder.ask("hold") == {"words": said, "gesture": "hold", "mode": "recording", "does": ["stop"]}
        assert recorder.ask("status")["recording"] is None
        command = ["ctl", "record", "--trigger", "holster", "--config", str(tmp_path / "agent.toml")]
        assert agent_main(command) == 0
        assert agent_main(["ctl", "stop", "--trigger", "holster", "--config", str(tmp_path / "agent.toml")]) == 2
        assert recorder.stop() == 0
    identity = age.parse_identity_file(agency.agency_identity.read_text())[0]
    starts = [
        leaves.open_body(age.decrypt(entry.sealed, [identity]), leaf.body)
        for path in Spool(config.spool.dir).segments(SegmentState.SEALED)
        for entry, leaf in read(path)[2]
        if isinstance(leaf, leaves.EventLeaf) and leaf.kind is leaves.Kind.START
    ]
    assert [(body["trigger"], body["actor"]) for body in starts] == [("button", "ctl"), ("holster", "ctl")]


def test_stealth_is_dark_at_once_and_the_log_says_when_and_by_whom(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"gestures": GesturesConfig(recording_double="stealth")}
    camera = Camera(agency, tmp_path, monkeypatch, sections=sections).start()
    press(camera)
    camera.turns(2)
    assert camera.panel.levels.light
    begin = camera.clock.now_ns
    camera.panel.pull(Line.BUTTON, True, begin)
    for down in (False, True, False):
        camera.turns(0.1)
        camera.panel.pull(Line.BUTTON, down, camera.clock.now_ns)
    camera.turns(2)
    assert not camera.panel.levels.light and officer(camera)["stealth"] and officer(camera)["durable"]
    recorder = camera.recorder
    monkeypatch.setattr(recorder._loop, "wait", lambda what, action: action())
    for _ in range(2):
        assert recorder._answer({"do": "stealth", "text": "off"}) == {"stealth": False}
        camera.turns(1)
    assert camera.panel.levels.light and not officer(camera)["stealth"]
    on, off = camera.said("stealth")
    assert (on["on"], on["actor"], on["reason"]) == (True, "officer", "button: double")
    assert (off["on"], off["actor"], off["reason"]) == (False, "ctl", "asked for")
    assert begin < on["mono_ns"] < off["mono_ns"]
    recorder.close()


def test_a_recorder_that_starts_anew_within_the_boot_lights_nothing_up(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"gestures": GesturesConfig(idle_long="stealth")}
    camera = Camera(agency, tmp_path, monkeypatch, sections=sections).start()
    press(camera, 6_000)
    assert officer(camera)["stealth"]
    assert camera.recorder.status()["words"][2].endswith(" speaks. The gesture for it brings them back.")
    press(camera)
    assert camera.is_(State.RECORDING) and "No gesture brings them back now" in camera.recorder.status()["words"][2]
    press(camera, 2_000)
    camera.drop()
    again = Camera(agency, tmp_path, monkeypatch, clock=camera.clock, sections=sections)
    seen = list[Levels]()
    show = again.panel.show
    monkeypatch.setattr(again.panel, "show", lambda levels: (seen.append(levels), show(levels)))
    again.recorder.officer.step()
    again.start().turns(10)
    assert not any(told.light or told.status or told.tone for told in seen)
    assert [(b["on"], b["actor"], b["reason"]) for b in again.said("stealth")] == [
        (True, "officer", "button: long"),
        (True, "recorder", "kept over a restart"),
    ]
    # Another boot, and it was never put out.
    again.drop()
    booted = Camera(agency, tmp_path, monkeypatch, clock=FakeClock("another boot"), sections=sections).start()
    assert not officer(booted)["stealth"]
    booted.recorder.close()


def test_the_dock_lights_up_again_and_the_next_life_too(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch).start()
    camera.recorder.officer.stealth.turn(True, Actor.CTL, "asked for")
    camera.panel.pull(Line.DOCK, True, camera.clock.now_ns)
    camera.turns(5)
    assert not officer(camera)["stealth"] and camera.is_(State.DOCKED)
    assert [(b["on"], b["actor"]) for b in camera.said("stealth")] == [(True, "ctl"), (False, "dock")]
    camera.drop()
    again = Camera(agency, tmp_path, monkeypatch, clock=camera.clock)
    assert not again.recorder.status()["officer"]["stealth"]


def test_a_stealth_that_cannot_be_kept_is_dark_and_a_fault_until_it_can(
    camera: Camera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(kept: object, on: bool) -> None:
        raise StorageError("cannot write stealth: no space")

    with monkeypatch.context() as patch:
        patch.setattr(KeptFlag, "keep", refuse)
        camera.recorder.officer.stealth.turn(True, Actor.CTL, "asked for")
        camera.turns(1)
        assert officer(camera)["stealth"] and "no space" in camera.faults()["kept"]
        camera.recorder.sleep(Actor.CTL)
        camera.turns(3)
        assert "kept" in camera.faults(), "it is over for both of them"
    assert [b["on"] for b in camera.said("stealth")] == [True]
    camera.turns(3)
    assert "kept" not in camera.faults()
    assert (tmp_path / "stealth").exists() and (tmp_path / "asleep").exists()


def test_whoever_asks_for_a_stealth_that_cannot_be_kept_is_told_and_the_fault_stays(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(kept: object, on: bool) -> None:
        raise StorageError("cannot write stealth: no space")

    loop, failed = camera.recorder._loop, list[Exception]()

    def ask(what: str, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        def turn() -> None:
            try:
                action()
            except StorageError as err:
                failed.append(err)
                raise

        loop.post(what, turn)
        return {}

    monkeypatch.setattr(KeptFlag, "keep", refuse)
    monkeypatch.setattr(loop, "wait", ask)
    camera.recorder._answer({"do": "stealth", "text": "on"})
    camera.turns(1)
    assert failed and officer(camera)["stealth"] and "no space" in camera.faults()["kept"]
    assert any("No gesture brings them back now" in line for line in camera.recorder.status()["words"])


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"signals": SignalsConfig(vibration="off")}, "signals.vibration"),
        ({"panel": PanelConfig(chip="c", light=4)}, "panel.vibration"),
    ],
    ids=["off", "no motor"],
)
def test_a_camera_without_vibration_does_not_go_dark(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: dict[str, Any], key: str
) -> None:
    """Nobody would notice an alarm then."""
    camera = Camera(agency, tmp_path, monkeypatch, sections=section).start()
    monkeypatch.setattr(camera.recorder._loop, "wait", lambda what, action: action())
    with pytest.raises(UsageError, match="not even an alarm") as refused:
        camera.recorder._answer({"do": "stealth", "text": "on"})
    assert key in str(refused.value.hint)
    assert not officer(camera)["stealth"] and camera.said("stealth") == []
    assert camera.recorder._answer({"do": "stealth", "text": "off"}) == {"stealth": False}
    camera.drop(power=False)
    # What was kept came from a configuration that had it.
    kept = KeptFlag(tmp_path / "stealth", camera.clock.boot_id)
    kept.keep(True)
    again = Camera(agency, tmp_path, monkeypatch, clock=camera.clock, sections=section).start()
    assert not officer(again)["stealth"] and not kept.read()
    again.recorder.close()


@pytest.mark.parametrize("words", [["stealth"], ["stealth", "maybe"]])
def test_stealth_says_which(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert agent_main(["ctl", *words]) == 2
    assert "stealth is on or off" in capsys.readouterr().err


@pytest.mark.parametrize(("gesture", "does"), [("long", ["stop"]), ("double", ["mark", "mark"])])
def test_a_command_that_stands_for_a_hand_does_what_the_hand_would(
    camera: Camera, monkeypatch: pytest.MonkeyPatch, gesture: str, does: list[str]
) -> None:
    """Nothing is bound to a long hold or a double press of a camera that records."""
    press(camera)
    monkeypatch.setattr(camera.recorder._loop, "wait", lambda what, action: action())
    assert camera.recorder._answer({"do": gesture})["does"] == does
