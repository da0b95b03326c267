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

from tests.campaigns import size
from tests.vm.bodycam import FPS, SLOWNESS, BodyCamera
from tests.vm.conftest import SUITE, Make, campaign
from tests.vm.machine import LED_REC

RECORDED_S = 8.0
BOOTS = size(1, 5)


def test_it_records_delivers_and_lets_go(
    make_camera: Make, kind: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    # An emulated one that goes by its own instructions: what else runs here makes it late, and not slow.
    camera = make_camera(kind, steady=True)
    machine = camera.machine
    machine.wait_for("systemctl is-active bodycam-recorder bodycam-uploader", 60 * camera.slow)
    sessions = machine.run("systemctl list-units --no-legend 'session-*.scope' 'user@*.service'")
    assert sessions.strip() == ""
    begun = dict([ready(camera)])
    for _ in range(BOOTS - 1):
        machine.shutdown()
        machine.start(180 * camera.slow)
        begun.update([ready(camera)])

    assert not camera.light()
    camera.press()
    # A disk of this machine's that stalls is a fault there for a moment, and no light, as it should be.
    told = camera.until(
        lambda told: told.get("recording") and told["media_s"] >= RECORDED_S and not told["faults"], 120
    )
    recording = told["recording"]
    light(camera, True)
    camera.hold()
    camera.until(lambda told: "recording" in told and told["recording"] is None, 60)
    light(camera, False)
    # In the dock all of it leaves, and comes back as a receipt.
    camera.dock()
    camera.until(emptied, 180)
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
    after_s = ready_s(report)
    ours = [after_s[boot] - begun_s for boot, begun_s in begun.items()]
    record_property("seconds from kernel start to ready, by the log", [round(after_s[boot], 2) for boot in begun])
    record_property("of them since the recorder's process was started", [round(own, 2) for own in ours])
    campaign(f"vm-boot-{kind}", kind, "-k test_it_records").finish(
        virtual_machine=kind,
        suite=SUITE,
        boots=len(begun),
        kernel_to_ready_s=round(statistics.median(after_s[boot] for boot in begun), 2),
        worst_kernel_to_ready_s=round(max(after_s[boot] for boot in begun), 2),
        ours_s=round(statistics.median(ours), 2),
        worst_ours_s=round(max(ours), 2),
        load_average=round(os.getloadavg()[1], 1),
    )


def light(camera: BodyCamera, lit: bool) -> None:
    """The light for recording gets so."""
    camera.machine.wait_for(f"[ $(cat /run/camgpio/sim_gpio{LED_REC}/value) = {int(lit)} ]", 10 * camera.slow)


def emptied(told: dict[str, Any]) -> bool:
    held: dict[str, int] = told.get("segments") or {}
    return held.get("sealed") == 0 and held["delivered"] >= 3


def ready(camera: BodyCamera) -> tuple[str, float]:
    """Waits for it. Which boot this is, and when in it the recorder was started."""
    camera.watch()
    # The loopback's other end may be opened later than the microphone, which is then missing for a moment.
    camera.until(lambda told: told.get("state") == "ready" and not told["faults"], 120)
    assert camera.machine.boot
    return camera.machine.boot, camera.boot().begun_s


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
