"""A trigger by command while the recording before it is still being written to a slow card: the next one begins with
it, as with a press. Simulated time, a real ring.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent import loop as loops
from agent.errors import UnheardError
from agent.model import NS
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.test_held_button import STEP_NS
from tests.test_press_while_ending import PRE_S, SLOW_S, Ending, ending


def commands(slow: Ending) -> None:
    """A trigger by command takes the place of the press."""
    slow.press_at_s, at_ns = SLOW_S + 1.0, slow.camera.clock.now_ns + 2 * NS

    def each() -> None:
        if slow.camera.clock.now_ns >= at_ns and not slow.pressed_ns:
            slow.pressed_ns = slow.camera.clock.now_ns
            slow.camera.recorder._answer({"do": "record", "trigger": "vehicle"})

    slow.each = each


def test_a_trigger_by_command_while_the_recording_before_is_still_being_written_loses_nothing_after_it(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ending(agency, tmp_path, monkeypatch) as slow:
        loop, takes = slow.camera.recorder._loop, slow.camera.recorder._takes
        monkeypatch.setattr(loop, "ask", lambda what, action: loop.post(what, action) or {})
        commands(slow)
        slow.end()
        slow.made.turns(1)
        assert slow.camera.is_(State.RECORDING) and not slow.camera.faults()
        assert slow.camera.intake.given[0] <= slow.pressed_ns - PRE_S * NS
        start = slow.camera.said("record.start")[-1]
        assert (start["trigger"], start["actor"], start["pre_event_ns"]) == ("vehicle", "ctl", PRE_S * NS)
        assert 0 <= start["mono_ns"] - slow.pressed_ns < STEP_NS and not takes.hearing.hands


@pytest.mark.parametrize("sound", [True, False])
def test_a_trigger_by_command_that_is_cancelled_meanwhile_holds_nothing_once_the_loop_knows(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sound: bool
) -> None:
    with ending(agency, tmp_path, monkeypatch, pre_event_sound=sound) as slow:
        camera, takes = slow.camera, slow.camera.recorder._takes
        commands(slow)
        answer, cancelled = camera.recorder._answer, list[UnheardError]()

        def too_late(request: dict[str, Any]) -> dict[str, Any]:
            with monkeypatch.context() as patch, pytest.raises(UnheardError) as told:
                patch.setattr(loops, "ANSWER_S", 0.0)
                answer(request)
            cancelled.append(told.value)
            return {}

        monkeypatch.setattr(camera.recorder, "_answer", too_late)
        slow.end()
        assert cancelled and takes.hearing.hands and not camera.intake.muted
        slow.made.turns(1)
        assert camera.is_(State.READY) and not takes.hearing.hands
        assert camera.intake.muted is not sound
        slow.made.turns(4)
        assert slow.made.ring_s < 8
