"""What becomes of a recording when a source misbehaves: the same faults at the seam of each real driver (OpenCV's
capture object, PortAudio's callback) and from the twins. Nothing is lost in silence, nothing crashes, time only goes
forward.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.capture import microphone as driver
from agent.capture import reviving, synthetic
from agent.capture.base import AudioSource, DeliverFrame, Signal, VideoSource
from agent.capture.microphone import BLOCK_SAMPLES, Microphone
from agent.capture.pacing import Epoch
from agent.capture.reviving import Reviving
from agent.capture.scripted import ScriptedCamera, ScriptedMicrophone
from agent.capture.sync import SyncLimits
from agent.capture.synthetic import SyntheticCamera, SyntheticMicrophone
from agent.intake import IntakeCounters, IntakeEvent, IntakeEventKind, Tally
from agent.intake import picture as picture_worker
from agent.model import AUDIO_HZ, NS, VIDEO_HZ, EncodedPacket, Track
from tests.capture import standin
from tests.capture.faulty_audio import FaultyPortAudio
from tests.contract import scripts
from tests.contract.placed import MOST_MS, check_in_step, noise
from tests.contract.scripts import Script
from tests.test_intake import FAST, Take, take_until

FPS = 60
STEP = VIDEO_HZ // FPS
AGAIN_S = 0.3
"""In place of two seconds, so that a test is short."""


def twin(script: str) -> VideoSource:
    return ScriptedCamera(SyntheticCamera(standin.WIDTH, standin.HEIGHT, FPS), script)


def webcam(script: str) -> VideoSource:
    return standin.webcam(standin.FaultyCapture(script, FPS))


CAMERAS: dict[str, Callable[[str], VideoSource]] = {"twin": twin, "webcam": webcam}


@pytest.fixture(params=CAMERAS)
def make_camera(request: pytest.FixtureRequest) -> Callable[[str], VideoSource]:
    return CAMERAS[request.param]


def recorded(camera: VideoSource, until: Callable[[Take], bool]) -> tuple[Take, Tally, IntakeCounters]:
    """A recording of all of it, up to then."""
    with Take(camera, None, FAST) as take:
        tally = take.attach()
        take_until(take, until)
        take.intake.detach(time.monotonic_ns(), 5)
        counters = take.intake.counters()
    return take, tally, counters


def pts_of(take: Take, track: Track) -> list[int]:
    return [packet.pts for packet in take.packets if packet.track is track]


def told(take: Take, *kinds: IntakeEventKind) -> list[IntakeEvent]:
    return [event for event in take.events if event.kind in kinds]


# -- cameras -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [scripts.PICTURES], ids=str)
def test_each_picture_that_came_is_kept_in_its_place_and_each_that_did_not_is_counted(
    make_camera: Callable[[str], VideoSource], script: Script
) -> None:
    bad, all_of_it = script.count("dz"), len(script.letters) + 8
    take, tally, counters = recorded(make_camera(script.letters), lambda t: len(pts_of(t, Track.VIDEO)) > all_of_it)
    pts = pts_of(take, Track.VIDEO)
    assert all(a < b for a, b in itertools.pairwise(pts))
    # Those with a stamp of their own are at it; the repeated, the backward and the wild ones lie between.
    first = pts[0]
    in_place = {round((at - first) / STEP) for at in pts if abs((at - first + STEP // 2) % STEP - STEP // 2) <= 2}
    own = {n for n, letter in enumerate(script.letters) if letter in "rh"}
    assert own <= in_place
    assert (counters.device_drops, tally.dropped) == (bad, bad)
    assert tally.captured == tally.encoded + bad and tally.encoded == len(pts)
    assert counters.stamps_replaced == script.count("ebwp")
    begun, over = told(take, IntakeEventKind.CAMERA_IRREGULAR, IntakeEventKind.CAMERA_REGULAR)
    assert "pictures lost by the camera: 1" in begun.detail
    assert (
        f"pictures lost by the camera: {bad}" in over.detail
        and f"stamps put right: {script.count('ebwp')}" in over.detail
    )
    assert take.events == [begun, over]


@pytest.mark.parametrize("script", [scripts.STALLS], ids=str)
def test_a_camera_that_stalls_is_announced_and_taken_back(
    make_camera: Callable[[str], VideoSource], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_worker, "NO_PICTURE_S", AGAIN_S)
    kinds = (IntakeEventKind.CAMERA_LOST, IntakeEventKind.CAMERA_BACK)
    take, tally, counters = recorded(make_camera(script.letters), lambda t: len(told(t, *kinds)) >= 2)
    assert [event.kind for event in take.events] == list(kinds)
    # It captured nothing meanwhile, so it lost nothing.
    assert counters.frames_dropped == tally.dropped == 0
    assert max(b - a for a, b in itertools.pairwise(pts_of(take, Track.VIDEO))) == pytest.approx(
        (script.count("s") + 1) * STEP, abs=2
    )


class Saying:
    """A camera that says it gives so many pictures a second, and gives as many as the one behind it."""

    def __init__(self, source: VideoSource, fps: float) -> None:
        self._source, self.fps = source, fps
        self.name, self.live = source.name, source.live

    @property
    def dropped_frames(self) -> int:
        return self._source.dropped_frames

    @property
    def doubtful_frames(self) -> int:
        return self._source.doubtful_frames

    def start(self, deliver: DeliverFrame, signal: Signal) -> None:
        self._source.start(deliver, signal)

    def stop(self, deadline_s: float = 2.0) -> bool:
        return self._source.stop(deadline_s)


def twin_at(fps: int) -> VideoSource:
    return Saying(SyntheticCamera(standin.WIDTH, standin.HEIGHT, fps), 30.0)


def webcam_at(fps: int) -> VideoSource:
    capture = standin.FaultyCapture("", fps)
    capture.fps = 30.0
    return standin.webcam(capture)


PACED = (twin_at, webcam_at)
RATES = (20, 45)
AtRate = tuple[Callable[[int], VideoSource], int]


@pytest.fixture(scope="module")
def at_wrong_rates() -> dict[AtRate, tuple[VideoSource, Take, Tally, IntakeCounters]]:
    """Two seconds of each, all at once: they are paced by real time."""

    def record(make: Callable[[int], VideoSource], fps: int) -> tuple[VideoSource, Take, Tally, IntakeCounters]:
        camera = make(fps)
        return camera, *recorded(camera, lambda t: len(pts_of(t, Track.VIDEO)) > 2 * fps)

    each = [(make, fps) for make in PACED for fps in RATES]
    with ThreadPoolExecutor(len(each)) as pool:
        return dict(zip(each, pool.map(lambda one: record(*one), each), strict=True))


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("make", PACED)
def test_a_camera_at_the_wrong_rate_keeps_each_picture_at_its_time(
    at_wrong_rates: dict[AtRate, tuple[VideoSource, Take, Tally, IntakeCounters]],
    make: Callable[[int], VideoSource],
    fps: int,
) -> None:
    """It says 30 and gives 20, or 45: none is lost, put elsewhere or made up, a key frame stands in each second."""
    camera, take, tally, counters = at_wrong_rates[make, fps]
    assert camera.fps == 30
    pts = pts_of(take, Track.VIDEO)
    assert pts == pytest.approx([pts[0] + round(n * VIDEO_HZ / fps) for n in range(len(pts))], abs=2)
    assert (counters.frames_dropped, tally.dropped, counters.stamps_replaced) == (0, 0, 0)
    assert counters.fps == pytest.approx(fps, rel=0.01)
    keys = [packet.pts for packet in take.packets if packet.track is Track.VIDEO and packet.key]
    assert max(b - a for a, b in itertools.pairwise([*keys, pts[-1]])) <= VIDEO_HZ
    assert take.events == []


@pytest.mark.parametrize(
    ("script", "words"),
    [(scripts.UNPLUGS, "gives no more pictures"), (scripts.CHANGES, "changed its format")],
    ids=str,
)
def test_one_that_is_unplugged_or_changes_its_format_ends_the_recording(
    make_camera: Callable[[str], VideoSource], script: Script, words: str
) -> None:
    take, tally, _ = recorded(make_camera(script.letters), lambda t: bool(told(t, IntakeEventKind.CAMERA_LOST)))
    lost = told(take, IntakeEventKind.CAMERA_LOST)
    assert len(lost) == 1 and words in lost[0].detail and lost[0].fault == "camera"
    assert tally.encoded == len(pts_of(take, Track.VIDEO)) >= 20
    assert tally.captured == tally.encoded + tally.dropped
    assert not told(take, IntakeEventKind.OVERLOAD)


# -- microphones ---------------------------------------------------------------------------------------------------


Made = tuple[AudioSource, int]
"""A microphone, and an instant at which its noise begins (placed.py)."""


def twin_sound(script: str, pace: float, monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.setattr(synthetic, "beep_second", lambda: noise(0, AUDIO_HZ))
    epoch = Epoch()
    return ScriptedMicrophone(SyntheticMicrophone(epoch), script, pace), epoch.mono_ns()


def portaudio(script: str, pace: float, monkeypatch: pytest.MonkeyPatch, hz: int = AUDIO_HZ) -> Made:
    audio = FaultyPortAudio(script, pace, hz)
    monkeypatch.setattr(driver, "_portaudio", lambda: audio)
    for name, value in {"STALL_NS": AGAIN_S * NS, "LOOK_S": 0.02, "AGAIN_NS": 0.05 * NS, "LET_GO_S": 0.5}.items():
        monkeypatch.setattr(reviving, name, value)
    return Reviving("microphone faulty", lambda: Microphone("faulty")), audio.begun_ns


def raised(script: str, pace: float, monkeypatch: pytest.MonkeyPatch) -> Made:
    """As a webcam's microphone that does 16 kHz alone."""
    return portaudio(script, pace, monkeypatch, 16_000)


