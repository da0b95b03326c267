"""What every source promises, asked of real clips and of the twins; the real microphone, which needs a process of its
own, is in tests/capture. webcam.py is asked through its stand-in; or through a camera, as in the virtual machine of
tests/vm, where BODYCAM_CAMERA and BODYCAM_MICROPHONE name devices.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
import time
from collections.abc import Callable

import pytest

from agent.capture.base import AudioSource, VideoSource
from agent.capture.clip import Clip
from agent.capture.microphone import Microphone
from agent.capture.synthetic import SyntheticCamera, SyntheticMicrophone
from agent.capture.webcam import Webcam
from agent.model import AUDIO_HZ, NS, AudioBlock, VideoFrame
from tests import media_samples
from tests.capture import standin
from tests.contract.receiver import check_that_it_tells_of_a_broken_receiver

PATIENCE_S = 30
FRAMES = 40
BLOCKS = 60


def clip_sound() -> AudioSource:
    sound = Clip(media_samples.talk()).audio
    assert sound is not None
    return sound


CAMERAS: dict[str, Callable[[], VideoSource]] = {
    "synthetic": lambda: SyntheticCamera(320, 180, 30),
    "clip": lambda: Clip(media_samples.phone()).video,
    "webcam": lambda: standin.webcam(standin.FakeCapture([n * 100 / 3 for n in range(FRAMES + 5)])),
}
MICROPHONES: dict[str, Callable[[], AudioSource]] = {"synthetic": SyntheticMicrophone, "clip": clip_sound}

if "BODYCAM_CAMERA" in os.environ:
    CAMERAS = {"device": lambda: Webcam(os.environ["BODYCAM_CAMERA"], 320, 180, 15)}
if "BODYCAM_MICROPHONE" in os.environ:
    MICROPHONES = {"device": lambda: Microphone(os.environ["BODYCAM_MICROPHONE"])}


@pytest.fixture(params=CAMERAS)
def camera(request: pytest.FixtureRequest) -> VideoSource:
    return CAMERAS[request.param]()


@pytest.fixture(params=MICROPHONES)
def microphone(request: pytest.FixtureRequest) -> AudioSource:
    return MICROPHONES[request.param]()


@functools.cache
def pictures_of(which: str) -> tuple[VideoSource, int, list[VideoFrame], set[int]]:
    """A camera that was begun at that time, some pictures of it, and the threads that they came on."""
    camera, before_ns = CAMERAS[which](), time.monotonic_ns()
    frames: list[VideoFrame] = []
    threads: set[int] = set()
    enough = threading.Event()

    def take(frame: VideoFrame) -> None:
        frames.append(frame)
        threads.add(threading.get_ident())
        if len(frames) >= FRAMES:
            enough.set()

    camera.start(take, lambda signal: None)
    assert enough.wait(PATIENCE_S)
    assert camera.stop()
    return camera, before_ns, frames, threads


@functools.cache
def blocks_of(which: str) -> tuple[AudioSource, int, list[AudioBlock]]:
    microphone, before_ns = MICROPHONES[which](), time.monotonic_ns()
    blocks: list[AudioBlock] = []
    enough = threading.Event()

    def take(block: AudioBlock) -> None:
        blocks.append(block)
        if len(blocks) >= BLOCKS:
            enough.set()

    microphone.start(take, lambda signal: None)
    assert enough.wait(PATIENCE_S)
    assert microphone.stop()
    return microphone, before_ns, blocks


def length_ns(block: AudioBlock) -> int:
    return len(block.pcm) // 2 * NS // AUDIO_HZ


@pytest.mark.parametrize("which", CAMERAS)
def test_a_camera_gives_stamped_pictures_in_order(which: str) -> None:
    camera, before_ns, frames, threads = pictures_of(which)
    stamps = [f.mono_ns for f in frames]
    assert all(a < b for a, b in itertools.pairwise(stamps))
    assert all(a.sequence < b.sequence for a, b in itertools.pairwise(frames))
    # A driver may stamp a little in the future, and the first picture may have waited for the start.
    assert before_ns - NS < stamps[0] < time.monotonic_ns() + 2 * NS
    assert {f.picture.format.name for f in frames} == {"yuv420p"}
    assert len(threads) == 1 and threading.get_ident() not in threads
    assert camera.name and camera.fps > 0


@pytest.mark.parametrize("which", CAMERAS)
def test_a_camera_loses_no_picture(which: str) -> None:
    camera, _, frames, _ = pictures_of(which)
    assert [b.sequence - a.sequence for a, b in itertools.pairwise(frames)] == [1] * (len(frames) - 1)
    assert camera.dropped_frames == 0


@pytest.mark.parametrize("which", MICROPHONES)
def test_a_microphone_gives_stamped_samples_in_order(which: str) -> None:
    microphone, before_ns, blocks = blocks_of(which)
    assert before_ns - NS < blocks[0].mono_ns < time.monotonic_ns()
    assert all(block.pcm and len(block.pcm) % 2 == 0 for block in blocks)
    stamps = [block.mono_ns for block in blocks]
    assert all(a < b for a, b in itertools.pairwise(stamps))
    # As long as what was heard, but for what a busy machine did not hear: no faster than sound comes.
    assert stamps[-1] - stamps[0] > sum(map(length_ns, blocks[:-1])) * 0.8
    assert microphone.name


@pytest.mark.parametrize("which", MICROPHONES)
def test_a_microphone_loses_no_sample(which: str) -> None:
    microphone, _, blocks = blocks_of(which)
    for before, after in itertools.pairwise(blocks):
        assert after.mono_ns - before.mono_ns == pytest.approx(length_ns(before), abs=2)
    assert microphone.dropped_blocks == 0


def test_after_stop_nothing_more_comes(camera: VideoSource, microphone: AudioSource) -> None:
    for source in (camera, microphone):
        items: list[object] = []
        first = threading.Event()

        def take(item: object, items: list[object] = items, first: threading.Event = first) -> None:
            items.append(item)
            first.set()

        source.start(take, lambda signal: None)
        assert first.wait(PATIENCE_S)
        assert source.stop()
        count = len(items)
        assert not threading.Event().wait(0.2)
        assert len(items) == count


def test_what_breaks_in_delivery_is_signalled_not_swallowed(camera: VideoSource, microphone: AudioSource) -> None:
    for source in (camera, microphone):
        check_that_it_tells_of_a_broken_receiver(source)


def test_stopping_what_never_started_is_fine(camera: VideoSource, microphone: AudioSource) -> None:
    assert camera.stop() and microphone.stop()
