"""The twins of lens and microphone: what they show and sound can be checked by machine and by eye.

Picture: a moving pattern, the frame number as digits and as a strip of 32 black and white cells (most significant
first), and a white flash at each whole second of the timeline. Sound: a 1 kHz beep from each whole second on. Both
last `FLASH_S`. Picture and sound share an epoch, so that flash and beep begin together.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

from agent.capture.base import DeliverFrame, DeliverSound, Signal, monotonic_ns
from agent.capture.pacing import Epoch, PacedThread
from agent.model import AUDIO_HZ, NS, AudioBlock, VideoFrame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.uint8]

FLASH_S = 0.1
BEEP_HZ = 1000
STRIP_BITS = 32
BAND_ROWS = 64
"""The backdrop repeats after so many: one band of it is kept, not a picture's worth."""
BLOCK_SAMPLES = 960
"""20 ms of sound in each block."""
DARK, WHITE, GREY = 16, 235, 128
_DIGITS = ("75557", "26227", "71747", "71717", "55711", "74717", "74757", "71111", "75757", "75717")
"""Rows of three pixels, top to bottom, one octal digit each, for 0 to 9."""


class SyntheticCamera:
    """A lens of 4:2:0 pictures; like a real one it does not wait, and counts what it had to skip."""

    live = True
    doubtful_frames = 0

    def __init__(self, width: int = 1280, height: int = 720, fps: int = 30, epoch: Epoch | None = None) -> None:
        self.name = f"synthetic camera {width}x{height} at {fps} fps"
        self.fps = float(fps)
        self.dropped_frames = 0
        self._width, self._height, self._rate = width, height, fps
        self._epoch = epoch or Epoch()
        self._thread: PacedThread | None = None

    def start(self, deliver: DeliverFrame, signal: Signal) -> None:
        self._deliver = deliver
        self._thread = PacedThread("synthetic-camera", self._run, signal)
        self._thread.start()

    def stop(self, deadline_s: float = 2.0) -> bool:
        return self._thread is None or self._thread.stop(deadline_s)

    def _run(self, thread: PacedThread) -> None:
        import av

        painter = Painter(self._width, self._height, self._rate)
        epoch_ns, number = self._epoch.mono_ns(), 0
        while thread.wait_until(epoch_ns + number * NS // self._rate):
            late = (monotonic_ns() - epoch_ns) * self._rate // NS - number
            if late > self._rate:
                # The machine stood still for a second: a camera would have lost these pictures, so does its twin.
                self.dropped_frames += late
                number += late
            picture = av.VideoFrame.from_ndarray(painter.paint(number), format="yuv420p")
            self._deliver(VideoFrame(epoch_ns + number * NS // self._rate, number, picture))
            number += 1


class Painter:
    """Draws frame `number` as one I420 array of height * 3 / 2 rows; the array is reused by the next call."""

    def __init__(self, width: int, height: int, fps: int) -> None:
        import numpy as np

        self._width, self._height, self._fps = width, height, fps
        self._frame = np.empty((height * 3 // 2, width), dtype=np.uint8)
        ramp = np.arange(width * 2) % width * 160 // width + 40
        rows = np.arange(BAND_ROWS)[:, None] // 8 % 8 * 4
        self._band = (ramp[None, :] + rows).astype(np.uint8)
        chroma = np.arange(width)[None, :] * 128 // width + 64
        self._chroma = np.broadcast_to(chroma, (height // 2, width)).astype(np.uint8)
        self._cell = max(2, width // STRIP_BITS)

    def paint(self, number: int) -> Plane:
        frame, height = self._frame, self._height
        if number % self._fps < max(1, round(FLASH_S * self._fps)):
            frame[:height] = WHITE
            frame[height:] = GREY
        else:
            shift = number * 4 % self._width
            band = self._band[:, shift : shift + self._width]
            for top in range(0, height, BAND_ROWS):
                frame[top : min(top + BAND_ROWS, height)] = band[: height - top]
            frame[height:] = self._chroma
        self._strip(number)
        self._digits(number)
        return frame

    def _strip(self, number: int) -> None:
        """Bits along the top, in cells as high as wide; a cell is larger than what compression blurs."""
        for bit in range(STRIP_BITS):
            left = bit * self._cell
            value = WHITE if number >> (STRIP_BITS - 1 - bit) & 1 else DARK
            self._frame[: self._cell, left : left + self._cell] = value

    def _digits(self, number: int) -> None:
        dot = max(2, self._height // 60)
        top, left = self._cell + 2 * dot, 2 * dot
        self._frame[top - dot : top + 6 * dot, left - dot : left + 33 * dot] = DARK
        for place, digit in enumerate(f"{number % 10**8:08d}"):
            for row, code in enumerate(_DIGITS[int(digit)]):
                for column in range(3):
                    if int(code) >> (2 - column) & 1:
                        x, y = left + (place * 4 + column) * dot, top + row * dot
                        self._frame[y : y + dot, x : x + dot] = WHITE


def read_strip(luma: Plane) -> int:
    """The frame number back from a decoded luma plane, (height, width); the reverse of `Painter`."""
    cell = max(2, luma.shape[1] // STRIP_BITS)
    number = 0
    for bit in range(STRIP_BITS):
        middle = luma[cell // 4 : cell - cell // 4, bit * cell + cell // 4 : (bit + 1) * cell - cell // 4]
        number = number << 1 | int(middle.mean() > (DARK + WHITE) / 2)
    return number


class SyntheticMicrophone:
    """Beeps at each whole second since the epoch, silence between; blocks of 20 ms stamped to the sample."""

    live = True
    name = "synthetic microphone, 1 kHz beep each second"

    def __init__(self, epoch: Epoch | None = None) -> None:
        self.dropped_blocks = 0
        self._epoch = epoch or Epoch()
        self._thread: PacedThread | None = None

    def start(self, deliver: DeliverSound, signal: Signal) -> None:
        self._deliver = deliver
        self._thread = PacedThread("synthetic-microphone", self._run, signal)
        self._thread.start()

    def stop(self, deadline_s: float = 2.0) -> bool:
        return self._thread is None or self._thread.stop(deadline_s)

    def _run(self, thread: PacedThread) -> None:
        epoch_ns, sample = self._epoch.mono_ns(), 0
        second = beep_second()
        # A block can leave only once its last sample has been captured.
        while thread.wait_until(epoch_ns + (sample + BLOCK_SAMPLES) * NS // AUDIO_HZ):
            first = sample % AUDIO_HZ * 2
            pcm = second[first : first + BLOCK_SAMPLES * 2]
            self._deliver(AudioBlock(epoch_ns + sample * NS // AUDIO_HZ, pcm))
            sample += BLOCK_SAMPLES


def beep_second() -> bytes:
    """One second of the twin's sound: 16-bit little-endian mono at AUDIO_HZ, beginning with the beep."""
    wave = [round(12_000 * math.sin(2 * math.pi * BEEP_HZ * n / AUDIO_HZ)) for n in range(round(FLASH_S * AUDIO_HZ))]
    samples = array("h", wave + [0] * (AUDIO_HZ - len(wave)))
    return samples.tobytes()
