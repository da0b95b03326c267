"""A stop right after the press, on a card within its limits: what the ring held becomes durable in one turn of the
loop, which may take seconds; nothing is wrong, and nothing says so.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.events import Actor
from agent.model import NS
from agent.recording import Recording
from agent.station.layout import AgencyPaths
from tests.recorder_desk import Camera
from tests.test_officer import press


@pytest.mark.parametrize("moves", [True, False])
def test_only_parts_are_judged_while_a_recording_is_ended(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: bool
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch).start()
    camera.turns(1)
    press(camera)
    camera.turns(1)
    finish, seen = Recording.finish, list[tuple[bool, bool, set[str]]]()

    def slow(recording: Recording, deadline_s: float) -> None:
        """Five seconds, in each of them two more parts, or none."""
        camera.recorder._loop.busy_ns = camera.clock.now_ns
        for number in range(100):
            camera.clock.now_ns += NS // 20
            if moves and number % 10 == 0:
                camera.muxers[-1].give(1)
                camera.until_sealed()
            light = camera.recorder.officer.step().light
            status = camera.recorder.status()["officer"]
            seen.append((light, status["alarm"], set(status["troubles"])))
        finish(recording, deadline_s)

    monkeypatch.setattr(Recording, "finish", slow)
    camera.recorder._loop.act("stop", lambda: camera.recorder._stop("button: hold", Actor.OFFICER))
    camera.recorder._loop.busy_ns = None
    camera.turns(2)
    if moves:
        assert set(map(str, seen)) == {str((True, False, set()))}
        assert camera.said("fault") == []
    else:
        assert seen[-1] == (False, True, {"durable"}), "what hangs is told, in its own words"
        assert next(number for number, (light, *_) in enumerate(seen) if not light) <= 2 * 20
    camera.recorder.close()
