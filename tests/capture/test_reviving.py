"""A microphone that is missing, falls silent or hangs: taken back, never twice at once, never waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from agent.capture import reviving
from agent.capture.base import DeliverSound, Signal, SignalKind, SourceSignal
from agent.capture.reviving import Reviving
from agent.errors import DeviceError
from agent.model import AudioBlock

PATIENCE_S = 30


class Stream:
    """One opening of a device: gives sound when it is told to, lets go when it may."""

    live = True
    name = "the microphone"
    dropped_blocks = 1

    def __init__(self, device: Device) -> None:
        self._device = device
        self.may_close = threading.Event()
        self.may_close.set()

    def start(self, deliver: DeliverSound, signal: Signal) -> None:
        if self._device.missing:
            self._device.refused.release()
            raise DeviceError("there is no microphone", "plug it in")
        self._device.open += 1
        assert self._device.shared or self._device.open == 1, "two streams at once"
        self.deliver, self.signal = deliver, signal
        self._device.streams.append(self)
        self._device.opened.release()

    def say(self) -> None:
        self.deliver(AudioBlock(time.monotonic_ns(), b"\0\0"))

    def stop(self, deadline_s: float = 2.0) -> bool:
        if not self.may_close.wait(deadline_s):
            return False
        if self in self._device.streams:
            self._device.streams.remove(self)
            self._device.open -= 1
        return True


class Device:
    def __init__(self) -> None:
        self.missing = self.shared = False
        self.open = 0
        self.streams: list[Stream] = []
        self.opened, self.refused = threading.Semaphore(0), threading.Semaphore(0)
        self.heard: list[AudioBlock] = []

    def wait_open(self) -> Stream:
        assert self.opened.acquire(timeout=PATIENCE_S)
        return self.streams[-1]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    for name, value in {"STALL_NS": 100_000_000, "LOOK_S": 0.01, "AGAIN_NS": 20_000_000, "LET_GO_S": 0.01}.items():
        monkeypatch.setattr(reviving, name, value)
    return Device()


@pytest.fixture
def microphone(device: Device) -> Iterator[Reviving]:
    made = Reviving("microphone default", lambda: Stream(device))
    yield made
    for stream in device.streams:
        stream.may_close.set()
    assert made.stop()


def start(microphone: Reviving, device: Device) -> None:
    microphone.start(device.heard.append, lambda signal: pytest.fail("it may come back"))


def test_sound_goes_through(device: Device, microphone: Reviving) -> None:
    start(microphone, device)
    device.wait_open().say()
    assert len(device.heard) == 1
    assert (microphone.name, microphone.dropped_blocks) == ("the microphone", 1)


def test_one_that_is_missing_is_named_and_taken_when_it_is_there(device: Device, microphone: Reviving) -> None:
    device.missing = True
    start(microphone, device)
    assert microphone.name == "microphone default (there is no microphone)"
    device.missing = False
    device.wait_open().say()
    assert len(device.heard) == 1


def test_the_journal_has_why_once_however_often_it_is_tried(
    device: Device, microphone: Reviving, caplog: pytest.LogCaptureFixture
) -> None:
    device.missing = True
    start(microphone, device)
    for times in (1, 2):
        for _ in range(5):
            assert device.refused.acquire(timeout=PATIENCE_S)
        said = [record.getMessage() for record in caplog.records]
        assert said.count("microphone default: there is no microphone") == times
        device.missing = False
        stream = device.wait_open()
        while device.refused.acquire(blocking=False):
            pass
        device.missing = True
        stream.signal(SourceSignal(SignalKind.LOST, 0, "unplugged"))


def test_one_that_gives_no_sound_is_closed_and_opened_again(device: Device, microphone: Reviving) -> None:
    start(microphone, device)
    first = device.wait_open()
    second = device.wait_open()
    assert second is not first
    first.say()
    assert device.heard == [], "what was given up is not heard"
    second.say()
    assert len(device.heard) == 1
    assert microphone.dropped_blocks >= 2


def test_no_second_stream_is_opened_while_the_first_hangs(device: Device, microphone: Reviving) -> None:
    start(microphone, device)
    first = device.wait_open()
    first.may_close.clear()
    assert not device.opened.acquire(timeout=0.5)
    assert "it gives no sound" in microphone.name
    first.may_close.set()
    assert device.wait_open() is not first


def test_one_that_hangs_in_that_is_left_and_the_device_opened_beside_it(
    device: Device, microphone: Reviving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviving, "LEAVE_NS", 50_000_000)
    start(microphone, device)
    first = device.wait_open()
    first.may_close.clear()
    device.shared = True
    second = device.wait_open()
    first.say()
    assert device.heard == [], "what was given up is not heard"
    second.say()
    assert (len(device.heard), microphone.name) == (1, "the microphone")
    assert not microphone.stop(PATIENCE_S), "the first hangs still"
    assert device.streams == [first]
    first.may_close.set()


def test_no_more_than_a_few_are_left_and_it_says_what_to_do(
    device: Device, microphone: Reviving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviving, "LEAVE_NS", 0)
    device.shared, hanging = True, list[Stream]()
    start(microphone, device)
    for _ in range(reviving.MOST_LEFT):
        hanging.append(device.wait_open())
        hanging[-1].may_close.clear()
    assert not device.opened.acquire(timeout=0.5)
    assert "does not let go" in microphone.name and "systemctl restart" in microphone.name
    hanging[0].may_close.set()
    assert device.wait_open() not in hanging
    for stream in hanging:
        stream.may_close.set()


def test_one_that_says_it_is_gone_is_given_up_at_once(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviving, "STALL_NS", 1 << 62)
    microphone = Reviving("microphone default", lambda: Stream(device))
    start(microphone, device)
    device.wait_open().signal(SourceSignal(SignalKind.LOST, 0, "unplugged"))
    device.wait_open()
    assert microphone.stop()


def test_a_stop_does_not_wait_for_what_hangs(device: Device) -> None:
    microphone = Reviving("microphone default", lambda: Stream(device))
    start(microphone, device)
    stream = device.wait_open()
    stream.may_close.clear()
    began = time.monotonic()
    assert not microphone.stop(0.2)
    assert time.monotonic() - began < 5
    stream.may_close.set()


class Slow(Stream):
    """Hangs while it is being opened, until it may."""

    may_open = threading.Event()

    def start(self, deliver: DeliverSound, signal: Signal) -> None:
        self.may_open.wait(PATIENCE_S)
        super().start(deliver, signal)


def test_one_that_hangs_while_it_is_opened_holds_nothing_up(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviving, "START_S", 0.05)
    Slow.may_open.clear()
    microphone = Reviving("microphone default", lambda: Slow(device))
    began = time.monotonic()
    start(microphone, device)
    assert time.monotonic() - began < 5
    assert "it does not answer" in microphone.name
    Slow.may_open.set()
    device.wait_open().say()
    assert len(device.heard) == 1
    assert microphone.stop()


def test_one_that_opens_while_it_is_stopped_is_given_back(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviving, "START_S", 0.05)
    Slow.may_open.clear()
    microphone = Reviving("microphone default", lambda: Slow(device))
    start(microphone, device)
    assert not microphone.stop(0.05)
    Slow.may_open.set()
    assert device.opened.acquire(timeout=PATIENCE_S)
    assert microphone.stop(PATIENCE_S)
    assert device.open == 0
