"""The recorder's loop on a failing disk: nothing that fails in a turn ends it, fills its log, or is forgotten."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from agent import events
from agent.capture import choose
from agent.errors import DeviceError, StorageError
from agent.formats import age
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from agent.intake.report import IntakeCounters
from agent.model import NS, EncodedPacket, MediaPart, SegmentState, StreamInfo, Track
from agent.prefix import read_prefix
from agent.recorder import Recorder
from agent.spool.store import DiskSpace
from agent.station.layout import AgencyPaths
from agent.status import State
from agent.vault import Vault
from tests.camera_kit import FakeClock, read
from tests.muxer_kit import Muxer
from tests.recorder_kit import make_config
from tests.test_vault import put_receipt


class DeskIntake:
    """Lens and microphone as the recorder sees them; pictures come when the test gives them."""

    def __init__(self, *_: object) -> None:
        self.sink: Callable[[EncodedPacket], None] | None = None

    def start(self) -> None:
        pass

    def stop(self) -> bool:
        return True

    def wait_ready(self, deadline_s: float) -> StreamInfo:
        return StreamInfo(320, 180, b"", None, 1_000 * NS)

    def attach(self, sink: Callable[[EncodedPacket], None], since_mono_ns: int) -> int:
        self.sink = sink
        sink(EncodedPacket(Track.VIDEO, 0, 3_000, True, b""))
        return 0

    def counters(self) -> IntakeCounters:
        return IntakeCounters(**{f.name: 0 for f in fields(IntakeCounters)})

    def detach(self, until_mono_ns: int | None = None) -> bool:
        self.sink = None
        return True


class Camera:
    """One recorder whose time is the test's: each tick is a quarter of a second, and what was posted comes first."""

    def __init__(self, agency: AgencyPaths, root: Path, patch: pytest.MonkeyPatch, at_boot: bool = False) -> None:
        config = make_config(agency, root)
        self.agency, self.clock, self.muxers = agency, FakeClock(), list[Muxer]()
        self.lens: DeviceError | None = None
        patch.setattr("agent.recorder.Intake", DeskIntake)
        patch.setattr(choose, "open_sources", self._sources)
        patch.setattr(Recorder, "_make_muxer", self._muxer)
        recording = replace(config.recording, record_at_boot=at_boot)
        self.recorder = Recorder(replace(config, recording=recording), self.clock)

    def _sources(self, *_: object) -> tuple[None, None]:
        if self.lens:
            raise self.lens
        return None, None

    def _muxer(self, _: Recorder, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None]) -> Muxer:
        self.muxers.append(Muxer(on_init, on_part, at_close=1, at_push=1))
        return self.muxers[-1]

    def start(self) -> Camera:
        self.recorder.start()
        return self

    def ticks(self, count: int) -> None:
        """As `Recorder.run` would, for so many quarters of a second."""
        loop = self.recorder._loop
        for _ in range(count):
            self.clock.now_ns += NS // 4
            self._until_sealed()
            while not loop._queue.empty():
                loop.act(*loop._queue.get())
            loop.act("recorder", self.recorder._tick)

    def _until_sealed(self) -> None:
        """Fake time does not run ahead of the sealing thread."""
        recording, end = self.recorder._life.recording, time.monotonic() + 30
        while recording and recording.progress().waiting:
            assert time.monotonic() < end
            time.sleep(0.001)

    def is_(self, state: State) -> bool:
        return self.recorder.state is state

    @property
    def vault(self) -> Any:
        assert self.recorder._vault
        return self.recorder._vault

    def faults(self) -> dict[str, str]:
        return dict(self.recorder.status()["faults"])

    def bodies(self) -> list[dict[str, Any]]:
        """Of all events so far, in the log's order, as the agency reads them."""
        self.vault.sealer.seal_open()
        identity = age.parse_identity_file(self.agency.agency_identity.read_text())[0]
        found = []
        for state in (SegmentState.SEALED, SegmentState.DELIVERED):
            for path in self.vault.spool.segments(state):
                for entry, leaf in read(path)[2]:
                    if isinstance(leaf, leaves.EventLeaf):
                        body = leaves.open_body(age.decrypt(entry.sealed, [identity]), leaf.body)
                        assert events.parse(body).event, body
                        found.append((leaf.common.index, body))
        return [body for _, body in sorted(found, key=lambda item: item[0])]

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [body for body in self.bodies() if body["type"] == kind]


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    made = Camera(agency, tmp_path, monkeypatch)
    yield made
    made.recorder.close()


def refuse(patch: pytest.MonkeyPatch, call: str, pattern: str, times: int = 1_000_000) -> list[str]:
    """`os.call` fails for paths (or open files) whose names match; returns what was refused."""
    real, refused = getattr(os, call), list[str]()

    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        names = [os.readlink(f"/proc/self/fd/{a}") if type(a) is int else str(a) for a in arguments[:2]]
        if any(re.search(pattern, name) for name in names) and len(refused) < times:
            refused.append(call)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
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
    camera.recorder._finish("ctl")
    assert [b["what"] for b in camera.said("fault")] == [fault] * len(camera.said("cleared"))


def test_what_cannot_be_sealed_is_told_with_the_reason_though_a_tick_comes_first(camera: Camera) -> None:
    camera.start()
    camera.recorder._record("ctl")
    with pytest.MonkeyPatch.context() as patch:
        assert refuse(patch, "rename", "/sealed/") == []
        camera.recorder._finish("ctl")
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
    assert camera.is_(State.STARTING)
    assert camera.faults() == {"camera": "no lens"}
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
        assert camera.is_(State.READY)
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
    assert camera.is_(State.READY)
    (stop,) = camera.said("record.stop")
    assert (stop["reason"], stop["lost_parts"], camera.recorder.status()["parts"]) == ("storage full", 0, 2)


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
    prefix = read_prefix(path)
    assert prefix.next_index == vault._book.log.next_index == size
    assert isinstance(prefix.deciding, leaves.EventLeaf)
    assert prefix.deciding.kind is Kind.SHUTDOWN
