"""Is there anything to see, and anything to hear? A covered lens, a frozen picture, a microphone that is dead or turned
up too far.

Pure: pictures and sound in, findings out. A dark street has lamps, a silent room has the noise of the microphone: what
is taken for dead is what no lens and no microphone that works would give. Only for live sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.capture.grain import Grain, Means, bends, parts_of
from agent.model import NS

LOOK_NS = NS // 2
"""A picture is looked at this often."""
HOLD_NS = 3 * NS
"""So long it must last before it is said; with the look before and after, within 4 s."""
CLEAR_NS = NS
ROWS = 270
"""Of a larger picture only so many are looked at."""
GRID = (18, 32)
DARK = 90
"""Mean luma (16 to 235) above which a smooth picture may be a wall or the sky, and no hand on the lens."""
EDGE = 6.0
"""By so much a part of the picture must differ from those around it to be something seen."""
SEEN = 3
"""Parts in which something must be seen."""
LINE = 2.5
"""A line across the picture, a horizon, may be fainter, and lie in the middle of its parts: it bends the mean of rows
or columns by so much.
"""
SPOT, SPOT_SQUARES = 25.0, 2
"""A lamp far away is smaller than a part: by so much brighter than the part, in pixels, or blocks of them where not
every row is looked at, that lie together: in so many squares of two by two, which may overlap. A fault of one pixel of
the sensor makes none: made a colour, it spreads to the four beside it, and hardly to the corners. So a part may have
any number of faults that do not touch.
"""
FAINT = 8.0
"""What is lit as far as this, a window far away, is a lamp where blocks of three by three lie together in it."""
REACH = 5
"""A lamp is brighter than what is around it by so many times the noise, too, which may reach over pixels and be cut off
below.
"""
CONTRAST = 40.0
"""Light through fingers may be this much brighter at one side than at the other."""
BLACK, GRAIN_LIFTS = 18.0, 0.4
"""Mean luma of a picture without light, and by which share of the noise of its pixels that is lifted where what lies
below black is cut off (half of it: 1 / sqrt(2 pi)).
"""
CLIPPED, CLIPPED_SHARE = 32_700, 0.01
"""A sample this far out is cut off; more than this share of a second's, and what was said in it is hard to make out."""
CALM_NS = 10 * NS
"""A crowd draws breath."""


class Watched(Enum):
    """What may be wrong with what comes in."""

    COVERED = "covered"
    FROZEN = "frozen"
    DEAF = "deaf"
    CLIPPED = "clipped"


class Lasting:
    """A condition that is believed when it has lasted, and is over when it has been gone for a while."""

    def __init__(self, hold_ns: int = HOLD_NS, clear_ns: int = CLEAR_NS) -> None:
        self._hold_ns, self._clear_ns = hold_ns, clear_ns
        self._since_ns: int | None = None
        self._clear_since_ns: int | None = None
        self.on = False

    def see(self, now_ns: int, is_so: bool) -> int | None:
        """The instant from which on `on` is other than before, or None where it did not change."""
        if is_so:
            self._clear_since_ns = None
            self._since_ns = now_ns if self._since_ns is None else self._since_ns
            if not self.on and now_ns - self._since_ns >= self._hold_ns:
                self.on = True
                return self._since_ns
            return None
        if not self.on:
            self._since_ns = None
            return None
        self._clear_since_ns = now_ns if self._clear_since_ns is None else self._clear_since_ns
        if now_ns - self._clear_since_ns >= self._clear_ns:
            since_ns, self._since_ns, self._clear_since_ns, self.on = self._clear_since_ns, None, None, False
            return since_ns
        return None


Change = tuple[Watched, bool, int]
"""What is wrong (True) or right again (False) since which instant."""


