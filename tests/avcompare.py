"""Compare a recording with the clip it was made from, by decoding both: pictures by what they show, sound by
correlation.

Nothing here reads what the recorder says about itself. Times are the presentation times a player gets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

RATE_HZ = 48_000
AAC_FRAME = 1024
SEARCH_S = 0.3
WINDOW_S = 1.0
NEIGHBOURS = 3
LOUD = 5e-4
ALIKE = 0.9
"""Normalised correlation of a second of sound with itself after AAC and another mix-down: 0.98 in what is whole."""
BLOCK_S = 0.02
LOUD_BLOCK = 0.002
SILENT = 0.3
STILL = 0.12
"""Grey levels (root mean square) by which two pictures must differ for a repeated one to show; an encoder may leave out
less.
"""
MOVED = 0.15
"""A picture is at least so far on the way from its predecessor to the source's: 0.28 and more in what is whole, 0 in a
repeated one.
"""
_SIZE, _COARSE = (320, 180), 5


@dataclass(frozen=True)
class Decoded:
    """A file as a player sees it: pictures grey, 320x180; sound mono at RATE_HZ from `sound_from_s` on. `sound_breaks`
    names each place where one packet of sound does not begin where the last one ended: decoding fills it with silence.
    """

    times_s: list[float]
    pictures: NDArray[np.float32]
    sound: NDArray[np.float32]
    sound_from_s: float
    sound_breaks: list[str] = field(default_factory=list)

    @cached_property
    def small(self) -> NDArray[np.float32]:
        """The pictures in 64x36, in which coding hardly shows."""
        count, height, width = self.pictures.shape
        blocks = self.pictures.reshape(count, height // _COARSE, _COARSE, width // _COARSE, _COARSE)
        coarse: NDArray[np.float32] = blocks.mean(axis=(2, 4), dtype=np.float32)
        return coarse

    def sound_at(self, start_s: float, length: int) -> NDArray[np.float32]:
        """`length` samples from an instant on; silence outside of what there is."""
        first = round((start_s - self.sound_from_s) * RATE_HZ)
        cut = np.zeros(length, dtype=np.float32)
        low, high = max(0, first), min(len(self.sound), first + length)
        if high > low:
            cut[low - first : high - first] = self.sound[low:high]
        return cut


@dataclass
class Comparison:
    """`first` and `count`: the window of source frames found in the recording. `faults` names each frame that is
    missing, repeated, out of order or off its time, and each place where the source is heard and the recording is not.
    `av_errors_ms`: sound against picture, less the source's own offset, for each window in which the source is loud;
    sound late is +. `moving`: of how many pictures a repetition would show.
    """

    first: int
    count: int
    faults: list[str] = field(default_factory=list)
    av_errors_ms: list[float] = field(default_factory=list)
    moving: int = 0

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
            pictures.append(frame.reformat(*_SIZE, format="gray").to_ndarray().astype(np.float32))
    sound, start_s = _decode_sound(path)
    return Decoded(times, np.stack(pictures), sound, start_s, _sound_breaks(path))


def _sound_breaks(path: Path) -> list[str]:
    """Each AAC packet holds 1024 samples; the next one begins exactly there, or something is lost or doubled."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        stream = container.streams.audio[0]
        begins = [p.pts * Fraction(p.time_base) for p in container.demux(stream) if p.pts is not None]
        frame = Fraction(AAC_FRAME, stream.rate)
    steps = pairwise(begins)
    return [
        f"{float((after - before) / frame - 1) * AAC_FRAME:+.0f} samples after the sound at {float(before):.3f} s"
        for before, after in steps
        if abs(after - before - frame) * stream.rate >= 1
    ]


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
    repeated, result.moving = _repetitions(source, recording, first)
    result.faults.extend(repeated)
    shift_s = float(np.median([recording.times_s[i] - source.times_s[first + i] for i in range(count)]))
    for i in range(count):
        off_ms = (recording.times_s[i] - source.times_s[first + i] - shift_s) * 1000
        if abs(off_ms) > 1.0:
            result.faults.append(f"picture {i} (source {first + i}) is {off_ms:+.1f} ms off its time")
    result.faults.extend(f"sound is broken: {where}" for where in recording.sound_breaks)
    _compare_sound(source, recording, shift_s, result)
    return result


def _find_window(source: Decoded, recording: Decoded) -> int:
    """The source frame that the recording's first one is, by its first second."""
    head, whole = recording.small[:25], source.small
    starts = range(max(1, len(whole) - len(head) + 1))
    costs = [float(np.abs(whole[s : s + len(head)] - head[: len(whole) - s]).mean()) for s in starts]
    return int(np.argmin(costs))


