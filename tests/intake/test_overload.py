"""When lost pictures are an overload, and when that is over."""

from __future__ import annotations

import time
from dataclasses import replace

import av

from agent.intake import IntakeEventKind
from agent.intake.overload import CALM_NS, LASTING_NS, Overload
from agent.intake.picture import DOUBTFUL
from agent.model import NS, VideoFrame
from tests.test_intake import FAST, ScriptedCamera, Take, take_until


def losses(overload: Overload, apart_ns: int, count: int = 40) -> list[bool]:
    return [overload.lose(NS + n * apart_ns, 1) for n in range(count)]


def test_a_camera_that_goes_on_losing_pictures_is_overloaded_once() -> None:
    overload = Overload()
    begins = losses(overload, NS // 4)
    assert begins.index(True) == LASTING_NS * 4 // NS and begins.count(True) == 1
    last_ns = NS + 39 * NS // 4
    assert overload.latest_ns == last_ns
    assert overload.over(last_ns + CALM_NS - 1) is None
    assert overload.over(last_ns + CALM_NS) == 40
    assert overload.over(last_ns + 2 * CALM_NS) is None
    assert overload.dropped == 0


def test_one_that_loses_some_now_and_then_is_not() -> None:
    overload = Overload()
    assert not any(losses(overload, NS))
    assert overload.over(100 * NS) is None


def test_nor_does_a_single_loss_draw_out_what_dropped_pictures_began() -> None:
    overload = Overload()
    assert [overload.drop(NS + n) for n in range(3)] == [True, False, False]
    assert not overload.lose(NS + CALM_NS - 1, 5)
    assert overload.over(NS + CALM_NS + 2) == 3 == overload.dropped


def test_one_that_is_not_over_at_the_end_says_what_it_cost_by_then_and_once() -> None:
    overload = Overload()
    assert overload.end() is None
    assert [overload.drop(NS + n) for n in range(3)] == [True, False, False]
    assert overload.over(2 * NS) is None
    assert overload.end() == 3
    assert overload.end() is None and overload.over(100 * NS) is None


def test_what_is_thrown_away_at_an_end_is_none() -> None:
    overload = Overload()
    assert not overload.drop(NS, is_cause=False)
    assert overload.dropped == 1 and overload.over(100 * NS) is None


def every_other(take: Take, camera: ScriptedCamera, doubtful: int) -> int:
    """Pictures of nearly five seconds, between two of which one is missing each time; since when."""
    picture, start_ns = av.VideoFrame(64, 48, "yuv420p"), time.monotonic_ns() - 9 * NS
    assert camera.deliver
    for number in range(70):
        camera.doubtful_frames += doubtful
        camera.dropped_frames += 1
        camera.deliver(VideoFrame(start_ns + 2 * number * NS // 30, 2 * number, picture))
        take_until(take, lambda t, number=number: t.intake.counters().frames_encoded > number)
    return start_ns


def test_a_webcam_that_loses_every_other_picture_where_it_is_decoded_is_said_to() -> None:
    """Its driver numbers them, so they are counted; no queue of ours is ever full."""
    camera = ScriptedCamera()
    with Take(camera, None, FAST) as take:
        start_ns = every_other(take, camera, doubtful=0)
        assert take.wait_event(IntakeEventKind.OVERLOAD).mono_ns >= start_ns + LASTING_NS
        counters = take.intake.counters()
    assert (counters.device_drops, counters.doubtful_drops) == (70, 0)
    assert "pictures lost by the camera: 70" in take.wait_event(IntakeEventKind.CAMERA_REGULAR).detail
    assert take.wait_event(IntakeEventKind.OVERLOAD_OVER).detail == "70 pictures were dropped until the lens was closed"


def test_one_whose_stamps_alone_have_gaps_may_be_slow_in_the_dark_and_nothing_is_given_up_for_it() -> None:
    """They are counted all the same, and the log says that nobody knows."""
    camera = ScriptedCamera()
    with Take(camera, None, replace(FAST, watch=False)) as take:
        every_other(take, camera, doubtful=1)
        counters = take.intake.counters()
    assert (counters.frames_dropped, counters.device_drops, counters.doubtful_drops) == (70, 70, 70)
    assert [event.kind for event in take.events] == [IntakeEventKind.CAMERA_IRREGULAR, IntakeEventKind.CAMERA_REGULAR]
    assert take.events[-1].detail.endswith(f"{DOUBTFUL}: 70")
