"""The faults that a film itself can have, through the intake: transport streams that were joined as they are."""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from agent.capture.clip import Clip
from agent.intake import IntakeEventKind, Tally
from agent.model import AUDIO_HZ, NS, Track
from tests.contract.placed import MOST_MS, check_in_step, noise
from tests.contract.test_faults import check_continuous, pts_of, told
from tests.test_intake import FAST, Take

SECONDS, FPS = 0.6, 25
PICTURES = round(SECONDS * FPS)


def piece(path: Path, at_s: float, size: str = "160x120", hz: int = AUDIO_HZ, channels: int = 1) -> bytes:
    """With its picture from that instant on, and with the noise (placed.py) of then."""
    picture = f"testsrc=size={size}:rate={FPS}:duration={SECONDS}"
    sound = noise(round(at_s * AUDIO_HZ), round(SECONDS * AUDIO_HZ))
    inputs = ("-f", "lavfi", "-i", picture, "-f", "s16le", "-ar", str(AUDIO_HZ), "-ac", "1", "-i", "-")
    coded = ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-ac", str(channels), "-ar", str(hz))
    command = ["ffmpeg", "-v", "error", "-y", *inputs, *coded, "-output_ts_offset", str(1 + at_s), str(path)]
    subprocess.run(command, check=True, timeout=60, input=sound)
    return path.read_bytes()


@dataclass(frozen=True)
class Played:
    take: Take
    tally: Tally


def played(film: Path, end: IntakeEventKind, worst_ms: float = MOST_MS) -> Played:
    clip = Clip(film, loop=False)
    with Take(clip.video, clip.audio, FAST) as take:
        tally = take.attach()
        take.wait_event(end)
        take.finish(film.with_suffix(".mp4"))
    check_in_step(take, worst_ms=worst_ms)
    return Played(take, tally)


def test_stamps_that_go_back_cost_no_picture_and_the_sound_that_they_cost_is_counted(tmp_path: Path) -> None:
    """The same twice: what plays over what was played has no place of its own."""
    film = tmp_path / "again.ts"
    film.write_bytes(piece(tmp_path / "one.ts", 0) * 2)
    again = played(film, IntakeEventKind.SOURCE_ENDED)
    pts = pts_of(again.take, Track.VIDEO)
    assert all(a < b for a, b in itertools.pairwise(pts))
    assert len(pts) == again.tally.encoded == 2 * PICTURES and again.tally.dropped == 0
    (over,) = told(again.take, IntakeEventKind.CAMERA_REGULAR)
    assert f"stamps put right: {PICTURES}" in over.detail
    (heard,) = told(again.take, IntakeEventKind.MICROPHONE_REGULAR)
    lost = int(heard.detail.rpartition("blocks lost by the driver: ")[2].partition(",")[0])
    assert lost * 1024 / AUDIO_HZ > SECONDS * 0.9


def test_another_size_ends_it_with_a_reason_and_what_came_is_kept(tmp_path: Path) -> None:
    film = tmp_path / "other.ts"
    film.write_bytes(piece(tmp_path / "one.ts", 0) + piece(tmp_path / "two.ts", SECONDS, size="320x240"))
    other = played(film, IntakeEventKind.CAMERA_LOST)
    (lost,) = told(other.take, IntakeEventKind.CAMERA_LOST)
    assert "changed its format in mid-stream (160x120 to 320x240)" in lost.detail
    assert len(pts_of(other.take, Track.VIDEO)) == other.tally.encoded == PICTURES
    assert other.tally.captured == other.tally.encoded + other.tally.dropped


def emptied(path: Path, source: Path, kind: str) -> int:
    """The same film, in a form that can say it, with some packets of that kind without bytes; how many."""
    which = (5, 6, 9)
    with av.open(str(source)) as given, av.open(str(path), "w", format="nut") as made:
        streams = {stream.index: made.add_stream_from_template(stream) for stream in given.streams}
        count = 0
        for packet in given.demux():
            if packet.dts is None:
                continue
            copy: av.Packet[Any] = packet
            if packet.stream.type == kind:
                copy, count = av.Packet(b"") if count in which else packet, count + 1
                copy.pts, copy.dts = packet.pts, packet.dts
                copy.duration, copy.time_base = packet.duration or 0, packet.time_base
            copy.stream = streams[packet.stream.index]
            made.mux(copy)
    with av.open(str(path)) as again:
        assert sum(p.size == 0 and p.dts is not None for p in again.demux()) == len(which)
    return len(which)


def test_pictures_without_bytes_are_counted_as_lost_and_the_others_stay_in_their_places(tmp_path: Path) -> None:
    source, film = tmp_path / "one.mkv", tmp_path / "emptied.nut"
    piece(source, 0)
    lost = emptied(film, source, "video")
    seen = played(film, IntakeEventKind.SOURCE_ENDED)
    pts = pts_of(seen.take, Track.VIDEO)
    assert (seen.tally.encoded, seen.tally.dropped) == (len(pts), lost) == (PICTURES - lost, lost)
    assert all((b - a) % (90_000 // FPS) == 0 for a, b in itertools.pairwise(pts))
    assert pts[-1] - pts[0] == (PICTURES - 1) * 90_000 // FPS
    check_continuous(seen.take)


def test_sound_without_bytes_is_silence_and_counted(tmp_path: Path) -> None:
    source, film = tmp_path / "one.mkv", tmp_path / "emptied.nut"
    piece(source, 0)
    lost = emptied(film, source, "audio")
    heard = played(film, IntakeEventKind.SOURCE_ENDED)
    check_continuous(heard.take)
    assert heard.tally.encoded == PICTURES and heard.tally.dropped == 0
    (over,) = told(heard.take, IntakeEventKind.MICROPHONE_REGULAR)
    assert f"blocks lost by the driver: {lost}" in over.detail


def test_sound_of_another_rate_and_more_channels_goes_on(tmp_path: Path) -> None:
    film = tmp_path / "other.ts"
    film.write_bytes(piece(tmp_path / "one.ts", 0) + piece(tmp_path / "two.ts", SECONDS, hz=44_100, channels=2))
    # Of some frames in a row the film says when the first is; the others are counted on at the rate that was.
    other = played(film, IntakeEventKind.SOURCE_ENDED, worst_ms=15)
    check_continuous(other.take)
    assert not told(other.take, IntakeEventKind.MICROPHONE_LOST)
    sound = [packet.pts_ns for packet in other.take.packets if packet.track is Track.AUDIO]
    assert sound[-1] - sound[0] > 1.8 * SECONDS * NS
    assert other.take.intake.counters().silence_ms < 100
