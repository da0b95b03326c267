"""Where no contact tells of the dock but a cable, power, or nothing at all, the uploader finds the station by itself.
The recorder has its word alone, by which it hands over as in the dock, and ends nothing.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import status
from agent.controls.patterns import Beats, Delivery
from agent.dock.outgoing import marked_in
from agent.dock.report import State as Told
from agent.errors import StorageError
from agent.events import Actor
from agent.model import NS, SegmentState
from agent.spool.sender import LOCK
from agent.station.layout import AgencyPaths
from agent.upkeep import LEFT_NS
from tests.camera_kit import CAMERA
from tests.ports import free_port
from tests.recorder_desk import Camera
from tests.recorder_kit import RecorderProcess, StationProcess, make_config
from tests.station.kit import own_agency
from tests.test_losttile import FULL
from tests.test_officer import officer


class Found:
    """A camera whose uploader says what a test says."""

    def __init__(self, made: Camera, root: Path) -> None:
        self.camera, self.inbox = made, root / "spool" / "inbox"
        self.lock = (self.inbox / LOCK).open("w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def says(self, state: Told, seconds: float = 1, **more: object) -> None:
        (self.inbox / "progress.json").write_text(json.dumps({"state": state.value, **more}))
        self.camera.turns(seconds)

    @property
    def marked(self) -> frozenset[str]:
        return marked_in(self.inbox.parent / "outbox")

    @property
    def sealed(self) -> int:
        return len(self.camera.vault.spool.records(SegmentState.SEALED))


Make = Callable[..., Found]


@pytest.fixture
def make(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    made: list[Found] = []

    def found(*presence: str) -> Found:
        dock = replace(make_config(agency, tmp_path).dock, presence=presence or ("link",))
        camera = Camera(agency, tmp_path, monkeypatch, sections={"dock": dock}).start()
        camera.turns(1)
        made.append(Found(camera, tmp_path))
        return made[-1]

    yield found
    for one in made:
        one.camera.recorder.close()
        one.lock.close()


def record_and_mark(camera: Camera) -> None:
    camera.recorder._record("button", Actor.OFFICER)
    camera.turns(2)
    camera.recorder._takes.mark("red car", Actor.OFFICER)
    camera.turns(1)
    camera.recorder._stop("button", Actor.OFFICER)
    camera.turns(1)


def test_marked_segments_are_told_while_the_uploader_is_at_the_station_and_no_longer(make: Make) -> None:
    found = make()
    found.says(Told.IDLE)
    record_and_mark(found.camera)
    assert not found.marked, "a stolen card shows no marks"
    found.says(Told.DELIVERED)
    assert not found.marked, "nor where nothing is being sent"
    found.says(Told.UPLOADING)
    assert len(found.marked) == 1
    record_and_mark(found.camera)
    assert len(found.marked) == 2, "nor has what is marked at the station to wait"
    found.says(Told.IDLE, LEFT_NS / NS - 1)
    assert len(found.marked) == 2
    found.says(Told.IDLE, 2)
    assert not found.marked
    assert json.loads((found.inbox.parent / "outbox" / "dock.json").read_text())["docked"] is False


def test_a_tile_that_the_card_lacks_is_looked_for(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = make(), list[str]()
    monkeypatch.setattr(found.camera.vault, "mend", asked.append)
    found.says(Told.IDLE, lacks=FULL)
    assert not asked
    found.camera.recorder._record("button", Actor.OFFICER)
    found.says(Told.REFUSED, lacks=FULL)
    assert not asked, "it may take long"
    found.camera.recorder._stop("button", Actor.OFFICER)
    found.camera.turns(1)
    assert set(asked) == {FULL}


def test_tiles_of_which_none_lacks_are_looked_for_now_and_then_however_many_are_named(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, asked = make(), list[str]()
    monkeypatch.setattr(found.camera.vault, "mend", asked.append)
    for number in range(30):
        found.says(Told.UPLOADING, lacks=f"tile/0/{number:03d}")
    assert 2 <= len(asked) <= 4


def test_a_word_that_the_card_does_not_read_stops_no_turn_of_the_loop(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = make()
    found.says(Told.UPLOADING)

    def unread(*_: object) -> None:
        raise StorageError("the structure needs cleaning")

    monkeypatch.setattr(status, "message", unread)
    found.camera.turns(LEFT_NS / NS + 1)
    assert "recorder" not in found.camera.faults() and not found.camera.recorder._life.at_station


def test_that_it_left_the_dock_is_told_also_where_what_was_told_before_may_not_be_durable(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = make("outbox")
    dock, real = found.inbox.parent / "outbox" / "dock.json", found.camera.vault.spool.tell

    def tell(name: str, value: Any) -> None:
        real(name, value)
        raise StorageError("no sync")

    with monkeypatch.context() as patch:
        patch.setattr(found.camera.vault.spool, "tell", tell)
        found.camera.recorder._loop.attempt("dock", lambda: found.camera.recorder._dock(True))
        assert json.loads(dock.read_text())["docked"] is True
        found.camera.recorder._loop.attempt("dock", lambda: found.camera.recorder._dock(False))
    found.camera.turns(3)
    assert json.loads(dock.read_text())["docked"] is False and not found.camera.faults()


def test_what_is_open_is_sealed_once_it_comes_to_the_station_and_no_recording_ends(make: Make) -> None:
    found = make()
    camera = found.camera
    camera.recorder._record("button", Actor.OFFICER)
    camera.turns(2)
    before = found.sealed
    recording = camera.recorder.status()["recording"]
    found.says(Told.UPLOADING, 5)
    assert officer(camera)["delivery"] == Delivery.WAITING.value, "what is being recorded is not handed over yet"
    assert camera.recorder.status()["recording"] == recording is not None
    assert found.sealed == before
    camera.recorder._stop("button", Actor.OFFICER)
    camera.turns(1)
    after = found.sealed
    assert {record.recording for record in camera.vault.spool.records(SegmentState.SEALED)} >= {None}
    # It comes and goes as often as it says, and the card does not pay for it.
    for _ in range(3):
        found.says(Told.IDLE, LEFT_NS / NS + 1)
        camera.vault.say({"type": "heartbeat"}, None)
        found.says(Told.UPLOADING)
    assert found.sealed == after
    found.says(Told.IDLE, 61)
    found.says(Told.WAITING)
    assert found.sealed == after + 1


def test_the_officer_is_told_while_it_hands_over_and_a_press_records_all_the_same(make: Make) -> None:
    found = make()
    camera, hands_over = found.camera, Beats((1600, 400), every_s=2)
    found.says(Told.UPLOADING)
    told = officer(camera)
    assert (told["state"], told["delivery"]) == ("ready", Delivery.SENDING.value)
    assert any("leave it there" in line for line in camera.recorder.status()["words"])
    shown = camera.recorder.officer._signals._shown
    for at_ms in range(0, 4000, 100):
        camera.turns(0.1)
        now_ns = camera.clock.now_ns
        assert camera.panel.levels.status is hands_over.at(now_ns - shown.state_ns), at_ms
    camera.recorder._record("button", Actor.OFFICER)
    camera.turns(1)
    assert officer(camera)["state"] == "recording"


@pytest.mark.parametrize(
    "lies",
    [
        lambda found: found.says(Told.IDLE),
        lambda found: found.says(Told.UNREACHABLE),
        lambda found: found.says(Told.REFUSED, refused="its certificate is not trusted"),
        lambda found: found.says(Told.HELD),
        lambda found: (found.inbox / "progress.json").write_text("[]"),
        lambda found: (found.says(Told.IDLE), found.lock.close(), found.says(Told.UPLOADING)),
    ],
    ids=["elsewhere", "nobody there", "no station of ours", "held", "says nothing", "an uploader that ended"],
)
def test_it_is_at_no_station_unless_a_living_uploader_says_so(make: Make, lies: Callable[[Found], Any]) -> None:
    found = make("power", "link")
    lies(found)
    found.camera.turns(2)
    assert not found.camera.recorder._life.at_station
    assert officer(found.camera)["delivery"] is None


def test_where_the_recorders_contact_alone_tells_of_the_dock_the_uploaders_word_is_none(make: Make) -> None:
    found = make("outbox")
    found.says(Told.UPLOADING)
    assert not found.camera.recorder._life.at_station


def test_a_camera_on_a_cable_mends_its_log_and_hands_over(agency: AgencyPaths, tmp_path: Path) -> None:
    """Three processes, real TLS, and a tile that the card lost: all is delivered, and nobody said that it is docked."""
    paths, port, root = own_agency(agency, tmp_path / "agency"), free_port(), tmp_path / "camera"
    paths.station.mkdir()
    config = make_config(paths, root, f"https://127.0.0.1:{port}")
    config = replace(config, dock=replace(config.dock, presence=("always",)))
    with RecorderProcess(config, root) as recorder:
        recorder.until(lambda s: s["state"] == "ready")
        recorder.ask("record")
        for number in range(260):
            recorder.ask("mark", text=f"number {number}")
        recorder.ask("stop")
        tile = root / "spool" / "log" / "1" / FULL
        recorder.until(lambda s: s["segments"]["sealed"] and tile.exists())
        tile.unlink()
        with StationProcess(paths, port), RecorderProcess(config, root, "uploader"):
            recorder.until(lambda s: s["delivered"] and not s["segments"]["sealed"], deadline_s=60)
            status = recorder.ask("status")
            assert (status["docked"], "upload" in status["faults"], tile.exists()) == (False, False, True)
    assert list((paths.station / "segments" / CAMERA).glob("r*.tar"))
