"""The webcam driver. No test machine has a camera, so OpenCV's capture is played by a stand-in at the smallest seam
(isOpened, grab, get, retrieve); only the missing and the forbidden device are met for real here. The kernel's virtual
camera runs in tests/contract, where there is one. That the driver works with a real USB camera is not shown.
"""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import cv2
import pytest

from agent.capture import v4l2
from agent.capture import webcam as driver
from agent.capture.base import SignalKind, SourceSignal
from agent.capture.webcam import Webcam
from agent.errors import DeviceError
from agent.media.planes import pixels
from agent.model import NS, VideoFrame
from tests.capture.standin import FakeCapture, webcam


def run(capture: FakeCapture, pixel_format: str = "auto") -> tuple[Webcam, list[VideoFrame], list[SourceSignal]]:
    frames: list[VideoFrame] = []
    signals: list[SourceSignal] = []
    camera = webcam(capture, pixel_format)
    camera.start(frames.append, signals.append)
    assert capture.released.wait(10)
    assert camera.stop()
    return camera, frames, signals


def test_frames_carry_the_kernels_stamps_and_need_no_conversion() -> None:
    # The first grab only proves that the camera gives pictures.
    camera, frames, signals = run(FakeCapture([n * 100 / 3 for n in range(11)]))
    steps = [b.mono_ns - a.mono_ns for a, b in itertools.pairwise(frames)]
    assert len(frames) == 10
    assert steps == pytest.approx([NS / 30] * 9, rel=1e-3)
    assert {(f.picture.width, f.picture.height, f.picture.format.name) for f in frames} == {(160, 120, "yuv420p")}
    assert [f.sequence for f in frames] == list(range(10))
    assert camera.dropped_frames == 0
    assert [s.kind for s in signals] == [SignalKind.LOST]


def test_frames_that_never_came_are_counted_by_the_drivers_numbers(caplog: pytest.LogCaptureFixture) -> None:
    """Exactly, whatever the stamps say: here of a camera that takes twice as long for each picture in the dark."""
    numbers = [n for n in range(200) if n % 7 and n not in range(60, 90)]
    stamps = [n * 100 / 3 * (1 if n < 100 else 2) for n in numbers]
    camera, frames, _ = run(FakeCapture(stamps, numbers=[n + 2**32 - 120 for n in numbers]))
    assert camera.dropped_frames == 199 - 1 - len(frames)
    assert [f.sequence for f in frames] == [n - numbers[1] for n in numbers[1:]]
    assert "estimated" not in caplog.text


def test_what_the_driver_calls_spoiled_is_no_picture_and_counted() -> None:
    camera, frames, _ = run(FakeCapture([n * 100 / 3 for n in range(11)], spoiled=[4, 9]))
    assert camera.dropped_frames == 2
    assert [f.sequence for f in frames] == [0, 1, 2, 4, 5, 6, 7, 9]


@pytest.mark.parametrize("numbers", [[0] * 40, [n * 1_000_003 for n in range(40)], list(range(40, 0, -1))])
def test_numbers_that_cannot_be_give_way_to_the_stamps(numbers: list[int], caplog: pytest.LogCaptureFixture) -> None:
    gaps = [n * 100 / 3 for n in range(43) if n not in (20, 21, 30)]
    camera, frames, _ = run(FakeCapture(gaps, numbers=numbers))
    assert (camera.dropped_frames, len(frames)) == (3, 39)
    assert caplog.text.count("estimated") == 1


def test_frames_that_never_came_are_counted_from_the_stamps() -> None:
    gaps = [n * 100 / 3 for n in range(40) if n not in (20, 21, 30)]
    camera, frames, _ = run(FakeCapture(gaps))
    assert camera.dropped_frames == 3
    assert frames[-1].sequence == len(frames) - 1 + 3


def test_a_camera_that_slows_down_in_the_dark_drops_nothing_for_long() -> None:
    stamps = [n * 100 / 3 for n in range(20)] + [20 * 100 / 3 + n * 200 / 3 for n in range(60)]
    camera, _, _ = run(FakeCapture(stamps))
    assert camera.dropped_frames < 20


def test_the_format_is_asked_for_before_size_and_rate() -> None:
    capture = FakeCapture([0.0, 33.0], offers=["YUYV", "MJPG"])
    run(capture)
    rest = [cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS]
    assert capture.settings == [cv2.CAP_PROP_FOURCC, *rest]


@pytest.mark.parametrize(
    ("offers", "wanted", "given"),
    [
        (["YUYV", "MJPG"], "auto", "MJPG"),
        (["YUYV", "MJPG"], "yuyv", "YUYV"),
        (["YUYV", "MJPG"], "mjpg", "MJPG"),
        (["BGR3", "YUYV"], "auto", "YUYV"),
        (["BGR3"], "auto", "BGR3"),
    ],
)
def test_what_is_wanted_and_offered_is_taken_and_said(offers: list[str], wanted: str, given: str) -> None:
    camera, frames, _ = run(FakeCapture([n * 100 / 3 for n in range(6)], offers=offers), wanted)
    assert camera.name == f"webcam 0 ({given} 160x120 at 30 fps)"
    lumas = [int(pixels(f.picture.planes[0])[60, 80]) for f in frames]
    if given == "YUYV":
        assert lumas == [17, 18, 19, 20, 21]
        assert [int(pixels(plane)[30, 40]) for plane in frames[0].picture.planes[1:]] == [90, 160]
    else:
        # From full range RGB to the 16 to 235 of video.
        assert lumas == [16 + round(n * 219 / 255) for n in range(1, 6)]


