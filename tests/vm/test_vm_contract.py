"""What every source promises (tests/contract), asked of kernel devices: vivid's camera and snd-aloop's microphone.

Not that nothing is lost on the way: a guest that waits for this machine's processors loses pictures and sound. What is
lost is counted, which vivid proves.
"""

from __future__ import annotations

import sysconfig

import pytest

from tests.vm.bodycam import ROOT, BodyCamera
from tests.vm.conftest import KINDS, Make

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")


def pytest_in_the_guest(camera: BodyCamera, environment: str, *arguments: str) -> str:
    """This machine's tree and the tests' packages, through hostfs, for the guest's own Python. Returns what it says."""
    run = camera.machine.run
    run("systemctl stop bodycam-recorder bodycam-uploader", 60)
    run("mkdir -p /mnt/here && (mountpoint -q /mnt/here || mount -t hostfs none /mnt/here -o /)")
    path = f"/mnt/here{sysconfig.get_path('purelib')}:/mnt/here{ROOT}"
    answer = camera.machine.ask(
        f"cd /mnt/here{ROOT} && PYTHONPATH={path} PYTHONDONTWRITEBYTECODE=1 {environment} "
        f"/usr/bin/python3 -m pytest -v -rs -p no:cacheprovider -p no:xdist {' '.join(arguments)}",
        400,
    )
    print(answer.output)
    assert answer.ok, answer.output
    return answer.output


@pytest.mark.parametrize("which", ["0", "vivid"])
def test_camera_and_microphone_of_the_kernel_keep_the_contract(make_camera: Make, which: str) -> None:
    """The camera by its number, and by its name."""
    camera = make_camera("uml")
    camera.wait_ready(60)
    told = pytest_in_the_guest(
        camera,
        f"BODYCAM_CAMERA={which} BODYCAM_MICROPHONE=hw:0,1",
        *("-k", "'not loses_no'", "tests/contract/test_sources.py"),
    )
    assert " 5 passed, 2 deselected" in told and "skipped" not in told


def test_the_webcam_driver_counts_what_the_kernels_camera_lost(make_camera: Make) -> None:
    camera = make_camera("uml")
    camera.wait_ready(60)
    told = pytest_in_the_guest(camera, "BODYCAM_TEST_WEBCAM=/dev/video0", "tests/contract/test_real_webcam.py")
    assert " 5 passed" in told and "skipped" not in told
