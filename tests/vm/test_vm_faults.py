"""What goes wrong around a camera: each ends in a state that is shown and logged, and is over when its cause is gone.

On user-mode Linux alone: nothing here depends on the machine's pace or its disk's cache.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vm.bodycam import BodyCamera
from tests.vm.conftest import KINDS, Make

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")
DATA = "/var/lib/bodycam-agent"
STEADY = "status['state'] == 'ready' and not set(faults) - {'sound', 'microphone'}"
"""A loopback opened before its player, or that outlives it, gives silence for good: that is the loopback's own way."""


@pytest.fixture
def camera(make_camera: Make) -> BodyCamera:
    camera = make_camera("uml")
    camera.wait(STEADY, 60)
    return camera


@pytest.fixture
def recording(camera: BodyCamera) -> str:
    """One that runs, and from which something is durable."""
    return begin(camera)


def begin(camera: BodyCamera) -> str:
    before = camera.status()["parts"]
    camera.press()
    return str(camera.wait(f"status['recording'] and status['parts'] > {before} + 2", 60)["recording"])


def end(camera: BodyCamera) -> None:
    camera.hold()
    camera.wait("status['recording'] is None", 60)


def delivered(camera: BodyCamera, into: Path) -> dict[str, Any]:
    """All of it at the station, verified to the last leaf."""
    camera.dock()
    camera.wait("status['segments']['sealed'] == 0 and status['segments']['delivered'] > 0", 120)
    report = camera.verify("--head", camera.newest_receipt(into))
    assert report["verified"], report["findings"]
    return report


def states(report: dict[str, Any]) -> set[str]:
    """What the accounts say that the camera was in."""
    (own,) = report["accounts"]
    return {account["state"] for boot in own["boots"] for account in boot["accounts"]}


def goes_on(camera: BodyCamera, recording: str, parts: int = 4) -> None:
    """It still runs, and more of it becomes durable."""
    durable = camera.status()["parts"]
    camera.wait(f"status['recording'] == {recording!r} and status['parts'] >= {durable + parts}", 60)


def test_a_lens_that_goes_and_comes_back(camera: BodyCamera, recording: str, tmp_path: Path) -> None:
    camera.machine.lens(False)
    camera.wait("status['recording'] is None and 'camera' in faults", 60)
    assert not camera.light()
    camera.machine.lens(True)
    linked = camera.wait(f"status['recording'] not in (None, {recording!r}) and 'camera' not in faults", 60)[
        "recording"
    ]
    goes_on(camera, linked)
    assert camera.light()
    end(camera)
    report = delivered(camera, tmp_path)
    assert [r["recording"] for r in report["recordings"]] == [recording, linked]
    assert "fault" in states(report)


def test_a_microphone_that_hears_nothing_more(camera: BodyCamera, recording: str, tmp_path: Path) -> None:
    camera.machine.run("systemctl stop loopback-tone")
    camera.wait("'microphone' in faults or 'sound' in faults", 60)
    goes_on(camera, recording)
    end(camera)
    delivered(camera, tmp_path)


def test_a_full_disk(camera: BodyCamera, recording: str, tmp_path: Path) -> None:
    free = f"$(df --output=avail -B1 {DATA} | tail -1)"
    camera.machine.run(f"fallocate -l $(({free} - (8 << 20))) {DATA}/ballast; sync")
    camera.wait("status['recording'] is None and 'storage' in faults", 60)
    camera.machine.run(f"rm {DATA}/ballast; sync")
    second = begin(camera)
    camera.wait("'storage' not in faults", 90)
    end(camera)
    report = delivered(camera, tmp_path)
    assert {recording, second} <= {r["recording"] for r in report["recordings"]}


def test_a_disk_that_may_only_be_read(camera: BodyCamera, recording: str, tmp_path: Path) -> None:
    # The emergency remount of magic SysRq takes it from under open files, as the kernel does after an error.
    camera.machine.run(
        "echo u > /proc/sysrq-trigger; i=0; until findmnt -no OPTIONS " + DATA + " | grep -qw ro; do sleep .1; done"
    )
    camera.wait("set(faults) - {'sound', 'microphone'}", 60)
    camera.machine.run(f"mount -o remount,rw {DATA}")
    camera.wait("status['state'] in ('ready', 'recording') and not set(faults) - {'sound', 'microphone'}", 120)
    if camera.status()["recording"] is None:
        begin(camera)
    goes_on(camera, camera.status()["recording"])
    end(camera)
    delivered(camera, tmp_path)


