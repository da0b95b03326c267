"""A stop right after the press, on a card within its limits: what the ring held becomes durable in one turn of the
loop, which may take seconds; nothing is wrong, and nothing says so.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
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
        assert set(map(str, seen)) == {str((False, False, set()))}, "nothing that comes is recorded, and all is well"
        assert camera.said("fault") == []
    else:
        assert seen[-1] == (False, True, {"durable"}), "what hangs is told, in its own words"
        assert next(number for number, (_, alarm, _) in enumerate(seen) if alarm) <= 2 * 20
    camera.recorder.close()


def stopped_on(camera: Camera, patch: pytest.MonkeyPatch, takes_s: Sequence[float]) -> list[tuple[float, bool, bool]]:
    """Each sync of the loop's thread takes so long, the last of these for ever after: when, since the sync began, the
    light was lit, and the alarm on, while the recording was stopped.
    """
    loop, looks, count = threading.current_thread(), list[tuple[float, bool, bool]](), itertools.count()

    def slow(sync: Callable[[int], None], fd: int) -> None:
        if threading.current_thread() is loop:
            for number in range(round(takes_s[min(next(count), len(takes_s) - 1)] * 50)):
                camera.clock.now_ns += NS // 50
                light = camera.recorder.officer.step().light
                looks.append(((number + 1) / 50, light, camera.recorder.status()["officer"]["alarm"]))
        sync(fd)

    with patch.context() as slowed:
        for name in ("fsync", "fdatasync"):
            slowed.setattr(os, name, functools.partial(slow, getattr(os, name)))
        camera.recorder._loop.busy_ns = camera.clock.now_ns
        camera.recorder._loop.act("stop", lambda: camera.recorder._stop("button: hold", Actor.OFFICER))
        camera.recorder._loop.busy_ns = None
    return looks


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    made = Camera(agency, tmp_path, monkeypatch).start()
    press(made)
    made.turns(1)
    yield made
    made.recorder.close()


def test_sealing_what_was_recorded_on_a_slow_card_is_no_fault(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dozen syncs, each slower than the selftest lets a card pass; all that was recorded is durable before them."""
    looks = stopped_on(camera, monkeypatch, [1.0])
    assert len(looks) > 8 * 50 and {alarm for _, _, alarm in looks} == {False}
    camera.turns(2)
    assert camera.said("fault") == []


def test_sealing_what_lost_its_beginning_hangs_in_nothing(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that came to it is durable."""
    assert camera.recorder._life.recording
    camera.recorder._life.recording.forgo(3 * NS, "no room")
    assert len(stopped_on(camera, monkeypatch, [0.4])) > 8 * 20
    camera.turns(2)
    told = {body["what"]: body["detail"] for body in camera.said("fault")}
    assert told["media"].startswith("6 pieces of half a second") and "durable" not in told


@pytest.mark.parametrize("before", (0, 1, 6, 11))
def test_a_card_that_stalls_while_it_seals_is_told_within_two_seconds(
    camera: Camera, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    looks = stopped_on(camera, monkeypatch, [*[0.1] * before, 3.0, 0.0])
    stalled = [(at_s, light, alarm) for at_s, light, alarm in looks if at_s > 0.1]
    assert next(at_s for at_s, light, alarm in stalled if alarm and not light) < 2


def test_what_was_not_durable_when_it_was_given_up_is_not_made_good_by_sealing_the_rest(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recording, "offered", property(lambda recording: recording.progress().pieces + 1))
    looks = stopped_on(camera, monkeypatch, [0.3])
    assert {(light, alarm) for _, light, alarm in looks[2 * 50 :]} == {(False, True)}
