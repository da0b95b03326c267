"""PortAudio with one microphone that misbehaves as written (agent/capture/scripted.py), at the seam where the driver
meets it: the callback, with the times and flags that PortAudio gives it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from agent.capture.scripted import HOUR_NS
from agent.model import AUDIO_HZ, NS
from tests.contract.placed import noise

OVERFLOW = 2
"""paInputOverflow (portaudio.h)."""
BAD_RATE = -9997
"""paInvalidSampleRate."""
Callback = Callable[[bytes | None, int, Mapping[str, float], int], object]


class FaultyPortAudio:
    """Opened again, the script goes on where it was. Sample 0 of its noise (placed.py) is that of `begun_ns`. It does
    no other rate than `hz`.
    """

    def __init__(self, script: str, pace: float = 1.0, hz: int = AUDIO_HZ) -> None:
        self.script, self.pace, self.hz = iter(script), pace, hz
        self.info = {"name": "faulty", "index": 0, "maxInputChannels": 1, "defaultSampleRate": float(hz)}
        self.begun_ns, self.blocks, self.opened = time.monotonic_ns(), 0, 0
        self.letters: list[tuple[str, int]] = []
        self.ended = threading.Event()
        self.halved = False
        """From the letter f on, also where it is opened again."""

    def get_device_count(self) -> int:
        return 1

    def get_device_info_by_index(self, index: int) -> Mapping[str, Any]:
        return self.info

    def get_default_input_device_info(self) -> Mapping[str, Any]:
        return self.info

    def open(
        self, rate: int, *_: object, frames_per_buffer: int, stream_callback: Callback, **__: object
    ) -> FaultyStream:
        if rate != self.hz:
            raise OSError(BAD_RATE, "Invalid sample rate")
        self.opened += 1
        return FaultyStream(self, frames_per_buffer, stream_callback)

    def terminate(self) -> None:
        pass

    def next_letter(self) -> str:
        letter = next(self.script, "")
        if not letter:
            self.ended.set()
        return letter or "r"


class FaultyStream:
    def __init__(self, audio: FaultyPortAudio, frames: int, callback: Callback) -> None:
        self._audio, self._frames, self._callback = audio, frames, callback
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._held: list[tuple[bytes, float]] = []
        self._stamp_ns = 0
        self._status = 0

    def get_time(self) -> float:
        return time.monotonic_ns() / NS

    def start_stream(self) -> None:
        # A stream that is opened late begins with what is captured from then on.
        audio, block_ns = self._audio, self._frames * NS // self._audio.hz
        audio.blocks = max(audio.blocks, (time.monotonic_ns() - audio.begun_ns) // block_ns + 1)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        audio = self._audio
        while not self._closing.is_set():
            audio.blocks += 1
            end_ns = audio.begun_ns + audio.blocks * self._frames * NS // audio.hz
            if self._closing.wait(max(0.0, (end_ns - time.monotonic_ns()) / NS)):
                return
            letter = audio.next_letter()
            audio.letters.append((letter, end_ns - self._frames * NS // audio.hz))
            self._play(letter, *audio.letters[-1][1:])

    def _play(self, letter: str, stamp_ns: int) -> None:
        self._audio.halved = self._audio.halved or letter == "f"
        if letter == "d":
            # What the next callback is told: samples before it are lost.
            self._status = OVERFLOW
        if letter == "u":
            self._call(None, stamp_ns)
        if letter in "dsu":
            return
        shift_ns = {"b": -NS, "w": HOUR_NS, "p": -HOUR_NS}.get(letter, 0)
        self._stamp_ns = self._stamp_ns if letter == "e" else stamp_ns + shift_ns
        if letter == "h":
            self._held.append((self._pcm(), self._stamp_ns))
            return
        held, self._held = self._held, []
        for pcm, held_ns in held:
            self._call(pcm, held_ns)
        self._call(b"" if letter == "z" else self._pcm(), self._stamp_ns)

    def _call(self, pcm: bytes | None, stamp_ns: int) -> None:
        status, self._status = self._status, 0
        self._callback(pcm, self._frames, {"input_buffer_adc_time": stamp_ns / NS}, status)

    def _pcm(self) -> bytes:
        first = (self._audio.blocks - 1) * self._frames
        count = round(self._frames * self._audio.pace) // (2 if self._audio.halved else 1)
        return noise(first, count, self._audio.hz)
