"""Real clips as sources: every frame and sample of the file, at the file's own times, however often it is played."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from agent.capture.base import SignalKind, SourceSignal
from agent.capture.clip import MOST_REORDERED, Clip, _in_place
from agent.errors import DeviceError
from agent.model import AUDIO_HZ, NS, AudioBlock, VideoFrame
from tests import avcompare, media_samples

PATIENCE_S = 60


class Taken:
    """What both sources gave, until `enough` says so or both have ended."""

    def __init__(self, clip: Clip, enough: Callable[[Taken], bool] = lambda taken: False) -> None:
        self.frames: list[VideoFrame] = []
        self.blocks: list[AudioBlock] = []
        self.signals: list[SourceSignal] = []
        self._enough = enough
        self._done = threading.Event()
        sources = [s for s in (clip.video, clip.audio) if s]
        self._open = len(sources)
        clip.video.start(lambda f: self._take(self.frames, f), self._signal)
        if clip.audio:
            clip.audio.start(lambda b: self._take(self.blocks, b), self._signal)
        assert self._done.wait(PATIENCE_S)
        assert all([source.stop() for source in sources])  # noqa: C419
        self.zero_ns = clip.epoch.mono_ns()

    def _take(self, into: list, item: object) -> None:  # type: ignore[type-arg]
        into.append(item)
        if self._enough(self):
            self._done.set()

    def _signal(self, signal: SourceSignal) -> None:
        self.signals.append(signal)
        if len(self.signals) == self._open:
            self._done.set()

    def pcm(self) -> bytes:
        """All sound; checked for being unbroken."""
        for before, after in zip(self.blocks, self.blocks[1:], strict=False):
            assert abs(after.mono_ns - before.mono_ns - len(before.pcm) // 2 * NS // AUDIO_HZ) <= 1
        return b"".join(block.pcm for block in self.blocks)


@pytest.fixture(params=["phone", "cartoon"])
def sample(request: pytest.FixtureRequest) -> Path:
    path: Path = getattr(media_samples, request.param)()
    return path


@pytest.mark.wide
def test_every_frame_comes_once_at_its_own_time(sample: Path) -> None:
    truth = avcompare.decode(sample)
    taken = Taken(Clip(sample, loop=False))
    begin_s = min(truth.times_s[0], truth.sound_from_s)
    assert [f.sequence for f in taken.frames] == list(range(len(truth.times_s)))
    times = [(f.mono_ns - taken.zero_ns) / NS for f in taken.frames]
    assert times == pytest.approx([t - begin_s for t in truth.times_s], abs=1e-6)
    assert {s.kind for s in taken.signals} == {SignalKind.ENDED}


@pytest.mark.wide
def test_every_sample_comes_at_its_own_time(sample: Path) -> None:
    truth = avcompare.decode(sample)
    taken = Taken(Clip(sample, loop=False))
    sound = np.frombuffer(taken.pcm(), "<i2").astype(np.float32) / 32768
    begin = round((truth.sound_from_s - min(truth.times_s[0], truth.sound_from_s)) * AUDIO_HZ)
    assert not sound[:begin].any()
    sound = sound[begin : begin + len(truth.sound)]
    # Down-mixing weighs channels differently here and there; the shape must be the same, to the sample.
    lags = {lag: float(np.roll(sound, lag) @ truth.sound[: len(sound)]) for lag in range(-50, 51)}
    assert max(lags, key=lambda lag: lags[lag]) == 0


def test_the_offset_between_picture_and_sound_is_the_files_own() -> None:
    clip = Clip(media_samples.talk())
    taken = Taken(clip, lambda t: len(t.frames) > 3 and len(t.blocks) > 3)
    assert taken.frames[0].mono_ns - taken.zero_ns < NS // 1000
    assert taken.blocks[0].mono_ns == taken.zero_ns
    # 42 ms - 33 ms: sound begins 9 ms after the picture, and until then is silence.
    assert clip.start_s == pytest.approx(0.033, abs=1e-4)


def test_looping_goes_on_without_a_seam() -> None:
    path = media_samples.phone()
    clip = Clip(path)
    once = len(avcompare.decode(path).times_s)
    taken = Taken(clip, lambda t: len(t.frames) > 2 * once and len(t.blocks) * 1024 > 2.2 * clip.duration_s * AUDIO_HZ)
    first = [f.mono_ns - taken.zero_ns for f in taken.frames[:once]]
    second = [f.mono_ns - taken.zero_ns for f in taken.frames[once : 2 * once]]
    assert [b - a for a, b in zip(first, second, strict=True)] == pytest.approx([clip.duration_s * NS] * once, abs=2)
    assert [f.sequence for f in taken.frames] == list(range(len(taken.frames)))
    sound = np.frombuffer(taken.pcm(), "<i2")
    length = round(clip.duration_s * AUDIO_HZ)
    assert np.array_equal(sound[:length], sound[length : 2 * length])


def test_a_clip_waits_for_who_is_slow() -> None:
    """Held up in `deliver`, it loses nothing and keeps its stamps."""
    clip = Clip(media_samples.phone(), loop=False)
    gate, frames = threading.Event(), []
    ended = threading.Event()

    def deliver(frame: VideoFrame) -> None:
        if not frames:
            assert gate.wait(PATIENCE_S)
        frames.append(frame)

    clip.video.start(deliver, lambda signal: ended.set())
    assert not ended.wait(2 * clip.duration_s)
    gate.set()
    assert ended.wait(PATIENCE_S)
    assert len(frames) == len(avcompare.decode(media_samples.phone()).times_s)
    assert clip.video.stop()


def ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True, timeout=60, stdin=subprocess.DEVNULL)


def test_a_clip_without_sound_is_fine_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "mute.mp4"
    ffmpeg("-i", str(media_samples.phone()), "-c:v", "copy", "-an", str(path))
    clip = Clip(path, loop=False)
    assert not clip.has_sound and clip.audio is None
    assert len(Taken(clip).frames) > 30


def test_sound_at_another_rate_and_late_keeps_its_place(tmp_path: Path) -> None:
    path = tmp_path / "late.mkv"
    beep = "sine=frequency=1000:sample_rate=44100:duration=1"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=2", "-itsoffset", "0.7", "-f", "lavfi", "-i", beep,
        "-c:v", "libx264", "-c:a", "pcm_s16le", str(path),
    )  # fmt: skip
    sound = np.abs(np.frombuffer(Taken(Clip(path, loop=False)).pcm(), "<i2"))
    loud = np.flatnonzero(sound > 1000)
    assert loud[0] / AUDIO_HZ == pytest.approx(0.7, abs=0.002)
    assert loud[-1] / AUDIO_HZ == pytest.approx(1.7, abs=0.002)
    assert len(sound) >= 2 * AUDIO_HZ


# -- containers that stamp packets in the order of decoding ------------------------------------------------------------

STEP_NS = NS // 25


def reordered(path: Path) -> Path:
    """13 pictures, of which most are shown before one that was decoded before them."""
    picture = "testsrc=size=160x120:rate=25:duration=0.52"
    coded = ("-preset", "ultrafast", "-bf", "3", "-b_strategy", "0", "-g", "8")
    ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", *coded, str(path))
    return path


def stamps_of(path: Path) -> list[int]:
    with av.open(str(path)) as film:
        return [p.pts for p in film.demux(film.streams.video[0]) if p.pts is not None]


@pytest.mark.parametrize("kind", ["avi", "asf"])
def test_where_packets_are_stamped_as_they_are_decoded_each_picture_comes_in_its_turn(
    kind: str, tmp_path: Path
) -> None:
    """As in a container that says when each is shown, round after round."""
    right, path = reordered(tmp_path / "right.mp4"), reordered(tmp_path / f"film.{kind}")
    assert stamps_of(right) != sorted(stamps_of(right)) and stamps_of(path) == sorted(stamps_of(path))
    wanted = Taken(Clip(right, loop=False)).frames
    found = Taken(Clip(path), lambda taken: len(taken.frames) == 26).frames
    assert [f.mono_ns - found[0].mono_ns for f in found] == pytest.approx([n * STEP_NS for n in range(26)], abs=1)
    for one, other in zip(found, wanted * 2, strict=True):
        assert np.array_equal(one.picture.to_ndarray(), other.picture.to_ndarray())


def test_pictures_that_were_never_decoded_move_no_other(tmp_path: Path) -> None:
    """Of a film that was cut where no key frame is: it begins at the next one, three fewer than eight packets later."""
    whole, path = reordered(tmp_path / "whole.avi"), tmp_path / "cut.avi"
    with av.open(str(whole)) as given, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate([p for p in given.demux() if p.dts is not None][3:]):
            packet.stream, packet.time_base = stream, stream.time_base or packet.time_base
            packet.pts = packet.dts = number
            made.mux(packet)
    taken = Taken(Clip(path, loop=False))
    assert [f.mono_ns - taken.zero_ns for f in taken.frames] == pytest.approx(
        [n * STEP_NS for n in range(5, 10)], abs=1
    )


def shown(packets: list[int], pictures: str) -> list[int]:
    """The stamps that pictures get which come with these; a star marks a key frame."""
    came = [SimpleNamespace(pts=int(word.strip("*")), key_frame="*" in word) for word in pictures.split()]
    return [picture.pts for picture in _in_place(iter(came), packets)]


def test_turns_of_which_no_picture_came_are_over_at_the_next_key_frame() -> None:
    """The decoder made none of packet 3, and gives 14 before the key frame, although it was decoded after it."""
    assert shown([*range(1, 18)], "*1 4 5 2 8 7 9 6 12 11 10 14 *13 16 17 15") == [*range(1, 13), *range(14, 18)]


def test_no_more_pictures_wait_than_can_be_out_of_their_turn() -> None:
    """The decoder made none of the first packet: each picture that follows is out of turn."""
    count, read = 5 * MOST_REORDERED, list[int]()

    def pictures() -> Iterator[SimpleNamespace]:
        for pts in range(1, count):
            read.append(pts)
            yield SimpleNamespace(pts=pts, key_frame=pts == 1)

    waiting = [len(read) - given for given, _ in enumerate(_in_place(pictures(), list(range(count))))]
    assert len(waiting) == count - 1 and max(waiting) == MOST_REORDERED + 1


@pytest.mark.parametrize("behind", [1, MOST_REORDERED - 1, MOST_REORDERED, 3 * MOST_REORDERED])
def test_pictures_in_order_keep_their_stamps_whatever_packets_gave_none(behind: int) -> None:
    pictures = [1, *range(3, 3 + behind)]
    assert shown([*range(1, 100)], " ".join(map(str, pictures))) == pictures
    # Of each picture two packets, as fields come.
    assert shown([*range(2 * behind)], " ".join(map(str, range(0, 2 * behind, 2)))) == [*range(0, 2 * behind, 2)]


def test_pictures_before_the_damage_come_also_while_their_turn_is_awaited() -> None:
    def damaged() -> Iterator[SimpleNamespace]:
        yield from (SimpleNamespace(pts=pts, key_frame=False) for pts in (1, 3, 4))
        raise DeviceError("the clip is damaged", "name another file")

    found = []
    with pytest.raises(DeviceError):
        for picture in _in_place(damaged(), [1, 2, 3, 4, 5]):
            found.append(picture.pts)
    assert found == [1, 3, 4]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "there is no clip"),
        (lambda path: path.write_text("not a film"), "cannot be read"),
        (lambda path: path.write_bytes(media_samples.phone().read_bytes()[:5000]), "no picture that can be read"),
        (lambda path: ffmpeg("-i", str(media_samples.phone()), "-vn", "-c:a", "copy", str(path)), "has no picture"),
    ],
)
def test_bad_clips_are_named_in_plain_words(make: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.mp4"
    make(path)
    with pytest.raises(DeviceError, match=words) as caught:
        Clip(path)
    assert str(path) in caught.value.message and caught.value.hint
