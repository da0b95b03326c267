"""What an export really shows: how far apart the twins' flash and beep are, which began together in front of them.

It reads the finished MP4 as a player does, by decoding, and nothing that the recorder says of itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent.model import AUDIO_HZ

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Sound = NDArray[np.float32]

LONGEST_S = 60.0
"""Enough to see an offset or a drift; decoding hours of picture is not a bench's work."""
_FLASH_LUMA = 200
_LOUD = 0.15
_QUIET_S = 0.3
_PAIR_S = 0.45


def flash_to_beep_ms(mp4: Path) -> list[float]:
    """For each flash of the first minute, by how much its beep is late (+) or early (-), in ms. Empty where there is no
    such pair, or the file cannot be decoded.
    """
    import av

    try:
        flashes, beeps = _flashes_s(mp4), _beeps_s(mp4)
    except av.FFmpegError:
        return []
    nearest = [(flash, min(beeps, key=lambda beep: abs(beep - flash))) for flash in flashes if beeps]
    return [(beep - flash) * 1000 for flash, beep in nearest if abs(beep - flash) <= _PAIR_S]


def _flashes_s(mp4: Path) -> list[float]:
    """When the picture turns white. One that is white from the first frame on began at no known time."""
    import av

    found, white = [], True
    with av.open(str(mp4)) as container:
        for frame in container.decode(video=0):
            if frame.time is None or frame.time > LONGEST_S:
                break
            luma = frame.reformat(format="gray").to_ndarray()[::8, ::8]
            before, white = white, float(luma.mean()) > _FLASH_LUMA
            if white and not before:
                found.append(frame.time)
    return found


def _beeps_s(mp4: Path) -> list[float]:
    """When it becomes loud after silence."""
    import numpy as np

    start_s, sound = _sound(mp4)
    loud = np.flatnonzero(np.abs(sound) > _LOUD)
    if not len(loud):
        return []
    after_quiet = np.diff(loud, prepend=0) > _QUIET_S * AUDIO_HZ
    return [start_s + float(sample) / AUDIO_HZ for sample in loud[after_quiet]]


def _sound(mp4: Path) -> tuple[float, Sound]:
    """(time of the first sample, mono samples); silence where the track has none, so that each keeps its time."""
    import av
    import numpy as np

    sound: Sound = np.zeros(round((LONGEST_S + 1) * AUDIO_HZ), dtype=np.float32)
    start_s, end = None, 0
    with av.open(str(mp4)) as container:
        if not container.streams.audio:
            return 0.0, sound[:0]
        for frame in container.decode(audio=0):
            if frame.time is None or frame.time > LONGEST_S:
                break
            start_s = frame.time if start_s is None else start_s
            first, piece = round((frame.time - start_s) * AUDIO_HZ), frame.to_ndarray().mean(axis=0)
            end = min(first + len(piece), len(sound))
            sound[first:end] = piece[: end - first]
    return start_s or 0.0, sound[:end]
