"""Where a recording has the sound of a source: noise in which no instant is like another is found again in what a
player hears. What comes late, or is lost, moves nothing that is found: stamps are judged by what they stamp.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from statistics import median

import av
import numpy as np
from numpy.typing import NDArray

from agent.model import AUDIO_HZ, NS, EncodedPacket, StreamInfo, Track
from tests.test_intake import Take

WINDOW, HOP = AUDIO_HZ // 125, AUDIO_HZ // 250
"""Eight milliseconds: half of a short block is found in its own place."""
HEARD, ALIKE = 0.02, 0.8
"""Full scale is 1; what was cut out of several places is like none."""
MOST_MS, MOST_SHARE, ENOUGH_S = 10.0, 0.95, 0.25
"""A coder that has lost a frame of sound has something of an earlier one in the next."""
HIGHEST_HZ, LEVEL, FULL = 4000, 0.15, 32_768


@cache
def _noise(hz: int) -> NDArray[np.int16]:
    """A second, of low notes, which a coder keeps as they are: the same at each rate."""
    spectrum = np.fft.rfft(np.random.default_rng(4).normal(size=AUDIO_HZ))
    spectrum[HIGHEST_HZ:] = 0
    wave = np.fft.irfft(spectrum[: hz // 2 + 1], hz)
    made: NDArray[np.int16] = np.rint(wave / wave.std() * LEVEL * FULL).clip(-FULL, FULL - 1).astype("<i2")
    return made


NOISE = _noise(AUDIO_HZ)
_SPECTRUM = np.fft.rfft(NOISE / FULL)


def noise(first: int, samples: int, hz: int = AUDIO_HZ) -> bytes:
    """16-bit samples from that one on, `hz` of them a second; it is the same again each second."""
    return _noise(hz).take(range(first, first + samples), mode="wrap").tobytes()


def check_in_step(take: Take, true_ns: int | None = None, worst_ms: float = MOST_MS) -> None:
    """That what is heard of the noise is heard where it was captured. `true_ns`: when the noise began
    (CLOCK_MONOTONIC), with the first picture unless told.
    """
    info = take.intake.wait_ready(0)
    pictures = [packet.pts_ns for packet in take.packets if packet.track is Track.VIDEO]
    late = late_ms(take.packets, info, info.zero_mono_ns + pictures[0] if true_ns is None else true_ns)
    assert len(late) * HOP >= ENOUGH_S * AUDIO_HZ
    assert abs(median(late)) < MOST_MS
    assert sum(abs(ms) < worst_ms for ms in late) >= MOST_SHARE * len(late)


def late_ms(packets: Iterable[EncodedPacket], info: StreamInfo, true_ns: int) -> list[float]:
    """By how much it is late, piece by piece; without those that are silent, or cut out of several places."""
    coded = [packet for packet in packets if packet.track is Track.AUDIO]
    sound = _decoded(coded, info)
    late = []
    for at in range(0, len(sound) - WINDOW, HOP):
        piece = sound[at : at + WINDOW]
        if np.abs(piece).max() < HEARD:
            continue
        fits = np.fft.irfft(_SPECTRUM * np.conj(np.fft.rfft(piece, AUDIO_HZ)))
        found = int(fits.argmax())
        like = NOISE.take(range(found, found + WINDOW), mode="wrap") / FULL
        if fits[found] < ALIKE * np.linalg.norm(piece) * np.linalg.norm(like):
            continue
        lies = (info.zero_mono_ns - true_ns) * AUDIO_HZ / NS + coded[0].pts + at
        late.append(float((lies - found + AUDIO_HZ / 2) % AUDIO_HZ - AUDIO_HZ / 2) * 1000 / AUDIO_HZ)
    return late


def _decoded(coded: list[EncodedPacket], info: StreamInfo) -> NDArray[np.float32]:
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = info.audio_extradata
    frames = [frame for packet in coded for frame in decoder.decode(av.Packet(packet.data))]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])
