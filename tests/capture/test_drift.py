"""A sound card whose crystal is off: its sound stays in step, and sounds as it did.

The card's time and true time are simulated; the estimator, the resampler, the AAC encoder and the muxer are the real
ones, and what comes out is decoded.
"""

from __future__ import annotations

import faulthandler
import io
import math
import random
from collections.abc import Iterator

import av
import numpy as np
import pytest

from agent.capture.drift import DriftEstimator
from agent.capture.resample import HALF, Resampler
from agent.capture.sync import SoundTimeline
from agent.media.encoder import AacEncoder, H264Encoder, H264Settings
from agent.media.parts import PartMuxer
from agent.model import AUDIO_HZ, NS, VIDEO_HZ, AudioBlock, EncodedPacket, MediaPart, StreamInfo
from tests import campaigns

BLOCK = 1024
BEEP = AUDIO_HZ // 20


class Card:
    """Sound as a card with a crystal that is `ppm` slow gives it, in blocks with stamps that tremble."""

    def __init__(self, ppm: float, jitter_ns: int, seed: int = 1) -> None:
        self.slow = 1 + ppm / 1e6
        self._jitter_ns, self._random = jitter_ns, random.Random(seed)

    def blocks(self, seconds: float) -> Iterator[tuple[int, int]]:
        """(number of the block's first sample, its stamp in ns)."""
        for first in range(0, int(seconds * AUDIO_HZ / self.slow), BLOCK):
            late_ns = self._random.randint(-self._jitter_ns, self._jitter_ns)
            yield first, round(first * self.slow * NS / AUDIO_HZ) + late_ns


def tone(first: int, count: int, hz: float, slow: float) -> bytes:
    """A sine of `hz` true hertz, as the card samples it."""
    times_s = np.arange(first, first + count) * slow / AUDIO_HZ
    return bytes(np.rint(16_000 * np.sin(2 * np.pi * hz * times_s)).astype("<i2"))


# -- the parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ppm", [-200.0, -35.0, 0.0, 100.0, 200.0])
def test_the_crystal_is_measured_through_stamps_that_tremble(ppm: float) -> None:
    estimator, card = DriftEstimator(), Card(ppm, jitter_ns=2_000_000)
    for first, stamp_ns in card.blocks(20):
        estimator.add(first, stamp_ns * AUDIO_HZ / NS)
    place = estimator.place(first)
    assert estimator.ppm == pytest.approx(ppm, abs=20)
    assert place == pytest.approx(first * card.slow, abs=AUDIO_HZ * 0.000_4)


def test_little_sound_says_nothing_of_the_crystal() -> None:
    estimator = DriftEstimator()
    for first, stamp_ns in Card(200, 0).blocks(3.9):
        estimator.add(first, stamp_ns * AUDIO_HZ / NS)
    assert estimator.place(first) is None
    assert estimator.ppm == 0


def test_samples_pass_as_they_are_until_the_speed_changes() -> None:
    resampler = Resampler()
    noise = np.random.default_rng(1).integers(-32768, 32767, 5000).astype(np.int16)
    out = [resampler.process(noise[i : i + 777], 1.0) for i in range(0, 5000, 777)]
    assert np.array_equal(np.concatenate(out), noise)
    assert resampler.passes and resampler.waiting == 0


@pytest.mark.wide
@pytest.mark.parametrize("step", [1.0, 1.0002, 0.9998, 1.001])
@pytest.mark.parametrize("size", [1, 15, 16, 17, 33, 1024])
def test_every_size_of_block_gives_the_same_sound(step: float, size: int) -> None:
    sound = np.frombuffer(tone(0, 6000, 1000, 1.0), np.int16)

    def played(size: int) -> np.ndarray:
        resampler = Resampler()
        resampler.process(sound[:100], 1.0)
        out = [resampler.process(sound[i : i + size], step) for i in range(100, 6000, size)]
        out.append(resampler.flush())
        return np.concatenate(out)

    whole = played(5900)
    assert np.abs(played(size).astype(int) - whole).max() <= 1
    assert abs(len(whole) - 5900 / step) <= 1


def test_what_waits_is_never_more_than_half_a_filter() -> None:
    resampler = Resampler()
    for _ in range(100):
        resampler.process(np.ones(BLOCK, np.int16), 1.0002)
        assert 0 <= resampler.waiting <= HALF + 1


# -- the stream --------------------------------------------------------------------------------------------------------


