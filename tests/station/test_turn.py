"""A lock that another command of the station holds on is given up after a while, in words that say what to do."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from agent.errors import StorageError
from agent.station import orders, promised, retention, turn
from agent.station.access import AccessLog
from agent.station.layout import AgencyPaths
from agent.station.serve import Station
from tests.station.kit import own_agency


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


@pytest.fixture
def as_root_may_work() -> Iterator[None]:
    """Nothing it makes is for anybody else, unless that is said."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def modes(root: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in root.iterdir() if path.suffix != ".sqlite"}


@pytest.mark.usefixtures("as_root_may_work")
def test_each_may_lock_what_another_made_with_whatever_umask(tmp_path: Path) -> None:
    """A purge by root before the first receipt, also by an earlier version."""
    paths = AgencyPaths(tmp_path)
    paths.station.mkdir()
    expected = dict.fromkeys(["promises.lock", "promises.turn", "holds.lock", "holds.turn", "lock"], 0o644)
    for _ in range(2):
        with promised.alone(paths.station), retention.alone(paths), orders.alone(paths.station):
            assert modes(paths.station) == expected
        for name in expected:
            (paths.station / name).chmod(0o600)


@pytest.mark.usefixtures("as_root_may_work")
def test_a_station_makes_what_it_locks_for_a_receipt(agency: AgencyPaths, tmp_path: Path) -> None:
    paths = own_agency(agency, tmp_path / "agency")
    Station(paths.root).stop()
    found = modes(paths.station)
    assert [found.get(name) for name in ("lock", "promises.lock", "promises.turn")] == [0o644] * 3


def test_a_station_starts_where_there_is_no_room_for_them(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(station: Path) -> None:
        raise StorageError(f"cannot open {station}: No space left on device")

    monkeypatch.setattr(promised, "prepare", full)
    Station(own_agency(agency, tmp_path / "agency").root).stop()


def test_what_may_be_read_alone_is_locked_and_what_may_be_written_is_opened_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On NFS only the second is."""
    path, open_file, ways = tmp_path / "lock", os.open, list[int]()

    def of_another(path: Path, flags: int, mode: int = 0o777) -> int:
        ways.append(flags & os.O_ACCMODE)
        if ways[-1] != os.O_RDONLY and path.exists():
            raise PermissionError(13, "Permission denied")
        return open_file(path, flags, mode)

    monkeypatch.setattr("agent.station.turn.os.open", of_another)
    for _ in range(2):
        fd = turn.opened(path)
        turn.take(fd, path, "it", "nobody")
        os.close(fd)
    assert ways == [os.O_RDWR, os.O_RDWR, os.O_RDONLY]
    monkeypatch.setattr("agent.station.turn.os.open", lambda *_: of_another(tmp_path, os.O_RDWR))
    with pytest.raises(StorageError, match=r"cannot open .*: Permission denied"):
        turn.opened(tmp_path / "none")


def promises(root: Path) -> AbstractContextManager[None]:
    return promised.alone(root / "station")


def holds(root: Path) -> AbstractContextManager[None]:
    return retention.alone(AgencyPaths(root))


@pytest.mark.parametrize("alone", [promises, holds])
def test_who_waits_comes_before_who_comes_again(
    alone: Callable[[Path], AbstractContextManager[None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A purge of many recordings keeps a receipt, or a hold, waiting for one."""
    (tmp_path / "station").mkdir()
    waits, tried = threading.Event(), threading.Event()

    def looks_again(_: float) -> None:
        waits.set()
        assert tried.wait(30)

    monkeypatch.setattr(turn, "WAIT_S", 60.0)
    monkeypatch.setattr("agent.station.turn.time.sleep", looks_again)
    came = list[bool]()

    def come() -> None:
        with alone(tmp_path):
            came.append(True)

    other = threading.Thread(target=come)
    with alone(tmp_path):
        other.start()
        assert waits.wait(30)
    monkeypatch.setattr(turn, "WAIT_S", 0.0)
    with pytest.raises(StorageError, match=rf"{alone.__name__}\.turn: .* is not free"), alone(tmp_path):
        pass
    tried.set()
    other.join(30)
    assert came == [True]
