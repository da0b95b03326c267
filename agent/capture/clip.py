"""A real recording as camera and microphone: its own pace, its own timestamps, its own sound.

A clip may wait for a slow encoder, so nothing of it is ever dropped. Looped, it continues without a seam in time: each
round begins where the longer of picture and sound ended, and the sound is padded with silence to that length.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.capture.base import DeliverFrame, DeliverSound, Signal, SignalKind, SourceSignal, monotonic_ns
from agent.capture.pacing import Epoch, PacedThread
from agent.errors import DeviceError, reason
from agent.model import AUDIO_HZ, NS, AudioBlock, VideoFrame

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

BLOCK_SAMPLES = 4096
"""85 ms: a file has no reason to wake two threads for each of its frames of sound."""
MOST_REORDERED = 16
"""So many pictures at most are shown before one that was decoded before them (H.264, max_num_reorder_frames)."""


class Clip:
    """One file, opened once to learn what it holds; `video` and `audio` are its sources, `audio` None where it has no
    sound.

    Instants within the clip count from the earlier of its first picture and first sample, so the offset between the two
    stays what the file says. Raises DeviceError where the file cannot be read or has no picture.
    """

    def __init__(self, path: Path, loop: bool = True) -> None:
        self.path, self.loop = path, loop
        self.epoch = Epoch()
        with _opened(path) as container:
            if not container.streams.video:
                raise DeviceError(f"the clip {path} has no picture", "name a video file")
            facts = _measure(container, path)
        self.fps = facts.fps
        self.start_s, self.length_s = facts.start_s, facts.end_s - facts.start_s
        self.has_sound = facts.has_sound
        self.stamps_climb = facts.stamps_climb
        self.video = ClipVideo(self)
        self.audio = ClipAudio(self) if facts.has_sound else None

    @property
    def duration_s(self) -> float:
        return float(self.length_s)

    def rounds(self) -> Iterator[Fraction]:
        """The start of each round on the timeline, in seconds."""
        at = Fraction(0)
        yield at
        while self.loop:
            at += self.length_s
            yield at


class _Facts:
    """Exact times of a clip, from its packets: containers round, and some lie."""

    def __init__(self) -> None:
        self.fps = 30.0
        self.has_sound = False
        self.start_s = Fraction(0)
        self.end_s = Fraction(0)
        self.stamps_climb = True


def _measure(container: InputContainer, path: Path) -> _Facts:
    facts = _Facts()
    video = container.streams.video[0]
    sound = container.streams.audio[0] if container.streams.audio else None
    facts.fps = float(video.average_rate or 30)
    streams = {s.index: s for s in (video, sound) if s is not None}
    usual = Fraction(1) / (Fraction(video.average_rate) if video.average_rate else 30)
    # Ticks, not seconds, in the loop: a Fraction for each packet of a long clip would cost more than reading them.
    spans: dict[int, tuple[int, int | Fraction]] = {}
    newest: int | None = None
    for packet in container.demux(list(streams.values())):
        start, index = packet.pts, packet.stream_index
        if start is None or packet.is_discard:
            continue
        length = packet.duration or (usual / _base(video) if index == video.index else 0)
        low, high = spans.get(index, (start, start))
        spans[index] = min(low, start), max(high, start + length)
        if index == video.index:
            facts.stamps_climb &= newest is None or start >= newest
            newest = start
    if video.index not in spans:
        raise DeviceError(f"the clip {path} has no picture that can be read", "name another file")
    facts.has_sound = sound is not None and sound.index in spans
    facts.start_s = min(low * _base(streams[index]) for index, (low, _) in spans.items())
    facts.end_s = max(high * _base(streams[index]) for index, (_, high) in spans.items())
    return facts


def _base(stream: Any) -> Fraction:
    return Fraction(stream.time_base)


def _opened(path: Path) -> InputContainer:
    import av

    try:
        return av.open(str(path))
    except FileNotFoundError as err:
        raise DeviceError(f"there is no clip {path}", "check the path after clip:") from err
    except (OSError, av.error.FFmpegError) as err:
        raise DeviceError(
            f"the clip {path} cannot be read: {reason(err)}", "name a video file that ffprobe can read"
        ) from err


class ClipVideo:
    """The picture of a clip, each frame once, in presentation order, at its own time. One that the file has no bytes of
    is lost.
    """

    live = False
    doubtful_frames = 0

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self.dropped_frames = 0
        self.name = f"clip {clip.path}"
        self.fps = clip.fps
        self._thread: PacedThread | None = None

    def start(self, deliver: DeliverFrame, signal: Signal) -> None:
        self._deliver, self._signal = deliver, signal
        self._thread = PacedThread("clip-video", self._run, signal)
        self._thread.start()

    def stop(self, deadline_s: float = 2.0) -> bool:
        return self._thread is None or self._thread.stop(deadline_s)

    def _run(self, thread: PacedThread) -> None:
        epoch_ns, sequence = self._clip.epoch.mono_ns(), 0
        for round_s in self._clip.rounds():
            for picture in self._pictures():
                at_s = (picture.pts or 0) * Fraction(picture.time_base or 1) - self._clip.start_s + round_s
                due_ns = epoch_ns + round(at_s * NS)
                if not thread.wait_until(due_ns):
                    return
                self._deliver(VideoFrame(due_ns, sequence + self.dropped_frames, picture))
                sequence += 1
        self._signal(SourceSignal(SignalKind.ENDED, monotonic_ns(), f"{self.name} is over"))

    def _pictures(self) -> Iterator[av.VideoFrame]:
        with _opened(self._clip.path) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            stamps: list[int] = []
            pictures = _decoded(container, stream, self._clip.path, self._lose, stamps)
            yield from _in_place(pictures, stamps) if self._clip.stamps_climb else pictures

    def _lose(self) -> None:
        self.dropped_frames += 1


class ClipAudio:
    """The sound of a clip as an unbroken stream at AUDIO_HZ mono: silence before it begins, in its gaps and up to the
    end of the round; samples placed by their own timestamps. What would play over sound that was played is lost, as is
    what the file has no bytes of: counted in frames of the file.
    """

    live = False

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self.dropped_blocks = 0
        self.name = f"sound of clip {clip.path}"
        self._thread: PacedThread | None = None

    def start(self, deliver: DeliverSound, signal: Signal) -> None:
        self._deliver, self._signal = deliver, signal
        self._thread = PacedThread("clip-audio", self._run, signal)
        self._thread.start()

    def stop(self, deadline_s: float = 2.0) -> bool:
        return self._thread is None or self._thread.stop(deadline_s)

    def _run(self, thread: PacedThread) -> None:
        epoch_ns = self._clip.epoch.mono_ns()
        sent, waiting = 0, bytearray()
        for round_s in self._clip.rounds():
            for pcm in self._round(round_s, lambda: sent + len(waiting) // 2):  # noqa: B023
                waiting += pcm
                while len(waiting) >= BLOCK_SAMPLES * 2:
                    due_ns = epoch_ns + sent * NS // AUDIO_HZ
                    if not thread.wait_until(due_ns):
                        return
                    self._deliver(AudioBlock(due_ns, bytes(waiting[: BLOCK_SAMPLES * 2])))
                    del waiting[: BLOCK_SAMPLES * 2]
                    sent += BLOCK_SAMPLES
        self._deliver(AudioBlock(epoch_ns + sent * NS // AUDIO_HZ, bytes(waiting)))
        self._signal(SourceSignal(SignalKind.ENDED, monotonic_ns(), f"{self.name} is over"))

    def _round(self, round_s: Fraction, position: Any) -> Iterator[bytes]:
        """One round's samples; `position` tells how many have been taken, so silence and overlap come out exact."""
        for at_s, pcm in self._samples():
            wanted = round((at_s - self._clip.start_s + round_s) * AUDIO_HZ)
            ahead = wanted - position()
            # A sample or two is rounding of the container's time base, not a gap.
            if ahead > 2:
                yield bytes(ahead * 2)
            if -ahead * 2 >= len(pcm) and at_s >= self._clip.start_s:
                self._lose()
            yield pcm[-ahead * 2 :] if ahead < -2 else pcm
        end = round((round_s + self._clip.length_s) * AUDIO_HZ)
        if end > position():
            yield bytes((end - position()) * 2)

    def _lose(self) -> None:
        self.dropped_blocks += 1

    def _samples(self) -> Iterator[tuple[Fraction, bytes]]:
        import av

        resampler, form = av.AudioResampler(format="s16", layout="mono", rate=AUDIO_HZ), None
        with _opened(self._clip.path) as container:
            for frame in _decoded(container, container.streams.audio[0], self._clip.path, self._lose):
                before, form = form, (frame.format.name, frame.layout.name, frame.sample_rate)
                if before not in (None, form):
                    # Films may be joined of several; a resampler takes one form.
                    yield from _stamped(resampler.resample(None))
                    resampler = av.AudioResampler(format="s16", layout="mono", rate=AUDIO_HZ)
                yield from _stamped(resampler.resample(frame))
            yield from _stamped(resampler.resample(None))


