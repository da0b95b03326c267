"""A full disk and an absent station: shown, logged, nothing recorded lost, and over when the cause is gone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.bench_watch import status_of
from agent.config import SpoolConfig
from agent.errors import Exit, StorageError
from agent.formats import age
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from agent.model import SegmentState
from agent.spool.store import Spool
from agent.station.layout import AgencyPaths
from tests.camera_kit import Desk, all_leaves_of
from tests.ports import free_port
from tests.recorder_kit import RecorderProcess, StationProcess, make_config

SUDO = [] if os.getuid() == 0 else ["sudo", "-n"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB of its own: the real ENOSPC, not a simulated one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = f"size=24m,mode=0700,uid={os.getuid()}"
    if SUDO and (shutil.which("sudo") is None or subprocess.run([*SUDO, "true"], capture_output=True).returncode):
        pytest.skip("only root mounts a disk, and sudo asks for a password")
    subprocess.run([*SUDO, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run([*SUDO, "umount", "-l", str(disk)], check=True)


def fill(disk: Path, leave_bytes: int) -> Path:
    """Take all but so much of what is free."""
    ballast = disk / "ballast"
    stat = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, stat.f_bavail * stat.f_frsize - leave_bytes)
    return ballast


def test_a_disk_that_fills_ends_the_recording_with_its_stop_leaf(agency: AgencyPaths, small_disk: Path) -> None:
    config = make_config(agency, small_disk)
    config = replace(
        config,
        recording=replace(config.recording, segment_s=5, pre_event_s=0),
        spool=SpoolConfig(dir=small_disk / "spool", log_reserve_mib=1, free_floor_mib=1),
    )
    with RecorderProcess(config, small_disk) as recorder:
        recorder.until(lambda s: s["state"] == "ready")
        recorder.ask("record")
        recorder.until(lambda s: s["parts"] >= 2)
        ballast = fill(small_disk, 200_000)
        full = recorder.until(lambda s: s["recording"] is None, 60)
        assert full["state"] == "fault", "a press would not record"
        assert "No space left" in full["faults"]["storage"]
        ballast.unlink()
        second = recorder.ask("record")["recording"]
        recorder.until(lambda s: s["recording"] == second and s["parts"] > full["parts"] + 2)
        recorder.until(lambda s: "storage" not in s["faults"])
        recorder.ask("stop")
        assert recorder.stop() == 0
    first, again = _stops(config.spool.dir)
    assert first.facts["parts"] == _media(config.spool.dir, first.recording) >= 2
    assert again.recording == second
    body = _body(agency, config.spool.dir, first)
    assert body["reason"] == "storage full"


def test_a_full_disk_at_the_press_is_refused_in_words_and_leaves_a_start_and_a_stop(
    agency: AgencyPaths, small_disk: Path
) -> None:
    config = make_config(agency, small_disk)
    with RecorderProcess(config, small_disk) as recorder:
        recorder.until(lambda s: s["state"] == "ready")
        fill(small_disk, 300_000)
        with pytest.raises(StorageError, match="nothing is recorded: no room for one more segment"):
            recorder.ask("record")
        full = recorder.ask("status")
        assert (full["recording"], full["recordings"], full["state"]) == (None, [], "fault")
        assert full["faults"].keys() == {"storage"}, "nothing that could not be stored"
        assert status_of(full["faults"], full) is Exit.STORAGE
        assert recorder.stop() == 0
    (stop,) = _stops(config.spool.dir)
    assert stop.facts["parts"] == 0
    assert _body(agency, config.spool.dir, stop)["reason"] == "storage full"
    start = next(x for x in all_leaves_of(Spool(config.spool.dir)) if x.common.index == stop.common.index - 1)
    assert isinstance(start, leaves.EventLeaf) and start.kind is Kind.START


def test_a_start_without_room_for_the_logs_reserve_is_shown_and_still_a_start(
    agency: AgencyPaths, small_disk: Path
) -> None:
    """Only a recorder that runs gets the card emptied: it accepts receipts, and deletes."""
    config = make_config(agency, small_disk)
    ballast = fill(small_disk, 600_000)
    with RecorderProcess(config, small_disk) as recorder:
        status = recorder.until(lambda s: s["state"] == "fault")
        assert "cannot reserve space for the log" in status["faults"]["reserve"]
        assert "no room for one more segment" in status["faults"]["storage"], "nor would a press record"
        assert recorder.ask("dock")["docked"]
        ballast.unlink()
        assert recorder.stop() == 0
    with RecorderProcess(config, small_disk) as recorder:
        assert "reserve" not in recorder.until(lambda s: s["state"] == "ready")["faults"]
        assert recorder.stop() == 0


def test_a_segment_that_cannot_be_sealed_is_shown_and_sealed_when_it_can_be(
    agency: AgencyPaths, tmp_path: Path
) -> None:
    """A real fault: the directory it belongs in is gone for a while. Meanwhile a press records as ever."""
    config = make_config(agency, tmp_path)
    sealed, away = config.spool.dir / "sealed", tmp_path / "away"
    with RecorderProcess(config, tmp_path) as recorder:
        recorder.until(lambda s: s["state"] == "ready")
        recorder.ask("record")
        recorder.until(lambda s: s["parts"] >= 3)
        sealed.rename(away)
        assert recorder.ask("stop")["whole"]
        shown = recorder.until(lambda s: "sealing" in s["faults"])
        assert "cannot move to" in shown["faults"]["sealing"]
        recorder.ask("record")
        recorder.until(lambda s: s["parts"] >= shown["parts"] + 3)
        away.rename(sealed)
        recorder.until(lambda s: "sealing" not in s["faults"])
        recorder.ask("stop")
        assert recorder.stop() == 0
    found = all_leaves_of(Spool(config.spool.dir))
    assert [x.common.index for x in found] == list(range(len(found)))
    assert [x.facts["parts"] for x in _stops(config.spool.dir)] == [
        _media(config.spool.dir, x.recording) for x in _stops(config.spool.dir)
    ]
    assert len(_stops(config.spool.dir)) == 2


def _stops(spool: Path) -> list[leaves.EventLeaf]:
    found = all_leaves_of(Spool(spool))
    return [x for x in found if isinstance(x, leaves.EventLeaf) and x.kind is Kind.STOP]


def _media(spool: Path, recording: str | None) -> int:
    return sum(isinstance(x, leaves.MediaLeaf) and x.recording == recording for x in all_leaves_of(Spool(spool)))


def _body(agency: AgencyPaths, spool: Path, leaf: leaves.EventLeaf) -> dict[str, object]:
    from tests.camera_kit import read

    identity = age.parse_identity_file(agency.agency_identity.read_text())
    for path in Spool(spool).dir(SegmentState.SEALED).glob("*.tar"):
        for entry, found in read(path)[2]:
            if found.common.index == leaf.common.index:
                return leaves.open_body(age.decrypt(entry.sealed, identity), leaf.body)
    raise AssertionError("the leaf's segment is not there")


def test_a_station_that_is_away_loses_nothing_and_is_found_when_it_is_back(
    agency: AgencyPaths, desk: Desk, tmp_path: Path
) -> None:
    port = free_port()
    config = make_config(agency, tmp_path / "camera", f"https://127.0.0.1:{port}")
    with (
        RecorderProcess(config, tmp_path / "camera") as recorder,
        RecorderProcess(config, tmp_path / "camera", "uploader"),
    ):
        recorder.until(lambda s: s["state"] == "ready")
        recorder.ask("record")
        recorder.until(lambda s: s["parts"] >= 2)
        recorder.ask("stop")
        recorder.ask("dock")
        away = recorder.until(lambda s: s["upload"].get("state") == "unreachable")
        assert away["segments"]["sealed"] >= 2
        assert away["delivered"] == 0
        with StationProcess(agency, port):
            count = away["segments"]["sealed"]
            there = recorder.until(lambda s: s["delivered"] == count, 90)
            assert (there["segments"]["sealed"], there["segments"]["delivered"]) == (0, count)