def _picture_faults(source: Decoded, recording: Decoded, first: int) -> list[str]:
    """A picture is wrong where a neighbour of the source frame it should be fits clearly better."""
    faults = []
    for i, picture in enumerate(recording.small):
        low, high = max(0, first + i - NEIGHBOURS), min(len(source.small), first + i + NEIGHBOURS + 1)
        costs = np.abs(source.small[low:high] - picture).mean(axis=(1, 2))
        best, own = int(np.argmin(costs)), float(costs[first + i - low])
        if float(costs[best]) * 1.5 + 0.3 < own:
            faults.append(f"picture {i} shows source frame {low + best}, not {first + i}")
    return faults


def _repetitions(source: Decoded, recording: Decoded, first: int) -> tuple[list[str], int]:
    """Pictures that stand still where the source moves, however little: how far each is on the way that the source goes
    from one picture to the next, which all pixels tell together. Also how many could be judged.
    """
    faults, judged = [], 0
    for i in range(1, len(recording.pictures)):
        way = source.pictures[first + i] - source.pictures[first + i - 1]
        length = float((way**2).sum())
        if length < STILL**2 * way.size:
            continue
        judged += 1
        gone = float(((recording.pictures[i] - recording.pictures[i - 1]) * way).sum()) / length
        if gone < MOVED:
            faults.append(f"picture {i} repeats the one before it")
    return faults, judged


def _compare_sound(source: Decoded, recording: Decoded, shift_s: float, result: Comparison) -> None:
    """Per second: where the recording's sound lies best in the source's, beyond the shift of the pictures. Where the
    source is loud, something has to lie there: whether it is, only the source may tell.
    """
    length, reach = round(WINDOW_S * RATE_HZ), round(SEARCH_S * RATE_HZ)
    for start_s in _windows(recording.times_s[0], recording.times_s[-1]):
        around = source.sound_at(start_s - shift_s - SEARCH_S, length + 2 * reach)
        if _rms(around[reach : reach + length]) < LOUD:
            continue
        wanted = recording.sound_at(start_s, length)
        lag, score = _best_lag(around, wanted)
        if score < ALIKE:
            result.faults.append(f"the sound from {start_s:.2f} s on is not the source's (likeness {score:.2f})")
            continue
        result.av_errors_ms.append((reach - lag) * 1000 / RATE_HZ)
        result.faults.extend(_holes(around[lag : lag + length], wanted, start_s))


def _windows(start_s: float, end_s: float) -> list[float]:
    """Each half a second, and one that ends with the last picture."""
    count = max(0, int((end_s - start_s - WINDOW_S) / (WINDOW_S / 2)) + 1)
    return [start_s + n * WINDOW_S / 2 for n in range(count)] + [max(start_s, end_s - WINDOW_S)]


def _holes(source: NDArray[np.float32], recording: NDArray[np.float32], start_s: float) -> list[str]:
    """Where the source is heard for 20 ms and the recording, at the same place, is silent."""
    block = round(BLOCK_S * RATE_HZ)
    gain = _rms(recording) / _rms(source)
    found = []
    for at in range(0, len(source) - block + 1, block // 2):
        loud = _rms(source[at : at + block])
        if loud >= LOUD_BLOCK and _rms(recording[at : at + block]) < SILENT * gain * loud:
            found.append(f"sound is missing at {start_s + at / RATE_HZ:.3f} s")
    return found


def _rms(sound: NDArray[np.float32]) -> float:
    return float(np.sqrt((sound.astype(np.float64) ** 2).mean()))


def _best_lag(around: NDArray[np.float32], wanted: NDArray[np.float32]) -> tuple[int, float]:
    """Lag of the highest normalised correlation, and that: 0 for silence, 1 for the very same."""
    size = 1 << (len(around) + len(wanted)).bit_length()
    product = np.fft.irfft(np.fft.rfft(around, size) * np.conj(np.fft.rfft(wanted, size)), size)
    lags = len(around) - len(wanted) + 1
    energy = np.concatenate(([0.0], np.cumsum(around.astype(np.float64) ** 2)))
    norms = np.sqrt((energy[len(wanted) :] - energy[: -len(wanted)]) * float((wanted.astype(np.float64) ** 2).sum()))
    scores = product[:lags] / np.maximum(norms[:lags], 1e-9)
    best = int(np.argmax(scores))
    return best, float(scores[best])
