"""The capture volume: set at each opening, of the card that was opened, and never a reason not to record."""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar

import pytest

from agent.capture import microphone
from agent.capture.microphone import Microphone
from agent.capture.mixer import AlsaMixer, Gain, MixerTwin, card_of


@pytest.mark.parametrize(
    ("device", "card"),
    [
        ("USB Audio Device: - (hw:1,0)", "hw:1"),
        ("USB (mono): Mic (hw:Device,0)", "hw:Device"),
        ("default", "default"),
        ("pulse", "default"),
    ],
)
def test_the_card_is_that_of_the_device(device: str, card: str) -> None:
    assert card_of(device) == card


class Stream:
    def get_time(self) -> float:
        return 0.0

    def start_stream(self) -> None: ...

    def close(self) -> None: ...


class PortAudio:
    """One card, as PyAudio tells of it."""

    info: ClassVar[dict[str, Any]] = {
        "name": "USB Audio: - (hw:1,0)",
        "index": 0,
        "maxInputChannels": 1,
        "defaultSampleRate": 44_100.0,
    }

    def get_device_count(self) -> int:
        return 1

    def get_device_info_by_index(self, index: int) -> dict[str, Any]:
        return self.info

    def open(self, *_: Any, **__: Any) -> Stream:
        return Stream()

    def terminate(self) -> None: ...


def begin(gain: Gain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microphone, "_portaudio", PortAudio)
    made = Microphone("usb", gain=gain)
    made.start(lambda block: None, lambda signal: None)
    assert made.stop()


def test_it_is_set_when_the_microphone_opens_and_again_after_it_came_back(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = MixerTwin({"hw:1": 90, "hw:0": 90})
    gain = Gain(35, twin)
    begin(gain, monkeypatch)
    assert twin.cards == {"hw:1": 35, "hw:0": 90} and gain.trouble is None
    # Unplugged, and back with the card's own idea of it.
    twin.cards["hw:1"] = 100
    begin(gain, monkeypatch)
    assert twin.cards["hw:1"] == 35


def test_without_a_wish_it_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = MixerTwin({"hw:1": 90})
    gain = Gain(None, twin)
    begin(gain, monkeypatch)
    assert twin.cards == {"hw:1": 90} and gain.trouble is None


@pytest.mark.parametrize(
    ("wanted", "step", "now", "told"),
    [
        (50, 10, 50, False),
        (35, 10, 40, False),
        (50, 33, 66, True),
        (30, 100, 0, True),
        (3, 10, 0, True),
        (0, 33, 0, False),
    ],
)
def test_a_volume_that_ends_elsewhere_is_told(
    wanted: int, step: int, now: int, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = MixerTwin({"hw:1": 90}, step)
    gain = Gain(wanted, twin)
    begin(gain, monkeypatch)
    assert twin.cards["hw:1"] == now
    assert (gain.trouble is not None) is told
    assert not told or f"is {now} % where {wanted} % is wanted" in str(gain.trouble)


def test_a_card_without_one_is_told_and_records_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = MixerTwin({"hw:1": None})
    gain = Gain(35, twin)
    begin(gain, monkeypatch)
    assert "sound card hw:1 has no capture volume" in str(gain.trouble)
    twin.cards["hw:1"] = 50
    begin(gain, monkeypatch)
    assert gain.trouble is None


def test_without_a_card_the_real_library_says_so() -> None:
    gain = Gain(35, AlsaMixer())
    gain.apply("gone (hw:31,0)")
    assert str(gain.trouble).startswith("sound card hw:31 has no mixer: ")


def test_without_the_library_it_is_a_note_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    gain = Gain(35, AlsaMixer())
    gain.apply("usb (hw:1,0)")
    assert "libasound" in str(gain.trouble)
