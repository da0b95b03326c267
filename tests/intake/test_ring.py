"""What the configuration's check calls enough for the ring is enough, however much moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.config import load
from agent.configtogether import conflicts
from agent.intake.report import IntakeSettings
from agent.media.prebuffer import Prebuffer
from agent.model import AUDIO_HZ, PEAK_RATE, VIDEO_HZ, EncodedPacket, Track
from tests.config_kit import MINIMAL, save


@pytest.mark.parametrize(("pre_event_s", "kbps"), [(0, 4_000), (2, 4_000), (10, 500), (30, 4_000), (120, 1_000)])
def test_a_ring_of_the_least_size_that_the_check_allows_holds_all_that_it_is_to_hold(
    tmp_path: Path, pre_event_s: int, kbps: int
) -> None:
    config = load(save(tmp_path, MINIMAL))
    config = replace(config, video=replace(config.video, bitrate_kbps=kbps))
    recording = replace(config.recording, pre_event_s=pre_event_s)
    sizes = (replace(config, recording=replace(recording, ring_mib=mib)) for mib in range(1, 128))
    settings = IntakeSettings.of(next(one for one in sizes if not conflicts(one)))
    ring = Prebuffer(settings.pre_event_s, settings.ring_bytes)
    pictures, frame = 10, settings.audio_kbps * 1000 // 8 // 10
    # As x264 may after a calm time: a second of the mean at once, then its ceiling on end.
    picture = round(PEAK_RATE * kbps) * 1000 // 8 // pictures
    burst = int(settings.pre_event_s / 2) * pictures
    for number in range(int((settings.pre_event_s + 3 * settings.gop_s) * pictures)):
        key = number % round(settings.gop_s * pictures) == 0
        pts, length = number * VIDEO_HZ // pictures, VIDEO_HZ // pictures
        size = picture + (kbps * 1000 // 8 if number == burst else 0)
        ring.append(EncodedPacket(Track.VIDEO, pts, length, key, bytes(size)))
        ring.append(EncodedPacket(Track.AUDIO, number * AUDIO_HZ // 10, AUDIO_HZ // 10, True, bytes(frame)))
        if number >= settings.pre_event_s * pictures:
            assert ring.seconds >= settings.pre_event_s - 2 / pictures
