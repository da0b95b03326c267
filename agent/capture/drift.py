"""How fast a sound card's crystal runs against CLOCK_MONOTONIC: a line through sample counts and capture stamps.

Pure. A stamp trembles by milliseconds, a crystal is off by up to a few hundred millionths: only over many stamps does
one show through the other. Least squares over the last 20 s find both the speed and the place of the sound.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from agent.model import AUDIO_HZ

WINDOW_S = 20.0
FIRST_S = 4.0
"""So much sound it takes before the line is believed."""
MAX_PPM = 1000.0
"""Faster or slower than this no crystal runs; the rest is for hard corrections."""


class DriftEstimator:
    """Feed it each block's place by count and by stamp, in samples. It forgets what is older than 20 s."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque()
        self._slope = 0.0

    @property
    def ppm(self) -> float:
        """By how many millionths a second of the card is longer than a true one; positive: the card is slow."""
        return self._slope * 1e6

    def restart(self) -> None:
        """What follows does not continue what was; the crystal is still the same."""
        self._points.clear()

    def add(self, counted: float, stamped: float) -> None:
        """The sample numbered `counted` on the card was captured at `stamped` on the timeline."""
        self._points.append((counted, stamped - counted))
        while counted - self._points[0][0] > WINDOW_S * AUDIO_HZ:
            self._points.popleft()

    def place(self, counted: float) -> float | None:
        """Where the sample numbered `counted` belongs on the timeline, as the line says; None as long as there is
        none.
        """
        if len(self._points) < 2 or self._points[-1][0] - self._points[0][0] < FIRST_S * AUDIO_HZ:
            return None
        points = np.array(self._points)
        middle = points.mean(axis=0)
        x, y = (points - middle).T
        slope = float((x @ y) / (x @ x))
        self._slope = min(max(slope, -MAX_PPM / 1e6), MAX_PPM / 1e6)
        return float(counted + middle[1] + self._slope * (counted - middle[0]))
