"""The uploader's signs of life: given by its work, seen by the recorder as a lock that goes with the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.dock.outgoing import Outgoing
from agent.dock.presence import SyntheticPresence
from agent.dock.report import Inbox, State
from agent.dock.turns import LOCK, Turns
from agent.formats.seal import SealRecord
from agent.model import NS
from agent.spool import sender
from agent.uploader import OpenStation, Uploader
from tests.camera_kit import Desk, FakeClock

NAME = "e0000000000-00000000"


class Time:
    now_ns = 100 * NS

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def told() -> list[str]:
    return []


def test_both_sides_mean_the_same_file() -> None:
    assert sender.LOCK == LOCK


def test_the_lock_is_held_from_the_first_turn_until_the_end(tmp_path: Path, told: list[str]) -> None:
    turns = Turns(tmp_path, Time(), told.append)
    assert sender.lives(tmp_path) is None
    turns.turn()
    assert sender.lives(tmp_path) is True and sender.lives(tmp_path) is True
    turns.close()
    turns.close()
    assert sender.lives(tmp_path) is False
    assert (tmp_path / LOCK).read_bytes() == b""


def test_turns_are_told_once_a_second(tmp_path: Path, told: list[str]) -> None:
    time = Time()
    turns = Turns(tmp_path, time, told.append)
    for _ in range(40):
        turns.turn()
        time.now_ns += NS // 10
    assert told == ["WATCHDOG=1"] * 4


def test_a_lock_that_somebody_took_away_is_made_anew(tmp_path: Path, told: list[str]) -> None:
    time = Time()
    turns = Turns(tmp_path, time, told.append)
    turns.turn()
    (tmp_path / LOCK).unlink()
    time.now_ns += NS
    turns.turn()
    assert sender.lives(tmp_path) is True


@pytest.mark.parametrize("plant", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)])
def test_what_is_no_file_is_no_uploader_and_stops_none(
    plant: Callable[[Path], None], tmp_path: Path, told: list[str]
) -> None:
    plant(tmp_path / LOCK)
    Turns(tmp_path, Time(), told.append).turn()
    assert sender.lives(tmp_path) is False
    assert told == ["WATCHDOG=1"]


def test_no_directory_no_disk_and_no_supervisor_stop_nothing(tmp_path: Path) -> None:
    def refuse(message: str) -> None:
        raise OSError(message)

    Turns(tmp_path / "gone", Time(), refuse).turn()
    assert sender.lives(tmp_path / "gone") is None


def test_whatever_the_work_tells_is_a_turn(tmp_path: Path) -> None:
    turns: list[None] = []
    inbox = Inbox(tmp_path, Time(), lambda: turns.append(None))
    inbox.seen((SealRecord(NAME, 1000, "0" * 64, 0, 1, None, 0),))
    inbox.tell(State.UPLOADING)
    inbox.offset(NAME, 400)
    inbox.tell(State.UPLOADING)
    assert len(turns) == 4


@pytest.mark.parametrize("docked", [False, True])
def test_an_uploader_that_waits_takes_turns(desk: Desk, docked: bool) -> None:
    """Out of the dock it looks around; in it, here, it waits at random before it asks for anything."""
    stop, enough, turns = threading.Event(), threading.Event(), []

    def turn() -> None:
        turns.append(None)
        if len(turns) >= 4:
            enough.set()
            stop.set()

    inbox = Inbox(desk.spool.inbox_dir, Time(), turn)
    presence = SyntheticPresence(docked)
    made = Uploader(Outgoing(desk.root), inbox, presence, nobody, FakeClock(), 1, spread_s=1e9)
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    assert enough.wait(30)
    thread.join(30)
    assert not thread.is_alive()


def nobody(halt: threading.Event) -> OpenStation:
    raise AssertionError("nothing was to be asked of a station")
