"""The guard beside the recorder: where nobody comes any more to put the lights out, they do, and an alarm is felt."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.controls import guard
from agent.controls.guard import Guard
from agent.controls.machine import State
from agent.controls.patterns import ALARM, Levels, Look, Shown, Strength, levels
from agent.controls.sounding import SILENCE
from agent.model import NS

LOUD, COVERT = Look(), Look(light=False, tone=False)
LIT = Levels(light=True)
OUTPUTS = """
import os, sys
from agent.controls import guard
path = {path!r}
def show(levels):
    with open(path + ".new", "w") as file:
        file.write(repr((levels.light, levels.buzz)))
    os.rename(path + ".new", path)
guard.watch(0, show)
"""
"""A guard whose lights are a file."""
RECORDER = """
import sys, time
from agent.controls.guard import Guard
from agent.controls.patterns import Look
guard = Guard({"light": 0}, False, (sys.executable, "-c", sys.argv[1]))
while True:
    if guard.feed(Look(), {loading}):
        print(guard.pid, flush=True)
    time.sleep(0.02)
"""


def until(is_so: Callable[[], bool], deadline_s: float) -> None:
    end = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


class Watching:
    """`watch` in a thread, and what it showed."""

    def __init__(self) -> None:
        end, self.feed = os.pipe()
        self.seen: list[tuple[float, Levels]] = []
        self.thread = threading.Thread(target=guard.watch, args=(end, self._show), daemon=True)
        self.thread.start()

    def _show(self, shown: Levels) -> None:
        self.seen.append((time.monotonic(), shown))

    def say(self, look: Look) -> None:
        """Returns once it is heard."""
        os.write(self.feed, guard._word(look, loading=False))
        until(lambda: fcntl.ioctl(self.feed, termios.FIONREAD, bytes(4)) == bytes(4), 10)

    def end(self) -> None:
        os.close(self.feed)
        self.thread.join(5)
        assert not self.thread.is_alive()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SLICES", 1)


@pytest.mark.parametrize("look", [LOUD, COVERT, Look(vibration=Strength.STRONG), Look(False, False, Strength.OFF)])
def test_every_look_is_one_byte(look: Look) -> None:
    for slices in (guard.SLICES, guard.START_SLICES):
        word = guard._word(look, slices == guard.START_SLICES)
        assert len(word) == 1
        assert guard._heard(word[0]) == (Look(look.light, look.tone, look.vibration, 0), slices)


@pytest.mark.usefixtures("quick")
def test_it_shows_nothing_while_words_come_nor_before_the_first_one() -> None:
    watching = Watching()
    time.sleep(0.3)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        watching.say(LOUD)
        time.sleep(0.01)
    assert watching.seen == []
    watching.end()
    assert [shown for _, shown in watching.seen] == [Levels()], "at its end everything is off"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("look", [LOUD, COVERT], ids=["loud", "covert"])
def test_where_no_word_comes_any_more_it_is_an_alarm_until_one_does(look: Look) -> None:
    watching = Watching()
    silent = time.monotonic()
    watching.say(look)
    until(lambda: bool(watching.seen) and time.monotonic() - watching.seen[0][0] > sum(ALARM.ms[:3]) / 1000 + 0.1, 10)
    watching.say(look)
    seen = watching.seen.copy()
    for _ in range(20):
        watching.say(look)
        time.sleep(0.01)
    assert watching.seen == seen, "somebody is there again, who shows what is so"
    assert 0.1 <= seen[0][0] - silent < 0.5
    assert not any(shown.light for _, shown in seen), "nobody says any more that anything is durable"
    felt = [at for at, shown in seen if shown.buzz]
    assert felt[0] == seen[0][0] and abs(felt[-1] - felt[0] - sum(ALARM.ms[:3]) / 1000) < 0.3
    assert any(shown.status for _, shown in seen) is look.light is any(shown.tone for _, shown in seen)
    watching.end()


@pytest.mark.parametrize(
    ("loading", "slices", "took_over"),
    [
        (False, guard.SLICES - 1, False),
        (False, guard.SLICES, True),
        (True, guard.SLICES, False),
        (True, guard.START_SLICES - 1, False),
        (True, guard.START_SLICES, True),
    ],
)
def test_a_machine_that_stood_still_as_a_whole_is_no_recorder_that_did(
    monkeypatch: pytest.MonkeyPatch, loading: bool, slices: int, took_over: bool
) -> None:
    """However long a slice was by the clock: what is counted is how often the guard came and found nothing."""
    now = itertools.count(0, 10 * NS)
    monkeypatch.setattr("time.monotonic_ns", lambda: next(now))
    end, feed = os.pipe()
    script = [True, *[False] * slices, True]
    seen: list[Levels] = []

    def select(*_: object) -> tuple[list[int], list[int], list[int]]:
        if not script:
            os.close(feed)
        elif script.pop(0):
            os.write(feed, guard._word(LOUD, loading))
        else:
            return [], [], []
        return [end], [], []

    monkeypatch.setattr("select.select", select)
    guard.watch(end, seen.append)
    assert [shown.buzz for shown in seen] == [True] * took_over + [False]


@pytest.mark.parametrize(
    ("shown", "alone"),
    [
        (Shown(State.RECORDING, 0, durable=True), Look(reminder_s=0)),
        (Shown(State.RECORDING, 0, durable=True, stealth=True), Look(False, False, reminder_s=0)),
        (Shown(State.DOCKED, 0), Look(True, False, Strength.OFF, 0)),
        (Shown(State.SLEEPING, 0), Look(True, False, Strength.OFF, 0)),
    ],
    ids=["worn", "stealth", "docked", "asleep"],
)
def test_what_it_may_show_is_what_the_camera_would(shown: Shown, alone: Look) -> None:
    assert levels(shown, Look(), 0, SILENCE).alone == alone
    covert = levels(shown, Look(False, False, Strength.STRONG), 0, SILENCE).alone
    assert covert is not None and not covert.light and not covert.tone


# -- the process ---------------------------------------------------------------------------------------------------


@pytest.fixture
def lights(tmp_path: Path) -> Callable[[], str]:
    return lambda: (tmp_path / "lights").read_text() if (tmp_path / "lights").exists() else ""


@pytest.fixture
def command(tmp_path: Path) -> str:
    return OUTPUTS.format(path=str(tmp_path / "lights"))


@pytest.fixture
def recorder(command: str) -> Iterator[subprocess.Popen[bytes]]:
    with running(command, loading=False) as process:
        yield process


@contextmanager
def running(command: str, loading: bool) -> Iterator[subprocess.Popen[bytes]]:
    program = [sys.executable, "-c", RECORDER.replace("{loading}", str(loading)), command]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        assert process.stdout
        while b"None" in process.stdout.readline():
            pass
        yield process
        process.kill()


def test_a_process_that_was_stopped_is_told_within_two_seconds(
    recorder: subprocess.Popen[bytes], lights: Callable[[], str]
) -> None:
    time.sleep(1)
    assert not lights()
    stopped = time.monotonic()
    recorder.send_signal(signal.SIGSTOP)
    until(lambda: lights() == "(False, True)", 10)
    assert time.monotonic() - stopped < 2
    recorder.send_signal(signal.SIGCONT)
    recorder.kill()
    until(lambda: lights() == "(False, False)", 10)


def test_one_that_loads_libraries_may_take_its_time_and_is_told_where_it_hangs_all_the_same(
    command: str, lights: Callable[[], str]
) -> None:
    """A driver's library that comes from a slow card lets no thread of Python have its turn."""
    quick = command.replace("guard.watch(", "guard.START_SLICES = 40\nguard.watch(")
    with running(quick, loading=True) as recorder:
        stopped = time.monotonic()
        recorder.send_signal(signal.SIGSTOP)
        until(lambda: lights() == "(False, True)", 20)
        assert time.monotonic() - stopped > 3, "not after what is too long for one that has started"


