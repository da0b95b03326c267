"""The light says what is durable: at each stage that stalls or fails it goes out, the alarm starts, the log says so;
and all is well again when the cause goes.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.controls.patterns import ALARM, Levels
from agent.model import NS
from agent.station.layout import AgencyPaths
from tests import campaigns
from tests.fault.running import CONTENT, Running, now_s, running

CAUSES = {
    "disk stalls": {"fault:durable", "fault:storage", "fault:loop"},
    "lens stalls": {"camera.lost", "fault:pictures"},
    "loop hangs": {"fault:loop"},
    "disk refuses": {"fault:durable", "fault:storage"},
    "signer fails": {"fault:durable", "fault:storage"},
    "signer stalls": {"fault:durable", "fault:storage", "fault:loop"},
    "encryption stalls": {"fault:durable", "fault:storage", "fault:loop"},
    "muxer stalls": {"fault:durable", "fault:pictures"},
    "encoder stalls": {"fault:durable", "fault:pictures", "camera.lost", "overload.begin"},
    "microphone stalls": {"microphone.lost"},
    "microphone deaf": {"microphone.deaf"},
    "lens covered": {"lens.covered"},
    "picture frozen": {"picture.frozen"},
}
"""And what of them the log may say."""
SAMPLE = campaigns.size(sample=2, full=len(CAUSES))
LIMIT_S, CONTENT_LIMIT_S = 2.0, 5.0
LASTS_S = 1.0
"""So long it goes on once all of it was told."""


def is_alarm(seen: list[tuple[float, Levels]], since_s: float) -> float | None:
    """How long after it the first pulse of an alarm began: one as long as an alarm's, not a hand's answer."""
    changes = [(at_s, levels.buzz) for at_s, levels in seen]
    changes = [one for one, before in zip(changes, [(0.0, False), *changes], strict=False) if one[1] is not before[1]]
    for (at_s, buzz), (end_s, _) in zip(changes, [*changes[1:], (now_s(), False)], strict=True):
        if buzz and end_s - at_s > ALARM.ms[0] / 1000 - 0.1 and at_s > since_s:
            return at_s - since_s
    return None


def suffer(camera: Running, cause: str) -> tuple[float, dict[str, float]]:
    """When it began, and the seconds until light, alarm and status told, and until all was well after it was over."""
    time.sleep(1.0)
    assert camera.panel.levels.light, camera.status()
    begun_s = now_s()
    camera.gate.close(cause)
    if cause == "loop hangs":
        camera.hang_loop()
    told_s = camera.until(lambda: bool(camera.status()["faults"] or camera.status()["officer"]["troubles"]))
    camera.until(lambda: camera.panel.since(begun_s, lambda levels: not levels.light) is not None)
    camera.until(lambda: is_alarm(camera.panel.seen, begun_s) is not None)
    time.sleep(LASTS_S)
    assert not camera.panel.levels.light, f"{cause}: it goes on, and the light is lit: {camera.status()}"
    over_s = now_s()
    camera.gate.open()
    well_s = camera.until(lambda: camera.panel.levels.light and not camera.status()["officer"]["alarm"])
    dark_s, alarm_s = (
        camera.panel.since(begun_s, lambda levels: not levels.light),
        is_alarm(camera.panel.seen, begun_s),
    )
    assert dark_s is not None and alarm_s is not None
    return begun_s, {"light": dark_s, "alarm": alarm_s, "status": told_s - begun_s, "well_again": well_s - over_s}


def logged(camera: Running, cause: str, begun_s: float) -> dict[str, float]:
    """Seconds until the recorder had found what the log says, and until that was in a leaf."""
    for stamp_s, body in camera.events():
        name = body["type"] + (f":{body['what']}" if body["type"] == "fault" else "")
        if stamp_s > begun_s and name in CAUSES[cause]:
            found_s = body["mono_ns"] / NS if body["type"] == "fault" else stamp_s
            return {"log": found_s - begun_s, "leaf": stamp_s - begun_s}
    raise AssertionError(f"{cause}: the log says nothing of it: {list(camera.events())}")


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(SAMPLE))
def test_light_alarm_and_log_tell_in_time_and_it_recovers(agency: AgencyPaths, tmp_path: Path, part: int) -> None:
    cause = list(CAUSES)[part]
    campaign = campaigns.Campaign("light-tells", part, SAMPLE)
    with running(agency, tmp_path) as camera:
        begun_s, seconds = suffer(camera, cause)
    seconds |= logged(camera, cause, begun_s)
    limit_s = CONTENT_LIMIT_S if cause in CONTENT else LIMIT_S
    late = {what: s for what, s in seconds.items() if what not in ("well_again", "leaf") and s > limit_s}
    assert not late, f"{cause}: {seconds}"
    worst = "worst_content_s" if cause in CONTENT else "worst_s"
    figures = {what: round(s, 2) for what, s in seconds.items()}
    told = max(s for what, s in figures.items() if what not in ("well_again", "leaf"))
    campaign.finish(causes=1, **{worst: told, "worst_well_again_s": figures["well_again"]}, seconds={cause: figures})
