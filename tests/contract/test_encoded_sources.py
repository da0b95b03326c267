"""What every source that encodes by itself promises, and what becomes of a recording when one does not keep it: the
twin here, and in `make picamera-test` picamera2 on libcamera's virtual camera.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import av
import pytest

from agent.capture.base import EncodedSource
from agent.capture.synthetic import SyntheticMicrophone
from agent.clock import SystemClock
from agent.intake import Intake, IntakeEvent, IntakeEventKind, IntakeSettings, Tally
from agent.media import h264
from agent.media.parts import PartMuxer
from agent.model import NS, VIDEO_HZ, AccessUnit, EncodedPacket, MediaPart, StreamInfo, Track
from tests.contract.encoded_kit import PACED, RECORDED, SOURCES, Mischief, Mischievous
from tests.contract.receiver import check_that_it_tells_of_a_broken_receiver
from tests.contract.scripts import Fault

PATIENCE_S = 30
UNITS = 70
SETTINGS = IntakeSettings(pre_event_s=5, ring_bytes=16 << 20)


@pytest.fixture(params=SOURCES)
def camera(request: pytest.FixtureRequest) -> EncodedSource:
    return SOURCES[request.param]()


@pytest.fixture(params=RECORDED)
def recorded(request: pytest.FixtureRequest) -> EncodedSource:
    return RECORDED[request.param]()


@pytest.fixture(params=SOURCES, scope="module")
def seen(request: pytest.FixtureRequest) -> Seen:
    """What one life of a source gave."""
    camera = SOURCES[request.param]()
    before_ns = time.monotonic_ns()
    return Seen(camera, before_ns, take(camera, UNITS))


@dataclass(frozen=True)
class Seen:
    camera: EncodedSource
    before_ns: int
    units: list[AccessUnit]


def take(camera: EncodedSource, count: int) -> list[AccessUnit]:
    units: list[AccessUnit] = []
    enough = threading.Event()

    def keep(unit: AccessUnit) -> None:
        units.append(unit)
        if len(units) >= count:
            enough.set()

    camera.start(keep, lambda signal: None)
    try:
        assert enough.wait(PATIENCE_S)
    finally:
        assert camera.stop()
    return units


def test_it_is_a_source_that_encodes(camera: EncodedSource) -> None:
    assert isinstance(camera, EncodedSource)


def test_units_come_stamped_in_order_with_a_key_frame_each_second(seen: Seen) -> None:
    stamps = [unit.mono_ns for unit in seen.units]
    assert all(a < b for a, b in itertools.pairwise(stamps))
    assert [unit.sequence for unit in seen.units] == list(range(len(seen.units)))
    assert seen.before_ns - NS < stamps[0] < time.monotonic_ns() + NS
    keys = [n for n, unit in enumerate(seen.units) if h264.take_apart(unit.data).key]
    assert keys[0] == 0 and len(keys) >= UNITS // (2 * seen.camera.fps)
    # Where pictures come unevenly, the first one after the second is the key frame.
    assert all(stamps[after - 1] - stamps[before] < NS for before, after in itertools.pairwise([*keys, len(stamps)]))
    assert seen.camera.name and seen.camera.fps > 0


def test_pictures_that_never_came_are_counted(seen: Seen) -> None:
    """None of the twin's; libcamera's virtual camera loses some on a busy machine, and only stamps say so."""
    steps = [(b.mono_ns - a.mono_ns) * seen.camera.fps / NS for a, b in itertools.pairwise(seen.units)]
    holes = sum(max(0, round(step) - 1) for step in steps)
    assert seen.camera.dropped_frames == pytest.approx(holes, abs=holes // 2)


def test_parameter_sets_stand_in_front_of_each_key_frame_and_never_change(seen: Seen) -> None:
    pictures = [h264.take_apart(unit.data) for unit in seen.units]
    assert all(picture.data for picture in pictures)
    sets = {picture.parameters for picture in pictures if picture.key}
    assert len(sets) == 1 and all(h264.picture_size(found) > (0, 0) for found in sets)


def test_every_unit_gives_one_picture(seen: Seen) -> None:
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for unit in seen.units for frame in decoder.decode(av.Packet(unit.data))]
    assert len(frames + decoder.decode(None)) == len(seen.units)


def test_after_stop_nothing_more_comes(camera: EncodedSource) -> None:
    units = take(camera, 5)
    count = len(units)
    assert not threading.Event().wait(0.2)
    assert len(units) == count


def test_what_breaks_in_delivery_is_signalled_not_swallowed(camera: EncodedSource) -> None:
    check_that_it_tells_of_a_broken_receiver(camera)


def test_stopping_what_never_started_is_fine(camera: EncodedSource) -> None:
    assert camera.stop()


# -- through the intake, into a recording ------------------------------------------------------------------------------


class Take:
    """An intake over one source, recorded from the first key frame on; waits on conditions."""

    def __init__(self, source: EncodedSource, sound: bool = False) -> None:
        self.events: list[IntakeEvent] = []
        self.told_ns: list[int] = []
        self.packets: list[EncodedPacket] = []
        self.parts: list[MediaPart] = []
        self._inits: list[bytes] = []
        self._turn = threading.Condition()
        self.intake = Intake(source, SyntheticMicrophone() if sound else None, SETTINGS, SystemClock(), self._hear)
        self.info: StreamInfo
        self.tally: Tally

    def __enter__(self) -> Take:
        self.intake.start()
        self.info = self.intake.wait_ready(PATIENCE_S)
        self._muxer = PartMuxer(self.info, self._inits.append, self.parts.append)
        self.tally = self.intake.attach(self._sink, 0)
        return self

    def __exit__(self, *_: object) -> None:
        self.intake.stop()

    def _hear(self, event: IntakeEvent) -> None:
        with self._turn:
            self.events.append(event)
            self.told_ns.append(time.monotonic_ns())
            self._turn.notify_all()

    def _sink(self, packet: EncodedPacket) -> None:
        self._muxer.push(packet)
        with self._turn:
            self.packets.append(packet)
            self._turn.notify_all()

    @property
    def video(self) -> list[EncodedPacket]:
        return [packet for packet in self.packets if packet.track is Track.VIDEO]

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._turn:
            assert self._turn.wait_for(condition, PATIENCE_S)

    def wait_event(self, kind: IntakeEventKind) -> IntakeEvent:
        self.wait(lambda: any(event.kind is kind for event in self.events))
        return next(event for event in self.events if event.kind is kind)

    def finish(self, path: Path) -> list[av.VideoFrame]:
        """The film's pictures, decoded without an error."""
        self.intake.detach(None, PATIENCE_S)
        self._muxer.close()
        path.write_bytes(self._inits[0] + b"".join(part.data for part in self.parts))
        with av.open(str(path)) as film:
            film.streams.video[0].codec_context.options = {"err_detect": "explode"}
            return list(film.decode(video=0))


