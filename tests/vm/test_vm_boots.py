"""A camera is switched on: nobody logs in, and it works from lens and microphone to the receipt, and lets go of what
was receipted.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.campaigns import Campaign, size
from tests.vm.bodycam import FPS, SLOWNESS, BodyCamera
from tests.vm.conftest import Make

RECORDED_S = 8.0
BOOTS = size(1, 5)


def test_it_records_delivers_and_lets_go(
    make_camera: Make, kind: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    camera = make_camera(kind)
    machine = camera.machine
    camera.wait_ready(60)
    machine.wait_for("systemctl is-active bodycam-recorder bodycam-uploader", 60 * camera.slow)
    sessions = machine.run("systemctl list-units --no-legend 'session-*.scope' 'user@*.service'")
    assert sessions.strip() == ""
    begun = {boot_id(camera): camera.boot().begun_s}
    for _ in range(BOOTS - 1):
        machine.shutdown()
        machine.start(180 * camera.slow)
        camera.wait_ready(60)
        begun[boot_id(camera)] = camera.boot().begun_s

    assert not camera.light()
    camera.press()
    status = camera.wait(f"status['media_s'] >= {RECORDED_S}", 60)
    recording = status["recording"]
    assert recording and set(status["faults"]) <= SLOWNESS[kind] and camera.light()
    camera.hold()
    camera.wait("status['recording'] is None", 30)
    assert not camera.light()
    # In the dock all of it leaves, and comes back as a receipt.
    camera.dock()
    camera.wait("status['segments']['sealed'] == 0 and status['segments']['delivered'] >= 3", 120)
    receipt = camera.newest_receipt(tmp_path)
    assert camera.control({"do": "retain", "force": True})["deleted"] >= 3
    assert (
        machine.run(
            "ls /var/lib/bodycam-agent/spool/sealed /var/lib/bodycam-agent/spool/delivered | grep -c tar || true"
        ).strip()
        == "0"
    )

    report = camera.verify("--head", receipt)
    assert report["verified"] and [f["what"] for f in report["findings"] if f["what"] != "clock-unverified"] == []
    (found,) = report["recordings"]
    assert found["recording"] == recording and found["ended"] == "stop"
    assert found["duration_s"] >= RECORDED_S
    stock = camera.verify_with_stock_tools(tmp_path / "stock.mp4")
    assert "FAIL" not in stock
    film = camera.evidence(recording, tmp_path / "export")
    pictures, loudest = _content(film)
    assert pictures >= RECORDED_S * FPS[kind] * 0.8
    assert loudest > 1000, "the loopback's beep is in the sound"
    ready = ready_s(report)
    ours = [ready[boot] - begun_s for boot, begun_s in begun.items()]
    record_property("seconds from kernel start to ready, by the log", [round(ready[boot], 2) for boot in begun])
    record_property("of them since the recorder's process was started", [round(own, 2) for own in ours])
    figures = Campaign(f"vm-boot-{kind}", command=f"BODYCAM_CAMPAIGN=full make vm-test VM={kind} ARGS='-k records'")
    figures.finish(
        virtual_machine=kind,
        boots=len(begun),
        kernel_to_ready_s=round(statistics.median(ready[boot] for boot in begun), 2),
        worst_kernel_to_ready_s=round(max(ready[boot] for boot in begun), 2),
        ours_s=round(statistics.median(ours), 2),
        worst_ours_s=round(max(ours), 2),
        load_average=round(os.getloadavg()[1], 1),
    )


def boot_id(camera: BodyCamera) -> str:
    return camera.machine.run("cat /proc/sys/kernel/random/boot_id").strip()


def ready_s(report: dict[str, Any]) -> dict[str, float]:
    """By boot: seconds from the kernel's start until a press would have recorded, as the log accounts for them. Without
    boots that were never ready.
    """
    (own,) = report["accounts"]
    begins = {b["boot"]: [a["begin_s"] for a in b["accounts"] if a["state"] == "ready"] for b in own["boots"]}
    return {boot: min(found) for boot, found in begins.items() if found}


def _content(film: Path) -> tuple[int, int]:
    """How many pictures decode, and the loudest sample."""
    with av.open(str(film)) as container:
        pictures = sum(1 for _ in container.decode(video=0))
    with av.open(str(film)) as container:
        loudest = max(int(np.abs(frame.to_ndarray()).max() * 32767) for frame in container.decode(audio=0))
    return pictures, loudest


def test_a_cut_while_it_waits_changes_nothing(make_camera: Make, kind: str) -> None:
    camera = make_camera(kind)
    camera.wait_ready(60)
    camera.machine.power_cut()
    camera.machine.start(180 * camera.slow)
    # The loopback's other end may be opened later than the microphone, which is then missing for a moment.
    camera.wait(f"status['state'] == 'ready' and not set(faults) - {SLOWNESS[kind]}", 60)