@pytest.mark.wide
@pytest.mark.parametrize("ppm", [-200.0, 200.0])
def test_a_tone_stays_clean_while_drift_is_taken_out(ppm: float) -> None:
    """Clicks would spread over the spectrum: all that is not within 20 Hz of the tone stays 70 dB below it."""
    card, timeline = Card(ppm, jitter_ns=1_000_000), SoundTimeline(0)
    stream = b"".join(
        sound.pcm
        for first, stamp_ns in card.blocks(60)
        for sound in timeline.feed(AudioBlock(stamp_ns, tone(first, BLOCK, 1000, card.slow)))
    )
    sound = np.frombuffer(stream, "<i2").astype(float)
    window = np.blackman(AUDIO_HZ)
    worst = -math.inf
    for start in range(0, len(sound) - AUDIO_HZ, AUDIO_HZ):
        power = np.abs(np.fft.rfft(sound[start : start + AUDIO_HZ] * window)) ** 2
        beside = np.concatenate([power[20:980], power[1020:]]).sum()
        worst = max(worst, 10 * math.log10(beside / power[980:1020].sum()))
    print(f"worst second at {ppm:+.0f} ppm: {worst:.1f} dB")
    assert worst < -70
    report = timeline.report()
    assert report.corrections == report.gaps == report.overlaps == 0
    assert report.drift_ppm == pytest.approx(ppm, abs=20)


def test_a_correction_by_a_jump_would_be_seen_in_the_spectrum() -> None:
    """The measure of the test above is one that can fail: ten samples too many, once."""
    sound = np.frombuffer(tone(0, AUDIO_HZ + 10, 1000, 1.0), np.int16)
    jumped = np.delete(sound, slice(24_000, 24_010)).astype(float)
    power = np.abs(np.fft.rfft(jumped * np.blackman(AUDIO_HZ))) ** 2
    beside = np.concatenate([power[20:980], power[1020:]]).sum()
    assert 10 * math.log10(beside / power[980:1020].sum()) > -50


def test_a_card_that_is_lost_and_back_keeps_its_crystal() -> None:
    card, timeline = Card(150, jitter_ns=500_000), SoundTimeline(0)
    end_ns = 0.0
    for first, stamp_ns in card.blocks(90):
        end_ns = (first + BLOCK) * card.slow * NS / AUDIO_HZ
        if not 30 * NS < stamp_ns < 33 * NS:
            timeline.feed(AudioBlock(stamp_ns, bytes(BLOCK * 2)))
        if stamp_ns > 35 * NS:
            assert timeline.report().drift_ppm == pytest.approx(150, abs=30)
    assert abs((timeline.end_ns or 0) - end_ns) < 1_000_000
    assert timeline.report().gaps == 1


# -- the whole way -----------------------------------------------------------------------------------------------------


