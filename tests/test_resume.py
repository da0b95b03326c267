"""A recorder that was killed while it recorded: the next one goes on with it, says so until somebody answers, and
gives up nothing that a person had decided.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent import resume
from agent.controls.base import Line
from agent.errors import DeviceError, StorageError
from agent.eventbody import MAX_TEXT
from agent.events import Actor, Dock, Docking
from agent.intake.report import IntakeEventKind
from agent.model import NS
from agent.resume import FAULT, MAX_WAIT_S, wait_ns
from agent.station.layout import AgencyPaths
from agent.status import REASONS_KEPT, State
from tests.camera_kit import FakeClock
from tests.recorder_desk import Camera, DeskIntake


class Lives:
    """One camera after the other on the same card, in the same boot."""

    def __init__(self, agency: AgencyPaths, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        self._make = lambda **wanted: Camera(agency, root, patch, clock=self.clock, **wanted)
        self.camera: Camera

    def begin(self, **wanted: Any) -> Camera:
        self.camera = self._make(**wanted).start()
        self.camera.ticks(1)
        return self.camera

    def camera_without_a_lens(self) -> Camera:
        camera = self._make()
        camera.lens = DeviceError("no camera", "plug it in")
        return camera.start()

    def killed(self, power: bool = False) -> None:
        self.camera.drop(power)
        self.clock.now_ns += 2 * NS

    def record(self) -> str:
        name = str(self.camera.recorder._record("button")["recording"])
        self.camera.muxers[-1].give(2)
        self.camera.ticks(1)
        return name


@pytest.fixture
def lives(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lives:
    return Lives(agency, tmp_path, monkeypatch)


def starts(camera: Camera) -> list[dict[str, Any]]:
    return [body for body in camera.bodies() if body["type"] == "record.start"]


def test_marks_that_waited_are_whole_in_the_recording_that_goes_on(lives: Lives) -> None:
    """As many as wait, of what costs most to keep."""
    camera = lives.begin()
    lives.record()
    camera.lens = DeviceError("no camera", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.ticks(4)
    texts = [f"{number:02}" + "\N{POLICE CAR}" * (MAX_TEXT - 2) for number in range(REASONS_KEPT)]
    for text in texts:
        camera.recorder._takes.mark(text, tag="theft" if text is texts[1] else None)
    lives.killed()
    camera = lives.begin()
    camera.ticks(8)
    camera.recorder.close()
    assert [body["text"] for body in camera.said("mark")] == texts
    assert [body.get("tag") for body in camera.said("mark")][:3] == [None, "theft", None]


def test_what_a_recorder_kept_that_knew_of_no_tags_is_read_by_this_one(lives: Lives) -> None:
    camera = lives.begin()
    lives.record()
    lives.killed()
    kept = camera.recorder._resume._path
    told = json.loads(kept.read_bytes())
    kept.write_text(json.dumps({**told, "reasons": [["seen", "officer", lives.clock.now_ns]]}))
    camera = lives.begin()
    camera.recorder.close()
    assert [(body["text"], body.get("tag")) for body in camera.said("mark")] == [("seen", None)]


def test_what_was_recorded_goes_on_in_a_recording_that_names_it_and_it_is_said(lives: Lives) -> None:
    lives.begin()
    cut = lives.record()
    lives.killed()
    camera = lives.begin()
    status = camera.recorder.status()
    assert status["recording"] not in (None, cut)
    assert cut in status["faults"][FAULT]
    camera.recorder.officer.step()
    assert "restarted" in camera.recorder.status()["officer"]["warnings"]
    camera.recorder.close()
    # It is said in the log, and which recording it goes on with.
    (one, two) = starts(camera)
    assert (one["trigger"], one.get("continues")) == ("button", None)
    assert (two["trigger"], two["continues"], two["actor"]) == ("continued", cut, "recorder")
    said = [body["what"] for body in camera.bodies() if body["type"] == "fault"]
    assert said == [FAULT]


@pytest.mark.parametrize("answer", ["press", "command", "dock"])
def test_it_is_shown_until_somebody_answers(lives: Lives, answer: str) -> None:
    lives.begin()
    lives.record()
    lives.killed()
    camera = lives.begin()
    camera.ticks(40)
    assert FAULT in camera.faults()
    if answer == "press":
        camera.panel.pull(Line.BUTTON, True, camera.clock.now_ns)
        camera.turns(0.2)
        camera.panel.pull(Line.BUTTON, False, camera.clock.now_ns)
        camera.turns(1)
    elif answer == "command":
        camera.recorder._stop_later("ctl", Actor.CTL)
    else:
        camera.recorder._dock(True)
    assert FAULT not in camera.faults()
    # A press while it records is a mark: it goes on.
    assert (camera.recorder._life.recording is not None) is (answer == "press")
    camera.recorder.close()


@pytest.mark.parametrize("ended", ["stopped", "stopping", "shut down", "power"])
def test_what_somebody_ended_or_the_power_cut_does_not_go_on(lives: Lives, ended: str) -> None:
    camera = lives.begin(post_event_s=5)
    lives.record()
    if ended == "stopped":
        camera.recorder._stop("ctl")
    elif ended == "stopping":
        camera.recorder._stop_later("ctl", Actor.CTL)
        assert camera.recorder._life.recording
    if ended == "shut down":
        camera.recorder.close()
    else:
        lives.killed(power=ended == "power")
    camera = lives.begin()
    camera.ticks(8)
    assert camera.is_(State.READY) and FAULT not in camera.faults()
    camera.recorder.close()


class Killed(Exception):
    """In the middle of a turn."""


def killing(*_: object) -> None:
    raise Killed


@pytest.mark.parametrize("muted", [False, True])
def test_a_mute_or_its_end_counts_before_the_log_has_taken_it(
    lives: Lives, monkeypatch: pytest.MonkeyPatch, muted: bool
) -> None:
    camera = lives.begin()
    lives.record()
    takes = camera.recorder._takes
    if not muted:
        takes.mute(Actor.OFFICER)
        camera.ticks(1)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(camera.recorder._journal, "say", killing)
        (takes.mute if muted else takes.unmute)(Actor.OFFICER)
    lives.killed()
    camera = lives.begin()
    assert camera.recorder.status()["muted"] is camera.intake.muted is muted
    camera.recorder.close()


def test_a_press_that_takes_a_stop_back_counts_at_once(lives: Lives) -> None:
    camera = lives.begin(post_event_s=5)
    cut = lives.record()
    camera.recorder._stop_later("ctl", Actor.CTL)
    camera.ticks(1)
    camera.recorder._record("button", Actor.CTL)
    lives.killed()
    camera = lives.begin()
    assert starts(camera)[-1]["continues"] == cut
    camera.recorder.close()


def test_a_stop_of_what_only_waits_counts_before_the_log_has_taken_it(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives.begin()
    lives.record()
    lives.killed()
    lives.camera = camera = lives.camera_without_a_lens()
    camera.recorder._faults.raised("recording", "no picture")
    camera.recorder._show_state()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(camera.recorder._faults, "cleared", killing)
        camera.recorder._stop_later("ctl", Actor.CTL)
    assert not camera.recorder._resume._path.exists()
    camera.recorder.close()


def test_what_is_to_go_on_is_kept_before_the_state_is_logged(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = lives.camera = lives.camera_without_a_lens()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(camera.recorder._diary, "stand", killing)
        camera.recorder._takes.record(camera.vault, "button", Actor.OFFICER, lives.clock.now_ns)
    assert camera.recorder._resume._path.exists()
    camera.recorder.close()


def test_what_broke_off_is_to_go_on_at_every_instant(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = lives.begin()
    lives.record()
    takes, kept = camera.recorder._takes, list[bool]()
    end = takes._end

    def ending(*arguments: Any) -> dict[str, Any]:
        told = end(*arguments)
        kept.append(camera.recorder._resume._path.exists())
        return told

    monkeypatch.setattr(takes, "_end", ending)
    takes.go_on_as_another(camera.vault, "a smaller picture")
    assert kept == [True]
    camera.recorder.close()


@pytest.mark.parametrize("do", ["record", "stop"])
def test_what_a_hand_asks_for_waits_for_no_word_of_the_restart(
    lives: Lives, monkeypatch: pytest.MonkeyPatch, do: str
) -> None:
    lives.begin()
    lives.record()
    lives.killed()
    camera = lives.begin()
    if do == "record":
        camera.recorder._stop("ctl")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(camera.recorder._resume, "answered", killing)
        if do == "record":
            camera.recorder._record("button", Actor.CTL)
        else:
            camera.recorder._stop_later("ctl", Actor.CTL)
    assert (camera.recorder._life.recording is not None) is (do == "record")
    # Nor does that of the button.
    camera.ticks(1)
    asked: list[str] = []
    monkeypatch.setattr(camera.recorder._resume, "answered", lambda: asked.append("answered"))
    monkeypatch.setattr(camera.recorder._rest, "record", lambda *_: asked.append("asked"))
    monkeypatch.setattr(camera.recorder._takes, "mark", lambda *_: asked.append("asked"))
    camera.panel.pull(Line.BUTTON, True, camera.clock.now_ns)
    camera.turns(0.2)
    camera.panel.pull(Line.BUTTON, False, camera.clock.now_ns)
    camera.turns(1)
    assert asked[:2] == ["asked", "answered"]
    camera.recorder.close()


def test_a_stop_counts_before_the_disk_has_taken_it(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a recording may wait for a disk so long that the watchdog comes."""
    camera = lives.begin()
    lives.record()
    kept: list[bool] = []
    monkeypatch.setattr(camera.recorder._takes, "_end", lambda *_: kept.append(camera.recorder._resume._path.exists()))
    camera.recorder._stop("ctl")
    assert kept == [False]
    monkeypatch.undo()
    camera.recorder._stop("ctl")
    camera.recorder.close()


