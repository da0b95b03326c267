"""The faults of test_faults.py, asked of the kernel's virtual camera: its own controls make vivid misbehave. Run where
BODYCAM_TEST_WEBCAM=/dev/videoN names one (tests/vm). It shares a processor, so it loses pictures of its own; its
numbers and stamps tell how many.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from statistics import median

import pytest

from agent.capture import v4l2
from agent.capture import webcam as driver
from agent.capture.base import SourceSignal
from agent.capture.webcam import Webcam
from agent.intake import IntakeEventKind, Tally
from agent.intake import picture as picture_worker
from agent.model import NS, VIDEO_HZ, Track, VideoFrame
from tests.contract.test_faults import pts_of
from tests.contract.test_real_webcam import noting
from tests.test_intake import FAST, Take

DEVICE = os.environ.get("BODYCAM_TEST_WEBCAM", "")
FPS = 15
AGAIN_S = 0.5
"""In place of two seconds, for which OpenCV itself would give it up."""
PATIENCE_S = 60

pytestmark = pytest.mark.skipif(not DEVICE, reason="BODYCAM_TEST_WEBCAM=/dev/videoN names no camera")


class Vivid:
    """What is done to it from outside, while somebody else has it open."""

    def __init__(self) -> None:
        self._set: set[str] = set()

    def set(self, control: str, value: int = 1) -> None:
        self._set.add(control)
        self._call("-c", f"{control}={value}")

    def rate(self, fps: int) -> None:
        self._call("-p", str(fps))

    def as_before(self) -> None:
        for control in self._set:
            if not control.startswith("inject_"):
                self._call("-c", f"{control}=0")

    @staticmethod
    def _call(*arguments: str) -> None:
        subprocess.run(["v4l2-ctl", "-d", DEVICE, *arguments], check=True, capture_output=True, timeout=30)


@pytest.fixture
def vivid() -> Iterator[Vivid]:
    one = Vivid()
    yield one
    one.as_before()


def camera(fps: int = FPS) -> Webcam:
    return Webcam(DEVICE, 320, 180, fps)


def ended(take: Take, tally: Tally) -> list[int]:
    """When its pictures are, once the recording is over: each that was captured is among them or counted, and time goes
    forward.
    """
    take.intake.detach(time.monotonic_ns(), 5)
    pts = pts_of(take, Track.VIDEO)
    assert all(a < b for a, b in itertools.pairwise(pts))
    assert tally.captured == tally.encoded + tally.dropped and tally.encoded == len(pts)
    return pts


def lost_by_stamps(pts: list[int], fps: float = FPS) -> int:
    """How many pictures vivid, which keeps its pace, did not give between the first and the last."""
    return round((pts[-1] - pts[0]) * fps / VIDEO_HZ) - (len(pts) - 1)


def test_a_stall_is_announced_and_taken_back(vivid: Vivid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_worker, "NO_PICTURE_S", AGAIN_S)
    with Take(camera(), None, FAST) as take:
        tally = take.attach()
        take.wait_seconds(1)
        vivid.set("percentage_of_dropped_buffers", 100)
        lost = take.wait_event(IntakeEventKind.CAMERA_LOST)
        vivid.set("percentage_of_dropped_buffers", 0)
        back = take.wait_event(IntakeEventKind.CAMERA_BACK)
        take.wait_seconds((back.mono_ns - lost.mono_ns) / NS + 2)
        pts = ended(take, tally)
    assert tally.dropped == pytest.approx(lost_by_stamps(pts), abs=2)
    assert f"no picture for {AGAIN_S:g} s" in lost.detail and back.mono_ns - lost.mono_ns > AGAIN_S * NS
    assert max(b - a for a, b in itertools.pairwise(pts)) > AGAIN_S * VIDEO_HZ


def test_each_picture_that_it_loses_is_counted(vivid: Vivid) -> None:
    with Take(camera(), None, FAST) as take:
        tally = take.attach()
        take.wait_seconds(1)
        vivid.set("percentage_of_dropped_buffers", 40)
        take.wait_seconds(5)
        pts = ended(take, tally)
    assert tally.dropped == pytest.approx(lost_by_stamps(pts), abs=2)
    assert tally.dropped >= 10


@pytest.mark.parametrize("fps", [10, 30])
def test_at_the_wrong_rate_each_picture_stays_at_its_time(vivid: Vivid, fps: int) -> None:
    """It says 15, and from the second second on gives 10, or 30."""
    source = camera()
    with Take(source, None, FAST) as take:
        tally = take.attach()
        take.wait_seconds(1)
        vivid.rate(fps)
        before = len(take.packets), tally.dropped
        take.wait_seconds(5)
        pts = ended(take, tally)
    assert source.fps == FPS
    # One or two were on their way at the old rate.
    begin = before[0] + 3
    steps = [b - a for a, b in itertools.pairwise(pts[begin:])]
    assert median(steps) == pytest.approx(VIDEO_HZ / fps, rel=0.15)
    assert tally.dropped - before[1] == pytest.approx(lost_by_stamps(pts[begin:], fps), abs=3)
    keys = [packet.pts for packet in take.packets if packet.track is Track.VIDEO and packet.key]
    longest = max(b - a for a, b in itertools.pairwise([*keys, pts[-1]]))
    assert longest <= VIDEO_HZ + max(b - a for a, b in itertools.pairwise(pts))


def test_stamps_of_no_clock_that_go_back_give_way_to_the_arrival(vivid: Vivid, monkeypatch: pytest.MonkeyPatch) -> None:
    """They begin 16 s before the end of 63 bits of nanoseconds."""
    stamps_us: list[int] = []
    ask = driver._position_us
    monkeypatch.setattr(driver, "_position_us", lambda capture: stamps_us.append(ask(capture)) or stamps_us[-1])
    vivid.set("wrap_timestamp", 1)
    begun_ns = time.monotonic_ns()
    with Take(camera(), None, FAST) as take:
        tally = take.attach()
        take.wait_seconds(18)
        elapsed_s = (time.monotonic_ns() - begun_ns) / NS
        pts = ended(take, tally)
    assert [n for n, (a, b) in enumerate(itertools.pairwise(stamps_us)) if b < a] != []
    assert 18 <= (pts[-1] - pts[0]) / VIDEO_HZ <= elapsed_s
    assert not any(event.kind is IntakeEventKind.CAMERA_LOST for event in take.events)


def frames_of(source: Webcam, count: int, meanwhile: Callable[[int], None]) -> list[VideoFrame]:
    """So many of it; `meanwhile` is told of each, on a thread of its own."""
    frames: list[VideoFrame] = []
    turn = threading.Condition()
    signals: list[SourceSignal] = []

    def keep(frame: VideoFrame) -> None:
        with turn:
            frames.append(frame)
            turn.notify_all()

    source.start(keep, signals.append)
    try:
        for number in range(1, count + 1):
            with turn:
                assert turn.wait_for(lambda: len(frames) >= number, PATIENCE_S), signals  # noqa: B023
            meanwhile(number)
    finally:
        assert source.stop()
    return frames


def test_what_the_driver_calls_spoiled_is_no_picture_and_counted(vivid: Vivid, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int | None] = []
    monkeypatch.setattr(v4l2.OpenBuffers, "number", noting(v4l2.OpenBuffers.number, numbers))

    def spoil(number: int) -> None:
        if number in (10, 20, 30):
            vivid.set("inject_v4l2_buf_flag_error")

    source = camera()
    frames = frames_of(source, 40, spoil)
    first, last = numbers[0], numbers[-1]
    assert first is not None and last is not None
    never_came = last - first + 1 - len(numbers)
    assert source.dropped_frames == never_came + 3
    assert len(frames) == len(numbers) - 3


def test_numbers_that_begin_again_are_counted_on(vivid: Vivid, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int | None] = []
    monkeypatch.setattr(v4l2.OpenBuffers, "number", noting(v4l2.OpenBuffers.number, numbers))
    vivid.set("wrap_sequence_number")
    source = camera(30)
    frames = frames_of(source, 150, lambda number: None)
    assert None not in numbers
    told = [number for number in numbers if number is not None]
    assert told[-1] < told[0]
    assert source.dropped_frames == (told[-1] - told[0]) % 2**32 + 1 - len(told)
    assert frames[-1].sequence == len(frames) - 1 + source.dropped_frames


def test_a_fatal_error_ends_it_with_a_reason_and_what_came_is_kept(vivid: Vivid) -> None:
    with Take(camera(), None, FAST) as take:
        tally = take.attach()
        take.wait_seconds(1)
        vivid.set("inject_fatal_streaming_error")
        lost = take.wait_event(IntakeEventKind.CAMERA_LOST)
        assert "gives no more pictures" in lost.detail
        pts = ended(take, tally)
    assert len(pts) > FPS // 2
    assert len(frames_of(camera(), 3, lambda number: None)) >= 3
