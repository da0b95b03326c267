"""Light, alarm and log of the recorder as it runs, on real picamera2 whose camera fails or sees nothing. Run by `make
picamera-test`.

What is done to the camera is done beneath picamera2 (virtual_camera.py): to libcamera, to the thread that hears it, or
to the bytes of its buffers. A sensor's own cable is not pulled here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.bench_children import prefer
from agent.config import VideoConfig
from agent.model import NS
from agent.pulse import STILL_NS
from agent.station.layout import AgencyPaths
from tests.fault.running import CONTENT, Gate, Running, now_s, running
from tests.fault.telling import Case, Suffering
from tests.lab import virtual_camera
from tests.lab.picamera_whole import PLUG

DOES = {
    "lens stalls": virtual_camera.STALL,
    "lens gone": virtual_camera.GONE,
    "lens stopped": virtual_camera.STOPPED,
    "lens unheard": virtual_camera.UNHEARD,
    "lens covered": virtual_camera.COVERED,
    "picture frozen": virtual_camera.FROZEN,
}
HELD = "lens held"
LOST = ("camera.lost",)
SAYS = {"lens covered": ("lens.covered",), "picture frozen": ("picture.frozen",)}
CASES = tuple(Case(cause, SAYS.get(cause, LOST), ready=ready) for ready in (False, True) for cause in DOES)
RESULT = Path("picamera-tells.json")


class Plug(Gate):
    """What it closes is the camera."""

    def close(self, cause: str) -> None:
        super().close(cause)
        PLUG.write_text(virtual_camera.HELD if cause == HELD else DOES[cause], "utf-8")

    def open(self) -> None:
        PLUG.write_text("", "utf-8")
        super().open()


@contextmanager
def on_picamera2(agency: AgencyPaths, root: Path, ready: bool) -> Iterator[Running]:
    PLUG.write_text("", "utf-8")
    virtual_camera.install()
    # As its unit has it; each thread has the priority of the one that made it.
    prefer("recorder", os.getpid())
    video = VideoConfig(source="picamera", width=640, height=360, bitrate_kbps=1000, preset="ultrafast")
    with running(agency, root, ready, video=video) as camera:
        camera.gate = Plug()
        yield camera


@pytest.fixture(scope="module")
def measured() -> Iterator[dict[str, dict[str, float]]]:
    """What each case came to, into the result."""
    found: dict[str, dict[str, float]] = {}
    yield found
    worst: dict[str, Any] = {"causes": len(found)}
    for case in CASES:
        if case.name in found:
            key = "worst_content_s" if case.cause in CONTENT else "worst_s"
            worst[key] = max(worst.get(key, 0.0), case.told_within_s(found[case.name]))
    worst["worst_well_again_s"] = max((figures["well_again"] for figures in found.values()), default=0.0)
    RESULT.write_text(json.dumps({**worst, "seconds": found}, indent=2) + "\n", "utf-8")


@pytest.mark.filterwarnings("ignore:.*listen:pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_light_alarm_and_log_tell_in_time_and_it_recovers(
    case: Case, agency: AgencyPaths, tmp_path: Path, measured: dict[str, dict[str, float]]
) -> None:
    """Each is a trouble of the lens, which keeps no leaf from the log."""
    assert case.free
    with on_picamera2(agency, tmp_path, case.ready) as camera:
        suffering = Suffering(camera, case)
        seconds = suffering.seconds()
        assert camera.status()["parts_lost"] == 0
    seconds |= suffering.logged()
    measured[case.name] = figures = {what: round(s, 2) for what, s in seconds.items()}
    assert case.told_within_s(figures) <= case.limit_s, figures


def test_a_camera_that_libcamera_does_not_let_go_of_is_left_to_the_watchdog(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process every further try meets a camera that is in use; here, that it is held comes to an end."""
    fed_s: list[float] = []
    monkeypatch.setattr("agent.recorder.notify", lambda said: fed_s.append(now_s()) if said == "WATCHDOG=1" else None)
    monkeypatch.setattr("agent.pulse.LOOP_NS", 2 * NS)
    with on_picamera2(agency, tmp_path, ready=True) as camera:
        camera.gate.close(HELD)
        camera.until(lambda: camera.recorder._lens.stuck)
        stuck_s = now_s()
        camera.until(lambda: now_s() - max(fed_s) > 5)
        assert max(fed_s) - stuck_s > STILL_NS / NS - 1
        assert "camera" in camera.status()["faults"]
        camera.gate.open()
        camera.until(camera.is_well)
        camera.until(lambda: now_s() - max(fed_s) < 1)