def _stamped(frames: list[av.AudioFrame]) -> Iterator[tuple[Fraction, bytes]]:
    for frame in frames:
        pcm = bytes(memoryview(frame.planes[0])[: frame.samples * 2])
        yield (frame.pts or 0) * Fraction(frame.time_base or Fraction(1, AUDIO_HZ)), pcm


def _in_place(pictures: Iterator[Any], stamps: list[int]) -> Iterator[Any]:
    """Puts right the stamps of pictures that come in the order of decoding, as those of H.264 in AVI or ASF do (0, 120,
    80, 160, 40 ms): such a container has no others. `stamps` are those of the packets read so far, which never go back;
    from where a picture's does, each picture takes the stamp of its turn. All others keep their own.
    """
    turn, held = 0, list[Any]()
    try:
        for picture in pictures:
            held.append(picture)
            if len(held) > 1 and picture.pts < held[-2].pts:
                break
            # One out of its turn waits: either one before it comes yet, or the decoder made none of that packet.
            if len(held) > MOST_REORDERED or picture.pts in stamps[turn : turn + 1]:
                turn = bisect_right(stamps, picture.pts)
                yield from held
                held.clear()
        else:
            yield from held
            return
    except DeviceError:
        yield from held
        raise
    yield from _by_turn(chain(held, pictures), stamps, turn)


def _by_turn(pictures: Iterator[Any], stamps: list[int], turn: int) -> Iterator[Any]:
    came: deque[int] = deque(maxlen=MOST_REORDERED)
    for picture in pictures:
        own = picture.pts
        if picture.key_frame:
            # What is decoded before it is shown before it: turns of which no picture came are over.
            turn = max(turn, bisect_left(stamps, own) + sum(other > own for other in came))
        came.append(own)
        picture.pts = stamps[min(turn, len(stamps) - 1)]
        turn += 1
        yield picture


def _decoded(
    container: InputContainer, stream: Any, path: Path, lose: Callable[[], None], stamps: list[int] | None = None
) -> Iterator[Any]:
    """`lose` hears of each packet without bytes, which a decoder would take for the end; `stamps` gets those of the
    packets that a picture may come of.
    """
    import av

    try:
        for packet in container.demux(stream):
            if packet.size == 0 and packet.pts is not None:
                lose()
                continue
            if stamps is not None and packet.pts is not None and not packet.is_discard:
                stamps.append(packet.pts)
            for frame in packet.decode():
                if frame.pts is not None:
                    yield frame
    except av.error.FFmpegError as err:
        raise DeviceError(f"the clip {path} is damaged: {reason(err)}", "name another file") from err
