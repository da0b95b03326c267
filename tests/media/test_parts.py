"""PartMuxer: parts of half a second, byte-exact, whose facts are what a decoder finds; init and any of them play in
step.
"""

from __future__ import annotations

import io
import itertools
import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from agent.capture.synthetic import Painter, beep_second, read_strip
from agent.errors import EvidenceError
from agent.media import boxes
from agent.media.encoder import AacEncoder, H264Encoder, H264Settings
from agent.media.parts import PartMuxer, Splitter
from agent.model import AUDIO_HZ, NS, VIDEO_HZ, EncodedPacket, MediaPart, StreamInfo, Track

FPS = 30
SECONDS = 4


@cache
def encoded(with_sound: bool = True) -> tuple[StreamInfo, tuple[EncodedPacket, ...]]:
    """The twin's picture and sound, encoded once: by time, with the picture 0.4 s behind the sound's zero."""
    painter = Painter(320, 180, FPS)
    pictures = [av.VideoFrame.from_ndarray(painter.paint(n), format="yuv420p") for n in range(SECONDS * FPS)]
    h264 = H264Encoder(pictures[0], FPS, H264Settings(500, "ultrafast"))
    packets = [p for n, f in enumerate(pictures) for p in h264.encode(f, 36_000 + n * VIDEO_HZ // FPS)]
    aac = AacEncoder()
    if with_sound:
        packets += aac.encode(0, beep_second() * (SECONDS + 1))
    info = StreamInfo(320, 180, h264.extradata, aac.extradata if with_sound else None, 0)
    return info, tuple(sorted(packets, key=lambda p: p.pts_ns))


def mux(info: StreamInfo, packets: list[EncodedPacket]) -> tuple[bytes, list[MediaPart]]:
    inits: list[bytes] = []
    parts: list[MediaPart] = []
    muxer = PartMuxer(info, inits.append, parts.append)
    for packet in packets:
        muxer.push(packet)
    muxer.close()
    (init,) = inits
    return init, parts


def from_key_on(packets: tuple[EncodedPacket, ...]) -> list[EncodedPacket]:
    """As the ring gives them: sound from the frame before the one that holds the first picture."""
    first_ns = next(p.pts_ns for p in packets if p.track is Track.VIDEO)
    return [p for p in packets if p.pts_ns > first_ns - 2 * 1024 * NS // AUDIO_HZ]


def pictures(data: bytes) -> list[tuple[float, int]]:
    """(seconds, number shown) of each frame a player gets."""
    with av.open(io.BytesIO(data)) as container:
        return [(float(f.time or 0), read_strip(f.to_ndarray()[:180])) for f in container.decode(video=0)]


def beeps(data: bytes) -> list[float]:
    """Seconds at which the sound begins after silence."""
    found, last = [], -1.0
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.1)
            for index in loud:
                at = float(frame.time or 0) + int(index) / AUDIO_HZ
                if at - last > 0.3:
                    found.append(at)
                last = at
    return found


def test_parts_are_half_a_second_and_never_more_than_one() -> None:
    info, packets = encoded()
    _, parts = mux(info, from_key_on(packets))
    assert len(parts) in range(2 * SECONDS - 1, 2 * SECONDS + 3)
    assert all(part.duration_ns < NS for part in parts)
    assert [part.number for part in parts] == list(range(len(parts)))


def test_the_facts_of_each_part_are_what_a_decoder_finds_in_it() -> None:
    info, packets = encoded()
    init, parts = mux(info, from_key_on(packets))
    assert parts[0].start_ns == 0 and parts[0].starts_with_idr
    for part in parts:
        with av.open(io.BytesIO(init + part.data)) as container:
            every = [p for p in container.demux() if p.size]
            found = [p for p in every if p.stream.type == "video"]
            earliest_s = min(float(p.pts * p.time_base) for p in every)
        assert part.video_frames == len(found)
        assert part.starts_with_idr == bool(found and found[0].is_keyframe)
        assert part.start_ns / NS == pytest.approx(max(0.0, earliest_s), abs=1e-6)
    assert sum(part.video_frames for part in parts) == SECONDS * FPS
    with av.open(io.BytesIO(init + b"".join(p.data for p in parts))) as container:
        sound = sum(p.duration for p in container.demux(audio=0) if p.size)
    assert sum(part.audio_samples for part in parts) == sound


def test_every_frame_comes_out_once_and_the_beep_lies_on_the_flash() -> None:
    info, packets = encoded()
    init, parts = mux(info, from_key_on(packets))
    data = init + b"".join(part.data for part in parts)
    shown = pictures(data)
    assert [number for _, number in shown] == list(range(SECONDS * FPS))
    assert [round(at * FPS) for at, _ in shown] == list(range(SECONDS * FPS))
    # The picture's first frame was at 0.4 s of the sound's time: a beep at whole seconds of that is 0.4 s earlier here.
    assert [at % 1 for at in beeps(data)] == pytest.approx([0.6] * len(beeps(data)), abs=0.002)
    assert len(beeps(data)) == SECONDS


def test_init_and_any_of_the_parts_play_at_their_own_time() -> None:
    info, packets = encoded()
    init, parts = mux(info, from_key_on(packets))
    some = [parts[2], parts[3], parts[6]]
    for at, number in pictures(init + b"".join(part.data for part in some)):
        assert round(at * FPS) == number
    heard = beeps(init + b"".join(part.data for part in some))
    assert [at % 1 for at in heard if at > 1.1] == pytest.approx(
        [0.6] * len([at for at in heard if at > 1.1]), abs=0.003
    )


def test_a_recording_without_sound_has_one_track() -> None:
    info, packets = encoded(with_sound=False)
    init, parts = mux(info, list(packets))
    assert len(boxes.read_tracks(init)) == 1
    assert all(part.audio_samples == 0 and part.duration_ns < NS for part in parts)
    assert len(pictures(init + b"".join(part.data for part in parts))) == SECONDS * FPS


def test_sound_that_begins_after_the_picture_stays_where_it_was() -> None:
    info, packets = encoded()
    late = [p for p in packets if p.track is Track.VIDEO or p.pts > AUDIO_HZ * 3 // 4]
    init, parts = mux(info, late)
    heard = beeps(init + b"".join(part.data for part in parts))
    assert [at % 1 for at in heard] == pytest.approx([0.6] * len(heard), abs=0.002)


def test_a_frame_moved_by_40_ms_is_seen_by_these_tests() -> None:
    info, packets = encoded()
    moved = [replace(p, pts=p.pts + 1920) if p.track is Track.AUDIO else p for p in from_key_on(packets)]
    init, parts = mux(info, moved)
    heard = beeps(init + b"".join(part.data for part in parts))
    assert [at % 1 for at in heard] == pytest.approx([0.64] * len(heard), abs=0.002)


def test_no_byte_of_a_part_depends_on_how_the_muxer_cuts_its_writes() -> None:
    info, packets = encoded()
    init, parts = mux(info, from_key_on(packets))
    stream = init + b"".join(part.data for part in parts) + (8).to_bytes(4, "big") + b"mfra"
    for step in (1, 7, 4096, len(stream)):
        inits: list[bytes] = []
        again: list[MediaPart] = []
        splitter = Splitter(inits.append, again.append)
        for at in range(0, len(stream), step):
            splitter.write(stream[at : at + step])
        assert inits == [init] and again == parts


def test_nothing_is_written_for_a_recording_that_never_began(tmp_path: Path) -> None:
    info, packets = encoded()
    muxer = PartMuxer(info, pytest.fail, pytest.fail)
    muxer.push(next(p for p in packets if p.track is Track.AUDIO))
    muxer.close()


def test_damaged_boxes_are_errors_not_loops() -> None:
    with pytest.raises(EvidenceError):
        boxes.head(b"\0\0\0\1moof" + bytes(8))
    with pytest.raises(EvidenceError):
        list(boxes.boxes(b"\0\0\0\x20moofshort"))
    assert boxes.head(b"\0\0\0") is None
    assert boxes.head(b"\0\0\0\1mdat" + (1 << 33).to_bytes(8, "big")) == (b"mdat", 1 << 33)


def irregular(kind: str) -> list[int]:
    """Ticks from one picture to the next."""
    chance = random.Random(kind)
    steps = {
        "jitter": [3000 + chance.randint(-700, 700) for _ in range(SECONDS * FPS - 1)],
        "lossy": [3000 * chance.choice([1, 1, 1, 2, 3]) for _ in range(SECONDS * FPS - 1)],
        "bursts": [chance.choice([1, 2, 9000, 14_000]) for _ in range(SECONDS * FPS - 1)],
        "slow": [7200] * (SECONDS * FPS - 1),
        "stalls": [3000] * 40 + [2 * VIDEO_HZ] + [3000] * 20 + [VIDEO_HZ // 3] + [3000] * (SECONDS * FPS - 63),
    }
    return steps[kind]


@pytest.mark.wide
@pytest.mark.parametrize("lead_ms", [None, -120, 120])
@pytest.mark.parametrize("kind", ["jitter", "lossy", "bursts", "slow", "stalls"])
def test_each_picture_is_at_its_time_wherever_a_part_is_cut(kind: str, lead_ms: int | None) -> None:
    """Where sound, which comes so much sooner than the picture, has a part cut, the muxer guesses how long the last
    picture of it lasts.
    """
    with_sound, lead_ns = lead_ms is not None, (lead_ms or 0) * NS // 1000
    info, packets = encoded(with_sound)
    at = list(itertools.accumulate(irregular(kind), initial=36_000))
    video = [replace(p, pts=pts) for p, pts in zip((p for p in packets if p.track is Track.VIDEO), at, strict=True)]
    sound = [p for p in packets if p.track is Track.AUDIO]
    if with_sound:
        last = sound[-1]
        sound += [replace(last, pts=last.pts + n * 1024) for n in range(1, (at[-1] // VIDEO_HZ) * 47)]
    init, parts = mux(
        info,
        from_key_on(
            tuple(sorted([*video, *sound], key=lambda p: p.pts_ns - (lead_ns if p.track is Track.AUDIO else 0)))
        ),
    )
    with av.open(io.BytesIO(init + b"".join(part.data for part in parts))) as container:
        found = [p.pts for p in container.demux(video=0) if p.size]
    assert found == [pts - at[0] for pts in at]
    counted = 0
    for part in parts:
        with av.open(io.BytesIO(init + part.data)) as container:
            alone = [(p.pts, p.duration) for p in container.demux(video=0) if p.size]
        assert [pts for pts, _ in alone] == found[counted : counted + part.video_frames]
        assert all(a + lasts == b for (a, lasts), (b, _) in itertools.pairwise(alone))
        counted += part.video_frames
    assert counted == len(at)
