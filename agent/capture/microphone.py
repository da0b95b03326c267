"""A microphone through PortAudio (pyaudio), by callback.

PortAudio stamps with CLOCK_MONOTONIC on ALSA and CLOCK_REALTIME on Pulse; which one is found by comparing
`get_time()` with both, and how far the two are apart is read anew for each block, since the one may be set. A stalled
source stops the callbacks while the stream still claims to be active, and `stop_stream()` then never returns: closing
happens on a thread of its own, with a deadline. Which rate a device has is found by opening it: PyAudio lets no other
thread run while it asks `is_format_supported`, for a second where the device is busy.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from agent.capture.base import DeliverSound, Signal, SignalKind, SourceSignal, monotonic_ns
from agent.capture.mixer import Gain
from agent.capture.quiet import quiet
from agent.capture.rates import Raised, to_try
from agent.errors import DeviceError, reason
from agent.model import AUDIO_HZ, NS, AudioBlock

DEFAULT = "default"
BLOCK_SAMPLES = 1024
"""At AUDIO_HZ; at another rate as many as last about as long."""
_CONTINUE, _ABORT, _INPUT_OVERFLOW, _INVALID_RATE = 0, 2, 2, -9997
"""paContinue, paAbort, paInputOverflow, paInvalidSampleRate of portaudio.h; pyaudio is imported when a stream is
opened.
"""


class Microphone:
    """A live microphone: the default one, or the first whose name contains `wanted`. Mono, 16 bit, AUDIO_HZ: one that
    does not do that rate is opened at one that it has, and its sound brought to AUDIO_HZ; its name says so.

    `start` raises DeviceError where it is missing, busy, or has no rate of rates.to_try.
    """

    live = True

    def __init__(self, wanted: str = DEFAULT, block_samples: int = BLOCK_SAMPLES, gain: Gain | None = None) -> None:
        self.name = f"microphone {wanted}"
        self.dropped_blocks = 0
        self._wanted, self._block_samples, self._gain = wanted, block_samples, gain
        self._audio: Any = None
        self._stream: Any = None
        self._domain: int | None = None
        self._hz = AUDIO_HZ
        self._raised: Raised | None = None
        self._closing: threading.Thread | None = None

    def start(self, deliver: DeliverSound, signal: Signal) -> None:
        self._deliver, self._signal = deliver, signal
        self._audio = _portaudio()
        try:
            info = _find(self._audio, self._wanted)
            self.name = f"microphone {info['name']}"
            self._open(int(info["index"]), to_try(float(info["defaultSampleRate"])))
            if self._gain:
                with quiet():
                    self._gain.apply(str(info["name"]))
            self._domain = clock_of(self._stream.get_time())
            self._stream.start_stream()
        except OSError as err:
            self.stop()
            raise DeviceError(
                f"{self.name} cannot be opened: {reason(err)}",
                "close the program that uses it, or name another microphone",
            ) from err
        except DeviceError:
            self.stop()
            raise

    def _open(self, index: int, rates: list[int]) -> None:
        """At the first of `rates` that the device has. Raises OSError where it refuses anything else, DeviceError where
        it has none.
        """
        import pyaudio

        for hz in rates:
            try:
                with quiet():
                    self._stream = self._audio.open(
                        hz,
                        1,
                        pyaudio.paInt16,
                        input=True,
                        input_device_index=index,
                        frames_per_buffer=round(self._block_samples * hz / AUDIO_HZ),
                        stream_callback=self._callback,
                        start=False,
                    )
            except OSError as err:
                if err.errno != _INVALID_RATE:
                    raise
                continue
            self._hz = hz
            if hz != AUDIO_HZ:
                self._raised = Raised(hz)
                self.name += f" at {hz} Hz"
            return
        raise DeviceError(
            f"{self.name} cannot be opened: it does none of {', '.join(map(str, rates))} Hz",
            "name another microphone, or a pcm of ALSA's type plug in front of this one",
        )

    def stop(self, deadline_s: float = 2.0) -> bool:
        """As AudioSource; called again it goes on waiting for the same stream."""
        if self._closing is None:
            self._closing = threading.Thread(target=self._close, name="microphone-close", daemon=True)
            self._closing.start()
        self._closing.join(deadline_s)
        return not self._closing.is_alive()

    def _close(self) -> None:
        stream, audio, self._stream, self._audio = self._stream, self._audio, None, None
        try:
            if stream is not None:
                stream.close()
        finally:
            if audio is not None:
                audio.terminate()

    def _callback(self, data: bytes | None, frames: int, when: Mapping[str, float], status: int) -> tuple[None, int]:
        """On PortAudio's thread: stamp, hand over, return. What is raised here PyAudio prints, and tells nobody."""
        if status & _INPUT_OVERFLOW:
            self.dropped_blocks += 1
        try:
            if data is None:
                self._signal(SourceSignal(SignalKind.LOST, monotonic_ns(), f"{self.name} gives no more sound"))
            else:
                self._give(self._stamp(when["input_buffer_adc_time"], frames), data, bool(status & _INPUT_OVERFLOW))
        except Exception as err:
            self._signal(SourceSignal(SignalKind.FAULT, monotonic_ns(), f"{type(err).__name__}: {reason(err)}"))
            return None, _ABORT
        return None, _CONTINUE

    def _give(self, mono_ns: int, data: bytes, lost: bool) -> None:
        for block in self._raised.bring(mono_ns, data, lost) if self._raised else [AudioBlock(mono_ns, data)]:
            self._deliver(block)

    def _stamp(self, adc_s: float, frames: int) -> int:
        """When the block's first sample was captured: as the driver says, else as long ago as the block is. Whether a
        stamp can be is for the receiver to judge, who counts those that cannot.
        """
        domain = self._domain
        if domain is not None and adc_s > 0:
            ahead_ns = time.clock_gettime_ns(domain) - monotonic_ns() if domain != time.CLOCK_MONOTONIC else 0
            return round(adc_s * NS) - ahead_ns
        return monotonic_ns() - frames * NS // self._hz


