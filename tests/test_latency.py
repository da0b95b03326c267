"""A camera's and a microphone's latency, as configured: what is exported is shifted by exactly that."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.capture.clip import Clip
from agent.config import AudioConfig, VideoConfig
from agent.intake import IntakeSettings
from agent.model import AUDIO_HZ, NS, Track
from tests import avcompare, media_samples
from tests.config_kit import sample
from tests.test_intake import FAST, Take, twins

# (picture, sound) in ms; sound against picture is then off by their difference, sound late is +.
LATENCIES = [(0, 0), (37, 0), (0, 37), (-200, 0), (0, 200)]


SECONDS = 2.2


def end_ns(take: Take) -> int:
    """So many seconds after its first picture, however long that took a busy machine: a round of the clip is longer."""
    first_ns = next(packet.pts_ns for packet in take.packets if packet.track is Track.VIDEO)
    return take.intake.wait_ready(1).zero_mono_ns + first_ns + round(SECONDS * NS)


def with_latency(picture_ms: int, sound_ms: int) -> IntakeSettings:
    return replace(
        FAST, bitrate_kbps=3000, picture_latency_ns=picture_ms * 1_000_000, sound_latency_ns=sound_ms * 1_000_000
    )


def test_the_keys_of_the_configuration_reach_the_intake() -> None:
    config = replace(
        sample(),
        video=VideoConfig(source="synthetic", latency_ms=21),
        audio=AudioConfig(source="synthetic", latency_ms=8),
    )
    settings = IntakeSettings.of(config)
    assert (settings.picture_latency_ns, settings.sound_latency_ns) == (21_000_000, 8_000_000)


def test_a_film_is_shifted_by_exactly_the_latency(tmp_path: Path) -> None:
    """All at once: each is paced by real time."""
    with ExitStack() as all_of_them:
        takes = []
        for latency in LATENCIES:
            clip = Clip(media_samples.cartoon())
            takes.append(all_of_them.enter_context(Take(clip.video, clip.audio, with_latency(*latency))))
            takes[-1].attach()
        for take in takes:
            take.wait_seconds(SECONDS)
        films = [take.finish(tmp_path / f"{n}.mp4", end_ns(take)) for n, take in enumerate(takes)]
    source = avcompare.decode(media_samples.cartoon())
    for (picture_ms, sound_ms), path in zip(LATENCIES, films, strict=True):
        film = avcompare.decode(path)
        # At both ends pictures lie that the shifted sound does not reach.
        inner = slice(8, len(film.times_s) - 8)
        film = replace(film, times_s=film.times_s[inner], pictures=film.pictures[inner])
        result = avcompare.compare(source, film)
        assert not result.faults and len(result.av_errors_ms) >= 2
        # Picture stamps are whole ticks of 1/90000 s, sound whole samples.
        assert result.av_errors_ms == pytest.approx([picture_ms - sound_ms] * len(result.av_errors_ms), abs=0.05)


@pytest.mark.parametrize(("picture_ms", "sound_ms"), [(200, 0), (-200, 200)])
def test_live_sources_with_the_largest_latencies_lose_nothing(picture_ms: int, sound_ms: int, tmp_path: Path) -> None:
    """Sound that is stamped early is not late: no silence takes its place. The beep lies where the latencies say."""
    with Take(*twins(), with_latency(picture_ms, sound_ms)) as take:
        take.attach()
        take.wait_seconds(2.2)
        film = avcompare.decode(take.finish(tmp_path / "out.mp4"))
        counters = take.intake.counters()
    assert counters.silence_ms == counters.frames_dropped == counters.sound_gaps == 0 and not take.events
    assert not film.sound_breaks
    white = film.pictures.mean(axis=(1, 2)) > 160
    flash_s = next(film.times_s[n] for n in range(1, len(white)) if white[n] and not white[n - 1])
    beep = np.flatnonzero(np.abs(film.sound) > 0.1)
    starts_s = film.sound_from_s + beep[np.flatnonzero(np.diff(beep, prepend=-AUDIO_HZ) > AUDIO_HZ // 4)] / AUDIO_HZ
    off_ms = [(at_s - flash_s) * 1000 for at_s in starts_s]
    # The twins repeat each second: of 400 ms off and 600 the other way, either beep may be the one that is kept.
    wanted = picture_ms - sound_ms
    assert min(abs(off - wanted - n) for off in off_ms for n in (-1000, 0, 1000)) < 5
