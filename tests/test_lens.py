"""Lens and text: what each intake is given, and that a camera without a font still records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.capture import choose
from agent.capture.encoded import EncodedCamera
from agent.capture.mixer import Gain, MixerTwin
from agent.capture.synthetic import SyntheticCamera
from agent.clock import SystemClock
from agent.config import CameraConfig, OverlayConfig
from agent.errors import DeviceError
from agent.lens import Lens
from agent.media import overlay
from agent.media.overlay import Overlay
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.recorder_desk import Camera
from tests.recorder_kit import make_config


@pytest.fixture
def burned(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What was burned into each picture: the real thing, listened to."""
    pictures, real = list[Any](), Overlay.burn

    def burn(self: Overlay, picture: Any, mono_ns: int) -> Any:
        picture = real(self, picture, mono_ns)
        pictures.append((self, picture))
        return picture

    monkeypatch.setattr(Overlay, "burn", burn)
    monkeypatch.setattr(choose, "open_sources", lambda *_: (SyntheticCamera(320, 240), None))
    yield pictures


def lens_of(agency: AgencyPaths, root: Path, enabled: bool) -> Lens:
    camera = CameraConfig(id="cam-0001", unit="Brigade 7")
    config = replace(make_config(agency, root), camera=camera, overlay=OverlayConfig(enabled=enabled))
    return Lens(config, SystemClock(), lambda action: action(), lambda event: None)


@pytest.mark.parametrize("enabled", [True, False])
def test_text_is_burned_into_what_is_encoded_where_it_is_wanted(
    agency: AgencyPaths, tmp_path: Path, burned: list[Any], enabled: bool
) -> None:
    lens = lens_of(agency, tmp_path, enabled)
    lens.open()
    lens.close()
    assert bool(burned) is enabled
    assert lens.overlay_trouble is None
    if enabled:
        assert burned[0][0]._labels == ("cam-0001", "Brigade 7")


def test_without_a_font_pictures_come_all_the_same(
    agency: AgencyPaths, tmp_path: Path, burned: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "_load_font", lambda *_: _no_font())
    lens = lens_of(agency, tmp_path, True)
    lens.open()
    lens.close()
    assert burned == []
    assert "fonts-dejavu-core" in str(lens.overlay_trouble)


def test_of_a_source_that_encodes_unseen_it_says_that_no_text_is_burned_in(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "open_sources", lambda *_: (EncodedCamera(320, 180, 30, 800), None))
    lens = lens_of(agency, tmp_path, True)
    lens.open()
    lens.close()
    assert "encoded twin" in str(lens.overlay_trouble)


def _no_font() -> None:
    raise DeviceError("the font is not there", "apt install fonts-dejavu-core")


def test_a_volume_that_cannot_be_set_is_a_fault_and_it_records_all_the_same(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = MixerTwin({"default": None})
    monkeypatch.setattr("agent.lens.Gain", lambda percent: Gain(35, twin))
    camera = Camera(agency, tmp_path, monkeypatch).start()
    gain = camera.recorder._lens._gain
    gain.apply("default")
    camera.turns(1)
    assert "no capture volume" in camera.recorder.status()["faults"]["gain"]
    (fault,) = camera.said("fault")
    assert fault["what"] == "gain"
    camera.recorder._record("ctl")
    assert camera.is_(State.RECORDING)
    twin.cards["default"] = 50
    gain.apply("default")
    camera.turns(1)
    assert "gain" not in camera.recorder.status()["faults"]
    camera.recorder.close()
