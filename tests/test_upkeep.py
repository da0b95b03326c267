"""What is wrong is told by its name for as long as it is wrong, also while nothing is recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent import events, probe
from agent.errors import StorageError
from agent.events import Actor
from agent.formats import age
from agent.formats.epoch import number_of
from agent.formats.leaf import EventLeaf, Kind, open_body
from agent.formats.seal import SealRecord
from agent.held import LostError
from agent.model import NS, SegmentState
from agent.sealing.session import Session
from agent.spool.shelf import LISTED_NS
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.camera_kit import read
from tests.month_world import SmallCard
from tests.recorder_desk import Camera
from tests.test_vault import put_receipt

MINUTE_TICKS = 60 * 4 + 1


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    made = Camera(agency, tmp_path, monkeypatch)
    yield made
    made.recorder.close()


def test_an_event_that_cannot_be_encrypted_is_told_and_written_later(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.start()
    camera.ticks(2)
    assert "encryption" not in camera.faults()

    def defect(*_: object) -> None:
        raise RuntimeError("a defect of the cipher")

    with monkeypatch.context() as patch:
        patch.setattr(age, "encrypt", defect)
        camera.ticks(MINUTE_TICKS)
        assert "cannot be encrypted" in camera.faults()["encryption"]
    camera.ticks(MINUTE_TICKS)
    assert "encryption" not in camera.faults() and "log" not in camera.faults()
    assert "encryption" in [body.get("what") for body in camera.said("fault")]


def test_what_a_press_would_need_is_looked_for_before_anybody_presses(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within two seconds it is an alarm, and no longer called ready; and it is well again as soon."""
    camera.start()
    camera.turns(1)
    real = os.statvfs

    def defect(*_: object) -> None:
        raise RuntimeError("a defect of the cipher")

    def given_up(path: Path) -> SimpleNamespace:
        found = real(path)
        return SimpleNamespace(
            f_flag=found.f_flag | os.ST_RDONLY,
            f_bavail=found.f_bavail,
            f_frsize=found.f_frsize,
            f_blocks=found.f_blocks,
        )

    for owner, name, failing, fault in ((age, "encrypt", defect, "encryption"), (os, "statvfs", given_up, "storage")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, failing)
            camera.turns(1)
            assert fault in camera.faults()
            told = camera.recorder.status()
            assert (told["state"], told["officer"]["state"], told["officer"]["alarm"]) == ("fault", "fault", True)
            camera.turns(70)
            assert fault in camera.faults(), "for as long as it is so"
        camera.turns(4)
        assert camera.faults() == {}
        assert camera.recorder.status()["state"] == "ready"
    assert [body["what"] for body in camera.said("fault")] == ["encryption", "log", "storage"]


@pytest.mark.parametrize(
    ("owner", "name"), [(probe, "read_through"), (Session, "sign_checkpoint")], ids=["card", "signer"]
)
def test_a_card_that_gives_nothing_and_a_signer_that_fails_are_met_before_anybody_presses(
    camera: Camera, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    camera.start()
    camera.turns(1)

    def gone(*_: object) -> None:
        raise StorageError(f"{name} fails")

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, gone)
        camera.turns(1)
        told = camera.recorder.status()
        assert name in told["faults"]["storage"]
        assert (told["state"], told["officer"]["state"], told["officer"]["alarm"]) == ("fault", "fault", True)
    camera.turns(4)
    assert camera.faults() == {} and camera.recorder.status()["state"] == "ready"


