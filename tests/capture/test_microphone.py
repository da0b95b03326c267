"""The microphone driver on real PortAudio and real ALSA; only the sound card is missing, a FIFO stands in for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyaudio
import pytest

from agent.capture.base import SignalKind
from agent.capture.microphone import Microphone, clock_of, default_name, require
from agent.errors import DeviceError
from agent.model import AUDIO_HZ, NS, AudioBlock
from tests.lab import alsa

BLOCKS = 150


def test_real_sound_comes_at_its_pace_and_pitch_with_stamps_of_the_right_clock(tmp_path: Path) -> None:
    heard = listens(tmp_path, AUDIO_HZ)
    assert heard["name"] == f"microphone {alsa.NAME}"


def test_one_that_does_16_khz_alone_sounds_the_same_and_portaudio_prints_nothing_of_what_it_refuses(
    tmp_path: Path,
) -> None:
    heard = listens(tmp_path, 16_000)
    assert heard["name"] == f"microphone {alsa.NAME} at 16000 Hz"
    assert "paInvalidSampleRate" not in heard["said"]


def listens(work: Path, hz: int) -> dict[str, Any]:
    """BLOCKS of it are as they should be."""
    before_ns = time.monotonic_ns()
    with alsa.microphone(work, alive_s=60, hz=hz) as env:
        heard = alsa.run("listen.py", env, alsa.NAME, str(BLOCKS), str(work / "heard.raw"))
    assert heard["reached"] and heard["let_go"]
    sound = np.frombuffer((work / "heard.raw").read_bytes(), "<i2").astype(float)
    starts = np.flatnonzero((np.abs(sound) > 3000) & (np.arange(len(sound)) > 0))
    onsets = starts[np.flatnonzero(np.diff(starts, prepend=-AUDIO_HZ) > AUDIO_HZ // 4)]
    assert len(onsets) >= 3
    assert np.diff(onsets[1:]).tolist() == pytest.approx([AUDIO_HZ] * (len(onsets) - 2), abs=2)
    beep = sound[onsets[1] : onsets[1] + 4800]
    assert np.argmax(np.abs(np.fft.rfft(beep))) * AUDIO_HZ / len(beep) == pytest.approx(1000, abs=10)
    # What waited in the FIFO comes in one burst; after it stamps and samples run together.
    stamps = np.array(heard["stamps"][30:])
    counted = np.cumsum([0, *heard["samples"]])[30:-1]
    drift = stamps - stamps[0] - (counted - counted[0]) * NS // AUDIO_HZ
    assert abs(float(np.median(drift))) < 10_000_000
    assert before_ns < stamps[0] and stamps[-1] < time.monotonic_ns()
    return heard


def test_a_dead_microphone_is_given_up_in_time(tmp_path: Path) -> None:
    """PortAudio's own stop never returns here."""
    with alsa.microphone(tmp_path, alive_s=0) as env:
        report = alsa.run("record.py", env, alsa.NAME, "1", str(tmp_path / "out.mp4"))
    assert not report["let_go"]
    assert report["stop_s"] < 5


@pytest.mark.parametrize("clock", [time.CLOCK_MONOTONIC, time.CLOCK_REALTIME])
def test_the_clock_behind_portaudio_is_found_by_comparing(clock: int) -> None:
    assert clock_of(time.clock_gettime_ns(clock) / NS) == clock


def test_a_clock_that_is_set_while_the_stream_runs_moves_no_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pulse stamps by the calendar's clock, which may be set between any two blocks."""
    blocks: list[AudioBlock] = []
    set_ns, really = [0], time.clock_gettime_ns

    def read(clock: int) -> int:
        return really(clock) + (set_ns[0] if clock == time.CLOCK_REALTIME else 0)

    monkeypatch.setattr(time, "clock_gettime_ns", read)
    microphone = Microphone("any")
    microphone._deliver = blocks.append
    microphone._domain = clock_of(read(time.CLOCK_REALTIME) / NS)
    off_ms = []
    for set_ns[0] in (0, 0, 3600 * NS, -86_400 * NS, 0):
        adc_s = (read(time.CLOCK_REALTIME) - 30_000_000) / NS
        microphone._callback(b"\0\0", 1, {"input_buffer_adc_time": adc_s}, 0)
        off_ms.append((really(time.CLOCK_MONOTONIC) - blocks[-1].mono_ns) / 1e6)
    assert off_ms == pytest.approx([30] * 5, abs=10)


def test_an_unknown_clock_is_not_guessed_and_a_block_is_stamped_by_its_arrival() -> None:
    assert clock_of(12.5 + 86_400 * 365 * 10) is None
    microphone = Microphone()
    now = time.monotonic_ns()
    assert microphone._stamp(0.0, 4800) == pytest.approx(now - NS // 10, abs=50_000_000)


def test_what_breaks_in_the_receiver_is_signalled_and_ends_the_stream() -> None:
    """PyAudio would print a traceback, call no more, and tell nobody."""
    microphone, heard = Microphone("any"), []

    def fail(block: AudioBlock) -> None:
        raise ValueError("the receiver broke")

    microphone._deliver, microphone._signal = fail, heard.append
    _, verdict = microphone._callback(b"\0\0", 1, {"input_buffer_adc_time": 0.0}, 0)
    (signal,) = heard
    assert signal.kind is SignalKind.FAULT and "the receiver broke" in signal.detail
    assert verdict == pyaudio.paAbort


def test_no_microphone_is_an_error_that_names_what_there_is() -> None:
    with pytest.raises(DeviceError, match="no microphone named 'Rode'") as caught:
        require("Rode")
    assert "connected:" in caught.value.hint
    with pytest.raises(DeviceError):
        Microphone("Rode").start(lambda block: None, lambda signal: None)


def test_asking_for_the_default_never_raises() -> None:
    assert default_name() is None or default_name()
