"""A herd of cameras at one station that is overrun: told the same, they come back at different moments."""

from __future__ import annotations

import heapq
import random
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from agent.dock.outgoing import Outgoing
from agent.dock.station import TryAgainError
from agent.dock.visit import FULL_JITTER, Visit
from agent.formats.seal import SealRecord
from tests.camera_kit import Desk, FakeClock
from tests.dock.test_visit import Ending, ScriptedStation, many, no_trouble

CAMERAS, SLOTS = 40, 8
SEND_S = 0.3
RETRY_AFTER_S = 5.0


class Times:
    """Simulated time that threads share: one at a time runs, the one that is due first."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._due: list[tuple[float, int, threading.Event]] = []
        self._lock = threading.Lock()
        self._number = 0

    def wait(self, seconds: float) -> None:
        turn = self.queue(self.now_s + seconds)
        self.next()
        turn.wait()

    def queue(self, at_s: float) -> threading.Event:
        turn = threading.Event()
        with self._lock:
            self._number += 1
            heapq.heappush(self._due, (at_s, self._number, turn))
        return turn

    def next(self) -> None:
        """Whoever calls stands still from now on."""
        with self._lock:
            if not self._due:
                return
            self.now_s, _, turn = heapq.heappop(self._due)
        turn.set()


class Halt(threading.Event):
    """Waits in simulated time."""

    def __init__(self, times: Times) -> None:
        super().__init__()
        self._times = times

    def wait(self, timeout: float | None = None) -> bool:
        self._times.wait(timeout or 0.0)
        return self.is_set()


class Overrun:
    """A station that takes so many segments at a time, and tells everybody else the same."""

    def __init__(self, times: Times) -> None:
        self.asked: list[float] = []
        self.taken = 0
        self._times, self._busy = times, 0

    def send(self, on_done: Callable[[], None]) -> None:
        self.asked.append(self._times.now_s)
        if self._busy == SLOTS:
            raise TryAgainError("overrun", retry_after_s=RETRY_AFTER_S)
        self._busy += 1
        self._times.wait(SEND_S)
        self._busy -= 1
        self.taken += 1
        on_done()


class OneOf(ScriptedStation):
    """The same station as one camera sees it."""

    def __init__(self, overrun: Overrun) -> None:
        super().__init__(no_trouble)
        self._overrun = overrun

    def send(self, record: SealRecord, path: Path, on_offset: Callable[[int], None]) -> None:
        self._overrun.send(lambda: on_offset(record.size))


def herd(desk: Desk, root: Path) -> Overrun:
    """All of them docked at one instant, without the random wait before the first question: the worst there is."""
    times = Times()
    overrun, chance = Overrun(times), random.Random(5)
    threads = []
    for number in range(CAMERAS):
        (root / str(number)).mkdir()
        station, halt, begins = OneOf(overrun), Halt(times), times.queue(0.0)
        clock = FakeClock()
        inbox = Ending(root / str(number), clock, halt, 1000)
        made = Visit(Outgoing(desk.root), inbox, station, clock, 1, halt, FULL_JITTER, chance.uniform)

        def run(made: Visit = made, begins: threading.Event = begins) -> None:
            begins.wait()
            made.run()
            made.close()
            times.next()

        threads.append(threading.Thread(target=run))
        threads[-1].start()
    times.next()
    for thread in threads:
        thread.join(60)
    return overrun


def test_a_herd_that_was_told_the_same_comes_back_spread(
    desk: Desk, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(partial(random.setstate, random.getstate()))
    random.seed(5)
    many(desk, 1)
    (tmp_path / "herd").mkdir()
    overrun = herd(desk, tmp_path / "herd")
    assert overrun.taken == CAMERAS
    later = [at for at in overrun.asked if at > 0]
    assert min(later) >= RETRY_AFTER_S
    peak = max(Counter(int(at * 10) for at in later).values())
    assert peak <= 7
    assert len(overrun.asked) < 3 * CAMERAS
