"""Flash against beep in a recording, by decoding it: what a player shows and sounds, event by event.

`measure` takes any recording of flasher.py's light and beep, whichever camera and microphone made it, and `verdict`
says whether it keeps the promise: 95 % of the events within 10 ms, the worst within 20 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
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


class Seen(Enum):
    """What a camera's pictures say of the instant at which the light went on."""

    AT_ONCE = auto()
    """It goes on with a picture: the first that is lit."""
    GATHERED = auto()
    """Each picture is lit as far as the light was on since the one before it, as if it were exposed all that time."""
    BETWEEN = auto()
    """Light and pictures have each a pace of their own: after the last dark picture and not after the first lit one."""


@dataclass(frozen=True)
class Flash:
    """Not before, and not after; the same where pictures tell."""

    after_s: float
    until_s: float

    def bounds_ms(self, beep_s: float) -> tuple[float, float]:
        """By how much sound is late, at least and at most."""
        return (beep_s - self.until_s) * 1000, (beep_s - self.after_s) * 1000

    def off_ms(self, beep_s: float) -> float:
        """By how much a beep misses it; late is +."""
        return (beep_s - min(max(beep_s, self.after_s), self.until_s)) * 1000


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


@dataclass(frozen=True)
class Event:
    """A flash that lies whole in the film, and the beep nearest to it; None where none is heard."""

    flash: Flash
    beep_s: float | None


@dataclass(frozen=True)
class Narrowed:
    """What all events together leave possible for an offset that they have in common: where light and pictures have
    each a pace of their own, one event says it to a picture's length, and many to much less. Of `events`, so many
    `agree`: a picture or a light may be a little late, now and then.
    """

    low_ms: float
    high_ms: float
    agree: int
    events: int

    def verdict(self) -> list[str]:
        """Why it is not shown that the offset is no more than MOST_MS."""
        if max(abs(self.low_ms), abs(self.high_ms)) <= MOST_MS:
            return []
        return [f"{self.low_ms:+.1f} to {self.high_ms:+.1f} ms by {self.agree} of {self.events} events"]

    @property
    def middle_ms(self) -> float:
        return (self.low_ms + self.high_ms) / 2

    def figures(self) -> dict[str, Any]:
        return {
            "low_ms": round(self.low_ms, 2),
            "high_ms": round(self.high_ms, 2),
            "middle_ms": round(self.middle_ms, 2),
            "agree": self.agree,
            "events": self.events,
        }


def narrowed(events: Sequence[Event]) -> Narrowed:
    """Where the ranges of most events lie upon each other; of several such places, from the first to the last."""
    ranges = [event.flash.bounds_ms(event.beep_s) for event in events if event.beep_s is not None]
    if not ranges:
        return Narrowed(-np.inf, np.inf, 0, len(events))
    upon = {low: [(a, b) for a, b in ranges if a <= low <= b] for low, _ in ranges}
    most = max(map(len, upon.values()))
    places = [(low, min(b for _, b in those)) for low, those in upon.items() if len(those) == most]
    return Narrowed(min(low for low, _ in places), max(high for _, high in places), most, len(events))


def offsets(events: Sequence[Event]) -> Offsets:
    return Offsets(tuple(event.flash.off_ms(event.beep_s) for event in events if event.beep_s is not None), len(events))


def measure(path: Path, event_s: float = EVENT_S, seen: Seen = Seen.AT_ONCE) -> Offsets:
    return offsets(find(path, event_s, seen))


def find(path: Path, event_s: float = EVENT_S, seen: Seen = Seen.AT_ONCE) -> list[Event]:
    """Each flash that lies whole in the film, with the beep nearest to it."""
    film = avcompare.decode(path)
    end_s = film.sound_from_s + len(film.sound) / RATE_HZ
    reach_s = event_s / 3
    whole = [
        flash
        for flash in flashes(film.times_s, film.pictures.mean(axis=(1, 2)), seen)
        if flash.after_s - reach_s > film.sound_from_s and flash.until_s + reach_s + BEEP_S < end_s
    ]
    return [Event(flash, _beep_near(film, flash.until_s, reach_s)) for flash in whole]


def flashes(times_s: Sequence[float], light: NDArray[np.float32], seen: Seen) -> list[Flash]:
    """Of pictures, by how bright each is."""
    dark, lit = float(np.median(light)), float(np.max(light))
    share = np.clip((light - dark) / max(lit - dark, 1e-6), 0, 1)
    found = []
    for n in range(2, len(share)):
        if share[n] <= 0.5 or share[n - 1] > 0.5:
            continue
        at_s = times_s[n]
        if seen is Seen.BETWEEN:
            found.append(Flash(times_s[n - 1], at_s))
            continue
        if seen is Seen.GATHERED:
            # Where the light went on late in one picture's time, that one is lit a little, and the next one whole.
            at_s -= float(share[n] * (at_s - times_s[n - 1]) + share[n - 1] * (times_s[n - 1] - times_s[n - 2]))
        found.append(Flash(at_s, at_s))
    return found


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
