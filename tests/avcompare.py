"""Compare a recording with the clip it was made from, by decoding both: pictures by what they show, sound by
correlation.

Nothing here reads what the recorder says about itself. Times are the presentation times a player gets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

RATE_HZ = 48_000
SEARCH_S = 0.3
WINDOW_S = 1.0
NEIGHBOURS = 3
_SMALL = (64, 36)


@dataclass(frozen=True)
class Decoded:
    """A file as a player sees it: pictures small and grey, sound mono at RATE_HZ from `sound_from_s` on."""

    times_s: list[float]
    pictures: NDArray[np.float32]
    sound: NDArray[np.float32]
    sound_from_s: float

    def sound_at(self, start_s: float, length: int) -> NDArray[np.float32]:
        """`length` samples from an instant on; silence outside of what there is."""
        first = round((start_s - self.sound_from_s) * RATE_HZ)
        cut = np.zeros(length, dtype=np.float32)
        low, high = max(0, first), min(len(self.sound), first + length)
        if high > low:
            cut[low - first : high - first] = self.sound[low:high]
        return cut


@dataclass(frozen=True)
class Comparison:
    """`first` and `count`: the window of source frames found in the recording. `faults` names each frame that is
    missing, repeated, out of order or off its time. `av_errors_ms`: sound against picture, less the source's own
    offset, for each window loud enough to tell; sound late is +.
    """

    first: int
    count: int
    faults: list[str] = field(default_factory=list)
    av_errors_ms: list[float] = field(default_factory=list)

    def problems(self, tolerance_ms: float = 20.0) -> list[str]:
        """Why the recording is not what the source was; nothing where it is."""
        found = list(self.faults)
        if not self.av_errors_ms:
            found.append("no sound to compare")
        found += [f"sound is {e:+.1f} ms off" for e in self.av_errors_ms if abs(e) > tolerance_ms]
        return found


def decode(path: Path) -> Decoded:
    """Both streams, whole. A file without sound gets an empty one."""
    times, pictures = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            times.append(float(Fraction(frame.pts or 0) * Fraction(frame.time_base or 1)))
            small = frame.reformat(*_SMALL, format="gray").to_ndarray()
            pictures.append(small.astype(np.float32))
    sound, start_s = _decode_sound(path)
    return Decoded(times, np.stack(pictures), sound, start_s)


def _decode_sound(path: Path) -> tuple[NDArray[np.float32], float]:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return np.zeros(0, dtype=np.float32), 0.0
        pieces = [(float(f.pts * f.time_base), _mono(f)) for f in container.decode(audio=0)]
    start_s = pieces[0][0]
    end = max(round((at_s - start_s) * RATE_HZ) + len(piece) for at_s, piece in pieces)
    sound = np.zeros(end, dtype=np.float32)
    for at_s, piece in pieces:
        first = round((at_s - start_s) * RATE_HZ)
        sound[first : first + len(piece)] = piece
    return sound, start_s


def _mono(frame: Any) -> NDArray[np.float32]:
    if frame.sample_rate != RATE_HZ:
        raise ValueError(f"sound at {frame.sample_rate} Hz; this comparison reads {RATE_HZ}")
    samples = frame.to_ndarray().astype(np.float32)
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if frame.format.name.startswith("s16"):
        samples /= 32768
    mixed: NDArray[np.float32] = samples.mean(axis=0)
    return mixed


def compare(source: Decoded, recording: Decoded) -> Comparison:
    """Find the recording's window in the source, then check each picture and each second of sound in it."""
    first = _find_window(source, recording)
    count = len(recording.times_s)
    result = Comparison(first, count)
    if first + count > len(source.times_s):
        result.faults.append(f"{first + count - len(source.times_s)} more pictures than the source has")
        return result
    result.faults.extend(_picture_faults(source, recording, first))
    shift_s = float(np.median([recording.times_s[i] - source.times_s[first + i] for i in range(count)]))
    for i in range(count):
        off_ms = (recording.times_s[i] - source.times_s[first + i] - shift_s) * 1000
        if abs(off_ms) > 1.0:
            result.faults.append(f"picture {i} (source {first + i}) is {off_ms:+.1f} ms off its time")
    result.av_errors_ms.extend(_sound_errors(source, recording, shift_s))
    return result


def _find_window(source: Decoded, recording: Decoded) -> int:
    """The source frame that the recording's first one is, by its first second."""
    head = recording.pictures[:25]
    starts = range(max(1, len(source.pictures) - len(head) + 1))
    costs = [
        float(np.abs(source.pictures[s : s + len(head)] - head[: len(source.pictures) - s]).mean()) for s in starts
    ]
    return int(np.argmin(costs))


def _picture_faults(source: Decoded, recording: Decoded, first: int) -> list[str]:
    """A picture is wrong where a neighbour of the source frame it should be fits clearly better."""
    faults = []
    for i, picture in enumerate(recording.pictures):
        low, high = max(0, first + i - NEIGHBOURS), min(len(source.pictures), first + i + NEIGHBOURS + 1)
        costs = np.abs(source.pictures[low:high] - picture).mean(axis=(1, 2))
        best, own = int(np.argmin(costs)), float(costs[first + i - low])
        if float(costs[best]) * 1.5 + 0.3 < own:
            faults.append(f"picture {i} shows source frame {low + best}, not {first + i}")
    return faults


def _sound_errors(source: Decoded, recording: Decoded, shift_s: float) -> list[float]:
    """Per second: where the recording's sound lies best in the source's, beyond the shift of the pictures, in ms."""
    errors = []
    length, reach = round(WINDOW_S * RATE_HZ), round(SEARCH_S * RATE_HZ)
    start_s, end_s = recording.times_s[0], recording.times_s[-1]
    while start_s + WINDOW_S <= end_s:
        wanted = recording.sound_at(start_s, length)
        around = source.sound_at(start_s - shift_s - SEARCH_S, length + 2 * reach)
        found = _best_lag(around, wanted)
        if found is not None:
            errors.append((reach - found) * 1000 / RATE_HZ)
        start_s += WINDOW_S / 2
    return errors


def _best_lag(around: NDArray[np.float32], wanted: NDArray[np.float32]) -> int | None:
    """Lag of the highest normalised correlation; None where the sound is too quiet or too unlike to tell."""
    size = 1 << (len(around) + len(wanted)).bit_length()
    product = np.fft.irfft(np.fft.rfft(around, size) * np.conj(np.fft.rfft(wanted, size)), size)
    lags = len(around) - len(wanted) + 1
    energy = np.concatenate(([0.0], np.cumsum(around.astype(np.float64) ** 2)))
    norms = np.sqrt((energy[len(wanted) :] - energy[: -len(wanted)]) * float((wanted.astype(np.float64) ** 2).sum()))
    scores = product[:lags] / np.maximum(norms[:lags], 1e-9)
    best = int(np.argmax(scores))
    loud = float(np.sqrt((wanted**2).mean())) > 1e-3
    return best if loud and scores[best] > 0.6 else None
