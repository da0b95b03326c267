"""A machine that runs out of memory: whatever takes it goes first, and the recorder last; and a recorder that had to go
all the same comes back by itself.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vm.bodycam import BodyCamera
from tests.vm.conftest import KINDS, Make
from tests.vm.leaves import ends_of
from tests.vm.logged import cleared, faults
from tests.vm.test_vm_faults import STEADY, begin, delivered, end, goes_on, goes_on_in_another
from tests.vm.units import shown

pytestmark = pytest.mark.skipif("uml" not in KINDS, reason="user-mode Linux was not asked for")
BOUND_S = 1.0
HOG = "held = []\nwhile True:\n    held.append(bytearray(b'x') * (4 << 20))\n"
KILLED = "journalctl -b -k --no-pager -o json --grep 'Killed process' || true"


@pytest.fixture
def camera(make_camera: Make) -> BodyCamera:
    camera = make_camera("uml")
    camera.wait(STEADY, 60)
    return camera


def killed(camera: BodyCamera) -> list[tuple[float, str]]:
    """When the kernel killed for memory, on its CLOCK_MONOTONIC, and what it said of it."""
    entries = [json.loads(line) for line in camera.machine.run(KILLED).splitlines()]
    return [(int(e["_SOURCE_MONOTONIC_TIMESTAMP"]) / 1e6, str(e["MESSAGE"])) for e in entries]


def test_whatever_takes_all_memory_goes_and_the_recorder_records_on(camera: BodyCamera, tmp_path: Path) -> None:
    recording = begin(camera)
    before = shown(camera, "bodycam-recorder", "MainPID", "NRestarts")
    camera.machine.put(HOG.encode(), "/run/hog.py")
    # Less willing to go than any program that asks for nothing.
    camera.machine.run("systemd-run -q --unit hog -p OOMScoreAdjust=-500 /usr/bin/python3 /run/hog.py")
    camera.machine.wait_for("[ $(systemctl show hog -p Result --value) = oom-kill ]", 120)
    goes_on(camera, recording)
    assert shown(camera, "bodycam-recorder", "MainPID", "NRestarts") == before
    told = [message for _, message in killed(camera)]
    assert any("python3" in message for message in told)
    camera.machine.run("systemctl reset-failed hog")
    camera.wait(f"not faults and status['recording'] == {recording!r}", 90)
    assert camera.status()["parts_lost"] == 0
    end(camera)
    report = delivered(camera, tmp_path)
    assert [(r["recording"], r["ended"]) for r in report["recordings"]] == [(recording, "stop")]


def test_a_recorder_that_is_killed_for_memory_comes_back_and_says_what_was_cut_and_records_again(
    camera: BodyCamera, tmp_path: Path
) -> None:
    recording = begin(camera)
    camera.machine.run("systemctl set-property --runtime bodycam-recorder MemoryMax=16M")
    camera.machine.wait_for("[ $(systemctl show bodycam-recorder -p NRestarts --value) -ge 1 ]", 60)
    camera.machine.run("systemctl set-property --runtime bodycam-recorder MemoryMax=infinity")
    # It may have been killed more than once by then: each of its lives goes on with the one before.
    last = goes_on_in_another(camera, recording)
    assert "oom-kill" in camera.journal(lines=200)
    at_s, _ = killed(camera)[0]
    camera.press()
    camera.wait(f"status['recording'] == {last!r} and not faults", 60)
    end(camera)
    report = delivered(camera, tmp_path)
    ended = {r["recording"]: r["ended"] for r in report["recordings"]}
    assert ended[last] == "stop" and ended[recording] != "stop"
    assert "restart" in faults(camera) & cleared(camera)
    missing_s = at_s - ends_of(camera.station.segments())[recording] / 1e9
    print(f"missing before the kill: {missing_s:.3f} s")
    assert missing_s <= BOUND_S
