"""A press on a full card: refused at once and in words, with a start and a stop in the log; and never where there is
room once all has gone that a station has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cardroom import FREED_NS
from agent.controls.patterns import Cue
from agent.errors import DeviceError, NoRoomError, StorageError
from agent.events import Actor, Mark
from agent.formats.seal import SealRecord
from agent.model import NS, SegmentState
from agent.recording import Recording
from agent.sealing.settings import BEGIN_BYTES
from agent.spool.retention import AT_ONCE
from agent.spool.shelf import Shelf
from agent.spool.store import Spool
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.month_world import SmallCard
from tests.recorder_desk import Camera
from tests.test_officer import officer, press
from tests.test_vault import put_receipt


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallCard:
    return SmallCard(tmp_path / "spool", monkeypatch)


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, card: SmallCard) -> Iterator[Camera]:
    made = Camera(agency, tmp_path, monkeypatch)
    yield made
    made.recorder.close()


def fill(camera: Camera, card: SmallCard) -> None:
    """But for one byte, a recording would have the room to begin."""
    card.leave(camera.vault.sealer._s.begins_bytes - 1)


def deliver(agency: AgencyPaths, camera: Camera, count: int) -> None:
    """So many segments of events, which a station has."""
    for _ in range(count):
        camera.vault.say(Mark("m" * 40_000, Actor.CTL, camera.clock.now_ns).body(), None)
        camera.vault.sealer.seal_open()
    put_receipt(agency, camera.vault)
    camera.ticks(2)


def test_a_press_on_a_full_card_is_refused_before_anything_says_that_it_records(
    camera: Camera, card: SmallCard
) -> None:
    camera.start().turns(1)
    fill(camera, card)
    pressed_ns, told = press(camera), camera.recorder.status()
    cues = [cue for cue, _ in camera.recorder.officer._signals._shown.cues]
    assert Cue.REFUSED in cues and not {Cue.BEGUN, Cue.ENDED} & set(cues)
    assert (told["state"], officer(camera)["did"]) == ("fault", "refused")
    assert (told["recordings"], told["parts_lost"]) == ([], 0)
    assert camera.muxers == [], "the ring keeps what it holds"
    assert told["faults"].keys() == {"storage"}
    (start,), (stop,) = camera.said("record.start"), camera.said("record.stop")
    assert (start["trigger"], start["actor"], start["mono_ns"]) == ("button", "officer", pressed_ns)
    assert (start["pre_event_ns"], stop["reason"], stop["lost_parts"]) == (0, "storage full", 0)


def test_a_command_is_answered_with_the_reason_and_what_to_do(camera: Camera, card: SmallCard) -> None:
    camera.start().ticks(1)
    for _ in range(2):
        fill(camera, card)
        with pytest.raises(NoRoomError, match="nothing is recorded: no room for one more segment") as told:
            camera.recorder._record("ctl", Actor.CTL)
        assert told.value.exit_status == 4 and "dock" in told.value.hint
        assert camera.is_(State.FAULT) and camera.faults().keys() == {"storage"}
    assert [body["then"] for body in camera.said("record.stop")] == ["fault", "fault"]
    card.leave(1 << 30)
    camera.recorder._record("ctl", Actor.CTL)
    camera.muxers[-1].give(2)
    camera.ticks(4)
    assert camera.is_(State.RECORDING) and camera.faults() == {}


def test_what_a_station_has_makes_room_for_a_press_also_where_a_card_failed_just_now(
    agency: AgencyPaths, camera: Camera, card: SmallCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.start()
    camera.vault.sealer.seal_open()
    put_receipt(agency, camera.vault)
    camera.ticks(1)
    assert card.names(SegmentState.DELIVERED)

    def refused(*_: object) -> int:
        raise StorageError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(camera.vault, "retain", refused)
        camera.recorder._loop.step("retention", lambda: camera.recorder._takes.room.retain(camera.vault))
    fill(camera, card)
    press(camera)
    assert camera.is_(State.RECORDING) and not card.names(SegmentState.DELIVERED)
    assert camera.said("deletion") and camera.faults() == {}


def test_a_press_that_waited_for_the_lens_is_refused_once_and_what_was_said_of_it_is_in_the_log(
    camera: Camera, card: SmallCard
) -> None:
    camera.lens = DeviceError("no lens", "plug it in")
    camera.start()
    pressed_ns = press(camera)
    camera.recorder._takes.mark("here", Actor.CTL)
    assert camera.recorder.status()["wanted"] == "button"
    fill(camera, card)
    camera.lens = None
    camera.turns(12)
    assert camera.recorder.status()["wanted"] is None and camera.faults().keys() == {"storage"}
    told = [body["type"] for body in camera.bodies() if body["type"].startswith(("record", "mark"))]
    assert told == ["record.start", "mark", "record.stop"]
    assert camera.said("record.start")[0]["mono_ns"] == pressed_ns


def test_a_disk_that_fails_is_met_by_the_start_leaf_and_not_called_full(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.start().ticks(1)

    def broken(begins: bool = False) -> None:
        raise StorageError("input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(camera.vault.sealer, "check_room", broken)
        camera.recorder._record("ctl", Actor.CTL)
    assert camera.is_(State.RECORDING)


def test_where_deleting_frees_nothing_at_once_no_more_goes_than_lacked_and_each_is_a_sign_of_life(
    agency: AgencyPaths, camera: Camera, card: SmallCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while somebody holds the removed files open, or the file system frees late."""
    camera.start()
    deliver(agency, camera, AT_ONCE + 6)
    there, real, beats = len(card.names(SegmentState.DELIVERED)), Spool.delete, list[int]()
    begin_ns, enough = camera.clock.now_ns, camera.vault.sealer._s.begins_bytes

    def slow(spool: Spool, record: SealRecord) -> None:
        camera.clock.now_ns += NS
        real(spool, record)

    monkeypatch.setattr(Spool, "delete", slow)
    monkeypatch.setattr(SmallCard, "f_bavail", enough - 1)
    monkeypatch.setattr(camera.recorder._feeding, "beat", beats.append)
    left = []
    for wait_ns in (0, 0, FREED_NS):
        camera.clock.now_ns += wait_ns
        with pytest.raises(NoRoomError):
            camera.recorder._record("ctl", Actor.CTL)
        left.append(there - len(card.names(SegmentState.DELIVERED)))
    assert left[0] == left[1] < left[2] <= there and left[0] in (AT_ONCE, AT_ONCE + 1)
    assert {(at_ns - begin_ns) // NS for at_ns in beats} >= set(range(1, left[0] + 1))


def test_room_that_was_made_and_found_for_a_recording_refuses_no_press_after_it(
    agency: AgencyPaths, camera: Camera, card: SmallCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.start()
    deliver(agency, camera, 4 * AT_ONCE)
    press(camera)
    card.leave(camera.vault.sealer.settings.needs_bytes - 1)
    there, pressed_ns = len(card.names(SegmentState.DELIVERED)), camera.clock.now_ns
    with monkeypatch.context() as patch:
        patch.setattr(Recording, "storage_full", "no room for one more segment")
        camera.ticks(1)
    assert 0 < len(card.names(SegmentState.DELIVERED)) < there
    camera.recorder._stop("ctl")
    fill(camera, card)
    camera.recorder._record("ctl", Actor.CTL)
    assert camera.clock.now_ns < pressed_ns + FREED_NS and camera.is_(State.RECORDING)


def test_a_deletion_that_fails_half_way_refuses_no_press_for_which_there_is_room_by_then(
    agency: AgencyPaths, camera: Camera, card: SmallCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.start()
    deliver(agency, camera, 3)
    real, went = Spool.delete, list[str]()

    def failing(spool: Spool, record: SealRecord) -> None:
        if went:
            raise StorageError("cannot remove")
        went.append(record.segment)
        real(spool, record)
        card.leave(1 << 30)

    monkeypatch.setattr(Spool, "delete", failing)
    fill(camera, card)
    press(camera)
    assert camera.is_(State.RECORDING) and went and card.names(SegmentState.DELIVERED)


@pytest.mark.parametrize(("more", "begins"), [(-BEGIN_BYTES, False), (20_000 - BEGIN_BYTES, False), (0, True)])
def test_a_press_that_is_said_to_record_loses_nothing_to_a_card_that_is_nearly_full(
    camera: Camera, card: SmallCard, more: int, begins: bool
) -> None:
    """What the start leaf needs, a segment of events and itself, does not go from the room for the first segment."""
    camera.start().turns(1)
    camera.vault.sealer.seal_open()
    card.leave(camera.vault.sealer._s.begins_bytes + more)
    camera.turns(1)
    assert camera.is_(State.READY if begins else State.FAULT)
    press(camera)
    assert camera.is_(State.RECORDING if begins else State.FAULT) and "media" not in camera.faults()
    assert {body["lost_parts"] for body in camera.said("record.stop")} <= {0}


def test_a_card_full_but_for_a_segment_that_cannot_be_deleted_says_so_before_anybody_presses(
    agency: AgencyPaths, camera: Camera, card: SmallCard, tmp_path: Path
) -> None:
    camera.start()
    deliver(agency, camera, 1)
    for seal in (tmp_path / "spool" / "delivered").glob("*.seal"):
        seal.write_bytes(b"rubbish")
    camera.vault._shelf = Shelf(camera.vault.spool)
    fill(camera, card)
    camera.turns(2)
    assert camera.is_(State.FAULT) and camera.faults().keys() == {"storage", "records"}


def test_a_card_full_but_for_what_a_station_has_is_not_listed_with_each_look(
    agency: AgencyPaths, camera: Camera, card: SmallCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.start()
    deliver(agency, camera, 1)
    fill(camera, card)
    real, looks = Shelf.look, list[int]()
    monkeypatch.setattr(Shelf, "look", lambda shelf: (looks.append(0), real(shelf))[1])
    camera.turns(8)
    assert camera.is_(State.READY) and len(looks) == 1
    camera.vault.retain(force=True)
    fill(camera, card)
    camera.turns(1)
    assert camera.is_(State.FAULT), "what went does not count until the list is old"
