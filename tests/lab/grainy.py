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
BAND_ROWS, SHIFTS = 180, 64
"""So many rows of noise, one under the other down the picture, moved about by so many: no two pictures in a row are
alike, and it takes little memory.
"""


class Grainy(synthetic.Painter):
    """The twin's pictures, with noise on their luma."""

    def __init__(self, width: int, height: int, fps: int) -> None:
        import numpy as np

        super().__init__(width, height, fps)
        noise = np.random.default_rng(1).integers(-GRAIN, GRAIN, (BAND_ROWS + SHIFTS, width), np.int8)
        self._noise: NDArray[np.uint8] = noise.view(np.uint8)

    def paint(self, number: int) -> NDArray[np.uint8]:
        frame = super().paint(number)
        shift = number * 7 % SHIFTS
        noise = self._noise[shift : shift + BAND_ROWS]
        for top in range(0, self._height, BAND_ROWS):
            # Modulo 256, two's complement: what is added may be negative.
            frame[top : min(top + BAND_ROWS, self._height)] += noise[: self._height - top]
        return frame


if __name__ == "__main__":
    # Looked up there as the camera is started.
    synthetic.Painter = Grainy
    sys.exit(agent_main(sys.argv[1:]))
