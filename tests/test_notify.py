"""What is said to the supervisor comes as it is, and one that does not listen holds up nobody."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agent import notify
from agent.formats import leaf
from agent.headway import gone_on
from agent.model import NS
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.camera_kit import FakeClock
from tests.recorder_desk import Camera


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield made


def test_a_word_comes_as_it_is(supervisor: socket.socket) -> None:
    notify.notify("STATUS=recording")
    assert supervisor.recv(100) == b"STATUS=recording"


@pytest.mark.parametrize("word", ["WATCHDOG=1", notify.READY])
def test_a_supervisor_that_takes_nothing_holds_up_nobody(
    supervisor: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, word: str
) -> None:
    monkeypatch.setattr(notify, "WORD_S", 0.01)
    monkeypatch.setattr(notify, "READY_S", 0.02)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others, suppress(BlockingIOError):
        others.setblocking(False)
        while True:
            others.sendto(b"STATUS=", supervisor.getsockname())
    with caplog.at_level(logging.WARNING):
        notify.notify(word)
    assert f"did not take {word} within 0.0{'2' if word == notify.READY else '1'} s" in caplog.text


def test_a_start_that_gets_on_moves_its_end_with_what_is_done_and_by_nothing_else(supervisor: socket.socket) -> None:
    clock, beats = FakeClock(), list[int]()
    supervisor.setblocking(False)
    with notify.supervised(clock, beats.append):
        clock.now_ns += 600 * NS
        with pytest.raises(BlockingIOError):
            supervisor.recv(100)
        for piece in range(11):
            gone_on()
            if piece % 5 == 0:
                assert supervisor.recv(100) == b"EXTEND_TIMEOUT_USEC=%d" % (notify.EXTEND_S * 1_000_000)
            with pytest.raises(BlockingIOError):
                supervisor.recv(100)
            clock.now_ns += NS
    gone_on()
    assert len(beats) == 11, "after it, nothing is told"
    with pytest.raises(BlockingIOError):
        supervisor.recv(100)


def test_recovery_of_any_length_tells_of_each_piece_until_it_is_ready(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sync and each entry that is read takes 20 s, on a card that was cut in a recording."""
    clock, told = FakeClock(), list[int]()
    camera = Camera(agency, tmp_path, monkeypatch, clock=clock).start()
    camera.ticks(1)
    camera.recorder._record("button")
    camera.muxers[-1].give(8)
    camera.ticks(1)
    camera.drop(power=True)

    def takes(real: Callable[..., Any]) -> Callable[..., Any]:
        def slow(*arguments: Any) -> Any:
            clock.now_ns += 20 * NS
            return real(*arguments)

        return slow

    monkeypatch.setattr(os, "fsync", takes(os.fsync))
    monkeypatch.setattr(os, "fdatasync", takes(os.fdatasync))
    monkeypatch.setattr(leaf, "parse", takes(leaf.parse))
    monkeypatch.setattr(notify, "notify", lambda word: told.append(clock.now_ns) if "EXTEND" in word else None)
    begun_ns = clock.now_ns
    camera = Camera(agency, tmp_path, monkeypatch, clock=clock).start()
    within = [after - before for before, after in pairwise([begun_ns, *told, clock.now_ns])]
    assert clock.now_ns - begun_ns > 600 * NS and max(within) < notify.EXTEND_S * NS
    assert camera.is_(State.READY)
    camera.recorder.close()