MICROPHONES = {"twin": twin_sound, "portaudio": portaudio, "raised": raised}


@pytest.fixture(params=MICROPHONES)
def make_microphone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], Made]:
    return lambda script, pace=1.0: MICROPHONES[request.param](script, pace, monkeypatch)


def heard(made: Made, until: Callable[[Take], bool], worst_ms: float = MOST_MS) -> tuple[Take, IntakeCounters]:
    with Take(SyntheticCamera(64, 64, 30), made[0], FAST) as take:
        take.attach()
        take_until(take, until)
        take.intake.detach(time.monotonic_ns(), 5)
        counters = take.intake.counters()
    check_in_step(take, made[1], worst_ms)
    return take, counters


SHORT_MS = SyncLimits().gap_ns / 1e6 + 1
"""Where less is missing than this, or it is often so: what comes after that is put right once several stamps say so."""


def seconds_of(take: Take, track: Track) -> float:
    packets = [packet for packet in take.packets if packet.track is track]
    return (packets[-1].pts_ns - packets[0].pts_ns) / NS if packets else 0.0


def check_continuous(take: Take) -> None:
    """One frame of AAC after another, and as long as the picture: whatever did not come is silence."""
    pts = pts_of(take, Track.AUDIO)
    assert {b - a for a, b in itertools.pairwise(pts)} == {1024}
    pictures = [packet for packet in take.packets if packet.track is Track.VIDEO]
    last_sound: EncodedPacket = [packet for packet in take.packets if packet.track is Track.AUDIO][-1]
    assert abs(pictures[-1].pts_ns - last_sound.pts_ns) < NS // 4


