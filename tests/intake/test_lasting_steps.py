"""A source whose clock of stamps is set for good: what becomes of picture and sound in the film.

A light flashes as it beeps, each true second; lens and microphone see and hear it with clocks, rates and crystals of
their own, and stamps that one day leap. Time is the test's; the intake, its encoders and its muxer are the real ones,
and the film is decoded.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.capture.base import DeliverFrame, DeliverSound, Signal
from agent.capture.encoded import EncodedCamera
from agent.intake.paths import EncodedPath
from agent.intake.report import IntakeEventKind, IntakeSettings
from agent.intake.stamps import Stamps
from agent.intake.steps import LEAPT
from agent.model import AUDIO_HZ, NS, AudioBlock, Track, VideoFrame, YuvPlanes
from tests import avsync
from tests.camera_kit import FakeClock
from tests.lab.flasher import BEEP_S, FLASH_S
from tests.test_intake import Take

SECONDS, CAMERA_STEPS_S, SOUND_STEPS_S = 9, 3.2, 5.2
FPS, TOLD_FPS = 15, 30.0
BLOCK, SLOW = 1024, 1.0002
CAMERA_LATENCY_NS, SOUND_LATENCY_NS, LATE_NS = 12_000_000, 8_000_000, 4_000_000
SETTINGS = IntakeSettings(300, "ultrafast", pre_event_s=3, watch=False)
BEGIN_NS = 1000 * NS


class Pushed:
    """A source that gives what it is told to."""

    live, name, fps = True, "pushed", TOLD_FPS
    dropped_frames = doubtful_frames = dropped_blocks = 0

    def start(self, deliver: DeliverFrame | DeliverSound, signal: Signal) -> None:
        self.deliver = deliver

    def stop(self, deadline_s: float = 2.0) -> bool:
        return True


def picture(number: int, at_s: float) -> VideoFrame:
    lit = at_s % 1 < FLASH_S
    planes = np.full((96, 64), 128, np.uint8)
    planes[:64] = 235 if lit else 40
    return VideoFrame(0, number, av.VideoFrame.from_ndarray(planes, format="yuv420p"))


def sound(first: int) -> bytes:
    """As a card with a slow crystal samples it."""
    since_s = np.arange(first, first + BLOCK) * SLOW / AUDIO_HZ % 1
    wave = np.where(since_s < BEEP_S, np.rint(20_000 * np.cos(2 * np.pi * 2000 * since_s)), 0)
    return wave.astype("<i2").tobytes()


@dataclass(frozen=True)
class Arrival:
    at_ns: int
    number: int
    track: Track


def arrivals(seconds: float) -> list[Arrival]:
    """In order, each a little late by chance."""
    chance = random.Random(1)
    pictures = [
        Arrival(n * NS // FPS + CAMERA_LATENCY_NS + chance.randrange(LATE_NS), n, Track.VIDEO)
        for n in range(round(seconds * FPS))
    ]
    blocks = [
        Arrival(
            round((n + 1) * BLOCK * SLOW * NS / AUDIO_HZ) + SOUND_LATENCY_NS + chance.randrange(LATE_NS),
            n,
            Track.AUDIO,
        )
        for n in range(round(seconds * AUDIO_HZ / BLOCK / SLOW))
    ]
    return sorted(pictures + blocks, key=lambda arrival: arrival.at_ns)


def filmed(path: Path, camera_step_s: float, sound_step_s: float) -> tuple[avsync.Offsets, Take]:
    clock, camera, microphone = FakeClock(), Pushed(), Pushed()
    clock.now_ns = BEGIN_NS
    take = Take(camera, microphone, SETTINGS, clock)

    def given(track: Track) -> int:
        return sum(packet.track is track for packet in take.packets)

    attached = False
    with take:
        for arrival in arrivals(SECONDS):
            clock.now_ns = BEGIN_NS + arrival.at_ns
            true_s = arrival.number * (1 / FPS if arrival.track is Track.VIDEO else BLOCK * SLOW / AUDIO_HZ)
            set_s = camera_step_s * (true_s > CAMERA_STEPS_S)
            if arrival.track is Track.AUDIO:
                set_s = sound_step_s * (true_s > SOUND_STEPS_S)
            stamp_ns = BEGIN_NS + round((true_s + set_s) * NS)
            if arrival.track is Track.VIDEO:
                frame = picture(arrival.number, true_s)
                camera.deliver(VideoFrame(stamp_ns, frame.sequence, frame.picture))
                if attached:
                    take.wait(lambda _, n=arrival.number: given(Track.VIDEO) > n)
            else:
                microphone.deliver(AudioBlock(stamp_ns, sound(arrival.number * BLOCK)))
                if not attached:
                    take.attach(BEGIN_NS)
                    attached = True
                take.wait(lambda _, n=arrival.number: given(Track.AUDIO) >= n - 5)
        # What waits in front of the encoder of the sound comes no more: time stands still from here on.
        film = take.finish(path, clock.now_ns - NS // 4)
    return avsync.measure(film, event_s=1.0), take


@pytest.mark.parametrize(("camera_step_s", "sound_step_s"), [(-3.0, 0.5), (0.5, -3.0)], ids=str)
def test_clocks_that_are_set_for_good_leave_picture_and_sound_in_step(
    camera_step_s: float, sound_step_s: float, tmp_path: Path
) -> None:
    found, take = filmed(tmp_path / "stepped.mp4", camera_step_s, sound_step_s)
    assert found.flashes >= SECONDS - 3
    assert found.verdict() == []

    def told_ms(kind: IntakeEventKind) -> int:
        (event,) = [event for event in take.events if event.kind is kind]
        return int(event.detail.split(f"{LEAPT}: ")[1].split(",")[0])

    assert told_ms(IntakeEventKind.CAMERA_REGULAR) == pytest.approx(abs(camera_step_s) * 1000, abs=10)
    assert told_ms(IntakeEventKind.MICROPHONE_REGULAR) == pytest.approx(abs(sound_step_s) * 1000, abs=10)


# -- the decision alone ------------------------------------------------------------------------------------------------


@dataclass
class Source:
    """True instants every `interval_ns`, stamped with `jitter_ns` either way, which come late by chance."""

    interval_ns: int
    told_ns: int
    jitter_ns: int = 0
    late_ns: int = LATE_NS

    def place(self, count: int, steps: dict[int, int], made: Stamps | None = None) -> tuple[list[float], Stamps]:
        """By how many ms each is off, where the clock is set at those places by so many ns."""
        made = made or Stamps(True)
        chance, step_ns, arrived_ns, off = random.Random(3), 0, 0, []
        for n in range(count):
            step_ns += steps.get(n, 0)
            true_ns = BEGIN_NS + n * self.interval_ns
            arrived_ns = max(arrived_ns + 1000, true_ns + 9_000_000 + chance.randrange(self.late_ns))
            stamp_ns = true_ns + step_ns + chance.randint(-self.jitter_ns, self.jitter_ns)
            off.append((made.place(stamp_ns, arrived_ns, self.told_ns) - true_ns) / 1e6)
        return off, made


DARK = Source(NS // 15, NS // 30)
NTSC = Source(NS * 1001 // 30_000, NS // 30)
CARD = Source(BLOCK * NS // AUDIO_HZ, BLOCK * NS // AUDIO_HZ)
ROUGH = Source(NS // 30, NS // 30, jitter_ns=5_000_000, late_ns=25_000_000)
SOURCES = pytest.mark.parametrize("source", [DARK, NTSC, CARD, ROUGH], ids=["dark", "ntsc", "card", "rough"])


@pytest.mark.wide
@SOURCES
@pytest.mark.parametrize("step_s", [-86_400, -20, -9, -3, -0.2, -0.1, 0.1, 0.5, 3, 86_400])
def test_every_lasting_step_is_taken_out_within_a_few_stamps(source: Source, step_s: float) -> None:
    off, made = source.place(3000, {1000: round(step_s * NS)})
    assert max(map(abs, off[1030:])) < 20
    assert made.steps.found == 1
    assert made.steps.taken_ns == pytest.approx(abs(step_s) * NS, abs=25_000_000)
    assert made.replaced < 30


@pytest.mark.parametrize("lead_ms", [110, 300, 500, 900, 1030, 3000])
@SOURCES
def test_stamps_that_lie_in_the_future_from_the_first_on_are_moved_to_where_they_arrive(
    source: Source, lead_ms: int
) -> None:
    """By how much they should lie before that nobody knows; after it lies nothing that was captured."""
    off, made = source.place(600, {0: lead_ms * 1_000_000})
    come_ms = (9_000_000 + source.late_ns) / 1e6
    assert min(off[10:]) > -10 and max(off[10:]) < come_ms + 10
    assert made.steps.found == 1 and made.replaced < 10
    assert made.steps.taken_ns == pytest.approx(lead_ms * 1_000_000, abs=50_000_000)


@SOURCES
def test_stamps_a_little_in_the_future_are_those_of_a_driver_that_makes_them_so(source: Source) -> None:
    off, made = source.place(600, {0: 29_000_000})
    assert max(off) < 35 and made.replaced == made.steps.found == 0


def test_one_that_is_set_back_and_right_again_costs_nothing() -> None:
    off, made = NTSC.place(3000, {1000: -3 * NS, 2000: 3 * NS})
    assert max(map(abs, off)) < 20
    assert made.steps.found == 2 and abs(made.steps.offset_ns) < 5_000_000


def test_one_that_is_set_as_soon_as_it_begins_is_put_right_by_what_came() -> None:
    off, _ = NTSC.place(600, {7: -3 * NS})
    assert max(map(abs, off[30:])) < 20


@pytest.mark.parametrize("leap_ns", [900_000_000, -900_000_000])
def test_a_leap_of_one_or_two_stamps_is_no_step(leap_ns: int) -> None:
    off, made = NTSC.place(600, {2: leap_ns, 4: -leap_ns, 300: leap_ns, 302: -leap_ns})
    assert made.steps.found == 0
    assert max(map(abs, off[60:])) < 40


def test_stamps_that_stand_still_or_go_at_another_pace_are_no_clock_that_was_set() -> None:
    for pace in (0.0, 0.5):
        made, off = Stamps(True), []
        for n in range(1200):
            true_ns = BEGIN_NS + n * NS // 30
            stamp_ns = true_ns if n < 300 else round(BEGIN_NS + 8 * NS + (n - 300) * NS // 30 * pace)
            off.append((made.place(stamp_ns, true_ns + 9_000_000, NS // 30) - true_ns) / 1e6)
        assert made.steps.found == 0
        assert max(map(abs, off)) < 20


def test_a_source_that_is_taken_back_with_a_right_clock_is_believed() -> None:
    off, made = NTSC.place(1000, {500: -3 * NS})
    again_ns = BEGIN_NS + 2000 * NTSC.interval_ns
    for n in range(60):
        true_ns = again_ns + n * NTSC.interval_ns
        assert made.place(true_ns, true_ns + 40_000_000, NTSC.told_ns) == true_ns
    assert made.steps.offset_ns == 0 and off[-1] == pytest.approx(0, abs=5)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 600_000_000)), min_size=150, max_size=200),
    st.sampled_from([NS // 30, NS // 15, BLOCK * NS // AUDIO_HZ]),
    st.sampled_from(["", "ebwp"]),
    st.randoms(use_true_random=False),
)
def test_whatever_holds_arrivals_up_no_honest_clock_is_set(
    history: list[tuple[int, int]], interval_ns: int, wrong: str, chance: random.Random
) -> None:
    """Some are lost, some are held up with all that follow, as on a busy machine; stamps tremble by a few ms, and some
    are wrong, one at a time.
    """
    made, true_ns, arrived_ns = Stamps(True), BEGIN_NS, 0
    shift_ns = {"e": -interval_ns, "b": -NS, "w": 3600 * NS, "p": -3600 * NS}
    for lost, late_ns in history:
        true_ns += interval_ns * (1 + lost * (chance.random() < 0.1))
        arrived_ns = max(arrived_ns + 1000, true_ns + 9_000_000 + late_ns * (chance.random() < 0.1))
        stamp_ns = true_ns + chance.randint(-4_000_000, 4_000_000)
        if wrong and chance.random() < 0.15:
            stamp_ns += shift_ns[chance.choice(wrong)]
        placed_ns = made.place(stamp_ns, arrived_ns, NS // 30)
        assert placed_ns == stamp_ns or wrong
    assert made.steps.found == 0


def queued(buffers: int, slow_ns: int, quick_ns: int, slow_s: int) -> list[tuple[int, int]]:
    """(stamp, arrival) of each picture of a camera at 30 fps whose driver has so many buffers: it drops what finds none
    free. A reader takes `slow_ns` for each picture, `quick_ns` after `slow_s`, for 10 s more.
    """
    transit_ns, waiting, given = 20_000_000, [], []
    next_ns = now_ns = BEGIN_NS
    while now_ns < BEGIN_NS + (slow_s + 10) * NS:
        if not waiting:
            now_ns = max(now_ns, next_ns + transit_ns)
        while next_ns + transit_ns <= now_ns:
            waiting += [next_ns] if len(waiting) < buffers else []
            next_ns += NS // 30
        given.append((waiting.pop(0), now_ns))
        now_ns += slow_ns if now_ns < BEGIN_NS + slow_s * NS else quick_ns
    return given


@pytest.mark.parametrize("slow_s", [3, 20])
@pytest.mark.parametrize("slow_ms", [36, 45, 60, 80])
@pytest.mark.parametrize("buffers", [3, 4, 6])
def test_a_driver_whose_queue_drains_has_not_set_its_clock(buffers: int, slow_ms: int, slow_s: int) -> None:
    made = Stamps(True)
    for stamp_ns, arrived_ns in queued(buffers, slow_ms * 1_000_000, 10_000_000, slow_s):
        assert made.place(stamp_ns, arrived_ns, NS // 30) == stamp_ns
    assert made.steps.found == 0


def test_the_timeline_rises_through_every_step() -> None:
    made = Stamps(True)
    placed = [
        made.place(BEGIN_NS + n * NS // 30 + step_ns, BEGIN_NS + n * NS // 30 + 9_000_000, NS // 30)
        for n, step_ns in enumerate([0] * 100 + [-5 * NS] * 100 + [9 * NS] * 100 + [0] * 100)
    ]
    assert all(a < b for a, b in itertools.pairwise(placed))


def test_what_is_written_on_pictures_before_they_are_encoded_has_the_time_of_the_timeline() -> None:
    written: list[int] = []
    offset_ns = [0]
    camera = EncodedCamera(64, 64, 30)
    path = EncodedPath(camera, None, lambda _: None, lambda _, mono_ns: written.append(mono_ns), lambda: offset_ns[0])
    planes = YuvPlanes(*[np.zeros((4, 4), np.uint8)] * 3)
    path.see(planes, 5 * NS)
    offset_ns[0] = 3 * NS
    path.see(planes, 5 * NS)
    assert written == [5 * NS, 8 * NS]
