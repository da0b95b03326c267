"""What starts the units of an installed camera: a data disk that comes late, and each time on the charger."""

from __future__ import annotations

import pytest

from tests.vm.bodycam import BodyCamera
from tests.vm.conftest import KINDS, Make
from tests.vm.units import shown

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")
DISK = "/dev/ubdb"
ON_DATA = ("bodycam-recorder.service", "bodycam-uploader.service", "bodycam-apply.path")
DOCK = "bodycam-dock.target"


@pytest.fixture
def camera(make_camera: Make) -> BodyCamera:
    camera = make_camera("uml")
    camera.wait_ready(60)
    return camera


def active(camera: BodyCamera) -> list[str]:
    return [shown(camera, unit, "ActiveState")["ActiveState"] for unit in ON_DATA]


def test_a_data_disk_that_is_not_there_at_boot_starts_the_camera_when_it_comes(camera: BodyCamera) -> None:
    """By docs/operations.md's line for /etc/fstab; the disk has another label meanwhile."""
    wanted = r"nofail,x-systemd.wanted-by=dev-disk-by\\x2dlabel-late.device,x-systemd.device-timeout=4s"
    mount = f"LABEL=late /var/lib/bodycam-agent ext4 noatime,{wanted} 0 2"
    camera.machine.run(f"sed -i '/bodycam-agent/d' /etc/fstab && printf '{mount}\\n' >>/etc/fstab && sync")
    camera.machine.shutdown(120)
    camera.machine.start(180)
    camera.machine.wait_for("[ $(systemctl is-system-running) != starting ]", 120)
    assert active(camera) == ["inactive"] * 3
    camera.machine.run(f"e2label {DISK} late && udevadm trigger /sys/class/block/{DISK.removeprefix('/dev/')}")
    camera.wait("status['state'] == 'ready'", 120)
    for unit in ON_DATA:
        camera.machine.wait_for(f"systemctl is-active {unit}", 60)


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