@pytest.mark.parametrize("script", [scripts.SOUND], ids=str)
def test_sound_that_is_lost_is_filled_and_counted_and_stamps_are_put_right(
    make_microphone: Callable[..., Made], script: Script
) -> None:
    all_of_it_s = len(script.letters) * BLOCK_SAMPLES / AUDIO_HZ
    enough_s = all_of_it_s + 0.5
    take, counters = heard(make_microphone(script.letters), lambda t: seconds_of(t, Track.AUDIO) > enough_s, SHORT_MS)
    check_continuous(take)
    assert counters.sound_stamps_replaced >= script.count("ebwp")
    # PortAudio says once that samples were lost; two in a row are one overrun.
    assert counters.sound_blocks_dropped >= script.letters.count("rd")
    assert 40 <= counters.silence_ms <= 250
    begun, over = told(take, IntakeEventKind.MICROPHONE_IRREGULAR, IntakeEventKind.MICROPHONE_REGULAR)
    assert "stamps put right" in over.detail
    assert "blocks lost by the driver" in over.detail
    assert take.events == [begun, over]


@pytest.mark.parametrize("script", [scripts.SOUND_STALLS], ids=str)
def test_a_microphone_that_stalls_is_announced_within_two_seconds_and_taken_back(
    make_microphone: Callable[..., Made], script: Script
) -> None:
    kinds = (IntakeEventKind.MICROPHONE_LOST, IntakeEventKind.MICROPHONE_BACK)
    noticed: list[float] = []
    back_s: list[float] = []

    def both(take: Take) -> bool:
        noticed.extend([time.monotonic()] * bool(told(take, kinds[0])))
        back_s.extend([seconds_of(take, Track.AUDIO)] * (len(told(take, *kinds)) >= 2))
        return bool(back_s) and seconds_of(take, Track.AUDIO) > back_s[0] + 0.3

    take, _ = heard(make_microphone(script.letters), both)
    check_continuous(take)
    lost, back = told(take, *kinds)
    assert (lost.kind, back.kind) == kinds
    assert noticed[0] - lost.mono_ns / NS < 2
    assert back.mono_ns > lost.mono_ns


