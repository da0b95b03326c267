"""How a test talks to the guest: one shell script a line, base64, and one answer a line, over its serial line."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any


class MachineError(RuntimeError):
    """The machine is off, does not start, or does not answer."""


class Rebooted(MachineError):
    """The guest started anew while a command ran."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a script printed on both outputs, and its exit status."""

    output: str
    status: int

    @property
    def ok(self) -> bool:
        return self.status == 0


@dataclass(frozen=True, slots=True)
class Hello:
    """The guest's shell is there, in this boot."""

    boot: str


SEND_S = 60.0
LONGEST = 3_000
"""Of a line. User-mode Linux's serial line stays deaf once its terminal's 4,096 bytes were full."""


def request(token: str, script: str) -> list[bytes]:
    """The lines that ask for `script`; each but the last has another token, and is answered before the next is sent."""
    text = base64.b64encode(script.encode()).decode()
    pieces = [text[begin : begin + LONGEST] for begin in range(0, len(text), LONGEST)] or [""]
    names = [f"{token}+"] * (len(pieces) - 1) + [token]
    return [f"{name} {piece}\n".encode() for name, piece in zip(names, pieces, strict=True)]


def read(line: str, token: str) -> Answer | Hello | None:
    """What a line says; None where it is noise, or the answer to something else. A boot may begin in mid-line."""
    words = line.split()
    if len(words) >= 2 and words[-2].endswith("HELLO"):
        return Hello(words[-1])
    if len(words) not in (2, 3) or words[0] != token or not words[1].isdecimal():
        return None
    try:
        output = base64.b64decode(words[2], validate=True) if len(words) == 3 else b""
    except binascii.Error:
        return None
    return Answer(output.decode("utf-8", "replace"), int(words[1]))


class Channel:
    """The serial line's end here. Raises MachineError, Rebooted, TimeoutError."""

    def __init__(self, end: socket.socket) -> None:
        self._socket, self._buffer, self._count = end, b"", 0
        self.boot: str | None = None

    def close(self) -> None:
        self._socket.close()

    def wait_hello(self, deadline: float) -> None:
        """Until a guest that was not known says that it is there; `deadline` on time.monotonic()."""
        while True:
            said = read(self._line(deadline), "")
            if isinstance(said, Hello) and said.boot != self.boot:
                self.boot = said.boot
                return

    def send(self, script: str) -> str:
        """Ask, and do not wait; returns the token that `answer` takes."""
        self._count += 1
        token = f"T{self._count}"
        *first, last = request(token, script)
        for line in first:
            self._write(line)
            self.answer(f"{token}+", SEND_S)
        self._write(last)
        return token

    def _write(self, line: bytes) -> None:
        try:
            self._socket.settimeout(SEND_S)
            self._socket.sendall(line)
        except OSError as err:
            raise MachineError(f"the machine does not listen: {err}") from err

    def answer(self, token: str, timeout_s: float) -> Answer:
        deadline = time.monotonic() + timeout_s
        while True:
            said = read(self._line(deadline), token)
            if isinstance(said, Answer):
                return said
            if isinstance(said, Hello) and said.boot != self.boot:
                self.boot = said.boot
                raise Rebooted("the guest started anew during the command")

    def _line(self, deadline: float) -> str:
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer from the guest")
            self._socket.settimeout(left)
            try:
                piece = self._socket.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError as err:
                raise MachineError(f"the machine is off: {err}") from err
            if not piece:
                raise MachineError("the machine is off")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("ascii", "replace").strip()


@dataclass(frozen=True, slots=True)
class Tick:
    """The guest's CLOCK_MONOTONIC, and this machine's when that came in."""

    guest_ns: int
    here_ns: int


TICKS_KEPT = 500
"""Ten seconds of them."""


class Ticks:
    """The guest's clock as it told it last, fifty times a second; and what guest_witness.py, where it runs, said of the
    recorder.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._last: Tick | None = None
        self._told: dict[str, Any] = {}
        self._guest_ns: deque[int] = deque(maxlen=TICKS_KEPT)
        self._thread = threading.Thread(target=self._follow, name="ticks", daemon=True)
        self._thread.start()

    def last(self) -> Tick | None:
        return self._last

    def told(self) -> dict[str, Any]:
        """The newest; empty before the first."""
        return self._told

    def newest_ns(self) -> tuple[int, ...]:
        """The last ones, on the guest's clock; once the machine is off."""
        return tuple(self._guest_ns)

    def at_the_end(self) -> Tick | None:
        """Once the machine is off: what it said last, all of it read."""
        self._thread.join(10)
        self._socket.close()
        return self._last

    def _follow(self) -> None:
        pending = b""
        while True:
            try:
                piece = self._socket.recv(1 << 16)
            except OSError:
                return
            if not piece:
                return
            now_ns = time.monotonic_ns()
            *lines, pending = (pending + piece).split(b"\n")
            for line in map(bytes.strip, lines):
                if line.isdigit():
                    self._last = Tick(int(line) * 1_000_000, now_ns)
                    self._guest_ns.append(self._last.guest_ns)
                elif line.startswith(b"{"):
                    # A boot, or the change from one teller to the other, may begin in mid-line.
                    with contextlib.suppress(ValueError):
                        self._told = json.loads(line)
