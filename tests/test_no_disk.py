"""A disk that refuses when the recorder starts: shown, no end of the process, asked again, and said in the log once the
disk takes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.controls.base import Line
from agent.errors import DeviceError, KeyTrustError, StorageError
from agent.events import Actor
from agent.held import LostError
from agent.model import NS
from agent.station.layout import AgencyPaths
from agent.status import CONTINUED, State, Wanted
from agent.vault import Vault
from tests.recorder_desk import Camera
from tests.test_lost_counted import sum_up

RECORDING = "r0000000007-5f2c09ab"
WAITS = {
    "a press": Wanted("button", actor=Actor.OFFICER, pressed_ns=4_711),
    "a recording that was killed": Wanted(CONTINUED, RECORDING),
}


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Camera:
    """On a card whose directory is none; `mend` makes it well."""
    (tmp_path / "spool").write_bytes(b"")
    return Camera(agency, tmp_path, monkeypatch)


def mend(camera: Camera) -> None:
    camera.recorder._config.spool.dir.unlink()
    camera.ticks(9)


def defect(*_: object) -> None:
    raise ValueError("invalid literal for int()")


def press(camera: Camera) -> int:
    begin = camera.clock.now_ns
    camera.panel.pull(Line.BUTTON, True, begin)
    camera.turns(0.1)
    camera.panel.pull(Line.BUTTON, False, camera.clock.now_ns)
    camera.turns(1)
    return begin


def said(camera: Camera, kind: str) -> list[dict[str, Any]]:
    return [body for body in camera.bodies() if body["type"] == kind]


def test_it_is_shown_and_over_when_the_disk_is_well(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("agent.recorder.notify", told.append)
    found_ns = camera.start().clock.now_ns
    camera.turns(6)
    status = camera.recorder.status()
    assert (status["state"], status["officer"]["state"]) == ("fault", "fault")
    assert "storage" in status["faults"] and status["officer"]["alarm"]
    assert any("storage" in line.lower() for line in status["words"])
    # It is on, and lives: nobody starts it anew.
    assert "READY=1" in told and "STATUS=fault" in told
    camera.recorder.officer.beside()
    assert told[-1] == "WATCHDOG=1"
    mend(camera)
    assert camera.is_(State.READY) and not camera.faults()
    (fault,), (cleared,) = said(camera, "fault"), said(camera, "cleared")
    assert fault["what"] == cleared["what"] == "storage"
    assert fault["mono_ns"] <= found_ns and fault["late"]
    states = [(body["state"], bool(body.get("late"))) for body in said(camera, "state")]
    # Once late, and once as each log says how it was when it began.
    assert states == [("fault", True), ("fault", False), ("ready", False)]
    camera.recorder.close()


def test_a_press_meanwhile_is_refused_to_the_hand_and_done_when_the_disk_is_well(camera: Camera) -> None:
    camera.start()
    camera.turns(1)
    pressed_ns = press(camera)
    status = camera.recorder.status()
    assert status["recording"] is None and status["wanted"] == "button" and not status["officer"]["durable"]
    mend(camera)
    camera.ticks(1)
    assert camera.is_(State.RECORDING)
    (start,) = said(camera, "record.start")
    assert start["mono_ns"] == pressed_ns and start["pre_event_ns"] > 0
    camera.recorder.close()


def test_a_hold_while_nothing_can_be_recorded_confirms_the_press_and_takes_nothing_back(camera: Camera) -> None:
    camera.start()
    camera.turns(1)
    press(camera)
    camera.panel.pull(Line.BUTTON, True, camera.clock.now_ns)
    camera.turns(2)
    camera.panel.pull(Line.BUTTON, False, camera.clock.now_ns)
    camera.turns(1)
    mend(camera)
    assert camera.is_(State.RECORDING)
    camera.recorder.close()


def test_the_dock_is_not_missed(camera: Camera) -> None:
    camera.start()
    camera.panel.pull(Line.DOCK, True, camera.clock.now_ns)
    camera.turns(2)
    assert camera.recorder.status()["docked"]
    mend(camera)
    assert camera.is_(State.DOCKED) and not camera.faults()
    assert b'"docked":true' in (camera.vault.spool.root / "outbox" / "dock.json").read_bytes().replace(b" ", b"")
    camera.recorder.close()


def test_what_nobody_foresaw_in_recovery_is_shown_as_well_and_tried_again(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("agent.logbook.Logbook._say_session", defect)
        camera.start()
        camera.turns(6)
        status = camera.recorder.status()
        assert (status["state"], status["officer"]["alarm"]) == ("fault", True)
        assert status["faults"]["storage"] == "ValueError: invalid literal for int()"
    camera.ticks(9)
    assert camera.is_(State.READY) and not camera.faults()
    camera.recorder.close()


@pytest.mark.parametrize("where", ["diary.Diary", "upkeep.Upkeep"])
def test_a_defect_in_what_a_log_begins_with_is_shown_and_tried_again_and_keeps_nothing_from_being_recorded(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(f"agent.{where}.begin", defect)
        camera.start()
        camera.ticks(90)
        assert camera.is_(State.READY)
        assert camera.faults() == {"start": "ValueError: invalid literal for int()"}
        press(camera)
        assert camera.is_(State.RECORDING)
    camera.ticks(9)
    assert not camera.faults()
    camera.recorder.close()
    assert len(said(camera, "boot")) == 1


def test_what_a_log_begins_with_said_late_says_no_state_over_a_muted_recording(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("agent.configchanges.LastStart.changes", defect)
        camera.start()
        camera.ticks(1)
        camera.recorder._record("ctl")
        camera.recorder._takes.mute(Actor.OFFICER)
        assert "start" in camera.faults()
    camera.ticks(9)
    assert not camera.faults() and camera.is_(State.RECORDING)
    camera.recorder.close()
    kinds = [body["type"] for body in camera.bodies()]
    assert kinds.index("mute") < kinds.index("boot")
    assert [body["state"] for body in said(camera, "state")] == ["ready"]


@pytest.mark.parametrize("said_before", [0, 1], ids=["the first log's is left too", "the first log's is said"])
def test_what_the_next_log_of_this_life_begins_with_is_tried_again_too(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said_before: int
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch)
    with monkeypatch.context() as patch:
        if said_before:
            camera.start()
        patch.setattr("agent.diary.Diary.begin", defect)
        if not said_before:
            camera.start()
        camera.vault._lost = LostError("a tile is lost")
        camera.ticks(9)
        assert camera.vault.epoch == 2
        assert camera.faults() == {"epoch": "a tile is lost", "start": "ValueError: invalid literal for int()"}
        assert len(said(camera, "boot")) == said_before
    camera.ticks(9)
    assert list(camera.faults()) == ["epoch"]
    camera.recorder.close()
    assert len(said(camera, "boot")) == said_before + 1
    # The next log says the state anew.
    assert [body["state"] for body in said(camera, "state")] == ["ready", "ready"]


def test_it_ends_cleanly_without_ever_having_had_a_disk(camera: Camera) -> None:
    camera.start()
    camera.ticks(20)
    camera.recorder.close()
    assert camera.is_(State.STOPPED)


def test_it_asks_again_every_two_seconds_and_leaves_nothing_open(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that is read-only lets the recorder come as far as its first leaf."""
    tried: list[int] = []

    def refuse(*_: object) -> None:
        tried.append(len(list(Path("/proc/self/fd").iterdir())))
        raise StorageError("read-only file system", "mount it anew")

    camera = Camera(agency, tmp_path, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("agent.logbook.Logbook._say_session", refuse)
        camera.start()
        began_ns = camera.clock.now_ns
        camera.ticks(80)
        assert len(tried) in range(9, 12) and camera.clock.now_ns - began_ns < 21 * NS
        assert max(tried) == min(tried)
        assert camera.faults()["storage"] == "read-only file system"
    camera.ticks(9)
    assert camera.is_(State.READY)
    camera.recorder.close()


def test_it_starts_anew_after_a_minute_and_the_press_is_kept(camera: Camera) -> None:
    """The mounts that its unit sees are those of its begin: what was mounted anew since is not among them."""
    camera.start()
    camera.turns(1)
    pressed_ns = press(camera)
    camera.ticks(4 * 56)
    assert not camera.recorder._loop._stop.is_set()
    camera.ticks(4 * 4)
    assert camera.recorder._loop._stop.is_set()
    with pytest.raises(StorageError, match="spool"):
        camera.recorder.run()
    camera.recorder.close()
    assert str(pressed_ns) in camera.recorder._resume._path.read_text("utf-8")


@pytest.mark.parametrize("what", ["a press", "a recording that was killed"])
def test_nor_is_it_forgotten_for_what_the_lens_tells_as_it_is_closed(camera: Camera, what: str) -> None:
    """How many pictures it lost, say."""
    camera.start()
    life, lens = camera.recorder._life, camera.intake
    life.wanted = WAITS[what]
    camera.turns(1)
    lens.stop = lambda: sum_up(lens, camera.clock.now_ns)
    camera.recorder._leaving.refused = StorageError("read-only file system", "mount it anew")
    camera.recorder.close()
    kept = camera.recorder._resume._path.read_text("utf-8")
    assert ("4711" if what == "a press" else RECORDING) in kept


def test_a_press_in_the_last_turn_is_kept_too(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for while the disk, which is asked for the last time, hangs."""
    camera.start()
    camera.clock.now_ns += 61 * NS
    recorder, pressed_ns = camera.recorder, camera.clock.now_ns

    def hang() -> None:
        recorder._loop.post("recording", lambda: recorder._takes.record(None, "button", Actor.OFFICER, pressed_ns))
        raise StorageError("read-only file system", "mount it anew")

    monkeypatch.setattr(recorder, "_open", hang)
    with pytest.raises(StorageError, match="read-only"):
        recorder.run()
    recorder.close()
    assert str(pressed_ns) in recorder._resume._path.read_text("utf-8")


def test_what_was_asked_for_last_is_kept_at_the_end(camera: Camera) -> None:
    camera.start()
    camera.recorder._life.wanted = Wanted("button", actor=Actor.OFFICER, pressed_ns=4_711)
    camera.recorder._leaving.refused = StorageError("read-only file system", "mount it anew")
    camera.recorder.close()
    assert "4711" in camera.recorder._resume._path.read_text("utf-8")


@pytest.mark.parametrize("letter", ["a", "é", "\U0001f4a5"])
def test_however_long_its_words_the_next_start_reads_them(
    camera: Camera, agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letter: str
) -> None:
    camera.start()
    trigger = letter * 2_000
    camera.recorder._life.wanted = Wanted(trigger, actor=Actor.OFFICER, pressed_ns=camera.clock.now_ns)
    camera.clock.now_ns += 61 * NS
    camera.recorder._faults.raised("storage", letter * 2_000)
    camera.recorder._leaving.refused = StorageError(letter * 2_000, "mount it anew")
    camera.recorder.close()
    again = Camera(agency, tmp_path, monkeypatch, clock=camera.clock)
    assert again.recorder._resume.tell() and again.faults()["storage"].startswith(letter * 100)
    again.recorder._resume.begin()
    assert again.recorder._life.wanted and trigger.startswith(again.recorder._life.wanted.trigger)


def test_a_lens_that_comes_meanwhile_is_found(camera: Camera) -> None:
    camera.lens = DeviceError("no camera", "plug it in")
    camera.start()
    camera.ticks(9)
    assert "camera" in camera.faults()
    camera.lens = None
    camera.ticks(9)
    assert camera.intake and "camera" not in camera.faults() and "storage" in camera.faults()
    camera.recorder.close()


def test_a_start_anew_says_since_when_the_disk_refused(
    camera: Camera, agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over as many starts as it takes: those before had nothing to write it to."""
    began_ns, clock = camera.start().clock.now_ns, camera.clock
    for _ in range(2):
        camera.ticks(4 * 61)
        camera.recorder.close()
        camera = Camera(agency, tmp_path, monkeypatch, clock=clock).start()
        assert "storage" in camera.faults()
    camera.ticks(4 * 61)
    camera.recorder.close()
    (tmp_path / "spool").unlink()
    camera = Camera(agency, tmp_path, monkeypatch, clock=clock).start()
    camera.ticks(1)
    assert camera.is_(State.READY) and not camera.faults()
    (fault,), (cleared,) = said(camera, "fault"), said(camera, "cleared")
    assert fault["what"] == cleared["what"] == "storage" and fault["late"]
    assert fault["mono_ns"] <= began_ns
    camera.recorder.close()
    # Told once.
    camera = Camera(agency, tmp_path, monkeypatch, clock=clock).start()
    camera.ticks(1)
    assert len(said(camera, "fault")) == 1
    camera.recorder.close()


def test_without_its_keys_a_recorder_is_useless_and_ends(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise KeyTrustError("no key", "enrol it")

    monkeypatch.setattr(Vault, "__init__", refuse)
    with pytest.raises(KeyTrustError):
        Camera(agency, tmp_path, monkeypatch).start()
