"""What every source promises (tests/contract), asked of kernel devices: vivid's camera and snd-aloop's microphone.

Not that nothing is lost on the way: a guest that waits for this machine's processors loses pictures and sound. What is
lost is counted, which vivid proves.
"""

from __future__ import annotations

import pytest

from tests.vm.conftest import KINDS, Make
from tests.vm.inside import pytest_in_the_guest

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")


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


def test_the_webcam_driver_stands_what_the_kernels_camera_can_be_made_to_do(make_camera: Make) -> None:
    camera = make_camera("uml")
    camera.wait_ready(60)
    told = pytest_in_the_guest(camera, "BODYCAM_TEST_WEBCAM=/dev/video0", "tests/contract/test_vivid_faults.py")
    assert " 8 passed" in told and "skipped" not in told


def test_the_microphone_driver_stands_what_the_kernels_loopback_can_be_made_to_do(make_camera: Make) -> None:
    camera, file = make_camera("uml"), "tests/contract/test_loopback_faults.py"
    camera.wait_ready(60)
    camera.machine.run("systemctl stop loopback-tone")
    assert " 5 passed, 1 skipped" in pytest_in_the_guest(camera, "BODYCAM_TEST_LOOPBACK=hw:0,1", file)
    # From now on another card's clock is its own.
    anew = "modprobe snd-aloop index=0 id=Loopback pcm_substreams=1 timer_source=hw:Dummy,0"
    camera.machine.run(f"modprobe -r snd-aloop && modprobe snd-dummy index=1 id=Dummy && {anew}")
    clocked = "BODYCAM_TEST_LOOPBACK=hw:0,1 BODYCAM_TEST_CLOCK=hw:Dummy,0"
    assert " 1 passed, 5 skipped" in pytest_in_the_guest(camera, clocked, file)
