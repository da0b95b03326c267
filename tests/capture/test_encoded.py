"""The twin that encodes by itself: what it shows, its pace and its rates, and that its pictures decode."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import av
import pytest

from agent.capture import encoded
from agent.capture.encoded import EncodedCamera
from agent.capture.pacing import Epoch
from agent.capture.synthetic import FLASH_S, read_strip
from agent.errors import DeviceError
from agent.media import h264
from agent.model import NS, AccessUnit

PATIENCE_S = 30


def take_until(camera: EncodedCamera, enough: Callable[[list[AccessUnit]], bool]) -> list[AccessUnit]:
    units: list[AccessUnit] = []
    done = threading.Event()

    def take(unit: AccessUnit) -> None:
        units.append(unit)
        if enough(units):
            done.set()

    camera.start(take, lambda signal: None)
    assert done.wait(PATIENCE_S)
    assert camera.stop()
    return units


def decode(units: list[bytes]) -> list[av.VideoFrame]:
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for unit in units for frame in decoder.decode(av.Packet(unit))]
    return frames + decoder.decode(None)


def test_each_second_is_a_group_of_its_own_that_decodes_alone() -> None:
    for number, second in enumerate(encoded.make(320, 180, 30, 800)):
        pictures = [h264.take_apart(unit) for unit in second]
        assert [picture.key for picture in pictures] == [True] + 29 * [False]
        assert h264.picture_size(pictures[0].parameters) == (320, 180)
        frames = decode(list(second))
        assert [read_strip(frame.to_ndarray()[:180]) for frame in frames] == list(range(30 * number, 30 * number + 30))
        bright = [float(frame.to_ndarray()[120:180].mean()) > 200 for frame in frames]
        assert bright == [n < round(FLASH_S * 30) for n in range(30)]


@pytest.mark.wide
@pytest.mark.parametrize(("fps", "kbps"), [(30, 800), (10, 800), (30, 2000), (15, 400)])
def test_the_bitrate_is_what_was_asked_for_and_parameter_sets_are_the_same_at_all(fps: int, kbps: int) -> None:
    seconds = encoded.make(320, 180, fps, kbps)
    size = sum(len(unit) for second in seconds for unit in second)
    assert size * 8 / len(seconds) / 1000 == pytest.approx(kbps, rel=0.2)
    first = [h264.take_apart(second[0]).parameters for second in (*seconds, *encoded.make(320, 180, 30, 800))]
    assert len(set(first)) == 1


def test_units_come_at_the_rate_from_a_whole_second_of_the_epoch_on() -> None:
    epoch = Epoch()
    units = take_until(EncodedCamera(320, 180, 30, 800, epoch), lambda units: len(units) >= 45)
    assert (units[0].mono_ns - epoch.mono_ns()) % NS == 0
    assert {b.mono_ns - a.mono_ns for a, b in itertools.pairwise(units)} <= {33_333_333, 33_333_334}
    assert [unit.sequence for unit in units] == list(range(len(units)))


def test_other_rates_come_with_a_key_frame_and_no_other_parameter_set() -> None:
    camera = EncodedCamera(320, 180, 30, 2000)
    asked = threading.Event()

    def slower(units: list[AccessUnit]) -> bool:
        if len(units) == 5 and not asked.is_set():
            asked.set()
            camera.set_rate(400, 10)
        steps = [b.mono_ns - a.mono_ns for a, b in itertools.pairwise(units[-6:])]
        return len(steps) == 5 and all(step == NS // 10 for step in steps)

    units = take_until(camera, slower)
    pictures = [h264.take_apart(unit.data) for unit in units]
    assert len({picture.parameters for picture in pictures if picture.key}) == 1
    steps = [b.mono_ns - a.mono_ns for a, b in itertools.pairwise(units)]
    change = next(n for n, step in enumerate(steps) if step == NS // 10)
    assert pictures[change].key
    assert len(decode([unit.data for unit in units])) == len(units)


def test_it_cannot_be_asked_for_a_key_frame_and_says_so() -> None:
    assert EncodedCamera().request_key() is False


def test_pictures_that_cannot_be_made_are_an_error_of_the_device() -> None:
    with pytest.raises(DeviceError, match="cannot be made"):
        EncodedCamera(320, 180, 30, -5).start(lambda unit: None, lambda signal: None)
