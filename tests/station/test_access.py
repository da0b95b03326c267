"""The access log: appended to, chained, and every change of it is seen."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from agent import durable
from agent.errors import EvidenceError, StorageError, UsageError
from agent.station.access import FIRST, AccessLog


@pytest.fixture
def log(tmp_path: Path) -> AccessLog:
    return AccessLog(tmp_path / "access.jsonl", lambda: 1_780_000_000.5, "tester")


def fill(log: AccessLog, count: int = 5) -> list[bytes]:
    return [log.append("open", "cam-0001", f"r{n}", f"case {n}", keys=[n]).to_bytes() for n in range(count)]


def test_lines_are_numbered_and_name_the_one_before(log: AccessLog, tmp_path: Path) -> None:
    assert (log.verify().count, log.lines()) == (0, [])
    written = fill(log)
    assert (tmp_path / "access.jsonl").read_bytes() == b"".join(written)
    lines = log.lines()
    assert [line.number for line in lines] == [1, 2, 3, 4, 5]
    assert lines[0].before == FIRST
    assert (lines[2].who, lines[2].what, lines[2].reason, lines[2].more) == ("tester", "open", "case 2", {"keys": [2]})
    assert log.verify().count == 5
    assert (tmp_path / "access.jsonl").stat().st_mode & 0o777 == 0o600


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


@pytest.mark.parametrize("what", changes([b""] * 5))
def test_each_change_is_seen_and_nothing_is_appended_to_it(log: AccessLog, tmp_path: Path, what: str) -> None:
    path = tmp_path / "access.jsonl"
    path.write_bytes(b"".join(changes(fill(log))[what]))
    with pytest.raises(EvidenceError):
        log.verify()
    before = path.read_bytes()
    with pytest.raises(EvidenceError):
        log.append("open", "cam-0001", "r", "case")
    assert path.read_bytes() == before


def test_a_file_that_is_gone_is_seen(log: AccessLog, tmp_path: Path) -> None:
    fill(log)
    (tmp_path / "access.jsonl").unlink()
    with pytest.raises(EvidenceError, match="is gone"):
        log.verify()


@pytest.mark.parametrize("head", [b"", b"[]", b'{"count":9,"sha256":"x"}', b'{"count":0}'])
def test_a_head_that_says_otherwise_is_seen(log: AccessLog, tmp_path: Path, head: bytes) -> None:
    fill(log)
    (tmp_path / "access.head").write_bytes(head)
    with pytest.raises(EvidenceError):
        log.verify()


def test_the_power_may_go_in_the_middle_of_a_line_or_before_its_head(
    log: AccessLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(log, 2)
    path = tmp_path / "access.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"half":')
    assert log.verify().count == 2
    assert path.read_bytes() == whole

    def refuse(*_: object) -> None:
        raise StorageError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_file", refuse)
        with pytest.raises(StorageError):
            log.append("open", "cam-0001", "r", "case")
    assert log.verify().count == 3
    assert log.append("open", "cam-0001", "r", "case").number == 4


@pytest.fixture
def refused(log: AccessLog, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A log of two lines, on a disk that has room for a line in the log's last block, and for no new file: the files
    that it refused. They are three appends, all of which fail.
    """
    fill(log, 2)
    refused = []

    def refuse(path: Path, *_: object) -> None:
        refused.append(path)
        raise StorageError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_file", refuse)
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
    lines, last = path.read_bytes().splitlines(keepends=True), log.lines()[-1]
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
