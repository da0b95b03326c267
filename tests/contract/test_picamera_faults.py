"""The faults of test_faults.py, at the seam of the Pi camera's driver. It has only the sensor's stamps to count by, and
the encoder lies behind it: an empty unit is a picture that came, and cannot be used.
"""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from agent.capture.stampclock import BEHIND_NS
from agent.intake import IntakeEventKind, overload
from agent.intake import picture as picture_worker
from agent.intake.picture import DOUBTFUL
from agent.model import NS, VIDEO_HZ, AccessUnit, Track, YuvPlanes
from tests.capture.pi_standin import FPS, FaultyPicamera2, pi_camera
from tests.contract import scripts
from tests.contract.receiver import check_that_it_tells_of_a_broken_receiver
from tests.contract.scripts import Script
from tests.contract.test_faults import pts_of, recorded, told
from tests.test_intake import FAST, Take, take_until

STEP = VIDEO_HZ // FPS
AGAIN_S = 0.4


@pytest.mark.parametrize("script", [scripts.PI_PICTURES], ids=str)
def test_each_picture_that_came_is_kept_in_its_place_and_each_that_did_not_is_counted(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, empty, all_of_it = script.count("d"), script.count("z"), len(script.letters) + 4
    camera = pi_camera(script.letters, monkeypatch)
    take, tally, counters = recorded(camera, lambda t: len(pts_of(t, Track.VIDEO)) > all_of_it)
    pts = pts_of(take, Track.VIDEO)
    assert all(a < b for a, b in itertools.pairwise(pts))
    first = pts[0]
    in_place = {round((at - first) / STEP) for at in pts if abs((at - first + STEP // 2) % STEP - STEP // 2) <= 2}
    own = {n for n, letter in enumerate(script.letters, 1) if letter in "rh"}
    assert own <= in_place
    assert (counters.device_drops, counters.frames_dropped, tally.dropped) == (lost, lost + empty, lost + empty)
    assert counters.doubtful_drops == lost
    assert tally.captured == tally.encoded + lost + empty and tally.encoded == len(pts)
    assert counters.stamps_replaced == script.count("ebwp")
    begun, over = told(take, IntakeEventKind.CAMERA_IRREGULAR, IntakeEventKind.CAMERA_REGULAR)
    assert f"{DOUBTFUL}: 1" in begun.detail
    for words in (
        f"{DOUBTFUL}: {lost}",
        f"could not be used: {empty}",
        f"stamps put right: {script.count('ebwp')}",
    ):
        assert words in over.detail
    assert take.events == [begun, over]


@pytest.mark.parametrize("script", [scripts.PI_STALLS], ids=str)
def test_one_that_stalls_is_announced_and_taken_back(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """In silence, as one that was unplugged: libcamera says nothing of it."""
    monkeypatch.setattr(picture_worker, "NO_PICTURE_S", AGAIN_S)
    camera = pi_camera(script.letters, monkeypatch)
    kinds = (IntakeEventKind.CAMERA_LOST, IntakeEventKind.CAMERA_BACK)
    take, _, _ = recorded(camera, lambda t: len(told(t, *kinds)) >= 2)
    assert [event.kind for event in told(take, *kinds)] == list(kinds)
    steps = [b - a for a, b in itertools.pairwise(pts_of(take, Track.VIDEO))]
    assert max(steps) == pytest.approx((script.count("s") + 1) * STEP, abs=2)


@pytest.mark.parametrize("fps", [20, 45])
def test_one_at_the_wrong_rate_keeps_each_picture_at_its_time(monkeypatch: pytest.MonkeyPatch, fps: int) -> None:
    """It is asked for 30 and gives 20, or 45: none is put elsewhere or made up, none is said to be lost, and key frames
    are asked for by the stamps.
    """
    made: list[FaultyPicamera2] = []
    camera = pi_camera("", monkeypatch, fps, made)
    take, tally, counters = recorded(camera, lambda t: len(pts_of(t, Track.VIDEO)) > 2 * fps)
    assert camera.fps == 30
    pts = pts_of(take, Track.VIDEO)
    assert pts == pytest.approx([pts[0] + round(n * VIDEO_HZ / fps) for n in range(len(pts))], abs=2)
    assert (counters.frames_dropped, counters.device_drops, tally.dropped, counters.stamps_replaced) == (0, 0, 0, 0)
    assert counters.fps == pytest.approx(fps, rel=0.01)
    assert made[0].encoder.keys_asked >= 2
    assert take.events == []


def test_one_that_follows_another_rate_late_is_accused_of_nothing_but_what_it_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests are under way when the ladder steps: their pictures come at the rate before."""
    lag = 9
    camera, units, enough = pi_camera("r" * 30 + "d", monkeypatch, 120, lag=lag), list[int](), threading.Event()

    def take(unit: AccessUnit) -> None:
        units.append(unit.mono_ns)
        if len(units) == 10:
            camera.set_rate(400, 60)
        if len(units) == 50:
            enough.set()

    camera.start(take, lambda signal: None)
    assert enough.wait(30)
    camera.stop()
    steps = [round((b - a) * 60 / NS, 2) for a, b in itertools.pairwise(units[:50])]
    assert steps == [0.5] * (10 + lag) + [1.0] * (20 - lag) + [2.0] + [1.0] * 18
    assert camera.dropped_frames == 1


def test_an_encoder_slower_than_the_sensor_is_behind_then_overloaded_and_what_it_costs_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What waits for it waits in the camera, in front of us: no queue of ours grows."""
    monkeypatch.setattr(overload, "LASTING_NS", round(AGAIN_S * NS))
    made: list[FaultyPicamera2] = []
    behind = list[int]()
    with Take(pi_camera("", monkeypatch, made=made, takes_s=2 / FPS), None, FAST) as take:
        tally = take.attach()

        def overloaded(take: Take) -> bool:
            if take.intake.behind and not behind:
                behind.append(tally.dropped)
            return bool(told(take, IntakeEventKind.OVERLOAD))

        take_until(take, overloaded)
        take.intake.detach(time.monotonic_ns(), 5)
        drops = take.intake.counters().device_drops
    (begun,) = told(take, IntakeEventKind.OVERLOAD)
    assert begun.fault == "overload" and "too slow" in begun.detail
    assert behind and behind[0] < tally.dropped <= drops <= made[0].lost
    # Each that was lost between two pictures that came.
    pts = pts_of(take, Track.VIDEO)
    assert tally.dropped == sum(round((b - a) / STEP) - 1 for a, b in itertools.pairwise(pts))


@pytest.mark.parametrize("says", [True, False], ids=["sensor says", "by stamps"])
def test_of_one_that_gives_every_other_picture_only_the_sensor_knows_whether_it_loses_them(
    monkeypatch: pytest.MonkeyPatch, says: bool
) -> None:
    """Each is counted. Where the sensor does not say how long it takes for one, it may take twice as long, as in the
    dark: the ladder gives nothing up for that.
    """
    monkeypatch.setattr(overload, "LASTING_NS", round(AGAIN_S * NS))
    camera = pi_camera("r" * 10 + "dr" * 20, monkeypatch, says=says)
    take, tally, counters = recorded(camera, lambda t: len(pts_of(t, Track.VIDEO)) > 40)
    assert tally.dropped == counters.device_drops == 20
    assert counters.doubtful_drops == (0 if says else 20)
    assert bool(told(take, IntakeEventKind.OVERLOAD)) is says
    (over,) = told(take, IntakeEventKind.CAMERA_REGULAR)
    assert over.detail.endswith(f"{'pictures lost by the camera' if says else DOUBTFUL}: 20")


def test_one_wild_stamp_keeps_neither_key_frames_nor_the_watch_over_the_lens_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[FaultyPicamera2] = []
    camera, seen, enough = pi_camera("rrrwrrr", monkeypatch, made=made), list[int](), threading.Event()

    def see(planes: YuvPlanes, mono_ns: int) -> None:
        seen.append(mono_ns - time.monotonic_ns())
        if len(seen) == 3 * FPS:
            enough.set()

    camera.start(lambda unit: None, lambda signal: None, see)
    assert enough.wait(30)
    camera.stop()
    assert max(map(abs, seen)) < BEHIND_NS
    assert made[0].encoder.keys_asked >= 2


@pytest.mark.parametrize(
    ("script", "words"), [(scripts.UNPLUGS, "No such device"), (scripts.CHANGES, "changed its format")], ids=str
)
def test_one_that_is_gone_or_changes_its_format_ends_the_recording(
    script: Script, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = pi_camera(script.letters, monkeypatch)
    take, tally, _ = recorded(camera, lambda t: bool(told(t, IntakeEventKind.CAMERA_LOST)))
    (lost,) = told(take, IntakeEventKind.CAMERA_LOST)
    assert words in lost.detail and lost.fault == "camera"
    assert tally.encoded == len(pts_of(take, Track.VIDEO)) >= 20
    assert tally.captured == tally.encoded + tally.dropped
    assert not told(take, IntakeEventKind.OVERLOAD)


def test_what_breaks_in_delivery_is_signalled_once_and_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    check_that_it_tells_of_a_broken_receiver(pi_camera("", monkeypatch))
