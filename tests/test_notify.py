"""What is said to the supervisor comes as it is, and one that does not listen holds up nobody."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent import notify


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
