"""Light, alarm and log of the recorder as it runs, on real picamera2 whose camera fails or sees nothing. Run by `make
picamera-test`.

What is done to the camera is done beneath picamera2 (virtual_camera.py): to libcamera, to the thread that hears it, or
to the bytes of its buffers. A sensor's own cable is not pulled here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.config import VideoConfig
from agent.station.layout import AgencyPaths
from tests.fault.running import CONTENT, Gate, running
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
LOST = ("camera.lost",)
SAYS = {"lens covered": ("lens.covered",), "picture frozen": ("picture.frozen",)}
CASES = tuple(Case(cause, SAYS.get(cause, LOST), ready=ready) for ready in (False, True) for cause in DOES)
RESULT = Path("picamera-tells.json")


class Plug(Gate):
    """What it closes is the camera."""

    def close(self, cause: str) -> None:
        super().close(cause)
        PLUG.write_text(DOES[cause], "utf-8")

    def open(self) -> None:
        PLUG.write_text("", "utf-8")
        super().open()


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
    PLUG.write_text("", "utf-8")
    virtual_camera.install()
    video = VideoConfig(source="picamera", width=640, height=360, bitrate_kbps=1000, preset="ultrafast")
    with running(agency, tmp_path, case.ready, video=video) as camera:
        camera.gate = Plug()
        suffering = Suffering(camera, case)
        seconds = suffering.seconds()
        assert camera.status()["parts_lost"] == 0
    seconds |= suffering.logged()
    measured[case.name] = figures = {what: round(s, 2) for what, s in seconds.items()}
    assert case.told_within_s(figures) <= case.limit_s, figures
