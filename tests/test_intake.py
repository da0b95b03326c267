"""The intake as a whole: real clips at real time, the ring's seam, and everything that can die under it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from agent.capture.base import AudioSource, DeliverFrame, DeliverSound, Signal, SignalKind, SourceSignal, VideoSource
from agent.capture.clip import Clip
from agent.capture.pacing import Epoch
from agent.capture.sync import SyncLimits
from agent.capture.synthetic import SyntheticCamera, SyntheticMicrophone, read_strip
from agent.clock import Clock, SystemClock
from agent.controls.vigil import COSTLY
from agent.errors import AgentError, DeviceError, StorageError
from agent.intake import Intake, IntakeEvent, IntakeEventKind, IntakeSettings, Tally
from agent.intake.paths import Item, RawPath
from agent.media.encoder import AacEncoder
from agent.media.parts import PartMuxer
from agent.model import AUDIO_HZ, NS, AudioBlock, EncodedPacket, MediaPart, Track, VideoFrame
from tests import avcompare, media_samples
from tests.lab import alsa

PATIENCE_S = 60
FAST = IntakeSettings(bitrate_kbps=1500, preset="ultrafast", pre_event_s=10, ring_bytes=16 << 20)
Change = Callable[[EncodedPacket], EncodedPacket]


class Take:
    """An intake, and a recording of it into a file. Waits on conditions, never on time."""

    def __init__(
        self,
        video: VideoSource,
        audio: AudioSource | None,
        settings: IntakeSettings = FAST,
        clock: Clock | None = None,
    ) -> None:
        self.events: list[IntakeEvent] = []
        self.packets: list[EncodedPacket] = []
        self.parts: list[tuple[float, MediaPart]] = []
        self._init: list[bytes] = []
        self._change: Change = lambda packet: packet
        self._turn = threading.Condition()
        self._muxer: PartMuxer | None = None
        self.intake = Intake(video, audio, settings, clock or SystemClock(), self._hear)

    def __enter__(self) -> Take:
        self.intake.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.intake.stop()

    def _hear(self, event: IntakeEvent) -> None:
        with self._turn:
            self.events.append(event)
            self._turn.notify_all()

    def attach(self, since_ns: int = 0, change: Change | None = None, silent_before_ns: int | None = None) -> Tally:
        info = self.intake.wait_ready(PATIENCE_S)
        self._change = change or self._change
        self._muxer = PartMuxer(info, self._init.append, lambda p: self.parts.append((time.monotonic(), p)))
        return self.intake.attach(self._sink, since_ns, silent_before_ns)

    def _sink(self, packet: EncodedPacket) -> None:
        assert self._muxer is not None
        self._muxer.push(self._change(packet))
        with self._turn:
            self.packets.append(packet)
            self._turn.notify_all()

    def wait(self, condition: Callable[[Take], bool]) -> None:
        with self._turn:
            assert self._turn.wait_for(lambda: condition(self), PATIENCE_S)

    def wait_seconds(self, seconds: float) -> None:
        """Of picture, since attach."""

        def reached(take: Take) -> bool:
            pictures = [p.pts_ns for p in take.packets if p.track is Track.VIDEO]
            return bool(pictures) and pictures[-1] - pictures[0] >= seconds * NS

        self.wait(reached)

    def wait_event(self, kind: IntakeEventKind) -> IntakeEvent:
        self.wait(lambda take: any(event.kind is kind for event in take.events))
        return next(event for event in self.events if event.kind is kind)

    def finish(self, path: Path, until_ns: int | None = None) -> Path:
        assert self.intake.detach(until_ns, PATIENCE_S)
        assert self._muxer is not None
        self._muxer.close()
        path.write_bytes(self._init[0] + b"".join(part.data for _, part in self.parts))
        return path

    def gaps_s(self) -> list[float]:
        times = [at for at, _ in self.parts]
        return [b - a for a, b in itertools.pairwise(times)]


def twins(fps: int = 30) -> tuple[SyntheticCamera, SyntheticMicrophone]:
    epoch = Epoch()
    return SyntheticCamera(320, 180, fps, epoch), SyntheticMicrophone(epoch)


class DyingMicrophone:
    """The twin's sound, of which only the blocks that `hears` wants come; the device says nothing about it."""

    live = True
    name = "dying microphone"
    dropped_blocks = 0

    def __init__(self, epoch: Epoch, hears: Callable[[float], bool]) -> None:
        self._twin, self._epoch, self._hears = SyntheticMicrophone(epoch), epoch, hears

    def start(self, deliver: DeliverSound, signal: Signal) -> None:
        def pick(block: AudioBlock) -> None:
            if self._hears((block.mono_ns - self._epoch.mono_ns()) / NS):
                deliver(block)

        self._twin.start(pick, signal)

    def stop(self, deadline_s: float = 2.0) -> bool:
        return self._twin.stop(deadline_s)


