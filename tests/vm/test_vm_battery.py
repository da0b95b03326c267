"""A battery that runs out under a camera that records: the kernel's simulated one, our recorder, and the unit by which
it is switched off.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.bodycam import BodyCamera
from tests.vm.conftest import KINDS, Make
from tests.vm.logged import said
from tests.vm.units import drop_in

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")
PARAMETERS = "/sys/module/test_power/parameters"
REQUEST = "/run/bodycam-agent/poweroff"
CRITICAL = "the battery is critical: 4 %"
NO_LADDER = {"ladder": {"enabled": False}}
"""A battery that is low goes on with a smaller picture, in another recording."""


@pytest.fixture
def camera(make_camera: Make) -> BodyCamera:
    """Off the charger, its battery half full."""
    camera = make_camera("uml", NO_LADDER)
    camera.machine.run("modprobe test_power battery_capacity=50 battery_status=discharging && udevadm settle")
    camera.machine.run(f"for of in usb ac; do echo off >{PARAMETERS}/${{of}}_online; done")
    camera.wait("status['state'] == 'ready' and not faults and status['power']['battery_percent'] == 50", 60)
    return camera


def falls_to(camera: BodyCamera, percent: int) -> None:
    camera.machine.run(f"echo {percent} >{PARAMETERS}/battery_capacity")


def begin(camera: BodyCamera) -> str:
    camera.press()
    return str(camera.wait("status['recording'] and status['parts'] > 2", 60)["recording"])


def test_at_the_end_of_its_battery_the_recording_is_ended_and_the_camera_off(
    camera: BodyCamera, tmp_path: Path
) -> None:
    recording = begin(camera)
    falls_to(camera, 15)
    camera.wait(f"status['recording'] == {recording!r} and 'battery' in faults", 60)
    falls_to(camera, 4)
    camera.machine.wait_off(120)
    # With a battery that is not there, it waits for a press as ever.
    camera.machine.start(180)
    camera.wait("status['state'] == 'ready' and not faults", 60)
    camera.dock()
    camera.wait("status['segments']['sealed'] == 0 and status['segments']['delivered'] > 0", 120)
    report = camera.verify("--head", camera.newest_receipt(tmp_path))
    assert report["verified"], report["findings"]
    (found,) = report["recordings"]
    assert (found["recording"], found["ended"]) == (recording, "stop")
    (stop,), (off,) = said(camera, "record.stop"), said(camera, "power.off")
    assert stop["reason"] == off["reason"] == CRITICAL
    assert [told["level"] for told in said(camera, "battery")] == ["normal", "low", "critical"]
    (own,) = report["accounts"]
    assert own["boots"][-2]["ended"] == "stopped", own


def test_a_switch_off_that_does_not_come_about_is_asked_for_again(camera: BodyCamera) -> None:
    """Whatever it was that kept the machine on."""
    with drop_in(camera, "bodycam-poweroff", "[Unit]\nSuccessAction=none\n"):
        falls_to(camera, 3)
        camera.machine.wait_for("journalctl -b -q -u bodycam-poweroff | grep -q Finished", 60)
        assert camera.machine.run(f"ls {REQUEST} 2>/dev/null || true") == ""
        assert camera.status()["recording"] is None
    camera.machine.wait_off(180)