def clock_of(stream_time_s: float) -> int | None:
    """The clock that PortAudio's time is read from; None where it follows none known here."""
    for clock in (time.CLOCK_MONOTONIC, time.CLOCK_REALTIME, time.CLOCK_BOOTTIME):
        if abs(time.clock_gettime_ns(clock) - round(stream_time_s * NS)) < NS // 2:
            return clock
    return None


def default_name() -> str | None:
    """The default microphone in words; None where there is none, or no PortAudio."""
    try:
        audio = _portaudio()
    except DeviceError:
        return None
    try:
        return str(_find(audio, DEFAULT)["name"])
    except DeviceError:
        return None
    finally:
        audio.terminate()


def require(wanted: str) -> str:
    """The full name of a named microphone. Raises DeviceError where it is missing."""
    audio = _portaudio()
    try:
        return f"the microphone {_find(audio, wanted)['name']}"
    finally:
        audio.terminate()


def _find(audio: Any, wanted: str) -> Mapping[str, Any]:
    inputs = [audio.get_device_info_by_index(index) for index in range(audio.get_device_count())]
    inputs = [info for info in inputs if info["maxInputChannels"] > 0]
    names = ", ".join(str(info["name"]) for info in inputs) or "none"
    if wanted == DEFAULT:
        try:
            found: Mapping[str, Any] = audio.get_default_input_device_info()
            return found
        except OSError as err:
            raise DeviceError("there is no default microphone", f"connected: {names}; or --mic none") from err
    for info in inputs:
        if wanted.lower() in str(info["name"]).lower():
            return dict(info)
    raise DeviceError(f"there is no microphone named {wanted!r}", f"connected: {names}; or --mic none")


def _portaudio() -> Any:
    try:
        import pyaudio
    except ImportError as err:
        raise DeviceError("pyaudio is not installed, so no microphone can be opened", "run `make setup`") from err
    with quiet():
        return pyaudio.PyAudio()
