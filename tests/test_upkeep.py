"""What is wrong is told by its name for as long as it is wrong, also while nothing is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.formats import age
from agent.station.layout import AgencyPaths
from tests.recorder_desk import Camera

MINUTE_TICKS = 60 * 4 + 1


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    made = Camera(agency, tmp_path, monkeypatch)
    yield made
    made.recorder.close()


def test_an_event_that_cannot_be_encrypted_is_told_and_written_later(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.start()
    camera.ticks(2)
    assert "encryption" not in camera.faults()

    def defect(*_: object) -> None:
        raise RuntimeError("a defect of the cipher")

    with monkeypatch.context() as patch:
        patch.setattr(age, "encrypt", defect)
        camera.ticks(MINUTE_TICKS)
        assert "cannot be encrypted" in camera.faults()["encryption"]
    camera.ticks(MINUTE_TICKS)
    assert "encryption" not in camera.faults() and "log" not in camera.faults()
    assert "encryption" in [body.get("what") for body in camera.said("fault")]


def test_the_fault_of_a_receipt_stays_while_a_segment_does(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one that is delivered meanwhile does not end it."""
    camera.start()
    unshown = "the station's receipt answers wrongly"
    for unshown_now, given, told in (
        (unshown, (0, [unshown]), True),
        (unshown, (1, []), True),
        ("", (0, []), True),
        ("", (1, []), False),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(type(camera.vault), "unshown", unshown_now)
            patch.setattr(camera.vault, "accept_receipts", lambda given=given: given)
            camera.ticks(1)
        assert ("receipt" in camera.faults()) is told