@contextlib.contextmanager
def on_a_mapped_disk(camera: BodyCamera) -> Iterator[None]:
    """The data disk below device-mapper, where its ways can be changed."""
    run = camera.machine.run
    run("systemctl stop bodycam-uploader bodycam-recorder", 60)
    run(f"umount {DATA} && modprobe dm-mod && modprobe dm-flakey")
    run('dmsetup create data --table "0 $(blockdev --getsz /dev/ubdb) linear /dev/ubdb 0"')
    run(f"mount -o noatime /dev/mapper/data {DATA} && systemctl start bodycam-recorder bodycam-uploader", 60)
    camera.wait(STEADY, 60)
    yield


def test_a_disk_that_stands_still(camera: BodyCamera, tmp_path: Path) -> None:
    with on_a_mapped_disk(camera):
        recording = begin(camera)
        camera.machine.run("dmsetup suspend --noflush --nolockfs data")
        camera.wait("'storage' in faults or 'media' in faults", 60)
        assert not camera.light()
        camera.machine.run("dmsetup resume data")
        camera.wait(f"not set(faults) - {{'sound', 'microphone'}} and status['recording'] == {recording!r}", 60)
        goes_on(camera, recording)
        assert camera.status()["parts_lost"] == 0
        end(camera)
        delivered(camera, tmp_path)


def test_a_disk_that_fails(camera: BodyCamera, tmp_path: Path) -> None:
    """Writes are errors: the kernel gives the file system up, and the next start finds what was durable."""
    with on_a_mapped_disk(camera):
        begin(camera)
        table = "0 $(blockdev --getsz /dev/ubdb) flakey /dev/ubdb 0 0 600 1 error_writes"
        camera.machine.run(
            f'dmsetup suspend --noflush --nolockfs data; dmsetup load data --table "{table}"; dmsetup resume data'
        )
        camera.wait("set(faults) - {'sound', 'microphone'}", 60)
        assert camera.machine.ask("systemctl is-active bodycam-recorder").ok
        camera.machine.power_cut()
        camera.machine.start()
        camera.wait(STEADY, 90)
        begin(camera)
        end(camera)
        delivered(camera, tmp_path)


def test_a_recorder_that_stands_still_is_started_again(camera: BodyCamera, recording: str, tmp_path: Path) -> None:
    camera.machine.run("systemctl kill --signal STOP bodycam-recorder")
    camera.machine.wait_for("[ $(systemctl show bodycam-recorder -p NRestarts --value) -ge 1 ]", 90)
    camera.wait(STEADY, 60)
    assert "watchdog" in camera.journal().lower()
    second = begin(camera)
    end(camera)
    report = delivered(camera, tmp_path)
    ended = {r["recording"]: r["ended"] for r in report["recordings"]}
    assert ended[second] == "stop" and ended[recording] != "stop"


@pytest.mark.parametrize("hours", [7, -9])
def test_a_wall_clock_that_jumps(camera: BodyCamera, recording: str, hours: int, tmp_path: Path) -> None:
    camera.machine.run(f"date -s '{hours:+d} hours'")
    goes_on(camera, recording)
    camera.machine.run(f"date -s '{-hours:+d} hours'")
    goes_on(camera, recording)
    end(camera)
    report = delivered(camera, tmp_path)
    (found,) = report["recordings"]
    assert found["recording"] == recording and found["ended"] == "stop" and found["duration_s"] < 120


def test_an_uploader_that_crashes_in_a_loop(camera: BodyCamera, recording: str, tmp_path: Path) -> None:
    restarts = "systemctl show bodycam-uploader -p NRestarts --value"
    for count in range(1, 4):
        camera.machine.run("systemctl kill --signal KILL bodycam-uploader")
        camera.machine.wait_for(f"[ $({restarts}) -ge {count} ] && systemctl is-active bodycam-uploader", 60)
    goes_on(camera, recording)
    assert set(camera.status()["faults"]) <= {"sound", "microphone"}
    end(camera)
    delivered(camera, tmp_path)
