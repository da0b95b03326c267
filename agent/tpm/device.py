"""The one file that touches a TPM: a character device of the kernel (with its resource manager), or the socket of a
software TPM (swtpm), which is the twin.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from agent.errors import DeviceError, reason
from agent.headway import gone_on
from agent.tpm import wire

MAX_RESPONSE = 4096
ANSWER_S = 10.0
"""A TPM takes a second or two to make a key, and a tenth of one to sign."""
AGAIN_S = 5.0
PAUSE_S = 0.05


class Channel(Protocol):
    """One command out, its whole response back. Raises OSError."""

    def exchange(self, command: bytes) -> bytes: ...
    def close(self) -> None: ...


class _Character:
    """/dev/tpmrm0: one write(2) a command, one read(2) a response (Documentation/security/tpm)."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)

    def exchange(self, command: bytes) -> bytes:
        os.write(self._fd, command)
        ready, _, _ = select.select([self._fd], [], [], ANSWER_S)
        if not ready:
            raise TimeoutError(f"no answer within {ANSWER_S:.0f} s")
        return os.read(self._fd, MAX_RESPONSE)

    def close(self) -> None:
        os.close(self._fd)


class _Socket:
    """A stream socket that carries bare commands and responses: `swtpm socket --server type=unixio`."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(ANSWER_S)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def exchange(self, command: bytes) -> bytes:
        self._socket.sendall(command)
        head = self._receive(10)
        size = int.from_bytes(head[2:6], "big")
        return head + self._receive(min(size, MAX_RESPONSE) - 10)

    def _receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            if not piece:
                raise ConnectionResetError("it hung up")
            data += piece
        return data

    def close(self) -> None:
        self._socket.close()


def connect(path: Path) -> Channel:
    """Raises OSError."""
    mode = path.stat().st_mode
    if stat.S_ISCHR(mode):
        return _Character(path)
    if stat.S_ISSOCK(mode):
        return _Socket(path)
    raise OSError("it is neither a device nor a socket")


class Tpm:
    """A TPM that is opened for each piece of work and let go of after it: others may want it too, and one that was
    away is there again. Thread-safe.
    """

    def __init__(self, path: Path, connect: Callable[[Path], Channel] = connect) -> None:
        self.path, self._connect = path, connect
        self._lock = threading.Lock()

    @contextmanager
    def session(self) -> Iterator[TpmSession]:
        """Raises DeviceError where there is no TPM."""
        with self._lock:
            try:
                channel = self._connect(self.path)
            except OSError as err:
                raise DeviceError(
                    f"no TPM at {self.path}: {reason(err)}",
                    "check sealing.tpm_device (provision: --tpm-device), that the kernel has a driver for it, and "
                    "that this user is in its group",
                ) from err
            try:
                yield TpmSession(self.path, channel)
            finally:
                channel.close()


class TpmSession:
    """Commands to an open TPM."""

    def __init__(self, path: Path, channel: Channel) -> None:
        self._path, self._channel = path, channel

    def try_run(self, command: bytes) -> tuple[int, bytes]:
        """(response code, body), after waiting for a TPM that asks for patience. Raises DeviceError."""
        deadline = time.monotonic() + AGAIN_S
        while True:
            try:
                code, body = wire.response(self._channel.exchange(command))
            except OSError as err:
                raise DeviceError(f"the TPM at {self._path} fails: {reason(err)}", "check the device") from err
            gone_on()
            if code not in wire.AGAIN or time.monotonic() >= deadline:
                return code, body
            time.sleep(PAUSE_S)

    def run(self, command: bytes, doing: str) -> bytes:
        """The body of the response. Raises DeviceError where the TPM refuses."""
        code, body = self.try_run(command)
        if code:
            raise wire.refusal(code, doing)
        return body