def test_what_was_to_go_on_is_not_forgotten_when_the_recorder_ends_before_it_could(lives: Lives) -> None:
    lives.begin()
    cut = lives.record()
    for _ in range(2):
        lives.killed()
        lives.camera = camera = lives.camera_without_a_lens()
    camera.lens = None
    camera.ticks(20)
    assert starts(camera)[-1]["continues"] == cut
    camera.recorder.close()


def test_a_press_that_could_not_be_done_yet_is_not_forgotten_either(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    muted = list[object]()
    monkeypatch.setattr(DeskIntake, "mute", lambda *of: muted.append(of))
    camera = lives.camera = lives.camera_without_a_lens()
    with pytest.raises(DeviceError):
        camera.recorder._takes.record(camera.vault, "button", Actor.OFFICER, pressed := lives.clock.now_ns)
    camera.ticks(1)
    lives.killed()
    camera = lives.begin(pre_event_sound=False)
    assert not muted, "all that it hears came after the press"
    camera.ticks(2)
    (start,) = starts(camera)
    assert (start["trigger"], start["actor"], start["mono_ns"]) == ("button", "officer", pressed)
    assert FAULT not in camera.faults()
    camera.recorder.close()


@pytest.mark.parametrize("begun", [False, True])
def test_what_else_wanted_it_while_it_waited_is_not_forgotten(lives: Lives, begun: bool) -> None:
    """Beside a press, or what broke off and is to go on."""
    lives.begin()
    if begun:
        lives.record()
    lives.killed()
    lives.camera = camera = lives.camera_without_a_lens()
    takes, at_ns = camera.recorder._takes, lives.clock.now_ns
    for trigger in ("button", "holster"):
        with pytest.raises(DeviceError):
            takes.record(camera.vault, trigger, Actor.RECORDER, at_ns)
    lives.killed()
    lives.camera = lives.camera_without_a_lens()
    lives.killed()
    camera = lives.begin()
    camera.ticks(20)
    assert starts(camera)[-1]["trigger"] == ("continued" if begun else "button")
    marks = [(body["text"], body["actor"], body["mono_ns"]) for body in camera.bodies() if body["type"] == "mark"]
    assert marks == [("holster", "recorder", at_ns)]
    camera.recorder.close()


def test_what_else_wanted_it_is_kept_until_it_is_said(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    lives.camera = camera = lives.camera_without_a_lens()
    for trigger in ("button", "holster"):
        with pytest.raises(DeviceError):
            camera.recorder._takes.record(camera.vault, trigger, Actor.RECORDER, lives.clock.now_ns)
    camera.lens = None
    with monkeypatch.context() as patch:
        patch.setattr(camera.recorder._takes, "mark", killing)
        camera.recorder._reopening.open(1)
    begun = camera.recorder.status()["recording"]
    lives.killed()
    camera = lives.begin()
    assert starts(camera)[-1]["continues"] == begun
    assert [body["text"] for body in camera.bodies() if body["type"] == "mark"] == ["holster"]
    camera.recorder.close()


def test_what_waits_ends_with_a_recorder_that_ends_as_it_was_asked_to(lives: Lives) -> None:
    lives.begin()
    lives.record()
    lives.killed()
    lives.camera = lives.camera_without_a_lens()
    lives.camera.recorder.close()
    camera = lives.begin()
    camera.ticks(2)
    assert camera.is_(State.READY) and FAULT not in camera.faults()
    camera.recorder.close()


@pytest.mark.parametrize("muted", [False, True])
def test_a_mute_stays_and_sound_that_was_wanted_comes(lives: Lives, muted: bool) -> None:
    """Where the configuration wants no sound before a press, too: nobody pressed."""
    camera = lives.begin(pre_event_sound=False)
    lives.record()
    if muted:
        camera.recorder._takes.mute(Actor.OFFICER)
    camera.ticks(1)
    lives.killed()
    camera = lives.begin(pre_event_sound=False)
    assert camera.recorder.status()["muted"] is muted and camera.intake.muted is muted
    assert camera.intake.silent_before_ns is None
    told = [(body["actor"], body["mono_ns"]) for body in camera.said("mute")]
    assert len(told) == (2 if muted else 0), "of the one that was cut, and of the one that goes on"
    assert set(told) == ({("officer", told[0][1])} if muted else set())
    camera.recorder.close()


def test_a_recorder_that_recording_ends_again_and_again_waits_longer_each_time(lives: Lives) -> None:
    lives.begin(pre_event_s=30)
    lives.record()
    waited = []
    for _ in range(4):
        lives.killed()
        camera = lives.begin(pre_event_s=30)
        at_ns = lives.clock.now_ns
        while camera.recorder._life.recording is None:
            camera.ticks(1)
        waited.append(round((lives.clock.now_ns - at_ns) / NS))
    assert waited == [0, 2, 4, 8]
    assert "4 times in ten minutes" in camera.faults()[FAULT]
    # Ten minutes without one: the next one counts as the first.
    lives.clock.now_ns += 600 * NS
    lives.killed()
    assert lives.begin(pre_event_s=30).recorder._life.recording
    lives.camera.recorder.close()


def test_starts_anew_for_a_disk_that_refuses_are_not_counted(lives: Lives, tmp_path: Path) -> None:
    """They end as they were meant to; only what recording may have ended is waited for."""
    lives.begin()
    cut = lives.record()
    lives.killed()
    (tmp_path / "spool").rename(tmp_path / "away")
    (tmp_path / "spool").write_bytes(b"")
    for _ in range(3):
        camera = lives.begin()
        camera.ticks(4 * 62)
        camera.recorder.close()
    (tmp_path / "spool").unlink()
    (tmp_path / "away").rename(tmp_path / "spool")
    camera = lives.begin()
    assert "time in ten" not in camera.faults()[FAULT]
    camera.ticks(1)
    assert starts(camera)[-1]["continues"] == cut
    camera.recorder.close()


def test_no_wait_is_longer_than_the_ring_reaches_back() -> None:
    for reach_s in (0, 1, 5, 30, 120):
        waits = [wait_ns(before, reach_s) for before in range(40)]
        assert waits == sorted(waits) and waits[0] == 0 and waits[-1] == min(MAX_WAIT_S, reach_s) * NS


def test_what_comes_during_a_wait_is_in_the_recording_after_it(lives: Lives) -> None:
    lives.begin(pre_event_s=3)
    lives.record()
    for _ in range(4):
        lives.killed()
        camera = lives.begin(pre_event_s=3)
        opened_ns = camera.recorder._lens.opened_ns
        while camera.recorder._life.recording is None:
            camera.ticks(1)
        assert camera.intake.since_ns <= opened_ns + NS
    camera.recorder.close()


NO_REASONS = (
    b'{"boot":"B","recording":"r","muted":false,"starts":[],"trigger":"","actor":"recorder","pressed_ns":null,'
    b'"reasons":[["holster","nobody",1]]}'
)


@pytest.mark.parametrize(
    "said",
    [b"", b"{}", b"[1]", b'{"boot": 1', b"\xff", b'{"boot":"B","recording":"r","muted":0}', NO_REASONS, b"[" * 100_000],
)
def test_what_cannot_be_read_says_nothing(lives: Lives, tmp_path: Path, said: bytes) -> None:
    (tmp_path / resume.FILE).write_bytes(said.replace(b'"B"', f'"{lives.clock.boot_id}"'.encode()))
    camera = lives.begin()
    assert camera.is_(State.READY) and not camera.faults()
    camera.recorder.close()


def test_another_boot_is_another_life(lives: Lives) -> None:
    lives.begin()
    lives.record()
    lives.killed()
    lives.clock.boot_id = "22222222-2222-3333-4444-555555555555"
    camera = lives.begin()
    camera.ticks(8)
    assert camera.is_(State.READY) and FAULT not in camera.faults()
    camera.recorder.close()


def refuse(*_: object) -> None:
    raise StorageError("the card takes nothing")


@pytest.mark.parametrize("ended", ["shut down", "killed"])
def test_a_fault_that_the_disk_did_not_take_in_one_life_is_said_by_the_next(lives: Lives, ended: str) -> None:
    camera = lives.begin()
    camera.recorder._journal.open(refuse)
    found_ns = lives.clock.now_ns
    camera.recorder._faults.raised("storage", "cannot write: read-only file system")
    camera.recorder._faults.raised("media", "nothing becomes durable")
    camera.recorder._journal.say(Dock(Docking.UNDOCKED))
    if ended == "shut down":
        camera.recorder.close()
    else:
        camera.ticks(1)
        lives.killed()
    camera = lives.begin()
    camera.ticks(1)
    assert camera.is_(State.READY) and not camera.faults()
    bodies = camera.bodies()
    told = {body["what"]: body for body in bodies if body["type"] == "fault"}
    assert told["storage"]["detail"] == "cannot write: read-only file system" and told["storage"]["late"]
    # When it was found, not when it could be said.
    assert all(0 <= told[what]["mono_ns"] - found_ns < NS // 10 for what in ("storage", "media"))
    # The log was one more thing that failed.
    assert {body["what"] for body in bodies if body["type"] == "cleared"} == set(told) == {"storage", "media", "log"}
    assert [body["count"] >= 1 for body in bodies if body["type"] == "events.dropped"] == [True]
    # Said once.
    camera.recorder.close()
    camera = lives.begin()
    camera.ticks(1)
    assert sum(body["type"] == "fault" for body in camera.bodies()) == len(told)
    camera.recorder.close()


def test_what_is_said_for_the_life_before_keeps_nothing_of_this_one_waiting(lives: Lives, tmp_path: Path) -> None:
    """Two restarts in a row, and the disk took no word of the first: that the second is not told within the same minute
    again is for faults that come and go.
    """
    lives.begin()
    lives.record()
    found_ns = lives.clock.now_ns
    lives.killed()
    owed = {"boot": lives.clock.boot_id, "faults": [[FAULT, "the first", found_ns]], "others": 0}
    (tmp_path / resume.OWED).write_text(json.dumps(owed))
    camera = lives.begin()
    camera.ticks(1)
    bodies = [body for body in camera.bodies() if body.get("what") == FAULT]
    assert [body["type"] for body in bodies] == ["fault", "cleared", "fault"]
    first, over, second = bodies
    assert (first["detail"], first["mono_ns"], first["late"]) == ("the first", found_ns, True) and over["late"]
    assert second["detail"] == camera.faults()[FAULT] and second["mono_ns"] > found_ns
    assert "events.dropped" not in {body["type"] for body in camera.bodies()}
    camera.recorder.close()


def test_what_the_disk_took_later_in_the_same_life_is_not_said_again(lives: Lives) -> None:
    camera = lives.begin()
    write = camera.recorder._journal._write
    assert write
    camera.recorder._journal.open(refuse)
    camera.recorder._faults.raised("storage", "cannot write")
    camera.ticks(2)
    camera.recorder._journal.open(write)
    camera.ticks(12)
    lives.killed()
    camera = lives.begin()
    assert [body["what"] for body in camera.bodies() if body["type"] == "fault"] == ["storage", "log"]
    assert "events.dropped" not in {body["type"] for body in camera.bodies()}
    camera.recorder.close()


@pytest.mark.parametrize(
    "said", [b"", b"[1]", b'{"boot": "B"}', b'{"boot":"B","faults":[["a"]],"others":0}', b'{"boot":"A","faults":3}']
)
def test_what_was_owed_and_cannot_be_read_says_nothing(lives: Lives, tmp_path: Path, said: bytes) -> None:
    (tmp_path / resume.OWED).write_bytes(said.replace(b'"B"', f'"{lives.clock.boot_id}"'.encode()))
    camera = lives.begin()
    assert camera.is_(State.READY) and not camera.faults()
    assert "fault" not in {body["type"] for body in camera.bodies()}
    camera.recorder.close()