class ScriptedCamera:
    """A lens that gives its frames when told to."""

    name = "scripted camera"
    fps = 30.0
    dropped_frames = doubtful_frames = 0

    def __init__(self, live: bool = True) -> None:
        self.live = live
        self.deliver: DeliverFrame | None = None
        self.signal: Signal | None = None

    def start(self, deliver: DeliverFrame, signal: Signal) -> None:
        self.deliver, self.signal = deliver, signal

    def stop(self, deadline_s: float = 2.0) -> bool:
        return True


# -- real clips ----------------------------------------------------------------------------------------------------


@pytest.mark.wide
@pytest.mark.parametrize("name", ["cartoon", "talk"])
def test_a_real_clip_at_real_time_comes_out_as_it_was(name: str, tmp_path: Path) -> None:
    path: Path = getattr(media_samples, name)()
    clip = Clip(path)
    with Take(clip.video, clip.audio, replace(FAST, bitrate_kbps=3000)) as take:
        take.attach()
        take.wait_seconds(3.5)
        out = take.finish(tmp_path / "out.mp4")
        counters = take.intake.counters()
    result = avcompare.compare(avcompare.decode(path), avcompare.decode(out))
    assert result.problems(20.0) == []
    assert result.first == 0 and result.count >= 3.5 * 25
    assert len(result.av_errors_ms) >= 4
    assert counters.frames_dropped == 0 and counters.silence_ms == 0


def test_a_phones_variable_rate_comes_out_as_it_was(tmp_path: Path) -> None:
    clip = Clip(media_samples.phone(), loop=False)
    with Take(clip.video, clip.audio, FAST) as take:
        take.attach()
        take.wait_event(IntakeEventKind.SOURCE_ENDED)
        out = take.finish(tmp_path / "out.mp4")
    source, recording = avcompare.decode(media_samples.phone()), avcompare.decode(out)
    result = avcompare.compare(source, recording)
    assert result.problems(20.0) == []
    assert result.count == len(source.times_s)


@pytest.mark.wide
@pytest.mark.parametrize("planted_ms", [-40, 40])
def test_a_planted_error_of_40_ms_is_found(planted_ms: int, tmp_path: Path) -> None:
    clip = Clip(media_samples.cartoon())

    def plant(packet: EncodedPacket) -> EncodedPacket:
        moved = packet.pts + planted_ms * AUDIO_HZ // 1000
        return replace(packet, pts=moved) if packet.track is Track.AUDIO else packet

    with Take(clip.video, clip.audio, replace(FAST, bitrate_kbps=3000)) as take:
        take.attach(change=plant)
        take.wait_seconds(3)
        out = take.finish(tmp_path / "out.mp4")
    film = avcompare.decode(out)
    # Moved sound ends before the pictures do, or after: the last of them are not judged.
    film = replace(film, times_s=film.times_s[:-5], pictures=film.pictures[:-5])
    result = avcompare.compare(avcompare.decode(media_samples.cartoon()), film)
    assert not result.faults
    assert result.av_errors_ms == pytest.approx([planted_ms] * len(result.av_errors_ms), abs=2)
    assert result.problems(20.0)


def test_a_missing_a_repeated_and_a_swapped_picture_are_found(tmp_path: Path) -> None:
    """The comparison itself: each planted fault in a decoded copy is named."""
    source = avcompare.decode(media_samples.cartoon())

    def faults(order: list[int]) -> list[str]:
        times = [source.times_s[n] for n in range(len(order))]
        return avcompare.compare(source, replace(source, times_s=times, pictures=source.pictures[order])).faults

    every = list(range(100))
    assert faults(every) == []
    assert faults(every[:60] + every[61:])
    assert faults([*every[:60], 59, *every[60:]])
    assert faults([*every[:60], 62, 61, 60, *every[63:]])
    late = [*source.times_s[:60], *(t + 0.04 for t in source.times_s[60:])]
    assert avcompare.compare(source, replace(source, times_s=late)).faults