def test_that_it_has_started_is_said_at_once() -> None:
    with closing(Guard({"light": 0}, False, (sys.executable, "-c", "import sys; sys.stdin.read()"))) as made:
        assert made.feed(LOUD, loading=True) and not made.feed(LOUD, loading=True)
        assert made.feed(LOUD) and not made.feed(LOUD)


def test_one_that_ends_is_begun_again_and_one_that_hangs_is_ended_with_its_panel(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(guard, "AGAIN_NS", 0)
    monkeypatch.setattr(guard, "ENDS_S", 0.2)
    with closing(Guard({"light": 0}, False, (sys.executable, "-c", command))) as made:
        assert made.pid is None and made.feed(LOUD)
        first = made.pid
        assert first and not made.feed(LOUD), "it was said a moment ago"
        os.kill(first, signal.SIGKILL)
        until(lambda: made.feed(LOUD) and made.pid not in (None, first), 10)
        second = made.pid
        assert second
        os.kill(second, signal.SIGSTOP)
        for _ in range(3):
            time.sleep(0.2)
            made.feed(LOUD)
    assert made.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_who_goes_dark_is_not_betrayed_by_the_word_before() -> None:
    """What may be shown is said at once where it changes, and not with the next turn."""
    with closing(Guard({"light": 0}, False, (sys.executable, "-c", "import sys; sys.stdin.read()"))) as made:
        assert made.feed(LOUD) and not made.feed(LOUD)
        assert made.feed(COVERT) and not made.feed(COVERT)


def test_without_lines_there_is_nothing_to_guard() -> None:
    made = Guard({}, False)
    assert not made.feed(LOUD) and made.pid is None
    made.close()


def test_a_guard_that_cannot_be_begun_costs_nothing_else() -> None:
    with closing(Guard({"light": 0}, False, ("/no/such/program",))) as made:
        assert made.feed(LOUD) and made.pid is None


def test_nor_does_one_for_which_no_file_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pipe", none_left)
    with closing(Guard({"light": 0}, False)) as made:
        assert made.feed(LOUD) and made.pid is None
