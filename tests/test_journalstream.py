"""What a daemon says of itself: nobody who reads it, or does not, stops a recording."""

from __future__ import annotations

import linecache
import logging
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.journalstream import AGAIN_NS, HEAD, JournalStream, is_the_journal

LOG = logging.getLogger("bodycam.test")


def record(message: str, *words: object, err: BaseException | None = None) -> logging.LogRecord:
    told = (type(err), err, err.__traceback__) if err else None
    return LOG.makeRecord(LOG.name, logging.WARNING, __file__, 1, message, words, told)


class Journald:
    """It listens as systemd's does, and reads when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.path, self.now_ns = folder / "stdout", 0
        self._listening = self._listen()
        self.said = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.said.connect(str(self.path))
        self._reading = self._listening.accept()[0]
        self.handler = JournalStream((self.said.fileno(),), self.said.fileno(), lambda: self.now_ns, self.path)

    def _listen(self) -> socket.socket:
        self.path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(self.path))
        listening.listen()
        return listening

    def say(self, *messages: str) -> None:
        for message in messages:
            self.handler.handle(record(message))

    def read(self) -> list[str]:
        data = bytearray()
        while select.select([self._reading], [], [], 0)[0] and (more := self._reading.recv(1 << 16)):
            data += more
        return data.decode().splitlines()

    def dies(self) -> None:
        self._reading.close()
        self._listening.close()

    def comes_back(self) -> None:
        self._listening = self._listen()

    def accept(self) -> None:
        self._listening.settimeout(0)
        self._reading = self._listening.accept()[0]

    def close(self) -> None:
        for one in (self._reading, self._listening, self.said):
            one.close()


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    made = Journald(tmp_path)
    yield made
    made.close()


def test_a_journal_that_does_not_read_keeps_nobody_waiting_and_then_is_told_how_much_it_missed(
    journald: Journald,
) -> None:
    messages = [f"{number} {'x' * 1000}" for number in range(1000)]
    journald.say(*messages)
    taken = journald.read()
    whole = [line for line in taken if line in messages]
    assert 10 < len(whole) < 900 and whole == messages[: len(whole)]
    journald.say("after it")
    cut = len(taken) - len(whole)
    assert journald.read()[cut:] == [f"{1000 - len(whole)} messages were left out: nobody took them", "after it"]
    journald.say("and on")
    assert journald.read() == ["and on"]


def test_what_was_cut_off_in_the_midst_has_a_line_of_its_own(journald: Journald) -> None:
    journald.say("y" * 600_000)
    (cut,) = journald.read()
    assert 0 < len(cut) < 600_000
    journald.say("after it")
    assert journald.read() == ["", "1 messages were left out: nobody took them", "after it"]


def test_a_journal_that_went_away_is_spoken_to_again_once_it_is_back(journald: Journald) -> None:
    journald.say("before")
    journald.dies()
    journald.say("lost", "lost", "lost")
    journald.comes_back()
    # It is not asked for with each message.
    journald.say("lost")
    journald.now_ns += AGAIN_NS
    journald.say("again")
    journald.accept()
    told = ["4 messages were left out: nobody took them", "again"]
    assert journald.read() == HEAD.decode().splitlines() + told
    # A library that writes to standard error by itself is heard as well.
    os.write(journald.said.fileno(), b"by a library\n")
    assert journald.read() == ["by a library"]
    assert not os.get_blocking(journald.said.fileno())


def test_a_reader_that_is_no_journal_keeps_nobody_waiting_either() -> None:
    """The desk's recorder writes into a pipe or a file."""
    reading, writing = os.pipe()
    try:
        handler = JournalStream((), writing)
        for _ in range(100):
            handler.handle(record("z" * 5000))
        assert os.get_blocking(writing), "it may be somebody else's too"
    finally:
        os.close(reading)
    try:
        handler.handle(record("z" * 5000))
    finally:
        os.close(writing)


def test_a_traceback_is_told_without_a_look_at_the_card(journald: Journald, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(*_: object) -> list[str]:
        raise AssertionError("this would be read from a card that may not answer")

    try:
        try:
            raise OSError(5, "Input/output error")
        except OSError as err:
            raise ValueError("no picture") from err
    except ValueError as err:
        failed = record("%s failed", "the panel", err=err)
    with monkeypatch.context() as patched:
        patched.setattr(linecache, "getlines", hangs)
        journald.handler.handle(failed)
    journald.handler.handle(record("%d pictures", "many"))
    first, *rest, unmade = journald.read()
    assert (first, rest[1], rest[-1]) == (
        "the panel failed",
        "OSError: [Errno 5] Input/output error",
        "ValueError: no picture",
    )
    assert all(line.startswith(f"  {__file__}:") for line in rest[::2])
    assert unmade.startswith("bodycam.test:") and unmade.endswith("TypeError")


CHILD = """
import logging, os, sys
from agent.journalstream import install
install(logging.WARNING)
for number in range(3000):
    logging.getLogger("bodycam").warning("%d %s", number, "x" * 1000)
try:
    for number in range(3000):
        os.write(2, b"y" * 1000)
except BlockingIOError:
    print("done")
"""


def test_a_daemon_under_systemd_waits_for_nobody_who_does_not_read() -> None:
    ours, its = socket.socketpair()
    with ours, its:
        stream = os.fstat(its.fileno())
        environment = {**os.environ, "JOURNAL_STREAM": f"{stream.st_dev}:{stream.st_ino}"}
        assert is_the_journal(its.fileno(), environment) and not is_the_journal(ours.fileno(), environment)
        done = subprocess.run(
            [sys.executable, "-c", CHILD],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=its.fileno(),
            timeout=60,
            check=True,
        )
        assert done.stdout == b"done\n"
