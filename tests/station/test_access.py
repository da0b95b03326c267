"""The access log: appended to, chained, and every change of it is seen."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent import durable
from agent.errors import EvidenceError, StorageError, UsageError
from agent.station import access
from agent.station.access import WALK_EVERY_S, AccessLog
from agent.station.accessline import FIRST, MAX_LINE, Line

Refusing = Callable[[], AbstractContextManager[list[Path]]]


@pytest.fixture
def log(tmp_path: Path) -> AccessLog:
    return AccessLog(tmp_path / "access.jsonl", lambda: 1_780_000_000.5, "tester")


@pytest.fixture
def refuse_head(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    """Inside, the disk takes a line, and no new file; which ones it refused."""

    @contextmanager
    def refusing() -> Iterator[list[Path]]:
        refused = []

        def refuse(path: Path, *_: object) -> None:
            refused.append(path)
            raise StorageError("no space left")

        with monkeypatch.context() as patch:
            patch.setattr(durable, "write_file", refuse)
            yield refused

    return refusing


def fill(log: AccessLog, count: int = 5) -> list[bytes]:
    return [log.append("open", "cam-0001", f"r{n}", f"case {n}", keys=[n]).to_bytes() for n in range(count)]


def test_lines_are_numbered_and_name_the_one_before(log: AccessLog, tmp_path: Path) -> None:
    assert (log.verify().count, [*log.lines()]) == (0, [])
    written = fill(log)
    assert (tmp_path / "access.jsonl").read_bytes() == b"".join(written)
    lines = [*log.lines()]
    assert [line.number for line in lines] == [1, 2, 3, 4, 5]
    assert lines[0].before == FIRST
    assert (lines[2].who, lines[2].what, lines[2].reason, lines[2].more) == ("tester", "open", "case 2", {"keys": [2]})
    assert log.verify().count == 5
    assert (tmp_path / "access.jsonl").stat().st_mode & 0o777 == 0o600


def change(path: Path, data: bytes) -> None:
    """By hand, at any other time than that of the last line: clocks of file systems go in steps."""
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        path.write_bytes(data)


def changes(lines: list[bytes]) -> dict[str, list[bytes]]:
    return {
        "edited": [lines[0], lines[1].replace(b"case 1", b"case 9"), *lines[2:]],
        "taken out": [*lines[:2], *lines[3:]],
        "put in": [*lines[:2], lines[1], *lines[2:]],
        "swapped": [lines[1], lines[0], *lines[2:]],
        "first gone": lines[1:],
        "last gone": lines[:-1],
        "two last gone": lines[:-2],
        "all gone": [],
        "spelled otherwise": [lines[0].replace(b'"n":1', b'"n": 1'), *lines[1:]],
        "nonsense": [*lines, b"x\n"],
        "no object": [*lines, b"[]\n"],
    }


FIRST_WRONG = {
    "edited": 3,
    "taken out": 3,
    "put in": 3,
    "swapped": 1,
    "first gone": 1,
    "spelled otherwise": 2,
    "nonsense": 6,
    "no object": 6,
}
"""The line that does not follow, where it is not the head that tells."""


@pytest.mark.parametrize("what", changes([b""] * 5))
def test_each_change_is_seen_and_nothing_is_appended_to_it(log: AccessLog, tmp_path: Path, what: str) -> None:
    path = tmp_path / "access.jsonl"
    change(path, b"".join(changes(fill(log))[what]))
    before = path.read_bytes()
    told = f"{path}: line {FIRST_WRONG[what]} is " if what in FIRST_WRONG else f"{path} has [0-4] lines"
    for look in (
        log.verify,
        lambda: log.verify(whole=False),
        lambda: [*log.lines()],
        lambda: log.append("open", "cam-0001", "r", "case"),
    ):
        with pytest.raises(EvidenceError, match=told):
            look()
    assert path.read_bytes() == before


def bytes_read(call: Callable[[], object]) -> int:
    """By this process (proc_pid_io(5))."""

    def so_far() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    before = so_far()
    call()
    return so_far() - before


@pytest.fixture
def many(tmp_path: Path) -> int:
    """Hundreds of long lines, and the head beside them. The size."""
    path, head, facts = tmp_path / "access.jsonl", FIRST, {"segments": ["x" * 8000]}
    with path.open("wb") as file:
        for number in range(1, 401):
            line = Line(number, 1_780_000_000, "root", "purge", "cam-0001", f"r{number}", "over", facts, head)
            file.write(line.to_bytes())
            head = hashlib.sha256(line.to_bytes()).hexdigest()
    (tmp_path / "access.head").write_text(json.dumps({"v": 1, "count": 400, "sha256": head}))
    return path.stat().st_size


def test_a_process_walks_all_at_first_and_then_where_anything_else_changed_the_file(tmp_path: Path, many: int) -> None:
    path, running = tmp_path / "access.jsonl", [0.0]
    log = AccessLog(path, who="tester", running_s=lambda: running[0])

    def append() -> None:
        log.append("open", "cam-0001", "r", "case")

    def look() -> None:
        log.verify(whole=False)

    few = 5 * MAX_LINE
    assert few < many / 8
    assert bytes_read(append) > many
    assert [bytes_read(one) < few for one in (append, look, append, append, look)] == [True] * 5
    assert bytes_read(log.verify) > many
    for again in (look, append):
        AccessLog(path, who="another").append("open", "cam-0001", "r", "case")
        assert bytes_read(again) > many, "who knows what was changed"
        assert [bytes_read(one) < few for one in (look, append)] == [True] * 2
        running[0] += WALK_EVERY_S
        assert bytes_read(again) > many, "it is a while ago"
    assert bytes_read(lambda: AccessLog(path, who="another").append("open", "cam-0001", "r", "case")) > many
    assert log.verify().count == 400 + 11


def edited(path: Path) -> None:
    """In a line that is long written."""
    path.write_bytes(path.read_bytes().replace(b"case 1", b"case 9"))


def test_what_a_file_system_does_not_tell_is_found_within_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, running, state = tmp_path / "access.jsonl", [0.0], []
    log = AccessLog(path, who="tester", running_s=lambda: running[0])
    fill(log)
    with path.open("rb") as file:
        state.append(access._state(file.fileno()))
    edited(path)
    monkeypatch.setattr(access, "_state", lambda fd: state[0])
    running[0] = WALK_EVERY_S - 1
    assert log.verify(whole=False).count == 5, "as a write into a mapped page that is dirty"
    with pytest.raises(EvidenceError):
        AccessLog(path, who="another").append("open", "cam-0001", "r", "case")
    running[0] = WALK_EVERY_S
    for look in (lambda: log.verify(whole=False), lambda: log.append("open", "cam-0001", "r", "case")) * 2:
        with pytest.raises(EvidenceError, match="line 3 is not"):
            look()


def test_what_is_changed_while_a_line_waits_for_the_disk_is_seen(
    log: AccessLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.jsonl"
    fill(log)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: change(path, path.read_bytes().replace(b"case 1", b"case 9")))
        patch.setattr(durable, "write_file", lambda path, data: path.write_bytes(data))
        log.append("open", "cam-0001", "r", "case")
    for look in (lambda: log.verify(whole=False), lambda: log.append("open", "cam-0001", "r", "case")) * 2:
        with pytest.raises(EvidenceError, match="line 3 is not"):
            look()


def test_nothing_is_appended_to_what_is_changed_behind_the_walk(
    log: AccessLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.jsonl"
    fill(log)

    def who() -> str:
        change(path, path.read_bytes().replace(b"case 1", b"case 9"))
        return "somebody"

    monkeypatch.setattr(access, "_who", who)
    with pytest.raises(EvidenceError, match="meanwhile"):
        AccessLog(path).append("open", "cam-0001", "r", "case")
    assert len(path.read_bytes().splitlines()) == 5


def test_what_is_put_in_just_before_a_line_is_seen(
    log: AccessLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.jsonl"
    written, write = fill(log), durable.write_all
    with monkeypatch.context() as patch:
        patch.setattr(
            durable, "write_all", lambda fd, data: write(fd, written[2] * data.startswith(b'{"before"') + data)
        )
        log.append("open", "cam-0001", "r", "case")
    with pytest.raises(EvidenceError, match="line 6 is not"):
        log.append("open", "cam-0001", "r", "case")
    assert len(path.read_bytes().splitlines()) == 7


def test_a_head_says_nothing_of_when_the_log_held(log: AccessLog, tmp_path: Path) -> None:
    path, head = tmp_path / "access.jsonl", tmp_path / "access.head"
    fill(log)
    assert set(json.loads(head.read_bytes())) == {"v", "count", "sha256"}
    earlier = json.loads(head.read_bytes()) | {"size": path.stat().st_size, "changed": path.stat().st_ctime_ns}
    head.write_text(json.dumps(earlier))
    assert AccessLog(path, who="tester").append("open", "cam-0001", "r", "case").number == 6
    head.write_text(json.dumps(json.loads(head.read_bytes()) | {"size": path.stat().st_size}))
    edited(path)
    head.write_text(json.dumps(json.loads(head.read_bytes()) | {"changed": path.stat().st_ctime_ns}))
    with pytest.raises(EvidenceError, match="line 3 is not"):
        AccessLog(path, who="tester").append("open", "cam-0001", "r", "case")


def test_a_look_leaves_a_line_ahead_of_the_head_to_who_writes_the_next(
    log: AccessLog, tmp_path: Path, many: int, refuse_head: Refusing
) -> None:
    log.append("open", "cam-0001", "r", "case")
    with refuse_head() as refused:
        with pytest.raises(StorageError):
            log.append("open", "cam-0001", "r", "case")
        looks = [bytes_read(lambda: log.verify(whole=False)) for _ in range(2)]
    assert [read > many for read in looks] == [True, False]
    assert len(refused) == 1, "a look writes nothing"
    assert json.loads((tmp_path / "access.head").read_bytes())["count"] == 401
    assert log.append("open", "cam-0001", "r", "case").number == 403


def test_a_log_is_walked_in_little_memory(log: AccessLog, many: int) -> None:
    tracemalloc.start()
    try:
        assert log.verify().count == sum(1 for _ in log.lines()) == 400
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < many / 2


def test_a_file_that_is_gone_is_seen(log: AccessLog, tmp_path: Path) -> None:
    fill(log)
    (tmp_path / "access.jsonl").unlink()
    for look in (log.verify, lambda: log.verify(whole=False), lambda: [*log.lines()]):
        with pytest.raises(EvidenceError, match="is gone"):
            look()


@pytest.mark.parametrize("head", [b"", b"[]", b'{"count":9,"sha256":"x"}', b'{"count":0}'])
def test_a_head_that_says_otherwise_is_seen(log: AccessLog, tmp_path: Path, head: bytes) -> None:
    fill(log)
    (tmp_path / "access.head").write_bytes(head)
    with pytest.raises(EvidenceError):
        log.verify()


def test_the_power_may_go_in_the_middle_of_a_line_or_before_its_head(
    log: AccessLog, tmp_path: Path, refuse_head: Refusing
) -> None:
    fill(log, 2)
    path = tmp_path / "access.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"half":')
    assert log.verify().count == 2
    assert path.read_bytes() == whole

    with refuse_head(), pytest.raises(StorageError):
        log.append("open", "cam-0001", "r", "case")
    assert log.verify().count == 3
    assert log.append("open", "cam-0001", "r", "case").number == 4


@pytest.fixture
def refused(log: AccessLog, refuse_head: Refusing) -> list[Path]:
    """A log of two lines, on a disk that has room for a line in the log's last block, and for no new file: the files
    that it refused. They are three appends, all of which fail.
    """
    fill(log, 2)
    with refuse_head() as refused:
        for _ in range(3):
            with pytest.raises(StorageError, match="no space"):
                log.append("purge", "cam-0001", "r", "its days are over")
    return refused


def test_no_line_is_written_while_the_head_cannot_tell_of_the_one_before(
    log: AccessLog, tmp_path: Path, refused: list[Path]
) -> None:
    assert refused == [tmp_path / "access.head"] * 3
    assert log.verify().count == 3
    assert log.append("open", "cam-0001", "r", "case").number == 4
    assert [line.what for line in log.lines()] == ["open", "open", "purge", "open"]


@pytest.mark.parametrize("what", ["two put behind", "pending and one before it gone", "pending and its head gone"])
def test_what_is_changed_beside_a_line_without_its_head_is_seen(
    log: AccessLog, tmp_path: Path, refused: list[Path], what: str
) -> None:
    path = tmp_path / "access.jsonl"
    lines, last = path.read_bytes().splitlines(keepends=True), [*log.lines()][-1]
    more = replace(last, number=4, before=hashlib.sha256(lines[-1]).hexdigest()).to_bytes()
    path.write_bytes(
        b"".join({"two put behind": [*lines, more], "pending and one before it gone": lines[:1]}.get(what, lines[:2]))
    )
    if what == "pending and its head gone":
        (tmp_path / "access.head").unlink()
    for look in (log.verify, lambda: log.append("open", "cam-0001", "r", "case")):
        with pytest.raises(EvidenceError):
            look()


def test_many_at_once_wait_for_each_other(tmp_path: Path) -> None:
    def work() -> None:
        one = AccessLog(tmp_path / "access.jsonl", who="tester")
        for _ in range(5):
            one.append("open", "cam-0001", "r", "case")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert AccessLog(tmp_path / "access.jsonl").verify().count == 20


@pytest.mark.parametrize("reason", ["", " ", "x ", "a\nb", "\x1b[2J", "x" * 201])
def test_a_reason_is_a_line_of_text(log: AccessLog, reason: str) -> None:
    with pytest.raises(UsageError):
        log.append("open", "cam-0001", "r", reason)
    assert log.verify().count == 0


def test_a_line_has_a_bound(log: AccessLog) -> None:
    with pytest.raises(UsageError, match="too much"):
        log.append("purge", "cam-0001", "r", "case", segments=["x" * 100] * 1000)
    assert log.verify().count == 0


def test_it_says_who_became_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "root")
    monkeypatch.setenv("SUDO_USER", "asma")
    line = AccessLog(tmp_path / "access.jsonl").append("open", "cam-0001", "r", "case")
    assert json.loads(line.to_bytes())["who"] == "asma as root"
