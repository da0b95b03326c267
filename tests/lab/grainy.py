"""A recorder whose synthetic camera has a sensor's noise, so that its pictures take the bitrate that is asked for: the
picture of the plain twin is too easy for that. `python -m tests.lab.grainy recorder --config FILE`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from agent.capture import synthetic
from agent.cli import agent_main

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRAIN = 12
"""Of luma, up and down; nothing the twin paints comes so near to either end."""
SHIFTS = 64
"""Rows by which the same noise is moved about: no two pictures in a row are alike, and it takes little memory."""


class Grainy(synthetic.Painter):
    """The twin's pictures, with noise on their luma."""

    def __init__(self, width: int, height: int, fps: int) -> None:
        import numpy as np

        super().__init__(width, height, fps)
        noise = np.random.default_rng(1).integers(-GRAIN, GRAIN, (height + SHIFTS, width), np.int8)
        self._noise: NDArray[np.uint8] = noise.view(np.uint8)

    def paint(self, number: int) -> NDArray[np.uint8]:
        frame = super().paint(number)
        shift = number * 7 % SHIFTS
        # Modulo 256, two's complement: what is added may be negative.
        frame[: self._height] += self._noise[shift : shift + self._height]
        return frame


if __name__ == "__main__":
    # Looked up there as the camera is started.
    synthetic.Painter = Grainy
    sys.exit(agent_main(sys.argv[1:]))
