"""The loop: whatever fails in a turn is a fault and an answer, and the next turn comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import pytest

from agent import loop as loops
from agent.errors import AgentError, DeviceError, StorageError, UnheardError, UsageError
from agent.journal import Faults
from agent.loop import Loop
from agent.model import NS
from tests.camera_kit import FakeClock


class Running:
    """A loop on a thread of its own, counting its ticks."""

    def __init__(self) -> None:
        self.said: list[Mapping[str, Any]] = []
        self.clock = FakeClock()
        self.faults = Faults(lambda event: self.said.append(event.body()), self.clock)
        self.loop = Loop(self.faults, self.clock)
        self.ticked = threading.Semaphore(0)
        self._thread = threading.Thread(target=self.loop.run, args=(self.ticked.release,))

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def running() -> Iterator[Running]:
    with Running() as made:
        yield made


def fails(error: BaseException) -> Any:
    def action() -> Any:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (StorageError("no space"), "no space"),
        (OSError(5, "Input/output error"), "OSError: Input/output error"),
        (ValueError("a defect"), "ValueError: a defect"),
        (AssertionError(), "AssertionError: AssertionError"),
    ],
)
def test_what_fails_is_a_fault_until_it_succeeds(running: Running, error: Exception, shown: str) -> None:
    with pytest.raises(type(error)):
        running.loop.ask("retention", fails(error))
    running.loop.ask("other", dict)
    assert running.faults.shown() == {"retention": shown}
    assert running.loop.ask("retention", lambda: {"deleted": 1}) == {"deleted": 1}
    running.loop.ask("other", dict)
    assert running.faults.shown() == {}


def test_a_wrong_request_is_no_fault_and_clears_none(running: Running) -> None:
    with pytest.raises(AgentError):
        running.loop.ask("media", fails(StorageError("lost")))
    with pytest.raises(UsageError):
        running.loop.ask("media", fails(UsageError("nothing is being recorded")))
    running.loop.ask("other", dict)
    assert running.faults.shown() == {"media": "lost"}


def test_a_tick_that_fails_is_followed_by_others() -> None:
    running, ticks = Running(), threading.Semaphore(0)

    def tick() -> None:
        ticks.release()
        raise ValueError("a defect")

    thread = threading.Thread(target=running.loop.run, args=(tick,))
    thread.start()
    assert ticks.acquire(timeout=30)
    assert ticks.acquire(timeout=30)
    running.loop.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert running.faults.shown() == {"recorder": "ValueError: a defect"}


def test_ticks_come_however_much_is_asked(running: Running) -> None:
    over = threading.Event()

    def again() -> None:
        if not over.is_set():
            running.loop.post("busy", again)

    running.loop.post("busy", again)
    for _ in range(3):
        assert running.ticked.acquire(timeout=30)
    over.set()


def test_a_turn_that_does_not_come_is_said_and_never_comes_later(
    monkeypatch: pytest.MonkeyPatch, running: Running
) -> None:
    """Who was told that nothing happened may have asked for something else since."""
    monkeypatch.setattr(loops, "ANSWER_S", 0.1)
    go, done = threading.Event(), list[str]()
    running.loop.post("slow", lambda: go.wait(30))
    with pytest.raises(DeviceError, match="did not act within"):
        running.loop.ask("other", lambda: {"did": done.append("record")})
    go.set()
    monkeypatch.setattr(loops, "ANSWER_S", 30)
    running.loop.ask("other", dict)
    assert done == []


def test_a_turn_that_takes_too_long_is_said_so(monkeypatch: pytest.MonkeyPatch, running: Running) -> None:
    monkeypatch.setattr(loops, "ANSWER_S", 0.1)
    go = threading.Event()
    with pytest.raises(DeviceError, match="not done after"):
        running.loop.ask("slow", lambda: {"went": go.wait(30)})
    go.set()


@pytest.mark.parametrize("asks", ["ask", "wait"])
def test_what_has_no_turn_before_the_loop_ends_is_told_at_once(running: Running, asks: str) -> None:
    """Whoever waits then need not wait until it is late; who comes after it neither."""
    begun, goes_on, told = threading.Event(), threading.Event(), list[str]()

    def turn() -> None:
        begun.set()
        assert goes_on.wait(30)

    def asking() -> None:
        with pytest.raises(UnheardError) as unheard:
            getattr(running.loop, asks)("mark", fails(AssertionError("done all the same")))
        told.append(unheard.value.message)

    running.loop.post("media", turn)
    assert begun.wait(30)
    waits = threading.Thread(target=asking)
    waits.start()
    while running.loop._queue.empty() and waits.is_alive():
        waits.join(0.01)
    running.loop.stop()
    goes_on.set()
    waits.join(30)
    asking()
    assert len(told) == 2 and "is stopping" in told[0]
    assert running.faults.shown() == {}


def test_a_fault_that_cannot_be_told_ends_nothing(monkeypatch: pytest.MonkeyPatch, running: Running) -> None:
    monkeypatch.setattr(running.faults, "raised", fails(ValueError("a defect of the faults")))
    with pytest.raises(StorageError):
        running.loop.ask("media", fails(StorageError("lost")))
    assert running.loop.ask("other", lambda: {"still": "there"}) == {"still": "there"}


def test_a_step_that_failed_rests_two_seconds() -> None:
    running = Running()
    tries = []

    def action() -> None:
        tries.append(running.clock.now_ns)
        raise StorageError("refused")

    for _ in range(24):
        running.loop.step("delivery", action)
        running.clock.now_ns += NS // 4
    assert len(tries) == 3
    assert min(b - a for a, b in pairwise(tries)) >= 2 * NS


def test_what_is_asked_comes_between_ticks_that_take_long() -> None:
    """A lens that is looked for, or a disk that is slow, may keep each tick longer than the time between two."""
    running, slow = Running(), threading.Event()

    def tick() -> None:
        slow.wait(2 * loops.TICK_S)

    thread = threading.Thread(target=running.loop.run, args=(tick,))
    thread.start()
    assert running.loop.ask("dock", lambda: {"docked": True}) == {"docked": True}
    running.loop.stop()
    slow.set()
    thread.join(30)
    assert not thread.is_alive()
