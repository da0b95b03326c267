"""A microphone that does not do AUDIO_HZ: the rates at which it is tried, and its sound brought to AUDIO_HZ. Pure.

Where each sample lies in what the device gave is known exactly (resample.py), so its stamp is the driver's own, less
what waits. Across a gap nothing is interpolated: what waits before it ends there, in its own place.
"""

from __future__ import annotations

from collections import deque
from statistics import median_low

import numpy as np

from agent.capture.resample import Resampler
from agent.capture.sync import SyncLimits
from agent.model import AUDIO_HZ, NS, AudioBlock

USUAL = (44_100, 32_000, 24_000, 22_050, 16_000, 11_025, 8_000)
_GAP_NS, _WILD_NS = SyncLimits().gap_ns, SyncLimits().wild_ns
"""By what a stamp shows a gap, and shows nothing: as the receiver takes it."""
_LAST = 5
"""Stamps tremble, and one may repeat: what a new one is held to is the middle of so many."""


def to_try(own_hz: float) -> list[int]:
    """AUDIO_HZ, then the device's own rate, then usual ones from the highest down. None is above AUDIO_HZ: what the
    resampler is given there would come out folded.
    """
    return list(dict.fromkeys([AUDIO_HZ, *(hz for hz in (round(own_hz), *USUAL) if 0 < hz < AUDIO_HZ)]))


class Raised:
    """Blocks at `hz` in, the same sound at AUDIO_HZ out. It lags by resample.HALF samples of the device, which the
    stamps tell. Not thread-safe.
    """

    def __init__(self, hz: int) -> None:
        self._hz, self._step = hz, hz / AUDIO_HZ
        self._resampler = Resampler()
        self._counted = 0
        self._begins: deque[int] = deque(maxlen=_LAST)

    def bring(self, mono_ns: int, pcm: bytes, lost: bool) -> list[AudioBlock]:
        """`pcm`: mono 16-bit little-endian samples, the first captured at `mono_ns`; `lost`: the driver says that some
        before them are. None, one block, or two where there is a gap between them.
        """
        begins_ns = mono_ns - self._lasts_ns(self._counted)
        made = []
        if self._begins and (lost or _GAP_NS < begins_ns - median_low(self._begins) <= _WILD_NS):
            rest_ns = median_low(self._begins) + self._lasts_ns(self._counted - self._resampler.waiting)
            made.append((rest_ns, self._resampler.flush()))
            self._begins.clear()
        self._begins.append(begins_ns)
        begin_ns = mono_ns - self._lasts_ns(self._resampler.waiting)
        made.append((begin_ns, self._resampler.process(np.frombuffer(pcm, "<i2"), self._step)))
        self._counted += len(pcm) // 2
        return [AudioBlock(at_ns, sound.astype("<i2").tobytes()) for at_ns, sound in made if len(sound)]

    def _lasts_ns(self, samples: float) -> int:
        return round(samples * NS / self._hz)
