"""A lock that another command of the station holds on is given up after a while, in words that say what to do."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.errors import StorageError
from agent.station import orders, turn
from agent.station.access import AccessLog


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "WAIT_S", 0.02)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """By a command that is stopped, or waits for its disk."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def append(root: Path) -> None:
    AccessLog(root / "lock", who="tester").append("open", "cam-0001", "r1", "case 1")


def verify(root: Path) -> None:
    AccessLog(root / "lock").verify()


def give(root: Path) -> None:
    with orders.alone(root):
        pass


@pytest.mark.parametrize(
    ("work", "names"),
    [(append, ["the access log", "`bodycam-station open`"]), (verify, ["the access log", "status"]),
     (give, ["the agency's orders", "`bodycam-station assign`"])],
)  # fmt: skip
def test_a_lock_that_is_never_free_is_an_error_that_names_it(
    tmp_path: Path, work: Callable[[Path], None], names: list[str]
) -> None:
    path = tmp_path / "lock"
    with held(path), pytest.raises(StorageError) as refused:
        work(tmp_path)
    assert all(name in refused.value.message for name in [str(path), "not free after 0.02 s", *names])
    assert "lslocks" in refused.value.hint
    # Nothing of the try stays: free again, it is had at once.
    work(tmp_path)


def test_one_that_becomes_free_is_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "WAIT_S", 60.0)
    path, looks = tmp_path / "lock", list[float]()
    with path.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def look_again(seconds: float) -> None:
            looks.append(seconds)
            fcntl.flock(other, fcntl.LOCK_UN)

        monkeypatch.setattr("agent.station.turn.time.sleep", look_again)
        give(tmp_path)
    assert looks == [turn.LOOK_EVERY_S]