@pytest.mark.parametrize(("offers", "wanted"), [(["YUYV"], "mjpg"), (["BGR3"], "yuyv")])
def test_a_format_that_is_named_and_not_offered_is_an_error(offers: list[str], wanted: str) -> None:
    capture = FakeCapture([0.0, 33.0], offers=offers)
    with pytest.raises(DeviceError, match=f"does not give {wanted.upper()}") as caught:
        webcam(capture, wanted).start(lambda frame: None, lambda signal: None)
    assert offers[0] in caught.value.hint and capture.released.is_set()


def test_a_rate_other_than_asked_for_is_taken_and_said(caplog: pytest.LogCaptureFixture) -> None:
    camera, _, _ = run(FakeCapture([n * 100.0 for n in range(12) if n != 5], fps=10.0))
    assert camera.fps == 10.0 and "10 fps" in camera.name
    assert "at 30 fps was asked for" in caplog.text
    assert camera.dropped_frames == 1


@pytest.mark.parametrize("capture", [FakeCapture([0.0], opened=False), FakeCapture([])])
def test_a_camera_that_opens_but_gives_nothing_is_busy(capture: FakeCapture) -> None:
    camera = webcam(capture, which="7")
    with pytest.raises(DeviceError, match="busy") as caught:
        camera.start(lambda frame: None, lambda signal: None)
    assert "/dev/video7" in caught.value.message and "fuser" in caught.value.hint
    assert capture.released.is_set()


def test_no_camera_is_another_error_and_met_for_real() -> None:
    camera = Webcam("63", 640, 480, 30)
    with pytest.raises(DeviceError, match="there is no webcam 63"):
        camera.start(lambda frame: None, lambda signal: None)
    assert 63 not in driver.present()


NODES = {
    0: ("uvcvideo", "usb-0000:01:00.0-1.2", 0x04200001),
    1: ("uvcvideo", "usb-0000:01:00.0-1.2", 0x04A00000),
    10: ("bcm2835-codec", "platform:bcm2835-codec", 0x04204000),
    13: ("bcm2835-isp", "platform:bcm2835-isp", 0x04000002),
    14: ("bcm2835-isp", "platform:bcm2835-isp", 0x04000001),
    15: ("bcm2835-isp", "platform:bcm2835-isp", 0x04000001),
    16: ("unicam", "platform:fe801000.csi", 0x25200001),
    20: ("vivid", "platform:vivid-000", 0x05200001),
    21: ("v4l2 loopback", "platform:v4l2loopback-000", 0x05200001),
}
"""Driver, bus and device_caps as on a Pi 4 with one webcam, which has a node for metadata too, and two virtual ones."""


def test_what_belongs_to_the_processor_is_no_webcam(monkeypatch: pytest.MonkeyPatch) -> None:
    def capability(index: int) -> bytes:
        name, bus, caps = NODES[index]
        return struct.pack("=16s32s32s2I", name.encode(), b"", bus.encode(), 0, 0x84200001) + struct.pack("=I12x", caps)

    monkeypatch.setattr(v4l2, "_capability", capability)
    monkeypatch.setattr(driver, "present", lambda: [index for index in NODES if v4l2.captures(index)])
    assert driver.present() == [0, 14, 15, 16, 20, 21]
    assert driver.connected() == [0, 20, 21]


@pytest.fixture
def cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {0: "bcm2835-codec-decode", 2: "Logitech BRIO", 4: "HD Pro Webcam C920"}
    monkeypatch.setattr(driver, "present", lambda: list(names))
    monkeypatch.setattr(driver, "title", names.__getitem__)


@pytest.mark.parametrize(("which", "index"), [("7", 7), ("brio", 2), ("C920", 4)])
def test_a_camera_is_found_by_number_or_by_a_part_of_its_name(cameras: None, which: str, index: int) -> None:
    assert driver.find(which) == index


def test_a_camera_is_found_by_a_path_that_leads_to_it(tmp_path: Path) -> None:
    """As udev lays them, with colons."""
    path = tmp_path / "platform-fd500000.pcie-usb-0:1.2:1.0-video-index0"
    path.symlink_to("/dev/video5")
    assert driver.find(str(path)) == 5
    with pytest.raises(DeviceError, match="there is no webcam at"):
        driver.find(str(tmp_path / "platform-none"))


def test_a_name_that_no_camera_has_is_told_with_those_there_are(cameras: None) -> None:
    with pytest.raises(DeviceError, match="no webcam named 'Razer'") as caught:
        driver.find("Razer")
    assert "Logitech BRIO (webcam:2)" in caught.value.hint


def test_one_that_comes_back_under_another_number_is_taken(cameras: None, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []

    def capture(index: int) -> FakeCapture:
        opened.append(index)
        return FakeCapture([0.0, 33.0])

    for names in ({2: "Logitech BRIO"}, {3: "Logitech BRIO"}):
        monkeypatch.setattr(driver, "present", lambda names=names: list(names))
        monkeypatch.setattr(driver, "title", names.__getitem__)
        camera = Webcam("BRIO", 160, 120, 30, open_capture=capture)
        camera.start(lambda frame: None, lambda signal: None)
        assert camera.stop()
    assert opened == [2, 3]


def test_a_busy_node_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr("agent.capture.webcam.os.open", refuse)
    with pytest.raises(DeviceError, match="busy"):
        driver.require(0)
