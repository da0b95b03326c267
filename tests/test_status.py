"""What the recorder shows: its own numbers, and of others' words only what is what it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.errors import DeviceError
from agent.events import Actor
from agent.intake.report import IntakeEventKind
from agent.model import NS, SegmentState
from agent.station.layout import AgencyPaths
from agent.status import State, progress_of
from agent.vault import Vault
from tests.recorder_desk import Camera


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"state": "uploading", "bytes_done": 5, "error": ""}, {"state": "uploading", "bytes_done": 5, "error": ""}),
        ({"bytes_done": "5", "bytes_total": True, "segments_done": None, "mono_ns": -1}, {}),
        ({"bytes_done": 1.5, "state": 7, "error": ["x"]}, {}),
        ({"state": "\x1b[2J", "error": "a\nb" + "c" * 1000}, {"state": "?[2J", "error": "a?b" + "c" * 497}),
        ({"unknown": 1}, {}),
    ],
)
def test_what_the_uploader_says_of_itself(told: dict[str, Any], shown: dict[str, Any]) -> None:
    """inbox/ is hostile: what is shown of it has the kinds it should have, and steers no terminal."""
    assert progress_of(json.dumps(told).encode()) == shown


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 60_000, b"5", b'{"bytes_done":' + b"9" * 5000 + b"}"])
def test_what_is_no_progress(data: bytes) -> None:
    assert progress_of(data) == {}


def test_what_was_sealed_since_a_visit_is_not_shown_as_delivered(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The uploader may have died; its last word stays in inbox/."""
    camera = Camera(agency, tmp_path, monkeypatch).start()
    spool = camera.vault.spool
    (spool.inbox_dir / "progress.json").write_text('{"state": "delivered", "segments_done": 3}')
    for state, shown in ((SegmentState.DELIVERED, "delivered"), (SegmentState.SEALED, "waiting")):
        if state is SegmentState.SEALED:
            camera.vault.sealer.seal_open()
        assert bool(spool.segments(SegmentState.SEALED)) == (state is SegmentState.SEALED)
        assert camera.recorder.status()["upload"]["state"] == shown
    camera.recorder.close()


def states(camera: Camera) -> tuple[str, str]:
    """What a script reads, and what the officer is shown."""
    told = camera.recorder.status()
    return told["state"], told["officer"]["state"]


def test_a_camera_is_called_ready_only_while_a_press_would_record(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the status that scripts read as in what the officer is shown, at each instant."""
    camera, told = Camera(agency, tmp_path, monkeypatch), list[str]()
    monkeypatch.setattr("agent.recorder.notify", told.append)
    camera.lens = DeviceError("no lens", "plug it in")
    assert states(camera) == ("starting", "starting")
    camera.start()
    camera.turns(1)
    assert states(camera) == ("fault", "fault")
    camera.lens = None
    camera.turns(3)
    assert states(camera) == ("ready", "ready")
    lens, intake = camera.recorder._lens, camera.intake
    lens.intake = None
    camera.turns(0.1)
    assert states(camera) == ("starting", "starting"), "it is being opened"
    lens.intake = intake
    camera.turns(0.5)
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.turns(0.5)
    assert states(camera) == ("fault", "fault")
    camera.recorder._loop.act("dock", lambda: camera.recorder._dock(True))
    camera.turns(0.5)
    assert states(camera) == ("docked", "docked")
    camera.lens = None
    camera.recorder._loop.act("dock", lambda: camera.recorder._dock(False))
    camera.turns(3)
    camera.recorder._loop.act("sleep", lambda: camera.recorder.sleep(Actor.CTL))
    camera.turns(0.5)
    assert states(camera) == ("sleeping", "sleeping")
    camera.recorder._loop.act("sleep", lambda: camera.recorder.wake(Actor.CTL))
    camera.turns(0.5)
    camera.recorder._loop.act("recording", lambda: camera.recorder._record("ctl"))
    camera.turns(0.5)
    assert states(camera) == ("recording", "recording")
    camera.recorder.close()
    assert camera.recorder.status()["state"] == "stopped"
    supervised = [word.removeprefix("STATUS=") for word in told if word.startswith("STATUS=")]
    assert supervised == [
        *("fault", "ready"),
        *("fault", "docked", "fault", "ready"),
        *("sleeping", "starting", "ready"),
        *("recording", "stopping", "stopped"),
    ]


@pytest.mark.parametrize("what", ["pictures", "loop"])
def test_what_stands_still_is_not_called_ready_though_the_loop_has_not_heard_of_it(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch).start()
    camera.turns(1)
    stood_ns = camera.clock.now_ns
    if what == "loop":
        camera.recorder._loop.busy_ns = stood_ns
    else:
        camera.intake.stands_still = True
    while states(camera) == ("ready", "ready"):
        camera.clock.now_ns += NS // 20
        camera.recorder.officer.step()
    assert camera.clock.now_ns - stood_ns < 2 * NS
    assert what not in camera.faults(), "nobody has told the loop"
    assert states(camera) == ("fault", "fault")
    camera.recorder._loop.busy_ns = None
    camera.recorder.close()


@pytest.mark.parametrize("refused", [False, True])
def test_whether_it_is_starting_is_said_alike_at_each_step_of_a_start(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """By the status, by what shows to the officer, and by who watches for a hang. It no longer is where the disk
    refused the life before this one: that is a fault until it takes something.
    """
    camera, said = Camera(agency, tmp_path, monkeypatch), list[tuple[str, str, bool]]()
    recorder = camera.recorder

    def looked(action: Any) -> Any:
        def act(*arguments: Any, **more: Any) -> Any:
            recorder.officer.step()
            said.append((recorder.state.value, recorder.status()["officer"]["state"], recorder._life.starting))
            return action(*arguments, **more)

        return act

    def tell() -> bool:
        if refused:
            recorder._faults.raised("storage", "it refused")
        return refused

    monkeypatch.setattr(recorder._resume, "tell", tell)
    monkeypatch.setattr("agent.recorder.Vault", looked(Vault))
    monkeypatch.setattr(recorder._services, "open", looked(recorder._services.open))
    monkeypatch.setattr(recorder._diary, "begin", looked(recorder._diary.begin))
    monkeypatch.setattr(recorder._upkeep, "begin", looked(recorder._upkeep.begin))
    assert recorder._life.starting
    camera.start()
    assert said == [("fault", "fault", False) if refused else ("starting", "starting", True)] * 4
    assert not recorder._life.starting and camera.is_(State.READY)
    camera.recorder.close()


def test_a_fault_found_in_the_midst_of_a_start_makes_it_no_other_state(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not known yet whether a press would record: what is known is that it starts."""
    camera = Camera(agency, tmp_path, monkeypatch)
    recorder = camera.recorder

    def finds(*_: object) -> None:
        recorder._faults.raised("recording", "no picture")
        recorder.officer.step()
        said.append((recorder.state.value, recorder.status()["officer"]["state"]))
        recorder._faults.cleared("recording")

    said = list[tuple[str, str]]()
    monkeypatch.setattr(recorder._upkeep, "begin", finds)
    camera.start()
    assert said == [("starting", "starting")]
    camera.recorder.close()