class PictureWatch:
    """Feed it pictures as they are captured; it looks at two a second, and of a black one at the next as well."""

    def __init__(self) -> None:
        self._next_ns: int | None = None
        self._before: Means | None = None
        self._grain = Grain()
        self._last: NDArray[np.uint8] | None = None
        self._covered, self._frozen = Lasting(), Lasting()

    def look(self, mono_ns: int, luma: Any) -> list[Change]:
        """`luma`: rows by columns, 8 bits, not kept."""
        if self._before is not None:
            before, self._before = self._before, None
            seen = look_at(luma, _step(luma))
            return self._tell(Watched.COVERED, self._covered, mono_ns, self._is_grain(before, seen))
        if self._next_ns is not None and mono_ns < self._next_ns:
            return []
        self._next_ns = mono_ns + LOOK_NS
        return self._see(mono_ns, luma)

    def _see(self, mono_ns: int, luma: Any) -> list[Change]:
        step = _step(luma)
        # A copy also where every row is looked at: a camera fills its few buffers again and again.
        small = luma[::step, ::step].copy()
        # A sensor's noise makes no two pictures alike: equal to the bit, they are one picture.
        frozen = self._last is not None and np.array_equal(small, self._last)
        self._last = small
        changes = self._tell(Watched.FROZEN, self._frozen, mono_ns, frozen)
        seen = look_at(luma, step)
        if seen.maybe_grain is not None:
            self._before = seen.maybe_grain
            return changes
        self._grain.clear()
        return self._tell(Watched.COVERED, self._covered, mono_ns, seen.nothing) + changes

    def _is_grain(self, before: Means, seen: Seen) -> bool:
        after = seen.maybe_grain
        grain = self._grain.of_noise(before, after) if after is not None else None
        if after is None or grain is None:
            self._grain.clear()
            return seen.nothing
        return not any(
            _has_edges(means, grain) or _has_a_line(means, grain) for means in map(parts_of, (before, after))
        )

    @staticmethod
    def _tell(what: Watched, lasting: Lasting, mono_ns: int, is_so: bool) -> list[Change]:
        since_ns = lasting.see(mono_ns, is_so)
        return [] if since_ns is None else [(what, lasting.on, since_ns)]


