"""What every source promises (tests/contract), asked of kernel devices: vivid's camera and snd-aloop's microphone.

Not that nothing is lost on the way: a guest that waits for this machine's processors loses pictures and sound.
"""

from __future__ import annotations

import sysconfig

import pytest

from tests.vm.bodycam import ROOT
from tests.vm.conftest import KINDS, Make

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")


def test_camera_and_microphone_of_the_kernel_keep_the_contract(make_camera: Make) -> None:
    camera = make_camera("uml")
    camera.wait_ready(60)
    run = camera.machine.run
    run("systemctl stop bodycam-recorder bodycam-uploader", 60)
    # This machine's tree and the tests' packages, through hostfs, for the guest's own Python.
    run("mkdir -p /mnt/here && mount -t hostfs none /mnt/here -o /")
    path = f"/mnt/here{sysconfig.get_path('purelib')}:/mnt/here{ROOT}"
    answer = camera.machine.ask(
        f"cd /mnt/here{ROOT} && PYTHONPATH={path} PYTHONDONTWRITEBYTECODE=1 BODYCAM_CAMERA=0 BODYCAM_MICROPHONE=hw:0,1 "
        "/usr/bin/python3 -m pytest -q -p no:cacheprovider -p no:xdist -k 'not stamped' tests/contract/test_sources.py",
        300,
    )
    print(answer.output)
    assert answer.ok, answer.output
    assert " passed" in answer.output and "skipped" not in answer.output