class Film:
    """A recording of sound from a card and one small picture a second, decoded as it grows: when each beep is heard."""

    def __init__(self) -> None:
        self._aac = AacEncoder()
        self._picture = av.VideoFrame(64, 64, "yuv420p")
        self._h264 = H264Encoder(self._picture, 1, H264Settings(bitrate_kbps=50, preset="ultrafast"))
        info = StreamInfo(64, 64, self._h264.extradata, self._aac.extradata, 0)
        self._init = b""
        self._muxer = PartMuxer(info, self._begin, self._part)
        self._decoder: av.AudioCodecContext | None = None
        self._second = 0
        self._held: np.ndarray | None = None
        self._held_s, self._listen_s = 0.0, 1
        self.heard_s: list[float] = []

    def sound(self, first_sample: int, pcm: bytes) -> None:
        for packet in self._aac.encode(first_sample, pcm):
            while self._second * NS <= packet.pts_ns:
                self._push(self._h264.encode(self._picture, self._second * VIDEO_HZ))
                self._second += 1
            self._push([packet])

    def close(self) -> None:
        self._push(self._aac.flush())
        self._muxer.close()

    def _push(self, packets: list[EncodedPacket]) -> None:
        for packet in packets:
            self._muxer.push(packet)

    def _begin(self, init: bytes) -> None:
        self._init = init

    def _part(self, part: MediaPart) -> None:
        """Each part is demuxed by itself, and decoded as what follows the part before."""
        with av.open(io.BytesIO(self._init + part.data)) as film:
            if self._decoder is None:
                self._decoder = av.CodecContext.create("aac", "r")
                self._decoder.extradata = film.streams.audio[0].codec_context.extradata
            for packet in film.demux(audio=0):
                # The empty packet at the end of a part would end the decoder.
                for frame in self._decoder.decode(packet) if packet.size else []:
                    # What only primes the decoder is cut off the first frame, whose place follows.
                    at_s = float(
                        frame.pts * frame.time_base if frame.pts is not None else packet.pts * packet.time_base
                    )
                    self._hear(at_s, frame.to_ndarray()[0])

    def _hear(self, begins_s: float, sound: np.ndarray) -> None:
        if self._held is None:
            self._held_s, self._held = begins_s, sound
        else:
            assert begins_s == pytest.approx(self._held_s + len(self._held) / AUDIO_HZ, abs=1e-4)
            self._held = np.concatenate([self._held, sound])
        while self._held_s + len(self._held) / AUDIO_HZ > self._listen_s + 0.2:
            self._listen()

    def _listen(self) -> None:
        """Where around the next whole second the beep lies best: the encoder smears its beginning, not its middle."""
        assert self._held is not None
        first = round((self._listen_s - 0.1 - self._held_s) * AUDIO_HZ)
        around = self._held[max(0, first) : first + round(0.3 * AUDIO_HZ)]
        turning = around * np.exp(-2j * np.pi * 2000 / AUDIO_HZ * np.arange(len(around)))
        sums = np.concatenate([[0], np.cumsum(turning)])
        levels = np.abs(sums[BEEP:] - sums[:-BEEP]) / BEEP
        if len(levels) and levels.max() > 0.1:
            self.heard_s.append(self._held_s + (max(0, first) + int(levels.argmax())) / AUDIO_HZ)
        self._listen_s += 1
        gone = min(len(self._held), max(0, round((self._listen_s - 0.1 - self._held_s) * AUDIO_HZ)))
        self._held, self._held_s = self._held[gone:], self._held_s + gone / AUDIO_HZ


def beeps(first: int, slow: float) -> bytes:
    """What a card hears of 50 ms of 2 kHz at each true second, beginning at its full strength. Shorter ones the AAC
    encoder swallows, where they lie in its frames in a certain way.
    """
    true_s = np.arange(first, first + BLOCK) * slow / AUDIO_HZ
    since_s = true_s - np.floor(true_s + 1e-12)
    on = (since_s < 0.05) & (true_s >= 1)
    return np.where(on, np.rint(20_000 * np.cos(2 * np.pi * 2000 * since_s)), 0).astype("<i2").tobytes()


@pytest.mark.wide
@pytest.mark.campaign
@pytest.mark.parametrize("ppm", [-200.0, 200.0])
def test_a_shift_stays_within_ten_milliseconds(ppm: float) -> None:
    seconds = campaigns.size(40, 12 * 3600)
    campaign = campaigns.Campaign(f"drift-shift{ppm:+.0f}ppm")
    # A second after the film's zero: before it, sound is cut off.
    card, timeline, film = Card(ppm, jitter_ns=1_000_000), SoundTimeline(-NS), Film()
    for first, stamp_ns in card.blocks(seconds):
        if campaigns.FULL and first % (600 * AUDIO_HZ) < BLOCK:
            # Ten minutes more are done: this is long, and hangs nowhere.
            faulthandler.dump_traceback_later(300, exit=True)
        for sound in timeline.feed(AudioBlock(stamp_ns, beeps(first, card.slow))):
            film.sound(sound.first_sample, sound.pcm)
    film.close()
    offsets_ms = [(at_s - round(at_s)) * 1000 for at_s in film.heard_s]
    assert len(offsets_ms) >= seconds - 2
    report = timeline.report()
    campaign.finish(
        seconds=seconds,
        beeps=len(offsets_ms),
        worst_offset_ms=round(max(map(abs, offsets_ms)), 2),
        jumps=report.corrections + report.gaps + report.overlaps,
        uncorrected_ms=round(abs(ppm) / 1e6 * seconds * 1000),
    )
    assert max(map(abs, offsets_ms)) < 10
    assert report.corrections + report.gaps + report.overlaps == 0


def test_the_measure_of_the_shift_sees_a_crystal_that_nobody_corrects() -> None:
    card, film = Card(200, 0), Film()
    for first, _ in card.blocks(62):
        film.sound(first + AUDIO_HZ, beeps(first, card.slow))
    film.close()
    offsets_ms = [(at_s - round(at_s)) * 1000 for at_s in film.heard_s]
    assert max(map(abs, offsets_ms)) > 10