def _step(luma: Any) -> int:
    rows: int = luma.shape[0]
    return max(1, rows // ROWS)


@dataclass(frozen=True, slots=True)
class Seen:
    """Whether it is `nothing`; else, where it is black and may be no more than noise that the picture alone does not
    explain, the means of quarters of its parts.
    """

    nothing: bool
    maybe_grain: Means | None = None


def is_covered(luma: NDArray[np.uint8], step: int = 1) -> bool:
    """Whether nothing is seen in this picture."""
    return look_at(luma, step).nothing


def look_at(luma: NDArray[np.uint8], step: int = 1) -> Seen:
    """Nothing is seen where it is dark and smooth, without edge, line or lamp, by more than the noise of its pixels
    would explain. Of rows and columns one in `step` is looked at; for a lamp, which would fall between them, all are.
    """
    rows, columns = luma.shape[0] // step // GRID[0], luma.shape[1] // step // GRID[1]
    if not rows or not columns:
        return Seen(False)
    shape = GRID[0], rows, GRID[1], columns
    luma = luma[: GRID[0] * rows * step, : GRID[1] * columns * step]
    parts = luma[::step, ::step].reshape(shape).astype(np.float32)
    means = parts.mean(axis=(1, 3))
    pixel = float(np.median(parts.std(axis=(1, 3))))
    grain = pixel / np.sqrt(rows * columns)
    contrast = np.percentile(means, 98) - np.percentile(means, 2)
    if means.mean() > DARK or contrast > CONTRAST + 4 * grain:
        return Seen(False)
    whole = max(pixel, _noise_upwards(parts - means[:, None, :, None]))
    differs = _has_edges(means, grain) or _has_a_line(means, grain)
    if differs and means.mean() > BLACK + GRAIN_LIFTS * whole:
        return Seen(False)
    # Seen upwards from the mean, which the cut lifts, the noise still falls short of the whole: with the difference it
    # is five times the whole above its own middle, to within a tenth, whatever the share that is cut off.
    reach = REACH * whole + whole - pixel
    if _has_a_lamp(_brightest(luma, step).reshape(shape), means, reach):
        return Seen(False)
    return Seen(False, _quarters(luma[::step, ::step])) if differs else Seen(True)


def _quarters(luma: NDArray[np.uint8]) -> Means:
    rows, columns = luma.shape[0] // (2 * GRID[0]), luma.shape[1] // (2 * GRID[1])
    luma = luma[: 2 * GRID[0] * rows, : 2 * GRID[1] * columns]
    means: Means = luma.reshape(2 * GRID[0], rows, 2 * GRID[1], columns).mean(axis=(1, 3), dtype=np.float32)
    return means


def _noise_upwards(above: NDArray[np.float32]) -> float:
    """The noise of pixels by those that are brighter than their part. Where what lies below black is cut off, all of
    them together scatter by as little as half of it.
    """
    brighter = np.maximum(above, 0)
    squares, many = np.square(brighter).sum(axis=(1, 3)), np.count_nonzero(brighter, axis=(1, 3))
    return float(np.median(np.sqrt(squares / np.maximum(many, 1))))


def _has_edges(means: NDArray[np.float32], grain: float) -> bool:
    edges = np.abs(bends(means))
    # A sum of five means, four times one and once each of four, has sqrt(20) times the noise of one mean.
    return int((edges > max(EDGE, 4 * np.sqrt(20) * grain)).sum()) >= SEEN


def _has_a_line(means: NDArray[np.float32], grain: float) -> bool:
    for axis in (0, 1):
        bends = np.abs(np.diff(means.mean(axis=axis), 2))
        # Twice one and once each of two: sqrt(6); each is itself a mean.
        if bends.max() > max(LINE, 5 * np.sqrt(6 / means.shape[axis]) * grain):
            return True
    return False


def _brightest(luma: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Of each block of `step` rows and columns. A fault of one pixel lies in three of them at most."""
    tall = luma[::step].copy()
    for row in range(1, step):
        np.maximum(tall, luma[row::step], out=tall)
    found = tall[:, ::step].copy()
    for column in range(1, step):
        np.maximum(found, tall[:, column::step], out=found)
    return found


def _has_a_lamp(parts: NDArray[np.uint8], means: NDArray[np.float32], reach: float) -> bool:
    """`reach`: noise alone lifts no three by three together as far above the mean of their part."""
    _, rows, _, columns = parts.shape
    above = parts - means[:, None, :, None]
    if reach < SPOT and len(_squares(above > max(FAINT, reach), 3)):
        return True
    found = _squares(above > max(SPOT, reach), 2)
    if len(found) < SPOT_SQUARES:
        return False
    row, column = np.divmod(found, GRID[1] * columns - 1)
    return int(np.bincount(row // rows * GRID[1] + column // columns).max()) >= SPOT_SQUARES


def _squares(bright: NDArray[np.bool_], side: int) -> NDArray[np.intp]:
    """Where all of so many rows and columns are: flat places of their first, in a picture less so many but one."""
    shape = bright.shape
    bright = bright.reshape(shape[0] * shape[1], shape[2] * shape[3])
    for _ in range(side - 1):
        bright = bright[:-1] & bright[1:]
        bright = bright[:, :-1] & bright[:, 1:]
    return np.flatnonzero(bright)


class SoundWatch:
    """Feed it sound as it is captured. A microphone that works is never silent to the bit, not in a silent room, but
    for one with a noise gate, which cannot be told from one that died there; one whose volume fits is cut off by a
    bang, and not second after second.
    """

    def __init__(self) -> None:
        self._level: int | None = None
        self._deaf, self._clipped = Lasting(), Lasting(clear_ns=CALM_NS)
        self._second_ns: int | None = None
        self._heard = self._cut = 0

    def hear(self, mono_ns: int, pcm: bytes) -> list[Change]:
        """16-bit samples, the first captured at `mono_ns`."""
        sound = np.frombuffer(pcm, "<i2")
        if not len(sound):
            return []
        first = int(sound[0])
        flat = first == (first if self._level is None else self._level) and bool((sound == first).all())
        self._level = first
        changes = []
        since_ns = self._deaf.see(mono_ns, flat)
        if since_ns is not None:
            changes.append((Watched.DEAF, self._deaf.on, since_ns))
        since_ns = self._loud(mono_ns, sound)
        if since_ns is not None:
            changes.append((Watched.CLIPPED, self._clipped.on, since_ns))
        return changes

    def _loud(self, mono_ns: int, sound: NDArray[np.int16]) -> int | None:
        """Second by second."""
        since_ns = None
        if self._second_ns is None or mono_ns - self._second_ns >= NS:
            if self._second_ns is not None:
                since_ns = self._clipped.see(self._second_ns, self._cut > CLIPPED_SHARE * self._heard)
            self._second_ns, self._heard, self._cut = mono_ns, 0, 0
        self._heard += len(sound)
        self._cut += int(((sound >= CLIPPED) | (sound <= -CLIPPED)).sum())
        return since_ns
