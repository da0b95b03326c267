"""An uploader that is not there is missed: at once where it was seen before, and in the dock where it never was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.dock.turns import Turns
from agent.model import NS
from agent.spool.sender import LASTING_NS, SILENT_NS, Sender
from agent.station.layout import AgencyPaths
from tests.recorder_desk import Camera

STEP_NS = NS // 4
MINUTES = 5 * 60 * 4


def first_silent_s(alive: Callable[[float], bool | None], docked: bool = True) -> float | None:
    """When it is missed within five minutes, asked four times a second; `alive` is told the time."""
    sender = Sender()
    for turn in range(MINUTES):
        if sender.silent(alive(turn / 4), docked, 1_000 * NS + turn * STEP_NS):
            return turn / 4
    return None


@pytest.mark.parametrize(
    ("alive", "docked", "silent_s"),
    [
        (lambda s: True, True, None),
        (lambda s: False, True, SILENT_NS / NS),
        (lambda s: False, False, SILENT_NS / NS),
        (lambda s: None, True, SILENT_NS / NS),
        (lambda s: None, False, None),
        # As systemd begins it anew each time: two seconds of life, five of none.
        (lambda s: s % 7 < 2, False, SILENT_NS / NS),
        # Another configuration now and then: away for some seconds.
        (lambda s: s % 140 > 8, True, None),
        # It ends each time only once it tries to send.
        (lambda s: s % 60 > 8, True, 3 * 60),
        # It comes late, and stays.
        (lambda s: s > 45, True, None),
        (lambda s: s < 30, True, 30 + SILENT_NS / NS - 0.25),
    ],
)
def test_when_it_is_missed(alive: Callable[[float], bool | None], docked: bool, silent_s: float | None) -> None:
    assert first_silent_s(alive, docked) == silent_s


def test_one_that_comes_back_is_believed_after_ten_seconds() -> None:
    sender = Sender()
    told = [sender.silent(second >= 70, True, second * NS) for second in range(90)]
    assert [second for second in range(1, 90) if told[second] != told[second - 1]] == [60, 80]


def test_one_that_ended_often_is_believed_after_two_minutes() -> None:
    sender = Sender()
    told = [sender.silent(second >= 70 or second % 20 > 4, True, second * NS) for second in range(300)]
    first, last = 20, 65
    changes = [second for second in range(1, 300) if told[second] != told[second - 1]]
    assert changes == [first + SILENT_NS // NS, last + LASTING_NS // NS]


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    camera = Camera(agency, tmp_path, monkeypatch).start()
    yield camera
    camera.recorder.close()


def test_it_is_shown_and_logged_and_over_when_it_lives_again(camera: Camera) -> None:
    turns = Turns(camera.vault.spool.inbox_dir, lambda: camera.clock.now_ns)
    turns.turn()
    camera.ticks(120 * 4)
    assert "uploader" not in camera.faults()
    turns.close()
    camera.ticks(61 * 4)
    assert "journalctl -u bodycam-uploader" in camera.faults()["uploader"]
    assert any("Nothing is being sent" in line for line in camera.recorder.status()["words"])
    camera.clock.now_ns += NS
    turns.turn()
    camera.ticks(11 * 4)
    assert "uploader" not in camera.faults()
    assert [body["what"] for body in camera.said("fault")] == ["uploader"]
    assert [body["what"] for body in camera.said("cleared")] == ["uploader"]
    turns.close()


def test_a_camera_that_is_worn_without_one_says_nothing_and_in_the_dock_it_does(camera: Camera) -> None:
    camera.ticks(120 * 4)
    assert "uploader" not in camera.faults()
    camera.recorder._dock(True)
    camera.ticks(61 * 4)
    assert "uploader" in camera.faults()
