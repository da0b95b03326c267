"""A kernel that stands still while the camera records: the hardware's watchdog (i6300esb), which systemd feeds since
our package says so, starts it anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm import cuts
from tests.vm.conftest import KINDS, Make
from tests.vm.cuts import Cut
from tests.vm.logged import held_by
from tests.vm.qemu import Qemu
from tests.vm.test_vm_boots import emptied, ready

pytestmark = pytest.mark.skipif("qemu" not in KINDS, reason="QEMU was not asked for, and no other has a watchdog")
WATCHED = "systemctl show -p RuntimeWatchdogUSec -p RebootWatchdogUSec -p WatchdogDevice"
PARTS = 6
LIMIT_S = 300
"""Its 15 s, and the boot."""


def test_a_kernel_that_hangs_is_started_anew_and_what_was_recorded_is_there(make_camera: Make, tmp_path: Path) -> None:
    # By its own clock: a machine that is late is not taken for one that hangs.
    camera = make_camera("qemu", steady=True, resets=True)
    ready(camera)
    watched = dict(line.split("=", 1) for line in camera.machine.run(WATCHED).split())
    # The kernel has two names for it, and systemd opens the one that is there first.
    assert watched.pop("WatchdogDevice") in ("/dev/watchdog", "/dev/watchdog0")
    assert watched == {"RuntimeWatchdogUSec": "15s", "RebootWatchdogUSec": "15s"}

    camera.press()
    told = camera.until(lambda told: bool(told.get("recording")) and told["parts"] >= PARTS, 120)
    boot = camera.machine.boot
    assert boot
    assert isinstance(camera.machine, Qemu)
    camera.machine.hang()
    camera.machine.wait_reset(LIMIT_S)
    assert camera.machine.boot != boot
    ready(camera)
    camera.dock()
    camera.until(emptied, 180)

    report = camera.verify("--head", camera.newest_receipt(tmp_path))
    assert report["verified"], report["findings"]
    (found,) = report["recordings"]
    assert found["recording"] == told["recording"] and found["ended"] == "interrupted"
    cut = Cut("hung", boot, 0.0, told)
    assert cut.durable_parts >= PARTS
    assert cuts.lost_parts(held_by(camera), cut) == 0