@pytest.mark.parametrize("where", ["docked", "asleep"])
def test_where_nobody_wears_it_the_status_says_what_fails_and_the_alarm_comes_when_somebody_does(
    camera: Camera, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    goes, comes = {"docked": ("dock", "undock"), "asleep": ("sleep", "wake")}[where]
    camera.start()
    camera.turns(1)
    monkeypatch.setattr(camera.recorder._loop, "ask", lambda _, action: action())
    camera.recorder._answer({"do": goes})
    camera.turns(1)

    def defect(*_: object) -> None:
        raise RuntimeError("a defect of the cipher")

    with monkeypatch.context() as patch:
        patch.setattr(age, "encrypt", defect)
        camera.turns(1)
        told = camera.recorder.status()
        assert "encryption" in told["faults"] and not told["officer"]["alarm"]
        assert not camera.panel.levels.buzz
        camera.recorder._answer({"do": comes})
        camera.turns(1)
        told = camera.recorder.status()
        assert (told["state"], told["officer"]["alarm"]) == ("fault", True)
    camera.turns(4)
    assert camera.recorder.status()["state"] == "ready" and camera.faults() == {}


def test_a_camera_whose_log_the_disk_refuses_is_not_ready(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """A press would be refused as well: it is an alarm before anybody presses, and none while parts are taken."""
    camera.start()
    camera.turns(1)

    def refused(*_: object) -> None:
        raise StorageError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(camera.vault.sealer, "event", refused)
        camera.turns(60)
        told = camera.recorder.status()
        assert "log" in told["faults"]
        assert (told["state"], told["officer"]["state"], told["officer"]["alarm"]) == ("fault", "fault", True)
        with pytest.raises(StorageError):
            camera.recorder._record("ctl")
    camera.turns(4)
    assert camera.faults() == {} and camera.recorder.status()["state"] == "ready"
    assert [body["state"] for body in camera.said("state")] == ["ready", "fault", "ready"]


def test_a_camera_that_starts_on_a_full_card_never_says_that_it_is_ready(
    camera: Camera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does its log: a press would not record."""
    card = SmallCard(tmp_path / "spool", monkeypatch)
    card.leave(3 << 20)
    camera.start()
    assert camera.is_(State.FAULT), "before the first turn"
    for _ in range(2):
        camera.turns(1)
        told = camera.recorder.status()
        assert "no room for one more segment" in told["faults"]["storage"]
        assert (told["state"], told["officer"]["state"], told["officer"]["alarm"]) == ("fault", "fault", True)
        camera.ticks(MINUTE_TICKS)
    card.leave(1 << 30)
    camera.ticks(MINUTE_TICKS)
    assert camera.faults() == {} and camera.is_(State.READY)
    assert [body["state"] for body in camera.said("state")] == ["fault", "ready"]


def test_a_card_that_fills_while_nothing_is_recorded_is_told_before_anybody_presses(
    camera: Camera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = SmallCard(tmp_path / "spool", monkeypatch)
    camera.start()
    camera.turns(1)
    assert camera.is_(State.READY)
    for needed, state in ((-1, State.FAULT), (0, State.READY)):
        card.leave(camera.vault.sealer._s.begins_bytes + needed)
        camera.turns(1)
        if state is State.READY:
            assert camera.is_(State.FAULT), "not back and forth with each leaf"
            camera.ticks(MINUTE_TICKS)
        assert camera.is_(state)


def test_what_a_station_has_makes_a_full_card_no_fault_until_nothing_of_it_can_go(
    agency: AgencyPaths, camera: Camera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = SmallCard(tmp_path / "spool", monkeypatch)
    camera.start()
    camera.vault.sealer.seal_open()
    put_receipt(agency, camera.vault)
    camera.ticks(1)
    delivered = SegmentState.DELIVERED
    assert card.names(delivered)
    card.leave(camera.vault.sealer._s.begins_bytes - 1)
    camera.turns(1)
    assert camera.is_(State.READY) and card.names(delivered)
    camera.ticks(MINUTE_TICKS)
    assert camera.is_(State.READY) and not card.names(delivered)
    unproven = tmp_path / "spool" / delivered.value / "e0000000099-00000000.tar"
    with unproven.open("wb") as file:
        file.truncate(100 << 20)
    record = SealRecord(unproven.stem, 100 << 20, "0" * 64, 99, 1, None, 0)
    unproven.with_suffix(".seal").write_bytes(record.to_bytes())
    camera.clock.now_ns += LISTED_NS
    card.leave(camera.vault.sealer._s.begins_bytes - 1)
    camera.turns(1)
    assert camera.is_(State.READY)
    camera.ticks(2 * MINUTE_TICKS)
    assert camera.is_(State.FAULT) and unproven.exists(), "it counts no longer once it was to go, and did not"


def test_an_event_that_the_disk_refuses_while_it_takes_parts_puts_no_light_out(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.start()
    camera.recorder._record("ctl")
    camera.turns(2)

    def refused(*_: object) -> None:
        raise StorageError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(camera.vault.sealer, "event", refused)
        camera.recorder._takes.mark("here", Actor.CTL)
        camera.turns(3)
        assert "log" in camera.faults()
        told = camera.recorder.status()
        assert told["state"] == "recording" and told["officer"]["durable"] and not told["officer"]["alarm"]
    camera.turns(4)
    assert camera.faults() == {}


def test_the_fault_of_a_receipt_stays_while_a_segment_does(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one that is delivered meanwhile does not end it."""
    camera.start()
    unshown = "the station's receipt answers wrongly"
    for unshown_now, given, told in (
        (unshown, (0, [unshown]), True),
        (unshown, (1, []), True),
        ("", (0, []), True),
        ("", (1, []), False),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(type(camera.vault), "unshown", unshown_now)
            patch.setattr(camera.vault, "accept_receipts", lambda given=given: given)
            camera.ticks(1)
        assert ("receipt" in camera.faults()) is told


def test_a_tile_that_the_uploader_misses_is_looked_at_in_the_dock_alone(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.start()
    looked: list[str] = []
    monkeypatch.setattr(camera.vault, "mend", looked.append)
    (camera.vault.spool.inbox_dir / "progress.json").write_text('{"lacks": "tile/0/000"}')
    camera.ticks(2)
    assert looked == []
    camera.recorder._life.docked = True
    camera.ticks(2)
    assert set(looked) == {"tile/0/000"}


def test_what_fills_the_inbox_goes_also_where_the_disk_takes_no_receipt(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be why the disk is full: then neither would ever end."""
    camera.start()
    camera.ticks(1)

    def full() -> None:
        raise StorageError("cannot write a receipt: No space left on device")

    monkeypatch.setattr(camera.vault, "accept_receipts", full)
    box = camera.vault.spool.inbox_dir
    for number in range(5):
        with (box / f"{number}").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 4 << 20)
    camera.ticks(1)
    assert "No space left" in camera.faults()["delivery"] and "more than 16 MiB" in camera.faults()["inbox"]
    assert sum(path.stat().st_blocks * 512 for path in box.iterdir()) <= 16 << 20


def test_what_is_left_to_delete_goes_second_by_second(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    camera.start()
    camera.ticks(MINUTE_TICKS)
    calls: list[bool] = []
    monkeypatch.setattr(camera.vault, "retain", lambda force, at_leisure: calls.append(at_leisure) or 0)
    camera.ticks(40)
    assert calls == []
    camera.vault.more_to_delete = True
    camera.ticks(40)
    assert all(calls) and 9 <= len(calls) <= 11
    camera.vault.more_to_delete = False
    camera.ticks(8)
    assert 9 <= len(calls) <= 11


def marked_in_epoch(camera: Camera) -> list[int]:
    """In the logs of which epochs the marks are."""
    camera.vault.sealer.seal_open()
    (identity,) = age.parse_identity_file(camera.agency.agency_identity.read_text())
    found = []
    for path in camera.vault.spool.segments(SegmentState.SEALED):
        header, _, entries = read(path)
        for entry, leaf in entries:
            if isinstance(leaf, EventLeaf) and leaf.kind is Kind.EVENT:
                body = open_body(age.decrypt(entry.sealed, [identity]), leaf.body)
                found += [number_of(header.origin)] * (body["type"] == events.Mark.NAME)
    return found


def owing(camera: Camera, patch: pytest.MonkeyPatch, recording: str | None = None) -> None:
    """The disk refuses a mark, and the log has to end."""
    sealer = camera.vault.sealer
    event = sealer.event

    def refused(kind: Kind, *given: Any) -> Any:
        if kind is Kind.EVENT:
            raise StorageError("refused")
        return event(kind, *given)

    patch.setattr(sealer, "event", refused)
    camera.recorder._journal.say(events.Mark("he hits him", Actor.CTL, 0), recording)
    camera.vault._lost = LostError("a tile is lost")
    camera.ticks(1)


def later(camera: Camera, seconds: int) -> None:
    camera.clock.now_ns += seconds * NS
    camera.ticks(9)


@pytest.mark.parametrize(("further_s", "epoch"), [(0, 1), (10, 2)], ids=["and soon takes", "for long"])
def test_a_mark_that_the_disk_refuses_comes_before_the_next_log_but_is_not_waited_for_without_end(
    camera: Camera, monkeypatch: pytest.MonkeyPatch, further_s: int, epoch: int
) -> None:
    """The station takes all marks of a recording for known where its log is opened to its end."""
    camera.start()
    name = camera.recorder._record("ctl")["recording"]
    camera.recorder._stop("ctl")
    with monkeypatch.context() as patch:
        owing(camera, patch, name)
        later(camera, 50)
        assert (camera.vault.epoch, camera.faults()["epoch"]) == (1, "a tile is lost")
        if further_s:
            later(camera, further_s)
        assert camera.vault.epoch == epoch
    later(camera, 2)
    assert (camera.vault.epoch, marked_in_epoch(camera)) == (2, [epoch])
    assert list(camera.faults()) == ["epoch"]


def test_after_a_recording_the_next_log_waits_anew_for_what_is_owed(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.start()
    owing(camera, monkeypatch)
    later(camera, 50)
    camera.recorder._record("ctl")
    later(camera, 20)
    camera.recorder._stop("ctl")
    later(camera, 0)
    later(camera, 50)
    assert camera.vault.epoch == 1
    later(camera, 10)
    assert camera.vault.epoch == 2
