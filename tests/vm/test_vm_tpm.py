"""A camera whose key is in a TPM, from its first key to the receipt: the recorder reaches the chip from within its
unit, as docs/operations.md has that set up.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.test_units import SYSTEMD
from tests.vm.bodycam import ETC, FPS, PROFILE, ROOT, BodyCamera, Station
from tests.vm.conftest import IMAGES, KINDS, SLOW
from tests.vm.machine import Machine
from tests.vm.qemu import Qemu
from tests.vm.test_vm_boots import emptied, ready

pytestmark = pytest.mark.skipif("qemu" not in KINDS, reason="QEMU was not asked for, and no other has a TPM")
DROP_IN = "/etc/systemd/system/bodycam-recorder.service.d/tpm.conf"
EXAMPLE = "/usr/share/doc/bodycam-agent/examples/tpm.conf"
KEY, COUNTER = "tpm:0x81010001", "tpm:0x01800100"
PARTS = 4


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Flashed, with the package, and not provisioned."""
    port = free_port()
    station = Station.new(tmp_path / "agency", [Qemu.host])
    station.serve([], f"127.0.0.1:{port}")
    with Qemu(IMAGES, tmp_path / "machine", station_port=port, steady=True, tpm=True) as machine:
        machine.start(180 * SLOW["qemu"])
        machine.wait_for("[ -w /etc ]", 60 * SLOW["qemu"])
        yield machine
    station.stop()


def test_a_key_in_a_tpm_signs_what_is_recorded_and_counts_the_starts(machine: Machine, tmp_path: Path) -> None:
    camera = BodyCamera(machine, Station(tmp_path / "agency"), SLOW["qemu"])
    assert f"install -D -m 644 {EXAMPLE} {DROP_IN}\n" in (ROOT / "docs" / "operations.md").read_text("utf-8")
    machine.put((SYSTEMD / "bodycam-recorder.service.d" / "tpm.conf").read_bytes(), DROP_IN)
    machine.run("systemctl daemon-reload", 60 * camera.slow)
    profile = {**PROFILE, "video": {**PROFILE["video"], "fps": FPS["qemu"]}}
    camera.provision(profile, f"--key {KEY} --counter {COUNTER}")
    assert not machine.ask(f"ls {ETC}/recorder/identity.key").ok

    recordings = []
    for boots in range(2):
        ready(camera)
        camera.press()
        # Counted from the recorder's start on.
        told = camera.until(lambda told: bool(told.get("recording")) and told["parts"] >= PARTS, 120)
        recordings.append(told["recording"])
        if boots == 0:
            machine.power_cut()
            machine.start(180 * camera.slow)
    camera.hold()
    camera.until(lambda told: "recording" in told and told["recording"] is None, 60)
    camera.dock()
    camera.until(emptied, 180)
    report = camera.verify("--head", camera.newest_receipt(tmp_path))
    assert report["verified"], report["findings"]
    assert [(r["recording"], r["ended"]) for r in report["recordings"]] == [
        (recordings[0], "interrupted"),
        (recordings[1], "stop"),
    ]
