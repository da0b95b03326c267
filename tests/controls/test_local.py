"""The control socket answers its own user, in one line, and survives whatever is said to it."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent.controls.local import MAX_AT_ONCE, MAX_CONNECTIONS, MAX_REQUEST, ControlServer, ask
from agent.errors import AgentError, DeviceError, KeyTrustError, StorageError, UsageError


def answer(request: dict[str, Any]) -> dict[str, Any]:
    if request.get("do") == "refuse":
        raise UsageError("not now", "later")
    return {"heard": request}


@pytest.fixture(params=["short", "x" * 150])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / request.param / "control.sock"
    control = ControlServer(path, answer)
    control.start()
    yield path
    control.stop()
    assert not path.exists()


def test_a_question_and_its_answer(server: Path) -> None:
    assert ask(server, {"do": "status"}) == {"heard": {"do": "status"}}
    assert server.stat().st_mode & 0o777 == 0o600


def test_a_refusal_keeps_its_words(server: Path) -> None:
    with pytest.raises(UsageError, match="not now"):
        ask(server, {"do": "refuse"})


@pytest.mark.parametrize(
    "line", [b"nonsense\n", b"[1]\n", b"\xff\n", b"[" * 3000 + b"\n", b"x" * (MAX_REQUEST + 10), b""]
)
def test_nonsense_is_answered_or_dropped_and_the_next_one_is_heard(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "c.sock"
    control = ControlServer(path, answer)
    control.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(line)
        client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            client.recv(4096)
    assert ask(path, {"do": "status"})
    control.stop()


class Late(dict[str, str]):
    """A request that is written only when `closed` is set."""

    def __init__(self, closed: threading.Event) -> None:
        super().__init__(do="status")
        self._closed = closed

    def items(self) -> Any:
        assert self._closed.wait(10)
        return super().items()


def test_a_refusal_sent_before_the_request_is_read_is_heard(tmp_path: Path) -> None:
    """The server answers and closes at once, as it does where the other user has no business here."""
    path, closed = tmp_path / "c.sock", threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def refuse() -> None:
            connection, _ = listener.accept()
            connection.sendall(b'{"ok": false, "error": "user 1 may not control this camera"}\n')
            connection.close()
            closed.set()

        server = threading.Thread(target=refuse)
        server.start()
        with pytest.raises(UsageError, match="may not control"):
            ask(path, Late(closed))
        server.join()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_is_refused(tmp_path: Path) -> None:
    path = Path("/tmp") / f"control-{os.getpid()}" / "c.sock"
    control = ControlServer(path, answer)
    control.start()
    path.chmod(0o777)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # Whatever happens in here is written, and this process ends: it must never come back as a second test run.
        try:
            os.setuid(65534)
            ask(path, {"do": "status"})
            os.write(writer, b"let in")
        except BaseException as err:
            os.write(writer, repr(err).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as told:
        assert b"may not control" in told.read(2000)
    os.waitpid(child, 0)
    control.stop()
    path.parent.rmdir()


def test_nobody_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no recorder answers"):
        ask(tmp_path / "none.sock", {"do": "status"}, timeout_s=1)


def test_the_status_waits_for_no_command(tmp_path: Path) -> None:
    """However many wait for a disk that stalls; of commands, one more than eight is told so."""
    path, go = tmp_path / "c.sock", threading.Event()
    begun = threading.Semaphore(0)

    def slow(request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "stop":
            begun.release()
            assert go.wait(60)
        return {}

    control = ControlServer(path, slow)
    control.start()
    with ThreadPoolExecutor(MAX_AT_ONCE) as others:
        stops = [others.submit(ask, path, {"do": "stop"}, 60) for _ in range(MAX_AT_ONCE)]
        for _ in stops:
            assert begun.acquire(timeout=30)
        assert ask(path, {"do": "status"}) == {}
        with pytest.raises(DeviceError, match="too many commands"):
            ask(path, {"do": "stop"})
        go.set()
        assert [s.result(30) for s in stops] == [{}] * MAX_AT_ONCE
    assert ask(path, {"do": "stop"}) == {}
    control.stop()


def test_more_connections_than_it_has_room_for_are_refused_and_cost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    control = ControlServer(path, lambda request: {})
    control.start()
    with contextlib.ExitStack() as idle:
        for _ in range(MAX_CONNECTIONS):
            connection = idle.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.connect(str(path))
        with pytest.raises(DeviceError, match="too many commands"):
            ask(path, {"do": "status"})
    assert answers(path, {"do": "status"}) == {}
    control.stop()


def test_it_listens_again_when_no_file_descriptor_was_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, errors = tmp_path / "c.sock", [OSError(errno.EMFILE, "Too many open files"), OSError(errno.ENFILE, "x")]
    real = socket.socket.accept

    def accept(listener: socket.socket) -> Any:
        connection = real(listener)
        if errors:
            connection[0].close()
            raise errors.pop()
        return connection

    monkeypatch.setattr(socket.socket, "accept", accept)
    control = ControlServer(path, lambda request: {})
    control.start()
    assert answers(path, {"do": "status"}) == {}
    assert errors == []
    control.stop()


def answers(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The first answer to a request that may be refused at first."""
    for _ in range(200):
        with contextlib.suppress(AgentError):
            return ask(path, request)
    raise AssertionError("no answer")


@pytest.mark.parametrize("kind", [DeviceError, StorageError, KeyTrustError, UsageError])
def test_what_it_refuses_keeps_its_exit_status(tmp_path: Path, kind: type[AgentError]) -> None:
    def refuse(request: dict[str, Any]) -> dict[str, Any]:
        raise kind("the card is full", "dock")

    control = ControlServer(tmp_path / "c.sock", refuse)
    control.start()
    with pytest.raises(kind, match="the card is full") as caught:
        ask(tmp_path / "c.sock", {"do": "record"})
    assert (caught.value.hint, caught.value.exit_status) == ("dock", kind.exit_status)
    control.stop()


def test_a_defect_is_an_answer(tmp_path: Path) -> None:
    def defect(request: dict[str, Any]) -> dict[str, Any]:
        raise OSError(5, "Input/output error")

    control = ControlServer(tmp_path / "c.sock", defect)
    control.start()
    with pytest.raises(UsageError, match="OSError: Input/output error"):
        ask(tmp_path / "c.sock", {"do": "status"})
    control.stop()
