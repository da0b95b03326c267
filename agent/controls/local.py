"""The local control socket: `bodycam-agent ctl` and the bench press the camera's buttons through it.

One JSON object a line, one answer a line, over a Unix stream socket. Only the recorder's own user and root may
speak (SO_PEERCRED, unix(7)).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.errors import AgentError, DeviceError, UsageError, of_status, reason

LOG = logging.getLogger("bodycam.control")
MAX_REQUEST = 16 << 10
"""A mark of 1,000 characters fits, each spelled with 12 bytes of JSON."""
IDLE_S = 5.0
MAX_AT_ONCE = 8
MAX_CONNECTIONS = 32
AGAIN_S = 0.2
BUSY = ("too many commands at once", "try again in a moment, or look at `ctl status`")
Answer = Callable[[dict[str, Any]], dict[str, Any]]


class ControlServer:
    """Listens on `path` and hands each request to `answer`, each on a thread of its own, so that a command which takes
    its time keeps nobody from the status. More than eight commands at once are told to come again; `status` is not.
    Raises DeviceError where it cannot listen.
    """

    def __init__(self, path: Path, answer: Answer) -> None:
        self._path, self._answer = path, answer
        self._stop = threading.Event()
        self._free = threading.BoundedSemaphore(MAX_AT_ONCE)
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            with _address(path) as address:
                self._listener.bind(address)
            path.chmod(0o600)
            self._listener.listen(2 * MAX_CONNECTIONS)
        except OSError as err:
            self._listener.close()
            raise DeviceError(f"control socket {path}: {err.strerror or err}", "correct control.socket") from err
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and remove the socket. Who still waits for an answer gets it as long as the process lives."""
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(IDLE_S + 1)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError as err:
                # No file descriptor is free, say: it passes, and a camera that nobody can stop helps nobody.
                if not self._stop.wait(AGAIN_S):
                    LOG.warning("the control socket: %s", reason(err))
                continue
            self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        if not self._connections.acquire(blocking=False):
            _refuse(connection)
            return
        try:
            threading.Thread(target=self._one, args=(connection,), name="control", daemon=True).start()
        except RuntimeError:
            self._connections.release()
            _refuse(connection)

    def _one(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError, ValueError):
                connection.settimeout(IDLE_S)
                _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
                if uid not in (0, os.getuid()):
                    _send(connection, {"ok": False, "error": f"user {uid} may not control this camera"})
                else:
                    _send(connection, self._reply(_read_line(connection)))
        finally:
            self._connections.release()

    def _reply(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise UsageError("a request is a JSON object")
            return {"ok": True, **self._in_turn(request)}
        except AgentError as err:
            return {"ok": False, "error": err.message, "hint": err.hint, "status": int(err.exit_status)}
        except (ValueError, RecursionError):
            return {"ok": False, "error": "not JSON", "status": 2}
        except Exception as err:
            LOG.exception("%s failed", line[:200])
            return {"ok": False, "error": f"{type(err).__name__}: {reason(err)}", "hint": "see the recorder's journal"}

    def _in_turn(self, request: dict[str, Any]) -> dict[str, Any]:
        """Commands that wait for a disk that stalls must not keep anybody from being told that it does."""
        if request.get("do") == "status":
            return self._answer(request)
        if not self._free.acquire(blocking=False):
            raise DeviceError(*BUSY)
        try:
            return self._answer(request)
        finally:
            self._free.release()


def _refuse(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        _send(connection, {"ok": False, "error": BUSY[0], "hint": BUSY[1], "status": int(DeviceError.exit_status)})


def _send(connection: socket.socket, reply: dict[str, Any]) -> None:
    connection.sendall(json.dumps(reply).encode() + b"\n")


def ask(path: Path, request: dict[str, Any], timeout_s: float = 10.0) -> dict[str, Any]:
    """One request to a running recorder. Raises DeviceError where none answers, and what it raised where it refuses."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            with _address(path) as address:
                connection.connect(address)
            # Who may not control the camera is told so before the request is read: the answer is there all the same.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(json.dumps(request).encode() + b"\n")
            reply = json.loads(_read_line(connection, 1 << 20))
    except (OSError, ValueError) as err:
        raise DeviceError(f"no recorder answers at {path}: {reason(err)}", "start it, or check control.socket") from err
    if not isinstance(reply, dict):
        raise DeviceError(f"what answers at {path} is no recorder", "check control.socket")
    if not reply.pop("ok", False):
        raise of_status(reply.get("status"), str(reply.get("error", "refused")), str(reply.get("hint", "")))
    return reply


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """unix(7) allows 107 bytes; a longer path is reached through its open directory."""
    if len(os.fsencode(path)) <= 107:
        yield str(path)
        return
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)


def _read_line(connection: socket.socket, limit: int = MAX_REQUEST) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        piece = connection.recv(min(65536, limit + 1 - len(data)))
        if not piece:
            break
        data += piece
        if len(data) > limit:
            raise ValueError("request too long")
    return data
