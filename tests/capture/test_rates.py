"""A microphone that does not do 48 kHz: at which rate it is opened, and that its sound comes at its instants."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.capture import microphone
from agent.capture.microphone import BLOCK_SAMPLES, Microphone
from agent.capture.rates import USUAL, Raised, to_try
from agent.capture.resample import HALF
from agent.errors import DeviceError
from agent.model import AUDIO_HZ, NS, AudioBlock
from tests.capture.faulty_audio import BAD_RATE, OVERFLOW

RATES = (44_100, 32_000, 16_000)
STEP_US = 10.0
"""Half of a sample of what comes out."""
Wave = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class OneRate:
    """PortAudio with one microphone that does `has`, and says of each opening what it was asked for."""

    def __init__(self, has: tuple[int, ...], own: float = 44_100.0, refuses: int = BAD_RATE) -> None:
        self.has, self.refuses = has, refuses
        self.asked: list[tuple[int, int]] = []
        self.info = {"name": "webcam", "index": 0, "maxInputChannels": 1, "defaultSampleRate": own}

    def get_device_count(self) -> int:
        return 1

    def get_device_info_by_index(self, index: int) -> Mapping[str, Any]:
        return self.info

    def open(self, rate: int, *_: object, frames_per_buffer: int, **__: object) -> OneRate:
        self.asked.append((rate, frames_per_buffer))
        if rate not in self.has:
            raise OSError(self.refuses, "refused")
        return self

    def get_time(self) -> float:
        return time.monotonic_ns() / NS

    def start_stream(self) -> None: ...

    def close(self) -> None: ...

    def terminate(self) -> None: ...


@dataclass
class Opened:
    """An open one, its blocks, and the first instant of what it hears, on CLOCK_MONOTONIC."""

    device: Microphone
    audio: OneRate
    blocks: list[AudioBlock]
    begin_ns: int

    @property
    def hz(self) -> int:
        return self.audio.asked[-1][0]

    @property
    def frames(self) -> int:
        return self.audio.asked[-1][1]

    def gives(self, wave: Wave, blocks: int, at: int = 0, status: int = 0, off_ns: int = 0) -> int:
        """So many blocks from the device's sample `at` on, the first with that status, their stamps off by that; the
        number of the sample that comes next.
        """
        for n in range(blocks):
            first = at + n * self.frames
            pcm = np.rint(wave(np.arange(first, first + self.frames) / self.hz)).astype("<i2").tobytes()
            adc_s = (self.begin_ns + first * NS / self.hz + off_ns) / NS
            self.device._callback(pcm, self.frames, {"input_buffer_adc_time": adc_s}, status if n == 0 else 0)
        return at + blocks * self.frames

    @property
    def sound(self) -> NDArray[np.int16]:
        return np.frombuffer(b"".join(block.pcm for block in self.blocks), "<i2")

    @property
    def seconds(self) -> NDArray[np.float64]:
        """When each sample of `sound` was captured, as its block's stamp says."""
        each = [(b.mono_ns - self.begin_ns) / NS + np.arange(len(b.pcm) // 2) / AUDIO_HZ for b in self.blocks]
        return np.concatenate(each)

    def between(self, first: int, last: int) -> int:
        """How much came of what lies between those samples of the device, a millionth of a second after and before."""
        at = self.seconds
        return int(((at > first / self.hz + 1e-6) & (at < last / self.hz - 1e-6)).sum())


def opens(monkeypatch: pytest.MonkeyPatch, audio: OneRate) -> Opened:
    monkeypatch.setattr(microphone, "_portaudio", lambda: audio)
    device, blocks = Microphone("webcam"), list[AudioBlock]()
    device.start(blocks.append, lambda signal: pytest.fail(signal.detail))
    return Opened(device, audio, blocks, time.monotonic_ns())


@pytest.fixture(params=RATES)
def opened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Opened:
    return opens(monkeypatch, OneRate((request.param,), request.param))


def tone(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    return 10_000 * np.sin(2 * np.pi * 1000.3 * seconds)


def beep(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """A tone whose loudest instant is at 0.71237 s, and which is over 50 ms before and after that."""
    apart = seconds - 0.71237
    return np.where(np.abs(apart) < 0.05, 10_000 * np.cos(np.pi * apart / 0.1) ** 2 * np.cos(6283 * apart), 0.0)


def late_us(opened: Opened, wave: Wave) -> float:
    """By how much what came lies behind its stamps: the shift that explains most of the difference."""
    at, little = opened.seconds, 1e-6
    steep = (wave(at + little) - wave(at - little)) / (2 * little)
    return float(-(opened.sound - wave(at)) @ steep / (steep @ steep)) * 1e6


def test_a_beep_comes_at_its_instant(opened: Opened) -> None:
    opened.gives(beep, 60)
    assert abs(late_us(opened, beep)) < STEP_US
    loud = opened.seconds[np.flatnonzero(np.abs(opened.sound) > 9900)]
    assert abs(float(loud.mean()) - 0.71237) < 0.0001
    assert float(np.abs(opened.sound - beep(opened.seconds)).max()) < 10
    assert opened.device.name == f"microphone webcam at {opened.hz} Hz"


def test_a_block_lasts_about_as_long_as_one_at_48_khz_and_each_begins_where_the_last_ended(opened: Opened) -> None:
    opened.gives(tone, 200)
    assert opened.frames / opened.hz == pytest.approx(BLOCK_SAMPLES / AUDIO_HZ, rel=0.01)
    step_ns = np.diff([block.mono_ns for block in opened.blocks])
    lasts_ns = np.array([len(block.pcm) // 2 * NS / AUDIO_HZ for block in opened.blocks[:-1]])
    assert float(np.abs(step_ns - lasts_ns).max()) < 1000
    # Exactly so many samples as it captured, but for those that wait.
    wait = HALF * AUDIO_HZ / opened.hz
    assert len(opened.sound) == pytest.approx(200 * opened.frames * AUDIO_HZ / opened.hz - wait, abs=1)


def test_a_tone_has_no_click_at_the_borders_of_blocks_and_no_image(opened: Opened) -> None:
    opened.gives(tone, 200)
    sound = opened.sound[1000 : 1000 + 4 * AUDIO_HZ]
    power = np.abs(np.fft.rfft(sound * np.blackman(len(sound)))) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / AUDIO_HZ)
    beside = power[np.abs(hz - 1000.3) > 20]
    assert 10 * np.log10(beside.max() / power.max()) < -90
    assert 10 * np.log10(beside.sum() / power.sum()) < -70


@pytest.mark.parametrize("level", [0, -1, 12_345, 32_767, -32_768])
def test_what_is_silent_to_the_bit_stays_so(opened: Opened, level: int) -> None:
    """That is how a dead microphone is known."""
    opened.gives(lambda at: np.full(len(at), level), 30)
    assert set(opened.sound[HALF * 4 :].tolist()) == {level}
    if level == 0:
        assert not opened.sound.any()


@pytest.mark.parametrize(("status", "lost_ms"), [(OVERFLOW, 5), (OVERFLOW, 300), (0, 30), (0, 300)])
def test_what_is_on_either_side_of_a_gap_stays_in_its_place_and_is_not_smeared(
    opened: Opened, status: int, lost_ms: int
) -> None:
    """One that the driver tells, however short, and one that its stamps alone show."""
    ends = opened.gives(tone, 20)
    begins = ends + opened.hz * lost_ms // 1000
    opened.gives(tone, 20, begins, status)
    at = opened.seconds
    gap_s = begins / opened.hz - ends / opened.hz
    assert opened.between(ends, begins) == 0
    assert len(at) == pytest.approx(40 * opened.frames * AUDIO_HZ / opened.hz - HALF * AUDIO_HZ / opened.hz, abs=2)
    assert float(np.diff(at).max()) == pytest.approx(gap_s, abs=2 / AUDIO_HZ)
    edges = np.array([0, ends, begins]) / opened.hz
    near = np.abs(at[:, None] - edges[None, :]).min(axis=1) < HALF / opened.hz
    assert float(np.abs(opened.sound - tone(at))[~near].max()) < 10
    assert opened.device.dropped_blocks == (1 if status else 0)


def test_an_overrun_that_cost_nothing_costs_no_sample(opened: Opened) -> None:
    """What is told as lost may not be: then only what waits comes out early."""
    opened.gives(tone, 20, opened.gives(tone, 20), OVERFLOW)
    assert float(np.diff(opened.seconds).max()) < 2 / AUDIO_HZ
    assert len(opened.sound) == pytest.approx((40 * opened.frames - HALF) * AUDIO_HZ / opened.hz, abs=2)


def test_stamps_that_tremble_repeat_or_are_wild_are_no_gap(opened: Opened) -> None:
    """The sound is the same to the bit; the stamps go on to whoever judges them."""
    dice, at = random.Random(3), opened.gives(tone, 5)
    trembles = [dice.randrange(-8_000_000, 8_000_000) for _ in range(40)]
    off = [*trembles, -(opened.frames * NS // opened.hz), 0, 3600 * NS, 0, -3600 * NS, 0, 0]
    for off_ns in off:
        at = opened.gives(tone, 1, at, off_ns=off_ns)
    stamped = [block.mono_ns for block in opened.blocks]
    sound, opened.blocks[:] = opened.sound, []
    opened.device._raised = Raised(opened.hz)
    opened.gives(tone, 5 + len(off))
    assert np.array_equal(sound, opened.sound)
    apart = np.array(stamped[5:]) - np.array([block.mono_ns for block in opened.blocks[5:]])
    assert apart.tolist() == pytest.approx(off, abs=1000)


def test_an_empty_buffer_is_no_block_and_what_it_should_have_held_a_gap(opened: Opened) -> None:
    ends = opened.gives(tone, 10)
    opened.device._callback(b"", opened.frames, {"input_buffer_adc_time": 0.0}, 0)
    begins = ends + opened.frames
    opened.gives(tone, 10, begins)
    assert all(block.pcm for block in opened.blocks)
    assert opened.between(ends, begins) == 0


def test_without_a_clock_a_block_began_as_long_ago_as_it_is() -> None:
    made = Microphone()
    made._hz = 16_000
    now = time.monotonic_ns()
    assert made._stamp(0.0, 1600) == pytest.approx(now - NS // 10, abs=50_000_000)


# -- which rate ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("has", "own", "asked"),
    [
        ((48_000, 44_100), 44_100.0, [48_000]),
        ((16_000,), 16_000.0, [48_000, 16_000]),
        ((96_000, 44_100), 96_000.0, [48_000, 44_100]),
        ((22_050,), 44_100.0, [48_000, 44_100, 32_000, 24_000, 22_050]),
        ((12_000,), 12_000.0, [48_000, 12_000]),
    ],
)
def test_the_first_that_it_has_is_taken(
    has: tuple[int, ...], own: float, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = opens(monkeypatch, OneRate(has, own))
    assert [rate for rate, _ in opened.audio.asked] == asked
    assert opened.device.name == "microphone webcam" + (f" at {asked[-1]} Hz" if asked[-1] != AUDIO_HZ else "")


def test_at_48_khz_sound_passes_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = opens(monkeypatch, OneRate((AUDIO_HZ,)))
    opened.gives(tone, 3)
    assert [len(block.pcm) for block in opened.blocks] == [2 * BLOCK_SAMPLES] * 3


def test_none_above_is_tried_and_where_none_goes_the_error_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = OneRate((96_000,), 96_000.0)
    with pytest.raises(DeviceError, match=r"it does none of 48000, 44100, 32000, .*, 8000 Hz") as caught:
        opens(monkeypatch, audio)
    assert "name another microphone" in caught.value.hint
    assert [rate for rate, _ in audio.asked] == [AUDIO_HZ, *USUAL] == to_try(0.0)


def test_one_that_is_busy_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = OneRate((), refuses=-9985)
    with pytest.raises(DeviceError, match="cannot be opened"):
        opens(monkeypatch, audio)
    assert len(audio.asked) == 1
