"""That a cut here takes what was not flushed: a camera that is broken for it loses what it called durable, and the
campaign's count shows it. Without this, "nothing durable is lost" says nothing.
"""

from __future__ import annotations

import random

import pytest

from tests.vm import cuts
from tests.vm.bodycam import BodyCamera
from tests.vm.conftest import Make
from tests.vm.logged import held_by
from tests.vm.test_vm_power import SETTINGS, Series

PARTS = 4
BREAK = {
    # The agent's own: an entry is called durable when it is in the kernel's cache.
    "no fdatasync": """
        set -e
        file=$(ls /opt/bodycam-agent/current/lib/python3*/site-packages/agent/durable.py)
        grep -q 'os.fdatasync(fd)' $file
        sed 's/os.fdatasync(fd)/pass/' $file >/run/durable.py
        mount --bind /run/durable.py $file
        systemctl restart bodycam-recorder""",
    # The kernel's: what is called durable was written to the disk, which was not asked to flush.
    "no flush": """
        set -e
        mount -o remount,barrier=0 /var/lib/bodycam-agent
        grep -q 'bodycam-agent ext4.*nobarrier' /proc/mounts""",
}
LOSES = {("uml", "no fdatasync"), ("qemu", "no fdatasync"), ("qemu", "no flush")}
"""Only a volatile disk cache forgets what the kernel wrote."""


@pytest.mark.parametrize("broken", BREAK)
def test_a_camera_that_does_not_flush_loses_what_it_called_durable(make_camera: Make, kind: str, broken: str) -> None:
    camera = make_camera(kind, SETTINGS)
    camera.machine.run(BREAK[broken], 60 * camera.slow)
    camera.wait_ready(60)
    lost = lost_in_a_cut(camera)
    assert bool(lost) is ((kind, broken) in LOSES), lost


def lost_in_a_cut(camera: BodyCamera) -> int:
    """Parts that were called durable in a recording, and that the agency never gets to see."""
    series = Series(camera, random.Random(0))
    series.ready()
    camera.press()
    series.until(lambda told: bool(told.get("recording")) and told["parts"] >= PARTS, 60)
    series.cut_after("recording", 0.0, 0.0)
    # With the fault that its log was behind: it goes on in a new one.
    camera.machine.start(180 * camera.slow)
    camera.wait_ready(90)
    camera.dock()
    camera.wait("status['segments']['sealed'] == 0", 300)
    (cut,) = series.cuts
    assert cut.durable_parts >= PARTS
    return cuts.lost_parts(held_by(camera), cut)