# -- the ring's seam -------------------------------------------------------------------------------------------------


def shown(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [read_strip(f.to_ndarray()[: f.height]) for f in container.decode(video=0)]


def test_ring_and_live_join_with_nothing_lost_or_doubled(tmp_path: Path) -> None:
    with Take(*twins()) as take:
        info = take.intake.wait_ready(PATIENCE_S)
        take_until(take, lambda t: t.intake.counters().ring_s > 2.5)
        press_ns = time.monotonic_ns()
        first_pts = take.attach(press_ns - 2 * NS).first_pts
        take.wait_seconds(4)
        until_ns = time.monotonic_ns()
        out = take.finish(tmp_path / "out.mp4", until_ns)
        counters = take.intake.counters()
    first_ns = info.zero_mono_ns + first_pts * NS // 90_000
    assert press_ns - 3.1 * NS < first_ns <= press_ns - 2 * NS
    numbers = shown(out)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert counters.packets_lost == 0
    ends = {track: max(p.pts_ns for p in take.packets if p.track is track) for track in Track}
    assert all(until_ns - info.zero_mono_ns - 0.1 * NS < end < until_ns - info.zero_mono_ns for end in ends.values())


def take_until(take: Take, condition: Callable[[Take], bool]) -> None:
    """Wait for something that nobody announces."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition(take):
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)


def test_one_recording_after_another_from_the_same_ring(tmp_path: Path) -> None:
    with Take(*twins()) as take:
        take.attach()
        take.wait_seconds(2.5)
        first = shown(take.finish(tmp_path / "1.mp4"))
        again = Take(*twins())
        again.intake = take.intake
        again.attach(time.monotonic_ns() - NS)
        again.wait_seconds(2)
        second = shown(again.finish(tmp_path / "2.mp4"))
    assert second == list(range(second[0], second[0] + len(second)))
    assert first[0] < second[0] < first[-1]


def test_flash_and_beep_stay_together(tmp_path: Path) -> None:
    with Take(*twins()) as take:
        take.attach()
        take.wait_seconds(3.2)
        out = take.finish(tmp_path / "out.mp4")
        counters = take.intake.counters()
    decoded = avcompare.decode(out)
    bright = decoded.small[:, 24:].mean(axis=(1, 2)) > 200
    flashes = [t for n, t in enumerate(decoded.times_s) if n and bright[n] and not bright[n - 1]]
    loud = np.abs(decoded.sound) > 0.1
    for flash in flashes:
        near = round((flash - decoded.sound_from_s - 0.1) * AUDIO_HZ)
        beep = near + int(np.argmax(loud[near:]))
        assert abs(decoded.sound_from_s + beep / AUDIO_HZ - flash) < 0.005
    assert len(flashes) >= 2
    assert counters.av_offset_max_ms < 20


# -- what can die ----------------------------------------------------------------------------------------------------


def test_a_microphone_dead_from_the_start_holds_nothing_up(tmp_path: Path) -> None:
    epoch = Epoch()
    with Take(SyntheticCamera(320, 180, 30, epoch), DyingMicrophone(epoch, lambda at: False)) as take:
        take.attach()
        take.wait_seconds(4)
        out = take.finish(tmp_path / "out.mp4")
        counters = take.intake.counters()
    assert max(take.gaps_s()) < 1.0 and all(part.duration_ns < NS for _, part in take.parts)
    assert [e.kind for e in take.events] == [IntakeEventKind.MICROPHONE_LOST]
    assert take.events[0].fault == "microphone"
    decoded = avcompare.decode(out)
    assert not decoded.sound.any()
    assert abs(len(decoded.sound) / AUDIO_HZ - decoded.times_s[-1]) < 0.3
    assert counters.silence_ms > 3500


def test_a_microphone_that_dies_and_comes_back_leaves_an_exact_hole(tmp_path: Path) -> None:
    epoch = Epoch()
    microphone = DyingMicrophone(epoch, lambda at: at < 2.0 or at > 3.5)
    with Take(SyntheticCamera(320, 180, 30, epoch), microphone) as take:
        take.attach()
        take.wait_seconds(5.3)
        out = take.finish(tmp_path / "out.mp4")
    assert max(take.gaps_s()) < 1.0
    lost, back = take.events
    assert (lost.kind, back.kind) == (IntakeEventKind.MICROPHONE_LOST, IntakeEventKind.MICROPHONE_BACK)
    assert lost.mono_ns - epoch.mono_ns() == pytest.approx(2.0 * NS, abs=0.05 * NS)
    assert back.clears == lost.fault
    decoded = avcompare.decode(out)
    beeps = [s for s in range(6) if np.abs(decoded.sound_at(s + 0.02 + decoded.times_s[0], 2400)).max(initial=0) > 0.1]
    assert beeps == [0, 1, 4, 5]


def test_a_real_portaudio_microphone_that_dies_at_3_s(tmp_path: Path) -> None:
    with alsa.microphone(tmp_path, alive_s=3) as env:
        report = alsa.run("record.py", env, alsa.NAME, "6", str(tmp_path / "out.mp4"))
    assert report["reached"] and report["complete"]
    check_flow(report)
    assert "microphone.lost" in [kind for kind, _, _ in report["events"]]
    sound = avcompare.decode(tmp_path / "out.mp4").sound
    assert np.abs(sound[: 2 * AUDIO_HZ]).max() > 0.2
    assert not np.abs(sound[5 * AUDIO_HZ :]).max() > 0.01


def test_a_real_portaudio_microphone_that_is_gone_for_a_while_is_taken_back_in_its_place(tmp_path: Path) -> None:
    """Long enough for its stream to be given up: PortAudio hangs in it until the device answers again."""
    with alsa.microphone(tmp_path, alive_s=3, pause_s=4) as env:
        report = alsa.run("record.py", env, alsa.NAME, "13", str(tmp_path / "out.mp4"))
    assert report["reached"] and report["complete"] and report["let_go"]
    check_flow(report)
    kinds = [(kind, mono_ns) for kind, mono_ns, _ in report["events"] if kind in ("microphone.lost", "microphone.back")]
    assert [kind for kind, _ in kinds] == ["microphone.lost", "microphone.back"]
    sound = avcompare.decode(tmp_path / "out.mp4").sound
    loud = np.flatnonzero(np.abs(sound) > 0.1)
    beeps = loud[np.flatnonzero(np.diff(loud, prepend=-AUDIO_HZ) > AUDIO_HZ // 2)] / AUDIO_HZ
    gap = int(np.argmax(np.diff(beeps)))
    assert 3.5 < beeps[gap + 1] - beeps[gap] < 6
    # The first that is heard, and the first that is heard again, may be the rest of a beep.
    whole = np.delete(beeps, [0, gap + 1])
    assert len(whole) > 6
    # A single block that the feeder gave late, on a busy machine, is no offset.
    assert np.median(np.abs((whole - np.median(whole % 1) + 0.5) % 1 - 0.5)) < 0.01


def test_a_real_portaudio_microphone_that_is_dead_from_the_start(tmp_path: Path) -> None:
    with alsa.microphone(tmp_path, alive_s=0) as env:
        report = alsa.run("record.py", env, alsa.NAME, "3", str(tmp_path / "out.mp4"))
    assert report["reached"] and report["complete"]
    check_flow(report)
    assert [kind for kind, _, _ in report["events"]] == ["microphone.lost"]
    assert not avcompare.decode(tmp_path / "out.mp4").sound.any()


def test_a_real_portaudio_microphone_keeps_in_step(tmp_path: Path) -> None:
    """What waited in the FIFO comes in one burst, whose end may lie anywhere in a block: what that leaves is at most
    `gap_ns`, until it is corrected.
    """
    with alsa.microphone(tmp_path, alive_s=60) as env:
        report = alsa.run("record.py", env, alsa.NAME, "5", str(tmp_path / "out.mp4"))
    assert report["reached"] and report["complete"] and report["let_go"]
    check_flow(report)
    sound = avcompare.decode(tmp_path / "out.mp4").sound
    assert np.abs(sound).max() > 0.2
    assert report["counters"]["av_offset_max_ms"] <= SyncLimits().gap_ns / 1e6


def check_flow(report: dict) -> None:  # type: ignore[type-arg]
    """Parts of at most 1 s, never more than 1 s apart."""
    times = [at for at, *_ in report["parts"]]
    assert max(b - a for a, b in itertools.pairwise(times)) < 1.0
    assert all(duration < 1.0 for _, _, duration, _ in report["parts"])


def test_a_camera_that_is_not_there_is_an_error_and_leaves_nothing_open() -> None:
    from agent.capture.webcam import Webcam

    before = threading.active_count()
    take = Take(Webcam("63", 640, 480, 30), SyntheticMicrophone())
    with pytest.raises(DeviceError, match="webcam 63"):
        take.intake.start()
    assert threading.active_count() == before


def test_a_camera_without_pictures_is_an_error_in_time() -> None:
    with Take(ScriptedCamera(), None) as take, pytest.raises(DeviceError, match="no picture within") as caught:
        take.intake.wait_ready(0.1)
    assert "cable" in caught.value.hint


def test_a_clip_that_is_over_before_its_first_picture_sends_nobody_to_a_cable() -> None:
    clip = ScriptedCamera(live=False)
    with Take(clip, None) as take:
        assert clip.signal
        clip.signal(SourceSignal(SignalKind.ENDED, 1, "the clip is over"))
        with pytest.raises(DeviceError, match="the clip is over") as caught:
            take.intake.wait_ready(PATIENCE_S)
    assert caught.value.hint == "name another file"


def test_a_picture_that_cannot_be_encoded_is_told_with_what_to_do_about_it() -> None:
    camera = ScriptedCamera()
    with Take(camera, None) as take:
        assert camera.deliver and camera.signal
        camera.deliver(VideoFrame(time.monotonic_ns(), 0, av.VideoFrame(641, 361, "yuv420p")))
        for _ in range(2):
            with pytest.raises(DeviceError, match=r"641x361 .* must be even") as caught:
                take.intake.wait_ready(PATIENCE_S)
            assert "crop" in caught.value.hint and "cable" not in caught.value.hint
            # What the source says when it is let go is not why.
            camera.signal(SourceSignal(SignalKind.FAULT, 1, "the lens fell off"))


def test_a_camera_that_fails_before_its_first_picture_says_why() -> None:
    camera = ScriptedCamera()
    with Take(camera, None) as take:
        assert camera.signal
        camera.signal(SourceSignal(SignalKind.FAULT, 1, "the lens fell off"))
        with pytest.raises(DeviceError, match="the lens fell off"):
            take.intake.wait_ready(PATIENCE_S)


def test_a_camera_that_is_lost_later_is_an_event_and_the_sound_goes_on(tmp_path: Path) -> None:
    camera, microphone = twins()
    with Take(camera, microphone) as take:
        take.attach()
        take.wait_seconds(1)
        camera.stop()
        assert take.wait_event(IntakeEventKind.CAMERA_LOST).fault == "camera"
        heard = len([p for p in take.packets if p.track is Track.AUDIO])
        take.wait(lambda t: len([p for p in t.packets if p.track is Track.AUDIO]) > heard + 20)


def test_a_lens_that_says_it_is_at_its_end_is_lost_and_a_clip_is_not() -> None:
    for live, kind in ((True, IntakeEventKind.CAMERA_LOST), (False, IntakeEventKind.SOURCE_ENDED)):
        camera = ScriptedCamera(live)
        with Take(camera, None) as take:
            assert camera.deliver and camera.signal
            camera.deliver(VideoFrame(time.monotonic_ns(), 0, av.VideoFrame(320, 180, "yuv420p")))
            camera.signal(SourceSignal(SignalKind.ENDED, time.monotonic_ns(), "no more"))
            take.wait_event(kind)


def test_sound_that_cannot_be_encoded_for_a_while_is_told_and_comes_back_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch, encode = Epoch(), AacEncoder.encode

    def failing(encoder: AacEncoder, first_sample: int, pcm: bytes) -> list[EncodedPacket]:
        if 1.3 < (time.monotonic_ns() - epoch.mono_ns()) / NS < 2.3:
            raise RuntimeError("a defect")
        return encode(encoder, first_sample, pcm)

    monkeypatch.setattr(AacEncoder, "encode", failing)
    with Take(SyntheticCamera(320, 180, 30, epoch), SyntheticMicrophone(epoch)) as take:
        take.attach()
        take.wait_seconds(3.3)
        take.wait_event(IntakeEventKind.MICROPHONE_BACK)
        out = take.finish(tmp_path / "out.mp4")
    assert max(take.gaps_s()) < 1.0
    assert [e.kind for e in take.events] == [IntakeEventKind.MICROPHONE_LOST, IntakeEventKind.MICROPHONE_BACK]
    assert "a defect" in take.events[0].detail
    decoded = avcompare.decode(out)
    beeps = [s for s in range(4) if np.abs(decoded.sound_at(s + 0.02 + decoded.times_s[0], 2400)).max(initial=0) > 0.1]
    assert beeps == [0, 1, 3]


def test_an_encoder_of_the_sound_that_stands_still_is_told_though_it_cannot_tell_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode, goes_on = AacEncoder.encode, threading.Event()

    def hanging(encoder: AacEncoder, first_sample: int, pcm: bytes) -> list[EncodedPacket]:
        assert goes_on.wait(PATIENCE_S)
        return encode(encoder, first_sample, pcm)

    monkeypatch.setattr(AacEncoder, "encode", hanging)
    with Take(*twins()) as take:
        assert "stands still" in take.wait_event(IntakeEventKind.MICROPHONE_LOST).detail
        goes_on.set()
        take.wait_event(IntakeEventKind.MICROPHONE_BACK)


def test_no_sound_track_where_there_is_no_microphone(tmp_path: Path) -> None:
    with Take(twins()[0], None) as take:
        assert take.intake.wait_ready(PATIENCE_S).audio_extradata is None
        take.attach()
        take.wait_seconds(1.5)
        out = take.finish(tmp_path / "out.mp4")
    with av.open(str(out)) as container:
        assert len(container.streams) == 1


def test_an_encoder_that_is_too_slow_drops_live_pictures_and_says_how_many() -> None:
    camera = ScriptedCamera()
    frames = [av.VideoFrame(640, 480, "yuv420p") for _ in range(200)]
    with Take(camera, None, replace(FAST, preset="medium")) as take:
        assert camera.deliver
        # They have waited in the driver: five seconds after the last of them it is said to be over, and once.
        start_ns = time.monotonic_ns() - 9 * NS
        for number, picture in enumerate(frames):
            camera.deliver(VideoFrame(start_ns + number * NS // 60, number, picture))
        take_until(take, lambda t: sum_of(t) == 200)
        counters = take.intake.counters()
        assert take.wait_event(IntakeEventKind.OVERLOAD).fault == "overload"
        for number in range(4):
            camera.deliver(VideoFrame(time.monotonic_ns(), 200 + number, frames[0]))
            take_until(take, lambda t, sum=201 + number: sum_of(t) == sum)
        over = take.wait_event(IntakeEventKind.OVERLOAD_OVER)
    assert over.mono_ns >= start_ns + 8 * NS
    assert [e.kind for e in take.events].count(IntakeEventKind.OVERLOAD) == 1
    assert counters.frames_captured == 200
    assert counters.frames_dropped > 0


def test_pictures_that_waited_too_long_for_the_encoder_are_dropped_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five come while it is busy with the first: of those that are too old by then, only the newest goes to it."""
    camera, gate, entered, encode = ScriptedCamera(), threading.Event(), threading.Event(), RawPath.take

    def busy(path: RawPath, item: Item, pts: int) -> list[EncodedPacket]:
        entered.set()
        assert gate.wait(PATIENCE_S)
        return encode(path, item, pts)

    monkeypatch.setattr(RawPath, "take", busy)
    monkeypatch.setattr(RawPath, "patience_ns", 0)
    with Take(camera, None) as take:
        assert camera.deliver
        start_ns = time.monotonic_ns() - NS
        for number in range(6):
            camera.deliver(VideoFrame(start_ns + number * NS // 15, number, av.VideoFrame(320, 180, "yuv420p")))
            assert entered.wait(PATIENCE_S)
        gate.set()
        take_until(take, lambda t: sum_of(t) == 6)
        counters, told = take.intake.counters(), take.wait_event(IntakeEventKind.OVERLOAD)
    assert (counters.frames_captured, counters.frames_encoded, counters.frames_dropped) == (6, 2, 4)
    assert told.mono_ns == start_ns + NS // 15


@pytest.mark.parametrize("watch", [True, False])
def test_a_covered_lens_and_a_frozen_picture_are_told_where_that_is_wanted(watch: bool) -> None:
    camera, black = ScriptedCamera(), np.full((270, 320), 18, np.uint8)
    with Take(camera, None, replace(FAST, watch=watch)) as take:
        assert camera.deliver
        start_ns = time.monotonic_ns() - 6 * NS
        for number in range(12):
            picture = av.VideoFrame.from_ndarray(black, format="yuv420p")
            camera.deliver(VideoFrame(start_ns + number * NS // 2, number, picture))
            take_until(take, lambda t, sum=number + 1: sum_of(t) == sum)
        told = {event.kind: event for event in take.events}
    if watch:
        assert told[IntakeEventKind.LENS_COVERED].fault == "lens"
        assert told[IntakeEventKind.LENS_COVERED].mono_ns == start_ns
        assert told[IntakeEventKind.PICTURE_FROZEN].fault == "picture"
    else:
        assert told == {}


def test_a_microphone_that_gives_nothing_but_zeros_is_told() -> None:
    class Deaf(DyingMicrophone):
        def start(self, deliver: DeliverSound, signal: Signal) -> None:
            super().start(lambda block: deliver(replace(block, pcm=bytes(len(block.pcm)))), signal)

    epoch = Epoch()
    with Take(SyntheticCamera(320, 180, 30, epoch), Deaf(epoch, lambda _: True)) as take:
        event = take.wait_event(IntakeEventKind.MICROPHONE_DEAF)
        assert (event.fault, take.intake.counters().silence_ms) == ("sound", 0.0)


def test_a_microphone_that_is_turned_up_too_far_is_told_as_a_warning() -> None:
    square = b"\xff\x7f\x00\x80"

    class Loud(DyingMicrophone):
        def start(self, deliver: DeliverSound, signal: Signal) -> None:
            super().start(lambda b: deliver(replace(b, pcm=square * (len(b.pcm) // 4))), signal)

    epoch = Epoch()
    with Take(SyntheticCamera(320, 180, 30, epoch), Loud(epoch, lambda _: True)) as take:
        event = take.wait_event(IntakeEventKind.MICROPHONE_CLIPPED)
        assert event.fault == "clipping" and event.fault not in COSTLY
        assert "capture_percent" in event.detail


def sum_of(take: Take) -> int:
    counters = take.intake.counters()
    return counters.frames_encoded + counters.frames_dropped


def test_a_sink_that_stalls_costs_nothing_while_the_ring_carries_it() -> None:
    """Even with no pre-event time, where age would have evicted what waits."""
    with Take(*twins(), replace(FAST, pre_event_s=0)) as take:
        take.intake.wait_ready(PATIENCE_S)
        gate, got = threading.Event(), []

        def stall(packet: EncodedPacket) -> None:
            assert gate.wait(PATIENCE_S)
            if packet.track is Track.VIDEO:
                got.append(packet.pts)

        take.intake.attach(stall, 0)
        encoded = take.intake.counters().frames_encoded
        take_until(take, lambda t: t.intake.counters().frames_encoded > encoded + 45)
        gate.set()
        assert take.intake.detach(deadline_s=PATIENCE_S)
        assert take.intake.counters().packets_lost == 0
    assert np.diff(got).tolist() == pytest.approx([3000] * (len(got) - 1), abs=1)
    assert len(got) > 45


def test_a_sink_that_stalls_for_longer_loses_packets_and_it_is_said() -> None:
    """With a ring of 64 KiB; pictures go on at a key frame."""
    with Take(*twins(), replace(FAST, ring_bytes=1 << 16)) as take:
        take.intake.wait_ready(PATIENCE_S)
        gate, got = threading.Event(), []

        def stall(packet: EncodedPacket) -> None:
            assert gate.wait(PATIENCE_S)
            got.append(packet)

        take.intake.attach(stall, 0)
        encoded = take.intake.counters().frames_encoded
        take_until(take, lambda t: t.intake.counters().frames_encoded > encoded + 120)
        gate.set()
        take.wait_event(IntakeEventKind.OVERLOAD)
        assert take.wait_event(IntakeEventKind.OVERLOAD_OVER).clears == "overload"
        assert take.intake.detach(deadline_s=PATIENCE_S)
        assert take.intake.counters().packets_lost > 0
    pictures = [p for p in got if p.track is Track.VIDEO]
    jumps = [b for a, b in itertools.pairwise(pictures) if b.pts - a.pts > 4000]
    assert jumps and all(packet.key for packet in jumps)


def test_a_sink_that_is_behind_gets_all_there_is_before_it_is_let_go() -> None:
    """More time than a source is given to reach the end."""
    with Take(*twins()) as take:
        take.intake.wait_ready(PATIENCE_S)
        gate, got = threading.Event(), []

        def stall(packet: EncodedPacket) -> None:
            assert gate.wait(PATIENCE_S)
            got.append(packet)

        take.intake.attach(stall, 0)
        encoded = take.intake.counters().frames_encoded
        take_until(take, lambda t: t.intake.counters().frames_encoded > encoded + 30)
        opening = threading.Timer(1.0, gate.set)
        opening.start()
        assert take.intake.detach(deadline_s=0.2)
    pictures = [p.pts for p in got if p.track is Track.VIDEO]
    assert len(pictures) > 30
    assert np.diff(pictures).tolist() == pytest.approx([3000] * (len(pictures) - 1), abs=1)


def test_a_camera_that_stalls_at_the_end_keeps_nothing_back() -> None:
    camera = ScriptedCamera()
    with Take(camera, None) as take:
        assert camera.deliver
        start_ns, got = time.monotonic_ns(), list[EncodedPacket]()
        for number in range(10):
            camera.deliver(VideoFrame(start_ns + number, number, av.VideoFrame(64, 64, "yuv420p")))
        take_until(take, lambda t: t.intake.counters().frames_encoded == 10)
        take.intake.attach(got.append, 0)
        assert take.intake.detach(start_ns + 60 * NS, deadline_s=0.1)
    assert len(got) == 10


def test_after_detach_a_slow_sink_is_not_called_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.intake.intake.BACKLOG_S", 0.1)
    with Take(*twins()) as take:
        take.intake.wait_ready(PATIENCE_S)
        gate, entered, calls = threading.Event(), threading.Event(), []

        def stall(packet: EncodedPacket) -> None:
            calls.append(packet)
            entered.set()
            assert gate.wait(PATIENCE_S)

        take.intake.attach(stall, 0)
        assert entered.wait(PATIENCE_S)
        assert not take.intake.detach(deadline_s=0.2)
        gate.set()
        encoded = take.intake.counters().frames_encoded
        take_until(take, lambda t: t.intake.counters().frames_encoded > encoded + 5)
    assert len(calls) == 1


@pytest.mark.parametrize("error", [StorageError("the card is gone"), ValueError("a bug")])
def test_what_the_sink_raises_comes_out_of_detach(error: Exception) -> None:
    with Take(*twins()) as take:
        take.intake.wait_ready(PATIENCE_S)

        def fail(packet: EncodedPacket) -> None:
            raise error

        take.intake.attach(fail, 0)
        assert take.wait_event(IntakeEventKind.SINK_FAILED).fault == "recording"
        with pytest.raises(AgentError, match=r"the card is gone|a bug"):
            take.intake.detach()
        assert take.intake.detach()


def test_only_one_recording_at_a_time() -> None:
    with Take(*twins()) as take:
        take.attach()
        with pytest.raises(AgentError, match="already"):
            take.intake.attach(lambda packet: None, 0)


def test_the_counters_go_into_json() -> None:
    with Take(*twins()) as take:
        take.attach()
        take.wait_seconds(1.5)
        told = take.intake.counters().to_dict()
    assert told["frames_encoded"] >= 45
    assert told["fps"] == pytest.approx(30, abs=1)
    assert all(isinstance(value, int | float) for value in told.values())