@pytest.mark.parametrize("script", [scripts.SOUND_UNPLUGS], ids=str)
def test_a_microphone_that_is_pulled_out_is_announced_within_two_seconds(
    make_microphone: Callable[..., Made], script: Script
) -> None:
    noticed: list[float] = []

    def once(take: Take) -> bool:
        noticed.extend([time.monotonic()] * bool(told(take, IntakeEventKind.MICROPHONE_LOST)))
        return bool(noticed)

    take, _ = heard(make_microphone(script.letters), once)
    (lost,) = told(take, IntakeEventKind.MICROPHONE_LOST)
    assert noticed[0] - lost.mono_ns / NS < 2


@pytest.mark.parametrize("script", [scripts.SOUND_CHANGES], ids=str)
def test_a_microphone_that_changes_its_format_stays_in_step_and_is_said(
    make_microphone: Callable[..., Made], script: Script
) -> None:
    """From then on it gives half of the samples: what it does not give is silence."""
    take, counters = heard(make_microphone(script.letters), lambda t: seconds_of(t, Track.AUDIO) > 1.6, SHORT_MS)
    check_continuous(take)
    over = told(take, IntakeEventKind.MICROPHONE_REGULAR)[-1]
    assert "jumps to stay in step" in over.detail or "gaps filled" in over.detail
    assert 200 < counters.silence_ms < 900


def test_a_microphone_at_the_wrong_rate_stays_in_step_and_is_said(make_microphone: Callable[..., Made]) -> None:
    pace = 0.5
    take, counters = heard(make_microphone("", pace), lambda t: seconds_of(t, Track.AUDIO) > 1.2, SHORT_MS)
    check_continuous(take)
    over = told(take, IntakeEventKind.MICROPHONE_REGULAR)[-1]
    assert "jumps to stay in step" in over.detail or "gaps filled" in over.detail
    # What the device does not give is silence, but for what may still come.
    assert counters.silence_ms == pytest.approx(1200 * (1 - pace), rel=0.6)
    assert counters.silence_ms > 1000 * seconds_of(take, Track.AUDIO) * (1 - pace) - SyncLimits().lag_ns / 1e6
