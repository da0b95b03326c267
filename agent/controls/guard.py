"""Beside the recorder, a small process that holds the lines of its lights too, and takes them where nobody comes any
more: a recorder that was stopped as a whole, or whose threads all wait for one that does not let go, can put out
nothing. It is fed by the panel's thread, with what it may show then; it holds no key and opens nothing.

What it does it does to the very lines that the recorder asked the kernel for (linux/gpio.h,
GPIO_V2_LINE_SET_VALUES_IOCTL): it gets their open files. Where it ends, everything is as without it, and the next one
is begun.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.controls.machine import State
from agent.controls.patterns import Levels, Look, Shown, Strength, levels
from agent.controls.sounding import Sounding, follow
from agent.model import NS

LOG = logging.getLogger("bodycam.guard")
FEED_NS = NS // 5
SLICE_S, SLICES = 0.1, 14
"""So long after the last word it takes over: within two seconds of whatever stopped the recorder. In slices, since a
machine that stood still as a whole stops both: one slice is over then, and the word that waits is read in the next.
"""
START_SLICES = 100
"""So long until the lens was opened for the first time: a library of a driver or of the encoder, dozens of MiB, comes
from a card that may be slow and cold, and lets no thread of Python have its turn. Nothing is recorded before.
"""
STEP_S = 0.02
AGAIN_NS = 10 * NS
ENDS_S = 2.0
COMMAND = (sys.executable, "-m", "agent.controls.guard")
_SET_VALUES = 0xC010B40F
_LINE = "anon_inode:gpio-line"
_STRENGTHS = tuple(Strength)


def held_lines() -> set[int]:
    """The open files of this process that are lines of a GPIO chip."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}") == _LINE:
                found.add(int(name))
    return found


class Guard:
    """Of these lines, by what is on them. Begins with the first `feed`. From one thread."""

    def __init__(self, lines: Mapping[str, int], off: bool, command: tuple[str, ...] = COMMAND) -> None:
        """`off`: the level at which an output is off."""
        self._lines, self._off, self._command = dict(lines), off, command
        self._process: subprocess.Popen[bytes] | None = None
        self._feed = -1
        self._fed_ns = self._begun_ns = -AGAIN_NS
        self._word = b""

    @property
    def pid(self) -> int | None:
        """While it lives."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def feed(self, look: Look, loading: bool = False) -> bool:
        """Somebody is there; where nobody is any more, it may show this much. Five times a second it says so, and
        returns True: what is on should be written anew then, in case that it had taken over. `loading`: libraries are,
        or will be, before anything is recorded.
        """
        now_ns = time.monotonic_ns()
        # Who has just gone dark is not to be betrayed by the word before.
        word = _word(look, loading)
        if not self._lines or (now_ns - self._fed_ns < FEED_NS and word == self._word):
            return False
        self._fed_ns, self._word = now_ns, word
        if self.pid is None and now_ns - self._begun_ns >= AGAIN_NS:
            self._begun_ns = now_ns
            self._begin()
        # One that was stopped itself has a full pipe, one that ended a broken one.
        with contextlib.suppress(OSError):
            os.write(self._feed, word)
        return True

    def close(self) -> None:
        """It puts everything out, and ends."""
        self._hang_up()
        if self._process:
            try:
                self._process.wait(ENDS_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                # One that hangs in a driver ends with that: who switches off does not wait for it.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(ENDS_S)
            self._process = None

    def _begin(self) -> None:
        if self._process:
            LOG.warning("the guard of the lights ended with %s; the next one begins", self._process.returncode)
        self._hang_up()
        lines = [f"{name}={fd}" for name, fd in self._lines.items()]
        place = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        try:
            end, self._feed = os.pipe()
            os.set_blocking(self._feed, False)
            try:
                self._process = subprocess.Popen(
                    [*self._command, str(int(self._off)), *lines], stdin=end, pass_fds=self._lines.values(), env=place
                )
            finally:
                os.close(end)
        except OSError as err:
            LOG.warning("nobody guards the lights: %s", err)

    def _hang_up(self) -> None:
        feed, self._feed = self._feed, -1
        if feed >= 0:
            os.close(feed)


def _word(look: Look, loading: bool) -> bytes:
    return bytes([look.light | look.tone << 1 | _STRENGTHS.index(look.vibration) << 2 | loading << 4])


def _heard(word: int) -> tuple[Look, int]:
    """What may be shown, after how many slices without another word."""
    look = Look(bool(word & 1), bool(word & 2), _STRENGTHS[word >> 2 & 3], reminder_s=0)
    return look, START_SLICES if word & 16 else SLICES


def watch(feed: int, show: Callable[[Levels], None]) -> None:
    """Until `feed` ends: nothing, as long as words come; the alarm that is felt, heard and seen, where none has come
    for so many slices. At its end everything is off.
    """
    look: Look | None = None
    since_ns: int | None = None
    silent, patience = 0, SLICES
    sounding = Sounding()
    while True:
        if select.select([feed], [], [], SLICE_S if since_ns is None else STEP_S)[0]:
            said = os.read(feed, 4096)
            if not said:
                show(Levels())
                return
            (look, patience), since_ns, silent = _heard(said[-1]), None, 0
            continue
        silent += 1
        if look and silent >= patience:
            now_ns = time.monotonic_ns()
            if since_ns is None:
                since_ns, sounding = now_ns, Sounding()
            shown = Shown(State.FAULT, since_ns, alarm_ns=since_ns)
            sounding = follow(sounding, shown, look, now_ns)
            show(levels(shown, look, now_ns, sounding.on(now_ns, look)))


def main(arguments: list[str]) -> None:
    # Sent to all of a unit that stops: the recorder has its last seconds, and this waits for it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    off, lines = arguments[0] == "1", [line.split("=") for line in arguments[1:]]

    def show(levels: Levels) -> None:
        for name, line in lines:
            level = getattr(levels, name) is not off
            fcntl.ioctl(int(line), _SET_VALUES, struct.pack("=QQ", level, 1))

    watch(sys.stdin.fileno(), show)


if __name__ == "__main__":
    main(sys.argv[1:])
