"""The mixer's contract, for libasound and its twin; of a real card where BODYCAM_MIXER names one."""

from __future__ import annotations

import os

import pytest

from agent.capture.mixer import AlsaMixer, Mixer, MixerTwin
from agent.errors import DeviceError

REAL = os.environ.get("BODYCAM_MIXER", "")
MIXERS: dict[str, Mixer] = {"libasound": AlsaMixer(), "twin": MixerTwin({"hw:0": 40, "hw:deaf": None})}
ABSENT = "hw:NoSuchCard"


@pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)
def test_a_card_that_is_not_there_is_named_with_the_next_step(mixer: Mixer) -> None:
    with pytest.raises(DeviceError, match=f"sound card {ABSENT} has no mixer: ") as caught:
        mixer.set_capture(ABSENT, 50)
    assert "capture_percent" in caught.value.hint


@pytest.mark.parametrize("percent", [0, 50, 100])
@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("twin", "hw:0"),
        pytest.param(
            "libasound", REAL, marks=pytest.mark.skipif(not REAL, reason="set BODYCAM_MIXER to a card, like hw:1")
        ),
    ],
)
def test_it_has_what_was_asked_as_near_as_its_steps_allow(name: str, card: str, percent: int) -> None:
    assert MIXERS[name].set_capture(card, percent) == pytest.approx(percent, abs=10)


def test_a_card_without_a_capture_volume_says_so() -> None:
    with pytest.raises(DeviceError, match="sound card hw:deaf has no capture volume"):
        MIXERS["twin"].set_capture("hw:deaf", 50)
