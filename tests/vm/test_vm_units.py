"""What starts the units of an installed camera: a data disk that comes late, and each time on the charger."""

from __future__ import annotations

import re

import pytest

from tests.vm.bodycam import ROOT, BodyCamera
from tests.vm.conftest import KINDS, Make
from tests.vm.units import blinks, lit

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")
DISK = "/dev/ubdb"
OPERATIONS = ROOT / "docs" / "operations.md"
DATA = "/var/lib/bodycam-agent"
MOUNT = r"var-lib-bodycam\x2dagent.mount"
ON_DATA = ("bodycam-recorder.service", "bodycam-uploader.service", "bodycam-apply.path")
DOCK = "bodycam-dock.target"
RECORDER = "systemctl show --property=MainPID bodycam-recorder"


@pytest.fixture
def camera(make_camera: Make) -> BodyCamera:
    camera = make_camera("uml")
    camera.wait_ready(60)
    return camera


def boot_with(camera: BodyCamera, line: str) -> None:
    """With `line` in /etc/fstab for the data, on which the camera does not wait for ever."""
    camera.machine.run(f"sed -i '/bodycam-agent/d' /etc/fstab && printf '{line}\\n' >>/etc/fstab && sync")
    camera.machine.shutdown(120)
    camera.machine.start(180)


def is_there_and_says_that_it_has_no_disk(camera: BodyCamera) -> None:
    status = camera.wait("status['state'] == 'fault' and 'storage' in faults", 90)
    assert "is not mounted at /var/lib/bodycam-agent" in status["faults"]["storage"]
    assert status["officer"]["alarm"] and not camera.light() and blinks(camera)
    # Nothing lies where the mount would hide it.
    assert not camera.machine.run(f"findmnt {DATA} || true").strip()
    assert not camera.machine.run(f"find {DATA} -type f").strip()


def is_whole(camera: BodyCamera) -> None:
    camera.wait("status['state'] in ('ready', 'recording') and not faults", 150)
    for unit in ON_DATA:
        camera.machine.wait_for(f"systemctl is-active {unit}", 60)


def test_a_data_disk_that_is_not_there_at_boot_is_shown_and_taken_when_it_comes(camera: BodyCamera) -> None:
    """By docs/operations.md's line for /etc/fstab; the disk has another label meanwhile."""
    (wanted,) = re.findall(r"`LABEL=bodycam (/var/lib/bodycam-agent ext4 [^`]+)`", OPERATIONS.read_text("utf-8"))
    boot_with(camera, "LABEL=late " + wanted.replace("label-bodycam", "label-late").replace("\\", "\\\\"))
    is_there_and_says_that_it_has_no_disk(camera)
    camera.press()
    camera.wait("status['wanted'] == 'button' and status['recording'] is None", 60)
    camera.machine.run(f"e2label {DISK} late && udevadm trigger /sys/class/block/{DISK.removeprefix('/dev/')}")
    is_whole(camera)
    # What was asked for meanwhile.
    assert camera.wait("status['recording']", 60) and lit(camera)


def test_a_data_disk_that_does_not_mount_is_tried_again_until_it_does(camera: BodyCamera) -> None:
    """As an empty card too: nothing on it is the recorder's yet."""
    boot_with(camera, f"LABEL=data {DATA} ext4 noatime,nofail,nonsense 0 2")
    is_there_and_says_that_it_has_no_disk(camera)
    camera.machine.run(f"mkfs.ext4 -q -F -L data {DISK}", 120)
    camera.machine.run("sed -i s/,nonsense// /etc/fstab && systemctl daemon-reload", 60)
    is_whole(camera)
    assert camera.machine.run(f"stat -c '%U:%G %a' {DATA}").strip() == "bodycam-recorder:bodycam 750"


def test_whoever_stops_the_mount_ends_no_recording(camera: BodyCamera) -> None:
    """As systemd does of itself when a device goes: what fails is shown by the recorder, which would be dark else."""
    camera.press()
    before = camera.wait("status['recording'] and status['parts'] > 2", 60)
    recorder = camera.machine.run(RECORDER)
    camera.machine.ask(f"systemctl stop '{MOUNT}'", 120)
    camera.wait(f"status['recording'] and status['parts'] > {before['parts']} + 4", 60)
    # One process throughout; where the machine is too slow for its picture, it goes on in a linked recording.
    assert camera.machine.run(RECORDER) == recorder
    # It is out for as long as such a machine is late with what it records.
    assert lit(camera)


def test_each_time_on_the_charger_starts_what_hangs_on_the_docks_target(camera: BodyCamera) -> None:
    """The kernel's simulated charger and battery, and our udev rule: on, off, and on again."""
    run, online = camera.machine.run, "/sys/module/test_power/parameters/ac_online"
    run("modprobe test_power && udevadm settle && echo off >/sys/module/test_power/parameters/usb_online")
    run(f"echo off >{online}")
    camera.machine.wait_for(f"! systemctl is-active {DOCK}", 30)
    hook = "[Unit]\nDescription=hook\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo x >>/run/docked'\n"
    camera.machine.put(hook.encode(), "/run/systemd/system/hook.service")
    run(f"systemctl daemon-reload && systemctl add-wants --runtime {DOCK} hook.service", 60)
    for time in (1, 2):
        run(f"echo on >{online}")
        camera.machine.wait_for(f"systemctl is-active {DOCK}", 30)
        camera.machine.wait_for(f"[ $(wc -l </run/docked) = {time} ]", 30)
        run(f"echo off >{online}")
        camera.machine.wait_for(f"! systemctl is-active {DOCK}", 30)
