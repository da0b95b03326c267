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
