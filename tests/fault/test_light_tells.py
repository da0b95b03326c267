"""The light says what is durable, and a camera that waits says ready only while it is: at each stage that stalls or
fails, light, alarm and log say so; and all is well again when the cause goes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import events
from agent.formats import leaf as leaves
from agent.station.layout import AgencyPaths
from tests import campaigns
from tests.fault.running import CONTENT, IN_THE_CLEAR, running
from tests.fault.telling import Case, Suffering
from tests.media.test_parts import encoded, mux

DISK = ("fault:durable", "fault:storage", "fault:loop")
CASES = (
    Case("disk stalls", DISK),
    Case("lens stalls", ("camera.lost", "fault:pictures")),
    Case("loop hangs", ("fault:loop",)),
    Case("card slow", DISK, lasts_s=8.0),
    Case("disk fails", ("fault:durable", "fault:storage")),
    Case("write stalls", DISK),
    Case("write fails", ("fault:durable", "fault:storage")),
    Case("signer fails", ("fault:durable", "fault:storage")),
    Case("signer stalls", DISK),
    Case("encryption stalls", DISK),
    Case("encryption fails", ("fault:encryption",)),
    Case("random source stalls", DISK),
    Case("random source fails", ("fault:encryption",)),
    Case("recipient stalls", DISK),
    Case("recipient fails", ("fault:encryption",)),
    Case("muxer stalls", ("fault:durable", "fault:pictures")),
    Case("muxer fails", ("sink.failed",)),
    Case("encoder stalls", ("fault:durable", "fault:pictures", "camera.lost", "overload.begin")),
    Case("encoder fails", ("camera.lost",)),
    Case("sound encoder stalls", ("microphone.lost",)),
    Case("sound encoder fails", ("microphone.lost",)),
    Case("resampler stalls", ("microphone.lost",)),
    Case("resampler fails", ("microphone.lost",)),
    Case("lens fails", ("camera.lost",)),
    Case("lens ends", ("camera.lost",)),
    Case("microphone stalls", ("microphone.lost",)),
    Case("microphone fails", ("microphone.lost",)),
    Case("next segment stalls", DISK, rotates=True),
    Case("next segment fails", ("fault:storage", "fault:durable"), rotates=True),
    Case("closing stalls", DISK, rotates=True),
    Case("closing fails", ("fault:sealing",), lit=True, rotates=True),
    Case("log tile stalls", DISK, rotates=True),
    Case("log tile fails", ("fault:sealing",), lit=True, rotates=True),
    Case("seal leaf stalls", DISK, rotates=True),
    Case("seal leaf fails", ("fault:sealing",), lit=True, rotates=True),
    Case("inbox stalls", ("fault:loop",)),
    Case("inbox fails", ("fault:delivery",), lit=True),
    Case("panel gone", ("fault:panel",), dark=True),
    Case("microphone deaf", ("microphone.deaf",)),
    Case("lens covered", ("lens.covered",)),
    Case("picture frozen", ("picture.frozen",)),
    Case("disk stalls", DISK, muted=True),
    Case("encryption fails", ("fault:encryption",), muted=True),
    Case("lens fails", ("camera.lost",), muted=True),
    Case("microphone stalls", ("microphone.lost",), muted=True),
    Case("sound encoder fails", ("microphone.lost",), muted=True),
    Case("lens stalls", ("camera.lost", "fault:pictures"), ready=True),
    Case("lens fails", ("camera.lost",), ready=True),
    Case("lens ends", ("camera.lost",), ready=True),
    Case("encoder stalls", ("fault:pictures", "camera.lost", "overload.begin"), ready=True),
    Case("encoder fails", ("camera.lost",), ready=True),
    Case("loop hangs", ("fault:loop",), ready=True),
    Case("inbox stalls", ("fault:loop",), ready=True),
    Case("encryption stalls", ("fault:loop",), ready=True),
    Case("encryption fails", ("fault:encryption",), ready=True),
    Case("random source stalls", ("fault:loop",), ready=True),
    Case("random source fails", ("fault:encryption",), ready=True),
    Case("recipient stalls", ("fault:loop",), ready=True),
    Case("recipient fails", ("fault:encryption",), ready=True),
    Case("signer stalls", ("fault:loop",), ready=True),
    Case("signer fails", ("fault:storage",), ready=True),
    Case("card stalls", ("fault:loop",), ready=True),
    Case("card slow", ("fault:loop",), ready=True, lasts_s=8.0),
    Case("card fails", ("fault:storage",), ready=True),
    Case("resampler stalls", ("microphone.lost",), ready=True),
    Case("resampler fails", ("microphone.lost",), ready=True),
    Case("microphone stalls", ("microphone.lost",), ready=True),
    Case("microphone fails", ("microphone.lost",), ready=True),
    Case("microphone deaf", ("microphone.deaf",), ready=True),
    Case("lens covered", ("lens.covered",), ready=True),
    Case("picture frozen", ("picture.frozen",), ready=True),
)
SAMPLE = campaigns.size(sample=2, full=len(CASES))


def test_the_marks_that_are_looked_for_stand_in_what_is_recorded() -> None:
    info, packets = encoded()
    init, parts = mux(info, list(packets))
    body, _ = leaves.seal_body(events.Seal().body(), bytes(leaves.SALT_SIZE))
    assert all(mark in plain for mark, plain in zip(IN_THE_CLEAR, (parts[0].data, init, body), strict=True))


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(SAMPLE), ids=[case.name for case in CASES[:SAMPLE]])
def test_light_alarm_and_log_tell_in_time_and_it_recovers(agency: AgencyPaths, tmp_path: Path, part: int) -> None:
    case = CASES[part]
    campaign = campaigns.Campaign("light-tells", part, SAMPLE)
    with running(agency, tmp_path, case.ready, case.rotates) as camera:
        suffering = Suffering(camera, case)
        seconds = suffering.seconds()
        assert camera.in_the_clear() == []
        assert camera.status()["parts_lost"] == 0
    figures = {what: round(s, 2) for what, s in (seconds | suffering.logged()).items()}
    content, told_s = case.cause in CONTENT, case.told_within_s(figures)
    assert told_s <= case.limit_s, f"{case.name}: {figures}"
    campaign.finish(
        causes=1,
        causes_not_recording=int(case.ready),
        **{"worst_content_s" if content else "worst_s": told_s},
        **({"worst_content_leaf_s" if content else "worst_leaf_s": figures["leaf"]} if case.free else {}),
        causes_leaf_free=int(case.free),
        worst_well_again_s=figures["well_again"],
        worst_lag_s=figures["lag"],
        seconds={case.name: figures},
    )
