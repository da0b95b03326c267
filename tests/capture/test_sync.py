"""SoundTimeline: whatever blocks come, one unbroken stream comes out, near its stamps, each gap and cut counted."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.sync import Sound, SoundTimeline, SyncLimits
from agent.model import AUDIO_HZ, NS, AudioBlock

ZERO_NS = 5 * NS
BLOCK = 1024
LIMITS = SyncLimits()


def at(sample: float) -> int:
    """The instant of a sample on the timeline."""
    return ZERO_NS + int(sample * NS // AUDIO_HZ)


def block(sample: float, length: int = BLOCK, value: int = 1) -> AudioBlock:
    return AudioBlock(at(sample), value.to_bytes(2, "little") * length)


def joined(sounds: list[Sound]) -> bytes:
    """The stream, checked for being unbroken."""
    stream = b""
    for sound in sounds:
        assert sound.first_sample == sounds[0].first_sample + len(stream) // 2
        stream += sound.pcm
    return stream


def test_blocks_in_step_pass_unchanged() -> None:
    timeline = SoundTimeline(ZERO_NS)
    sounds = [s for n in range(100) for s in timeline.feed(block(480 + n * BLOCK))]
    assert sounds[0].first_sample == 480
    assert joined(sounds) == b"\x01\x00" * BLOCK * 100
    report = timeline.report()
    assert (report.gaps, report.overlaps, report.corrections, report.silence_ms) == (0, 0, 0, 0.0)
    assert report.offset_max_ms == 0.0


def test_a_gap_becomes_exactly_that_much_silence() -> None:
    timeline = SoundTimeline(ZERO_NS)
    sounds = timeline.feed(block(0))
    assert timeline.feed(block(BLOCK + 4800)) == [] and timeline.waiting == BLOCK
    sounds += timeline.feed(block(2 * BLOCK + 4800))
    assert joined(sounds) == b"\x01\x00" * BLOCK + bytes(9600) + b"\x01\x00" * 2 * BLOCK
    assert timeline.report().gaps == 1
    assert timeline.report().silence_ms == 100.0


def test_an_overlap_is_cut_from_the_head_of_the_late_block() -> None:
    timeline = SoundTimeline(ZERO_NS)
    sounds = timeline.feed(block(0, 4800)) + timeline.feed(block(2400, 4800, value=2))
    sounds += timeline.feed(block(7200, 4800, value=3))
    assert joined(sounds) == b"\x01\x00" * 4800 + b"\x02\x00" * 2400 + b"\x03\x00" * 4800
    assert timeline.report().overlaps == 1
    assert timeline.report().overlap_ms == 50.0


@pytest.mark.wide
@pytest.mark.parametrize("wrong_ms", [21, 45, 70, 500, -21, -45, -500])
@pytest.mark.parametrize("together", [False, True])
def test_one_wrong_stamp_costs_no_sound(wrong_ms: int, together: bool) -> None:
    """Alone; and with the next one wrong to the other side."""
    wrong = {500: wrong_ms} | ({501: -wrong_ms} if together else {})
    timeline = SoundTimeline(ZERO_NS)
    sounds = [s for n in range(1000) for s in timeline.feed(block(n * BLOCK + wrong.get(n, 0) * AUDIO_HZ // 1000))]
    assert joined(sounds) == b"\x01\x00" * 1000 * BLOCK
    report = timeline.report()
    assert (report.gaps, report.overlaps, report.corrections, report.silence_ms) == (0, 0, 0, 0.0)
    assert report.wild_stamps == len(wrong)


@pytest.mark.parametrize("wrong_ms", [(45, 500), (500, 45), (-45, -500), (-500, -45)])
def test_two_wrong_stamps_that_differ_do_not_confirm_each_other(wrong_ms: tuple[int, int]) -> None:
    timeline, wrong = SoundTimeline(ZERO_NS), dict(zip((500, 501), wrong_ms, strict=True))
    sounds = [s for n in range(1000) for s in timeline.feed(block(n * BLOCK + wrong.get(n, 0) * AUDIO_HZ // 1000))]
    assert joined(sounds) == b"\x01\x00" * 1000 * BLOCK
    report = timeline.report()
    assert (report.gaps, report.overlaps, report.corrections, report.wild_stamps) == (0, 0, 0, 2)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("late_ms", [0.5, 1, 1.5, 2, 10, 21])
def test_what_waited_and_comes_in_one_burst_leaves_no_offset_that_would_be_corrected(late_ms: float, seed: int) -> None:
    """Each is stamped as it is read, so hardly later than the one before it; then, that much after the last of them,
    the pace is right, and trembles.
    """
    chance, timeline, burst = random.Random(seed), SoundTimeline(ZERO_NS), 15
    for _ in range(burst):
        timeline.feed(block(0))
    begin = late_ms * AUDIO_HZ / 1000
    for n in range(200):
        timeline.feed(block(begin + n * BLOCK + chance.uniform(-1.5, 1.5) * AUDIO_HZ / 1000))
    report = timeline.report()
    assert report.overlap_ms == pytest.approx(burst * BLOCK * 1000 / AUDIO_HZ - late_ms, abs=LIMITS.drift_ns / 1e6)
    assert report.offset_max_ms <= LIMITS.drift_ns / 1e6


def worst_offset_ms(timeline: SoundTimeline, begin: float, chance: random.Random, tremble_ms: float) -> float:
    """How far placed sound is from where it belongs, at most, in a second of blocks at the right pace; of the first,
    which waits for the next one, what came out with that.
    """
    worst = 0.0
    for n in range(50):
        true_end = begin + (n + 1) * BLOCK
        timeline.feed(block(begin + n * BLOCK + chance.uniform(-tremble_ms, tremble_ms) * AUDIO_HZ / 1000))
        end_ns = (timeline.end_ns or 0) + timeline.waiting * NS // AUDIO_HZ
        worst = max(worst, abs(end_ns - at(true_end)) / 1e6 if n else 0.0)
    return worst


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("apart_ms", [0, 0.3, 3, 9])
@pytest.mark.parametrize("late_ms", [1.5, 2, 4, 7, 10, 12, 16, 21])
def test_after_a_burst_sound_is_in_its_place_from_its_second_block_on(
    late_ms: float, apart_ms: float, seed: int
) -> None:
    """To 10 ms, however near to each other those of the burst were stamped, and however late the pace began."""
    chance, timeline = random.Random(seed), SoundTimeline(ZERO_NS)
    for n in range(15):
        timeline.feed(block(n * apart_ms * AUDIO_HZ / 1000))
    begin = (14 * apart_ms + late_ms) * AUDIO_HZ / 1000
    assert worst_offset_ms(timeline, begin, chance, tremble_ms=1.5) <= 10


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("early_ms", [12, 16, 19.5])
def test_a_first_block_that_waited_alone_is_put_right_within_a_tenth_of_a_second(early_ms: float, seed: int) -> None:
    """Stamped that much too late it might be one that trembles, until four that follow say the same."""
    chance, timeline = random.Random(seed), SoundTimeline(ZERO_NS)
    timeline.feed(block(0))
    begin = BLOCK - early_ms * AUDIO_HZ / 1000
    for n in range(4):
        timeline.feed(block(begin + n * BLOCK + chance.uniform(-1.5, 1.5) * AUDIO_HZ / 1000))
    assert worst_offset_ms(timeline, begin + 4 * BLOCK, chance, tremble_ms=1.5) <= 5


def test_stamps_that_tremble_by_12_ms_after_a_burst_seldom_move_the_sound_again() -> None:
    """Two that say the same by chance, right behind it, are believed; all others are heard on end."""
    moved = 0
    for seed in range(40):
        chance, timeline = random.Random(seed), SoundTimeline(ZERO_NS)
        for _ in range(15):
            timeline.feed(block(0))
        for n in range(200):
            timeline.feed(block((n + 1) * BLOCK + chance.uniform(-12, 12) * AUDIO_HZ / 1000))
        report = timeline.report()
        moved += report.gaps + report.overlaps + report.corrections > 14
    assert moved <= 4


def test_a_block_that_nothing_follows_is_where_its_stamp_says() -> None:
    for silent in (False, True):
        timeline = SoundTimeline(ZERO_NS)
        sounds = timeline.feed(block(0)) + timeline.feed(block(BLOCK + 4800, value=2))
        assert timeline.waiting == BLOCK
        sounds += timeline.fill_to(at(AUDIO_HZ)) if silent else timeline.rest()
        stream = joined(sounds)
        assert stream[: 2 * (2 * BLOCK + 4800)] == b"\x01\x00" * BLOCK + bytes(9600) + b"\x02\x00" * BLOCK
        assert timeline.waiting == 0 and timeline.rest() == []


@pytest.mark.wide
@pytest.mark.parametrize("seed", range(5))
def test_stamps_that_tremble_by_12_ms_leave_no_gaps(seed: int) -> None:
    chance, timeline = random.Random(seed), SoundTimeline(ZERO_NS)
    sounds = [
        s
        for n in range(3000)
        for s in timeline.feed(block(n * BLOCK + (chance.uniform(-12, 12) if n else 0) * AUDIO_HZ / 1000 + 4800))
    ]
    report = timeline.report()
    assert (report.gaps, report.overlaps, report.corrections, report.wild_stamps) == (0, 0, 0, 0)
    assert len(joined(sounds)) // 2 == pytest.approx(3000 * BLOCK, abs=AUDIO_HZ * 0.005)


def test_one_late_stamp_moves_nothing() -> None:
    timeline = SoundTimeline(ZERO_NS)
    late = {50: 900}
    sounds = [s for n in range(100) for s in timeline.feed(block(n * BLOCK + late.get(n, 0)))]
    assert len(joined(sounds)) == 100 * BLOCK * 2
    assert timeline.report().corrections == 0


def test_a_lasting_step_is_corrected_by_its_whole_size() -> None:
    timeline = SoundTimeline(ZERO_NS)
    step = 960  # 20 ms: too small for a gap, too large to stay
    for n in range(50):
        timeline.feed(block(n * BLOCK + (step if n >= 20 else 0)))
    assert timeline.report().corrections == 1
    assert timeline.end_ns == at(50 * BLOCK + step)


def test_a_dead_microphone_is_replaced_by_silence_that_never_lags_200_ms() -> None:
    timeline = SoundTimeline(ZERO_NS)
    assert timeline.fill_to(at(AUDIO_HZ)) == []
    timeline.begin(ZERO_NS)
    sounds: list[Sound] = []
    for ms in range(0, 3000, 7):
        now = ZERO_NS + ms * 1_000_000
        sounds += timeline.fill_to(now)
        assert now - (timeline.end_ns or 0) <= LIMITS.lag_ns
    assert set(joined(sounds)) == {0}
    assert timeline.starved
    assert timeline.lost_at_ns == ZERO_NS


def test_dying_and_coming_back_is_one_interval_and_exact() -> None:
    timeline = SoundTimeline(ZERO_NS)
    sounds = [s for n in range(10) for s in timeline.feed(block(n * BLOCK))]
    died_ns = timeline.end_ns
    for ms in range(220, 1500, 10):
        sounds += timeline.fill_to(ZERO_NS + ms * 1_000_000)
    assert timeline.starved and timeline.lost_at_ns == died_ns
    sounds += timeline.feed(block(100_000, value=3))
    assert not timeline.starved
    stream = joined(sounds)
    assert stream.index(b"\x03\x00") == 100_000 * 2
    assert set(stream[10 * BLOCK * 2 : 100_000 * 2]) == {0}


def test_late_blocks_inside_the_silence_do_not_count_as_sound_again() -> None:
    timeline = SoundTimeline(ZERO_NS)
    timeline.feed(block(0))
    timeline.fill_to(at(AUDIO_HZ))
    assert timeline.feed(block(BLOCK)) == []
    assert timeline.starved


def test_a_stamp_from_nowhere_is_not_believed() -> None:
    timeline = SoundTimeline(ZERO_NS)
    timeline.feed(block(0))
    sounds = timeline.feed(AudioBlock(at(0) + 3600 * NS, b"\x02\x00" * BLOCK))
    assert sounds[0].first_sample == BLOCK
    assert timeline.report().wild_stamps == 1


def test_the_offset_is_reported_with_its_sign() -> None:
    timeline = SoundTimeline(ZERO_NS)
    timeline.feed(block(0))
    for n in range(1, 100):
        timeline.feed(block(n * BLOCK - 240))  # stamps say 5 ms earlier than the sound was placed: sound is late
    assert 4.5 < timeline.report().offset_mean_ms <= 5.0
    assert timeline.report().offset_max_ms == 5.0


def test_a_small_lasting_offset_is_drawn_out_without_a_jump() -> None:
    timeline = SoundTimeline(ZERO_NS)
    timeline.feed(block(0))
    for n in range(1, 3000):
        timeline.feed(block(n * BLOCK - 240))
    assert abs((timeline.end_ns or 0) - at(3000 * BLOCK - 240)) < 500_000
    report = timeline.report()
    assert report.corrections == report.overlaps == 0
    assert report.stretched_ms == pytest.approx(-5.0, abs=0.5)


steps = st.one_of(
    st.tuples(st.just("sound"), st.integers(-3000, 20_000), st.integers(1, 2048)),
    st.tuples(st.just("silence"), st.integers(0, 20_000), st.just(0)),
)


@given(st.lists(steps, max_size=60))
def test_any_history_gives_one_stream_whose_every_sample_is_accounted_for(history: list[tuple[str, int, int]]) -> None:
    timeline = SoundTimeline(ZERO_NS)
    sounds: list[Sound] = []
    clock = heard = 0
    for kind, move, length in history:
        clock = max(0, clock + move)
        if kind == "sound":
            sounds += timeline.feed(block(clock, length))
            heard += length
            clock += length
        else:
            sounds += timeline.fill_to(at(clock))
    sounds += timeline.rest()
    stream, report = joined(sounds), timeline.report()
    silence = round(report.silence_ms * AUDIO_HZ / 1000)
    cut = round(report.overlap_ms * AUDIO_HZ / 1000)
    assert abs(len(stream) // 2 - (heard - cut + silence)) <= 1
    assert stream.count(b"\x01") == heard - cut


@given(st.lists(st.integers(-900, 900), min_size=20, max_size=200))
def test_jitter_is_bounded(jitter: list[int]) -> None:
    """Stamps that tremble by less than the gap limit: sound never ends up further away than that."""
    timeline = SoundTimeline(ZERO_NS)
    for n, error in enumerate(jitter):
        timeline.feed(block(10_000 + n * BLOCK + error))
        end = 10_000 + (n + 1) * BLOCK - timeline.waiting
        assert abs((timeline.end_ns or 0) - at(end)) <= 2 * LIMITS.gap_ns
