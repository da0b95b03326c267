"""The panel's thread looks seldom while nothing moves, and misses nothing by it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.controls.base import Line
from agent.controls.looks import REST_S, STEP_S, Looks, pause_s
from agent.controls.machine import State
from agent.controls.patterns import Delivery, Levels, Look, Shown, levels, status_changes_ns
from agent.controls.sounding import SILENCE
from agent.controls.vigil import LIMIT_NS
from agent.events import Actor
from agent.model import NS
from agent.station.layout import AgencyPaths
from tests.recorder_desk import Camera

MS = 1_000_000
LONG_S = 60
PERIOD_S = 4
"""Of the slowest light."""


def test_what_stands_still_is_told_within_two_seconds_however_seldom_it_looks() -> None:
    assert LIMIT_NS + 2 * REST_S * NS < 2 * NS


@pytest.mark.parametrize(
    ("moves", "rests_ns", "expected"),
    [
        (True, None, STEP_S),
        (True, 3 * NS, STEP_S),
        (False, None, REST_S),
        (False, 3 * NS, REST_S),
        (False, 50 * MS, 0.05),
        (False, 0, STEP_S),
    ],
)
def test_it_rests_until_something_changes(moves: bool, rests_ns: int | None, expected: float) -> None:
    assert pause_s(moves, rests_ns) == expected


@given(
    st.sampled_from(State),
    st.sampled_from(Delivery),
    st.booleans(),
    st.integers(0, 20 * NS),
    st.none() | st.integers(0, 20 * NS),
    st.integers(0, 40 * NS),
)
def test_no_light_changes_before_it_looks_again(
    state: State, delivery: Delivery, visits: bool, state_ns: int, alarm_ns: int | None, after_ns: int
) -> None:
    now_ns = max(state_ns, alarm_ns or 0) + after_ns
    shown = Shown(state, state_ns, alarm_ns=alarm_ns, delivery=delivery, visits=visits)
    rests_ns = status_changes_ns(shown, now_ns)

    def status(at_ns: int) -> bool:
        return levels(shown, Look(), at_ns, SILENCE).status

    until_ns = PERIOD_S * NS if rests_ns is None else rests_ns
    assert until_ns > 0
    steps = range(now_ns, now_ns + until_ns, 10 * MS)
    assert {status(at_ns) for at_ns in (*steps, now_ns + until_ns - 1)} == {status(now_ns)}
    if rests_ns is not None and len({status(at) for at in range(now_ns, now_ns + PERIOD_S * NS, 10 * MS)}) > 1:
        assert status(now_ns + rests_ns) is not status(now_ns)


def test_what_stirs_it_ends_a_rest_at_once_and_so_does_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.controls.looks.REST_S", LONG_S)
    looks, looked, rests = Looks(), threading.Semaphore(0), threading.Event()

    def look() -> None:
        while not looks.over(False, None):
            looked.release()
        rests.set()

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(3):
        looks.stir()
        assert looked.acquire(timeout=LONG_S / 2)
    looks.end()
    assert rests.wait(LONG_S / 2)
    thread.join()


def test_a_hand_a_contact_a_trigger_and_an_answer_stir_it(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stirred = list[Looks]()
    monkeypatch.setattr(Looks, "stir", lambda self: stirred.append(self))
    camera = Camera(agency, tmp_path, monkeypatch).start()
    camera.turns(1)
    for line in (Line.BUTTON, Line.DOCK, Line.TRIGGER):
        before = len(stirred)
        camera.panel.pull(line, True, camera.clock.now_ns)
        assert len(stirred) == before + 1
    before = len(stirred)
    camera.recorder.officer.stealth.turn(True, Actor.CTL, "dark")
    assert len(stirred) > before
    camera.recorder.close()


def test_a_panel_whose_look_fails_is_looked_at_often(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch).start()
    officer, rested = camera.recorder.officer, list[tuple[bool, int | None]]()

    def over(self: Looks, moves: bool, rests_ns: int | None) -> bool:
        rested.append((moves, rests_ns))
        return len(rested) == 4

    def step() -> Levels:
        if len(rested) == 2:
            raise RuntimeError("a defect")
        return Levels()

    monkeypatch.setattr(Looks, "over", over)
    monkeypatch.setattr(officer, "step", step)
    officer._hand.rests = True
    officer.start()
    assert officer._thread
    officer._thread.join(LONG_S)
    assert [moves for moves, _ in rested] == [True, False, True, False]
    camera.recorder.close()
