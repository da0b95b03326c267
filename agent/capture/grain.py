"""Whether what differs from part to part of a picture is a sensor's noise and nothing else: found by looking at two
pictures, the one after the other, and again and again.

Pure. What is made of a sensor's pixels (colours, sharpening, a smaller picture) spreads their noise over those beside
them, so the mean of a part varies by more than the noise of single pixels would explain. But noise of one picture is
not in the next, and reaches over few pixels. What a lens sees is in the next one too, moved a little, and reaches over
many. One look may miss that, where somebody turns quickly; the more looks, the less is taken for chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Means = NDArray[np.float32]
IN_QUARTERS, IN_PARTS = 0.12, 0.24
"""What two pictures may have in common by chance, of 1: four times the scatter of one look."""
REACHES, SCATTER = 1.15, 0.7
"""Noise varies in parts by as much as in their quarters, over which it is spread, of which each has four; by so much
more where it reaches over some pixels; and the scatter of one look.
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """`quarters`, `parts`: what the two have in common; `reach`: how much more the noise varies in parts than from
    their quarters; `grain`: by how much it makes the mean of a part vary.
    """

    quarters: float
    parts: float
    reach: float
    grain: float


class Grain:
    """Fed with each look at which there might be noise alone, and told of each at which there is more."""

    def __init__(self) -> None:
        self._pairs: list[Pair] = []

    def clear(self) -> None:
        self._pairs.clear()

    def of_noise(self, before: Means, after: Means) -> float | None:
        """By how much noise makes the mean of a part vary, in luma; None where that is not all. `before` and `after`
        are the means of quarters of parts, 2 rows and columns of them to a part.
        """
        self._pairs = [*self._pairs[-6:], compare(before, after)]
        if self._is_noise():
            return self._pairs[-1].grain
        self._pairs.clear()
        return None

    def _is_noise(self) -> bool:
        looks = len(self._pairs)
        quarters, parts, reach = (
            sum(values) / looks for values in zip(*((p.quarters, p.parts, p.reach) for p in self._pairs), strict=True)
        )
        chance = 1 / np.sqrt(looks)
        return bool(
            quarters <= IN_QUARTERS * chance and parts <= IN_PARTS * chance and reach <= REACHES + SCATTER * chance
        )


def compare(before: Means, after: Means) -> Pair:
    one, other = parts_of(before), parts_of(after)
    fine, coarse = float(np.var(bends(before - after))), float(np.var(bends(one - other)))
    # Of two pictures, and of a sum of five means, four times one and once each of four.
    grain = np.sqrt(coarse / (2 * 20))
    return Pair(_in_common(before, after), _in_common(one, other), 4 * coarse / fine if fine else np.inf, float(grain))


def bends(means: Means) -> Means:
    """By how much each differs from the four around it."""
    around = means[:-2, 1:-1] + means[2:, 1:-1] + means[1:-1, :-2] + means[1:-1, 2:]
    found: Means = 4 * means[1:-1, 1:-1] - around
    return found


def parts_of(means: Means) -> Means:
    rows, columns = means.shape
    halves: Means = means.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
    return halves


def _in_common(one: Means, other: Means) -> float:
    """1 where both bend alike, 0 where they have nothing in common."""
    first, second = bends(one), bends(other)
    size = np.sqrt(float((first**2).sum()) * float((second**2).sum()))
    return float((first * second).sum()) / size if size else 1.0
