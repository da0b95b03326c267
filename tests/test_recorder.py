"""The recorder's loop on a failing disk: nothing that fails in a turn ends it, fills its log, or is forgotten."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.dock.outgoing import marked_in
from agent.errors import DeviceError, StorageError, UsageError
from agent.formats import leaf as leaves
from agent.formats import note
from agent.formats.leaf import Kind
from agent.intake.report import IntakeEvent, IntakeEventKind
from agent.model import NS, SegmentState
from agent.prefix import read_prefix
from agent.spool.store import DiskSpace
from agent.station.layout import AgencyPaths
from agent.status import State
from agent.vault import Vault
from tests.recorder_desk import Camera
from tests.test_vault import put_receipt


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    made = Camera(agency, tmp_path, monkeypatch)
    yield made
    made.recorder.close()


def refuse(
    patch: pytest.MonkeyPatch, call: str, pattern: str, times: int = 1_000_000, error: int = errno.EIO
) -> list[str]:
    """`os.call` fails for paths (or open files) whose names match; returns what was refused."""
    real, refused = getattr(os, call), list[str]()

    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        names = [os.readlink(f"/proc/self/fd/{a}") if type(a) is int else str(a) for a in arguments[:2]]
        if any(re.search(pattern, name) for name in names) and len(refused) < times:
            refused.append(call)
            raise OSError(error, os.strerror(error))
        return real(*arguments, **keywords)

    patch.setattr(os, call, wrapped)
    return refused


@pytest.mark.parametrize(
    ("call", "pattern", "fault"),
    [
        ("scandir", "/inbox$", "delivery"),
        ("scandir", "/delivered$", "retention"),
        ("statvfs", "/spool$", "retention"),
        ("scandir", "/receipts$", "retention"),
    ],
)
def test_an_error_while_looking_ends_no_recording_and_is_a_fault(
    agency: AgencyPaths, camera: Camera, call: str, pattern: str, fault: str
) -> None:
    camera.start()
    camera.vault.sealer.seal_open()
    put_receipt(agency, camera.vault)
    camera.ticks(1)
    assert camera.vault.spool.records(SegmentState.DELIVERED)
    camera.recorder._record("ctl")
    before = camera.vault._book.log.next_index
    with pytest.MonkeyPatch.context() as patch:
        if "receipts" in pattern:
            # Only where something may go is it asked which receipt allows it.
            patch.setattr(camera.vault.spool, "space", lambda: DiskSpace(0, 1_000))
        refused = refuse(patch, call, pattern)
        camera.ticks(250)
        assert refused
        assert fault in camera.faults()
        assert camera.is_(State.RECORDING)
    assert camera.vault._book.log.next_index - before < 6
    camera.ticks(250)
    assert camera.faults() == {}
    camera.recorder._stop("ctl")
    assert [b["what"] for b in camera.said("fault")] == [fault] * len(camera.said("cleared"))


def test_what_cannot_be_sealed_is_told_with_the_reason_though_a_tick_comes_first(camera: Camera) -> None:
    camera.start()
    camera.recorder._record("ctl")
    with pytest.MonkeyPatch.context() as patch:
        assert refuse(patch, "rename", "/sealed/") == []
        camera.recorder._stop("ctl")
        camera.recorder._tick()
        assert "cannot move to" in camera.faults()["sealing"]
    camera.ticks(20)
    assert camera.faults() == {}


def test_a_camera_that_comes_back_is_ready_though_the_log_refuses_to_say_so(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch, at_boot=True)
    camera.lens = DeviceError("no lens", "plug it in")
    camera.start()
    camera.ticks(20)
    assert camera.is_(State.FAULT)
    assert camera.faults() == {"camera": "no lens; plug it in"}
    camera.lens = None
    with monkeypatch.context() as patch:
        assert refuse(patch, "fdatasync", "/open/", times=5) == []
        camera.ticks(60)
    assert camera.is_(State.RECORDING)
    assert camera.faults() == {}
    (started,) = camera.said("record.start")
    assert started["trigger"] == "boot"
    first = camera.said("cleared")[0]
    assert (first["what"], first["late"]) == ("camera", True)
    camera.recorder.close()


def test_a_press_that_failed_for_want_of_a_lens_is_no_fault_any_more_once_that_is_back(camera: Camera) -> None:
    camera.start()
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.ticks(4)
    assert not camera.recorder._loop.act("recording", lambda: camera.recorder._record("ctl"))
    assert set(camera.faults()) == {"camera", "recording"}
    camera.lens = None
    camera.ticks(12)
    assert camera.faults() == {}


def test_a_recording_at_boot_begins_as_soon_as_the_disk_takes_its_start(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch, at_boot=True)

    def vault(*arguments: Any) -> Any:
        made = Vault(*arguments)
        patch.setattr(made.sealer, "start_recording", refused)
        return made

    def refused(*_: object) -> None:
        raise StorageError("refused")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent.recorder.Vault", vault)
        camera.start()
        assert camera.is_(State.FAULT)
        assert camera.faults() == {"recording": "refused"}
    camera.ticks(12)
    assert camera.is_(State.RECORDING)
    assert "recording" not in camera.faults()
    camera.recorder.close()


def test_docked_is_told_to_the_uploader_as_soon_as_the_disk_takes_it(camera: Camera) -> None:
    camera.start()
    told = camera.vault.spool.root / "outbox" / "dock.json"
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, "rename", "dock.json")
        with pytest.raises(StorageError):
            camera.recorder._dock(True)
        camera.ticks(4)
        assert "dock" in camera.faults()
        assert b'"docked": false' in told.read_bytes()
    camera.ticks(12)
    assert b'"docked": true' in told.read_bytes()
    assert camera.faults() == {}
    assert [b["state"] for b in camera.said("dock")] == ["docked"]


def test_what_happens_while_the_log_refuses_is_in_it_later(camera: Camera) -> None:
    camera.start()
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, "fdatasync", "/open/")
        camera.recorder._dock(True)
        camera.recorder._dock(False)
        camera.ticks(12)
        assert "log" in camera.faults()
    camera.ticks(12)
    assert camera.faults() == {}
    assert [(b["state"], b["late"]) for b in camera.said("dock")] == [("docked", True), ("undocked", True)]


def test_what_a_station_holds_makes_room_for_a_recording(agency: AgencyPaths, camera: Camera) -> None:
    camera.start()
    camera.vault.sealer.seal_open()
    put_receipt(agency, camera.vault)
    camera.ticks(1)
    delivered = camera.vault.spool.records(SegmentState.DELIVERED)
    camera.recorder._record("ctl")
    camera.vault.sealer.no_room = StorageError("no room")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(camera.vault.spool, "space", lambda: DiskSpace(0, 1_000))
        camera.ticks(4)
        assert camera.is_(State.RECORDING)
        assert (camera.recorder.status()["deleted"], camera.faults()) == (len(delivered), {"storage": "no room"})
        camera.ticks(12)
    assert camera.is_(State.FAULT), "a press would not record"
    (stop,) = camera.said("record.stop")
    assert (stop["reason"], stop["lost_parts"], camera.recorder.status()["parts"]) == ("storage full", 0, 2)


def test_a_small_card_gives_up_what_a_station_has_though_it_is_used_less_than_the_policy_allows(
    agency: AgencyPaths, camera: Camera
) -> None:
    """A share of a small card is less than one segment: full is full, whatever the share says."""
    camera.start()
    camera.vault.sealer.seal_open()
    put_receipt(agency, camera.vault)
    camera.ticks(1)
    delivered = camera.vault.spool.records(SegmentState.DELIVERED)
    needs = camera.vault.sealer.settings.needs_bytes
    camera.recorder._record("ctl")
    camera.vault.sealer.no_room = StorageError("no room")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(camera.vault.spool, "space", lambda: DiskSpace(needs - 1, 2 * needs))
        camera.ticks(4)
        assert camera.is_(State.RECORDING)
    assert camera.recorder.status()["deleted"] == len(delivered) > 0
    camera.recorder._stop("ctl")


def test_the_status_is_told_though_a_directory_cannot_be_listed(camera: Camera) -> None:
    camera.start()
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, "scandir", "/sealed")
        assert "spool" in camera.faults()
    assert camera.faults() == {}


def test_after_the_shutdown_leaf_nothing_is_written(
    agency: AgencyPaths, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.start()
    recorder, vault = camera.recorder, camera.vault
    real = vault.sealer.seal_open

    def fails_once() -> None:
        monkeypatch.setattr(vault.sealer, "seal_open", real)
        raise StorageError("refused")

    monkeypatch.setattr(vault.sealer, "seal_open", fails_once)
    recorder.close()
    size = vault._book.log.next_index
    recorder._faults.raised("anything", "too late for this session")
    (path,) = vault.spool.segments(SegmentState.OPEN)
    prefix = read_prefix(path, vault._epochs.own)
    assert prefix.next_index == vault._book.log.next_index == size
    assert isinstance(prefix.deciding, leaves.EventLeaf)
    assert prefix.deciding.kind is Kind.SHUTDOWN


# -- a recording that breaks off goes on ---------------------------------------------------------------------------


def starts(camera: Camera) -> list[tuple[str, str | None]]:
    """(trigger, recording that it continues) of each."""
    return [(b["trigger"], b.get("continues")) for b in camera.said("record.start")]


def test_where_the_muxer_fails_another_recording_goes_on_from_what_is_durable(camera: Camera) -> None:
    camera.start()
    first = camera.recorder._record("ctl")["recording"]
    camera.ticks(12)
    recording = camera.recorder._life.recording
    assert recording
    camera.tell(IntakeEventKind.SINK_FAILED, "the muxer refuses a packet")
    camera.ticks(2)
    assert camera.is_(State.RECORDING)
    assert camera.intake.since_ns == recording.end_mono_ns
    assert starts(camera) == [("ctl", None), ("continued", first)]
    assert camera.said("record.stop")[0]["reason"] == "the muxer refuses a packet"
    assert camera.recorder._record("ctl")["recording"] != first


def test_a_muxer_that_always_fails_is_tried_every_two_seconds(camera: Camera) -> None:
    camera.start()
    camera.recorder._record("ctl")
    for _ in range(40):
        if camera.is_(State.RECORDING):
            camera.tell(IntakeEventKind.SINK_FAILED, "the muxer refuses a packet")
        camera.ticks(1)
    assert 4 <= len(starts(camera)) <= 7


def test_a_recording_that_the_lens_ended_goes_on_when_it_is_back(camera: Camera) -> None:
    camera.start()
    first = camera.recorder._record("ctl")["recording"]
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.ticks(30)
    assert camera.recorder.status()["wanted"] == "continued"
    assert "no lens" in camera.faults()["camera"]
    camera.lens = None
    camera.ticks(12)
    assert camera.is_(State.RECORDING)
    assert starts(camera) == [("ctl", None), ("continued", first)]
    assert camera.faults() == {}


@pytest.mark.parametrize("how", ["stop", "dock"])
def test_a_stop_while_the_lens_is_away_is_obeyed(camera: Camera, how: str) -> None:
    camera.start()
    camera.recorder._record("ctl")
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.ticks(12)
    if how == "stop":
        assert camera.recorder._stop("ctl")["whole"]
    else:
        camera.recorder._dock(True)
    camera.lens = None
    camera.ticks(12)
    assert len(starts(camera)) == 1
    assert camera.is_(State.READY if how == "stop" else State.DOCKED)
    if how == "stop":
        with pytest.raises(UsageError, match="nothing is being recorded"):
            camera.recorder._stop("ctl")


def test_what_a_lens_that_was_given_back_still_says_is_not_heard(camera: Camera) -> None:
    """It comes late, from a thread that ends: it must not end what the next one records."""
    camera.start()
    old = camera.intake
    camera.tell(IntakeEventKind.CAMERA_LOST, "no picture for 2 s")
    camera.ticks(2)
    assert camera.intake is not old
    camera.recorder._record("ctl")
    old.tell(IntakeEvent(IntakeEventKind.CAMERA_LOST, camera.clock.now_ns, "stopped"))
    camera.ticks(4)
    assert camera.is_(State.RECORDING)
    assert camera.faults() == {}


@pytest.mark.parametrize("error", [OSError(12, "Cannot allocate memory"), ValueError("a driver's defect")])
def test_whatever_a_driver_raises_at_the_start_is_a_fault_and_tried_again(camera: Camera, error: Exception) -> None:
    camera.lens = error
    camera.start()
    assert type(error).__name__ in camera.faults()["camera"]
    camera.lens = None
    camera.ticks(12)
    assert camera.is_(State.READY)
    assert camera.faults() == {}


def test_what_could_not_be_taken_from_memory_in_time_is_said(camera: Camera) -> None:
    camera.start()
    name = camera.recorder._record("ctl")["recording"]
    camera.intake.in_time = False
    assert not camera.recorder._stop("ctl")["whole"]
    assert f"the end of {name} is lost" in camera.faults()["media"]
    assert f"the end of {name} is lost" in camera.said("fault")[0]["detail"]


def test_a_log_that_is_behind_ends_when_nothing_is_recorded_any_more(agency: AgencyPaths, camera: Camera) -> None:
    """What runs is not ended for it; it is shown all the while, and until the station has the new log."""
    camera.start()
    camera.recorder._record("ctl")
    origin = camera.vault.origin
    text = note.Checkpoint(origin, 10_000, bytes(32)).text()
    signed = note.Note(text, (note.sign_ed25519(text, origin, camera.vault._session.key),))
    station, key = note.parse_vkey(agency.receipt_vkey.read_text())[0], agency.receipt_key.read_bytes()
    cosignature = note.cosign(text, station, load_pem_private_key(key, None), 1_780_000_000)
    head = signed.with_signatures([cosignature]).to_bytes()
    (camera.vault.spool.inbox_dir / "head.checkpoint").write_bytes(head)
    camera.ticks(8)
    assert "10000 leaves" in camera.faults()["epoch"]
    assert (camera.vault.origin, camera.is_(State.RECORDING)) == (origin, True)
    camera.recorder._stop("ctl")
    camera.ticks(8)
    assert camera.vault.epoch == 2
    assert "epoch" in camera.faults()
    assert len(camera.said("epoch")) == 1
    camera.recorder._record("ctl")
    camera.recorder._stop("ctl")
    camera.vault.sealer.seal_open()
    put_receipt(agency, camera.vault)
    camera.ticks(8)
    assert camera.faults() == {}


@pytest.mark.wide
@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (IntakeEventKind.MICROPHONE_LOST, "microphone"),
        (IntakeEventKind.LENS_COVERED, "lens"),
        (IntakeEventKind.PICTURE_FROZEN, "picture"),
        (IntakeEventKind.MICROPHONE_DEAF, "sound"),
        (IntakeEventKind.MICROPHONE_CLIPPED, "clipping"),
        (IntakeEventKind.OVERLOAD, "overload"),
    ],
)
def test_what_was_wrong_with_a_lens_that_was_lost_is_not_held_against_the_next(
    camera: Camera, kind: IntakeEventKind, fault: str
) -> None:
    camera.start()
    camera.tell(kind, "x")
    camera.ticks(1)
    assert fault in camera.faults()
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.ticks(12)
    assert camera.faults() == {}
    assert camera.is_(State.READY)


def test_a_lens_that_takes_long_to_be_refused_leaves_turns_to_others(camera: Camera) -> None:
    """The next try comes two seconds after the last one ended, not after it began."""
    camera.start()
    tries, real = list[int](), camera.recorder._lens.open

    def slow(ready_s: float = 0) -> None:
        tries.append(camera.clock.now_ns)
        camera.clock.now_ns += 3 * NS
        real(ready_s)

    camera.recorder._lens.open = slow  # type: ignore[method-assign]
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.ticks(60)
    assert min(b - a for a, b in pairwise(tries)) >= 5 * NS


def test_what_was_lost_is_shown_until_the_next_recording_is_whole_so_far(camera: Camera) -> None:
    camera.start()
    camera.recorder._record("ctl")
    camera.intake.in_time = False
    loop = camera.recorder._loop
    loop.act("stop", lambda: camera.recorder._stop("ctl"))
    assert "media" in camera.faults()
    camera.ticks(40)
    assert "media" in camera.faults()
    camera.recorder._record("ctl")
    camera.ticks(4)
    assert camera.faults() == {}


def test_a_stop_after_the_muxer_failed_leaves_nothing_to_show(camera: Camera) -> None:
    camera.start()
    camera.recorder._record("ctl")
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.SINK_FAILED, "the muxer refuses a packet")
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.ticks(4)
    camera.recorder._stop("ctl")
    camera.lens = None
    camera.ticks(12)
    assert camera.faults() == {}
    assert camera.is_(State.READY)


def test_a_press_while_there_is_no_lens_is_not_lost(camera: Camera) -> None:
    camera.lens = DeviceError("no lens", "plug it in")
    camera.start()
    with pytest.raises(DeviceError, match="begins by itself"):
        camera.recorder._record("button")
    camera.lens = None
    camera.ticks(12)
    assert camera.is_(State.RECORDING)
    assert starts(camera) == [("button", None)]


def test_what_the_station_refuses_is_shown_until_it_is_delivered_and_logged_once(camera: Camera) -> None:
    camera.start()
    progress = camera.vault.spool.inbox_dir / "progress.json"
    progress.write_text('{"state": "idle", "refused": "e0000000000-00000000: no\\u001b[2J"}')
    camera.ticks(8)
    assert camera.faults() == {"upload": "e0000000000-00000000: no?[2J"}
    for odd in ("", "[]", '{"refused": 5}', '{"refused": ""}'):
        progress.write_text(odd)
        camera.ticks(1)
        assert camera.faults() == {}
    assert [b["detail"] for b in camera.said("fault")] == ["e0000000000-00000000: no?[2J"]


def test_the_uploader_is_told_which_segments_hold_a_mark_while_docked_and_the_card_shows_none_else(
    camera: Camera,
) -> None:
    camera.start()
    outbox = camera.vault.spool.root / "outbox"
    camera.recorder._record("ctl")
    # The first part opens the segment of the recording, on the sealing thread.
    camera.until_sealed()
    name = camera.vault.sealer.open_name
    camera.recorder._takes.mark("he drops the bag")
    camera.recorder._takes.mark("again")
    assert name.encode() not in (outbox / "dock.json").read_bytes()
    camera.recorder._dock(True)
    assert marked_in(outbox) == {name}
    assert camera.vault.spool.segment(SegmentState.SEALED, name).exists()
    camera.recorder._dock(False)
    assert marked_in(outbox) == frozenset()
    assert name.encode() not in (outbox / "dock.json").read_bytes()
