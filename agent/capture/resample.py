"""Sound at a slightly other speed, without clicks: band-limited interpolation at a ratio that may change at any time.

After J. O. Smith and P. Gossett, "A flexible sampling-rate conversion method" (ICASSP 1984): a windowed sinc, tabulated
at 512 phases and interpolated linearly between them. It is our own because the place of each output sample in the input
has to be known exactly: sound is held against its capture stamps, and a filter's unknown delay would be an A/V offset.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HALF = 16
"""Input samples on either side of an output sample: it looks a third of a millisecond ahead."""
_PHASES = 512
_KAISER_BETA = 9.0

Samples = NDArray[np.int16]


def _table() -> NDArray[np.float32]:
    """Row p: the weights of 2 * HALF input samples for an output sample p / 512 of the way between the middle two."""
    offset = np.arange(-HALF + 1, HALF + 1)[None, :] - np.arange(_PHASES + 1)[:, None] / _PHASES
    inside = np.clip(1 - (offset / HALF) ** 2, 0, None)
    weights = np.sinc(offset) * np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA)
    table: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return table


class Resampler:
    """Mono 16-bit sound in, the same out. `step` is input samples per output sample. Until it is first other than 1,
    samples pass as they are, at once; from then on the last HALF wait for those that follow. Not thread-safe.
    """

    _TABLE: NDArray[np.float32] | None = None

    def __init__(self) -> None:
        if Resampler._TABLE is None:
            Resampler._TABLE = _table()
        self._weights = Resampler._TABLE
        self.reset()

    def reset(self) -> None:
        """What follows does not continue what was: silence comes before it."""
        self._held = np.zeros(HALF, np.float32)
        self._at = float(HALF)
        self._step = 1.0

    @property
    def waiting(self) -> float:
        """How many input samples lie between the next output sample and the next input sample."""
        return len(self._held) - self._at

    @property
    def passes(self) -> bool:
        """True while samples pass as they are."""
        return self._step == 1.0 and self._at == len(self._held)

    def process(self, pcm: Samples, step: float) -> Samples:
        """What can be said of the input so far, at the speed `step` from here on."""
        if self.passes and step == 1.0:
            self._held = np.concatenate([self._held, pcm[-HALF:].astype(np.float32)])[-HALF:]
            self._at = float(len(self._held))
            return pcm
        self._step = step
        self._held = np.concatenate([self._held, pcm.astype(np.float32)])
        return self._take(len(self._held) - HALF)

    def flush(self) -> Samples:
        """What still waits, as if silence followed; then as after `reset`, at the same speed."""
        end = len(self._held)
        self._held = np.concatenate([self._held, np.zeros(HALF, np.float32)])
        rest = self._take(end)
        step = self._step
        self.reset()
        self._step = step
        return rest

    def _take(self, end: int) -> Samples:
        """The output samples whose place in the input is below `end`, which has HALF samples after it."""
        count = int(np.ceil((end - self._at) / self._step))
        if count <= 0:
            return np.zeros(0, np.int16)
        places = self._at + self._step * np.arange(count)
        first = np.floor(places).astype(np.intp)
        phase = (places - first) * _PHASES
        row = phase.astype(np.intp)
        part = (phase - row).astype(np.float32)[:, None]
        weights = self._weights[row] * (1 - part) + self._weights[row + 1] * part
        windows = np.lib.stride_tricks.sliding_window_view(self._held, 2 * HALF)[first - HALF + 1]
        sound = np.einsum("ij,ij->i", windows, weights)
        self._at += self._step * count
        drop = max(0, int(self._at) - HALF)
        self._held, self._at = self._held[drop:], self._at - drop
        return np.asarray(np.clip(np.rint(sound), -32768, 32767), np.int16)
