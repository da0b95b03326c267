"""The ring against a plain list: what it keeps, where it begins, and that a packet comes back as it went in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.media.prebuffer import MAX_SECONDS, Prebuffer
from agent.model import AUDIO_HZ, NS, VIDEO_HZ, EncodedPacket, Track

FPS = 30
AAC = 1024


def video(frame: int, size: int = 1000, gop: int = FPS) -> EncodedPacket:
    data = bytes([frame % 251]) * size
    return EncodedPacket(Track.VIDEO, frame * VIDEO_HZ // FPS, VIDEO_HZ // FPS, frame % gop == 0, data)


def audio(number: int, size: int = 200) -> EncodedPacket:
    return EncodedPacket(Track.AUDIO, (number - 1) * AAC, AAC, True, bytes([number % 253]) * size)


def stream(seconds: float) -> list[EncodedPacket]:
    """Picture and sound as encoders give them, by time."""
    pictures = [video(n) for n in range(int(seconds * FPS))]
    sounds = [audio(n) for n in range(int(seconds * AUDIO_HZ / AAC))]
    return sorted(pictures + sounds, key=lambda p: p.pts_ns)


def held(ring: Prebuffer, serial: int = 0) -> list[EncodedPacket]:
    return [packet for _, packet in ring.read(serial, 1 << 30)]


@pytest.mark.parametrize("seconds", [0, 1, 5, 30])
def test_it_keeps_the_wanted_seconds_back_to_a_key_frame_and_no_more(seconds: int) -> None:
    ring = Prebuffer(seconds, 48 << 20)
    packets = stream(40)
    for packet in packets:
        ring.append(packet)
    newest_ns = packets[-1].pts_ns
    keys = [p for p in held(ring) if p.key and p.track is Track.VIDEO]
    assert keys[0].pts_ns <= newest_ns - seconds * NS
    assert len(keys) == 1 or keys[1].pts_ns > newest_ns - seconds * NS
    assert held(ring) == packets[-len(held(ring)) :]


def test_the_sound_reaches_back_to_the_frame_that_holds_the_instant_and_one_to_prime() -> None:
    ring = Prebuffer(30)
    for packet in stream(10):
        ring.append(packet)
    start = ring.start_at(5 * NS + NS // 2)
    assert start is not None
    assert start.video_pts == 5 * VIDEO_HZ
    wanted = [p for p in held(ring, start.serial) if start.wants(p)]
    first, second = [p for p in wanted if p.track is Track.AUDIO][:2]
    assert second.pts <= 5 * AUDIO_HZ < second.pts + second.duration
    assert first.pts == second.pts - AAC
    assert next(p for p in wanted if p.track is Track.VIDEO).key


def test_sound_that_comes_after_its_picture_is_found_as_well() -> None:
    """Two encoders publish side by side: the sound of an instant may arrive later than its picture, or much earlier."""
    for lag_ns in (-NS // 5, NS // 5):
        ring = Prebuffer(30)
        for packet in sorted(stream(10), key=lambda p: p.pts_ns + (lag_ns if p.track is Track.AUDIO else 0)):
            ring.append(packet)
        start = ring.start_at(5 * NS)
        assert start is not None
        sound = [p for p in held(ring, start.serial) if start.wants(p) and p.track is Track.AUDIO]
        assert sound[0].pts <= 5 * AUDIO_HZ - AAC < sound[0].pts + AAC


def test_an_instant_older_than_the_ring_gives_its_oldest_key_frame() -> None:
    ring = Prebuffer(3)
    for packet in stream(10):
        ring.append(packet)
    start = ring.start_at(-NS)
    assert start is not None
    assert start.video_pts == next(p for p in held(ring) if p.key and p.track is Track.VIDEO).pts


def test_an_empty_ring_has_no_start() -> None:
    ring = Prebuffer(3)
    ring.append(audio(0))
    assert ring.start_at(0) is None


def test_without_sound_a_recording_starts_at_the_key_frame() -> None:
    ring = Prebuffer(3)
    for n in range(100):
        ring.append(video(n))
    start = ring.start_at(2 * NS)
    assert start is not None
    assert next(p.pts for p in held(ring, start.serial)) == 2 * VIDEO_HZ


def test_bytes_bound_it_before_seconds_do() -> None:
    ring = Prebuffer(120, 100_000)
    for packet in stream(20):
        ring.append(packet)
    assert ring.bytes_used <= 100_000
    assert ring.seconds < 4


def test_no_more_of_the_arena_is_written_to_than_the_ring_holds() -> None:
    """It is memory only from then on: a ring for the worst case costs what the usual case takes."""
    ring = Prebuffer(3, 48 << 20)
    for packet in stream(60):
        ring.append(packet)
    written = len(ring._arena[:].rstrip(b"\0"))
    assert ring.bytes_used <= written < ring.bytes_used + (256 << 10)


def test_a_ring_that_was_full_holds_as_much_after_its_oldest_half_is_gone() -> None:
    ring = Prebuffer(120, 1 << 20)
    for n in range(400):
        ring.append(video(n, 60_000 if n % 50 < 25 else 700))
        assert held(ring) == [video(m, 60_000 if m % 50 < 25 else 700) for m in range(ring.oldest_serial, n + 1)]
    assert ring.bytes_used > (1 << 20) - 60_000


def test_age_never_evicts_what_a_reader_still_needs() -> None:
    ring = Prebuffer(0, 48 << 20)
    packets = stream(5)
    for packet in packets:
        ring.append(packet, keep_from=7)
    assert ring.oldest_serial <= 7
    assert held(ring, 7) == packets[7:]


def test_impossible_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match=str(MAX_SECONDS)):
        Prebuffer(MAX_SECONDS + 1)
    with pytest.raises(ValueError, match="2000"):
        Prebuffer(1, 1000).append(video(0, 2000))


sizes = st.lists(st.tuples(st.booleans(), st.integers(0, 900)), max_size=300)


@given(sizes, st.integers(900, 5000), st.sampled_from([0, 1, 3]))
def test_whatever_comes_the_ring_holds_an_unbroken_tail_of_it(
    history: list[tuple[bool, int]], arena: int, seconds: int
) -> None:
    ring = Prebuffer(seconds, arena)
    packets: list[EncodedPacket] = []
    for number, (is_video, size) in enumerate(history):
        packet = video(number, size, gop=7) if is_video else audio(number, size)
        gone_below = ring.would_evict(size)
        ring.append(packet, keep_from=0)
        assert ring.oldest_serial == min(gone_below, number)
        packets.append(packet)
        kept = held(ring)
        assert kept == packets[len(packets) - len(kept) :]
        assert ring.bytes_used == sum(len(p.data) for p in kept) <= arena
        assert ring.next_serial == len(packets)


@given(sizes, st.integers(900, 5000))
def test_a_start_is_always_a_key_frame_that_is_there(history: list[tuple[bool, int]], arena: int) -> None:
    ring = Prebuffer(2, arena)
    for number, (is_video, size) in enumerate(history):
        ring.append(video(number, size, gop=7) if is_video else audio(number, size))
        start = ring.start_at(number * NS // FPS)
        keys = [p for p in held(ring) if p.key and p.track is Track.VIDEO]
        assert (start is None) == (not keys)
        if start:
            wanted = [p for p in held(ring, start.serial) if start.wants(p)]
            assert next(p for p in wanted if p.track is Track.VIDEO) == keys[-1]