def record(camera: EncodedSource, mischief: Mischief, tmp_path: Path, asks: Fault | None = None) -> Take:
    """Of 100 pictures, which have to decode whole, in order; `asks` is what the mischief has to come to."""
    source = Mischievous(camera, mischief)
    with Take(source) as taken:
        taken.wait(lambda: len(taken.video) >= 100)
        frames = taken.finish(tmp_path / "film.mp4")
    assert asks is None or source.did(asks)
    assert len(frames) == len(taken.video)
    assert all(a.pts < b.pts for a, b in itertools.pairwise(frames))
    return taken


def test_a_recording_has_every_picture_at_its_stamp_and_no_encoder_of_ours(
    recorded: EncodedSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.intake.paths.H264Encoder", None)
    units: list[AccessUnit] = []

    def listen(source: Mischievous, unit: AccessUnit) -> list[AccessUnit]:
        units.append(unit)
        return [unit]

    taken = record(recorded, listen, tmp_path)
    assert_all_are_there(taken, [unit.mono_ns for unit in units])
    video = taken.video
    assert video[0].key and taken.tally.dropped == 0 and taken.tally.encoded == len(video)
    assert not any(h264.take_apart(packet.data).parameters for packet in video)
    assert (taken.info.width, taken.info.height) == h264.picture_size(taken.info.video_extradata)


def assert_all_are_there(taken: Take, stamps: list[int]) -> None:
    """From the first picture of the recording on, each that the source gave, to the tick."""
    wanted = [round((stamp - taken.info.zero_mono_ns) * VIDEO_HZ / NS) for stamp in stamps]
    video = [packet.pts for packet in taken.video]
    first = min(range(len(wanted)), key=lambda n: abs(wanted[n] - video[0]))
    assert video == pytest.approx(wanted[first : first + len(video)], abs=1)


def test_sound_and_picture_share_one_recording(recorded: EncodedSource, tmp_path: Path) -> None:
    with Take(recorded, sound=True) as taken:
        taken.wait(lambda: len(taken.video) >= 60)
        assert len(taken.finish(tmp_path / "film.mp4")) == len(taken.video)
    assert any(packet.track is Track.AUDIO for packet in taken.packets)


def test_unplugged_it_is_lost_with_its_reason_and_what_came_is_kept(recorded: EncodedSource, tmp_path: Path) -> None:
    def unplug(source: Mischievous, unit: AccessUnit) -> list[AccessUnit]:
        return source.unplug() if source.seen == 50 else [unit]

    source = Mischievous(recorded, unplug)
    with Take(source) as taken:
        lost = taken.wait_event(IntakeEventKind.CAMERA_LOST)
        frames = taken.finish(tmp_path / "film.mp4")
    assert source.did(Fault.UNPLUGGED)
    assert "was unplugged" in lost.detail
    assert len(frames) == len(taken.video) > 15


def test_a_stall_is_told_from_its_last_picture_on_and_its_end_too(camera: EncodedSource, tmp_path: Path) -> None:
    until: list[int] = []

    def stall(source: Mischievous, unit: AccessUnit) -> list[AccessUnit]:
        if source.seen < 10:
            return [unit]
        if not until:
            until.append(unit.mono_ns + 5 * NS // 2)
            # What the encoder gave meanwhile is gone.
            source.lose_one()
        return [unit] if unit.mono_ns >= until[0] else []

    source = Mischievous(camera, stall)
    with Take(source) as taken:
        lost = taken.wait_event(IntakeEventKind.CAMERA_LOST)
        back = taken.wait_event(IntakeEventKind.CAMERA_BACK)
        taken.wait(lambda: taken.video[-1].pts_ns > back.mono_ns - taken.info.zero_mono_ns + NS // 2)
        taken.finish(tmp_path / "film.mp4")
    assert source.did(Fault.STALLS)
    assert taken.told_ns[taken.events.index(lost)] - lost.mono_ns < 2 * NS
    # To the tick: a stamp is rounded, up or down.
    lost_ns = lost.mono_ns - taken.info.zero_mono_ns + NS // VIDEO_HZ
    before = max(p.pts_ns for p in taken.video if p.pts_ns <= lost_ns)
    after = next(p for p in taken.video if p.pts_ns > before)
    assert 2 * NS < after.pts_ns - before < 5 * NS and after.key


@pytest.mark.parametrize("back_ns", [0, 1, 40_000_000, 3 * NS])
def test_a_stamp_that_does_not_grow_costs_no_picture(recorded: EncodedSource, tmp_path: Path, back_ns: int) -> None:
    def earlier(source: Mischievous, unit: AccessUnit) -> list[AccessUnit]:
        if source.seen != 40:
            source.held = [unit]
            return [unit]
        last = source.held[0].mono_ns
        return [AccessUnit(last - back_ns, unit.sequence, unit.data)]

    taken = record(recorded, earlier, tmp_path, Fault.STAMPS)
    assert taken.tally.dropped == 0
    assert all(a.pts < b.pts for a, b in itertools.pairwise(taken.video))


def test_a_burst_costs_no_picture(recorded: EncodedSource, tmp_path: Path) -> None:
    stamps: list[int] = []

    def burst(source: Mischievous, unit: AccessUnit) -> list[AccessUnit]:
        stamps.append(unit.mono_ns)
        source.held.append(unit)
        if 30 <= source.seen < 75:
            return []
        units, source.held = source.held, []
        return units

    taken = record(recorded, burst, tmp_path, Fault.BURSTS)
    assert taken.tally.dropped == 0
    assert_all_are_there(taken, stamps)


@pytest.mark.parametrize("fps", [20, 45])
@pytest.mark.parametrize("which", PACED)
def test_at_the_wrong_rate_each_picture_stays_at_its_time(which: str, fps: int, tmp_path: Path) -> None:
    """It says 30 and gives 20, or 45: none is lost, put elsewhere or made up, a key frame stands in each second."""
    stamps: list[int] = []

    def listen(source: Mischievous, unit: AccessUnit) -> list[AccessUnit]:
        stamps.append(unit.mono_ns)
        return [unit]

    source = Mischievous(PACED[which](fps), listen, 30)
    with Take(source) as taken:
        taken.wait(lambda: len(taken.video) >= fps + 10)
        assert len(taken.finish(tmp_path / "film.mp4")) == len(taken.video)
    assert source.did(Fault.RATE)
    assert_all_are_there(taken, stamps)
    assert taken.tally.dropped == 0
    steps = [b.pts - a.pts for a, b in itertools.pairwise(taken.video)]
    assert median(steps) == pytest.approx(VIDEO_HZ / fps, rel=0.1)
    keys = [packet.pts for packet in taken.video if packet.key]
    assert max(b - a for a, b in itertools.pairwise([*keys, taken.video[-1].pts])) <= VIDEO_HZ


@pytest.mark.parametrize("nothing", [b"", b"\x00\x00\x00\x01", b"\x00\x00\x00\x01\x09\xf0"])
def test_an_empty_buffer_is_counted_as_lost_and_a_key_frame_asked_for(
    recorded: EncodedSource, tmp_path: Path, nothing: bytes
) -> None:
    sources: list[Mischievous] = []

    def empty(source: Mischievous, unit: AccessUnit) -> list[AccessUnit]:
        sources.append(source)
        extra = [AccessUnit(unit.mono_ns + 1, 0, nothing)] if source.seen == 45 else []
        return [unit, *extra]

    taken = record(recorded, empty, tmp_path, Fault.EMPTY)
    assert taken.tally.dropped == 1 and sources[0].keys_asked == 1


def test_after_a_lost_unit_the_film_goes_on_at_a_key_frame_and_says_what_is_missing(
    recorded: EncodedSource, tmp_path: Path
) -> None:
    gone: list[AccessUnit] = []
    kept: list[AccessUnit] = []

    def lose(source: Mischievous, unit: AccessUnit) -> list[AccessUnit]:
        if source.seen == 45:
            source.lose_one()
            gone.append(unit)
            return []
        kept.append(unit)
        return [unit]

    taken = record(recorded, lose, tmp_path)
    at = round((gone[0].mono_ns - taken.info.zero_mono_ns) * VIDEO_HZ / NS)
    after = next(packet for packet in taken.video if packet.pts > at)
    assert after.key
    used = [unit for unit in kept if unit.mono_ns > gone[0].mono_ns]
    skipped = sum(round((u.mono_ns - taken.info.zero_mono_ns) * VIDEO_HZ / NS) < after.pts - 1 for u in used)
    assert taken.tally.dropped == skipped


def test_another_format_ends_it_with_a_reason_and_what_came_is_kept(recorded: EncodedSource, tmp_path: Path) -> None:
    other = take(SOURCES["twin"](), 1)[0].data.replace(b"\x67\x64", b"\x67\x4d", 1)

    def change(source: Mischievous, unit: AccessUnit) -> list[AccessUnit]:
        return [unit] if source.seen < 60 else [AccessUnit(unit.mono_ns, unit.sequence, other)]

    source = Mischievous(recorded, change)
    with Take(source) as taken:
        lost = taken.wait_event(IntakeEventKind.CAMERA_LOST)
        frames = taken.finish(tmp_path / "film.mp4")
    assert source.did(Fault.FORMAT)
    assert "format" in lost.detail
    assert len(frames) == len(taken.video) >= 29


def test_pictures_that_never_decode_are_a_camera_that_is_lost(recorded: EncodedSource, tmp_path: Path) -> None:
    def empty(source: Mischievous, unit: AccessUnit) -> list[AccessUnit]:
        return [unit] if source.seen < 40 else [AccessUnit(unit.mono_ns, 0, b"")]

    with Take(Mischievous(recorded, empty)) as taken:
        lost = taken.wait_event(IntakeEventKind.CAMERA_LOST)
    assert "decoded" in lost.detail


def test_rates_change_inside_a_recording(camera: EncodedSource, tmp_path: Path) -> None:
    with Take(camera) as taken:
        taken.wait(lambda: len(taken.video) >= 30)
        taken.intake.set_rate(400, 10)
        slow = VIDEO_HZ / 10

        def slower() -> bool:
            steps = [b.pts - a.pts for a, b in itertools.pairwise(taken.video[-6:])]
            return all(abs(step - slow) < slow / 5 for step in steps)

        taken.wait(slower)
        assert len(taken.finish(tmp_path / "film.mp4")) == len(taken.video)
    keys = [packet.pts for packet in taken.video if packet.key]
    assert max(b - a for a, b in itertools.pairwise(keys)) <= VIDEO_HZ
    # A sensor follows late, and has lost nothing for that; a busy machine's virtual camera may lose some.
    steps = [b.pts - a.pts for a, b in itertools.pairwise(taken.video)]
    followed = max(n for n, step in enumerate(steps) if step < 0.8 * slow) + 1
    at_first, then = (VIDEO_HZ / camera.fps, steps[:followed]), (slow, steps[followed:])
    holes = sum(max(0, round(step / usual) - 1) for usual, part in (at_first, then) for step in part)
    assert camera.dropped_frames == pytest.approx(holes, abs=holes // 2 + 1)
    assert not any(event.kind is IntakeEventKind.CAMERA_LOST for event in taken.events)
