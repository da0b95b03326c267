"""Flash against beep in a recording, by decoding it: what a player shows and sounds, event by event.

`measure` takes any recording of flasher.py's light and beep, whichever camera and microphone made it, and `verdict`
says whether it keeps the promise: 95 % of the events within 10 ms, the worst within 20 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests import avcompare
from tests.lab.flasher import BEEP_HZ, BEEP_S, EVENT_S

RATE_HZ = avcompare.RATE_HZ
MOST_MS, WORST_MS, MOST_SHARE = 10.0, 20.0, 0.95
HEARD = 0.1


@dataclass(frozen=True)
class Offsets:
    """Of each event, in ms: the beep's begin less the flash's; sound late is +. `flashes` counts those that have a beep
    to look for, so that one that is not heard is missed, not passed over.
    """

    ms: tuple[float, ...]
    flashes: int

    @property
    def within(self) -> float:
        """The share of all flashes whose beep is within MOST_MS."""
        return sum(abs(off) <= MOST_MS for off in self.ms) / max(1, self.flashes)

    def verdict(self) -> list[str]:
        """Why the promise is not kept; nothing where it is."""
        found = []
        if len(self.ms) < self.flashes or not self.flashes:
            found.append(f"{len(self.ms)} beeps of {self.flashes} flashes")
        if self.within < MOST_SHARE:
            found.append(f"{self.within:.1%} within {MOST_MS:g} ms")
        found += [f"{off:+.1f} ms" for off in self.ms if abs(off) > WORST_MS]
        return found

    def figures(self) -> dict[str, Any]:
        return {
            "events": self.flashes,
            "heard": len(self.ms),
            "within_10_ms_percent": round(100 * self.within, 2),
            "worst_offset_ms": round(max(map(abs, self.ms), default=0.0), 2),
            "median_offset_ms": round(median(self.ms), 2) if self.ms else None,
        }


def measure(path: Path, event_s: float = EVENT_S) -> Offsets:
    """Each flash that lies whole in the film, with the beep nearest to it."""
    film = avcompare.decode(path)
    light = film.pictures.mean(axis=(1, 2))
    bright = light > (float(light.max()) + float(light.min())) / 2
    end_s = film.sound_from_s + len(film.sound) / RATE_HZ
    onsets = [film.times_s[n] for n in range(1, len(bright)) if bright[n] and not bright[n - 1]]
    reach_s = event_s / 3
    whole = [at_s for at_s in onsets if at_s - reach_s > film.sound_from_s and at_s + reach_s + BEEP_S < end_s]
    heard = [_beep_near(film, at_s, reach_s) for at_s in whole]
    return Offsets(
        tuple((beep - at) * 1000 for beep, at in zip(heard, whole, strict=True) if beep is not None), len(whole)
    )


def _beep_near(film: avcompare.Decoded, at_s: float, reach_s: float) -> float | None:
    """Where around this instant a whole beep lies best: the encoder smears its beginning, not its middle."""
    length = round(BEEP_S * RATE_HZ)
    first_s = at_s - reach_s
    around: NDArray[np.float32] = film.sound_at(first_s, round(2 * reach_s * RATE_HZ) + length)
    turning = around * np.exp(-2j * np.pi * BEEP_HZ / RATE_HZ * np.arange(len(around)))
    sums = np.concatenate([[0], np.cumsum(turning)])
    levels = np.abs(sums[length:] - sums[:-length]) / length
    best = int(levels.argmax())
    return first_s + best / RATE_HZ if levels[best] > HEARD else None
